"""What a lock and a condition have in common as holders of a name: their state is a record of that name."""

from __future__ import annotations

import time
from _thread import get_native_id

from namedshm._holder import Holder
from namedshm._pickling.unavailable import unpickling
from namedshm.names import Name
from namedshm.section import stale

from .seats import Pool, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Self

    from namedshm.records import Record
    from namedshm.section import Section

__all__ = ["Composed", "deadline_after", "time_left"]


def deadline_after(patience: float | None) -> float | None:
    """When so many seconds will be over; None: never."""
    return None if patience is None else time.monotonic() + patience


def time_left(deadline: float | None) -> float | None:
    """Seconds, not less than 0; None without an end."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class Composed(Holder):
    """A handle to an object that is made of a record and of what the record tells.

    Attributes:
        created: whether this call made the object.
    """

    __slots__ = ("__weakref__", "_key", "_record", "_seats", "created")

    _waits: ClassVar[bool]  # its seats have events

    _record: Record
    created: bool

    def _hold(self, record: Record, mode: int | None, group: str | int | None) -> None:
        self._record = record
        self._key = Name(record.name).canonical, record.section.identity
        self._seats = Pool(record.name, self._waits, mode, group)
        self.created = record.section.created

    def _thread(self) -> Thread:
        """The calling thread and this object: the same for all handles to it."""
        return *self._key, get_native_id()

    @property
    def _handle(self) -> Section:
        return self._record.section

    @property
    def name(self) -> str:
        return self._record.name

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


@unpickling()
def _restore(cls: type[Composed], name: str, identity: int) -> Composed:
    found = cls.open(name)
    if found.identity != identity:
        found.close()
        raise stale(name)
    return found
