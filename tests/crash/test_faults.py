"""Every system call of every operation fails once, with every error its manual allows: see faults.c and faultshim.h."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .build import HERE, build, numbers


def test_any_system_call_may_fail(program: Callable[[str], Path]) -> None:
    """The operation fails cleanly or succeeds, nothing is left, and the next one works."""
    run = subprocess.run([program("faults")], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["faults"] > 400


def test_any_system_call_may_fail_under_python(tmp_path: Path) -> None:
    """An error of namedshm's own, naming call and object; no attachment stays; the next operation works."""
    shim = build("faultshim", tmp_path, name="faultshim.so", flags=("-O2", "-shared", "-fPIC"))
    environment = {**os.environ, "LD_PRELOAD": str(shim), "NAMEDSHM_SESSION": f"faults-{os.getpid()}"}
    run = subprocess.run(
        [sys.executable, HERE / "python_faults.py", shim], capture_output=True, text=True, timeout=100, env=environment
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert numbers(run.stdout)["faults"] > 300
