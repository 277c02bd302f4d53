"""Content that appears whole.

The formats used here (``.npy``, Arrow IPC) begin with eight bytes that are never all zero, and a new section is all zero.  So the
creator fills in everything from byte 8 on and stores the first eight bytes last, in one piece and with release ordering; whoever
sees them sees all the rest.  An opener that meets zeros came while the creator was still writing, and waits for a moment.  If the
creator was killed meanwhile, or the section was made for something else, the zeros stay.
"""

from __future__ import annotations

import sys
import time

from namedshm._core import load64, store64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm._core import Mapping

__all__ = ["SIZE", "publish", "published"]

SIZE = 8  # bytes that are stored last
_FIRST_NAP, _LONGEST_NAP = 20e-6, 2e-3  # seconds


def publish(view: Mapping, first: bytes) -> None:
    """Store the first eight bytes: from here on the content is there for others."""
    store64(view, 0, int.from_bytes(first, sys.byteorder))


def published(view: Mapping, timeout: float | None) -> bytes | None:
    """The first eight bytes, as soon as they are there; None if they are still zero after ``timeout`` seconds.

    Args:
        view: at least eight bytes.
        timeout: seconds to wait for a creator that is still writing, as ``_arguments.seconds`` gives them.
    """
    first = load64(view, 0)
    if not first:
        first = _wait(view, timeout)
    return first.to_bytes(SIZE, sys.byteorder) if first else None


def _wait(view: Mapping, timeout: float | None) -> int:
    deadline = None if timeout is None else time.monotonic() + timeout
    nap = _FIRST_NAP
    while True:
        first = load64(view, 0)
        if first or (deadline is not None and time.monotonic() >= deadline):
            return first
        time.sleep(nap)
        nap = min(2 * nap, _LONGEST_NAP)
