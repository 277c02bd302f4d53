"""Many readers or one writer, whoever is killed."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import Peer
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm.records import Record
from namedshm.sync import RWLock

from .steps import STRIDE, killed_before_each_line

OPENED = "from namedshm.sync import RWLock; lock = RWLock(name)"


@pytest.fixture
def lock(name: str) -> Iterator[RWLock]:
    with_name = RWLock(name)
    yield with_name
    with_name.close()


@pytest.fixture
def other(lock: RWLock, peers: Callable[[], Peer]) -> Callable[[], Peer]:
    """other() is a process that has the lock open."""

    def opened() -> Peer:
        peer = peers()
        peer.do(OPENED, name=lock.name)
        return peer

    return opened


def gate_is_kept(lock: RWLock) -> bool:
    with Gate(lock) as gate:
        return gate.locked()


class Gate:
    """Another handle to the mutex through which everybody passes."""

    def __init__(self, lock: RWLock) -> None:
        self._mutex = namedshm.Mutex.open(f"{lock.name}|writers")

    def __enter__(self) -> namedshm.Mutex:
        return self._mutex

    def __exit__(self, *_: object) -> None:
        self._mutex.close()


def free(lock: RWLock, *, abandoned: bool = False) -> bool:
    """Whether it can be had for writing at once, and whether the last writer is told dead."""
    acquired = lock.writer.acquire(0)
    if acquired:
        lock.writer.release()
    return bool(acquired) and acquired.abandoned == abandoned


# ------------------------------------------------------------------------------------------------------------ what it is
def test_readers_are_in_together(lock: RWLock, other: Callable[[], Peer]) -> None:
    one, two = other(), other()
    with lock.reader as acquired:
        assert acquired
        assert not acquired.abandoned
        assert one.do("bool(lock.reader.acquire(0))")
        assert two.do("bool(lock.reader.acquire(0))")
        one.do("lock.reader.release()")
        two.do("lock.reader.release()")
    assert free(lock)


def test_a_writer_is_alone(lock: RWLock, other: Callable[[], Peer]) -> None:
    peer = other()
    with lock.writer:
        assert not peer.do("bool(lock.reader.acquire(0))")
        assert not peer.do("bool(lock.writer.acquire(0.05))")
    assert peer.do("bool(lock.writer.acquire(0))")
    assert not lock.reader.acquire(0)
    assert not lock.writer.acquire(0.05)
    peer.do("lock.writer.release()")
    assert free(lock)


def test_a_reader_keeps_writers_out_and_a_try_changes_nothing(lock: RWLock, other: Callable[[], Peer]) -> None:
    peer = other()
    with lock.reader:
        assert not peer.do("bool(lock.writer.acquire(0))")
        assert not peer.do("bool(lock.writer.acquire(0.05))")
        assert peer.do("bool(lock.reader.acquire(0))")
    peer.do("lock.reader.release()")
    assert free(lock)


def test_a_waiting_writer_keeps_new_readers_out_and_goes_first(
    lock: RWLock, other: Callable[[], Peer], in_thread: type[InThread]
) -> None:
    writer, reader = other(), other()
    with lock.reader:
        writer.start("bool(lock.writer.acquire(60))")
        until(lambda: gate_is_kept(lock), "the writer at the gate")
        assert not reader.do("bool(lock.reader.acquire(0))")
        assert lock.reader.acquire(0), "who reads may read again, or would wait for itself"
        lock.reader.release()
    assert writer.result() is True
    reader.start("bool(lock.reader.acquire(60))")
    writer.do("lock.writer.release()")
    assert reader.result() is True
    reader.do("lock.reader.release()")


def test_who_reads_reads_again_by_another_handle_past_a_waiting_writer(lock: RWLock, other: Callable[[], Peer]) -> None:
    writer = other()
    twin = RWLock.open(lock.name)
    with lock.reader:
        writer.start("bool(lock.writer.acquire(60))")
        until(lambda: gate_is_kept(lock), "the writer at the gate")
        with twin.reader as acquired:
            assert acquired
    twin.close()
    assert writer.result() is True
    writer.do("lock.writer.release()")


def test_each_is_released_as_often_as_it_was_acquired(lock: RWLock, other: Callable[[], Peer]) -> None:
    peer = other()
    for way in (lock.reader, lock.writer):
        assert way.acquire(0)
        assert way.acquire(0)
        way.release()
        assert not peer.do("bool(lock.writer.acquire(0))")
        way.release()
        assert peer.do("bool(lock.writer.acquire(0))")
        peer.do("lock.writer.release()")
        with pytest.raises(namedshm.NotOwned):
            way.release()


def test_a_writer_may_read_and_go_on_reading_when_it_has_written(lock: RWLock, other: Callable[[], Peer]) -> None:
    peer = other()
    with lock.writer:
        assert not lock.reader.acquire().abandoned
    assert peer.do("bool(lock.reader.acquire(0))")
    peer.do("lock.reader.release()")
    assert not peer.do("bool(lock.writer.acquire(0))")
    lock.reader.release()
    assert free(lock)


def test_a_reader_cannot_become_a_writer_and_is_told(lock: RWLock) -> None:
    with lock.reader, pytest.raises(namedshm.InvalidArgument, match="would wait for itself"):
        lock.writer.acquire(0)
    assert free(lock)


def test_threads_exclude_each_other(lock: RWLock, in_thread: type[InThread]) -> None:
    with lock.writer:
        assert not in_thread(lambda: bool(lock.reader.acquire(0))).join()
        with pytest.raises(namedshm.NotOwned):
            in_thread(lock.writer.release).join()
    with lock.reader:
        assert not in_thread(lambda: bool(lock.writer.acquire(0))).join()
        with pytest.raises(namedshm.NotOwned):
            in_thread(lock.reader.release).join()

        def read() -> bool:
            with lock.reader as acquired:
                return bool(acquired)

        assert in_thread(read).join()


def test_what_a_thread_that_ended_had_is_given_up(lock: RWLock, in_thread: type[InThread]) -> None:
    in_thread(lock.reader.acquire).join()
    assert lock.writer.acquire(30), "the system's thread ends a little later than Python's"
    lock.writer.release()
    in_thread(lock.writer.acquire).join()
    assert lock.reader.acquire(30).abandoned
    lock.reader.release()


def test_opening_gives_the_same_lock_and_pickling_too(lock: RWLock, peers: Callable[[], Peer]) -> None:
    assert lock.created
    twin = RWLock.open(lock.name)
    assert not twin.created
    assert (twin.identity, twin.closed) == (lock.identity, False)
    assert repr(twin) == f"<namedshm.RWLock {lock.name!r}>"
    with lock.writer:
        peer = peers()
        assert not peer.do("import pickle; lock = pickle.loads(data); bool(lock.reader.acquire(0))", data=pickle.dumps(lock))
    twin.close()
    twin.close()
    assert "closed" in repr(twin)
    for use in (twin.reader.acquire, twin.writer.acquire, twin.reader.release, twin.writer.release, lambda: pickle.dumps(twin)):
        with pytest.raises((namedshm.ClosedHandle, namedshm.NotOwned)):
            use()


def test_what_is_no_lock_is_refused(name: str) -> None:
    with pytest.raises(namedshm.NotFound):
        RWLock.open(name)

    class Settings(Record):
        gain: float

    with Settings.create(name), pytest.raises(namedshm.InvalidContent):
        RWLock(name)
    lock = RWLock(name)
    with pytest.raises(namedshm.AlreadyExists):
        RWLock(name, exist_ok=False)
    lock.close()
    with namedshm.Mutex(name + "m") as _, pytest.raises(namedshm.WrongType):
        RWLock(name + "m")
    with pytest.raises(namedshm.InvalidName):
        RWLock("x" * 252)
    longest = RWLock("x" * 251)
    with longest.reader:
        pass
    longest.close()


def test_nothing_stays_when_the_last_has_closed(name: str) -> None:
    lock = RWLock(name)
    with lock.reader:
        pass
    with lock.writer:
        pass
    lock.close()
    assert not [info.name for info in namedshm.list_objects() if info.name.startswith(name)]


def test_looking_tells_who_is_in(lock: RWLock, other: Callable[[], Peer]) -> None:
    state = namedshm.inspection.state
    assert state(lock.name) == {"readers": 0, "writing": False, "owner": None}
    peer = other()
    peer.do("lock.reader.acquire()")
    with lock.reader:
        assert state(lock.name) == {"readers": 2, "writing": False, "owner": None}
    peer.kill()
    assert state(lock.name)["readers"] == 0
    with lock.writer, Gate(lock) as gate:
        assert state(lock.name) == {"readers": 0, "writing": True, "owner": gate.owner}


# ------------------------------------------------------------------------------------------------------------ kills
def test_a_killed_reader_s_share_is_given_back(lock: RWLock, other: Callable[[], Peer]) -> None:
    killed = other()
    killed.do("lock.reader.acquire(); lock.reader.acquire()")
    assert not lock.writer.acquire(0)
    killed.kill()
    assert lock.writer.acquire(30)
    lock.writer.release()
    assert free(lock)


def test_a_writer_that_waits_for_a_reader_gets_the_lock_when_that_is_killed(lock: RWLock, other: Callable[[], Peer]) -> None:
    killed, writer = other(), other()
    killed.do("lock.reader.acquire()")
    writer.start("a = lock.writer.acquire(60); (bool(a), a.abandoned)")
    until(lambda: gate_is_kept(lock), "the writer at the gate")
    killed.kill()
    assert writer.result() == (True, False)
    writer.do("lock.writer.release()")
    assert free(lock)


def test_a_killed_writer_is_told_to_all_until_a_writer_has_been_in(lock: RWLock, other: Callable[[], Peer]) -> None:
    killed, peer = other(), other()
    killed.do("lock.writer.acquire()")
    peer.start("a = lock.reader.acquire(60); lock.reader.release(); (bool(a), a.abandoned)")
    killed.kill()
    assert peer.result() == (True, True)
    with lock.reader as acquired:
        assert acquired.abandoned
    with pytest.raises(namedshm.AbandonedMutex, match=lock.name):
        lock.reader.acquire(on_abandoned="raise")
    lock.reader.release()
    with lock.writer as acquired:
        assert acquired.abandoned
        assert not lock.reader.acquire().abandoned, "its own"
        lock.reader.release()
    with lock.reader as acquired:
        assert not acquired.abandoned
    assert free(lock)


def test_a_writer_killed_again_while_it_repairs_is_told_again(lock: RWLock, other: Callable[[], Peer]) -> None:
    for _ in range(2):
        killed = other()
        killed.do("lock.writer.acquire()")
        killed.kill()
        assert lock.reader.acquire(30).abandoned
        lock.reader.release()
    with pytest.raises(namedshm.AbandonedMutex):
        lock.writer.acquire(on_abandoned="raise")
    lock.writer.release()
    assert free(lock)


def test_a_writer_killed_while_it_waits_has_written_nothing(lock: RWLock, other: Callable[[], Peer]) -> None:
    killed = other()
    with lock.reader:
        killed.start("lock.writer.acquire(60)")
        until(lambda: gate_is_kept(lock), "the writer at the gate")
        killed.kill()
    assert lock.writer.acquire(30)
    lock.writer.release()
    assert free(lock)


READ = "\ndef call():\n    with lock.reader: pass\n"
READ_TWICE = READ.replace("pass", "lock.reader.acquire(); lock.reader.release()") + "    with lock.reader: pass\n"
WRITE = """
inside = namedshm.open(name + '-inside').map()
def call():
    with lock.writer:
        inside[0] = 1
        inside[0] = 0
