"""Named objects that stand for a thread of this process while it reads or waits: who they belong to is proved by the kernel.

A seat is a mutex of its own name, ``NAME|`` with a letter and a random number of six hexadecimal digits, owned by its thread for
as long as the thread is there.  A list of such numbers in a record tells others whom to look for.  What the list says is believed
only as far as the mutex bears it out: one that nobody owns, or whose name has gone, belongs to nobody, however that came about.
"""

from __future__ import annotations

import os

from namedshm import errors
from namedshm._alive import describe
from namedshm.names import Name

from .objects import Event, Mutex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

__all__ = ["MOST", "Pool", "Seat", "Thread", "padded", "seat_name"]

#: Seats that a record lists.
MOST = 256

#: A thread and what it may have in its hands: the name and identity of an object, and the thread's number.
Thread = tuple[str, int, int]


class Seat:
    """One seat of this process.

    Attributes:
        number: not 0.
        mutex: owned by the thread that has taken the seat, while it has it.
        event: what wakes that thread, where it waits; not set while nobody has the seat.
        seen: the version of the record that is known to list it.
        times: how often its thread is there.
    """

    __slots__ = ("event", "mutex", "number", "seen", "times")

    def __init__(self, number: int, mutex: Mutex, event: Event | None) -> None:
        self.number, self.mutex, self.event = number, mutex, event
        self.seen = 0
        self.times = 0

    @classmethod
    def made(cls, name: str, waits: bool, mode: int, group: str | int | None) -> Self:
        """A new one: of a reader, or of one who waits, which has an event."""
        while True:
            number = int.from_bytes(os.urandom(3), "little") or 1
            try:
                mutex = Mutex(seat_name(name, "w" if waits else "r", number), exist_ok=False, mode=mode, group=group)
            except errors.AlreadyExists:
                continue
            event = Event(seat_name(name, "e", number), mode=mode, group=group) if waits else None
            return cls(number, mutex, event)

    def close(self) -> None:
        self.mutex.close()
        if self.event is not None:
            self.event.close()


def seat_name(name: str, letter: str, number: int) -> str:
    """At most eight characters more than ``name``, as ``NAME|writers`` has."""
    return f"{name}|{letter}{number:06x}"


def padded(numbers: Iterable[int]) -> tuple[int, ...]:
    """As a record keeps them: as many as there can be, the rest 0."""
    found = tuple(numbers)
    return found + (0,) * (MOST - len(found))


class Pool:
    """The seats of one handle that nobody has taken.

    Without a lock: single operations on a list are atomic.  A forked child has none: its parent's are its parent's.
    """

    def __init__(self, name: str, waits: bool, mode: int | None, group: str | int | None) -> None:
        self._arguments = (name, waits)
        self._mode, self._group = mode, group
        self._free: list[Seat] = []
        self._pid = os.getpid()

    def take(self) -> Seat:
        if self._pid != os.getpid():
            self._free, self._pid = [], os.getpid()
        try:
            return self._free.pop()
        except IndexError:
            return Seat.made(*self._arguments, self.rights(), self._group)

    def rights(self) -> int:
        r"""Others must find the seats of a ``Global\`` object; in ``Local\`` there are none."""
        name = self._arguments[0]
        if not Name(name).is_global:
            return 0o600
        if self._mode is None:
            self._mode = describe(name).mode or 0o600
        return self._mode

    def give(self, seat: Seat) -> None:
        self._free.append(seat)

    def close(self) -> None:
        while self._free:
            self._free.pop().close()
