"""Mutexes: owned by a thread, recursive, abandoned when the thread ends."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import threading
import time
from pathlib import Path

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import _Lender
from helpers.threads import InThread

import namedshm


def test_another_thread_does_not_get_what_is_owned(name: str, in_thread: type[InThread]) -> None:
    with namedshm.Mutex(name) as acquired:
        assert acquired
        assert not acquired.abandoned
        assert not in_thread(lambda: namedshm.Mutex(name).acquire(0)).join()
    assert in_thread(lambda: bool(namedshm.Mutex(name).acquire(0))).join()


def test_another_process_does_not_get_what_is_owned(name: str, peers: _Lender) -> None:
    mutex = namedshm.Mutex(name)
    other = peers(name=name)
    other.do("mutex = namedshm.Mutex(name); mutex.acquire()")
    assert not mutex.acquire(0.05)
    other.do("mutex.release()")
    assert mutex.acquire(30)
    mutex.release()


def test_the_owner_acquires_again_and_releases_as_often(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name)
    for _ in range(3):
        assert mutex.acquire(0)
    for _ in range(2):
        mutex.release()
    assert not in_thread(lambda: mutex.acquire(0)).join()
    mutex.release()
    with pytest.raises(namedshm.NotOwned) as failure:
        mutex.release()
    assert failure.value.winerror == 288


def test_depth_tells_how_often_this_thread_owns_it(name: str, in_thread: type[InThread]) -> None:
    mutex, twin = namedshm.Mutex(name), namedshm.Mutex(name)
    assert mutex.depth() == 0
    with mutex:
        assert twin.acquire(0)
        assert (mutex.depth(), twin.depth()) == (2, 2)
        assert in_thread(mutex.depth).join() == 0
        twin.release()
        assert mutex.depth() == 1
    assert mutex.depth() == 0
    mutex.close()
    with pytest.raises(namedshm.ClosedHandle):
        mutex.depth()


def test_recursion_goes_through_any_handle(name: str, in_thread: type[InThread]) -> None:
    one, two = namedshm.Mutex(name), namedshm.Mutex(name)
    one.acquire()
    assert two.acquire(0)
    one.release()
    two.release()
    assert in_thread(lambda: bool(one.acquire(0))).join()


def test_a_stranger_cannot_release(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name)
    with pytest.raises(namedshm.NotOwned):
        mutex.release()
    with mutex, pytest.raises(namedshm.NotOwned):
        in_thread(mutex.release).join()


def test_the_initial_owner_is_the_creating_thread(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name, owned=True)
    assert mutex.created
    assert not in_thread(lambda: mutex.acquire(0)).join()
    mutex.release()


def test_the_wish_to_own_is_ignored_when_it_exists(name: str, in_thread: type[InThread]) -> None:
    first = namedshm.Mutex(name)
    second = namedshm.Mutex(name, owned=True)
    assert not second.created
    with pytest.raises(namedshm.NotOwned):
        second.release()
    assert in_thread(lambda: bool(first.acquire(0))).join()


def test_the_end_of_a_thread_abandons_and_one_is_told_once(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name)
    in_thread(mutex.acquire).join()
    got = mutex.acquire(30)
    assert got
    assert got.abandoned
    mutex.release()
    assert not mutex.acquire(0).abandoned
    mutex.release()


def test_abandonment_can_raise_and_the_mutex_is_owned_then(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name)
    in_thread(mutex.acquire).join()
    with pytest.raises(namedshm.AbandonedMutex) as failure:
        mutex.acquire(30, on_abandoned="raise")
    assert failure.value.winerror == 0x80
    mutex.release()


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_the_end_of_a_process_abandons_to_one_that_waits(name: str, end: str, peers: _Lender, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name)
    other = peers(name=name)
    other.do("mutex = namedshm.Mutex(name); mutex.acquire(); mutex.acquire()")

    def wait() -> bool:
        with mutex as acquired:
            return acquired.abandoned

    waiting = [in_thread(wait) for _ in range(3)]
    other.kill() if end == "kill" else other.close()
    assert sorted(thread.join() for thread in waiting) == [False, False, True]


def test_closing_a_handle_does_not_release(name: str, in_thread: type[InThread]) -> None:
    one, two = namedshm.Mutex(name), namedshm.Mutex(name)
    one.acquire()
    one.close()
    assert not in_thread(lambda: two.acquire(0)).join()
    two.release()
    assert in_thread(lambda: bool(two.acquire(0))).join()


def test_closing_the_acquiring_handle_many_times_costs_nothing(name: str) -> None:
    """Each round acquires through one handle, closes it and releases through another."""
    mutex = namedshm.Mutex(name)

    def mappings() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines()) if on_linux else 0

    def rounds(n: int) -> None:
        for _ in range(n):
            with namedshm.Mutex(name) as acquired:
                assert acquired
                namedshm.Mutex(name).close()
            passing = namedshm.Mutex(name)
            passing.acquire()
            passing.close()
            mutex.release()

    rounds(5)
    gc.collect()
    before = mappings()
    rounds(100)
    gc.collect()
    assert mappings() <= before + 10


def test_the_name_goes_with_the_last_handle_also_while_it_is_owned(name: str) -> None:
    mutex = namedshm.Mutex(name, owned=True)
    identity = mutex.identity
    mutex.close()
    again = namedshm.Mutex(name)
    assert again.created
    assert again.identity != identity or not identity  # 0: Windows tells none
    assert again.acquire(0)
    again.release()


def test_the_lock_excludes(name: str, peers: _Lender) -> None:
    """Four processes change a counter that is not atomic."""
    mutex, section = namedshm.Mutex(name), namedshm.create(name + "-counter", 8)
    others = [peers(name=name) for _ in range(3)]
    count = (
        "mutex = namedshm.Mutex(name); view = namedshm.open(name + '-counter').map()\n"
        "for _ in range(2000):\n"
        "    with mutex:\n"
        "        view[0:8] = (int.from_bytes(view[0:8], 'little') + 1).to_bytes(8, 'little')\n"
    )
    for other in others:
        other.start(count)
    exec(count, {"namedshm": namedshm, "name": name})
    for other in others:
        other.result()
    with mutex, section.map() as view:
        assert int.from_bytes(view[0:8], "little") == 8000


def test_a_wait_lasts_as_long_as_said(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name, owned=True)

    def wait() -> float:
        start = time.monotonic()
        assert not mutex.acquire(0.2)
        return time.monotonic() - start

    assert 0.19 <= in_thread(wait).join() < 10
    mutex.release()


def test_negative_and_no_time_only_try(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name, owned=True)
    assert not in_thread(lambda: mutex.acquire(0)).join()
    assert not in_thread(lambda: mutex.acquire(-1)).join()
    mutex.release()


def test_names_are_shared_with_other_types(name: str) -> None:
    mutex = namedshm.Mutex(name)
    for other in (namedshm.Event, namedshm.Semaphore):
        with pytest.raises(namedshm.WrongType) as failure:
            other(name)
        assert failure.value.winerror == 6
    with pytest.raises(namedshm.WrongType):
        namedshm.create(name, 100)
    mutex.close()
    namedshm.Event(name).close()


def test_who_wants_a_new_one_is_told(name: str) -> None:
    mutex = namedshm.Mutex(name, exist_ok=False)
    with pytest.raises(namedshm.AlreadyExists):
        namedshm.Mutex(name, exist_ok=False)
    mutex.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.Mutex.open(name)


def test_a_closed_handle_is_refused(name: str) -> None:
    mutex = namedshm.Mutex(name)
    mutex.close()
    mutex.close()
    assert mutex.closed
    for use in (mutex.acquire, mutex.release, mutex.duplicate, lambda: pickle.dumps(mutex), lambda: namedshm.wait_any([mutex])):
        with pytest.raises(namedshm.ClosedHandle):
            use()


def test_a_handle_without_the_right_to_wait_is_refused(name: str) -> None:
    mutex = namedshm.Mutex(name)
    modify = namedshm.Mutex.open(name, "modify")
    with pytest.raises(namedshm.AccessDenied) as failure:
        modify.acquire(0)
    assert failure.value.winerror == 5
    assert namedshm.Mutex.open(name, "wait").acquire(0)
    mutex.release()
    with pytest.raises(namedshm.AccessDenied):
        modify.duplicate("full")
    with pytest.raises(namedshm.InvalidArgument):
        namedshm.Mutex.open(name, "everything")


def test_it_travels_to_another_process_by_pickle(name: str, peers: _Lender) -> None:
    mutex = namedshm.Mutex(name)
    other = peers()
    other.do("import pickle; mutex = pickle.loads(data); mutex.acquire()", data=pickle.dumps(mutex))
    assert not mutex.acquire(0)
    other.do("mutex.release()")


def test_a_pickled_mutex_that_is_gone_is_not_mistaken_for_its_successor(name: str) -> None:
    mutex = namedshm.Mutex(name)
    data = pickle.dumps(mutex)
    mutex.close()
    with pytest.raises(namedshm.NotFound), pickle.loads(data):
        pass
    successor = namedshm.Mutex(name)
    if successor.identity:  # Windows tells none: there a successor cannot be told from the original
        with pytest.raises(namedshm.StaleObject):
            pickle.loads(data).acquire(0)
    successor.close()
    with pytest.raises(TypeError):
        pickle.dumps(namedshm.Mutex())


def test_a_handle_closed_under_a_waiter_does_not_hurt(name: str, in_thread: type[InThread]) -> None:
    mutex, keeper = namedshm.Mutex(name), namedshm.Mutex(name)
    keeper.acquire()
    started = threading.Event()

    def wait() -> bool:
        started.set()
        return bool(mutex.acquire(0.3))

    waiting = in_thread(wait)
    started.wait()
    mutex.close()
    with contextlib.suppress(namedshm.ClosedHandle):  # closed before the wait began, or while it lasts
        assert waiting.join() is False
    keeper.release()


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_child_owns_nothing_and_abandons_nothing(name: str) -> None:
    mutex = namedshm.Mutex(name, owned=True)
    pid = os.fork()
    if not pid:
        try:
            wrong = bool(mutex.acquire(0))
            try:
                mutex.release()
                wrong = True
            except namedshm.NotOwned:
                pass
            os._exit(1 if wrong else 0)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    mutex.release()
    assert not mutex.acquire(0).abandoned
    mutex.release()


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_child_acquires_for_itself_and_its_end_abandons(name: str) -> None:
    mutex = namedshm.Mutex(name)
    mutex.acquire()
    mutex.release()
    pid = os.fork()
    if not pid:
        os._exit(0 if mutex.acquire(0) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert mutex.acquire(30).abandoned
    mutex.release()


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_fork_beside_a_waiting_thread_disturbs_nobody(name: str, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name, owned=True)
    waiting = in_thread(lambda: (bool(mutex.acquire()), mutex.release()))
    pid = os.fork()
    if not pid:
        os._exit(0 if not mutex.acquire(0) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    mutex.release()
    assert waiting.join()[0]
