"""Waiting in asyncio: one thread of the process watches the waits of all event loops.

A waiting coroutine polls in its loop's thread; when that fails it gives its wait to a watcher, whose thread tells the loop when
another poll may succeed.  So an acquired mutex is owned by the loop's thread, and a wait that ends in any other way than by a
result has taken nothing.  Nobody polls by the clock, and no thread is occupied per waiter (Linux: one per 127 objects waited for at
the same time; Windows: one per 64, and one that tells).
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from ._backend import backend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._backend.contract import PolledWait, SyncHandle

__all__ = ["wait"]


async def wait(handles: Sequence[SyncHandle], all: bool, timeout: float | None) -> tuple[int, int]:
    """As ``Backend.wait``: (index or -1 when ``timeout`` seconds are over, abandoned mask).  Cancelling takes nothing."""
    polled = backend.begin_wait(handles, all)
    got = polled.poll()
    if got is not None:
        return got
    if timeout is not None and timeout <= 0:
        return -1, 0
    try:
        async with asyncio.timeout(timeout):
            return await _wait_on(polled)
    except TimeoutError:
        got = polled.poll()  # signaled at the last moment: a wait that can be satisfied is
        return (-1, 0) if got is None else got


async def _wait_on(polled: PolledWait) -> tuple[int, int]:
    loop = asyncio.get_running_loop()
    while True:
        ready: asyncio.Future[None] = loop.create_future()
        thread = _pool().add(polled, loop, ready)
        try:
            await ready
            got = polled.poll()
        finally:  # however it ends: what was taken for it and not polled goes back
            thread.discard(polled)
        if got is not None:
            return got


class _Pool:
    """The watcher threads of this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.threads: list[_Thread] = []

    def add(self, polled: PolledWait, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None]) -> _Thread:
        """The thread that watches it now."""
        with self.lock:
            for thread in self.threads:
                if thread.add(polled, loop, ready):
                    return thread
            thread = _Thread()
            thread.add(polled, loop, ready)
            thread.start()
            self.threads.append(thread)
            return thread


class _Thread:
    """A watcher's thread and whom it tells.  It ends with the process."""

    def __init__(self) -> None:
        self.watcher = backend.watcher()
        self.lock = threading.RLock()  # a task that is collected as garbage ends its wait in the middle of anything
        self.waits: dict[PolledWait, tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = {}

    def start(self) -> None:
        threading.Thread(target=self.run, name="namedshm-watcher", daemon=True).start()

    def add(self, polled: PolledWait, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None]) -> bool:
        with self.lock:  # so run() does not find it ready before it stands there
            added = self.watcher.add(polled)
            if added:
                self.waits[polled] = loop, ready
            return added

    def discard(self, polled: PolledWait) -> None:
        with self.lock:
            self.waits.pop(polled, None)
            self.watcher.remove(polled)

    def run(self) -> None:
        while True:
            self.tell(self.watcher.ready())  # the waits are in no variable while it sleeps: they would keep their handles

    def tell(self, waits: list[PolledWait]) -> None:
        for polled in waits:
            with self.lock:
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
