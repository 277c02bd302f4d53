"""One operation on a topic, killed at each of its points, perhaps with another asleep: see step.c.

Here every system call and a sample of the instructions; `python -m tests.crash_topic.step` does all of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

NOT_TRACED = 77
SCENARIOS = {  # one instruction in so many
    "publish": 5,
    "publish_to_a_sleeper": 5,
    "publish_a_frame": 23,
    "publish_a_frame_to_a_sleeper": 23,
    "publish_what_the_dead_kept_back": 23,
    "loan_and_commit": 23,
    "loan_and_abandon": 23,
    "read": 11,
    "read_a_frame": 61,
    "pin_and_release": 61,
    "open_and_close": 83,
    "close_with_all": 13,
    "sweep": 13,
    "end": 3,
    "be_woken": 13,
}
#: Instructions between a change and the wake-up for it, in which a kill leaves sleepers to their nap or to the next value.
WINDOW = 250


def test_all_scenarios_are_known_here(program: Callable[..., Path]) -> None:
    assert subprocess.run([program("step"), "list"], capture_output=True, text=True, check=True).stdout.split() == list(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_anywhere_leaves_a_usable_topic(program: Callable[..., Path], scenario: str) -> None:
    stride = SCENARIOS[scenario]
    run = subprocess.run([program("step"), scenario, str(stride)], capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_TRACED:
        pytest.skip("ptrace is not permitted here")
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["runs"] > 15
    assert seen["late"] <= (10 + WINDOW / stride if scenario.endswith("sleeper") or scenario in ("end", "be_woken") else 0)
