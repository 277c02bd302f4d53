"""A random storm over mutexes, events and semaphores: see storm.c for what its oracle proves.

`python -m tests.crash_sync.storm` is the long form.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers
from .storm import WITHOUT_NAPS

ROUNDS = int(os.environ.get("NSHM_STORM_ROUNDS", "350"))


SANDBOX = Path(__file__).resolve().parent.parent / "helpers" / "sandbox.py"


def run_storm(program: Path, rounds: int, seed: int, *before: str | Path, **environment: str) -> dict[str, float]:
    command = [*before, program, str(rounds), str(seed), "400"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=500, env={**os.environ, **environment})
    assert run.returncode == 0, run.stderr + run.stdout
    return numbers(run.stdout)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_with_kills_doubles_loses_and_hides_nothing(program: Callable[..., Path], seed: int) -> None:
    seen = run_storm(program("storm"), ROUNDS, seed)
    # the storm was one: each kind of end happened, and waits of each kind
    assert seen["rounds"] == ROUNDS
    for what in ("taken", "timeouts", "anys", "alls", "kills", "selfkills", "abandoned"):
        assert seen[what] > ROUNDS / 2, what
    for what in ("thread_ends", "exits", "execs"):
        assert seen[what] > 0, what


def test_a_storm_among_others_on_the_same_machine(program: Callable[..., Path]) -> None:
    """Without namespaces of its own, in the IPC and PID namespaces of everybody else."""
    seen = run_storm(program("storm"), 60, 3, NSHM_TEST_NO_NAMESPACE="1")
    assert not seen["isolated"]
    assert seen["taken"] > 60


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_a_storm_where_the_kernel_has_no_futex_waitv(program: Callable[..., Path], error: str) -> None:
    seen = run_storm(program("storm"), 120, 4, sys.executable, SANDBOX, error)
    for what in ("taken", "anys", "alls", "kills", "abandoned"):
        assert seen[what] > 60, what


def test_a_storm_in_which_nobody_looks_by_himself(program: Callable[..., Path]) -> None:
    """Naps last an hour, and everybody waits for one object at a time: every wake-up comes, from who owes it or from the kernel."""
    seen = run_storm(program("storm", WITHOUT_NAPS), 2 * ROUNDS, 5, NSHM_STORM_SINGLE="1")
    assert seen["rounds"] == 2 * ROUNDS
    assert seen["anys"] == seen["alls"] == 0
    assert seen["selfkills"] > ROUNDS
