"""The C programs under AddressSanitizer and UBSan; the Python modules with NAMEDSHM_SANITIZED=1 (see sanitized.py)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from . import sanitized
from .build import build
from .test_kill_everywhere import NOT_TRACED, SCENARIOS

FLAGS = ("-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sanitized")


def run_clean(command: list[str | Path], **environment: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, timeout=500, env={**ENVIRONMENT, **environment})
    if run.returncode == NOT_TRACED:
        pytest.skip("ptrace is not permitted here")
    assert run.returncode == 0, run.stderr + run.stdout
    assert "Sanitizer" not in run.stderr
    assert "runtime error" not in run.stderr


def test_a_storm_is_clean(directory: Path) -> None:
    run_clean([build("storm", directory, flags=FLAGS), "60", "5", "60"])


def test_every_operation_is_clean(directory: Path) -> None:
    """Each scenario of the stepper, undisturbed but for the tracing."""
    step = build("step", directory, flags=FLAGS)
    for scenario in SCENARIOS:
        run_clean([step, "kill", scenario, "1000000", "40"])


def test_threads_of_one_process_are_clean(directory: Path) -> None:
    """A token or a data segment unmapped twice, or while another thread uses it.  Races: test_tsan.py."""
    run_clean([build("threads", directory, flags=FLAGS), "20000"])


@pytest.mark.skipif(not os.environ.get("NAMEDSHM_SANITIZED"), reason="takes minutes; NAMEDSHM_SANITIZED=1 runs it")
@pytest.mark.timeout(900)
def test_the_python_modules_are_clean() -> None:
    assert sanitized.main([]) == 0
