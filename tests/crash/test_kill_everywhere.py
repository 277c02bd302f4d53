"""One operation, killed (or merely stopped, while others act) at each of its points: see step.c for what is checked then.

Here every system call stop and every instruction after which something changed, and a sample of the other instructions;
`python -m tests.crash.step` does all of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

NOT_TRACED = 77

SCENARIOS = [
    "create_in_a_new_world",
    "create_by_a_newcomer",
    "create",
    "create_over_a_dead_entry",
    "create_exclusively_over_a_dead_entry",
    "create_exclusively_what_lives",
    "create_or_open_what_lives",
    "create_with_a_sweep",
    "create_with_a_spare_token",
    "create_with_a_spare_token_shared_with_a_child",
    "create_and_keep_the_view_with_a_shared_spare",
    "create_and_die_slowly",
    "create_behind_a_lock",
    "open",
    "open_by_a_newcomer",
    "open_read_only",
    "open_a_dead_entry",
    "open_a_missing_name",
    "open_then_close",
    "close_the_last_handle",
    "close_the_last_handle_of_all",
    "close_a_second_handle_with_a_spare_token",
    "close_while_a_child_holds",
    "close_keeping_the_view",
    "unmap_the_last_view",
    "duplicate",
    "list",
    "list_a_dead_entry",
    "retire",
    "replace",
    "replace_from_a_slot_before",
    "prepare_and_replace",
    "replace_a_dead_entry",
    "replace_nothing",
]
LONG = {"create_with_a_sweep": 40, "create_behind_a_lock": 4}  # these repeat themselves: one stop in so many
TAKE_THE_LOCK = [name for name in SCENARIOS if name.startswith(("create", "close", "re", "prepare")) or name == "open_a_dead_entry"]
CROSSED = [
    *("close_keeping_the_view", "create_with_a_spare_token", "open_a_dead_entry", "create_over_a_dead_entry"),
    *("retire", "replace", "replace_from_a_slot_before"),
]


def run_step(step: Path, mode: str, scenario: str, stride: int, special_stride: int = 1) -> dict[str, float]:
    run = subprocess.run([step, mode, scenario, str(stride), str(special_stride)], capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_TRACED:
        pytest.skip("ptrace is not permitted here")
    assert run.returncode == 0, run.stderr + run.stdout
    return numbers(run.stdout)


def test_all_scenarios_are_known_here(program: Callable[[str], Path]) -> None:
    assert subprocess.run([program("step"), "list"], capture_output=True, text=True, check=True).stdout.split() == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_anywhere_leaves_a_whole_world(program: Callable[[str], Path], scenario: str) -> None:
    long = LONG.get(scenario, 1)
    assert run_step(program("step"), "kill", scenario, 20 * long, long)["runs"] > 0


@pytest.mark.parametrize("scenario", TAKE_THE_LOCK)
def test_who_waits_for_the_lock_of_a_killed_process_gets_it(program: Callable[[str], Path], scenario: str) -> None:
    long = LONG.get(scenario, 1)
    run_step(program("step"), "waiter", scenario, 30 * long, 2 * long)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_another_process_may_act_at_any_point(program: Callable[[str], Path], scenario: str) -> None:
    long = LONG.get(scenario, 1)
    assert run_step(program("step"), "pause", scenario, 80 * long, 2 * long)["runs"] > 0


@pytest.mark.parametrize("scenario", CROSSED)
def test_two_processes_may_interrupt_each_other_at_any_points(program: Callable[[str], Path], scenario: str) -> None:
    assert run_step(program("step"), "cross", scenario, 40, 3)["runs"] > 0
