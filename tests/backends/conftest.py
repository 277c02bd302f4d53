"""Wine with its prefix and the package as Windows sees it (tools/windows.py).

Skipped where the programs for it are missing; with CI=true that is a failure.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import required


def _processes(prefix: Path) -> dict[int, str]:
    """Living processes of a Wine prefix: number and command."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"WINEPREFIX={prefix}\0".encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "comm").read_text().strip()
    return found


def _reap() -> None:
    """Take leave of Wine's background processes: where this process adopts orphans they end as its children."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                comm = Path(f"/proc/{child}/comm").read_text().strip()
                if comm.startswith("wine") or comm.endswith(".exe"):
                    os.waitpid(int(child), 0)


@pytest.fixture(scope="module")
def wine() -> Iterator[Any]:
    from .tool import tool  # late: it is for Linux, as its tests are

    reason = tool.missing()
    if reason and required("CI"):
        pytest.fail(reason)
    elif reason:
        pytest.skip(reason)
    tool.setup(verbose=False)
    tool.build(verbose=False)
    with tool.session() as wine:
        yield wine
    _reap()
    if wine.stopped:  # else another run is at work in the prefix
        assert not _processes(wine.prefix)
