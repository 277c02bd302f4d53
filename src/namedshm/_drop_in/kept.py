"""Names that a process keeps for blocks that others use, until somebody unlinks them or the process ends.

``blocks.py`` keeps those of the blocks it made, a manager those of its clients.  A block that another process has unlinked must go
here too, but this process is not told.  So each operation looks at a few of the names in turn, which costs no call of the system,
and closes those that were unlinked.  Each is closed only once, so an operation costs the same in the long run.

There is no lock here: the garbage collector, a signal handler or a fork may interrupt this code anywhere, and would wait for the
lock for ever.  Each step is one operation of a dict or a deque, which is atomic.  Between two of them a key may be in neither or in
both, which at worst keeps a name until the process ends.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # collections itself takes longer than all the rest

from namedshm import errors
from namedshm._backend import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from namedshm.section import Section

__all__ = ["Kept"]

_LOOKS = 2  # names seen alive before an operation has looked enough


class Kept:
    """Sections by key."""

    __slots__ = ("_sections", "_turns")

    def __init__(self) -> None:
        self._sections: dict[Hashable, Section] = {}
        self._turns: deque[Hashable] = deque()  # whose turn it is to be looked at; may have keys that were taken

    def keep(self, key: Hashable, section: Section) -> None:
        self._sections[key] = section
        self._turns.append(key)

    def keeps(self, key: Hashable, section: Section) -> bool:
        return self._sections.get(key) is section

    def take(self, key: Hashable) -> Section | None:
        """The section, kept no more; None: it was not."""
        return self._sections.pop(key, None)

    def all(self) -> list[Hashable]:
        """The keys."""
        return list(self._sections)

    def close_unlinked(self, looks: int = _LOOKS) -> None:
        """Close sections whose names were taken away, until `looks` were seen that still have theirs."""
        turns, sections = self._turns, self._sections
        while looks and turns:
            try:
                key = turns.popleft()
            except IndexError:  # another thread was faster
                return
            section = sections.get(key)
            if section is None:
                continue
            if _named(section):
                turns.append(key)
                looks -= 1
            else:
                sections.pop(key, None)
                section.close()

    def close_all_unlinked(self) -> None:
        self.close_unlinked(len(self._turns))

    def forget(self) -> None:
        """In a forked child: what its parent keeps is not the child's to keep.  Handles that the child's own objects have stay."""
        self._turns.clear()
        self._sections.clear()


def _named(section: Section) -> bool:
    try:
        return backend.named(section._handle)
    except errors.ClosedHandle:
        return False
