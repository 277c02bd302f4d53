"""The registry when it is being made by many, is damaged, or its owner was stopped: see race.c, garbage.c and stopped.c."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import build, numbers

NO_NAMESPACE = 77


def test_many_processes_making_the_registry_at_once_agree_on_one(program: Callable[[str], Path]) -> None:
    run = subprocess.run([program("race"), "2000", "1"], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["agreed"] == seen["survivors"] > 10000
    assert seen["selfkills"] > 300
    assert seen["old_adopted"] > 100, "sometimes a dying holder's registry is taken over"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_damaged_registry_crashes_nobody_and_misleads_nobody(tmp_path: Path, seed: int) -> None:
    """With the sanitizers looking on; who claims to have the lock is no part of it (see below)."""
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DNSHM_LOCK_PATIENCE=0")
    garbage = build("garbage", tmp_path, flags=flags)
    run = subprocess.run(
        [garbage, "300", str(seed)], capture_output=True, text=True, timeout=100, env={"ASAN_OPTIONS": "detect_leaks=0"}
    )
    if run.returncode == NO_NAMESPACE:
        pytest.skip("needs an IPC namespace of its own: it plants foreign segments")
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["found"] > 300


def test_nobody_waits_for_ever_for_a_stopped_process(tmp_path: Path) -> None:
    stopped = build("stopped", tmp_path, flags=("-O2", "-DNSHM_LOCK_PATIENCE=0", "-DNSHM_REGISTRY_ROUNDS=1000"))
    run = subprocess.run([stopped], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["reached"] == 10
