"""Every system call of every operation fails once, with every error its manual allows: see faults.c and faultshim.h."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from .build import numbers


def test_any_system_call_may_fail(program: Callable[[str], Path]) -> None:
    """The operation fails cleanly or succeeds, nothing is left, and the next one works."""
    run = subprocess.run([program("faults")], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr + run.stdout
    assert numbers(run.stdout)["faults"] > 400
