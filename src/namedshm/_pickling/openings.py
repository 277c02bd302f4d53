"""What unpickling opens, once for each object and process.

Thousands of slices of one array come out of a queue or a pool, each as a handle of its own: it can be closed without closing
another's, and the name goes with the last of them.  Opened one by one they would fill the process's table of mappings (65,530 on
Linux).  So they share one *opening*: a handle of the system and a view of all the section.

There is no lock here: the garbage collector, a signal handler or a fork may interrupt this code anywhere, and would wait for the
lock for ever.  Each user of an opening refers to it; closing a handle drops that reference, and the opening is closed with the last
one.  The table refers to it weakly.  Two threads that find none at the same moment make one each, which works as well and costs two
more mappings.
"""

from __future__ import annotations

import os
from _weakref import ref

from namedshm import errors
from namedshm._backend import backend
from namedshm._core import Mapping, again
from namedshm.names import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from namedshm._backend.contract import Access, SectionHandle, ViewAccess

    M = TypeVar("M", bound=Mapping)

__all__ = ["SharedHandle", "reopen"]


class _Opening:
    __slots__ = ("__weakref__", "handle", "view")

    def __init__(self, handle: SectionHandle) -> None:
        self.handle = handle
        self.view: Mapping | None = None  # of everything, made when it is first needed

    def map(self, kind: type[M], access: ViewAccess) -> M:
        view = self.view
        if view is None:
            view = self.view = self.handle.map(Mapping, 0, self.handle.size, access, False)
        return again(kind, view)


#: By name as given, identity and access.
_openings: dict[tuple[str, int, Access], ref[_Opening]] = {}


def _forget_all() -> None:
    """In a forked child.  In a Python without a global lock every dictionary has a lock of its own, which a thread of the parent
    may have held at the fork; nobody in the child would let it go.  So the child begins with an empty table, and opens anew."""
    global _openings
    _openings = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def reopen(name: str, identity: int, access: Access) -> SectionHandle:
    """A handle to the living object of that name, whose identity the caller compares.

    Raises: as :func:`namedshm.open`.
    """
    key = name, identity, access
    reference = _openings.get(key)
    opening = None if reference is None else reference()
    if opening is None:
        handle = backend.open_section(Name(name), access, False)
        if not identity or handle.identity != identity:
            return handle  # nothing tells it from a later object of the name, or it is one
        opening = _Opening(handle)

        def forget(gone: ref[_Opening]) -> None:
            # Between these two lines another thread may put a new opening there: it is shared no more, and works all the same.
            if _openings.get(key) is gone:
                _openings.pop(key, None)

        _openings[key] = ref(opening, forget)
    return SharedHandle(opening)


class SharedHandle:
    """contract.SectionHandle, by an opening that others use too."""

    __slots__ = (
        *("__weakref__", "_opening", "access", "created", "executable", "identity", "name", "reserved", "size", "writable"),
    )

    def __init__(self, opening: _Opening) -> None:
        handle = opening.handle
        self._opening: _Opening | None = opening
        self.name, self.size, self.access, self.created = handle.name, handle.size, handle.access, False
        self.identity, self.writable = handle.identity, handle.writable
        self.executable, self.reserved = handle.executable, handle.reserved

    @property
    def closed(self) -> bool:
        return self._opening is None

    def _open(self, call: str) -> _Opening:
        opening = self._opening  # kept by the caller meanwhile: another thread may close this handle
        if opening is None:
            raise errors.ClosedHandle(f"This handle to section {self.name!r} is closed: open it again", name=self.name, call=call)
        return opening

    def map(self, kind: type[M], offset: int, length: int, access: ViewAccess, executable: bool) -> M:
        opening = self._open("map")
        if access == self.access and not offset and length == self.size and not executable:
            return opening.map(kind, access)
        return opening.handle.map(kind, offset, length, access, executable)

    def duplicate(self, access: Access) -> SectionHandle:
        return self._open("duplicate").handle.duplicate(access)

    def close(self) -> None:
        self._opening = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open("use").handle, name)  # what one system alone has: segments, os_handle
