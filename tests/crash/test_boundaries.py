"""Where processes end: other namespaces, other users, children of a fork.  See away.c, strangers.c and forks.c."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

NOT_POSSIBLE = 77


def run(*command: str | Path) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    if done.returncode == NOT_POSSIBLE:
        pytest.skip("needs namespaces of its own, and other users")
    assert done.returncode == 0, done.stderr + done.stdout
    return numbers(done.stdout)


def test_who_moves_to_other_namespaces_harms_nobody_who_stayed(program: Callable[[str], Path]) -> None:
    assert run(program("away"))["visits"] >= 1


def test_no_stranger_can_attach_anything_at_any_step_of_its_making(program: Callable[[str], Path]) -> None:
    assert run(program("strangers"))["steps"] > 50


def test_a_child_has_whole_handles_or_none(program: Callable[[str], Path]) -> None:
    assert run(program("forks"), "500")["created"] > 0
