"""A random storm over a queue, four producers and four consumers, with kills: see storm.c for what its oracle proves.

`python -m tests.crash_queue.storm` is the long form.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers
from .storm import KINDS

ROUNDS = int(os.environ.get("NSHM_STORM_ROUNDS", "15"))
CHUNKS = {"chunk", "mixed", "ack"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_with_kills_loses_doubles_tears_and_reorders_nothing(program: Callable[..., Path], kind: str) -> None:
    run = subprocess.run([program("storm"), str(ROUNDS), "1", "400", kind], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    # the storm was one: each kind of end happened, and waits ended in each way
    assert seen["rounds"] == ROUNDS
    for what in ("messages", "kills", "selfkills", "timeouts", *(("loans",) if kind in CHUNKS else ())):
        assert seen[what] > 5 * ROUNDS, what
    assert seen["taken_along" if kind != "ack" else "redelivered"] > 0


def test_a_storm_among_others_on_the_same_machine(program: Callable[..., Path]) -> None:
    """Without namespaces of its own, in the IPC and PID namespaces of everybody else."""
    environment = {**os.environ, "NSHM_TEST_NO_NAMESPACE": "1"}
    run = subprocess.run([program("storm"), "3", "3", "400", "mixed"], capture_output=True, text=True, timeout=500, env=environment)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["kills"] > 100
