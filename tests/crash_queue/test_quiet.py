"""Uncontended operations make no system call: see quiet.c."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import build, changed

NOT_HERE = 77
KINDS = [
    "put_and_take",
    "put_and_take_many",
    "put_and_take_large",
    "put_and_acknowledge",
    "loan_and_commit",
    "loan_and_abandon",
    "nothing_there",
    "no_room",
    "drop_oldest",
    "look",
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
    unlock = "    if (nshm__trade(lock, &v, 0, ACQ_REL)) nshm__pending(NULL);\n"
    include = changed(tmp_path / "include", [(unlock, f"    nshm__queue_wake(lock, 1);\n{unlock}")])
    assert status_of(build("quiet", tmp_path, include=include), "put_and_take") == -signal.SIGSYS
