"""Waiting to be notified: as threading.Condition, between processes, whoever is killed."""

from __future__ import annotations

import asyncio
import pickle
import random
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import Peer
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm._sync.condition import _Stay
from namedshm.records import Record
from namedshm.sync import Condition

from .steps import STRIDE, killed_before_each_line, victims

OPENED = "from namedshm.sync import Condition; c = Condition(name)"
WAITED = "c.acquire(); w = c.wait(60); c.release(); (bool(w), w.abandoned)"


@pytest.fixture
def condition(name: str) -> Iterator[Condition]:
    condition = Condition(name)
    yield condition
    condition.close()


@pytest.fixture
def other(condition: Condition, peers: Callable[[], Peer]) -> Callable[[], Peer]:
    """other() is a process that has the condition open."""

    def opened() -> Peer:
        peer = peers()
        peer.do(OPENED, name=condition.name)
        return peer

    return opened


def waiting(condition: Condition) -> int:
    found: int = namedshm.inspection.state(condition.name)["waiting"]
    return found


def notify(condition: Condition, n: int = 1) -> None:
    with condition:
        condition.notify(n)


def wait(condition: Condition) -> bool:
    with condition:
        return bool(condition.wait(60))


# ------------------------------------------------------------------------------------------------------------ what it is
def test_one_that_waits_is_woken_by_another_process(condition: Condition, other: Callable[[], Peer]) -> None:
    peer = other()
    peer.start(WAITED)
    until(lambda: waiting(condition) == 1, "the wait")
    notify(condition)
    assert peer.result() == (True, False)
    assert waiting(condition) == 0


def test_who_waits_gives_the_mutex_back_and_has_it_again(condition: Condition, other: Callable[[], Peer]) -> None:
    peer = other()
    peer.do("c.acquire()")
    peer.start("bool(c.wait(60))")
    until(lambda: waiting(condition) == 1, "the wait")
    assert condition.acquire(0)
    condition.notify()
    condition.release()
    assert peer.result() is True
    assert not condition.acquire(0)
    peer.do("c.release()")
    assert condition.acquire(0)
    condition.release()


def test_a_notification_that_nobody_waits_for_is_lost(condition: Condition) -> None:
    with condition:
        condition.notify()
        condition.notify_all()
        assert not condition.wait(0)
        assert repr(condition.wait(0.05)) == "<not notified>"
        assert condition.mutex.depth() == 1


def test_as_many_are_woken_as_are_notified_and_who_came_first_is_first(
    condition: Condition, other: Callable[[], Peer], in_thread: type[InThread]
) -> None:
    crew = [other() for _ in range(4)]
    for number, peer in enumerate(crew):
        peer.start(WAITED)
        until(lambda number=number: waiting(condition) == number + 1, "the wait")  # type: ignore[misc]
    notify(condition)
    assert crew[0].result() == (True, False)
    assert waiting(condition) == 3
    notify(condition, 2)
    assert crew[1].result() == crew[2].result() == (True, False)
    assert waiting(condition) == 1
    notify(condition, 10)
    assert crew[3].result() == (True, False)


def test_all_are_woken(condition: Condition, other: Callable[[], Peer], in_thread: type[InThread]) -> None:
    crew = [other() for _ in range(2)]
    for peer in crew:
        peer.start(WAITED)
    threads = [in_thread(lambda: wait(condition)) for _ in range(3)]
    until(lambda: waiting(condition) == 5, "the waits")
    with condition:
        condition.notify_all()
    assert all(thread.join() for thread in threads)
    assert [peer.result() for peer in crew] == [(True, False)] * 2


def test_who_comes_after_a_notification_does_not_get_it(condition: Condition, in_thread: type[InThread]) -> None:
    first = in_thread(lambda: wait(condition))
    until(lambda: waiting(condition) == 1, "the wait")
    with condition:
        condition.notify()
        assert not condition.wait(0.05)
    assert first.join()


def test_a_notification_counts_until_the_mutex_is_had_again(condition: Condition, in_thread: type[InThread]) -> None:
    """The time is up, and another one has the mutex and notifies before who waited has it again: step by step what wait() does."""
    condition.acquire()
    stay = _Stay(condition, 0, "tell")
    assert stay.goes_on(None)
    stay.go()
    assert stay.nap() is None
    in_thread(lambda: notify(condition)).join()
    stay.is_back(condition.acquire())
    assert not stay.goes_on(None)
    assert stay.outcome(None)
    condition.release()


