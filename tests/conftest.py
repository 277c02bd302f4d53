r"""Fixtures of all suites, and the check that a run leaves nothing behind.

Every run has a Local\ namespace (and a Global\ one) of its own: NAMEDSHM_SESSION is set here, before anything imports namedshm.
Within the run each test takes a name of its own from the ``name`` fixture.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["NAMEDSHM_SESSION"] = f"test-{os.getpid()}"
# What a shell without a terminal starts in the background ignores Ctrl-C, and so would the processes of tests that send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers.facts import on_linux, required
from helpers.peer import Pool, _Lender, born
from helpers.turns import until

_numbers = itertools.count()

#: Tests that may not run beside others: folders, files.  Single tests have the marker themselves.
ALONE = {
    "rights": "other users, the machine's configuration and its table of segments",
    "unit/test_endurance.py": "counts what grows in this process and in the system",
    "unit/test_exhaustion.py": "takes all there is of something",
    "arrow/test_endurance.py": "counts what grows",
    "arrays/test_lasting.py": "counts what grows",
    "backends": "drives programs with windows under Wine, against the clock",
    "wine": "the same",
    "copying/test_copy.py": "signals must come in the midst of copies, which take as long as the cores are free",
    "copying/test_huge_pages.py": "changes a setting of the machine, counts all of its shared memory",
    "unit/test_benchmarks.py": "measures",
}


#: Seconds for a test in a folder of those that kill: each waits for a program that uses a core for long, beside others.
LONG = 540


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).resolve().parent
    for item in items:
        path = item.path.relative_to(here)
        if path.parts[0].startswith("crash") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG))
        if path.parts[0] in ALONE or path.as_posix() in ALONE:
            item.add_marker("alone")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name no other test uses."""
    return f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def names() -> Callable[[], str]:
    """names() is one more name that no other test uses."""
    return lambda: f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture
def peers(pool: Pool) -> Iterator[_Lender]:
    """peers() is another process (helpers.peer.Peer); it is checked for leftovers when the test ends."""
    with pool.several() as lender:
        yield lender


# ---------------------------------------------------------------------------------------------------- nothing is left behind
def _segments() -> dict[int, dict[str, int]]:
    with open("/proc/sysvipc/shm", encoding="ascii") as file:
        columns = file.readline().split()
        rows = [dict(zip(columns, map(int, line.split()), strict=False)) for line in file]
    return {row["shmid"]: row for row in rows}


def _attached_here() -> set[int]:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return {int(line.split()[4]) for line in file if "/SYSV" in line}


def _dev_shm() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def _children() -> set[int]:
    """Processes below this one that have not ended; orphans come here too (helpers.peer), and the ended ones are buried."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
            found.update(map(int, file.read().split()))
    return {child for child in found if os.waitpid(child, os.WNOHANG) == (0, 0)}


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """No segment, process or file of this run outlives it.  Other runs may go on meanwhile: theirs are not counted, unless
    NAMEDSHM_ALONE=1 says that there are none."""
    if not on_linux:
        yield
        return
    segments, files = set(_segments()), _dev_shm()
    yield
    gc.collect()
    # A worker of pytest-xdist has its brothers beside it: ./run-tests looks at the whole machine when all have ended.
    alone = required("NAMEDSHM_ALONE") and "PYTEST_XDIST_WORKER" not in os.environ
    here = _attached_here()
    left = {
        number: row
        for number, row in _segments().items()
        if number not in segments and number not in here and (alone or row["cpid"] in born)
    }
    assert not left, f"segments of this run are left: {left}"
    new = {file for file in _dev_shm() - files if alone or "nshm" in file or "namedshm" in file}
    assert not new, f"files in /dev/shm are left: {new}"
    # The pool's processes have ended: this fixture is set up before it and torn down after it.  Orphans of killed peers may
    # still be on their way.
    until(lambda: not _children(), "the end of every process of this run")
