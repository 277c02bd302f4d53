"""A view that keeps the name: what arrays, tables and records are made over.  It waits until their content is there."""

from __future__ import annotations

from . import errors
from ._formats import publication
from .section import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._backend.contract import ViewAccess
    from .section import Section

__all__ = ["HeldView", "hold", "published"]


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


def published(view: HeldView, timeout: float | None) -> bytes:
    """The first eight bytes, as soon as they are there.

    Args:
        timeout: seconds to wait for a creator that is still writing, as ``_arguments.seconds`` gives them.

    Raises:
        InvalidContent: the section is too small to hold anything.
        NotReady: still zero after ``timeout`` seconds.
    """
    if len(view) < publication.SIZE:
        name = view.section.name
        raise errors.InvalidContent(
            f"Section {name!r} has {len(view)} bytes, too few for any typed content: open it with namedshm.open()",
            name=name,
            call="open",
        )
    first = publication.published(view, timeout)
    if first is None:
        name = view.section.name
        raise errors.NotReady(
            f"Nothing was published in section {name!r} within {timeout:g} s: its creator is still writing (give a longer "
            "timeout), was killed before it finished (create it again), or made the section for something else",
            name=name,
            call="open",
        )
    return first
