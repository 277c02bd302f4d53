"""One contender, one operation, many times: run as a process of its own by lifecycle.py.

    python -m benchmarks._contenders CONTENDER create N SIZE
    python -m benchmarks._contenders CONTENDER hold NAME SIZE
    python -m benchmarks._contenders CONTENDER open N NAME

``hold`` makes NAME, prints a line, waits for standard input to end, and removes it.  Each operation is what a careful user of that
library writes: create + map + write one byte + close (and unlink, where the library leaves that to the user); open + map + read one
byte + close.  Prints nanoseconds per operation.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Callable


class NamedShm:
    def __init__(self) -> None:
        import namedshm

        self.create_section, self.open_section = namedshm.create, namedshm.open

    def create(self, name: str, size: int) -> None:
        section = self.create_section(name, size)
        view = section.map()
        view[0] = 1
        view.close()
        section.close()

    def open(self, name: str) -> None:
        section = self.open_section(name)
        view = section.map()
        view[0]
        view.close()
        section.close()

    def hold(self, name: str, size: int) -> Callable[[], None]:
        section = self.create_section(name, size)
        view = section.map()
        view[0] = 1
        return lambda: (view.close(), section.close())  # type: ignore[func-returns-value]


class Stdlib:
    def __init__(self) -> None:
        from multiprocessing import resource_tracker
        from multiprocessing.shared_memory import SharedMemory

        self.make = SharedMemory
        if sys.argv[2] == "open":  # else the opener's tracker removes the holder's memory when the opener ends
            resource_tracker.register = lambda name, kind: None

    def create(self, name: str, size: int) -> None:
        memory = self.make(name, create=True, size=size)
        memory.buf[0] = 1
        memory.close()
        memory.unlink()

    def open(self, name: str) -> None:
        memory = self.make(name)
        memory.buf[0]
        memory.close()

    def hold(self, name: str, size: int) -> Callable[[], None]:
        memory = self.make(name, create=True, size=size)
        memory.buf[0] = 1
        return lambda: (memory.close(), memory.unlink())  # type: ignore[func-returns-value]


class PosixIpc:
    def __init__(self) -> None:
        import posix_ipc

        self.posix = posix_ipc

    def create(self, name: str, size: int) -> None:
        memory = self.posix.SharedMemory("/" + name, self.posix.O_CREX, size=size)
        view = mmap.mmap(memory.fd, size)
        memory.close_fd()
        view[0] = 1
        view.close()
        self.posix.unlink_shared_memory("/" + name)

    def open(self, name: str) -> None:
        memory = self.posix.SharedMemory("/" + name)
        view = mmap.mmap(memory.fd, memory.size)
        memory.close_fd()
        view[0]
        view.close()

    def hold(self, name: str, size: int) -> Callable[[], None]:
        memory = self.posix.SharedMemory("/" + name, self.posix.O_CREX, size=size)
        view = mmap.mmap(memory.fd, size)
        memory.close_fd()
        view[0] = 1
        return lambda: (view.close(), self.posix.unlink_shared_memory("/" + name))


class SysvIpc:
    """Numbers instead of names: the caller must agree on a 32-bit key."""

    def __init__(self) -> None:
        import sysv_ipc

        self.sysv = sysv_ipc

    @staticmethod
    def key(name: str) -> int:
        return 1 + int.from_bytes(name.encode()[-4:], "little") % 0x7FFFFFF0

    def create(self, name: str, size: int) -> None:
        memory = self.sysv.SharedMemory(self.key(name), self.sysv.IPC_CREX, size=size)
        memory.write(b"\1")
        memory.detach()
        memory.remove()

    def open(self, name: str) -> None:
        memory = self.sysv.SharedMemory(self.key(name))
        memory.read(1)
        memory.detach()

    def hold(self, name: str, size: int) -> Callable[[], None]:
        memory = self.sysv.SharedMemory(self.key(name), self.sysv.IPC_CREX, size=size)
        memory.write(b"\1")
        return lambda: (memory.detach(), memory.remove())


class MemBridge:
    """Its views have no way to be closed but to go: names are dropped instead."""

    def __init__(self) -> None:
        import membridge

        self.memory = membridge.SharedMemory

    def create(self, name: str, size: int) -> None:
        memory = self.memory.create("/" + name, size)
        view = memory.map()
        view.write(True, 0)
        del view, memory
        self.memory.remove("/" + name)

    def open(self, name: str) -> None:
        memory = self.memory.open("/" + name)
        view = memory.map()
        view.read_range(0, 1)
        del view, memory

    def hold(self, name: str, size: int) -> Callable[[], None]:
        memory = self.memory.create("/" + name, size)
        memory.map().write(True, 0)
        return lambda: self.memory.remove("/" + name)


CONTENDERS = {"namedshm": NamedShm, "stdlib": Stdlib, "posix_ipc": PosixIpc, "sysv_ipc": SysvIpc, "membridge": MemBridge}


def main() -> None:
    contender, what, *rest = sys.argv[1:]
    library = CONTENDERS[contender]()
    if what == "hold":
        release = library.hold(rest[0], int(rest[1]))
        print("held", flush=True)
        sys.stdin.read()
        release()
        return
    count = int(rest[0])
    if what == "create":
        name, size = f"bench{os.getpid()}", int(rest[1])
        operation = lambda: library.create(name, size)  # noqa: E731
    else:
        operation = lambda: library.open(rest[1])  # noqa: E731
    operation()
    start = time.perf_counter_ns()
    for _ in range(count):
        operation()
    print((time.perf_counter_ns() - start) // count)


if __name__ == "__main__":
    main()
