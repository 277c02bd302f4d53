"""The scenarios of this directory where futex_waitv(2) does not exist: older kernels, and sandboxes that do not let it pass."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.facts import on_linux

pytestmark = pytest.mark.skipif(not on_linux, reason="Windows waits for several objects by itself")

HERE = Path(__file__).resolve().parent
SANDBOX = HERE.parent / "helpers" / "sandbox.py"
MEETS_IT = [
    "../queues/test_asyncio.py",
    "test_several.py",
    "test_event.py",
    "test_semaphore.py",
    "test_asyncio.py",
    "test_signals.py",
    "test_mutex.py",
]


def sandboxed(error: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SANDBOX, error, *command], capture_output=True, text=True, timeout=110, cwd=HERE.parent.parent
    )


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_the_sandbox_has_no_waitv(error: str) -> None:
    code = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.syscall(449, 0, 0, 0, 0, 0), ctypes.get_errno())"
    assert sandboxed(error, sys.executable, "-c", code).stdout.split() == ["-1", str(getattr(errno, error))]


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_all_scenarios_pass_without_waitv(error: str) -> None:
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    run = sandboxed(error, *pytest_, *(str(HERE / file) for file in MEETS_IT))
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-1000:]
    assert " passed" in run.stdout
