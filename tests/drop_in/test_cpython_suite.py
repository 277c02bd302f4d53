"""CPython's own tests of shared memory and queues, as installed with this interpreter, pass; but for these, for these reasons."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.facts import on_linux, required

HERE = Path(__file__).parent
RUNNER, OF_QUEUES = HERE / "cpython_suite.py", HERE / "cpython_queues.py"
TIME = 280  # seconds: starting dozens of interpreters takes long on busy cores
pytestmark = pytest.mark.timeout(TIME + 20)
METHODS = ["fork", "spawn", "forkserver"] if on_linux else ["spawn"]

#: Tests that fail by design: what they end with, and why.  A name that this Python's suite lacks belongs to another version's.
#: On Windows, where the standard library's blocks have the lifetime that ours have everywhere, only those about unpickling do.
UNPICKLING = (
    r"AssertionError: FileNotFoundError not raised",
    "unpickling what has gone does not raise, because that ends or hangs pools: the first use of what it gives does",
)
EVERYWHERE = {
    "test_shared_memory_pickle_unpickle_dead_object": UNPICKLING,
    "test_shared_memory_ShareableList_pickling_dead_object": UNPICKLING,
}
BY_DESIGN = {
    **EVERYWHERE,
    "test_shared_memory_cleaned_after_process_termination": (
        r"AssertionError: 'resource_tracker: There appear to be 1 leaked shared_memory objects .* not found in ''",
        "nothing is left when the holder was killed, which the test checks first; then it wants to hear of it from the tracker",
    ),
    "test_shared_memory_tracking": (
        r"AssertionError: b'resource_tracker: There appear to be 1 leaked shared_memory objects .* not found in b''",
        "the tracker is to destroy a block that another process only opened and closed; there is none",
    ),
}


#: The same of queues, on every system.  The feeder thread is what hands objects over in the background there.
QUEUES_BY_DESIGN = {
    "test_closed_queue_empty_exceptions": (
        r"ClosedHandle: .* is closed",
        "close() closes, also a queue that nobody has used yet, whose close() does nothing there",
    ),
    "test_put": (r"AssertionError: False != True", "6 objects do not fill a queue of maxsize 6: it is rounded up to 8"),
    "test_queue_feeder_donot_stop_onexc": (
        r"AttributeError",
        "what cannot be pickled is told by put(), and not by a thread on stderr",
    ),
    "test_queue_feeder_on_queue_feeder_error": (
        r"unexpected keyword argument 'ctx'",
        "the hook for what the feeder thread cannot pickle: put() raises it",
    ),
}


@pytest.fixture(scope="module", params=METHODS)
def outcomes(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    return run(RUNNER, request.param)


@pytest.fixture(scope="module", params=METHODS)
def outcomes_of_queues(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    return run(OF_QUEUES, request.param)


def run(runner: Path, method: str) -> dict[str, list[str]]:
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test._test_multiprocessing") is None:
        reason = "this Python was installed without its tests (Debian: apt-get install libpython3-testsuite)"
        assert not (on_linux and required("NAMEDSHM_REQUIRE_CPYTHON_TESTS")), reason  # the Windows Python used here never has them
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, str(runner), method],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def test_every_test_passes_but_those_that_differ_by_design(outcomes: dict[str, list[str]]) -> None:
    assert len(outcomes) >= 13
    failed = {name: text for name, (outcome, text) in outcomes.items() if outcome == "failed"}
    assert not {name: text for name, text in failed.items() if name not in (BY_DESIGN if on_linux else EVERYWHERE)}
    skipped = {name for name, (outcome, _) in outcomes.items() if outcome == "skipped"}
    assert not (on_linux and skipped), "nothing is left out"


@pytest.mark.skipif(not on_linux, reason="elsewhere all pass")
def test_those_that_differ_fail_for_the_reason_given(outcomes: dict[str, list[str]]) -> None:
    for name, (pattern, _) in BY_DESIGN.items():
        if name in outcomes:
            outcome, text = outcomes[name]
            assert outcome == "failed", f"{name} passes: take it off the list"
            assert re.search(pattern, text, re.DOTALL), text
    assert set(BY_DESIGN) & set(outcomes)


def test_every_test_of_queues_passes_but_those_that_differ_by_design(outcomes_of_queues: dict[str, list[str]]) -> None:
    assert len(outcomes_of_queues) >= 9
    failed = {name: text for name, (outcome, text) in outcomes_of_queues.items() if outcome == "failed"}
    assert not {name: text for name, text in failed.items() if name not in QUEUES_BY_DESIGN}
    for name, (pattern, _) in QUEUES_BY_DESIGN.items():
        if name in outcomes_of_queues:
            assert re.search(pattern, failed.get(name, f"{name} passes: take it off the list")), failed
    assert not {name for name, (outcome, _) in outcomes_of_queues.items() if outcome == "skipped"}, "nothing is left out"


def test_the_documentation_lists_those_that_differ() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "migration.md"
    if not page.exists():
        pytest.skip("runs from a checkout")
    text = page.read_text(encoding="utf-8")
    for name in {**BY_DESIGN, **QUEUES_BY_DESIGN}:
        assert f"`{name}`" in text
