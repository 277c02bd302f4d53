"""What an object is at this moment: looking takes nothing and changes nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest
from helpers.facts import on_linux
from helpers.peer import _Lender

import namedshm
from namedshm import inspection


def test_a_mutex_tells_whether_it_is_locked(name: str, peers: _Lender) -> None:
    mutex = namedshm.Mutex(name)
    assert not mutex.locked()
    assert mutex.owner is None
    with mutex:
        assert mutex.locked()
        assert mutex.owner in ((threading.get_native_id(),) if on_linux else (threading.get_native_id(), None))
        assert peers().do(f"namedshm.Mutex({name!r}).locked()") is True
    assert not mutex.locked()
    assert mutex.acquire(0)
    mutex.release()


def test_a_mutex_of_a_killed_owner_is_not_locked_and_its_next_owner_is_told(name: str, peers: _Lender) -> None:
    mutex = namedshm.Mutex(name)
    other = peers()
    other.do(f"m = namedshm.Mutex({name!r}); m.acquire(); import threading")
    assert mutex.locked()
    if on_linux:
        assert mutex.owner == other.do("threading.get_native_id()")
    other.kill()
    assert not mutex.locked()
    assert mutex.owner is None
    assert mutex.acquire(0).abandoned
    mutex.release()


@pytest.mark.parametrize("manual", [False, True])
def test_an_event_tells_whether_it_is_set_and_stays_so(name: str, manual: bool) -> None:
    event = namedshm.Event(name, manual=manual)
    assert not event.is_set()
    event.set()
    assert event.is_set()
    assert event.is_set()
    assert event.wait(0)
    assert event.is_set() is manual


def test_a_semaphore_tells_its_count(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=2, maximum=5)
    assert semaphore.value == 2
    semaphore.acquire()
    assert namedshm.Semaphore.open(name, "wait").value == 1
    semaphore.release(4)
    assert semaphore.value == 5


KINDS: dict[str, Callable[[str], namedshm.Mutex | namedshm.Event | namedshm.Semaphore]] = {
    "mutex": namedshm.Mutex,
    "event": namedshm.Event,
    "semaphore": namedshm.Semaphore,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_handle_does_not_look(name: str, kind: str) -> None:
    handle = KINDS[kind](name)
    handle.close()
    with pytest.raises(namedshm.ClosedHandle):
        handle.look()


def test_inspection_tells_by_name_and_keeps_nothing_alive(names: Callable[[], str]) -> None:
    mutex, event, semaphore, section = names(), names(), names(), names()
    kept = namedshm.Mutex(mutex), namedshm.Event(event, initial=True), namedshm.Semaphore(semaphore, initial=3)
    block = namedshm.create(section, 1)
    assert inspection.state(mutex) == {"locked": False, "owner": None}
    with kept[0]:
        assert inspection.state(mutex)["locked"] is True
    assert inspection.state(event) == {"set": True}
    assert kept[1].is_set(), "looking takes nothing"
    assert inspection.state(semaphore) == {"value": 3}
    assert inspection.state(section) == {}
    block.close()
    for handle, name in zip(kept, (mutex, event, semaphore), strict=True):
        handle.close()
        with pytest.raises(namedshm.NotFound):
            inspection.state(name)


def test_async_with(names: Callable[[], str]) -> None:
    mutex, semaphore = namedshm.Mutex(names()), namedshm.Semaphore(names())

    async def use() -> None:
        async with mutex as got, semaphore:
            assert got
            assert mutex.locked()
            assert semaphore.value == 0

    asyncio.run(use())
    assert not mutex.locked()
    assert semaphore.value == 1


# ---------------------------------------------------------------------------------------------------- what is dropped
def test_a_mutex_that_is_collected_while_owned_is_warned_of(name: str) -> None:
    with pytest.warns(ResourceWarning, match=f"mutex {name!r}.*guards nothing"):
        assert namedshm.Mutex(name).acquire(0)


def test_a_section_that_is_collected_while_its_view_lives_is_warned_of(name: str) -> None:
    with pytest.warns(ResourceWarning, match=f"section {name!r}.*name"):
        view = namedshm.create(name, 100).map()
    assert view[:] == bytes(100)


@pytest.mark.filterwarnings("error")
def test_what_is_closed_or_not_needed_is_not_warned_of(names: Callable[[], str]) -> None:
    raised = []
    before, sys.unraisablehook = sys.unraisablehook, raised.append
    try:
        with namedshm.create(names(), 100) as section:
            view = section.map()
        del section
        namedshm.create(names(), 100)
        first = namedshm.create(names(), 100)
        del view, first
        mutex = namedshm.Mutex(names())
        with mutex:
            pass
        del mutex
        unnamed = namedshm.create(None, 100).map()
        del unnamed
    finally:
        sys.unraisablehook = before
    assert not raised
