"""Tables through a queue: handed over whole, in place or copied once; the producer may be gone; a message that is none is told."""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.extras import needs
from helpers.peer import _Lender
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pa = needs("pyarrow")

import namedshm
from namedshm import ObjectQueue, arrow
from namedshm.queue import Empty, Full, Queue

from . import flat, samples
from .test_damage import bomb_of_fields, bomb_of_names, bomb_of_pairs, bomb_of_zones, file_of

Make = Callable[..., Queue]


@pytest.fixture(autouse=True)
def _point() -> Iterator[None]:
    pa.register_extension_type(samples.Point())
    yield
    pa.unregister_extension_type("namedshm.test.point")


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


# ------------------------------------------------------------------------------------------------------------ handing over
def test_a_table_of_every_type_arrives(make: Make) -> None:
    q = make()
    sent = pa.table(samples.columns())
    arrow.send(q, sent)
    found = arrow.receive(q, 5, validate="full")
    assert found.equals(sent)
    assert found.schema.equals(sent.schema, check_metadata=True)
    arrow.send(q, sent)
    with arrow.take(q, 5, validate="full") as found:
        assert found.equals(sent)
        assert used(q) == 1
        del found
    assert (q.qsize(), used(q)) == (0, 0)


def test_small_tables_go_in_slots(make: Make) -> None:
    q = make(8, 1024)
    sent = pa.table({"n": [1, 2]})
    arrow.send(q, sent)
    assert used(q) == 0
    assert arrow.receive(q).equals(sent)
    arrow.send(q, sent)
    with arrow.take(q) as found:
        assert found.equals(sent)


def test_batches_frames_and_readers_arrive_as_tables(make: Make) -> None:
    q = make()
    batch = pa.record_batch({"n": [1, 2, 3], "text": ["a", None, "c"]})
    table = pa.Table.from_batches([batch, batch])
    for sent in (batch, [batch, batch], table, pa.RecordBatchReader.from_batches(batch.schema, [batch, batch]), table.slice(2, 3)):
        whole = sent if isinstance(sent, pa.Table) else pa.Table.from_batches([batch] * (1 if sent is batch else 2))
        arrow.send(q, sent)
        found = arrow.receive(q)
        assert found.equals(whole)
        assert found.schema == batch.schema
    with arrow.publish(None, table) as named:
        arrow.send(q, named)
        assert arrow.receive(q).equals(table)
    arrow.send(q, pa.table({}))
    assert arrow.receive(q).num_columns == 0


def test_buffers_lie_at_multiples_of_64(make: Make) -> None:
    q = make()
    arrow.send(q, pa.table(samples.columns()))
    with arrow.take(q) as found:
        assert all(buffer.address % 64 == 0 for buffer in samples.buffers(found) if buffer is not None and buffer.size)
        del found
    arrow.send(q, pa.table(samples.columns()))
    assert all(buffer.address % 64 == 0 for buffer in samples.buffers(arrow.receive(q)) if buffer is not None and buffer.size)


def test_nothing_that_lay_there_before_is_sent_along(make: Make) -> None:
    """What is between the pieces of a file is zero, whatever message was there."""
    q = make(chunks=1)
    table = pa.table({"n": [1, 2, 3], "text": ["a", None, "c"]})
    arrow.send(q, table)
    clean = q.get()
    q.put(b"\xff" * (1 << 20))
    q.get()
    arrow.send(q, table)
    assert q.get() == clean


def test_the_queue_keeps_what_its_producer_drops(make: Make, peers: _Lender) -> None:
    """Produce, send, end: twenty tables, of which each is whole, and none is lost."""
    q = make(32)
    peer = peers(name=q.name)
    peer.do(
        """
import pyarrow as pa
from namedshm import Queue, arrow
q = Queue.open(name)
for number in range(20):
    arrow.send(q, pa.table({"n": [number] * 1000, "text": [str(number)] * 1000}))
"""
    )
    peer.kill()
    for number in range(20):
        assert arrow.receive(q, 60).equals(pa.table({"n": [number] * 1000, "text": [str(number)] * 1000}))
    with pytest.raises(Empty):
        arrow.receive(q, 0)
    assert used(q) == 0


