"""Publishing and reading make no system call while nobody sleeps: see quiet.c."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import build, changed

NOT_HERE = 77
KINDS = [
    "publish_and_read",
    "publish_and_read_all",
    "publish_and_read_large",
    "read_in_place",
    "pin_and_release",
    "loan_and_commit",
    "loan_and_abandon",
    "nothing_new",
    "look",
    "after_a_sleep",
]


def test_all_kinds_are_known_here(program: Callable[..., Path]) -> None:
    assert subprocess.run([program("quiet"), "list"], capture_output=True, text=True, check=True).stdout.split() == KINDS


def status_of(program: Path, kind: str) -> int:
    status = subprocess.run([program, kind], timeout=500).returncode
    if status == NOT_HERE:
        pytest.skip("there is no seccomp here")
    return status


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_is_not_asked(program: Callable[..., Path], kind: str) -> None:
    assert status_of(program("quiet"), kind) == 0


def test_a_system_call_would_be_noticed(tmp_path: Path) -> None:
    looks = "    if (nshm__peek(t->wishes, RELAXED) == nshm__peek(&t->head->served, RELAXED)) return;\n"
    include = changed(tmp_path / "include", [(looks, "")])
    assert status_of(build("quiet", tmp_path, include=include), "publish_and_read") == -signal.SIGSYS


def test_wishes_that_are_not_served_would_be_noticed(tmp_path: Path) -> None:
    """Who once slept would cost a system call for ever."""
    include = changed(
        tmp_path / "include", [("        nshm__poke(&t->head->served, before, RELAXED);\n", "        (void)before;\n")]
    )
    assert status_of(build("quiet", tmp_path, include=include), "after_a_sleep") == -signal.SIGSYS
