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
    seen = dict.fromkeys(("done", "damaged", "refused", "scribbles"), 0.0)
    for seed in range(1, 9):  # which words are hit is chance, and rounds are few on a busy machine
        command = [program("hostile", *flags), SECONDS, str(seed)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=100, env=ENVIRONMENT)
        assert run.returncode == 0, run.stderr + run.stdout
        counts = numbers(run.stdout)
        seen = {what: seen[what] + counts[what] for what in seen}
        if min(seen.values()) > 100:
            return
    raise AssertionError(f"not everything happened: {seen}")
