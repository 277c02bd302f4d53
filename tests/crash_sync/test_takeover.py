"""Who sleeps on a mutex goes on when its owner ends, whatever way."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers


@pytest.mark.parametrize("kind", ["kill", "exit", "thread", "release"])
def test_the_sleeper_goes_on_when_the_owner_ends(
    program: Callable[..., Path], kind: str, record_property: Callable[[str, object], None]
) -> None:
    """The distribution is recorded, in microseconds; only a generous patience is asserted, by the program."""
    run = subprocess.run([program("takeover"), "100", kind], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    for key, value in numbers(run.stdout).items():
        record_property(key, value)
