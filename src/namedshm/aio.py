"""Waiting in asyncio: one thread of the process watches the waits of all event loops.

A waiting coroutine polls in its loop's thread; when that fails it gives its wait to a watcher, whose thread tells the loop when
another poll may succeed.  So an acquired mutex is owned by the loop's thread, and a wait that ends in any other way than by a
result has taken nothing.  Nobody polls by the clock, and no thread is occupied per waiter (Linux: one per 127 objects waited for at
the same time; Windows: one per 64, and one that tells).

There is no lock in this module: a task that is collected as garbage ends its wait in the middle of anything, so does a signal
handler, and in a forked child a lock may be held for ever by a thread that is not there.  What is shared is in dictionaries and
lists, single operations on which are atomic; whoever takes a wait out of one has it.  And the threads are the system's: gevent and
eventlet put greenlets in the place of Python's, which would never run while the loop sleeps.
"""

from __future__ import annotations

import os

from ._arguments import seconds
from ._backend import backend
from ._core import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from typing import Any

    from ._backend.contract import PolledQueueWait, PolledWait, SyncHandle

__all__ = ["polled_until", "wait"]


async def wait(handles: Sequence[SyncHandle], all: bool, timeout: float | None) -> tuple[int, int]:
    """As ``Backend.wait``: (index or -1 when ``timeout`` seconds are over, abandoned mask).  Cancelling takes nothing."""
    got: tuple[int, int] | None = await polled_until(backend.begin_wait(handles, all), seconds(timeout, "wait_async"))
    return (-1, 0) if got is None else got


async def polled_until(polled: PolledWait | PolledQueueWait, timeout: float | None) -> Any:
    """What the first poll that succeeds gives; None when ``timeout`` seconds are over.  Cancelling takes nothing."""
    got: Any = polled.poll()
    if got is not None or timeout == 0:
        return got
    import asyncio  # heavy, and there already: a loop runs

    try:
        async with asyncio.timeout(timeout):
            return await _wait_on(polled, asyncio.get_running_loop())
    except TimeoutError:
        return polled.poll()  # signaled at the last moment: a wait that can be satisfied is


async def _wait_on(polled: PolledWait | PolledQueueWait, loop: asyncio.AbstractEventLoop) -> Any:
    while True:
        ready: asyncio.Future[None] = loop.create_future()
        thread = _pool().add(polled, loop, ready)
        try:
            await ready
            got: Any = polled.poll()
        finally:  # however it ends: what was taken for it and not polled goes back
            thread.discard(polled)
        if got is not None:
            return got


class _Pool:
    """The watcher threads of this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.threads: list[_Thread] = []

    def add(self, polled: PolledWait | PolledQueueWait, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None]) -> _Thread:
        """The thread that watches it now."""
        for thread in tuple(self.threads):
            if thread.add(polled, loop, ready):
                return thread
        thread = _Thread()
        thread.add(polled, loop, ready)
        try:
            start_thread(thread.run)
        except BaseException:
            thread.discard(polled)
            raise
        self.threads.append(thread)
        return thread


class _Thread:
    """A watcher's thread and whom it tells.  It ends with the process."""

    def __init__(self) -> None:
        self.watcher = backend.watcher()
        self.waits: dict[PolledWait | PolledQueueWait, tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = {}

    def add(self, polled: PolledWait | PolledQueueWait, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None]) -> bool:
        self.waits[polled] = loop, ready  # first, so that run() finds it there when it is ready
        added = False
        try:
            added = self.watcher.add(polled)
        finally:
            if not added:
                self.waits.pop(polled, None)
        return added

    def discard(self, polled: PolledWait | PolledQueueWait) -> None:
        self.waits.pop(polled, None)
        self.watcher.remove(polled)

    def run(self) -> None:
        while True:
            self.tell(self.watcher.ready())  # the waits are in no variable while it sleeps: they would keep their handles

    def tell(self, waits: list[PolledWait | PolledQueueWait]) -> None:
        for polled in waits:
            waiting = self.waits.pop(polled, None)  # once: the coroutine comes back if it was in vain
            if waiting is None or not _tell(*waiting):
                self.watcher.remove(polled)


def _tell(loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None]) -> bool:
    try:
        loop.call_soon_threadsafe(_finish, ready)
    except RuntimeError:  # that loop was closed with the wait in it: nobody is there to be told
        return False
    return True


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


_pools: list[_Pool] = []


def _pool() -> _Pool:
    """This process's; a forked child has no threads of its parent's and starts its own."""
    if not _pools or _pools[0].pid != os.getpid():
        _pools[:] = [_Pool()]
    return _pools[0]
