"""The registry when it is being made by many, is damaged, or its owner was stopped: see race.c, garbage.c and stopped.c."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import build, numbers, of_version

NO_NAMESPACE = 77


def test_many_processes_making_the_registry_at_once_agree_on_one(program: Callable[[str], Path]) -> None:
    run = subprocess.run([program("race"), "2000", "1"], capture_output=True, text=True, timeout=500)
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
        [garbage, "300", str(seed)], capture_output=True, text=True, timeout=500, env={"ASAN_OPTIONS": "detect_leaks=0"}
    )
    if run.returncode == NO_NAMESPACE:
        pytest.skip("needs an IPC namespace of its own: it plants foreign segments")
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["found"] > 300


def test_nobody_waits_for_ever_for_a_stopped_process(tmp_path: Path) -> None:
    stopped = build("stopped", tmp_path, flags=("-O2", "-DNSHM_LOCK_PATIENCE=0", "-DNSHM_REGISTRY_ROUNDS=1000"))
    run = subprocess.run([stopped], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["reached"] == 10


@pytest.fixture
def versions(tmp_path: Path, name: str) -> Callable[[int], subprocess.Popen[str]]:
    """versions(1) starts a program of the next version of the format, in a session of this test's own."""

    def start(change: int) -> subprocess.Popen[str]:
        include = of_version(tmp_path / f"include{change}", change)
        program = build("version", tmp_path, include=include, name=f"version{change}")
        return subprocess.Popen([program, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return start


def said(program: subprocess.Popen[str]) -> int:
    assert program.stdout
    return int(program.stdout.readline().removeprefix("errno="))


@pytest.mark.parametrize(("first", "second"), [(0, -1), (-1, 0), (0, 1)])
def test_programs_of_two_versions_refuse_each_other(
    versions: Callable[[int], subprocess.Popen[str]], first: int, second: int
) -> None:
    with versions(first) as holder:
        assert said(holder) == 0
        with versions(second) as other:
            assert said(other) == errno.EPROTO
        with versions(first) as other:
            assert said(other) == 0
    with versions(second) as other:
        assert said(other) == 0, "when the last program of the one version has ended, the other has its turn"


def test_python_says_that_another_version_is_in_use(versions: Callable[[int], subprocess.Popen[str]], name: str) -> None:
    code = "import namedshm\ntry: namedshm.create('s', 100)\nexcept namedshm.errors.Unsupported as error: print(error)"
    with versions(1) as holder:
        assert said(holder) == 0
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=500, env={**os.environ, "NAMEDSHM_SESSION": name}
        )
    assert "another version of namedshm" in run.stdout, run.stdout + run.stderr
