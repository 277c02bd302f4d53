"""What a lock and a condition have in common as holders of a name: their state is a record of that name."""

from __future__ import annotations

from _thread import get_native_id

from ._seats import Pool, Thread
from ._unavailable import unpickling
from .names import Name
from .section import stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Self

    from .records import Record

__all__ = ["Composed"]


class Composed:
    """A handle to an object that is made of a record and of what the record tells.

    Attributes:
        created: whether this call made the object.
    """

    __slots__ = ("__weakref__", "_key", "_record", "_seats", "created")

    _waits: ClassVar[bool]  # its seats have events

    _record: Record

    def _hold(self, record: Record, mode: int | None, group: str | int | None) -> None:
        self._record = record
        self._key = Name(record.name).canonical, record.section.identity
        self._seats = Pool(record.name, self._waits, mode, group)
        self.created = record.section.created

    def _thread(self) -> Thread:
        """The calling thread and this object: the same for all handles to it."""
        return *self._key, get_native_id()

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def identity(self) -> int:
        """A 64-bit number no other object ever has."""
        return self._record.section.identity

    @property
    def closed(self) -> bool:
        return self._record.section.closed

    def close(self) -> None:
        """Close this handle: the name goes with the last one.  What a thread holds through it stays held.  Twice is a no-op."""
        self._record.close()
        self._seats.close()

    def __reduce__(self) -> tuple[Callable[..., Composed], tuple[object, ...]]:
        _, (_, name, identity, _) = self._record.__reduce__()  # refuses a closed handle
        return _restore, (type(self), name, identity)

    @classmethod
    def open(cls, name: str) -> Self:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<namedshm.{type(self).__name__} {self.name!r}{', closed' if self.closed else ''}>"


@unpickling()
def _restore(cls: type[Composed], name: str, identity: int) -> Composed:
    found = cls.open(name)
    if found.identity != identity:
        found.close()
        raise stale(name)
    return found
