"""What writing large data costs, against the peers and C, as ratios of one run.

    python benchmarks/copying.py [--rounds 7] [--count 5] [--size 256] [--json FILE]

Needs: pip install '.[bench]' and gcc.  Every contender runs as a process of its own; the rounds interleave them, so that a slow
minute of the machine hits all alike.  Quoted is the median over the rounds of the ratio within a round, and the smallest time.

Two tables: into fresh memory (create, map, write; not the giving back), and into memory that is mapped and was written before.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
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
class Table:
    """Times of one operation: a list per contender, one number a round."""

    def __init__(self, title: str, floor: str) -> None:
        self.title, self.floor = title, floor
        self.times: dict[str, list[float]] = {}

    def add(self, who: str, nanoseconds: float) -> None:
        self.times.setdefault(who, []).append(nanoseconds)

    def ratio(self, who: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(self.times[who], self.times[to], strict=True))

    def show(self, size: int) -> None:
        print(f"\n{self.title}\n{'':34}{'best':>10}{'GB/s':>8}{'/ floor':>10}{'/ copy':>10}")
        for who, times in self.times.items():
            best = min(times)
            ratios = f"{self.ratio(who, self.floor):10.2f}{self.ratio(who, 'namedshm.copy'):10.2f}"
            print(f"{who:34}{best / 1e6:8.1f}ms{size / best:8.2f}{ratios}")

    def facts(self) -> dict[str, dict[str, float]]:
        return {
            who: {"best_ms": min(t) / 1e6, "to_floor": self.ratio(who, self.floor), "to_copy": self.ratio(who, "namedshm.copy")}
            for who, t in self.times.items()
        }


def run(*command: str | Path) -> float:
    return float(subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout)


def measure(floor: Path, what: str, who: list[str], rounds: int, count: int, size: int) -> Table:
    table = Table(f"{size >> 20} MiB into {what} memory", "C: memcpy")
    for _ in range(rounds):
        table.add("C: memcpy", run(floor, what, str(size), str(count)))
        if what == "fresh":
            table.add("C: MADV_POPULATE_WRITE, memcpy", run(floor, "populate", str(size), str(count)))
        for contender in who:
            table.add(contender, run(sys.executable, __file__, "--contend", contender, what, str(size), str(count)))
    return table


def missing(contender: str) -> str:
    """Why a contender does not take part, or nothing."""
    if not importlib.util.find_spec(CONTENDERS[contender][0]):
        return "not installed"
    if "huge" in contender:
        import namedshm

        try:
            namedshm.create(None, 2 << 20, huge_pages="require").close()
        except namedshm.Unsupported as error:
            return str(error)
    return ""


def main() -> None:
    if sys.argv[1:2] == ["--contend"]:
        who, what, size, count = sys.argv[2:]
        contend(who, what, int(size), int(count))
        return
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--count", type=int, default=5, help="writes per round and contender; quoted is their median")
    options.add_argument("--size", type=int, default=256, help="MiB")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    reasons = {contender: missing(contender) for contender in CONTENDERS}
    for contender, reason in reasons.items():
        if reason:
            print(f"left out: {contender}: {reason}")
    who = [contender for contender, reason in reasons.items() if not reason]
    with tempfile.TemporaryDirectory() as folder:
        floor = Path(folder) / "floor"
        subprocess.run(["gcc", "-O2", HERE / "copying_floor.c", "-o", floor], check=True)
        tables = [
            measure(floor, "fresh", who, chosen.rounds, chosen.count, chosen.size << 20),
            measure(floor, "warm", who, chosen.rounds, chosen.count, chosen.size << 20),
        ]
    for table in tables:
        table.show(chosen.size << 20)
    if chosen.json:
        chosen.json.write_text(json.dumps({table.title: table.facts() for table in tables}, indent=1) + "\n")


if __name__ == "__main__":
    main()
