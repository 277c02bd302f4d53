"""Threads of equal number in two PID namespaces that share IPC, as containers may: see namespaces.c."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BROKEN, NO_NAMESPACES = 2, 77


def play(program: Callable[..., Path], scenario: str) -> None:
    run = subprocess.run([program("namespaces"), scenario], capture_output=True, text=True, timeout=500)
    if run.returncode == NO_NAMESPACES:
        pytest.skip("needs IPC and PID namespaces of its own")
    if run.returncode == BROKEN:
        raise RuntimeError(run.stderr)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "scenario",
    ["ownership", "abandonment", "a_namesake_that_does_not_own_it_dies", "a_sleeper_dies_when_its_namesake_has_it"],
)
def test_a_namesake_is_somebody_else(program: Callable[..., Path], scenario: str) -> None:
    play(program, scenario)


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="the limit in docs/synchronisation.md: the kernel compares thread numbers only"
)
@pytest.mark.parametrize("scenario", ["killed_while_taking", "killed_while_releasing"])
def test_a_kill_between_two_instructions_does_not_free_the_namesake_s_mutex(program: Callable[..., Path], scenario: str) -> None:
    play(program, scenario)
