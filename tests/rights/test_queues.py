r"""Queues in Global\: who may put and take, who may only look, and that the death of another user's process is noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.peer import ForkedPeer, Peer
from helpers.turns import until

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, AsUser


def refused(peer: Peer | ForkedPeer, call: str) -> None:
    with pytest.raises(namedshm.AccessDenied):
        peer.do(call)


def test_a_user_who_may_read_looks_and_so_does_his_child(as_user: AsUser, fork: Callable[[Peer], ForkedPeer], name: str) -> None:
    name = f"Global\\{name}"
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("q = namedshm.Queue.create(name, 8, mode=0o644); q.put_many([b'one', b'two'])", name=name)
    with pytest.raises(namedshm.AccessDenied):
        carl.do("namedshm.Queue.open(name)", name=name)
    carl.do("q = namedshm.Queue.open(name, 'read')")
    for peer in (carl, fork(carl)):
        assert peer.do("q.qsize(), q.statistics().put, q.producers, q.consumers, q.is_shut_down") == (2, 2, 1, 0, False)
        assert peer.do("[(one.pid, one.uid, one.alive) for one in q.participants()]") == [(anna.pid, ANNA, True)]
        for call in ("q.get(0)", "q.put(b'x', 0)", "q.shutdown()", "q.take_part('consumer')", "q.take(0)", "q.loan(1, 0)"):
            refused(peer, call)
        assert peer.do("namedshm.inspection.state(name)['messages']", name=name) == 2
    anna.do("q.get()")
    assert carl.do("q.qsize()") == 1
    anna.kill()
    assert carl.do("q.qsize(), q.producers, [one.alive for one in q.participants()]") == (1, 0, [False])


def test_who_may_neither_read_nor_write_does_not_open_it(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("q = namedshm.Queue.create(name)", name=name)
    for access in ("read", "write"):
        with pytest.raises(namedshm.AccessDenied):
            carl.do("namedshm.Queue.open(name, access)", name=name, access=access)


@pytest.mark.parametrize("ack", [False, True])
def test_users_put_and_take_and_the_death_of_another_is_noticed(as_user: AsUser, name: str, ack: bool) -> None:
    name = f"Global\\{name}"
    anna, bert, carl = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("q = namedshm.Queue.create(name, 8, 5000, chunks=8, mode=0o666, ack=ack)", name=name, ack=ack)
    for peer in (bert, carl):
        peer.do("q = namedshm.Queue.open(name)", name=name)
    carl.start("q.get(60)")
    until(lambda: anna.do("q.statistics().awaited"), "who waits")
    anna.do("q.put(b'hello')")
    assert carl.result() == b"hello"
    anna.do("q.put_many([bytes([n]) * 5000 for n in range(8)])")
    carl.do("kept = [q.take() for _ in range(3)]")
    assert anna.do("{(one.pid, one.uid) for one in q.participants()}") == {(anna.pid, ANNA), (carl.pid, CARL)}
    carl.kill()
    got = bert.do("[q.get(30)[0] for _ in range(number)]", number=8 if ack else 5)
    assert sorted(got) == (list(range(8)) if ack else list(range(3, 8)))
    bert.do("q.put_many([bytes(5000)] * 8, 30)")  # all chunks, also those the dead one had
    assert anna.do("len(q.get_many(8))") == 8


def test_a_queue_of_a_group_is_for_its_members(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna = as_user(ANNA, CREW, granted=True)
    bert, carl = as_user(BERT, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("q = namedshm.Queue.create(name, mode=0o660, group=group)", name=name, group=CREW)
    bert.do("namedshm.Queue.open(name).put(b'from bert')", name=name)
    assert anna.do("q.get(30)") == b"from bert"
    with pytest.raises(namedshm.AccessDenied):
        carl.do("namedshm.Queue.open(name)", name=name)
