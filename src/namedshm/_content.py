"""What arrays, tables and records have in common: a view that keeps the name, and content that appears whole.

The formats used here (``.npy``, Arrow IPC) begin with eight bytes that are never all zero, and a new section is all zero.  So the
creator fills in everything from byte 8 on and stores the first eight bytes last, in one piece and with release ordering; whoever
sees them sees all the rest.  An opener that meets zeros came while the creator was still writing, and waits for a moment.  If the
creator was killed meanwhile, or the section was made for something else, the zeros stay: NotReady.
"""

from __future__ import annotations

import sys
import time

from . import errors
from ._core import load64, store64
from .section import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._backend.contract import ViewAccess
    from ._core import Mapping
    from .section import Section

__all__ = ["SIZE", "HeldView", "hold", "publish", "published"]

SIZE = 8  # bytes that are stored last
_FIRST_NAP, _LONGEST_NAP = 20e-6, 2e-3  # seconds


class HeldView(View):
    """A view that keeps its section's handle too: as long as any buffer taken from it lives, so do the memory *and* the name.

    Attributes:
        section: the handle; closing it lets the name go, the bytes stay.
    """

    __slots__ = ("section",)

    section: Section


def hold(section: Section, access: ViewAccess | None = None) -> HeldView:
    """Map all of a section; ``access`` as in :meth:`Section.map`."""
    view = section.map(access=access, kind=HeldView)
    assert isinstance(view, HeldView)
    view.section = section
    return view


def publish(view: Mapping, first: bytes) -> None:
    """Store the first eight bytes: from here on the content is there for others."""
    store64(view, 0, int.from_bytes(first, sys.byteorder))


def published(view: Mapping, name: str | None, timeout: float | None) -> bytes:
    """The first eight bytes, as soon as they are there.

    Args:
        timeout: seconds to wait for a creator that is still writing, as ``_arguments.seconds`` gives them.

    Raises:
        InvalidContent: the section is too small to hold anything.
        NotReady: still zero after ``timeout`` seconds.
    """
    if len(view) < SIZE:
        raise errors.InvalidContent(
            f"Section {name!r} has {len(view)} bytes, too few for any typed content: open it with namedshm.open()",
            name=name,
            call="open",
        )
    first = load64(view, 0)
    if not first:
        first = _wait(view, name, timeout)
    return first.to_bytes(SIZE, sys.byteorder)


def _wait(view: Mapping, name: str | None, timeout: float | None) -> int:
    deadline = None if timeout is None else time.monotonic() + timeout
    nap = _FIRST_NAP
    while True:
        if first := load64(view, 0):
            return first
        if deadline is not None and time.monotonic() >= deadline:
            raise errors.NotReady(
                f"Nothing was published in section {name!r} within {timeout:g} s: its creator is still writing (give a longer "
                "timeout), was killed before it finished (create it again), or made the section for something else",
                name=name,
                call="open",
            )
        time.sleep(nap)
        nap = min(2 * nap, _LONGEST_NAP)
