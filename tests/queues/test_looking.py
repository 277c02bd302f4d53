"""What can be seen of a queue, without a right to write and without changing anything."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable

import pytest
from helpers.peer import _Lender

import namedshm
from namedshm import inspection
from namedshm._facts.looking import look
from namedshm.queue import Queue

Make = Callable[..., Queue]


def test_how_many_there_are(make: Make) -> None:
    q = make(4, 3000)
    assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
    q.put(b"x")
    q.put(bytes(3000))
    assert (q.qsize(), q.empty(), q.full()) == (2, False, False)
    q.put_many([b"", b""])
    assert (q.qsize(), q.empty(), q.full()) == (4, False, True)
    q.get_many(3)
    assert q.qsize() == 1


def test_what_went_through(make: Make) -> None:
    q = make(8, 3000)
    q.put_many([b"12345", bytes(3000), b""])
    q.get()
    message, loan = q.get(), q.loan(1)
    seen = q.statistics()
    assert len(message) == 3000
    assert (seen.put, seen.got, seen.waiting, seen.put_bytes, seen.got_bytes) == (3, 2, 1, 3005, 3005)
    assert (seen.redelivered, seen.dropped, seen.held, seen.loaned) == (0, 0, 0, 1)
    assert seen.free_chunks == q.chunks - 1
    assert "put 3, got 2" in repr(seen)
    loan.abandon()


def test_who_takes_part(make: Make, peers: _Lender) -> None:
    q = make(8, 100)
    assert q.participants() == []
    q.put(b"x")
    peer = peers(name=q.name)
    peer.do("q = namedshm.Queue.open(name); q.get()")
    (here,) = [one for one in q.participants() if one.pid == os.getpid()]
    (there,) = [one for one in q.participants() if one.pid == peer.pid]
    assert (here.producer, here.consumer, here.alive, here.uid) == (True, False, True, None)
    assert (there.producer, there.consumer, there.alive, there.uid) == (False, True, True, None)
    assert repr(here) == f"<producer in process {os.getpid()}>"
    assert (q.producers, q.consumers) == (1, 1)
    peer.kill()
    assert (q.producers, q.consumers) == (1, 0)
    assert "dead" in repr([one for one in q.participants() if one.pid == peer.pid])
    q.get_nowait() if not q.empty() else q.take_part("consumer")
    assert (q.producers, q.consumers) == (1, 1)


def test_a_handle_for_reading_looks_and_changes_nothing(make: Make) -> None:
    q = make(8, 3000)
    q.put_many([b"one", bytes(3000)])
    with Queue.open(q.name, "read") as reader:
        assert reader.access == "read"
        assert (reader.qsize(), reader.producers, reader.consumers, reader.statistics().put) == (2, 1, 0, 2)
        for call in (
            reader.get,
            reader.take,
            reader.get_nowait,
            lambda: reader.get_many(3),
            lambda: reader.get_into(bytearray(3000)),
            lambda: reader.put(b"x"),
            lambda: reader.put(bytes(3000)),
            lambda: reader.put_many([b"x"]),
            reader.loan,
            reader.shutdown,
            lambda: reader.take_part("producer"),
        ):
            with pytest.raises(namedshm.AccessDenied, match="'write'"):
                call()
    assert q.qsize() == 2
    with pytest.raises(namedshm.InvalidArgument):
        Queue.open(q.name, "full")  # type: ignore[arg-type]


def test_its_repr_tells_what_is_in_it(make: Make, name: str) -> None:
    q = make(8, 3000, name=name)
    q.put(b"x")
    assert repr(q) == f"<namedshm.Queue {name!r}: up to 8 messages of 3000 bytes, 1 now>"
    q.shutdown()
    assert repr(q) == f"<namedshm.Queue {name!r}: up to 8 messages of 3000 bytes, 1 now, shut down>"
    q.close()
    assert repr(q) == f"<namedshm.Queue {name!r}: up to 8 messages of 3000 bytes, closed>"
    with Queue.create() as unnamed:
        assert "unnamed" in repr(unnamed)
        assert unnamed.name is None
        with pytest.raises(namedshm.queue.Empty, match="an unnamed queue"):
            unnamed.get(0)


def test_it_is_among_what_is_alive(make: Make) -> None:
    q = make(8, 3000)
    q.put_many([b"", b""])
    (info,) = [info for info in namedshm.list_objects() if info.name == q.name]
    assert info.type == "queue"
    assert namedshm.describe(str(q.name)) == info
    expected = {"messages": 2, "capacity": 8, "producers": 1, "consumers": 0, "shut_down": False}
    assert inspection.state(str(q.name)) == expected
    seen = look(str(q.name), 80)
    assert dict(seen.rows())["state"] == "2 of 8 messages, 1 producer, no consumers"
    q.shutdown()
    assert dict(look(str(q.name), 80).rows())["state"].endswith(", shut down")
    assert q.qsize() == 2


def test_how_long_it_spins_can_be_set(make: Make) -> None:
    q = make(8, 100)
    assert q.spin == pytest.approx(20e-6)
    q.spin = 0
    assert q.spin == 0
    q.spin = 0.5
    assert q.spin == 0.5
    with pytest.raises(TypeError):
        q.spin = "long"  # type: ignore[assignment]
    with pytest.raises(namedshm.InvalidArgument):
        q.spin = float("nan")


def test_errors_can_be_pickled(make: Make) -> None:
    q = make(1, 100)
    with pytest.raises(namedshm.queue.Full) as caught:
        q.put_many([b"", b""], 0)
    same = pickle.loads(pickle.dumps(caught.value))
    assert (type(same), str(same), same.winerror, same.object_name) == (namedshm.queue.Full, str(caught.value), 258, q.name)
