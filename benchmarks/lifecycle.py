"""What creating and opening costs, and many names, and a whole process.

Every contender runs as a process of its own (_contenders.py): create + map + write + close, open + map + read + close.
"""

from __future__ import annotations

import contextlib
import os
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


MANY = """
import sys, time, namedshm
n = int(sys.argv[1])
t = time.perf_counter_ns()
held = [namedshm.create(f"many{i}", 4096) for i in range(n)]
a = time.perf_counter_ns()
opened = [namedshm.open(f"many{i}") for i in range(n)]
b = time.perf_counter_ns()
print({"create": a - t, "open": b - a}[sys.argv[2]] / n)
"""


def many_tables() -> Iterator[Table]:
    """What one name costs among many that live at once."""
    for what in ("create", "open"):
        contenders = {f"of {count} names": partial(printed, sys.executable, "-c", MANY, count, what) for count in (100, 1000)}
        yield Table(f"{what} one of many living names", US, floor="of 100 names", ours=None, rounds=7, contenders=contenders)


def tables(settings: Settings) -> Iterator[Table]:
    count = settings.count(3000)
    with compiled("lifecycle_floor.c") as floor:
        yield from create_table(floor, count)
        yield from open_table(floor, count)
    yield from process_table()
    yield from many_tables()
