"""Runs benchmarks: takes turns, makes ratios, prints tables, writes facts.  What is measured is in the other modules.

A slow minute of the machine must not hit one contender alone.  So the contenders of a table are measured in turns, one value each a
round; a ratio is made of two values of the same round, and quoted is the median of these ratios with their quartiles.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
#: Distributions whose versions are told, where they are installed.
LIBRARIES = (
    *("namedshm", "numpy", "pyarrow", "posix_ipc", "sysv_ipc", "membridge", "vineyard", "ray"),
    *("faster-fifo", "pyzmq", "eclipse-zenoh", "iceoryx2", "kickmsg", "cloudtoid-interprocess", "subetha-ipc"),
)


class LeftOut(Exception):
    """A benchmark cannot be run here; the text says why."""


class GivesUp(Exception):
    """A contender cannot do what is asked of it; the text says why.  The table goes on without it, unless it is what others are
    compared with."""


# ---------------------------------------------------------------------------------------------------- what a benchmark uses
@dataclass(frozen=True)
class Unit:
    """How values are shown: divided by `scale`.  Measurements return nanoseconds, or operations per second."""

    name: str
    scale: float
    best: Callable[[list[float]], float] = min

    def text(self, value: float) -> str:
        amount = value / self.scale
        return f"{amount:,.{2 if amount < 1000 else 0}f} {self.name}"


NS, US, MS = Unit("ns", 1), Unit("us", 1e3), Unit("ms", 1e6)
PER_SECOND = Unit("k/s", 1e3, max)


@dataclass(frozen=True)
class Settings:
    rounds: int | None = None  # instead of each table's own number
    quick: bool = False
    mib: int | None = None

    def size(self, usual: int) -> int:
        """Bytes of large data, where `usual` MiB are the default."""
        return (self.mib or (min(8, usual) if self.quick else usual)) << 20

    def count(self, usual: int) -> int:
        """How often to repeat an operation for one value."""
        return max(1, usual // 10) if self.quick else usual

    def rounds_of(self, table: Table) -> int:
        return self.rounds or (min(3, table.rounds) if self.quick else table.rounds)


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios within a round, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        median, low, high = (f"{value:,.{2 if value < 100 else 0}f}" for value in (self.median, self.low, self.high))
        return f"{median} ({low}..{high})"


@dataclass
class Table:
    """Contenders for one task.  A contender is a call that makes one measurement and returns its value.

    The runner measures a table when it is yielded, before the generator goes on: what the contenders need lives around the yield.
    """

    title: str
    unit: Unit
    floor: str | None  # a contender: the bare system, or what else the ratios are to
    ours: str | None  # a contender: namedshm
    rounds: int = 15
    warm_up: int = 0  # rounds before, whose values are dropped
    contenders: dict[str, Callable[[], float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # contender: why
    remarks: dict[str, str] = field(default_factory=dict)  # contender: what its figures must not be read without
    values: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, rounds: int) -> None:
        self.values = {who: [] for who in self.contenders}
        for number in range(-self.warm_up, rounds):
            for who, measure in self.contenders.items():
                if who in self.left_out:
                    continue
                try:
                    value = measure()
                except GivesUp as error:
                    if who in (self.floor, self.ours):
                        raise
                    self.left_out[who] = str(error)
                    del self.values[who]
                    continue
                if number >= 0:
                    self.values[who].append(value)

    def ratio(self, who: str, to: str) -> Ratio:
        ratios = [a / b for a, b in zip(self.values[who], self.values[to], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        return Ratio(median, low, high)

    def references(self) -> dict[str, str]:
        """The columns of ratios: title and contender."""
        return {title: who for title, who in (("floor", self.floor), ("namedshm", self.ours)) if who is not None}

    def show(self) -> str:
        columns = self.references()
        lines = [self.title, f"{'':40}{'best':>14}{'median':>14}" + "".join(f"{'/ ' + title:>22}" for title in columns)]
        for who, values in self.values.items():
            amounts = (self.unit.text(value) for value in (self.unit.best(values), statistics.median(values)))
            ratios = ("1" if who == to else str(self.ratio(who, to)) for to in columns.values())
            shown = f"{who} *" if who in self.remarks else who
            lines.append(f"{shown:40}" + "".join(f"{text:>14}" for text in amounts) + "".join(f"{text:>22}" for text in ratios))
        lines += [f"* {who}: {remark}" for who, remark in self.remarks.items()]
        lines += [f"left out: {who}: {why}" for who, why in self.left_out.items()]
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "unit": self.unit.name,
            **self.references(),
            "left_out": self.left_out,
            "remarks": self.remarks,
            "contenders": {
                who: {
                    "values": [value / self.unit.scale for value in values],
                    **{f"to_{title}": vars(self.ratio(who, to)) for title, to in self.references().items()},
                }
                for who, values in self.values.items()
            },
        }


def missing(module: str) -> str:
    """Why a library does not take part, or nothing."""
    return "" if importlib.util.find_spec(module) else "not installed"


@contextlib.contextmanager
def compiled(source: str, *flags: str) -> Iterator[Callable[..., float]]:
    """A C program of this folder: called with arguments, it runs and gives the number that it prints."""
    if not shutil.which("gcc"):
        raise LeftOut("there is no gcc to compile its floor")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        subprocess.run(["gcc", "-O2", "-I", ROOT / "include", HERE / source, "-o", program, *flags], check=True)
        yield lambda *arguments: printed(program, *arguments)


def printed(*command: object) -> float:
    """The number that a command prints."""
    return float(subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)


def child(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of this folder in a Python of its own, with ROOT as its working directory."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


# ---------------------------------------------------------------------------------------------------- running
def benchmarks() -> dict[str, str]:
    """Name and first sentence of each."""
    found = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("_"))
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0] for path in found}


def machine() -> dict[str, Any]:
    cpu = platform.machine()
    with contextlib.suppress(FileNotFoundError):  # a file of Linux
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
    versions = {}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
    }


def run(name: str, settings: Settings) -> list[dict[str, Any]]:
    """Measure and print the tables of one benchmark; the result is their facts."""
    facts: list[dict[str, Any]] = []
    try:
        module = importlib.import_module(f"benchmarks.{name}")
        for table in module.tables(settings):
            table.measure(settings.rounds_of(table))
            print(f"\n{name}: {table.show()}", flush=True)
            facts.append({"benchmark": name, **table.facts()})
    except LeftOut as error:
        print(f"\nleft out: {name}: {error}", flush=True)
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in ("benchmarks", "namedshm"):
            raise
        print(f"\nleft out: {name}: {error.name} is not installed", flush=True)
    return facts


def main() -> None:
    known = benchmarks()
    options = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures namedshm beside other libraries and bare C, in turns.  What is not installed is left out.",
        epilog="\n".join(["benchmarks:", *(f"  {name:12}{about}" for name, about in known.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    options.add_argument("--rounds", type=int, help="rounds of every table (default: each table's own number, 7 to 50)")
    options.add_argument("--mib", type=int, help="size of large data (default: 64; copying 256)")
    options.add_argument("--quick", action="store_true", help="few rounds and little data: to see that it works, not for figures")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all values, the ratios and the machine's facts")
    chosen = options.parse_args()
    for name in chosen.names:
        if name not in known:
            options.error(f"there is no benchmark {name!r}, but {', '.join(known)}")
    for option in ("rounds", "mib"):
        if (value := getattr(chosen, option)) is not None and value < 1:
            options.error(f"--{option} is at least 1")

    here = machine()
    versions = ", ".join(f"{library} {version}" for library, version in here["versions"].items())
    print(f"{here['kernel']}, {here['cpu']}, {here['cores']} cores, {here['python']}\n{versions}", flush=True)
    settings = Settings(chosen.rounds, chosen.quick, chosen.mib)
    tables = []
    for name in chosen.names or known:
        # Each in a process of its own: some fork, which must not happen beside another's threads, and all fill their heap.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            tables += process.submit(run, name, settings).result()
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": here, "tables": tables}, indent=1) + "\n", "utf-8")
