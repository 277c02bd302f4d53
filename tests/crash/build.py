"""Compile the C programs of this directory against the headers in include/, or against a changed copy of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from helpers.headers import INCLUDE, changed, of_version  # noqa: E402

__all__ = ["INCLUDE", "build", "changed", "compiler", "numbers", "of_version"]

WARNINGS = ["-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror"]


def compiler() -> str:
    return os.environ.get("CC", "gcc")


def build(
    program: str,
    into: Path,
    *,
    folder: Path = HERE,
    include: Path = INCLUDE,
    name: str | None = None,
    flags: Sequence[str] = ("-O2",),
) -> Path:
    """Compile PROGRAM.c of the folder into a directory, against the headers in ``include``; return the executable (or library, with
    -shared among the flags).  Bound at start: lazy binding would put the dynamic linker into the first memcpy under a lock."""
    target = into / (name or program)
    subprocess.run(
        [
            compiler(),
            *WARNINGS,
            *flags,
            f"-I{include}",
            str(folder / f"{program}.c"),
            "-o",
            str(target),
            "-Wl,-z,now",
            "-lpthread",
            "-ldl",
        ],
        check=True,
        timeout=120,
    )
    return target


def numbers(output: str) -> dict[str, float]:
    """The `name=value` pairs of the last line of a program's report."""
    lines = [line for line in output.splitlines() if "=" in line]
    return {key: float(value) for key, _, value in (pair.partition("=") for pair in lines[-1].split())} if lines else {}
