"""Closing in the midst: by another thread, by an argument, by a signal handler; and what is told of a topic."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from helpers.peer import _Lender
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm import inspection
from namedshm._facts.looking import look
from namedshm.topic import Topic

Make = Callable[..., Topic]
Reader = Callable[..., Topic]

WAITS: dict[str, Callable[[Topic], object]] = {
    "latest": lambda t: t.latest(),
    "next": lambda t: t.next(),
    "latest_into": lambda t: t.latest_into(bytearray(t.max_size)),
    "view": lambda t: t.view(),
    "pin": lambda t: t.pin(),
    "loan": lambda t: t.loan(),
}


def prepared(make: Make, what: str) -> tuple[Topic, Any]:
    """A topic on which that call waits, and what makes it so."""
    t = make(writers=1)
    return t, t.loan() if what == "loan" else None


@pytest.mark.parametrize("what", WAITS)
def test_who_waits_with_a_handle_that_is_closed_is_told(make: Make, what: str) -> None:
    t, kept = prepared(make, what)
    waiting = [InThread(lambda: WAITS[what](t)) for _ in range(3)]
    if what != "loan":
        until(lambda: t.statistics().waiting == 3, "who waits")
    t.close()
    with pytest.raises(namedshm.NotFound):  # the name goes at once
        Topic.open(str(t.name))
    for thread in waiting:
        with pytest.raises(namedshm.ClosedHandle):
            thread.join()
    if kept is not None:
        kept.abandon()


@pytest.mark.parametrize("what", WAITS)
def test_a_signal_handler_may_close_what_its_thread_waits_for(make: Make, what: str) -> None:
    t, kept = prepared(make, what)
    before = signal.signal(signal.SIGALRM, lambda *_: t.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(namedshm.ClosedHandle):
            WAITS[what](t)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if kept is not None:
        kept.abandon()


class Closing(Fraction):
    """A number of seconds that closes something when it is looked at."""

    topic: Topic

    def __float__(self) -> float:
        self.topic.close()
        return 0.001


@pytest.mark.parametrize("what", ["latest", "next", "view", "pin", "loan", "publish", "latest_into"])
def test_a_timeout_that_closes_the_topic_is_refused_like_any_closed_handle(make: Make, what: str) -> None:
    t = make(max_size=2000)
    t.publish(bytes(2000))
    seconds: Any = Closing(1)
    seconds.topic = t
    arguments: dict[str, tuple[object, ...]] = {"publish": (b"x",), "latest_into": (bytearray(2000),)}
    with pytest.raises(namedshm.ClosedHandle):
        getattr(t, what)(*arguments.get(what, ()), seconds)


def test_an_index_that_ends_a_window_reads_no_memory_of_others(make: Make) -> None:
    t = make(history=1)
    t.publish(b"\7" * 5000)
    view = t.pin()

    class Releasing:
        def __index__(self) -> int:
            view.release()
            t.close()
            return 3

    assert view[Releasing()] == 7
    with pytest.raises(namedshm.ClosedHandle):
        view[3]


@pytest.mark.parametrize("most", [100, 5000])
def test_a_length_that_ends_the_loan_is_harmless(make: Make, most: int) -> None:
    t = make(max_size=most)
    loan: Any = t.loan(size=10)

    class Abandoning:
        def __index__(self) -> int:
            loan.abandon()
            return 3

    loan.length = Abandoning()
    with pytest.raises(namedshm.ClosedHandle):
        loan.commit()
    assert t.statistics().published == 0


def test_many_threads_release_one_pin_once(make: Make) -> None:
    t = make(pins=2)
    t.publish(bytes(5000))
    for _ in range(100):
        pin = t.pin()
        barrier = threading.Barrier(4)

        def release(pin: Any = pin, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            pin.release()

        threads = [threading.Thread(target=release) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert t.statistics().pinned == 0


def test_threads_share_a_handle(make: Make) -> None:
    t = make(history=64, writers=8)

    def publish(who: int) -> None:
        for number in range(300):
            t.publish(bytes([who]) * (1 + number * 31 % 4000))

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if t.statistics().published:
            data = t.latest()
            assert data == data[:1] * len(data)
    for thread in threads:
        thread.join()
    assert t.statistics().published == 900


# ------------------------------------------------------------------------------------------------------------ looking
def test_its_repr_tells_what_is_in_it(make: Make, name: str) -> None:
    t = make(name=name, max_size=3000)
    t.publish(b"x")
    assert repr(t) == f"<namedshm.Topic {name!r}: values of 3000 bytes at most, 1 published>"
    t.shutdown()
    assert repr(t) == f"<namedshm.Topic {name!r}: values of 3000 bytes at most, 1 published, shut down>"
    with t.view() as view:
        assert repr(view) == "<namedshm.topic.View of value 1, 1 bytes, pinned>"
    assert repr(view) == "<namedshm.topic.View of value 1, 1 bytes, ended>"
    t.close()
    assert repr(t) == f"<namedshm.Topic {name!r}: bytes of 3000 bytes at most, closed>"
    with Topic.create() as unnamed:
        assert "unnamed" in repr(unnamed)
        assert unnamed.name is None
        with pytest.raises(namedshm.topic.Empty, match="an unnamed topic"):
            unnamed.latest(0)
        loan: Any = unnamed.loan(size=5)
        assert repr(loan) == "<namedshm.topic.Loan of 5 bytes>"
        loan.abandon()
        assert repr(loan) == "<namedshm.topic.Loan of 5 bytes, ended>"


def test_statistics_tell_what_went_through(make: Make, peers: _Lender) -> None:
    t = make()
    none = t.statistics()
    assert (none.published, none.published_bytes, none.age, none.waiting, none.loaned, none.pinned) == (0, 0, None, 0, 0, 0)
    t.publish(b"x" * 3000)
    with t.loan(), t.pin():
        some = t.statistics()
        assert (some.published, some.published_bytes, some.loaned, some.pinned) == (1, 3000, 1, 1)
        assert some.free_frames == none.free_frames - 2
        assert some.age is not None
        assert some.age >= 0
    assert repr(some).startswith("<Statistics published 1, published_bytes 3000, age ")
    peer = peers(name=t.name)
    peer.do("t = namedshm.Topic.open(name); pin = t.pin()")
    (here,) = [one for one in t.participants() if one.pid == os.getpid() and one.role == "writer"]
    (there,) = [one for one in t.participants() if one.pid == peer.pid]
    assert (here.alive, here.uid, there.role, there.alive) == (True, None, "pinner", True)
    assert repr(here) == f"<writer in process {os.getpid()}>"
    peer.kill()
    assert "dead" in repr([one for one in t.participants() if one.pid == peer.pid])


def test_when_a_value_was_published_is_told_by_the_clock_of_time_monotonic(make: Make) -> None:
    import time

    t = make()
    before = time.monotonic()
    t.publish(b"x")
    after = time.monotonic()
    with t.view() as view:
        assert before <= view.time <= after


def test_it_is_among_what_is_alive(make: Make, reader: Reader) -> None:
    t = make(max_size=3000)
    t.publish(b"")
    (info,) = [info for info in namedshm.list_objects() if info.name == t.name]
    assert info.type == "topic"
    assert namedshm.describe(str(t.name)) == info
    state = inspection.state(str(t.name))
    assert state.pop("age") >= 0
    expected = {"values": "values of 3000 bytes at most", "published": 1, "writers": 1, "waiting": 0, "shut_down": False}
    assert state == expected
    told = dict(look(str(t.name), 80).rows())["state"]
    assert told.startswith("values of 3000 bytes at most: 1 value, the last ")
    assert told.endswith(" s ago, 1 writer")
    r = reader(t)
    waiting = InThread(lambda: r.latest(new=True) if r.latest() is not None else None)
    until(lambda: t.statistics().waiting, "who waits")
    assert dict(look(str(t.name), 80).rows())["state"].endswith(", 1 writer, 1 thread waiting")
    t.shutdown()
    with pytest.raises(namedshm.topic.ShutDown):
        waiting.join()
    assert dict(look(str(t.name), 80).rows())["state"].endswith(", shut down")


def test_how_long_it_spins_can_be_set(make: Make) -> None:
    t = make()
    assert t.spin == pytest.approx(20e-6)
    t.spin = 0.5
    assert t.spin == 0.5
    with pytest.raises(TypeError):
        t.spin = "long"  # type: ignore[assignment]
