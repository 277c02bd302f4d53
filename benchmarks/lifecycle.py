"""What creating and opening costs, against the peers and the bare system calls, as ratios of one run.

    python benchmarks/lifecycle.py [--rounds 15] [--count 3000] [--json FILE]

Needs: pip install '.[bench]' and gcc.  Every contender runs as a process of its own; the rounds interleave them, so that a slow
minute of the machine hits all alike.  Quoted is the median over the rounds of the ratio within a round, and the smallest time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PEERS = ["namedshm", "stdlib", "posix_ipc", "sysv_ipc", "membridge"]


def run(*command: str | Path) -> float:
    return float(subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout)


def build(folder: Path) -> Path:
    binary = folder / "floor"
    subprocess.run(["gcc", "-O2", "-I", HERE.parent / "include", HERE / "floor.c", "-o", binary], check=True)
    return binary


class Table:
    """Times of one operation: a list per contender, one number a round."""

    def __init__(self, title: str, floor: str) -> None:
        self.title, self.floor = title, floor
        self.times: dict[str, list[float]] = {}

    def add(self, who: str, nanoseconds: float) -> None:
        self.times.setdefault(who, []).append(nanoseconds)

    def ratio(self, who: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(self.times[who], self.times[to], strict=True))

    def show(self) -> None:
        print(f"\n{self.title}\n{'':28}{'best':>10}{'/ floor':>10}{'/ namedshm':>12}")
        for who, times in self.times.items():
            to_floor, to_us = self.ratio(who, self.floor), self.ratio(who, "namedshm")
            print(f"{who:28}{min(times) / 1000:8.2f}us{to_floor:10.2f}{to_us:12.2f}")

    def facts(self) -> dict[str, dict[str, float]]:
        return {
            who: {"best_us": min(t) / 1000, "to_floor": self.ratio(who, self.floor), "to_namedshm": self.ratio(who, "namedshm")}
            for who, t in self.times.items()
        }


def create_table(floor: Path, peers: list[str], rounds: int, count: int) -> Table:
    table = Table("create + map + write + close, 4 KiB", "floor: one bare segment")
    for _ in range(rounds):
        table.add("floor: one bare segment", run(floor, "create", str(count)))
        for peer in peers:
            table.add(peer, run(sys.executable, HERE / "contenders.py", peer, "create", str(count), "4096"))
        table.add("namedshm.h (C)", run(floor, "c-create", str(count)))
    return table


def open_table(floor: Path, peers: list[str], rounds: int, count: int) -> Table:
    table = Table("open + map + read + close of a living one, 4 KiB", "floor: one bare attachment")
    holders = {}
    for peer in peers:
        name = f"hold{os.getpid()}"
        holder = subprocess.Popen(
            [sys.executable, HERE / "contenders.py", peer, "hold", f"{name}{peer[:2]}", "4096"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holders[peer] = (holder, f"{name}{peer[:2]}")
    try:
        for _ in range(rounds):
            table.add("floor: one bare attachment", run(floor, "open", str(count)))
            table.add("two bare attachments", run(floor, "open2", str(count)))
            for peer in peers:
                table.add(peer, run(sys.executable, HERE / "contenders.py", peer, "open", str(count), holders[peer][1]))
            table.add("namedshm.h (C)", run(floor, "c-open", str(count)))
    finally:
        for holder, _ in holders.values():
            holder.communicate("")
    return table


PROCESS = "import namedshm; s = namedshm.create('bench-process', 4096); v = s.map(); v[:5] = b'hello'; s.close()"
STDLIB = (
    "from multiprocessing.shared_memory import SharedMemory as S; "
    "s = S(create=True, size=4096); s.buf[:5] = b'hello'; s.close(); s.unlink()"
)
CLOCK = (
    "import subprocess, sys, time; t = time.perf_counter_ns(); "
    "subprocess.run(sys.argv[1:], check=True); print(time.perf_counter_ns() - t)"
)


def process_table(rounds: int) -> Table:
    """A whole interpreter: start, import, create, write, end."""
    table = Table("a whole process: python -c", "python -c pass")
    for _ in range(rounds):
        for label, code in (("python -c pass", "pass"), ("namedshm", PROCESS), ("stdlib", STDLIB)):
            times = [run(sys.executable, "-c", CLOCK, sys.executable, "-c", code) for _ in range(5)]
            table.add(label, min(times))
    return table


def linear(counts: tuple[int, ...] = (100, 1000)) -> dict[int, tuple[float, float]]:
    """Microseconds per name to create, and to open, many names that live at once."""
    code = """
import sys, time, namedshm
n = int(sys.argv[1])
t = time.perf_counter_ns()
held = [namedshm.create(f"many{i}", 4096) for i in range(n)]
a = time.perf_counter_ns()
opened = [namedshm.open(f"many{i}") for i in range(n)]
b = time.perf_counter_ns()
print((a - t) / n / 1000, (b - a) / n / 1000)
"""
    found = {}
    for count in counts:
        best = [
            tuple(
                float(x)
                for x in subprocess.run(
                    [sys.executable, "-c", code, str(count)], check=True, capture_output=True, text=True
                ).stdout.split()
            )
            for _ in range(7)
        ]
        found[count] = (min(b[0] for b in best), min(b[1] for b in best))
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--count", type=int, default=3000, help="operations per round and contender")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    peers = [peer for peer in PEERS if peer == "stdlib" or importlib.util.find_spec(peer)]
    for peer in set(PEERS) - set(peers):
        print(f"not installed, left out: {peer}")
    with tempfile.TemporaryDirectory() as folder:
        floor = build(Path(folder))
        tables = [
            create_table(floor, peers, chosen.rounds, chosen.count),
            open_table(floor, peers, chosen.rounds, chosen.count),
            process_table(chosen.rounds),
        ]
    for table in tables:
        table.show()
    names = linear()
    print("\nmany living names, microseconds each")
    for count, (made, opened) in names.items():
        print(f"{count:8} names: create {made:.1f}, open {opened:.1f}")
    if chosen.json:
        facts = {table.title: table.facts() for table in tables} | {"linear": names}
        chosen.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
