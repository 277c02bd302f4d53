"""Semaphores count; beyond the maximum nothing changes."""

from __future__ import annotations

import pytest
from helpers.peer import _Lender
from helpers.threads import InThread

import namedshm


def test_it_gives_as_many_as_it_has(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=2, maximum=3)
    assert semaphore.acquire(0)
    assert semaphore.acquire(0)
    assert not semaphore.acquire(0)
    assert semaphore.release(2) == 0
    assert semaphore.release() == 2


def test_beyond_the_maximum_nothing_changes(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=2, maximum=3)
    with pytest.raises(namedshm.LimitExceeded) as failure:
        semaphore.release(2)
    assert failure.value.winerror == 298
    assert semaphore.release() == 2


@pytest.mark.parametrize(("initial", "maximum"), [(2, 1), (0, 0), (-1, 1), (1, -1), (0, 2**31)])
def test_impossible_counts_are_refused(name: str, initial: int, maximum: int) -> None:
    with pytest.raises(namedshm.InvalidArgument) as failure:
        namedshm.Semaphore(name, initial=initial, maximum=maximum)
    assert failure.value.winerror == 87
    with pytest.raises(namedshm.NotFound):
        namedshm.Semaphore.open(name)


@pytest.mark.parametrize("count", [0, -1, 2**31, 2**40])
def test_impossible_releases_are_refused(name: str, count: int) -> None:
    semaphore = namedshm.Semaphore(name, initial=0, maximum=2**31 - 1)
    with pytest.raises(namedshm.InvalidArgument):
        semaphore.release(count)
    assert semaphore.release(2**31 - 1) == 0


def test_the_settings_of_a_living_semaphore_stay(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=1, maximum=1)
    second = namedshm.Semaphore(name, initial=5, maximum=5)
    assert not second.created
    assert second.acquire(0)
    assert not semaphore.acquire(0)


def test_a_killed_holder_gives_nothing_back(name: str, peers: _Lender) -> None:
    semaphore = namedshm.Semaphore(name, initial=2, maximum=2)
    other = peers(name=name)
    other.do("semaphore = namedshm.Semaphore(name); semaphore.acquire()")
    other.kill()
    assert semaphore.acquire(0)
    assert not semaphore.acquire(0)


def test_releasing_several_wakes_several(name: str, in_thread: type[InThread]) -> None:
    semaphore = namedshm.Semaphore(name, initial=0, maximum=10)
    waiting = [in_thread(semaphore.acquire) for _ in range(5)]
    semaphore.release(5)
    assert all(thread.join() for thread in waiting)
    assert not semaphore.acquire(0)


def test_a_with_statement_takes_one_and_gives_it_back(name: str) -> None:
    semaphore = namedshm.Semaphore(name)
    with semaphore:
        assert not semaphore.acquire(0)
    assert semaphore.acquire(0)


def test_waiting_needs_one_right_and_releasing_another(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=1, maximum=2)
    waiter, releaser = namedshm.Semaphore.open(name, "wait"), namedshm.Semaphore.open(name, "modify")
    with pytest.raises(namedshm.AccessDenied):
        releaser.acquire(0)
    with pytest.raises(namedshm.AccessDenied):
        waiter.release()
    assert waiter.acquire(0)
    assert releaser.release() == 0
    semaphore.close()
    with pytest.raises(namedshm.ClosedHandle):
        semaphore.release()


def test_what_producers_give_consumers_take(name: str, peers: _Lender) -> None:
    """Three processes take exactly what two gave."""
    semaphore, done = namedshm.Semaphore(name, initial=0, maximum=10000), namedshm.Event(name + "-done", manual=True)
    takers = [peers(name=name) for _ in range(3)]
    for taker in takers:
        taker.start(
            "semaphore = namedshm.Semaphore.open(name); done = namedshm.Event.open(name + '-done'); taken = 0\n"
            "while namedshm.wait_any([semaphore, done]).index == 0:\n"
            "    taken += 1\n"
            "taken"
        )
    for k in range(3000):
        semaphore.release(1 + k % 3)
    done.set()
    taken = sum(taker.result() for taker in takers)
    while semaphore.acquire(0):
        taken += 1
    assert taken == 6000
