"""A bar for what takes seconds: on stderr, if that is a terminal; it is gone when the work is done."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bar"]


@contextlib.contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Gives ``told(done, total)``, in bytes: what ``namedshm.copy`` and ``publish`` take as ``progress``."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from namedshm._facts.words import printable

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(printable(what), total=total)
        yield lambda done, _: progress.update(task, completed=done)