"""
BOTH = WRITE.replace("inside[0] = 0", "inside[0] = 0\n        lock.reader.acquire()") + "    lock.reader.release()\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("code", [READ, READ_TWICE, WRITE, BOTH], ids=["read", "read twice", "write", "write, then read"])
def test_killed_before_any_line_it_hinders_nobody_and_a_half_change_is_told(
    lock: RWLock, peers: Callable[[], Peer], code: str
) -> None:
    told = set()
    with lock.reader:
        pass  # this process has a seat: the victim's writer looks at it
    with namedshm.create(lock.name + "-inside", 1) as section, section.map() as inside:
        stride = 2 if has_fork and code in (READ_TWICE, BOTH) else STRIDE
        for _ in killed_before_each_line(peers, OPENED + code, stride=stride, name=lock.name):
            reads = lock.reader.acquire(30)
            assert reads
            lock.reader.release()
            writes = lock.writer.acquire(30)
            assert writes
            assert writes.abandoned == reads.abandoned
            assert writes.abandoned or not inside[0], "half changed, and nobody is told"
            told.add(writes.abandoned)
            inside[0] = 0
            lock.writer.release()
            assert free(lock)
            assert lock.reader.acquire(0)
            lock.reader.release()
    assert told == ({False, True} if "writer" in code else {False})


STORM = """
import random
from namedshm.sync import RWLock
lock, view = RWLock(name), namedshm.open(name + "-data").map()
def number(at): return int.from_bytes(view[8 * at : 8 * at + 8], "little")
def put(at, value): view[8 * at : 8 * at + 8] = value.to_bytes(8, "little")
def turns():
    dice = random.Random(who)
    rounds = 0
    while not number(0):
        if dice.random() < 0.7:
            with lock.reader as acquired:
                assert acquired.abandoned or number(1) == number(2), "a reader saw half a change"
        else:
            with lock.writer as acquired:
                one, two = number(1), number(2)
                assert acquired.abandoned or one == two, "a writer saw half a change"
                assert one - two in (0, 1), (one, two)
                put(1, one + 1)
                put(2, one + 1)
        rounds += 1
        put(10 + who, rounds)
    return rounds