def test_a_mutex_acquired_often_is_given_back_whole(condition: Condition, other: Callable[[], Peer]) -> None:
    peer = other()
    peer.do("c.acquire(); c.acquire(); c.acquire()")
    peer.start("bool(c.wait(60))")
    until(lambda: waiting(condition) == 1, "the wait")
    notify(condition)
    assert peer.result() is True
    assert peer.do("c.mutex.depth()") == 3
    peer.do("c.release(); c.release(); c.release()")


def test_wait_for_waits_until_it_is_true(condition: Condition, other: Callable[[], Peer]) -> None:
    with namedshm.create(condition.name + "-data", 1) as section, section.map() as view:
        peer = other()
        peer.do("view = namedshm.open(name + '-data').map(); c.acquire()", name=condition.name)
        assert peer.do("c.wait_for(lambda: view[0], timeout=0.05)") == 0
        peer.start("c.wait_for(lambda: view[0] if view[0] > 1 else 0, timeout=60)")
        for value in (1, 2):
            until(lambda: waiting(condition) == 1, "the wait")
            with condition:
                view[0] = value
                condition.notify_all()
        assert peer.result() == 2
        assert peer.do("c.mutex.depth()") == 1
        peer.do("c.release()")


def test_who_does_not_own_the_mutex_is_told(condition: Condition, in_thread: type[InThread]) -> None:
    for use in (condition.wait, condition.notify, condition.notify_all, condition.release):
        with pytest.raises(namedshm.NotOwned):
            use()
        with condition, pytest.raises(namedshm.NotOwned):
            in_thread(use).join()  # type: ignore[arg-type]
    with pytest.raises(namedshm.NotOwned):
        asyncio.run(condition.wait_async())
    assert waiting(condition) == 0


def test_wrong_arguments_are_refused_before_anything_is_touched(condition: Condition) -> None:
    with condition:
        for arguments in ({"timeout": "1"}, {"timeout": float("nan")}, {"on_abandoned": "ignore"}):
            with pytest.raises((TypeError, namedshm.InvalidArgument)):
                condition.wait(**arguments)  # type: ignore[arg-type]
        for n in (0, -1, 1.5, "1", True):
            with pytest.raises((TypeError, namedshm.InvalidArgument)):
                condition.notify(n)  # type: ignore[arg-type]
        assert condition.mutex.depth() == 1


def test_two_conditions_can_have_one_mutex(name: str, in_thread: type[InThread]) -> None:
    """The usual bounded buffer: not full, not empty."""
    mutex = namedshm.Mutex(name + "-mutex")
    full, empty = Condition(name + "-full", mutex), Condition(name + "-empty", mutex)
    buffer: list[int] = []

    def produce() -> None:
        for item in range(50):
            with mutex:
                full.wait_for(lambda: len(buffer) < 3, 60)
                buffer.append(item)
                empty.notify()

    def consume() -> list[int]:
        found = []
        while len(found) < 50:
            with mutex:
                empty.wait_for(lambda: buffer, 60)
                found.append(buffer.pop(0))
                full.notify()
        return found

    producer, consumer = in_thread(produce), in_thread(consume)
    producer.join()
    assert consumer.join() == list(range(50))
    found = Condition.open(name + "-full")
    with mutex:
        assert found.mutex.depth() == 1
    other_mutex = namedshm.Mutex(name + "-other")
    with pytest.raises(namedshm.InvalidArgument, match=r"has the mutex '.*-mutex', not '.*-other'"):
        Condition(name + "-full", other_mutex)
    again = Condition(name + "-full")
    assert again.mutex.name == mutex.name
    with pytest.raises(namedshm.InvalidArgument, match="named"):
        Condition(name + "-new", namedshm.Mutex())
    for closing in (full, empty, found, again):
        closing.close()


def test_opening_gives_the_same_condition_and_pickling_too(condition: Condition, peers: Callable[[], Peer]) -> None:
    assert condition.created
    twin = Condition.open(condition.name)
    assert not twin.created
    assert (twin.identity, twin.closed) == (condition.identity, False)
    assert repr(twin) == f"<namedshm.Condition {condition.name!r}>"
    peer = peers()
    peer.start("import pickle; c = pickle.loads(data); " + WAITED, data=pickle.dumps(condition))
    until(lambda: waiting(condition) == 1, "the wait")
    notify(twin)
    assert peer.result() == (True, False)
    twin.close()
    twin.close()
    for use in (twin.acquire, twin.wait, twin.notify, lambda: pickle.dumps(twin)):
        with pytest.raises(namedshm.ClosedHandle):
            use()


