"""What creating and opening costs, and many names, and a whole process.

Every contender runs as a process of its own (_contenders.py): create + map + write + close, open + map + read + close.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

from ._runner import MS, ROOT, US, Settings, Table, child, compiled, missing, printed

PEERS = {
    "namedshm": "namedshm",
    "stdlib": "multiprocessing",
    "posix_ipc": "posix_ipc",
    "sysv_ipc": "sysv_ipc",
    "membridge": "membridge",
}
LEFT_OUT = {peer: reason for peer, module in PEERS.items() if (reason := missing(module))}
TAKING_PART = [peer for peer in PEERS if peer not in LEFT_OUT]
Floor = Callable[..., float]


def create_table(floor: Floor, count: int) -> Iterator[Table]:
    bare = "floor: one bare segment"
    table = Table("create + map + write + close, 4 KiB", US, floor=bare, ours="namedshm", left_out=LEFT_OUT)
    table.contenders[bare] = partial(floor, "create", count)
    for peer in TAKING_PART:
        table.contenders[peer] = partial(printed, *child("_contenders", peer, "create", count, 4096))
    table.contenders["namedshm.h (C)"] = partial(floor, "c-create", count)
    yield table


@contextlib.contextmanager
def holding(peer: str, name: str) -> Iterator[None]:
    """A process has the name."""
    command = child("_contenders", peer, "hold", name, 4096)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate("")


def open_table(floor: Floor, count: int) -> Iterator[Table]:
    bare = "floor: one bare attachment"
    table = Table("open + map + read + close of a living one, 4 KiB", US, floor=bare, ours="namedshm", left_out=LEFT_OUT)
    table.contenders[bare] = partial(floor, "open", count)
    table.contenders["two bare attachments"] = partial(floor, "open2", count)
    with contextlib.ExitStack() as holders:
        for peer in TAKING_PART:
            name = f"hold{os.getpid()}{peer[:2]}"
            holders.enter_context(holding(peer, name))
            table.contenders[peer] = partial(printed, *child("_contenders", peer, "open", count, name))
        table.contenders["namedshm.h (C)"] = partial(floor, "c-open", count)
        yield table


PROCESS = "import namedshm; s = namedshm.create('bench-process', 4096); v = s.map(); v[:5] = b'hello'; s.close()"
STDLIB = (
    "from multiprocessing.shared_memory import SharedMemory as S; "
    "s = S(create=True, size=4096); s.buf[:5] = b'hello'; s.close(); s.unlink()"
)
CLOCK = (
    "import subprocess, sys, time; t = time.perf_counter_ns(); "
    "subprocess.run(sys.argv[1:], check=True); print(time.perf_counter_ns() - t)"
)


def process_table() -> Iterator[Table]:
    """A whole interpreter: start, import, create, write, end."""

    def measured(code: str) -> float:
        return min(printed(sys.executable, "-c", CLOCK, sys.executable, "-c", code) for _ in range(5))

    codes = {"python -c pass": "pass", "namedshm": PROCESS, "stdlib": STDLIB}
    contenders: dict[str, Callable[[], float]] = {who: partial(measured, code) for who, code in codes.items()}
    yield Table("a whole process: python -c", MS, floor="python -c pass", ours="namedshm", contenders=contenders)


#: Each prints what one of so many names cost in ns; they all live until the process ends.
MANY = {
    "namedshm": """
import sys, time, namedshm
n = int(sys.argv[1])
t = time.perf_counter_ns()
held = [(s := namedshm.create(f"many{i}", 4096), s.map()) for i in range(n)]
a = time.perf_counter_ns()
opened = [(s := namedshm.open(f"many{i}"), s.map()) for i in range(n)]
b = time.perf_counter_ns()
print({"create": a - t, "open": b - a}[sys.argv[2]] / n)
""",
    "posix_ipc": """
import mmap, os, sys, time, posix_ipc
n, name = int(sys.argv[1]), f"/many{os.getpid()}-"
def mapped(memory):
    view = mmap.mmap(memory.fd, 4096)
    memory.close_fd()
    return view
try:
    t = time.perf_counter_ns()
    held = [mapped(posix_ipc.SharedMemory(name + str(i), posix_ipc.O_CREX, size=4096)) for i in range(n)]
    a = time.perf_counter_ns()
    opened = [mapped(posix_ipc.SharedMemory(name + str(i))) for i in range(n)]
    b = time.perf_counter_ns()
finally:
    for i in range(n):
        posix_ipc.unlink_shared_memory(name + str(i))
print({"create": a - t, "open": b - a}[sys.argv[2]] / n)
""",
}
DESCRIPTORS = 4096  # mmap.mmap keeps one of its own for each mapping


def many(peer: str, count: int, what: str) -> float:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = (DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard), hard)
    raised = partial(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
    done = subprocess.run([sys.executable, "-c", MANY[peer], str(count), what], preexec_fn=raised, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{what} {count} names of {peer}: {done.stderr}")
    return float(done.stdout)


def many_tables() -> Iterator[Table]:
    """What one name costs among many that live at once, mapped."""
    for what in ("create", "open"):
        left_out = {peer: LEFT_OUT[peer] for peer in MANY if peer in LEFT_OUT}
        table = Table(
            f"{what} one of many living names, mapped",
            US,
            floor="namedshm, of 100",
            ours="namedshm, of 1000",
            rounds=7,
            left_out=left_out,
        )
        for peer in [peer for peer in MANY if peer in TAKING_PART]:
            for count in (100, 1000):
                table.contenders[f"{peer}, of {count}"] = partial(many, peer, count, what)
        yield table


def tables(settings: Settings) -> Iterator[Table]:
    count = settings.count(3000)
    with compiled("lifecycle_floor.c") as floor:
        yield from create_table(floor, count)
        yield from open_table(floor, count)
    yield from process_table()
    yield from many_tables()
