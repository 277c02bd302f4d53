"""Who may write a topic can make it useless, who may only read it can make others late, and nothing else: see hostile.c.

Also under AddressSanitizer and UBSan.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.c_programs import scribble

from .build import numbers
from .test_operations import ENVIRONMENT, SANITIZED

SECONDS = os.environ.get("NSHM_HOSTILE_SECONDS", "4")


@pytest.mark.parametrize("flags", [(), SANITIZED], ids=["", "sanitized"])
def test_who_scribbles_over_a_topic_harms_no_process(program: Callable[..., Path], flags: tuple[str, ...]) -> None:
    scribble(program("hostile", *flags), SECONDS, ENVIRONMENT, numbers)
