"""Wake-ups under kills, by turns: see turns.c."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

TRIALS = int(os.environ.get("NSHM_TURNS", "400"))


@pytest.mark.parametrize("kind", [[], ["chunk"]], ids=["inline", "chunk"])
def test_nobody_sleeps_on_what_is_there_whoever_is_killed(program: Callable[..., Path], kind: list[str]) -> None:
    run = subprocess.run([program("turns"), str(TRIALS), "1", *kind], capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["kills"] > TRIALS / 3
    assert seen["selfkills"] > TRIALS / 6
    assert seen["known"] <= TRIALS / 25, "the two windows that are left to a nap are small"
