"""Wake-ups under kills, by turns: see turns.c."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import build, changed, numbers

TRIALS = int(os.environ.get("NSHM_TURNS", "400"))


@pytest.mark.parametrize("kind", [[], ["chunk"]], ids=["inline", "chunk"])
def test_nobody_sleeps_on_what_is_there_whoever_is_killed(program: Callable[..., Path], kind: list[str]) -> None:
    run = subprocess.run([program("turns"), str(TRIALS), "1", *kind], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["kills"] > TRIALS / 3
    assert seen["selfkills"] > TRIALS / 6
    assert seen["known"] <= TRIALS / 25, "the two windows that are left to a nap are small"


def loops(program: Path, trials: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, str(trials), "1", "loops"], capture_output=True, text=True, timeout=500)


def test_event_loops_pass_on_what_they_do_not_take(program: Callable[..., Path]) -> None:
    run = loops(program("turns"), TRIALS)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["cancelled"] > TRIALS / 6
    assert seen["known"] <= TRIALS / 10, "an event loop that is killed between being woken and passing on"


def test_a_wake_up_that_is_not_passed_on_is_noticed(tmp_path: Path) -> None:
    passing = "    if (what == NSHM_AWAIT_MESSAGE && !nshm__queue_nothing(q)) nshm__queue_alert(&h->put.lock, 1);\n"
    include = changed(tmp_path / "include", [(passing, "    if (what < 0) nshm__queue_alert(&h->put.lock, 1);\n")])
    run = loops(build("turns", tmp_path, include=include), 4 * TRIALS)
    assert run.returncode == 1, run.stdout
    assert numbers(run.stdout)["late"]
