"""A random storm over a topic, three writers and five readers, with kills and stops: see storm.c for what its oracle proves.

`python -m tests.crash_topic.storm` is the long form.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers
from .storm import KINDS

ROUNDS = int(os.environ.get("NSHM_STORM_ROUNDS", "10"))
PINNING = {"mixed", "pins", "ends", "tight"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_with_kills_tears_and_loses_nothing(program: Callable[..., Path], kind: str) -> None:
    run = subprocess.run([program("storm"), str(ROUNDS), "1", "400", kind], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    # the storm was one: each kind of thing happened
    assert seen["rounds"] == ROUNDS
    for what in ("published", "reads", "kills", "selfkills", "missed", "waits", *(("pinned",) if kind in PINNING else ())):
        assert seen[what] > 5 * ROUNDS, what
    assert seen["stops"] > ROUNDS
    assert seen["overtaken"] > (0 if kind != "mixed" else -1)


def test_a_storm_among_others_on_the_same_machine(program: Callable[..., Path]) -> None:
    """Without namespaces of its own, in the IPC and PID namespaces of everybody else."""
    environment = {**os.environ, "NSHM_TEST_NO_NAMESPACE": "1"}
    run = subprocess.run([program("storm"), "3", "3", "400", "mixed"], capture_output=True, text=True, timeout=500, env=environment)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["kills"] > 100
