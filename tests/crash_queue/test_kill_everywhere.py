"""One operation on a queue, killed at each of its points, with another asleep: see step.c.

Here every system call and a sample of the instructions; `python -m tests.crash_queue.step` does all of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

NOT_TRACED = 77
SCENARIOS = {  # one instruction in so many
    "put": 5,
    "put_to_a_sleeper": 5,
    "put_many": 7,
    "put_many_to_a_sleeper": 7,
    "put_in_a_chunk": 7,
    "put_in_a_chunk_to_a_sleeper": 10,
    "put_over_the_oldest": 15,
    "loan_and_commit": 7,
    "loan_and_abandon": 5,
    "take": 5,
    "take_from_a_full_queue": 5,
    "take_many": 7,
    "take_and_release": 5,
    "take_and_release_the_last_chunk": 7,
    "take_many_chunks": 10,
    "take_and_acknowledge": 7,
    "take_acknowledge_and_abandon": 7,
    "take_and_return": 7,
    "open_and_close": 60,
    "sweep": 15,
    "take_what_the_dead_had": 20,
    "shut_down": 10,
    "be_woken": 13,
    "be_woken_by_room": 17,
}
#: Instructions between a wake-up and the taking, in which a kill may take the wake-up along.
WINDOW = 150


def test_all_scenarios_are_known_here(program: Callable[..., Path]) -> None:
    assert subprocess.run([program("step"), "list"], capture_output=True, text=True, check=True).stdout.split() == list(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_anywhere_leaves_a_usable_queue_and_no_sleeper_behind(program: Callable[..., Path], scenario: str) -> None:
    stride = SCENARIOS[scenario]
    run = subprocess.run([program("step"), scenario, str(stride)], capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_TRACED:
        pytest.skip("ptrace is not permitted here")
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["runs"] > 15
    assert seen["late"] <= (WINDOW / stride if scenario.startswith("be_woken") else 0)
