"""A process is stopped while it takes several objects at once: tries do not wait for it, waits end in time, changes let others run.

What it leaves is a reservation on each object, and the lock of the registry in its hand.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from helpers.facts import on_linux
from helpers.peer import _Lender
from helpers.threads import InThread

import namedshm

from .words import LOCK, RESERVED, STATE, Page

pytestmark = pytest.mark.skipif(not on_linux, reason="on Windows the kernel takes several objects at once")

AT_ONCE = 1.0  # seconds, on a busy machine


class Stopped:
    """Objects of all kinds, all signaled, reserved by a living process."""

    def __init__(self, name: str, pid: int) -> None:
        makers: dict[str, Callable[[], namedshm.sync.Waitable]] = {
            "Mutex": lambda: namedshm.Mutex(name + "-m"),
            "Event": lambda: namedshm.Event(name + "-e", initial=True),
            "Semaphore": lambda: namedshm.Semaphore(name + "-s", initial=1, maximum=5),
        }
        made = {kind: Page.of(make) for kind, make in makers.items()}
        self.set, self.unset = namedshm.Event(name + "-set", manual=True, initial=True), namedshm.Event(name + "-unset")
        self.objects = {kind: thing for kind, (thing, _) in made.items()}
        self._pages = {kind: page for kind, (_, page) in made.items()}
        self._registry = Page.of_registry()
        self._pid = pid

    def stop(self) -> None:
        self._registry.words[LOCK // 4] = self._pid
        for kind, page in self._pages.items():
            page.words[STATE // 4] |= RESERVED[kind]

    def go_on(self) -> None:
        for kind, page in self._pages.items():
            page.words[STATE // 4] &= ~RESERVED[kind]
        self._registry.words[LOCK // 4] = 0

    def close(self) -> None:
        self.go_on()
        for page in (*self._pages.values(), self._registry):
            page.close()


@pytest.fixture
def stopped(name: str, peers: _Lender) -> Iterator[Stopped]:
    stopped = Stopped(name, peers().pid)
    stopped.stop()
    yield stopped
    stopped.close()


KINDS = ["Mutex", "Event", "Semaphore"]
TAKES: dict[str, Callable[[Stopped, str, float], object]] = {
    "it": lambda s, kind, timeout: (s.objects[kind].wait if kind == "Event" else s.objects[kind].acquire)(timeout),  # type: ignore[attr-defined]
    "any": lambda s, kind, timeout: namedshm.wait_any([s.objects[kind], s.unset], timeout),
    "all": lambda s, kind, timeout: namedshm.wait_all([s.objects[kind], s.set], timeout),
}
CHANGES: dict[str, Callable[[Stopped], object]] = {
    "set": lambda s: s.objects["Event"].set(),  # type: ignore[attr-defined]
    "clear": lambda s: s.objects["Event"].clear(),  # type: ignore[attr-defined]
    "pulse": lambda s: s.objects["Event"].pulse(),  # type: ignore[attr-defined]
    "release": lambda s: s.objects["Semaphore"].release(),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("what", TAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_try_does_not_wait_for_it(stopped: Stopped, kind: str, what: str) -> None:
    start = time.monotonic()
    assert not TAKES[what](stopped, kind, 0)
    assert time.monotonic() - start < AT_ONCE
    stopped.go_on()
    assert TAKES[what](stopped, kind, 0)


@pytest.mark.parametrize("what", TAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_ends_when_its_time_is_up(stopped: Stopped, kind: str, what: str) -> None:
    start = time.monotonic()
    assert not TAKES[what](stopped, kind, 0.2)
    assert 0.19 < time.monotonic() - start < 0.2 + AT_ONCE


@pytest.mark.parametrize("what", TAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_goes_on_when_the_other_does(stopped: Stopped, kind: str, what: str, in_thread: type[InThread]) -> None:
    waiting = in_thread(lambda: bool(TAKES[what](stopped, kind, 30)))
    time.sleep(0.05)  # not for coordination: most likely it waits by then
    stopped.go_on()
    assert waiting.join()


def test_a_wait_for_any_takes_what_is_not_held_up(stopped: Stopped) -> None:
    result = namedshm.wait_any([*stopped.objects.values(), stopped.set], 10)
    assert result is not None
    assert result.index == 3


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_waits_and_lets_other_threads_run(stopped: Stopped, what: str, in_thread: type[InThread]) -> None:
    changing = in_thread(lambda: CHANGES[what](stopped))
    start = last = time.monotonic()
    longest = 0.0
    while last - start < 0.5:
        assert changing.running
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    stopped.go_on()
    changing.join()
    assert longest < AT_ONCE


@pytest.mark.parametrize("what", CHANGES)
def test_a_signal_ends_a_change_that_waits(stopped: Stopped, what: str) -> None:
    class Enough(Exception):
        pass

    def handle(*_: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, handle)
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Enough):
            CHANGES[what](stopped)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 0.5 + AT_ONCE


def test_a_change_that_waits_for_long_says_why(stopped: Stopped) -> None:
    with pytest.raises(namedshm.OutOfResources, match="stopped"):
        stopped.objects["Semaphore"].release()  # type: ignore[attr-defined]
