"""What mutexes and events cost, against the peers and bare C, as ratios of one run.

    python benchmarks/sync.py [--rounds 7] [--json FILE]

Needs: pip install '.[bench]' and gcc.  Rounds interleave the contenders; quoted are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from namedshm import Event, Mutex

HERE = Path(__file__).parent
#: Contention: nanoseconds of work with the lock and without it.  With none at all one process runs while the other sleeps.
SECTIONS = ((0, 0), (0, 1000), (1000, 1000), (5000, 5000))


def timed(acquire: Callable[[], object], release: Callable[[], object], count: int) -> float:
    """Nanoseconds per acquire and release."""
    start = time.perf_counter_ns()
    for _ in range(count):
        acquire()
        release()
    return (time.perf_counter_ns() - start) / count


def locks(folder: Path) -> dict[str, tuple[Callable[[], object], Callable[[], object], Callable[[], object]]]:
    """Name -> (acquire, release, remove)."""
    found = {}
    mutex = Mutex(f"bench{os.getpid()}")
    found["namedshm.Mutex"] = (mutex.acquire, mutex.release, mutex.close)
    lock = multiprocessing.Lock()
    found["multiprocessing.Lock"] = (lock.acquire, lock.release, lambda: None)
    if importlib.util.find_spec("posix_ipc"):
        import posix_ipc

        posix = posix_ipc.Semaphore(f"/bench{os.getpid()}", posix_ipc.O_CREX, initial_value=1)
        found["posix_ipc.Semaphore"] = (posix.acquire, posix.release, posix.unlink)
    if importlib.util.find_spec("sysv_ipc"):
        import sysv_ipc

        sysv = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=1)
        found["sysv_ipc.Semaphore"] = (sysv.acquire, sysv.release, sysv.remove)
    file = (folder / "lock").open("w")
    found["fcntl.flock"] = (lambda: fcntl.flock(file, fcntl.LOCK_EX), lambda: fcntl.flock(file, fcntl.LOCK_UN), file.close)
    return found


def floor(binary: Path, what: str, *amounts: float) -> float:
    return float(subprocess.run([binary, what, *map(str, amounts)], check=True, capture_output=True, text=True).stdout)


def work_of(nanoseconds: float) -> Callable[[], object]:
    """A call that takes so long: a search through bytes in C.  (An empty one takes 30 ns.)"""
    if not nanoseconds:
        return lambda: None
    length = 1000
    while True:
        search = partial(bytes(length).find, b"x")
        taken = min(timed(search, int, 200) for _ in range(5))
        if taken >= nanoseconds:
            return search
        length = int(length * min(2, max(1.05, nanoseconds / taken)))


def contend(
    acquire: Callable[[], object], release: Callable[[], object], seconds: float, inside: float = 0, outside: float = 0
) -> float:
    """Acquisitions per second of two processes that work so many nanoseconds with the lock and so many without."""
    reader, writer = os.pipe()
    children = []
    use, think = work_of(inside), work_of(outside)
    batch = 5 if inside or outside else 100
    for _ in range(2):
        if not (pid := os.fork()):
            count, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                if inside or outside:
                    for _ in range(batch):
                        acquire()
                        use()
                        release()
                        think()
                else:
                    for _ in range(batch):
                        acquire()
                        release()
                count += batch
            os.write(writer, f"{count}\n".encode())
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as file:
        return sum(map(int, file)) / seconds


def ping_pong(count: int, spin: float) -> float:
    """Nanoseconds per round trip of two processes with two events."""
    there, back = Event(), Event()
    if not (pid := os.fork()):
        for _ in range(count):
            there.wait(spin=spin)
            back.set()
        os._exit(0)
    start = time.perf_counter_ns()
    for _ in range(count):
        there.set()
        back.wait(spin=spin)
    spent = (time.perf_counter_ns() - start) / count
    os.waitpid(pid, 0)
    return spent


def abandonment() -> float:
    """Microseconds from SIGKILL of the holder until the blocked waiter has the mutex."""
    mutex, held = Mutex(), Event()
    if not (pid := os.fork()):
        mutex.acquire()
        held.set()
        signal.pause()
    held.wait()
    reader, writer = os.pipe()
    if not (waiter := os.fork()):
        os.write(writer, b"x")
        mutex.acquire(spin=0)
        os.write(writer, str(time.monotonic_ns()).encode())
        os._exit(0)
    os.read(reader, 1)
    while "futex" not in Path(f"/proc/{waiter}/wchan").read_text() and Path(f"/proc/{waiter}/stat").read_text().split()[2] != "S":
        pass
    start = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    got = int(os.read(reader, 64))
    os.waitpid(pid, 0)
    os.waitpid(waiter, 0)
    os.close(reader)
    os.close(writer)
    return (got - start) / 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    facts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "sync_floor"
        subprocess.run(["gcc", "-O2", "-I", HERE.parent / "include", HERE / "sync_floor.c", "-o", binary, "-pthread"], check=True)
        found = locks(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(chosen.rounds):
            for name, (acquire, release, _) in found.items():
                times[name].append(timed(acquire, release, 50_000))
        print("uncontended acquire + release        best   / multiprocessing.Lock")
        for name, values in times.items():
            ratio = statistics.median(a / b for a, b in zip(values, times["multiprocessing.Lock"], strict=True))
            facts[f"uncontended {name} / multiprocessing.Lock"] = ratio
            print(f"  {name:28}{min(values):10.0f} ns{ratio:12.2f}")

        for inside, outside in SECTIONS:
            rates: dict[str, list[float]] = {}
            for _ in range(3 * chosen.rounds):  # short ones, for the machine's mood changes
                rates.setdefault("pthread mutex (C)", []).append(floor(binary, "contend-pthread", 0.1, inside, outside))
                rates.setdefault("namedshm_sync.h (C)", []).append(floor(binary, "contend-header", 0.1, inside, outside))
                for name in ("namedshm.Mutex", "multiprocessing.Lock"):
                    rates.setdefault(name, []).append(contend(*found[name][:2], 0.1, inside, outside))
            print(f"two processes contending, {inside} ns inside, {outside} ns outside: median, / pthread mutex (C)")
            for name, values in rates.items():
                ratio = statistics.median(a / b for a, b in zip(values, rates["pthread mutex (C)"], strict=True))
                facts[f"contended {inside}/{outside} {name} / C"] = ratio
                print(f"  {name:28}{statistics.median(values) / 1000:9.0f}k/s{ratio:12.2f}")

        for label, reference, spin in (("sleeping", "pingpong-futex", 0.0), ("spinning", "pingpong-spin", 0.01)):
            ours, bare = [], []
            for _ in range(chosen.rounds):
                bare.append(floor(binary, reference, 10_000))
                ours.append(ping_pong(10_000, spin))
            ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
            facts[f"ping-pong {label} / C"] = ratio
            print(f"ping-pong with two events, {label}: {min(ours):.0f} ns, bare C {min(bare):.0f} ns, ratio {ratio:.2f}")

        delays = [abandonment() for _ in range(50)]
        facts["abandonment median us"] = statistics.median(delays)
        print(
            f"holder killed, waiter blocked: median {statistics.median(delays):.0f} us, worst {max(delays):.0f} us of {len(delays)}"
        )
        for _, _, remove in found.values():
            remove()
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
