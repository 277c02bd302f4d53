r"""Topics in Global\: who may only read reads, without a right to write and without pins; who may neither opens nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.peer import ForkedPeer, Peer
from helpers.turns import until

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, AsUser


def test_a_user_who_may_read_reads_and_so_does_his_child(as_user: AsUser, fork: Callable[[Peer], ForkedPeer], name: str) -> None:
    name = f"Global\\{name}"
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("t = namedshm.Topic.create(name, mode=0o644, history=1); t.publish(b'x' * 5000)", name=name)
    with pytest.raises(namedshm.AccessDenied):
        carl.do("namedshm.Topic.open(name)", name=name)
    carl.do("t = namedshm.Topic.open(name, 'read')")
    for peer in (carl, fork(carl)):
        assert peer.do("t.latest() == b'x' * 5000, t.lag") == (True, 0)
        for call in ("t.publish(b'x')", "t.publish(bytes(5000))", "t.pin()", "t.loan()", "t.shutdown()", "t.take_part()"):
            with pytest.raises(namedshm.AccessDenied):
                peer.do(call)
        assert peer.do("[(one.pid, one.uid, one.role, one.alive) for one in t.participants()]") == [
            (anna.pid, ANNA, "writer", True)
        ]
        peer.start("with t.view(60, which='new') as w:\n    got = bytes(w)\ngot == b'y' * 5000")
        until(lambda: anna.do("t.statistics().waiting"), "who waits")
        anna.do("t.publish(b'y' * 5000)")
        assert peer.result()
        peer.do("view = t.view()")
        anna.do("for _ in range(60): t.publish(b'x' * 5000)")
        with pytest.raises(namedshm.topic.Overrun):
            peer.do("view.release()")
        assert peer.do("namedshm.inspection.state(name)['published']", name=name) == anna.do("t.statistics().published")
    anna.kill()
    assert carl.do("[one.alive for one in t.participants()]") == [False]


def test_another_user_reads_arrays_by_their_name_alone(as_user: AsUser, name: str) -> None:
    pytest.importorskip("numpy")
    name = f"Global\\{name}"
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("t = namedshm.Topic.create(name, mode=0o644, dtype='f4', shape=(2, 3)); t.publish([[1, 2, 3], [4, 5, 6]])", name=name)
    assert carl.do("t = namedshm.Topic.open(name, 'read'); t.latest().tolist()", name=name) == [[1, 2, 3], [4, 5, 6]]


def test_who_may_neither_read_nor_write_does_not_open_it(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("t = namedshm.Topic.create(name)", name=name)
    for access in ("read", "write"):
        with pytest.raises(namedshm.AccessDenied):
            carl.do("namedshm.Topic.open(name, access)", name=name, access=access)


def test_users_write_and_pin_and_the_death_of_another_is_noticed(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, bert = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True)
    anna.do("t = namedshm.Topic.create(name, mode=0o660, group=group, writers=2, pins=1, history=1)", name=name, group=CREW)
    anna.do("t.publish(b'x' * 5000)")
    bert.do("t = namedshm.Topic.open(name); kept = t.pin(), t.loan()", name=name)
    bert.kill()
    assert anna.do("""
with t.pin() as window:
    got = window[0]
for _ in range(60):
    t.publish(bytes(5000), 30)
got, t.statistics().pinned""") == (ord("x"), 0)
