"""Waits of event loops, watched by one thread for many of them."""

from __future__ import annotations

from . import native

__all__ = ["FutexWatcher"]


class FutexWatcher:
    """contract.Watcher by futex_waitv(2): it takes nothing, so there is nothing to give back.

    Without a lock: the collector and signal handlers end waits in the middle of anything here, and a fork would leave it locked for
    ever in the child.  Whoever takes a wait out of the dictionary has it; each single operation on one is atomic.
    """

    def __init__(self) -> None:
        self.wakes = 0
        self._control = native.Control()
        self._waits: dict[native.Wait | native.ArmedWait, None] = {}

    def add(self, wait: native.Wait | native.ArmedWait) -> bool:
        self._waits[wait] = None
        # Entered first and counted then: of several that enter at the same time, the last to count sees all of them.
        if sum(map(len, list(self._waits))) > native.WATCH_MAX and self._waits.pop(wait, self) is None:
            return False
        self._control.change()
        return True

    def remove(self, wait: native.Wait | native.ArmedWait) -> None:
        if self._waits.pop(wait, self) is None:
            self._control.change()

    def ready(self) -> list[native.Wait | native.ArmedWait]:
        seen = self._control.value  # before the copy: whatever is added later changes it
        found = native.watch(_fitting(list(self._waits)), self._control, seen)
        self.wakes += 1
        return [wait for wait in found if self._waits.pop(wait, self) is None]


def _fitting(waits: list[native.Wait | native.ArmedWait]) -> list[native.Wait | native.ArmedWait]:
    """As many as can be watched: one more may be there for the moment until add() refuses it, and changes the control if not."""
    room = native.WATCH_MAX
    for number, wait in enumerate(waits):
        room -= len(wait)
        if room < 0:
            return waits[:number]
    return waits
