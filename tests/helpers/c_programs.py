"""C programs that tests build and run: once per run, and skipped where they cannot be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import pytest


def skip_without(compiler: str, items: Iterable[pytest.Item], folder: Path, but: Collection[str] = ()) -> None:
    """Mark what is in the folder, except in files of these names, where nothing can be built."""
    reason = None
    if sys.platform != "linux":
        reason = "the protocol under test is that of Linux"
    elif shutil.which(compiler) is None:
        reason = f"needs a C compiler ({compiler})"
    if reason:
        for item in items:
            if folder in item.path.parents and item.path.name not in but:
                item.add_marker(pytest.mark.skip(reason=reason))


def builder(build: Callable[..., Path], directory: Path) -> Callable[..., Path]:
    """get("storm") compiles storm.c once and returns the executable; flags make another one."""
    built: dict[tuple[str, ...], Path] = {}

    def get(name: str, *flags: str) -> Path:
        key = (name, *flags)
        if key not in built:
            built[key] = build(name, directory, name=f"{name}-{len(built)}", flags=("-O2", *flags))
        return built[key]

    return get


def scribble(program: Path, seconds: str, environment: Mapping[str, str], numbers: Callable[[str], dict[str, float]]) -> None:
    """Run a hostile.c until everything has happened more than a hundred times; each run must be well.

    Which words are hit is chance, and rounds are few on a busy machine: so there are several seeds.
    """
    seen = dict.fromkeys(("done", "damaged", "refused", "scribbles"), 0.0)
    for seed in range(1, 9):
        run = subprocess.run([program, seconds, str(seed)], capture_output=True, text=True, timeout=100, env=dict(environment))
        assert run.returncode == 0, run.stderr + run.stdout
        counts = numbers(run.stdout)
        seen = {what: seen[what] + counts[what] for what in seen}
        if min(seen.values()) > 100:
            return
    raise AssertionError(f"not everything happened: {seen}")
