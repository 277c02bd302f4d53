"""What writing large data costs, into new memory and into memory that was written before.

The first table creates, maps and writes, and does not count the giving back; the second writes to what is mapped.  Every contender
runs as a process of its own, and a value is the median of some writes.

    python -m benchmarks.copying CONTENDER fresh|warm SIZE COUNT     is a contender
"""

from __future__ import annotations

import mmap
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from ._runner import MS, Settings, Table, child, compiled, missing, printed

FLOOR = "C: memcpy"
Write = Callable[[], None]
Release = Callable[[], None]


# ---------------------------------------------------------------------------------------------------- one contender
def ours(write: str, **options: str) -> Callable[[str, int, bytearray], tuple[Write, Release]]:
    def create(name: str, size: int, source: bytearray) -> tuple[Write, Release]:
        import namedshm

        section = namedshm.create(name, size, **options)
        view = section.map()

        def slice_() -> None:
            view[:] = source

        def populate() -> None:
            view.populate()
            view[:] = source

        ways: dict[str, Write] = {
            "copy": lambda: namedshm.copy(view, source),
            "copy, 1 thread": lambda: namedshm.copy(view, source, threads=1),
            "populate": populate,
            "slice": slice_,
        }
        return ways[write], lambda: (view.close(), section.close())

    return create


def stdlib(name: str, size: int, source: bytearray) -> tuple[Write, Release]:
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(name, create=True, size=size)

    def write() -> None:
        memory.buf[:size] = source

    return write, lambda: (memory.close(), memory.unlink())


def posix(name: str, size: int, source: bytearray) -> tuple[Write, Release]:
    import posix_ipc

    memory = posix_ipc.SharedMemory("/" + name, posix_ipc.O_CREX, size=size)
    view = mmap.mmap(memory.fd, size)
    memory.close_fd()

    def write() -> None:
        view[:] = source

    return write, lambda: (view.close(), posix_ipc.unlink_shared_memory("/" + name))


def posix_file(name: str, size: int, source: bytearray) -> tuple[Write, Release]:
    """Written as the file that it is: nothing faults, and whole pages need not be zeroed first.  Readers map it."""
    import posix_ipc

    memory = posix_ipc.SharedMemory("/" + name, posix_ipc.O_CREX, size=size)

    def write() -> None:
        with memoryview(source) as rest:
            done = 0
            while done < size:
                done += os.pwrite(memory.fd, rest[done:], done)

    return write, lambda: (memory.close_fd(), posix_ipc.unlink_shared_memory("/" + name))


def sysv(name: str, size: int, source: bytearray) -> tuple[Write, Release]:
    import sysv_ipc

    memory = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=size)
    return lambda: memory.write(source), lambda: (memory.detach(), memory.remove())


def membridge(name: str, size: int, source: bytearray) -> tuple[Write, Release]:
    import membridge

    memory = membridge.SharedMemory.create("/" + name, size + 4096)  # its lock takes some
    view = memory.map()
    data = bytes(source)
    return lambda: view.write(data, 0), lambda: membridge.SharedMemory.remove("/" + name)


CONTENDERS: dict[str, tuple[str, Callable[[str, int, bytearray], tuple[Write, Release]]]] = {
    "namedshm.copy": ("namedshm", ours("copy")),
    "namedshm.copy, threads=1": ("namedshm", ours("copy, 1 thread")),
    "namedshm populate, then slice": ("namedshm", ours("populate")),
    "namedshm slice": ("namedshm", ours("slice")),
    "namedshm.copy, huge pages": ("namedshm", ours("copy", huge_pages="require")),
    "stdlib": ("multiprocessing", stdlib),
    "posix_ipc + mmap": ("posix_ipc", posix),
    "posix_ipc + pwrite": ("posix_ipc", posix_file),
    "sysv_ipc": ("sysv_ipc", sysv),
    "membridge": ("membridge", membridge),
}


def timed(write: Write) -> int:
    start = time.perf_counter_ns()
    write()
    return time.perf_counter_ns() - start


def contend(who: str, what: str, size: int, count: int) -> None:
    """Print the median nanoseconds of `count` writes."""
    source = bytearray(os.urandom(1 << 20)) * (size >> 20)
    name = f"bench{os.getpid()}"
    make = CONTENDERS[who][1]
    times = []
    if what == "warm":
        write, release = make(name, size, source)
        try:
            write()
            times += [timed(write) for _ in range(count)]
        finally:
            release()
    else:
        for number in range(count):
            start = time.perf_counter_ns()
            write, release = make(f"{name}-{number}", size, source)
            try:
                write()
                times.append(time.perf_counter_ns() - start)
            finally:
                release()
    print(statistics.median(times))


# ---------------------------------------------------------------------------------------------------- the tables
def why_not(contender: str) -> str:
    """Why a contender does not take part, or nothing."""
    if reason := missing(CONTENDERS[contender][0]):
        return reason
    if "huge" in contender:
        import namedshm

        try:
            namedshm.create(None, 2 << 20, huge_pages="require").close()
        except namedshm.Unsupported as error:
            return str(error)
    return ""


def tables(settings: Settings) -> Iterator[Table]:
    size, count = settings.size(256), 5  # the first of a process imports the library: the median must not be it
    reasons = {who: why_not(who) for who in CONTENDERS}
    with compiled("copying_floor.c") as floor:
        for what in ("fresh", "warm"):
            table = Table(f"writing {size >> 20} MiB into {what} memory", MS, floor=FLOOR, ours="namedshm.copy", rounds=7)
            table.contenders[FLOOR] = partial(floor, what, size, count)
            if what == "fresh":
                table.contenders["C: MADV_POPULATE_WRITE, memcpy"] = partial(floor, "populate", size, count)
            for who, reason in reasons.items():
                if reason:
                    table.left_out[who] = reason
                else:
                    table.contenders[who] = partial(printed, *child("copying", who, what, size, count))
            yield table


if __name__ == "__main__":
    who, what, size, count = sys.argv[1:]
    contend(who, what, int(size), int(count))
