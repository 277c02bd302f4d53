r"""Waiting until a record has a newer version: on both systems without polling, and an update that nobody waits for costs nothing.

Who waits for a version after number V sleeps on an event of its own, ``NAME|V`` (V in hexadecimal, the last seven digits).  All who
wait for that one share it; it is set once and never reset, so nobody is overtaken by later versions.  Its name goes with the last
of them, however they end.  Writers look for it only if the record's word says that somebody waits.

    who waits                                         who writes, as the owner of NAME|writers
    1. reads the version: V                           A. stores the version V + 1
    2. makes the event NAME|V, or opens it            B. takes the word (swaps 0 for it)
    3. swaps 1 for the word                           C. if it was 1: opens the event NAME|V and sets it
    4. reads the version again: still V
    5. sleeps on the event

If 3 comes before B, the writer sees the 1, and the event is there; else the version is there when 4 looks.  A 1 that another waiter
stored is as good: whoever finds it in 3 has made his event before a writer takes it.  A writer that is killed before A has changed
nothing and wakes nobody.  One that is killed between A and C wakes nobody either: therefore sleep is in naps.
tests/records/test_model.py goes through the interleavings.
"""

from __future__ import annotations

import time
from operator import index

from namedshm import errors
from namedshm import section as sections
from namedshm._arguments import seconds
from namedshm._core import swap64
from namedshm._sync.objects import Event
from namedshm.names import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from . import Record

__all__ = ["Wanted", "tell"]

_NAP = 0.5  # seconds; most that a writer killed before he could tell delays anybody
_LOOK = 0.005  # seconds between two looks of who cannot say that he waits


class Wanted:
    """A wait for a version newer than a given one."""

    def __init__(self, record: Record, newer_than: int | None, timeout: float | None) -> None:
        patience = seconds(timeout, "wait", record.name)
        self._record = record
        self._version = record.version if newer_than is None else index(newer_than)
        self._deadline = None if patience is None else time.monotonic() + patience

    def found(self) -> Any:
        """The snapshot if it is newer, else None."""
        values = self._record.snapshot()
        return values if values.version > self._version else None

    def wait(self) -> None:
        """Return when it is there or the time is up."""
        for event, length in self._naps():
            if event is None:
                time.sleep(length)
            else:
                event.wait(length)

    async def wait_async(self) -> None:
        for event, length in self._naps():
            if event is None:
                import asyncio  # heavy, and there already: a loop runs

                await asyncio.sleep(length)
            else:
                await event.wait_async(length)

    def _naps(self) -> Iterator[tuple[Event | None, float]]:
        """What to sleep on, and how many seconds at most, until the version is there; None: there is nothing to sleep on."""
        while (current := self._record.version) <= self._version:
            left = _NAP if self._deadline is None else self._deadline - time.monotonic()
            if left <= 0:
                return
            event = _event(self._record, current)
            if event is None:
                if self._record.version == current:
                    yield None, min(left, _LOOK)
                continue
            with event:
                if self._record.version == current:
                    yield event, min(left, _NAP)


def _event(record: Record, version: int) -> Event | None:
    """The event that the next version sets, and writers are told to look for it.  None: this process may not do that, or somebody
    set it before there was that version."""
    everybody = Name(record.name).is_global
    try:
        # In Global\ writers of the record may be other users, who must be able to set it.
        event = Event(_name(record.name, version), manual=True, mode=0o666 if everybody else 0o600)
        try:
            if not event.is_set():
                _announce(record)
                return event
        except BaseException:
            event.close()
            raise
        event.close()
    except errors.NamedShmError:
        pass
    return None


def _announce(record: Record) -> None:
    section = record.section
    if section.access == "write":
        swap64(record._view, record._word, 1)
    else:  # who may write may also say so by a handle for reading
        with sections.reopened(record.name, section.identity, "write") as writable, writable.map() as view:
            swap64(view, record._word, 1)


def tell(name: str, version: int) -> None:
    """Wake who waits for this version, which was just written."""
    try:
        event = Event.open(_name(name, version - 1), "modify")
    except errors.NamedShmError:  # nobody waits any more; or what has that name is not for this process
        return
    with event:
        event.set()


def _name(name: str, version: int) -> str:
    """At most eight characters more than ``name``, as ``NAME|writers`` has."""
    return f"{name}|{version & 0xFFFFFFF:x}"
