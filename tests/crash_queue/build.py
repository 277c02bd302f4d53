"""Compile the C programs of this directory, with the conventions of tests/crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from crash.build import INCLUDE, WARNINGS, changed, compiler, numbers  # noqa: E402

__all__ = ["INCLUDE", "build", "changed", "compiler", "numbers"]


def build(program: str, into: Path, *, include: Path = INCLUDE, name: str | None = None, flags: Sequence[str] = ("-O2",)) -> Path:
    """Compile PROGRAM.c into the directory, against the headers in ``include``; return the executable."""
    target = into / (name or program)
    source = str(HERE / f"{program}.c")
    # Lazy binding would put the dynamic linker into the first memcpy under a lock.
    command = [compiler(), *WARNINGS, *flags, f"-I{include}", source, "-o", str(target), "-Wl,-z,now", "-lpthread"]
    subprocess.run(command, check=True, timeout=120)
    return target
