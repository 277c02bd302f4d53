"""Who may write a queue can make it useless, and nothing else: see hostile.c.  Also under AddressSanitizer and UBSan."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.c_programs import scribble

from .build import numbers
from .test_operations import ENVIRONMENT, SANITIZED

SECONDS = os.environ.get("NSHM_HOSTILE_SECONDS", "6")


@pytest.mark.parametrize("flags", [(), SANITIZED], ids=["", "sanitized"])
def test_who_scribbles_over_a_queue_harms_no_process(program: Callable[..., Path], flags: tuple[str, ...]) -> None:
    scribble(program("hostile", *flags), SECONDS, ENVIRONMENT, numbers)
