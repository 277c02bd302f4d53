"""A random storm of processes that are killed at any moment: see storm.c for what its oracle proves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

ROUNDS = int(os.environ.get("NSHM_STORM_ROUNDS", "500"))


def run_storm(program: Path, rounds: int, seed: int, **environment: str) -> dict[str, float]:
    run = subprocess.run(
        [program, str(rounds), str(seed), "400"], capture_output=True, text=True, timeout=500, env={**os.environ, **environment}
    )
    assert run.returncode == 0, run.stderr + run.stdout
    return numbers(run.stdout)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_with_kills_loses_doubles_and_leaves_nothing(program: Callable[[str], Path], seed: int) -> None:
    seen = run_storm(program("storm"), ROUNDS, seed)
    # the storm was one: each kind of operation happened, and processes died inside the protocol
    for what in ("creates", "opens", "misses", "exists", "lists", "forks", "kills", "selfkills"):
        assert seen[what] > ROUNDS / 5, what


def test_a_storm_among_others_on_the_same_machine(program: Callable[[str], Path]) -> None:
    """Without namespaces of its own, in the IPC namespace of everybody else."""
    seen = run_storm(program("storm"), 60, 3, NSHM_TEST_NO_NAMESPACE="1")
    assert not seen["isolated"]
    assert seen["creates"] > 60
