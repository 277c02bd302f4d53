"""Waits and signals: Ctrl-C ends a wait at once; after any other signal it goes on, with its deadline."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer, PeerDied
from helpers.turns import until

import namedshm

pytestmark = pytest.mark.skipif(not on_linux, reason="signals of this kind are those of Linux; tests/wine has Ctrl-C on Windows")


def asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


WAITS = {
    "a mutex": "namedshm.Mutex(name + '-m').acquire()",
    "an event": "namedshm.Event(name + '-e').wait()",
    "a semaphore": "namedshm.Semaphore(name + '-s').acquire()",
    "any": "namedshm.wait_any([namedshm.Event(name + '-e'), namedshm.Mutex(name + '-m')])",
    "all": "namedshm.wait_all([namedshm.Event(name + '-e'), namedshm.Semaphore(name + '-s')])",
}


@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_interrupts_a_wait_at_once_and_nothing_is_taken(name: str, what: str) -> None:
    mutex, event = namedshm.Mutex(name + "-m", owned=True), namedshm.Event(name + "-e")
    semaphore, started = namedshm.Semaphore(name + "-s", initial=0, maximum=1), namedshm.Event(name + "-started")
    with Peer() as peer:
        peer.start("namedshm.Event(name + '-started').set()\n" + WAITS[what], name=name)
        assert started.wait(30)
        until(lambda: asleep(peer.pid), "the wait")
        os.kill(peer.pid, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            peer.result()
        mutex.release()
        event.set()
        semaphore.release()
        for there in (mutex, event, semaphore):
            assert namedshm.wait_any([there], 0), there
        mutex.release()
        assert peer.do("6 * 7") == 42


@pytest.fixture
def alarms() -> object:
    """alarms(seconds): SIGALRM again and again; the list of when each was handled."""
    handled: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: handled.append(time.monotonic()))

    def start(seconds: float) -> list[float]:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        return handled

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_signals_are_handled_during_a_wait_that_keeps_its_deadline(name: str, alarms: Callable[[float], list[float]]) -> None:
    event = namedshm.Event(name)
    start = time.monotonic()
    handled = alarms(0.02)
    assert not event.wait(0.3)
    took = time.monotonic() - start
    assert 0.29 <= took < 10
    assert len([moment for moment in handled if start < moment < start + took]) >= 3


def test_a_wait_for_all_keeps_its_deadline_under_signals(name: str, alarms: Callable[[float], list[float]]) -> None:
    objects = [namedshm.Event(name, initial=True), namedshm.Event(name + "-2")]
    start = time.monotonic()
    alarms(0.01)
    assert namedshm.wait_all(objects, 0.2) is None
    assert 0.19 <= time.monotonic() - start < 10
    assert objects[0].wait(0)


def test_a_handler_may_make_the_wait_succeed(name: str) -> None:
    event = namedshm.Event(name)
    before = signal.signal(signal.SIGALRM, lambda *_: event.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert event.wait(30)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_exception_of_a_handler_comes_out_of_the_wait_and_nothing_is_taken(name: str) -> None:
    class Enough(Exception):
        pass

    def handle(*_: object) -> None:
        raise Enough

    mutex, event = namedshm.Mutex(name), namedshm.Event(name + "-2")
    before = signal.signal(signal.SIGALRM, handle)

    def wait() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.02)  # here: on a slow machine it comes before the wait has begun
        namedshm.wait_all([mutex, event], 30)

    try:
        with pytest.raises(Enough):
            wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(namedshm.NotOwned):
        mutex.release()


SPINS = {
    "a mutex": lambda mutex, event, timeout: mutex.acquire(timeout, spin=30),
    "an event": lambda mutex, event, timeout: event.wait(timeout, spin=30),
}


@pytest.mark.parametrize("what", SPINS)
def test_spinning_ends_when_the_time_is_up(name: str, peers: Callable[..., Peer], what: str) -> None:
    mutex, event = namedshm.Mutex(name), namedshm.Event(name + "-2")
    holder = peers(name=name)
    holder.do("m = namedshm.Mutex(name); m.acquire()")
    start = time.monotonic()
    assert not SPINS[what](mutex, event, 0.1)
    assert 0.09 < time.monotonic() - start < 5
    holder.do("m.release()")


@pytest.mark.parametrize("what", SPINS)
def test_a_signal_ends_spinning(name: str, peers: Callable[..., Peer], what: str) -> None:
    class Enough(Exception):
        pass

    def handle(*_: object) -> None:
        raise Enough

    mutex, event = namedshm.Mutex(name), namedshm.Event(name + "-2")
    holder = peers(name=name)
    holder.do("m = namedshm.Mutex(name); m.acquire()")
    before = signal.signal(signal.SIGALRM, handle)
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Enough):
            SPINS[what](mutex, event, None)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 5
    holder.do("m.release()")


@pytest.mark.parametrize("what", ["mutex", "event", "wait_all"])
def test_a_signal_that_does_not_interrupt_the_sleep_is_handled_nevertheless(
    name: str, peers: Callable[[], Peer], what: str
) -> None:
    """It came just before the sleep, or to another thread: here one that alone does not block it."""
    mutex, event = namedshm.Mutex(name), namedshm.Event(name + "-2")
    calls = {"mutex": mutex.acquire, "event": event.wait, "wait_all": lambda: namedshm.wait_all([mutex, event])}
    holder = peers()
    holder.do("m = namedshm.Mutex(name); m.acquire()", name=name)

    def send() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        ready.wait()
        until(lambda: asleep(os.getpid()), "the wait")
        signal.raise_signal(signal.SIGALRM)

    class Enough(Exception):
        pass

    def handle(*_: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, handle)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    sender, ready = threading.Thread(target=send), threading.Event()
    try:
        sender.start()
        with pytest.raises(Enough):
            ready.set() or calls[what]()
    finally:
        sender.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.signal(signal.SIGALRM, before)
    holder.do("m.release()")


def test_a_stopped_process_waits_on_when_it_continues(name: str) -> None:
    event, started = namedshm.Event(name), namedshm.Event(name + "-started")
    with Peer() as peer:
        peer.start("namedshm.Event(name + '-started').set()\nnamedshm.Event(name).wait(60)", name=name)
        assert started.wait(30)
        until(lambda: asleep(peer.pid), "the wait")
        os.kill(peer.pid, signal.SIGSTOP)
        event.set()
        os.kill(peer.pid, signal.SIGCONT)
        assert peer.result() is True


def test_a_thread_that_dies_with_its_process_by_a_signal_abandons(name: str) -> None:
    mutex = namedshm.Mutex(name)
    with Peer() as peer:
        peer.do(
            "import threading\nmutex = namedshm.Mutex(name)\nt = threading.Thread(target=mutex.acquire); t.start(); t.join()",
            name=name,
        )
        assert mutex.acquire(30).abandoned
        mutex.release()
        peer.do("mutex.acquire()")
        os.kill(peer.pid, signal.SIGTERM)
        assert mutex.acquire(30).abandoned
        mutex.release()
        with pytest.raises(PeerDied):
            peer.do("1")


def test_exec_abandons(name: str) -> None:
    mutex = namedshm.Mutex(name)
    with Peer() as peer:
        peer.start("namedshm.Mutex(name).acquire()\nos.execv(sys.executable, [sys.executable, '-c', 'input()'])", name=name)
        held = threading.Event()
        until(lambda: held.is_set() or _abandoned(mutex, held), "the end of the owner by exec")
        peer.kill()


def _abandoned(mutex: namedshm.Mutex, held: threading.Event) -> bool:
    got = mutex.acquire(0)
    if got:
        mutex.release()
        if got.abandoned:
            held.set()
    return got.abandoned