def test_a_taken_table_is_the_queues_again_after_the_block_or_when_it_is_gone(make: Make) -> None:
    q = make()
    arrow.send(q, pa.table({"n": list(range(1000))}))
    with arrow.take(q) as found:
        kept = found["n"]
        del found
    arrow.send(q, pa.table({"n": [7] * 1000}))
    assert kept.to_pylist() == list(range(1000))
    del kept
    arrow.receive(q)
    assert used(q) == 0


def test_with_acknowledgement_an_exception_lets_it_come_again(make: Make) -> None:
    q = make(ack=True)
    sent = pa.table({"n": [1, 2]})
    arrow.send(q, sent)
    with pytest.raises(ZeroDivisionError), arrow.take(q):
        raise ZeroDivisionError
    assert arrow.receive(q, 5).equals(sent)
    assert (q.qsize(), used(q)) == (0, 0)


def test_tables_go_in_objects_too(names: Callable[[], str]) -> None:
    sent = {"trades": pa.table(samples.columns())}
    with ObjectQueue(4) as q:
        q.put(sent)
        assert q.get()["trades"].equals(sent["trades"])
        q.put(sent)
        with q.take() as found:
            assert found["trades"].equals(sent["trades"])


# ------------------------------------------------------------------------------------------------------------ what is none
def test_what_cannot_be_sent_is_told(make: Make) -> None:
    q = make(1, 10_000)
    with pytest.raises(namedshm.InvalidArgument, match=r"10000 at most.*larger max_size"):
        arrow.send(q, pa.table({"n": list(range(5000))}))
    with pytest.raises(TypeError, match="tables"):
        arrow.send(q, [1, 2])
    for call in (lambda: arrow.receive(q, validate="some"), lambda: arrow.take(q, validate="some").__enter__()):  # type: ignore[arg-type]
        with pytest.raises(namedshm.InvalidArgument, match="validate"):
            call()
    arrow.send(q, pa.table({"n": [1]}))
    with pytest.raises(Full):
        arrow.send(q, pa.table({"n": [1]}), 0.001)
    arrow.receive(q)
    assert (q.qsize(), used(q)) == (0, 0)


@pytest.mark.parametrize("ack", [False, True])
@pytest.mark.parametrize("bomb", [bomb_of_pairs, bomb_of_fields, bomb_of_names, bomb_of_zones])
def test_hostile_metadata_is_told_and_the_message_is_gone(make: Make, bomb: Callable[[int, int], bytes], ack: bool) -> None:
    q = make(ack=ack)
    for call in (arrow.receive, lambda q: arrow.take(q).__enter__()):
        q.put(bomb(100, 10_000))
        with pytest.raises(namedshm.InvalidContent, match=r"out of the queue: .*again and again"):
            call(q)
        assert (q.qsize(), used(q)) == (0, 0)


def test_messages_of_another_kind_say_what_they_are(make: Make) -> None:
    q = make()
    for message, what in (
        (b"", r"bytes, which Queue.get\(\) takes"),
        (b"\xff" * 5000, r"bytes, which Queue.get\(\) takes"),
        (b"\x93NUMPY\1\0" + bytes(500), r"an array, which arrays.receive\(\) takes"),
        (b"\x93NSOBJ\1\0N.", r"an object, which ObjectQueue.get\(\) takes"),
        (b"ARROW1\0\0", "begin and end"),
        (flat.file([flat.number(flat.Bytes(b"n"))], big_endian=True), "byte order"),
    ):
        for call in (arrow.receive, lambda q: arrow.take(q).__enter__()):
            q.put(message)
            with pytest.raises(namedshm.InvalidContent, match=what):
                call(q)
    assert (q.qsize(), used(q)) == (0, 0)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_tables_are_told_or_are_tables(make: Make, data: st.DataObject) -> None:
    q = make()
    message = bytearray(file_of(pa.table({"n": [1, 2, 3], "text": ["a", None, "c"]})))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    q.put(message)
    try:
        found = arrow.receive(q, 0, validate="full")
    except namedshm.InvalidContent:
        assert q.empty()
    else:
        assert isinstance(found, pa.Table)
