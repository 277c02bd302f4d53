"""What need not wait makes no system call, from Python either: see quiet.py."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from helpers.facts import has_global_lock, on_linux

from . import quiet

pytestmark = pytest.mark.skipif(not on_linux, reason="seccomp is Linux's")


@pytest.mark.parametrize("kind", quiet.KINDS)
def test_the_kernel_is_not_asked(kind: str) -> None:
    done = subprocess.run([sys.executable, quiet.__file__, kind], timeout=60, capture_output=True, text=True)
    if done.returncode == quiet.NOT_HERE:
        pytest.skip("there is no seccomp here")
    if not has_global_lock and done.returncode == -signal.SIGSYS and kind != "a system call":
        pytest.skip("this Python's memory makes other calls")
    assert done.returncode == (-signal.SIGSYS if kind == "a system call" else 0), done.stderr