turns()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2))
def test_in_a_storm_of_kills_nobody_sees_half_a_change_and_all_go_on(lock: RWLock, peers: Callable[..., Peer], seed: int) -> None:
    dice = random.Random(seed)
    with namedshm.create(lock.name + "-data", 8 * 64) as section, section.map() as view:

        def rounds(who: int) -> int:
            return int.from_bytes(view[8 * (10 + who) : 8 * (11 + who)], "little")

        survivors = [peers(name=lock.name, who=who) for who in range(2)]
        for survivor in survivors:
            survivor.start(STORM)
        for who in range(2, 14 if on_linux else 6):
            with Peer() as victim:
                victim.start(STORM, name=lock.name, who=who)
                wanted = dice.randrange(1, 60)
                until(lambda who=who, wanted=wanted: rounds(who) >= wanted, "the victim's turns")  # type: ignore[misc]
                victim.kill()
            before = rounds(0), rounds(1)
            for k in (0, 1):
                until(lambda k=k, before=before: rounds(k) > before[k] + 5, "a survivor's turns")  # type: ignore[misc]
        view[0] = 1
        for survivor in survivors:
            assert survivor.result() > 0
        with lock.writer:
            pass
        assert free(lock)


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_forked_child_of_a_reader_does_not_read(lock: RWLock, other: Callable[[], Peer], tmp_path: Any) -> None:
    """It has the handles, also of the mutex that stands for its parent's thread; the kernel knows whose that was."""
    parent = other()
    parent.do("lock.reader.acquire()")
    with parent.fork(tmp_path) as child:
        with pytest.raises(namedshm.NotOwned):
            child.do("lock.reader.release()")
        assert child.do("bool(lock.reader.acquire(0))")
        assert not lock.writer.acquire(0)
        child.do("lock.reader.release()")
        assert not lock.writer.acquire(0)
        parent.kill()
        assert lock.writer.acquire(30)
        lock.writer.release()
        assert child.do("bool(lock.writer.acquire(0))")


