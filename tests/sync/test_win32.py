"""The Win32 spelling of mutexes, events and semaphores: results and error numbers, as Windows gives them."""

from __future__ import annotations

import pytest
from helpers.peer import Peer, _Lender
from helpers.threads import InThread

import namedshm
from namedshm import win32

WAIT_TIMEOUT, WAIT_ABANDONED, WAIT_FAILED = 258, 0x80, 0xFFFFFFFF


def last_error() -> int:
    return win32.GetLastError()


def test_a_mutex_from_creation_to_the_error_of_a_stranger(name: str, in_thread: type[InThread]) -> None:
    mutex = win32.CreateMutex(None, True, name)
    assert mutex
    assert last_error() == 0
    second = win32.CreateMutex(None, True, name)
    assert second
    assert last_error() == 183
    assert in_thread(lambda: win32.WaitForSingleObject(second, 0)).join() == WAIT_TIMEOUT
    assert win32.WaitForSingleObject(second, 0) == 0
    assert win32.ReleaseMutex(mutex)
    assert win32.ReleaseMutex(mutex)
    assert not win32.ReleaseMutex(mutex)
    assert last_error() == 288


def test_abandonment_is_told_by_the_wait(name: str, peers: _Lender) -> None:
    mutex, event = win32.CreateMutex(None, False, name), win32.CreateEvent(None, False, False, name + "-e")
    other = peers(name=name)
    other.do("h = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, name); assert win32.WaitForSingleObject(h, 0) == 0")
    other.kill()
    assert win32.WaitForMultipleObjects([event, mutex], False, 30000) == WAIT_ABANDONED + 1
    assert win32.ReleaseMutex(mutex)
    assert win32.WaitForSingleObject(mutex, 0) == 0
    assert win32.ReleaseMutex(mutex)


def test_events(name: str) -> None:
    event = win32.CreateEvent(None, False, True, name)
    assert win32.WaitForSingleObject(event, 0) == 0
    assert win32.WaitForSingleObject(event, 10) == WAIT_TIMEOUT
    assert win32.SetEvent(event)
    assert win32.ResetEvent(event)
    assert win32.WaitForSingleObject(event, 0) == WAIT_TIMEOUT
    assert win32.PulseEvent(event)
    assert win32.WaitForSingleObject(event, 0) == WAIT_TIMEOUT


def test_semaphores(name: str) -> None:
    semaphore = win32.CreateSemaphore(None, 1, 2, name)
    assert win32.WaitForSingleObject(semaphore, 0) == 0
    assert win32.WaitForSingleObject(semaphore, 0) == WAIT_TIMEOUT
    assert win32.ReleaseSemaphore(semaphore, 2) == (True, 0)
    assert not win32.ReleaseSemaphore(semaphore, 1)[0]
    assert last_error() == 298
    for initial, maximum in ((3, 2), (0, 0), (-1, 1), (0, -1)):
        assert not win32.CreateSemaphore(None, initial, maximum, name + "-wrong")
        assert last_error() == 87


def test_an_object_of_another_type_and_one_that_is_not_there(name: str) -> None:
    assert win32.CreateMutex(None, False, name)
    assert not win32.CreateEvent(None, False, False, name)
    assert last_error() == 6
    assert not win32.OpenSemaphore(win32.SEMAPHORE_ALL_ACCESS, False, name)
    assert last_error() == 6
    assert not win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, name + "-nobody")
    assert last_error() == 2


def test_rights(name: str) -> None:
    event = win32.CreateEvent(None, False, False, name)
    waiter, setter = (win32.OpenEvent(right, False, name) for right in (win32.SYNCHRONIZE, win32.EVENT_MODIFY_STATE))
    assert waiter
    assert setter
    assert not win32.SetEvent(waiter)
    assert last_error() == 5
    assert win32.SetEvent(setter)
    assert win32.WaitForSingleObject(setter, 0) == WAIT_FAILED
    assert last_error() == 5
    assert win32.WaitForSingleObject(waiter, 0) == 0
    assert win32.CloseHandle(event)


def test_waits_that_cannot_be(name: str) -> None:
    events = [win32.CreateEvent(None, True, True, f"{name}-{k}") for k in range(65)]
    for wrong in ([], events):
        assert win32.WaitForMultipleObjects(wrong, False, 0) == WAIT_FAILED
        assert last_error() == 87
    assert win32.WaitForMultipleObjects(events[:64], True, 0) == 0
    closed = events[0]
    assert win32.CloseHandle(closed)
    assert win32.WaitForSingleObject(closed, 0) == WAIT_FAILED
    assert last_error() == 6
    mapping = win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, win32.PAGE_READWRITE, 0, 100, name + "-section")
    assert win32.WaitForSingleObject(mapping, 0) == WAIT_FAILED
    assert last_error() == 5


def test_both_spellings_mean_the_same_objects(name: str) -> None:
    event = namedshm.Event(name)
    assert win32.SetEvent(win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, name))
    assert event.wait(0)


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_failed_wait_takes_nothing(name: str, all_of_them: bool) -> None:
    semaphore, event = win32.CreateSemaphore(None, 1, 1, name), win32.CreateEvent(None, False, False, name + "-e")
    if all_of_them:
        assert win32.WaitForMultipleObjects([semaphore, event], True, 10) == WAIT_TIMEOUT
    else:
        assert win32.WaitForMultipleObjects([event], False, 10) == WAIT_TIMEOUT
    assert win32.WaitForSingleObject(semaphore, 0) == 0


