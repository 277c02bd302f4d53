"""A storm of threads: python -m tests.unit.storm SECONDS [THREADS]

Every thread does everything with handles, views and waits that all share, while others close them and put new ones in their
place.  Any exception of ours is fine.  The process must not die, hang, or keep a name: it prints "survived" and how many calls.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import namedshm
from namedshm import win32

NAME = f"storm{os.getpid()}"


class Shared:
    """What all threads use; each of these is replaced now and then, without a lock."""

    def __init__(self) -> None:
        self.section = namedshm.create(NAME, 200_000, exist_ok=True)
        self.view = self.section.map()
        self.copy = self.section.map(access="copy")
        self.mutex = namedshm.Mutex(NAME + "m")
        self.event = namedshm.Event(NAME + "e", manual=True)
        self.semaphore = namedshm.Semaphore(NAME + "s", initial=2, maximum=100_000_000)
        self.queue = namedshm.Queue.create(NAME + "q", 16, 3000, ack=True, exist_ok=True)
        self.windows: deque[Any] = deque()
        self.handles = deque(win32.CreateEvent(None, True, True, NAME + "w") for _ in range(20))


class Thread(threading.Thread):
    def __init__(self, shared: Shared, seed: int, ends: float) -> None:
        super().__init__()
        self.shared, self.chance, self.ends, self.calls = shared, random.Random(seed), ends, 0
        self.unexpected: list[BaseException] = []

    def ways(self) -> list[Callable[[], Any]]:
        s, pick = self.shared, self.chance.choice
        large = bytes(100_000)

        def hold() -> None:
            mutex = s.mutex
            if mutex.acquire(pick([0, 0.001])):
                mutex.release()

        def use_buffer() -> None:
            with memoryview(s.view) as buffer:
                buffer[pick([0, 4096, 199_999])] = 1

        def renew(what: str, make: Callable[[], Any]) -> None:
            old = getattr(s, what)
            setattr(s, what, make())
            old.close()

        def renew_handle() -> None:
            s.handles.append(win32.CreateEvent(None, True, True, NAME + "w"))
            win32.CloseHandle(s.handles.popleft())

        def within(window: Any) -> None:
            s.windows.append(window)
            with window:
                bytes(window)
                if len(window) and isinstance(window, namedshm.queue.Loan):
                    window[0] = 1

        def end_windows() -> None:
            while len(s.windows) > 3:
                window = s.windows.popleft()
                window.abandon() if hasattr(window, "abandon") else pick([window.release, window.give_back])()

        return [
            lambda: s.queue.put(bytes(pick([3, 300, 3000])), pick([0, 0.001])),
            lambda: s.queue.put_many([b"x"] * pick([1, 5, 20]), 0.001),
            lambda: s.queue.get(pick([0, 0.001])),
            lambda: s.queue.get_many(pick([1, 20]), 0),
            lambda: within(s.queue.loan(pick([0, 50]), 0)),
            lambda: within(s.queue.take(0)),
            lambda: s.windows.append(s.queue.take(0)),
            lambda: s.windows.append(s.queue.loan(10, 0)),
            lambda: bytes(s.windows[0]),
            end_windows,
            lambda: (s.queue.statistics(), s.queue.participants(), s.queue.qsize()),
            lambda: renew("queue", lambda: namedshm.Queue.open(NAME + "q")),
            lambda: s.section.map().close(),
            lambda: s.section.map(65536, 5, "read")[0],
            lambda: s.section.duplicate("read").map(access="read")[10],
            lambda: s.section.duplicate().close(),
            lambda: namedshm.open(NAME).close(),
            lambda: s.view[0],
            lambda: s.view[:],
            lambda: s.view[::777],
            lambda: s.view.__setitem__(slice(0, 100_000), large),
            lambda: s.view.__setitem__(5, 6),
            lambda: s.copy.__setitem__(self.chance.randrange(200_000), 6),
            lambda: s.view.populate(threads=2),
            lambda: s.view.flush(),
            lambda: namedshm.copy(s.copy, s.view),
            use_buffer,
            hold,
            hold,
            lambda: s.event.wait(pick([0, 0.001])),
            lambda: s.event.set(),
            lambda: s.event.clear(),
            lambda: s.event.pulse(),
            lambda: s.semaphore.acquire(pick([0, 0.001])),
            lambda: s.semaphore.release(),
            lambda: namedshm.wait_any([s.event, s.semaphore], 0.001),
            lambda: namedshm.wait_all([s.event, s.semaphore], 0.001),
            lambda: s.mutex.duplicate().close(),
            lambda: win32.WaitForSingleObject(s.handles[0], 0),
            lambda: win32.SetEvent(s.handles[0]),
            lambda: renew("section", lambda: namedshm.create(NAME, 200_000, exist_ok=True)),
            lambda: renew("view", lambda: s.section.map()),
            lambda: renew("copy", lambda: s.section.map(access="copy")),
            lambda: renew("mutex", lambda: namedshm.Mutex(NAME + "m")),
            lambda: renew("event", lambda: namedshm.Event(NAME + "e", manual=True)),
            lambda: renew("semaphore", lambda: namedshm.Semaphore(NAME + "s", initial=2, maximum=100_000_000)),
            renew_handle,
            lambda: namedshm.list_objects(),
        ]

    def run(self) -> None:
        ways = self.ways()
        while time.monotonic() < self.ends:
            try:
                self.chance.choice(ways)()
            except (namedshm.NamedShmError, IndexError, BufferError):
                pass
            except BaseException as error:
                self.unexpected.append(error)
                return
            self.calls += 1


def main(seconds: float, count: int = 6) -> int:
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds + 60, exit=True)
    sys.setswitchinterval(1e-5)
    shared = Shared()
    threads = [Thread(shared, seed, time.monotonic() + seconds) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        for error in thread.unexpected:
            print("unexpected:", repr(error), file=sys.stderr)
    while shared.windows:  # each keeps its queue, which may be one that nobody has closed
        window: Any = shared.windows.pop()
        window.abandon() if hasattr(window, "abandon") else window.release()
        del window
    for thing in (shared.section, shared.view, shared.copy, shared.mutex, shared.event, shared.semaphore, shared.queue):
        thing.close()  # type: ignore[attr-defined]
    for handle in shared.handles:
        win32.CloseHandle(handle)
    left = [info.name for info in namedshm.list_objects() if info.name.startswith(NAME)]
    if left:
        print("left:", left, file=sys.stderr)
    print("survived", sum(thread.calls for thread in threads))
    return 1 if left or any(thread.unexpected for thread in threads) else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *map(int, sys.argv[2:])))
