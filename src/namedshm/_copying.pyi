"""Copying and populating large memory by several threads, without the GIL (compiled).

Threads: the calling one is counted; at most 64 take part, and no more than there are units of 2 MiB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ._core import Mapping, Pager

if sys.version_info >= (3, 12):
    from collections.abc import Buffer as _Buffer
else:
    from typing_extensions import Buffer as _Buffer

def forked() -> None:
    """Called in a child just forked: a copy that the fork interrupted ends there with RuntimeError."""

def look_up_every(seconds: float) -> float:
    """How often the calling thread looks at signals and progress; tests make it 0: after each 2 MiB.  Returns what it was."""

def stream_above(size: int) -> int:
    """Copies of more bytes are written past the cache, by streaming stores; at first the size of the largest cache.  Tests make it
    0.  Returns what it was."""

class Pair:
    """A target and a source of one length, borrowed until :meth:`release`.

    Raises: AccessDenied if the target is read-only; InvalidArgument if lengths differ or bytes are not in one piece; TypeError.
    """

    def __init__(self, target: _Buffer, source: _Buffer) -> None: ...
    @property
    def size(self) -> int:
        """Bytes of each."""

    def move(self) -> None:
        """Copy all by the calling thread, as memmove does."""

    def move_by(self, threads: int, pager: Pager, progress: Callable[[int, int], object] | None) -> int:
        """Copy all by so many threads, the calling one included; as memmove and by one if source and target overlap.

        Every 50 ms the calling thread lets signal handlers run and calls ``progress(done, size)``.  However this ends, the other
        threads have left both buffers before.  Returns 0, or the errno that says why the target's pages cannot be had.
        """

    def release(self) -> None:
        """Give both buffers back."""

def populate(mapping: Mapping, offset: int, length: int, write: bool, threads: int, pager: Pager, /) -> int:
    """Make the pages of a range within the mapping, for writing or reading; 0, or the errno that says why they cannot be had.

    Pages of a reserved section that are not committed are left out.  Signals, threads and closing as in :meth:`Pair.move_by`.
    """

def unfilled(size: int, /) -> bytearray:
    """A bytearray whose bytes are anything, to be filled at once."""