# ------------------------------------------------------------------------------------------------------------ to other processes
def _send(peer: Peer, handle: int, rights: int = 0) -> int:
    process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, peer.pid)
    options = 0 if rights else win32.DUPLICATE_SAME_ACCESS
    sent = win32.DuplicateHandle(win32.GetCurrentProcess(), handle, process, rights, False, options)
    assert sent, last_error()
    assert win32.CloseHandle(process)
    return sent


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_handles_of_all_kinds_work_in_the_process_they_were_sent_to(name: str, named: bool, peers: _Lender) -> None:
    peer = peers()
    mutex, event, semaphore = (
        win32.CreateMutex(None, True, name + "-m" if named else None),
        win32.CreateEvent(None, False, False, name + "-e" if named else None),
        win32.CreateSemaphore(None, 0, 5, name + "-s" if named else None),
    )
    sent = {f"{kind}_sent": _send(peer, handle) for kind, handle in {"m": mutex, "e": event, "s": semaphore}.items()}
    assert peer.do("win32.ReleaseMutex(m_sent), win32.GetLastError()", **sent) == (False, 288)
    assert peer.do("win32.WaitForSingleObject(m_sent, 0)") == WAIT_TIMEOUT
    peer.start("win32.WaitForMultipleObjects([e_sent, s_sent], True, 60000)")
    assert win32.SetEvent(event)
    assert win32.ReleaseSemaphore(semaphore, 2) == (True, 0)
    assert peer.result() == 0
    assert peer.do("win32.ReleaseSemaphore(s_sent, 1)") == (True, 1)
    assert win32.ReleaseMutex(mutex)
    assert peer.do("win32.WaitForSingleObject(m_sent, 0)") == 0
    peer.kill()
    assert win32.WaitForSingleObject(mutex, 30000) == WAIT_ABANDONED
    for handle in (mutex, event, semaphore):
        assert win32.CloseHandle(handle)


def test_a_sent_handle_keeps_the_name(name: str, peers: _Lender) -> None:
    peer = peers()
    event = win32.CreateEvent(None, True, True, name)
    sent = _send(peer, event)
    assert peer.do("win32.WaitForSingleObject(sent, 0)", sent=sent) == 0
    assert win32.CloseHandle(event)
    again = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, name)
    assert win32.WaitForSingleObject(again, 0) == 0
    assert win32.CloseHandle(again)
    assert peer.do("win32.CloseHandle(sent), win32.CloseHandle(sent), win32.GetLastError()") == (True, False, 6)
    assert not win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, name)
    assert last_error() == 2


def test_a_sent_handle_that_is_never_used_can_be_closed(name: str, peers: _Lender) -> None:
    peer = peers()
    semaphore = win32.CreateSemaphore(None, 1, 1, name)
    assert peer.do("win32.CloseHandle(sent)", sent=_send(peer, semaphore))
    assert win32.CloseHandle(semaphore)
    assert not win32.OpenSemaphore(win32.SEMAPHORE_ALL_ACCESS, False, name)


def test_a_handle_sent_to_wait_only_cannot_change_the_object(name: str, peers: _Lender) -> None:
    peer = peers()
    event = win32.CreateEvent(None, True, True, name)
    sent = _send(peer, event, win32.SYNCHRONIZE)
    assert peer.do("win32.WaitForSingleObject(sent, 0)", sent=sent) == 0
    assert peer.do("win32.ResetEvent(sent), win32.GetLastError()") == (False, 5)
    sent = _send(peer, event, win32.EVENT_MODIFY_STATE)
    assert peer.do("win32.WaitForSingleObject(sent, 0), win32.GetLastError()", sent=sent) == (WAIT_FAILED, 5)
    assert peer.do("win32.ResetEvent(sent)")
    assert win32.WaitForSingleObject(event, 0) == WAIT_TIMEOUT
    assert win32.CloseHandle(event)


def test_a_handle_of_a_global_object_that_was_sent_is_one_to_that_object(name: str, peers: _Lender) -> None:
    peer = peers(name=name)
    event = win32.CreateEvent(None, True, False, "Global\\" + name)
    if not event:
        pytest.skip("no right to create in Global")
    other = win32.CreateSemaphore(None, 0, 5, name)
    assert peer.do("sent, local", sent=_send(peer, event), local=_send(peer, other))
    assert peer.do("win32.WaitForSingleObject(sent, 0)") == WAIT_TIMEOUT
    assert peer.do("win32.SetEvent(sent)")
    assert win32.WaitForSingleObject(event, 0) == 0
    # waiting for all locks the registry that each object is in
    assert peer.do("win32.WaitForMultipleObjects([sent, local], True, 0)") == WAIT_TIMEOUT
    assert win32.ReleaseSemaphore(other, 1) == (True, 0)
    assert peer.do("win32.WaitForMultipleObjects([sent, local], True, 10000)") == 0
    assert win32.CloseHandle(event)
    assert peer.do("bool(win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, 'Global\\\\' + name))")
    assert peer.do("win32.CloseHandle(sent)")
    assert win32.CloseHandle(other)


def test_the_source_is_closed_on_wish(name: str) -> None:
    event, me = win32.CreateEvent(None, True, False, name), win32.GetCurrentProcess()
    twin = win32.DuplicateHandle(me, event, me, 0, False, win32.DUPLICATE_SAME_ACCESS | win32.DUPLICATE_CLOSE_SOURCE)
    assert twin
    assert win32.SetEvent(twin)
    assert not win32.SetEvent(event)
    assert last_error() == 6
    assert win32.CloseHandle(twin)
