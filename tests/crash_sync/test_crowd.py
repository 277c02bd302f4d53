"""A change wakes as many as can have it, also after somebody who waited for several objects was killed: see crowd.c."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from .build import numbers


def test_a_set_wakes_one_of_many_after_a_kill(program: Callable[..., Path], record_property: Callable[[str, object], None]) -> None:
    run = subprocess.run([program("crowd"), "200"], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr + run.stdout
    record_property("microseconds", numbers(run.stdout)["us"])
