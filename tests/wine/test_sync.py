"""Mutexes, events and semaphores of the Windows backend: what is Windows' own, beside the conformance suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.peer import Peer

import namedshm
from namedshm._backend import backend

from . import win

Peers = Callable[..., Peer]


def _kinds(name: str) -> dict[str, Callable[..., namedshm.Mutex | namedshm.Event | namedshm.Semaphore]]:
    return {
        "Mutex": lambda **options: namedshm.Mutex(name, **options),
        "Event": lambda **options: namedshm.Event(name, **options),
        "Semaphore": lambda **options: namedshm.Semaphore(name, **options),
    }


def test_the_objects_are_windows_own(name: str) -> None:
    mutex, event = namedshm.Mutex(name + "m", owned=True), namedshm.Event(name + "e", manual=True, initial=True)
    plain = win.kernel32.CreateMutexW(None, False, name + "m")
    assert win.last_error() == 183
    assert win.kernel32.ReleaseMutex(plain)  # this thread owns it, by whatever handle
    with pytest.raises(namedshm.NotOwned) as caught:
        mutex.release()
    assert caught.value.winerror == 288
    plain_event = win.kernel32.CreateEventW(None, True, False, name + "e")
    assert event.wait(0)
    win.close(plain, plain_event)


@pytest.mark.parametrize("kind", ["Mutex", "Event", "Semaphore"])
def test_creating_only_refuses_what_exists(name: str, kind: str) -> None:
    make = _kinds(name)[kind]
    first = make(exist_ok=False)
    assert first.created
    assert not make().created
    with pytest.raises(namedshm.AlreadyExists, match="open it") as caught:
        make(exist_ok=False)
    assert (caught.value.winerror, caught.value.call) == (183, f"Create{kind}ExW")
    first.close()
    assert make(exist_ok=False).created


@pytest.mark.parametrize(("kind", "modify"), [("Mutex", 1), ("Event", 3), ("Semaphore", 3)])
def test_a_mode_becomes_an_access_list(name: str, kind: str, modify: int) -> None:
    thing = _kinds(name)[kind](mode=0o606)
    handle: int = thing.os_handle
    entry = next(e for e in win.security(handle).split("(") if e.rstrip(")").endswith(";WD"))
    assert int(entry.split(";")[2], 16) == 0x120000 | modify  # wait, read the list; look at the state, change it


def test_a_killed_owner_abandons_the_mutex_to_one_waiter(name: str, peers: Peers) -> None:
    owner, waiter = peers(name=name), peers(name=name)
    owner.do("m = namedshm.Mutex(name, owned=True)")
    waiter.do("m = namedshm.Mutex(name)")
    waiter.start("got = m.acquire(60); (bool(got), got.abandoned)")
    owner.kill()
    assert waiter.result() == (True, True)
    assert waiter.do("m.release(); got = m.acquire(0); (bool(got), got.abandoned)") == (True, False)


def test_a_wait_in_the_main_thread_ends_with_ctrl_c(name: str, peers: Peers) -> None:
    peer = peers(name=name)
    with namedshm.Mutex(name, owned=True):
        peer.do("import signal, threading; m = namedshm.Mutex(name); e = namedshm.Event(None)")
        for wait in ("m.acquire()", "namedshm.wait_all([m, e])"):
            code = f"t = threading.Thread(target=signal.raise_signal, args=(signal.SIGINT,)); t.start(); {wait}"
            with pytest.raises(KeyboardInterrupt):
                peer.do(code)


def test_a_handle_twice_in_a_wait_for_all_is_refused(name: str) -> None:
    event = namedshm.Event(name, initial=True)
    with pytest.raises(namedshm.InvalidArgument) as caught:
        namedshm.wait_all([event, event])
    assert caught.value.winerror == 87


def test_sixty_four_objects_can_be_waited_for(names: Callable[[], str]) -> None:
    events = [namedshm.Event(names()) for _ in range(64)]
    events[63].set()
    result = namedshm.wait_any(events, 10)
    assert result
    assert result.index == 63
    assert namedshm.wait_any(events, 0.01) is None


def test_a_closed_handle_is_refused(name: str) -> None:
    event = namedshm.Event(name)
    event.close()
    event.close()
    for call in (event.set, event.clear, lambda: event.wait(0), lambda: namedshm.wait_any([event], 0), event.duplicate):
        with pytest.raises(namedshm.ClosedHandle):
            call()


def test_the_listing_tells_of_them(name: str) -> None:
    with namedshm.Event("Global\\" + name):
        assert ("Global\\" + name, "event") in {(info.name, info.type) for info in backend.list_objects()}
