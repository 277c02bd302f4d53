"""One operation on mutexes, events and semaphores, killed at each of its points, with others asleep: see step.c.

Here every system call and a sample of the instructions; `python -m tests.crash_sync.step` does all of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

NOT_TRACED = 77
SCENARIOS = {  # one instruction in so many
    "acquire": 20,
    "acquire_again": 15,
    "acquire_what_the_dead_reserved": 100,
    "release": 5,
    "release_one_of_two": 7,
    "release_half": 5,
    "be_woken": 30,
    "be_woken_in_a_wait_for_several": 40,
    "be_woken_by_a_dying_releaser": 30,
    "be_woken_by_a_dying_setter": 30,
    "watch": 40,
    "wait_any": 20,
    "wait_all": 30,
    "wait_all_of_both_scopes": 40,
    "wait_all_recursively": 30,
    "wait_all_what_the_dead_reserved": 30,
    "set": 7,
    "set_manual": 7,
    "set_what_the_dead_reserved": 100,
    "reset": 5,
    "pulse": 5,
    "release_semaphore": 5,
    "create_owned": 50,
}


def test_all_scenarios_are_known_here(program: Callable[..., Path]) -> None:
    assert subprocess.run([program("step"), "list"], capture_output=True, text=True, check=True).stdout.split() == list(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_anywhere_leaves_usable_objects_and_no_sleeper_behind(program: Callable[..., Path], scenario: str) -> None:
    command = [program("step"), scenario, str(SCENARIOS[scenario])]
    run = subprocess.run(command, capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_TRACED:
        pytest.skip("ptrace is not permitted here")
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["runs"] > 0
