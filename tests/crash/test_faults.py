"""Every system call of every operation fails, with every error its manual allows: see faults.c, observed.c and faultshim.h."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import HERE, build, numbers

NO_NAMESPACE = 77


def test_any_system_call_may_fail(program: Callable[[str], Path]) -> None:
    """The operation fails cleanly or succeeds, nothing is left, and the next one works."""
    run = subprocess.run([program("faults")], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["faults"] > 400


def test_whatever_fails_the_names_of_others_live_on(tmp_path: Path) -> None:
    """No fault makes a second object, frees a living name, or leaves an attachment or a segment."""
    impatient = ("-O2", "-DNSHM_REGISTRY_ROUNDS=100", "-DNSHM_LOCK_PATIENCE=0")
    observed = build("observed", tmp_path, flags=impatient)
    run = subprocess.run([observed], capture_output=True, text=True, timeout=500)
    if run.returncode == NO_NAMESPACE:
        pytest.skip("needs an IPC namespace of its own")
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    assert seen["faults"] > 2000
    assert seen["lies"] < seen["faults"] / 5


def test_any_system_call_may_fail_under_python(tmp_path: Path) -> None:
    """An error of namedshm's own, naming call and object; no attachment stays; the next operation works."""
    shim = build("faultshim", tmp_path, name="faultshim.so", flags=("-O2", "-shared", "-fPIC"))
    environment = {**os.environ, "LD_PRELOAD": str(shim), "NAMEDSHM_SESSION": f"faults-{os.getpid()}"}
    run = subprocess.run(
        [sys.executable, HERE / "python_faults.py", shim], capture_output=True, text=True, timeout=500, env=environment
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert numbers(run.stdout)["faults"] > 300