# ------------------------------------------------------------------------------------------------------------ limits
def test_a_list_full_of_the_dead_has_room(lock: RWLock) -> None:
    lock._record.update(readers=range(1, 257))
    with lock.reader as acquired:
        assert acquired
    assert sum(map(bool, lock._record.snapshot().readers)) == 1
    lock._record.update(readers=range(1, 257))
    assert free(lock)
    assert not any(lock._record.snapshot().readers)


def test_more_readers_than_fit_are_refused(lock: RWLock) -> None:
    living = [namedshm.Mutex(f"{lock.name}|r{number:06x}") for number in range(1, 257)]
    lock._record.update(readers=range(1, 257))
    with pytest.raises(namedshm.OutOfResources, match="256 threads"):
        lock.reader.acquire()
    assert free(lock)
    living.pop().close()
    with lock.reader as acquired:
        assert acquired
    for mutex in living:
        mutex.close()


# ------------------------------------------------------------------------------------------------------------ asyncio
def test_in_asyncio_it_waits_for_other_processes(lock: RWLock, other: Callable[[], Peer]) -> None:
    peer = other()

    async def main() -> None:
        async with lock.reader as acquired:
            assert acquired
            assert not peer.do("bool(lock.writer.acquire(0))")
        peer.do("lock.writer.acquire()")
        waits = [asyncio.create_task(lock.reader.acquire_async(60)) for _ in range(2)]
        assert not await lock.writer.acquire_async(0)
        assert not await lock.reader.acquire_async(0.05)
        peer.do("lock.writer.release()")
        assert all([await wait for wait in waits])
        lock.reader.release()
        lock.reader.release()
        async with lock.writer as acquired:
            assert not acquired.abandoned
            assert not peer.do("bool(lock.reader.acquire(0))")

    asyncio.run(main())
    assert free(lock)