def test_what_is_no_condition_is_refused(name: str) -> None:
    with pytest.raises(namedshm.NotFound):
        Condition.open(name)

    class Settings(Record):
        gain: float

    with Settings.create(name), pytest.raises(namedshm.InvalidContent):
        Condition(name)
    with Condition(name) as _, pytest.raises(namedshm.AlreadyExists):
        Condition(name, exist_ok=False)
    longest = Condition("x" * 251)
    with longest:
        assert not longest.wait(0)
    longest.close()


def test_nothing_stays_when_the_last_has_closed(name: str) -> None:
    condition = Condition(name)
    with condition:
        condition.wait(0)
    condition.close()
    assert not [info.name for info in namedshm.list_objects() if info.name.startswith(name)]


def test_who_waits_through_a_handle_that_is_closed_is_told(condition: Condition, in_thread: type[InThread]) -> None:
    twin = Condition.open(condition.name)

    def waits() -> None:
        twin.acquire()
        twin.wait()

    thread = in_thread(waits)
    until(lambda: waiting(condition) == 1, "the wait")
    twin.close()
    with pytest.raises(namedshm.ClosedHandle):
        thread.join()
    until(lambda: waiting(condition) == 0, "its seat")
    with condition:
        condition.notify()


@pytest.mark.skipif(not on_linux, reason="sends a signal to a thread")
def test_ctrl_c_ends_the_wait_with_the_mutex_and_passes_a_wake_up_on(condition: Condition, in_thread: type[InThread]) -> None:
    class Interrupted(Exception):
        pass

    def handler(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        main = threading.get_ident()
        second: list[InThread] = []

        def interrupts() -> None:
            until(lambda: waiting(condition) == 1, "the wait")
            second.append(in_thread(lambda: wait(condition)))
            until(lambda: waiting(condition) == 2, "the second wait")
            with condition:
                # Notified and interrupted, in this order, while it cannot come back: it is the other's then.
                condition.notify()
                signal.pthread_kill(main, signal.SIGUSR1)

        thread = in_thread(interrupts)
        with condition:
            with pytest.raises(Interrupted):
                condition.wait(60)
            assert condition.mutex.depth() == 1
        thread.join()
        assert second[0].join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_exception_between_acquiring_and_counting_does_not_acquire_twice(condition: Condition) -> None:
    class Interrupted(Exception):
        pass

    def raising(frame: types.FrameType, event: str, _: object) -> None:
        """As a signal handler that runs just when the mutex is had again."""
        if event == "call" and frame.f_code.co_name == "is_back":
            sys.settrace(None)
            raise Interrupted

    def interrupted() -> None:
        before = sys.gettrace()
        sys.settrace(raising)
        try:
            condition.wait(0)
        finally:
            sys.settrace(before)

    with condition, condition.mutex:
        with pytest.raises(Interrupted):
            interrupted()
        assert condition.mutex.depth() == 2
    assert condition.mutex.depth() == 0
    assert waiting(condition) == 0


# ------------------------------------------------------------------------------------------------------------ kills
def test_a_killed_waiter_is_passed_over(condition: Condition, other: Callable[[], Peer]) -> None:
    killed, waits = other(), other()
    killed.start(WAITED)
    until(lambda: waiting(condition) == 1, "the first wait")
    waits.start(WAITED)
    until(lambda: waiting(condition) == 2, "the second wait")
    killed.kill()
    until(lambda: waiting(condition) == 1, "its end")
    notify(condition)
    assert waits.result() == (True, False)


def test_a_wake_up_of_one_killed_before_it_was_back_goes_to_the_next(condition: Condition, other: Callable[[], Peer]) -> None:
    killed, waits = other(), other()
    killed.start(WAITED)
    until(lambda: waiting(condition) == 1, "the first wait")
    waits.start(WAITED)
    until(lambda: waiting(condition) == 2, "the second wait")
    with condition:
        condition.notify()
        assert waiting(condition) == 1
        killed.kill()  # it cannot be back: the mutex is owned
    assert waits.result() == (True, False)


def test_a_wake_up_of_one_killed_is_not_kept_for_who_comes_later(condition: Condition, other: Callable[[], Peer]) -> None:
    killed = other()
    killed.start(WAITED)
    until(lambda: waiting(condition) == 1, "the wait")
    with condition:
        condition.notify()
        killed.kill()
        assert not condition.wait(1.2)


def test_an_owner_killed_meanwhile_is_told(condition: Condition, other: Callable[[], Peer]) -> None:
    killed, waits = other(), other()
    waits.start(WAITED)
    until(lambda: waiting(condition) == 1, "the wait")
    killed.do("c.acquire(); c.notify()")
    killed.kill()
    assert waits.result() == (True, True)
    waits.start("c.acquire(); c.wait_for(lambda: False, 60)")
    until(lambda: waiting(condition) == 1, "the wait")
    killed = other()
    killed.do("c.acquire(); c.notify()")
    killed.kill()
    with pytest.raises(namedshm.AbandonedMutex, match=condition.name):
        waits.result()
    assert waits.do("c.mutex.depth()") == 1
    waits.do("c.release()")


def test_one_of_those_who_wait_is_told_when_an_owner_dies_without_notifying(
    condition: Condition, other: Callable[[], Peer]
) -> None:
    killed, one, two = other(), other(), other()
    for peer in (one, two):
        peer.start("with c: told = c.wait(60).abandoned\ntold")
    until(lambda: waiting(condition) == 2, "the waits")
    killed.do("c.acquire()")
    killed.kill()
    until(lambda: waiting(condition) == 1, "one of them told")
    notify(condition)
    assert {one.result(), two.result()} == {True, False}


WAIT_BRIEFLY = "\ndef call():\n    with c: c.wait(0)\n"
NOTIFY_ALL = "\ndef call():\n    with c: c.notify_all()\n"
WAIT = """
returned = namedshm.open(name + "-returned").map()
def call():
    with c:
        c.wait(60)
        returned[0] = 1
"""


@pytest.mark.timeout(300)
def test_a_waiter_killed_before_any_line_is_passed_over(
    condition: Condition, peers: Callable[[], Peer], in_thread: type[InThread]
) -> None:
    for _ in killed_before_each_line(peers, OPENED + WAIT_BRIEFLY, stride=2 if has_fork else STRIDE, name=condition.name):
        waits = in_thread(lambda: wait(condition))
        until(lambda: waiting(condition) == 1, "the wait")
        notify(condition)
        assert waits.join()


@pytest.mark.timeout(300)
def test_one_woken_and_killed_before_any_line_has_its_wake_up_passed_on_unless_its_wait_returned(
    condition: Condition, peers: Callable[[], Peer], in_thread: type[InThread]
) -> None:
    killed = 0
    with namedshm.create(condition.name + "-returned", 1) as section, section.map() as returned:
        found = victims(peers, OPENED + WAIT, after="nap", stride=4 if has_fork else STRIDE, name=condition.name)
        for _, start, died in found:
            returned[0] = 0
            start()
            until(lambda: waiting(condition) == 1, "the victim's wait")
            waits = in_thread(lambda: wait(condition))
            until(lambda: waiting(condition) == 2, "the other's wait")
            notify(condition)
            dead = died()
            killed += dead
            if returned[0]:
                notify(condition)
            assert waits.join()
            if not dead:
                break
    assert killed > (15 if has_fork else 2)


@pytest.mark.timeout(300)
def test_one_who_notifies_killed_before_any_line_leaves_nobody_unwoken_by_the_next(
    condition: Condition, peers: Callable[[], Peer], in_thread: type[InThread]
) -> None:
    for _, start, died in victims(peers, OPENED + NOTIFY_ALL, stride=2 if has_fork else STRIDE, name=condition.name):
        waits = [in_thread(lambda: wait(condition)) for _ in range(2)]
        until(lambda: waiting(condition) == 2, "the waits")
        start()
        dead = died()
        if dead:
            with condition:
                condition.notify_all()
        assert all(thread.join() for thread in waits)
        assert waiting(condition) == 0
        if not dead:
            return


STORM = """
view = namedshm.open(name + "-data").map()
def number(at): return int.from_bytes(view[8 * at : 8 * at + 8], "little")
def put(at, value): view[8 * at : 8 * at + 8] = value.to_bytes(8, "little")
def consume():
    turns = 0
    while True:
        with c:
            while not number(0) and not number(1): c.wait(60)
            if number(1): return turns
            put(0, number(0) - 1)
        turns += 1
        put(10 + who, turns)
consume()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2))
def test_in_a_storm_of_kills_no_item_is_left_while_somebody_waits(
    condition: Condition, other: Callable[[], Peer], seed: int
) -> None:
    dice = random.Random(seed)
    with namedshm.create(condition.name + "-data", 8 * 64) as section, section.map() as view:

        def number(at: int) -> int:
            return int.from_bytes(view[8 * at : 8 * at + 8], "little")

        def produce(items: int) -> None:
            with condition:
                view[:8] = (number(0) + items).to_bytes(8, "little")
                condition.notify(items)

        survivors = [other() for _ in range(2)]
        for who, survivor in enumerate(survivors):
            survivor.start(STORM, name=condition.name, who=who)
        for who in range(2, 14 if on_linux else 6):
            with Peer() as victim:
                victim.do(OPENED, name=condition.name)
                victim.start(STORM, name=condition.name, who=who)
                wanted = dice.randrange(1, 30)
                while number(10 + who) < wanted:
                    produce(dice.randrange(1, 4))
                victim.kill()
            until(lambda: number(0) == 0, "the end of the items")
        with condition:
            view[8] = 1
            condition.notify_all()
        for survivor in survivors:
            assert survivor.result() > 0
        assert waiting(condition) == 0


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_forked_child_does_not_wait_for_its_parent(condition: Condition, other: Callable[[], Peer], tmp_path: Any) -> None:
    """It has the handles of the seat, which do not keep a killed parent's place."""
    parent, waits = other(), other()
    parent.do("c.acquire(); c.wait(0); c.release()")  # now it has a seat
    parent.do("import threading; t = threading.Thread(target=lambda: (c.acquire(), c.wait(60))); t.start()")
    until(lambda: waiting(condition) == 1, "the parent's wait")
    with parent.fork(tmp_path) as child:
        waits.start(WAITED)
        until(lambda: waiting(condition) == 2, "the other's wait")
        parent.kill()
        until(lambda: waiting(condition) == 1, "the parent's end")
        notify(condition)
        assert waits.result() == (True, False)
        child.start(WAITED)
        until(lambda: waiting(condition) == 1, "the child's wait")
        notify(condition)
        assert child.result() == (True, False)


# ------------------------------------------------------------------------------------------------------------ limits
def test_a_list_full_of_the_dead_has_room_and_one_full_of_the_living_has_not(condition: Condition) -> None:
    condition._record.update(waiting=range(1, 257))
    with condition:
        assert not condition.wait(0)
        condition._record.update(waiting=range(1, 257))
        condition.notify()
        assert not any(condition._record.waiting)
        living = [namedshm.Mutex(f"{condition.name}|w{number:06x}", owned=True) for number in range(1, 257)]
        condition._record.update(waiting=range(1, 257))
        with pytest.raises(namedshm.OutOfResources, match="256 threads"):
            condition.wait(0)
        assert condition.mutex.depth() == 1
    for mutex in living:
        mutex.release()
        mutex.close()


# ------------------------------------------------------------------------------------------------------------ asyncio
def test_in_asyncio_it_waits_is_woken_and_can_be_cancelled(condition: Condition, other: Callable[[], Peer]) -> None:
    peer = other()

    async def waits() -> bool:
        async with condition:
            return bool(await condition.wait_async(60))

    async def main() -> None:
        async with condition:
            assert not await condition.wait_async(0.05)
            assert not await condition.wait_for_async(lambda: False, 0.05)
            assert await condition.wait_for_async(lambda: 5) == 5
        tasks = [asyncio.create_task(waits()) for _ in range(3)]
        while waiting(condition) < 3:
            await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert condition.mutex.depth() == 0
        peer.start("c.acquire(); c.notify(2); c.release()")
        assert await asyncio.gather(*tasks[1:]) == [True, True]
        peer.result()
        assert condition.mutex.depth() == 0

    asyncio.run(main())
    assert waiting(condition) == 0


def test_a_task_cancelled_after_it_was_woken_passes_the_wake_up_on(condition: Condition, other: Callable[[], Peer]) -> None:
    peer = other()

    async def waits() -> bool:
        async with condition:
            return bool(await condition.wait_async(60))

    async def main() -> None:
        task = asyncio.create_task(waits())
        while waiting(condition) < 1:
            await asyncio.sleep(0)
        peer.start(WAITED)
        until(lambda: waiting(condition) == 2, "the other's wait")
        with condition:
            condition.notify()
            task.cancel()  # before the loop runs again
        with pytest.raises(asyncio.CancelledError):
            await task
        assert peer.result() == (True, False)

    asyncio.run(main())
