"""What arrays by name cost: opening one, and handing 64 MiB to another process until it is usable.

A hand-over begins with an array in the producer's private memory and ends when the consumer, a process that waits for it, has read
its first and last element (both ends take the same clock).  "again" means memory that both have used before, as in a loop over
frames; "new" means memory made, copied to, found and mapped for this one array.  The floor is a bare memcpy of the same bytes in
the producer, into memory it has touched before.  ray and vineyard take part where they are installed.

    python -m benchmarks.arrays WAY NAME SIZE     is a consumer
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

import namedshm
from namedshm import arrays, copying
from namedshm._formats import array_layout

from ._runner import MS, ROOT, US, Settings, Table, child, missing

NAME = f"bench{os.getpid()}"
FLOOR = "memcpy into touched memory"


# ------------------------------------------------------------------------------------------------------------ hand-over
class Way:
    """One way of handing over: the producer's side; its consumer is a process of its own that runs ``receive``."""

    needs = "numpy"  # a library

    def __init__(self, name: str, size: int) -> None:
        """Make what lasts, before the consumer starts."""
        self.name, self.size = name, size

    def start(self) -> None:
        command = child("arrays", type(self).__name__, self.name, self.size)
        self.consumer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.consumer.stdout
        assert self.consumer.stdout.readline() == b"ready\n"

    def tell(self, line: str) -> None:
        assert self.consumer.stdin
        self.consumer.stdin.write(line.encode() + b"\n")
        self.consumer.stdin.flush()

    def hand_over(self, data: np.ndarray, number: int) -> None:
        """Make the data usable for the consumer, which waits."""
        raise NotImplementedError

    def seen(self) -> tuple[int, float, float]:
        """When the consumer could use it, and its first and last element."""
        assert self.consumer.stdout
        when, first, last = self.consumer.stdout.readline().split()
        return int(when), float(first), float(last)

    def tidy(self) -> None:
        """After each hand-over, not timed."""

    def close(self) -> None:
        self.consumer.kill()
        self.consumer.communicate()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        """The consumer: yields each array as it comes, and has let go of it when it is resumed."""
        raise NotImplementedError


def lines() -> Iterator[str]:
    print("ready", flush=True)
    while line := sys.stdin.readline():
        yield line.strip()


