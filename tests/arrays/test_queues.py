"""Arrays through a queue: handed over whole, in place or copied once; the producer may be gone; a message that is none is told."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.names import gone
from helpers.peer import _Lender
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import namedshm
from namedshm import ObjectQueue, arrays
from namedshm.queue import Empty, Full, Queue, ShutDown

from .conftest import DTYPES, SHAPES, elements, fill
from .test_hostile import BAD

Make = Callable[..., Queue]


@pytest.fixture
def make(names: Callable[[], str]) -> Iterator[Make]:
    """make(capacity, max_size, **options) is a new queue."""
    made: list[Queue] = []

    def create(capacity: int = 8, max_size: int = 1 << 20, **options: Any) -> Queue:
        made.append(Queue.create(names(), capacity, max_size, **options))
        return made[-1]

    yield create
    for queue in made:
        queue.close()


def used(q: Queue) -> int:
    """Chunks that are not free; what a test has done with is gone before."""
    gc.collect()
    return q.chunks - q.statistics().free_chunks


def same(found: np.ndarray[Any, Any], sent: np.ndarray[Any, Any]) -> bool:
    return (found.dtype, found.shape, elements(found)) == (sent.dtype, sent.shape, elements(sent))


# ------------------------------------------------------------------------------------------------------------ handing over
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("max_size", [1024, 1 << 20], ids=["in slots", "in chunks"])
def test_what_arrives_is_what_was_sent(make: Make, dtype: Any, max_size: int) -> None:
    q = make(max_size=max_size)
    for shape in SHAPES:
        for order in "CF":
            sent = np.zeros(shape, dtype, order)  # type: ignore[call-overload]
            fill(sent)
            if sent.nbytes + 200 > max_size:
                continue
            arrays.send(q, sent)
            found = arrays.receive(q, 5)
            assert same(found, sent)
            assert found.flags.f_contiguous == sent.flags.f_contiguous
            assert found.flags.writeable
            arrays.send(q, sent)
            with arrays.take(q, 5) as found:
                assert same(found, sent)
                assert not found.flags.writeable
            del found
    assert (q.qsize(), used(q)) == (0, 0)


def test_what_lies_scattered_and_what_is_no_array_arrives_as_one(make: Make) -> None:
    q = make()
    whole = np.arange(600.0).reshape(20, 30)
    for sent in (whole[::2, ::-3], whole.T, whole[3], 7, 2.5, [[1, 2], [3, 4]], range(5)):
        arrays.send(q, sent)
        assert same(arrays.receive(q), np.asarray(sent))
    arrays.send(q, whole, order="F")
    assert arrays.receive(q).flags.f_contiguous
    with arrays.publish(None, whole) as named:
        arrays.send(q, named)
        assert type(arrays.receive(q)) is np.ndarray


def test_elements_begin_at_multiples_of_64(make: Make) -> None:
    q = make()
    arrays.send(q, np.arange(100.0))
    with arrays.take(q) as found:
        assert found.ctypes.data % 64 == 0


def test_the_queue_keeps_what_its_producer_drops(make: Make, peers: _Lender) -> None:
    """Produce, send, end: twenty frames, of which each is whole, and none is lost."""
    q = make(32)
    peer = peers(name=q.name)
    peer.do(
        """
import numpy as np
from namedshm import Queue, arrays
q = Queue.open(name)
for number in range(20):
    frame = np.full((40, 50, 3), number, np.uint8)
    if number % 2:
        arrays.send(q, frame)
    else:
        with arrays.loan(q, frame.shape, frame.dtype) as lent:
            lent[:] = frame
    del frame
