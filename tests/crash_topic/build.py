"""Compile the C programs of this directory, as tests/crash does."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import crash.build  # noqa: E402
from crash.build import INCLUDE, changed, compiler, numbers  # noqa: E402

__all__ = ["INCLUDE", "build", "changed", "compiler", "numbers"]

build = partial(crash.build.build, folder=HERE)
