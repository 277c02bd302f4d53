"""Several processes: they wait for each other, are killed, fork, and pass queues on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import PeerDied, _Lender
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm.queue import Empty, Queue

Make = Callable[..., Queue]

ROUNDS = 4000


def test_a_message_wakes_who_waits_for_it(make: Make, peers: _Lender) -> None:
    q = make(8, 100)
    peer = peers(name=q.name)
    peer.start("q = namedshm.Queue.open(name); q.get(60)")
    until(lambda: q.statistics().awaited, "who waits")
    q.put(b"hello")
    assert peer.result() == b"hello"


def test_room_wakes_who_waits_for_it(make: Make, peers: _Lender) -> None:
    q = make(2, 100)
    q.put_many([b"one", b"two"])
    peer = peers(name=q.name)
    peer.start("q = namedshm.Queue.open(name); q.put(b'three', 60)")
    until(lambda: q.statistics().awaited, "who waits")
    assert q.get() == b"one"
    peer.result()
    assert q.get_many(5) == [b"two", b"three"]


def test_it_is_opened_as_soon_as_it_is_there(names: Callable[[], str], peers: _Lender) -> None:
    name, peer = names(), peers()
    with pytest.raises(namedshm.NotFound):
        Queue.open(name, wait=0.01)
    peer.start("q = namedshm.Queue.open(name, wait=60); q.get(60)", name=name)
    with Queue.create(name) as q:
        q.put(b"hello")
        assert peer.result() == b"hello"


def test_the_name_and_the_messages_go_with_the_last_handle(make: Make, peers: _Lender) -> None:
    q = make(8, 100)
    name = q.name
    peer = peers(name=name)
    peer.do("q = namedshm.Queue.open(name)")
    q.put(b"kept by the other")
    q.close()
    assert peer.do("q.get()") == b"kept by the other"
    peer.do("q.close()")
    with pytest.raises(namedshm.NotFound):
        Queue.open(name)


PUTTING = """
q = namedshm.Queue.open(name)
for number in range(first, {rounds}):
    data = f"{{who}} {{number}}".encode()
    q.put(data.ljust(number * 7 % 300, b"."))
"""
TAKING = """
q = namedshm.Queue.open(name)
got = []
for data in q:
    who, number = data.rstrip(b".").split()
    got.append((int(who), int(number)))
    assert len(data) == max(len(data.rstrip(b".")), int(number) * 7 % 300)