"""
    )
    peer.kill()
    for number in range(20):
        frame = arrays.receive(q, 60)
        assert (frame.shape, frame.min(), frame.max()) == ((40, 50, 3), number, number)
    with pytest.raises(Empty):
        arrays.receive(q, 0)
    assert used(q) == 0


# ------------------------------------------------------------------------------------------------------------ where it lies
def test_a_loan_is_sent_at_the_end_of_its_block(make: Make) -> None:
    q = make()
    for order in ("C", "F"):
        with arrays.loan(q, (3, 4), "f4", order=order) as array:  # type: ignore[call-overload]
            assert (array.shape, array.dtype, array.flags.writeable) == ((3, 4), np.dtype("f4"), True)
            assert array.flags.f_contiguous == (order == "F")
            array[:] = np.arange(12).reshape(3, 4)
            assert q.empty()
        assert q.qsize() == 1
        found = arrays.receive(q)
        assert same(found, np.arange(12, dtype="f4").reshape(3, 4))
        assert found.flags.f_contiguous == (order == "F")
    with arrays.loan(q, 5) as array:
        assert array.dtype == np.float64
        array[:] = 1
    del array
    assert arrays.receive(q).tolist() == [1.0] * 5
    assert used(q) == 0


def test_after_the_block_the_array_is_read_only_and_its_memory_stays_mapped(make: Make) -> None:
    q = make()
    with arrays.loan(q, 1000, "u1") as array:
        array[:] = 7
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    q.close()
    assert array.nbytes == 1000
    assert int(array[0]) == 7


def test_an_exception_abandons_a_loan(make: Make) -> None:
    q = make()
    with pytest.raises(ZeroDivisionError), arrays.loan(q, 5):
        raise ZeroDivisionError
    assert (q.qsize(), used(q)) == (0, 0)


def test_a_view_that_is_still_there_keeps_a_loan_from_being_sent(make: Make) -> None:
    q = make()
    for view_of in (lambda a: a[1:], lambda a: a.T, lambda a: a.reshape(-1).view("u1"), lambda a: a[1:][1:]):
        with pytest.raises(BufferError, match="view"), arrays.loan(q, (4, 4)) as array:  # noqa: PT012  # at the end of the block
            array[:] = 0
            view = view_of(array)
        del view, array
        assert (q.qsize(), used(q)) == (0, 0)
        with arrays.loan(q, (4, 4)) as array:
            array[:] = 0
            view_of(array)[:] = 1
        del array
        arrays.receive(q)


def test_a_loan_that_finds_no_room_is_abandoned(make: Make) -> None:
    q = make(1)
    arrays.send(q, [1])
    with pytest.raises(Full), arrays.loan(q, 5, timeout=0.001) as array:
        array[:] = 0
    del array
    assert (q.qsize(), used(q)) == (1, 0)
    assert arrays.receive(q).tolist() == [1]
    assert used(q) == 0


def test_a_taken_array_is_the_queues_again_after_the_block_or_when_it_is_gone(make: Make) -> None:
    q = make()
    arrays.send(q, np.full(5000, 7, "u1"))
    with arrays.take(q) as array:
        assert used(q) == 1
        del array
    assert used(q) == 0
    arrays.send(q, np.full(5000, 8, "u1"))
    with arrays.take(q) as array:
        kept = array[10:]
        del array
    arrays.send(q, np.full(5000, 9, "u1"))
    assert set(kept.tolist()) == {8}
    del kept
    arrays.receive(q)
    assert used(q) == 0


def test_with_acknowledgement_an_exception_lets_it_come_again(make: Make) -> None:
    q = make(ack=True)
    arrays.send(q, np.arange(5))
    with pytest.raises(ZeroDivisionError), arrays.take(q):
        raise ZeroDivisionError
    with arrays.take(q, 5) as array:
        assert array.tolist() == [0, 1, 2, 3, 4]
    del array
    assert (q.qsize(), used(q)) == (0, 0)


def test_a_killed_consumers_array_comes_again(make: Make, peers: _Lender) -> None:
    q = make(ack=True)
    arrays.send(q, np.arange(5))
    peer = peers(name=q.name)
    peer.do("from namedshm import Queue, arrays; q = Queue.open(name); block = arrays.take(q); array = block.__enter__()")
    peer.kill()
    assert arrays.receive(q, 60).tolist() == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------------------------ what is none
def test_what_cannot_be_sent_is_told(make: Make) -> None:
    q = make(8, 10_000)
    for call in (lambda a: arrays.send(q, a), lambda a: arrays.loan(q, a.shape, a.dtype).__enter__()):
        with pytest.raises(namedshm.InvalidArgument, match=r"10000 at most.*larger max_size"):
            call(np.zeros(2000))
        with pytest.raises(namedshm.InvalidArgument, match="Python objects"):
            call(np.array([object()]))
    with pytest.raises(namedshm.InvalidArgument, match="mask"):
        arrays.send(q, np.ma.masked_array([1, 2], mask=[True, False]))
    with pytest.raises(namedshm.InvalidArgument, match="shape"):
        arrays.loan(q, (-1,)).__enter__()
    assert (q.qsize(), used(q)) == (0, 0)


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("ack", [False, True])
def test_a_hostile_header_is_told_and_the_message_is_gone(make: Make, what: str, ack: bool) -> None:
    q = make(8, max(1 << 16, len(BAD[what])), ack=ack)
    for call in (arrays.receive, lambda q: arrays.take(q).__enter__()):
        q.put(BAD[what])
        with pytest.raises(namedshm.InvalidContent, match="out of the queue") as caught:
            call(q)
        assert q.name is not None
        assert q.name in str(caught.value)
        del caught
        assert (q.qsize(), used(q)) == (0, 0)


def test_messages_of_another_kind_say_what_they_are(make: Make) -> None:
    q = make()
    objects = ObjectQueue.open(q.name or "")
    q.put(b"")
    with pytest.raises(namedshm.InvalidContent, match=r"bytes, which Queue.get\(\) takes"):
        arrays.receive(q)
    for thing in (1, b"x" * 5000):
        objects.put(thing)
        with pytest.raises(namedshm.InvalidContent, match=r"an object, which ObjectQueue.get\(\) takes"):
            arrays.receive(q)
    q.put(b"ARROW1\0\0" + bytes(1000))
    with pytest.raises(namedshm.InvalidContent, match=r"Arrow table, which arrow.receive\(\) takes"), arrays.take(q):
        pass
    objects.close()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_arrays_are_told_or_are_within_their_message(make: Make, data: st.DataObject) -> None:
    q = make()
    arrays.send(q, np.arange(12, dtype="i2").reshape(3, 4))
    message = bytearray(q.get())
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    q.put(message[: data.draw(st.integers(0, len(message)))] if data.draw(st.booleans()) else message)
    try:
        found = arrays.receive(q, 0)
    except namedshm.InvalidContent:
        assert q.empty()
    else:
        assert found.nbytes <= len(message)


def test_errors_of_the_queue_come_through(make: Make) -> None:
    q = make(1)
    with pytest.raises(Empty):
        arrays.receive(q, 0.001)
    with pytest.raises(Empty), arrays.take(q, 0):
        pass
    arrays.send(q, [1])
    with pytest.raises(Full):
        arrays.send(q, [2], 0.001)
    with pytest.raises(Full):
        arrays.send(q, np.zeros(1000), 0.001)
    q.shutdown()
    with pytest.raises(ShutDown):
        arrays.send(q, [1])
    with Queue.open(q.name or "", "read") as reader, pytest.raises(namedshm.AccessDenied):
        arrays.receive(reader)
    assert arrays.receive(q).tolist() == [1]
    assert used(q) == 0


# ------------------------------------------------------------------------------------------------------------ in objects
def test_arrays_in_objects_are_ones_own_or_lie_in_the_queue(names: Callable[[], str]) -> None:
    with ObjectQueue(8) as q:
        sent = {"image": np.arange(30_000.0).reshape(100, 300), "small": np.arange(3), "F": np.asfortranarray(np.ones((50, 60)))}
        q.put(sent)
        found = q.get()
        assert all(same(found[key], sent[key]) for key in sent)
        assert all(found[key].flags.writeable for key in sent)
        assert found["F"].flags.f_contiguous
        assert used(q.queue) == 0
        q.put(sent)
        with q.take() as found:
            assert all(same(found[key], sent[key]) for key in sent)
            assert not found["image"].flags.writeable
            assert used(q.queue) == 1
            del found
        assert used(q.queue) == 0


def test_an_array_with_a_name_goes_by_it(names: Callable[[], str]) -> None:
    name = names()
    with ObjectQueue(8) as q, arrays.create(name, 100_000) as named:
        for sent in (named, np.asarray(named), named[5:]):
            q.put(sent)
            assert q.statistics().put_bytes < 3000
            found = q.get()
            found[0] = 17
            assert sent[0] == 17
            sent[0] = 0
            del found
    del named, sent
    assert gone(name)