def test_a_writer_that_is_cancelled_while_it_waits_for_readers_lets_new_ones_in(lock: RWLock, other: Callable[[], Peer]) -> None:
    reader, late = other(), other()
    reader.do("lock.reader.acquire()")

    async def main() -> None:
        wait = asyncio.create_task(lock.writer.acquire_async())
        while not gate_is_kept(lock):
            await asyncio.sleep(0)
        assert not late.do("bool(lock.reader.acquire(0))")
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        assert late.do("bool(lock.reader.acquire(0))")
        late.do("lock.reader.release()")
        assert not await lock.writer.acquire_async(0.05)
        waits = [asyncio.create_task(lock.writer.acquire_async(60)) for _ in range(2)]
        await asyncio.sleep(0)
        reader.do("lock.reader.release()")
        assert all([await wait for wait in waits]), "tasks of one loop are one thread"
        lock.writer.release()
        assert not late.do("bool(lock.reader.acquire(0))")
        lock.writer.release()

    asyncio.run(main())
    assert free(lock)


@pytest.mark.parametrize("way", ["reader", "writer"])
def test_wrong_arguments_are_refused_before_anything_is_touched(lock: RWLock, way: str) -> None:
    for arguments in ({"timeout": "1"}, {"timeout": float("nan")}, {"on_abandoned": "ignore"}):
        with pytest.raises((TypeError, namedshm.InvalidArgument)):
            getattr(lock, way).acquire(**arguments)
        with pytest.raises((TypeError, namedshm.InvalidArgument)):
            asyncio.run(getattr(lock, way).acquire_async(**arguments))
    assert free(lock)
