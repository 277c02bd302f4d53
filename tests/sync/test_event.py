"""Events: auto-reset ones are consumed, manual ones stay, pulses reach who waits."""

from __future__ import annotations

import pickle

import pytest
from helpers.peer import _Lender
from helpers.threads import InThread

import namedshm


def test_an_auto_reset_event_is_consumed_by_one_wait(name: str) -> None:
    event = namedshm.Event(name)
    assert not event.wait(0)
    event.set()
    event.set()  # sets do not add up
    assert event.wait(0)
    assert not event.wait(0)


def test_a_manual_event_stays_set_until_cleared(name: str) -> None:
    event = namedshm.Event(name, manual=True, initial=True)
    assert event.wait(0)
    assert event.wait(0)
    event.clear()
    assert not event.wait(0)


def test_the_settings_of_a_living_event_stay(name: str) -> None:
    event = namedshm.Event(name, manual=True, initial=True)
    second = namedshm.Event(name, manual=False, initial=False)
    assert not second.created
    assert second.wait(0)
    assert event.wait(0)


def test_a_set_reaches_another_process(name: str, peers: _Lender) -> None:
    event, answer = namedshm.Event(name), namedshm.Event(name + "-answer")
    other = peers(name=name)
    other.start("namedshm.Event(name).wait(); namedshm.Event(name + '-answer').set()")
    event.set()
    assert answer.wait(30)
    other.result()


def test_of_many_waiters_an_auto_reset_event_releases_one_each_time(name: str, in_thread: type[InThread]) -> None:
    event, passed = namedshm.Event(name), namedshm.Semaphore(name + "-passed", initial=0, maximum=10)

    def wait() -> None:
        event.wait()
        passed.release()

    waiting = [in_thread(wait) for _ in range(5)]
    for _ in waiting:
        event.set()
        assert passed.acquire(30)
        assert not passed.acquire(0)
    for thread in waiting:
        thread.join()
    assert not event.wait(0)


def test_a_manual_event_releases_all(name: str, in_thread: type[InThread]) -> None:
    event = namedshm.Event(name, manual=True)
    waiting = [in_thread(event.wait) for _ in range(5)]
    event.set()
    assert all(thread.join() for thread in waiting)


def test_a_pulse_with_nobody_waiting_leaves_it_nonsignaled(name: str) -> None:
    for manual in (False, True):
        event = namedshm.Event(name + str(manual), manual=manual, initial=True)
        event.pulse()
        assert not event.wait(0)


@pytest.mark.parametrize("manual", [False, True])
def test_a_pulse_releases_who_waits(name: str, manual: bool, in_thread: type[InThread]) -> None:
    event = namedshm.Event(name, manual=manual)
    waiting = in_thread(event.wait)
    while waiting.running:  # a pulse before the wait began is missed, as on Windows
        event.pulse()
    assert waiting.join()
    assert not event.wait(0)


def test_waiting_needs_one_right_and_setting_another(name: str) -> None:
    event = namedshm.Event(name)
    waiter, setter = namedshm.Event.open(name, "wait"), namedshm.Event.open(name, "modify")
    for call in (waiter.set, waiter.clear, waiter.pulse, setter.wait):
        with pytest.raises(namedshm.AccessDenied) as failure:
            call()
        assert failure.value.winerror == 5
    setter.set()
    assert waiter.wait(0)
    assert not event.wait(0)
    copy = pickle.loads(pickle.dumps(waiter))
    with pytest.raises(namedshm.AccessDenied):
        copy.set()


def test_a_closed_handle_is_refused(name: str) -> None:
    with namedshm.Event(name) as event:
        pass
    for call in (event.set, event.clear, event.pulse, event.wait):
        with pytest.raises(namedshm.ClosedHandle):
            call()


def test_unnamed_events_are_separate() -> None:
    one, two = namedshm.Event(), namedshm.Event()
    one.set()
    assert not two.wait(0)
    assert one.wait(0)
    assert one.name is None


def test_time_that_is_no_number_is_refused(name: str) -> None:
    event = namedshm.Event(name)
    with pytest.raises(namedshm.InvalidArgument):
        event.wait(float("nan"))
    with pytest.raises(TypeError):
        event.wait("soon")  # type: ignore[arg-type]
    event.set()
    assert event.wait(float("inf"))


def test_a_set_that_is_cleared_at_once_does_not_hold_a_wait_all_up(name: str, in_thread: type[InThread]) -> None:
    """Once it made the wait spin for ever, its deadline forgotten."""
    event, mutex = namedshm.Event(name, manual=True), namedshm.Mutex(name + "-mutex", owned=True)
    waiting = in_thread(lambda: namedshm.wait_all([event, mutex], 0.3))
    for _ in range(100):
        event.set()
        event.clear()
    assert waiting.join() is None
    mutex.release()
