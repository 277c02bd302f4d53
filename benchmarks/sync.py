"""What mutexes and events cost: uncontended, contended, waking, and when the owner is killed."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from namedshm import Event, Mutex

from ._runner import NS, PER_SECOND, US, Settings, Table, compiled, missing

Call = Callable[[], object]
#: Contention: nanoseconds of work with the lock and without it.  With none at all one process runs while the other sleeps.
SECTIONS = ((0, 0), (0, 1000), (1000, 1000), (5000, 5000))


def timed(acquire: Call, release: Call, count: int) -> float:
    """Nanoseconds per acquire and release."""
    start = time.perf_counter_ns()
    for _ in range(count):
        acquire()
        release()
    return (time.perf_counter_ns() - start) / count


LEFT_OUT = {f"{module}.Semaphore": reason for module in ("posix_ipc", "sysv_ipc") if (reason := missing(module))}


@contextlib.contextmanager
def locks() -> Iterator[dict[str, tuple[Call, Call]]]:
    """Name -> (acquire, release)."""
    found: dict[str, tuple[Call, Call]] = {}
    with contextlib.ExitStack() as stack:
        mutex = stack.enter_context(contextlib.closing(Mutex(f"bench{os.getpid()}")))
        found["namedshm.Mutex"] = (mutex.acquire, mutex.release)
        lock = multiprocessing.Lock()
        found["multiprocessing.Lock"] = (lock.acquire, lock.release)
        if not missing("posix_ipc"):
            import posix_ipc

            posix = posix_ipc.Semaphore(f"/bench{os.getpid()}", posix_ipc.O_CREX, initial_value=1)
            stack.callback(posix.unlink)
            found["posix_ipc.Semaphore"] = (posix.acquire, posix.release)
        if not missing("sysv_ipc"):
            import sysv_ipc

            sysv = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=1)
            stack.callback(sysv.remove)
            found["sysv_ipc.Semaphore"] = (sysv.acquire, sysv.release)
        file = stack.enter_context(tempfile.TemporaryFile("w"))
        found["fcntl.flock"] = (lambda: fcntl.flock(file, fcntl.LOCK_EX), lambda: fcntl.flock(file, fcntl.LOCK_UN))
        yield found


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


def contend(acquire: Call, release: Call, seconds: float, inside: float = 0, outside: float = 0) -> float:
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
    """Nanoseconds from SIGKILL of the holder until the blocked waiter has the mutex."""
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
    return got - start


def contended_table(floor: Callable[..., float], found: dict[str, tuple[Call, Call]], inside: int, outside: int) -> Table:
    title = f"two processes contending, {inside} ns with the lock, {outside} ns without: acquisitions a second"
    # Many short rounds, for the machine's mood changes.
    table = Table(title, PER_SECOND, floor="pthread mutex (C)", ours="namedshm.Mutex", rounds=21)
    table.contenders["pthread mutex (C)"] = partial(floor, "contend-pthread", 0.1, inside, outside)
    table.contenders["namedshm_sync.h (C)"] = partial(floor, "contend-header", 0.1, inside, outside)
    for who in ("namedshm.Mutex", "multiprocessing.Lock"):
        table.contenders[who] = partial(contend, *found[who], 0.1, inside, outside)
    return table


def ping_pong_table(floor: Callable[..., float], count: int, what: str, reference: str, spin: float) -> Table:
    table = Table(
        f"ping-pong of two processes with two events, {what}", NS, floor=f"{reference} (C)", ours="namedshm.Event", rounds=7
    )
    table.contenders[f"{reference} (C)"] = partial(floor, reference, count)
    table.contenders["namedshm.Event"] = partial(ping_pong, count, spin)
    return table


def tables(settings: Settings) -> Iterator[Table]:
    with compiled("sync_floor.c", "-pthread") as floor, locks() as found:
        uncontended = {who: partial(timed, *calls, settings.count(50_000)) for who, calls in found.items()}
        yield Table(
            "uncontended acquire + release",
            NS,
            floor="multiprocessing.Lock",
            ours="namedshm.Mutex",
            rounds=7,
            contenders=uncontended,
            left_out=LEFT_OUT,
        )
        for inside, outside in SECTIONS:
            yield contended_table(floor, found, inside, outside)
        yield ping_pong_table(floor, settings.count(10_000), "sleeping", "pingpong-futex", 0)
        yield ping_pong_table(floor, settings.count(10_000), "spinning", "pingpong-spin", 0.01)
    title = "the holder is killed, until the blocked waiter goes on"
    yield Table(title, US, floor=None, ours=None, rounds=50, contenders={"namedshm.Mutex": abandonment})
