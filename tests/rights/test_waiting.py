r"""Records, reader-writer locks and conditions in Global\ are for several users, as far as their rights go."""

from __future__ import annotations

import pytest
from helpers.peer import Peer
from helpers.turns import until

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, AsUser

RECORD = """
from namedshm.records import Record
class Job(Record):
    done: int
"""
FOLLOWS = "s = Record.open(name, access); s = s.wait(newer_than=1, timeout=60); (s.version, s.done)"


def waiting(peer: Peer, name: str, number: int) -> None:
    """Wait until so many are on the list of the condition, as this user sees it."""
    until(lambda: peer.do("namedshm.inspection.state(name)['waiting']", name=name) == number, "the waits")


def test_who_may_only_read_a_record_waits_for_its_next_version(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, bert, carl = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True), as_user(CARL, granted=True)
    anna.do(RECORD + "job = Job.create(name, mode=0o644)", name=name)
    for other in (bert, carl):
        other.do(RECORD)
        other.start(FOLLOWS, name=name, access="read")
    anna.do("job.done = 5")
    assert bert.result() == carl.result() == (2, 5)


def test_who_may_write_a_record_and_create_in_global_is_woken_by_another_user(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, bert = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True)
    anna.do(RECORD + "job = Job.create(name, mode=0o666)", name=name)
    bert.do(RECORD)
    bert.start(FOLLOWS, name=name, access="write")
    until(lambda: anna.do("any(i.name == name + '|1' for i in namedshm.list_objects())", name=name), "the wait")
    anna.do("job.done = 5")
    assert bert.result() == (2, 5)


def test_users_exclude_each_other_by_a_lock(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, bert = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True)
    for peer in (anna, bert):
        peer.do("from namedshm.sync import RWLock; lock = RWLock(name, mode=0o666)", name=name)
    anna.do("lock.reader.acquire()")
    assert bert.do("bool(lock.reader.acquire(0))")
    bert.do("lock.reader.release()")
    assert not bert.do("bool(lock.writer.acquire(0))")
    anna.kill()
    assert bert.do("bool(lock.writer.acquire(30))")
    late = as_user(ANNA, CREW, granted=True)
    late.do("from namedshm.sync import RWLock; lock = RWLock.open(name)", name=name)
    assert not late.do("bool(lock.reader.acquire(0))")
    bert.do("lock.writer.release()")
    assert late.do("bool(lock.reader.acquire(0))")
    assert not bert.do("bool(lock.writer.acquire(0))")


def test_users_wake_each_other_by_a_condition(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, bert = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True)
    anna.do("from namedshm.sync import Condition; c = Condition(name, mode=0o666)", name=name)
    bert.do("from namedshm.sync import Condition; c = Condition.open(name)", name=name)
    for one, two in ((anna, bert), (bert, anna)):
        one.start("c.acquire(); w = c.wait(60); c.release(); bool(w)")
        waiting(two, name, 1)
        two.do("c.acquire(); c.notify(); c.release()")
        assert one.result() is True


def test_a_lock_wants_the_right_to_create_from_who_reads(as_user: AsUser, name: str) -> None:
    name = f"Global\\{name}"
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("from namedshm.sync import RWLock; lock = RWLock(name, mode=0o666)", name=name)
    carl.do("from namedshm.sync import RWLock; lock = RWLock.open(name)", name=name)
    assert carl.do("bool(lock.writer.acquire(0))")
    carl.do("lock.writer.release()")
    with pytest.raises(namedshm.AccessDenied, match="namedshm grant"):
        carl.do("lock.reader.acquire(0)")
    assert anna.do("bool(lock.writer.acquire(0))"), "a refused reader leaves the gate"