got
"""


@pytest.mark.parametrize("ack", [False, True])
def test_many_put_and_many_take_and_each_message_comes_once(make: Make, peers: _Lender, ack: bool) -> None:
    q = make(64, 300, ack=ack, end_with_producers=True)
    q.take_part("producer")
    takers, putters = [peers(name=q.name) for _ in range(2)], [peers(name=q.name, who=who, first=0) for who in range(2)]
    for peer in takers:
        peer.start(TAKING)
    for peer in putters:
        peer.start(PUTTING.format(rounds=ROUNDS))
    for peer in putters:
        peer.result()
        peer.do("q.close()")
    q.close()
    got = [peer.result() for peer in takers]
    assert sorted(got[0] + got[1]) == [(who, number) for who in range(2) for number in range(ROUNDS)]
    for some in got:  # what one takes of one producer keeps its order
        for who in range(2):
            numbers = [number for one, number in some if one == who]
            assert numbers == sorted(numbers)


# ------------------------------------------------------------------------------------------------------------ kills
@pytest.mark.parametrize("call", ["put", "put_many", "loan"])
def test_a_killed_producer_leaves_whole_messages_in_order(make: Make, peers: _Lender, call: str) -> None:
    calls = {
        "put": "q.put(message(number)); number += 1",
        "put_many": "q.put_many([message(n) for n in range(number, number + 7)]); number += 7",
        "loan": """with q.loan() as w:
        w.length = len(message(number)); w[: w.length] = message(number)
    number += 1""",
    }
    q = make(32, 5000)
    for turn in range(4):
        peer = peers(name=q.name)
        peer.start(
            "q, number = namedshm.Queue.open(name), 0\n"
            "def message(n): return (n.to_bytes(4, 'little') * 1250)[: 4 + n * 41 % 4996]\n"
            f"while True:\n    {calls[call]}\n"
        )
        for number in range(300 + 211 * turn):
            check(q.get(30), number)
        peer.kill()
        number += 1
        while not q.empty():
            check(q.get(30), number)
            number += 1
        with pytest.raises(PeerDied):
            peer.result()
        q.put(b"it goes on")
        assert q.get() == b"it goes on"
    until(lambda: freed(q), "the chunks of the dead")


def freed(q: Queue) -> bool:
    """What the dead left is given back to who misses it: here all of it is borrowed at once."""
    loans = []
    try:
        for _ in range(q.chunks):
            loans.append(q.loan(1, 0))  # noqa: PERF401
    except namedshm.queue.Full:
        return False
    finally:
        for loan in loans:
            loan.abandon()
    return True


def check(data: bytes, number: int) -> None:
    assert data == (number.to_bytes(4, "little") * 1250)[: 4 + number * 41 % 4996]


@pytest.mark.parametrize("holding", ["take", "get"])
def test_with_acknowledgement_a_killed_consumer_loses_nothing(make: Make, peers: _Lender, holding: str) -> None:
    q = make(64, 100, ack=True)
    q.put_many([b"%d" % number for number in range(40)])
    peer = peers(name=q.name)
    if holding == "take":
        peer.do("q = namedshm.Queue.open(name); kept = [q.take() for _ in range(10)]; [m.release() for m in kept[:3]]")
        taken = 3
    else:
        taken = peer.do("q = namedshm.Queue.open(name); len(q.get_many(10))")
    waiting = InThread(lambda: [q.get(30) for _ in range(40 - taken)])
    peer.kill()
    got = waiting.join()
    assert sorted(got, key=int) == [b"%d" % number for number in range(taken, 40)]
    assert q.statistics().redelivered == (7 if holding == "take" else 0)
    with pytest.raises(Empty):
        q.get(0.01)


def test_without_acknowledgement_what_a_killed_consumer_had_taken_is_gone_and_its_memory_is_not(make: Make, peers: _Lender) -> None:
    q = make(16, 5000, chunks=16)
    q.put_many([bytes([number]) * 5000 for number in range(10)])
    peer = peers(name=q.name)
    peer.do("q = namedshm.Queue.open(name); kept = [q.take() for _ in range(4)]")
    peer.kill()
    assert [message[0] for message in q.get_many(16)] == [4, 5, 6, 7, 8, 9]
    q.put_many([bytes(5000)] * 16, 30)  # all chunks are needed, also those the dead one had


@pytest.mark.skipif(not on_linux, reason="looks at /proc")
def test_a_killed_waiter_takes_no_message_and_no_wakeup_along(make: Make, peers: _Lender) -> None:
    q = make(8, 100)
    killed, other = peers(name=q.name), peers(name=q.name)
    for peer in (killed, other):
        peer.start("namedshm.Queue.open(name).get(60)")
        until(lambda pid=peer.pid: asleep(pid), "the wait")  # type: ignore[misc]
    killed.kill()
    q.put(b"hello")
    assert other.result() == b"hello"


def asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/wchan").read_text().startswith("futex")


def test_the_dead_make_room_in_the_table(make: Make, peers: _Lender) -> None:
    q = make(8, 100, participants=2)
    q.put(b"one")
    peer = peers(name=q.name)
    assert peer.do("q = namedshm.Queue.open(name); q.get()") == b"one"
    assert (q.producers, q.consumers) == (1, 1)
    with Queue.open(q.name) as third:
        with pytest.raises(namedshm.OutOfResources, match="2 handles"):
            third.put(b"")
        peer.kill()
        third.put(b"two")
    assert q.get() == b"two"


# ------------------------------------------------------------------------------------------------------------ fork
@pytest.mark.skipif(not has_fork, reason="this system has no fork")
class TestFork:
    def test_a_child_uses_what_it_inherited_as_itself(self, make: Make, peers: _Lender, tmp_path: Path) -> None:
        q = make(8, 100)
        peer = peers(name=q.name)
        peer.do("q = namedshm.Queue.open(name); q.put(b'parent'); q.get()")
        with peer.fork(tmp_path) as child:
            child.do("q.put(b'child')")
            assert peer.do("q.get(30)") == b"child"
            peer.do("q.put(b'to the child')")
            assert child.do("q.get(30)") == b"to the child"
            assert {one.pid for one in q.participants()} == {peer.pid, child.pid}
            peer.kill()
            child.do("q.put(b'it goes on')")
            assert q.get(30) == b"it goes on"
            child.kill()
        until(lambda: q.producers == 0, "the end of both")

    def test_an_unnamed_queue_goes_to_children(self, peers: _Lender, tmp_path: Path) -> None:
        peer = peers()
        peer.do("q = namedshm.Queue.create()")
        with peer.fork(tmp_path) as child:
            child.start("q.get(60)")
            peer.do("q.put(b'hello')")
            assert child.result() == b"hello"

    def test_what_the_parent_holds_is_not_the_child_s(self, make: Make, peers: _Lender, tmp_path: Path) -> None:
        q = make(8, 5000, ack=True)
        q.put(b"x" * 5000)
        peer = peers(name=q.name)
        peer.do("q = namedshm.Queue.open(name); message, loan = q.take(), q.loan(3)")
        with peer.fork(tmp_path) as child:
            for wrong in ("bytes(message)", "loan.commit()", "loan[:] = b'abc'"):
                with pytest.raises(namedshm.InvalidArgument, match="forked"):
                    child.do(wrong)
            child.do("message.release(); loan.abandon(); q.put(b'of the child')")
            child.do("message = loan = None")
        assert q.get(30) == b"of the child"
        assert q.statistics().held == 1
        assert peer.do("len(bytes(message))") == 5000
        peer.do("loan[:] = b'abc'; loan.commit(); message.release()")
        assert q.get(30) == b"abc"
        assert q.statistics().free_chunks == q.chunks

    def test_a_child_that_only_ends_ends_nothing(self, make: Make, peers: _Lender, tmp_path: Path) -> None:
        q = make(8, 100, end_with_producers=True)
        peer = peers(name=q.name)
        peer.do("q = namedshm.Queue.open(name); q.put(b'one')")
        with peer.fork(tmp_path) as child:
            child.do("q.close()")
        peer.do("q.put(b'two')")
        assert q.get_many(5) == [b"one", b"two"]
        with pytest.raises(Empty):
            q.get(0.01)


# ------------------------------------------------------------------------------------------------------------ passing on
def test_it_is_pickled_by_name(make: Make, peers: _Lender) -> None:
    q = make(8, 100)
    peer = peers()
    peer.do("import pickle; q = pickle.loads(data); q.put(b'from the other')", data=pickle.dumps(q))
    assert q.get(30) == b"from the other"
    reader: Queue = pickle.loads(pickle.dumps(Queue.open(q.name, "read")))
    assert reader.access == "read"
    reader.close()


def test_what_is_gone_is_told_at_its_first_use(make: Make) -> None:
    q = make(8, 100)
    data = pickle.dumps(q)
    q.close()
    with pytest.raises(namedshm.ClosedHandle):
        pickle.dumps(q)
    gone = pickle.loads(data)
    with pytest.raises(namedshm.NotFound):
        gone.get()
    with Queue.create(q.name):
        stale = pickle.loads(data)
        with pytest.raises(namedshm.StaleObject):
            stale.get()
    with Queue.create() as unnamed, pytest.raises(TypeError, match="unnamed"):
        pickle.dumps(unnamed)
