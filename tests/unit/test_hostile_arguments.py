"""Arguments that are Python code and close, replace, fork and collect in the midst of every call: the process lives.

hostile.py says what is called with what; here it runs for a few seconds per seed in a process of its own.  A longer run:
``python -m tests.unit.hostile SEED SECONDS``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("seed", range(4))
def test_no_argument_can_crash_a_call(seed: int) -> None:
    done = subprocess.run([sys.executable, HERE / "hostile.py", str(seed), "4"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    word, calls = done.stdout.split()[-2:]
    assert word == "survived"
    assert int(calls) > 200