class NamedAgain(Way):
    """namedshm, again"""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name, size)
        self.array = arrays.create(name, size // 8)
        self.array[:] = 0
        self.event = namedshm.Event(name + "-ready")

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.array[:] = data
        self.event.set()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        array, event = arrays.open(name, "read"), namedshm.Event(name + "-ready")
        array.sum()
        print("ready", flush=True)
        while event.wait():
            yield array


class NamedAgainThreads(NamedAgain):
    """namedshm, again, copy()"""

    def hand_over(self, data: np.ndarray, number: int) -> None:
        copying.copy(memoryview(self.array), memoryview(data))
        self.event.set()


class NamedInPlace(NamedAgain):
    """namedshm, computed in place"""

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.array[0] = self.array[-1] = number
        self.event.set()


class NamedNew(Way):
    """namedshm, new"""

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.array = arrays.publish(f"{self.name}-{number}", data)
        self.tell(f"{self.name}-{number}")

    def tidy(self) -> None:
        del self.array

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        for line in lines():
            yield arrays.open(line, "read")


class NamedHuge(NamedNew):
    """namedshm, new, huge pages"""

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.array = arrays.publish(f"{self.name}-{number}", data, huge_pages="try")
        self.tell(f"{self.name}-{number}")


class StdlibAgain(Way):
    """multiprocessing.shared_memory, again"""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name, size)
        self.memory = SharedMemory(name, create=True, size=size)
        self.array = np.ndarray(size // 8, buffer=self.memory.buf)
        self.array[:] = 0

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.array[:] = data
        self.tell("now")

    def close(self) -> None:
        super().close()
        del self.array
        self.memory.close()
        self.memory.unlink()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        resource_tracker.register = lambda name, kind: None  # else it removes the producer's memory
        memory = SharedMemory(name)
        array: Any = np.ndarray(size // 8, buffer=memory.buf)
        array.sum()
        for _ in lines():
            yield array


class StdlibNew(Way):
    """multiprocessing.shared_memory, new"""

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.memory = SharedMemory(f"{self.name}-{number}", create=True, size=self.size)
        np.ndarray(self.size // 8, buffer=self.memory.buf)[:] = data
        self.tell(self.memory.name)

    def tidy(self) -> None:
        self.memory.close()
        self.memory.unlink()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        resource_tracker.register = lambda name, kind: None
        for line in lines():
            memory = SharedMemory(line)
            yield np.ndarray(size // 8, buffer=memory.buf)
            memory.close()


class PosixNew(Way):
    """posix_ipc + mmap, new"""

    needs = "posix_ipc"

    def hand_over(self, data: np.ndarray, number: int) -> None:
        import posix_ipc

        memory = posix_ipc.SharedMemory(f"/{self.name}-{number}", posix_ipc.O_CREX, size=self.size)
        self.view = mmap.mmap(memory.fd, self.size)
        memory.close_fd()
        np.frombuffer(self.view)[:] = data
        self.posix = memory
        self.tell(f"/{self.name}-{number}")

    def tidy(self) -> None:
        self.view.close()
        self.posix.unlink()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        import posix_ipc

        for line in lines():
            memory = posix_ipc.SharedMemory(line)
            view = mmap.mmap(memory.fd, size)
            memory.close_fd()
            yield np.frombuffer(view)
            view.close()


class Pickled(Way):
    """pickled through a pipe"""

    def hand_over(self, data: np.ndarray, number: int) -> None:
        assert self.consumer.stdin
        pickle.dump(data, self.consumer.stdin, 5)
        self.consumer.stdin.flush()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        print("ready", flush=True)
        while True:
            yield pickle.load(sys.stdin.buffer)


class Vineyard(Way):
    """vineyard, put and get"""

    needs = "vineyard"

    def __init__(self, name: str, size: int) -> None:
        import vineyard

        socket = Path(tempfile.gettempdir(), f"{name}.socket")
        super().__init__(str(socket), size)
        command = ("-m", "vineyard", "--socket", str(socket), "--size", str(8 * size), "--meta", "local")
        self.server = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client = vineyard.connect(str(socket))
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.object = self.client.put(data)
        self.tell(repr(self.object))

    def tidy(self) -> None:
        self.client.delete([self.object])

    def close(self) -> None:
        super().close()
        self.client.close()
        self.server.terminate()
        self.server.wait()

    @staticmethod
    def receive(name: str, size: int) -> Iterator[Any]:
        import vineyard

        client = vineyard.connect(name)
        for line in lines():
            yield client.get(vineyard.ObjectID(line.split('"')[1] if '"' in line else line))


class Ray(Way):
    """ray, put and a call"""

    needs = "ray"

    def start(self) -> None:
        import ray

        ray.init(num_cpus=2, object_store_memory=8 * self.size, include_dashboard=False, log_to_driver=False)

        @ray.remote  # type: ignore[misc]
        class Consumer:
            def use(self, array: Any) -> tuple[int, float, float]:
                ends = float(array[0]), float(array[-1])
                return time.monotonic_ns(), *ends

        self.ray, self.actor = ray, Consumer.remote()

    def hand_over(self, data: np.ndarray, number: int) -> None:
        self.answer = self.actor.use.remote(self.ray.put(data))

    def seen(self) -> tuple[int, float, float]:
        found: tuple[int, float, float] = self.ray.get(self.answer)
        return found

    def close(self) -> None:
        self.ray.shutdown()


WAYS = [NamedAgain, NamedAgainThreads, NamedInPlace, NamedNew, NamedHuge, StdlibAgain, StdlibNew, PosixNew, Pickled, Vineyard, Ray]


def consume(way: str, name: str, size: int) -> None:
    for array in globals()[way].receive(name, size):
        ends = float(array[0]), float(array[-1])
        print(time.monotonic_ns(), *ends, flush=True)
        del array


def hand_over_table(size: int) -> Iterator[Table]:
    data = np.arange(size / 8)
    target = np.frombuffer(mmap.mmap(-1, size))
    target[:] = 0
    numbers = itertools.count(1)

    def floor() -> float:
        start = time.monotonic_ns()
        ctypes.memmove(target.ctypes.data, data.ctypes.data, size)
        return time.monotonic_ns() - start

    def measured(way: Way) -> float:
        number = next(numbers)
        data[0] = data[-1] = number
        start = time.monotonic_ns()
        way.hand_over(data, number)
        when, first, last = way.seen()
        assert first == last == number, way
        way.tidy()
        return when - start

    title = f"handing over an array of {size >> 20} MiB, until usable"
    table = Table(title, MS, floor=FLOOR, ours="namedshm, again", warm_up=3, contenders={FLOOR: floor})
    with contextlib.ExitStack() as stack:
        for number, kind in enumerate(WAYS):
            who = kind.__doc__ or ""
            if reason := missing(kind.needs):
                table.left_out[who] = reason
                continue
            way = kind(f"{NAME}-{number}", size)
            way.start()
            stack.callback(way.close)
            table.contenders[who] = partial(measured, way)
        yield table


# ------------------------------------------------------------------------------------------------------------ opening
def open_table(count: int, folder: Path) -> Iterator[Table]:
    """Processor time of one opening and closing: it waits for nobody."""
    held = arrays.create(NAME + "-open", (100, 100))
    structure = arrays.create(NAME + "-fields", 100, [("x", "f4"), ("y", "i8", (3,)), ("name", "S8")])
    sent = pickle.dumps(held[5:])
    memory = SharedMemory(NAME, create=True, size=80_000)
    file = folder / "array.npy"
    np.save(file, held)

    def bare() -> None:
        section = namedshm.open(NAME + "-open")
        view = section.map()
        view.close()
        section.close()

    def touching() -> None:
        with namedshm.open(NAME + "-open") as section, section.map() as view:
            view[0]

    def first() -> None:
        array_layout._parse.cache_clear()
        arrays.open(NAME + "-open")

    def stdlib() -> None:
        found = SharedMemory(NAME)
        np.ndarray((100, 100), buffer=found.buf)
        found.close()

    calls: dict[str, Callable[[], object]] = {
        "open a section, map it, close both": bare,
        "the same, and read a byte": touching,
        "arrays.open": lambda: arrays.open(NAME + "-open"),
        "arrays.open of a structured dtype": lambda: arrays.open(NAME + "-fields"),
        "arrays.open of a header never seen": first,
        "unpickling an array": lambda: pickle.loads(sent),
        "SharedMemory + ndarray of a known shape": stdlib,
        "numpy.load(mmap_mode='r') of a file": lambda: np.load(file, mmap_mode="r"),
    }

    def measured(call: Callable[[], object]) -> float:
        start = time.process_time_ns()
        for _ in range(count):
            call()
        return (time.process_time_ns() - start) / count

    contenders: dict[str, Callable[[], float]] = {who: partial(measured, call) for who, call in calls.items()}
    title = "opening an array by name, until it can be indexed: processor time"
    register, resource_tracker.register = resource_tracker.register, lambda name, kind: None
    yield Table(title, US, floor="open a section, map it, close both", ours="arrays.open", contenders=contenders)
    resource_tracker.register = register
    memory.close()
    memory.unlink()
    held.close()
    structure.close()


def tables(settings: Settings) -> Iterator[Table]:
    with tempfile.TemporaryDirectory() as folder:
        yield from open_table(settings.count(1000), Path(folder))
    yield from hand_over_table(settings.size(64))


if __name__ == "__main__":
    way, name, size = sys.argv[1:]
    consume(way, name, int(size))
