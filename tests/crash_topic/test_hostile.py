"""Who may write a topic can make it useless, who may only read it can make others late, and nothing else: see hostile.c.

Also under AddressSanitizer and UBSan.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers
from .test_operations import ENVIRONMENT, SANITIZED

SECONDS = os.environ.get("NSHM_HOSTILE_SECONDS", "4")


@pytest.mark.parametrize("flags", [(), SANITIZED], ids=["", "sanitized"])
def test_who_scribbles_over_a_topic_harms_no_process(program: Callable[..., Path], flags: tuple[str, ...]) -> None:
    command = [program("hostile", *flags), SECONDS, "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110, env=ENVIRONMENT)
    assert run.returncode == 0, run.stderr + run.stdout
    seen = numbers(run.stdout)
    for what in ("done", "damaged", "refused", "scribbles"):
        assert seen[what] > 100, what
