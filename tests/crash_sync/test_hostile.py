"""Who may write one object's page can make that object useless, and nothing else: see hostile.c and neighbours.c."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

SECONDS = os.environ.get("NSHM_HOSTILE_SECONDS", "8")


def run(program: Path, *arguments: str) -> dict[str, float]:
    run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    return numbers(run.stdout)


def test_who_scribbles_over_one_mutex_harms_no_other_and_no_process(program: Callable[..., Path]) -> None:
    seen = run(program("hostile"), SECONDS, "1")
    for what in ("taken", "bad_taken", "damaged", "kept", "thread_ends", "kills"):
        assert seen[what] > 10, what


def test_robust_mutexes_of_the_c_library_are_good_neighbours_in_every_order(program: Callable[..., Path]) -> None:
    """Two of ours and two of theirs, taken in each order, some of them released in each order; the others' deaths are told."""
    assert run(program("neighbours"))["plans"] == 24 * (1 + 4 + 12 + 24 + 24)


@pytest.mark.parametrize("flags", [(), ("-fsanitize=undefined", "-fno-sanitize-recover=all")], ids=["", "sanitized"])
def test_lists_of_other_c_libraries_are_joined_or_refused(program: Callable[..., Path], flags: tuple[str, ...]) -> None:
    run(program("neighbours", *flags), "layouts")


def test_a_thread_owns_no_more_than_the_kernel_would_give_up(program: Callable[..., Path]) -> None:
    run(program("neighbours"), "limit")
