"""Objects through a queue: what arrives is equal and one's own; what cannot go, or is none, says so; kills lose nothing."""

from __future__ import annotations

import asyncio
import functools
import pickle
import queue as standard
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.facts import has_fork, on_linux
from helpers.names import gone
from helpers.peer import _Lender
from helpers.threads import InThread
from helpers.turns import until
from hypothesis import given, settings
from hypothesis import strategies as st

import namedshm
from namedshm import JoinableObjectQueue, ObjectQueue
from namedshm._formats import object_frame
from namedshm.queue import Empty, Full, ShutDown

Make = Callable[..., ObjectQueue]


@pytest.fixture
def objects(names: Callable[[], str]) -> Iterator[Make]:
    """objects(capacity, max_size, **options) is a new queue of objects."""
    made: list[ObjectQueue] = []

    def create(*arguments: Any, kind: type[ObjectQueue] = ObjectQueue, name: str | None = None, **options: Any) -> ObjectQueue:
        made.append(kind.create(name or names(), *arguments, **options))
        return made[-1]

    yield create
    for queue in made:
        queue.close()


def used(q: ObjectQueue) -> int:
    """Chunks that are not free."""
    return q.queue.chunks - q.statistics().free_chunks


class Buffered:
    """An object whose bytes go beside its pickle."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Buffered, (pickle.PickleBuffer(self.data),)


class Broken:
    """It can be pickled, and not be unpickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return _raise, (self.error,)


def _raise(error: BaseException) -> None:
    raise error


# ------------------------------------------------------------------------------------------------------------ what goes
@pytest.mark.parametrize(
    "thing",
    [
        *(None, True, 17, -(1 << 100), 2.5, "text", "ä€𝄞" * 50_000, b"", b"x" * 300_000, bytearray(b"y" * 300_000)),
        *((), [], {}, set(), frozenset({1}), [1, [2, (3, {4: "5"})]], {"a": b"z" * 70_000, "b": [bytearray(100), "c" * 70_000]}),
        *(len, dict, functools.partial(int, base=7), [b"q" * 5_000] * 5, ["w" * 63_000, b"r" * 65_536, b"s" * 65_537]),
    ],
    ids=lambda thing: f"{type(thing).__name__}-{len(repr(thing))}",
)
@pytest.mark.parametrize("ack", [False, True])
def test_what_arrives_is_equal(objects: Make, thing: Any, ack: bool) -> None:
    q = objects(4, ack=ack)
    q.put(thing)
    found = q.get(timeout=5)
    assert type(found) is type(thing)
    assert repr(found) == repr(thing)
    q.put(thing)
    with q.take(5) as found:
        assert repr(found) == repr(thing)
    assert (q.qsize(), used(q)) == (0, 0)


def test_what_multiprocessing_was_taught_to_pickle_goes(objects: Make) -> None:
    from multiprocessing.reduction import ForkingPickler

    class Local:  # by its name it could not go
        pass

    q = objects(4)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        q.put(Local())
    ForkingPickler.register(Local, lambda thing: (int, ("17",)))
    q.put([Local(), Local()])
    assert q.get() == [17, 17]
    with socket.socket() as one:
        q.put(one)
        with q.get() as other:
            assert (other.family, other.type) == (one.family, one.type)


def test_it_is_pickled_when_it_is_put(objects: Make) -> None:
    q = objects(4)
    things = [1, 2]
    q.put(things)
    things.append(3)
    assert q.get() == [1, 2]


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 5000, 70_000, 3_000_001])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_buffers_go_beside_the_pickle_and_arrive_as_ones_own(objects: Make, size: int, kind: type) -> None:
    q = objects(4)
    data = kind(bytes(range(256)) * (size // 256 + 1))[:size]
    q.put([Buffered(data), Buffered(data[: size // 2])])
    one, two = q.get(timeout=5)
    assert (bytes(one.data), bytes(two.data)) == (bytes(data), bytes(data[: size // 2]))
    assert memoryview(one.data).readonly == (kind is bytes)
    if kind is bytearray and size:
        memoryview(one.data)[0] = 7
        assert used(q) == 0


def test_large_buffers_are_copied_once_each_way_and_bytes_too(objects: Make) -> None:
    """What pickles and unpickles asks for no memory of their size but for the object itself."""
    import tracemalloc

    q = objects(4)
    size = 8 << 20
    for thing in (Buffered(bytearray(size)), bytes(size), bytearray(size)):
        tracemalloc.start()
        q.put(thing)
        put = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        found = q.get()
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert put < size // 8, f"putting {type(thing).__name__}"
        assert size <= got < size + size // 8, f"getting {type(thing).__name__}"
        del found


def test_taken_objects_lie_in_the_queue_until_the_block_ends(objects: Make) -> None:
    q = objects(4)
    q.put(Buffered(bytearray(b"x" * 5000)))
    with q.take(5) as found:
        view = memoryview(found.data)
        assert view.readonly
        assert bytes(view) == b"x" * 5000
        assert used(q) == 1
        del found, view
    assert used(q) == 0
    q.put(Buffered(bytearray(b"y" * 5000)))
    with q.take(5) as found:
        pass
    q.put(Buffered(bytearray(b"z" * 5000)))
    assert bytes(found.data) == b"y" * 5000, "what is kept keeps the memory"
    del found
    assert bytes(q.get().data) == b"z" * 5000


def test_the_end_of_the_block_acknowledges_whatever_is_kept(objects: Make, peers: _Lender) -> None:
    q = objects(4, ack=True, chunks=4)
    q.put([1, b"x" * 5000, Buffered(bytearray(5000))])
    peer = peers(name=q.name)
    assert peer.do("q = namedshm.Queue.open(name); m = q.take(); kept = memoryview(m); m.release(); kept[:2] == b'\\x93N'")
    figures = q.statistics()
    assert (figures.waiting, figures.held, used(q)) == (0, 0, 1), "done, and still mapped there"
    assert peer.do("q.put(b'other'); q.take().release(); kept[:2] == b'\\x93N'")
    peer.kill()
    with pytest.raises(Empty):
        q.get(timeout=0.05)
    for number in range(4):  # the dead one's chunk is found when it is missed
        q.put(number)
    assert [q.get() for _ in range(4)] == [0, 1, 2, 3]
    q.put(Buffered(bytearray(b"y" * 5000)))
    with q.take(5) as found:
        pass
    assert (q.statistics().held, used(q)) == (0, 1)
    assert bytes(found.data) == b"y" * 5000
    del found
    assert used(q) == 0


def test_a_taken_object_is_taken_once(objects: Make) -> None:
    q = objects(4)
    q.put(1)
    q.put(2)
    taken = q.take(5)
    with taken as found:
        assert found == 1
    with pytest.raises(ValueError, match="take"), taken:
        pass
    assert q.get() == 2


@settings(max_examples=50, deadline=None)
@given(
    things=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
        max_size=8,
    )
)
def test_objects_arrive_in_order(things: list[Any]) -> None:
    with ObjectQueue(8) as q:
        for thing in things:
            q.put(thing)
        assert [q.get() for _ in things] == things
        assert q.empty()


# ------------------------------------------------------------------------------------------------------------ what does not
def test_what_cannot_be_pickled_is_told_by_put_and_nothing_is_put(objects: Make) -> None:
    q = objects(4)
    for thing in (lambda: 1, threading.Lock(), [1, sys._getframe()]):
        with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
            q.put(thing)
    assert (q.qsize(), used(q)) == (0, 0)


@pytest.mark.parametrize("size", [50, 500, 20_000, 500_000])
def test_an_object_that_is_too_large_says_what_to_do(objects: Make, size: int) -> None:
    q = objects(4, size)
    q.put(b"x" * (size - 40))
    with pytest.raises(namedshm.InvalidArgument, match=rf"{size} bytes at most.* larger max_size"):
        q.put(b"x" * size)
    assert len(q.get()) == size - 40
    assert (q.qsize(), used(q)) == (0, 0)


def test_a_message_of_another_kind_is_told_and_gone(objects: Make) -> None:
    q = objects(8, 100_000, ack=True)
    for message, what in (
        (b"hello", "bytes, which Queue.get"),
        (b"", "bytes"),
        (b"x" * 5000, "bytes"),
        (b"\x93NUMPY\1\0" + bytes(5000), "array, which arrays.receive"),
        (b"ARROW1\0\0" + bytes(5000), "table, which arrow.receive"),
        (object_frame.MAGIC + b"\2\0" + bytes(20), "version 2.0"),
        (object_frame.MAGIC + b"\1\2" + bytes(20), "version 1.2"),
    ):
        for get in (q.get, lambda: q.take().__enter__()):
            q.queue.put(message)
            with pytest.raises(namedshm.InvalidContent, match=what):
                get()
            assert (q.qsize(), used(q)) == (0, 0)


def test_what_unpickling_raises_is_raised(objects: Make) -> None:
    q = objects(4)
    for get in (q.get, lambda: q.take().__enter__()):
        q.put(Broken(ZeroDivisionError("mine")))
        with pytest.raises(ZeroDivisionError, match="mine"):
            get()
        assert (q.qsize(), used(q)) == (0, 0)


def test_with_acknowledgement_what_could_not_be_unpickled_comes_again(objects: Make) -> None:
    q = objects(4, ack=True)
    for get in (q.get, lambda: q.take().__enter__()):
        q.put(Broken(ZeroDivisionError()))
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                get()
        assert q.statistics().held == 1
        q.queue.take().release()
    assert used(q) == 0


# ------------------------------------------------------------------------------------------------------------ damaged
FRAMES = st.tuples(st.binary(max_size=60), st.lists(st.binary(max_size=200), max_size=5))


def frame(pickled: bytes, buffers: list[bytes]) -> bytearray:
    pieces, size = object_frame.lay_out([pickled], [memoryview(buffer) for buffer in buffers])
    whole = bytearray(size)
    for at, piece in pieces:
        whole[at : at + len(piece)] = piece  # type: ignore[arg-type]  # bytes and memoryviews
    return whole


@given(FRAMES)
def test_a_frame_has_what_was_laid_out(content: tuple[bytes, list[bytes]]) -> None:
    pickled, buffers = content
    found, views = object_frame.parts(memoryview(frame(pickled, buffers)))
    assert (bytes(found), [bytes(view) for view in views]) == (pickled, buffers)


@given(FRAMES)
def test_buffers_begin_at_multiples_of_64(content: tuple[bytes, list[bytes]]) -> None:
    pickled, buffers = content
    pieces, _ = object_frame.lay_out([pickled], [memoryview(buffer) for buffer in buffers])
    assert all(at % 64 == 0 for at, _ in pieces[2:])


@settings(max_examples=500)
@given(FRAMES, st.data())
def test_a_damaged_frame_is_refused_or_stays_within_its_bytes(content: tuple[bytes, list[bytes]], data: st.DataObject) -> None:
    whole = frame(*content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(whole), 70) - 1))
        whole[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    whole = whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole
    try:
        pickled, buffers = object_frame.parts(memoryview(whole))
    except ValueError:
        return
    assert len(pickled) + sum(map(len, buffers)) <= len(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"length": 1 << 63},
        {"length": (1 << 64) - 1},
        {"count": 1 << 31},
        {"count": (1 << 32) - 1},
        {"count": 2},
        {"zero": 1},
        {"lengths": [(1 << 64) - 1]},
        {"lengths": [1 << 63]},
        {"lengths": [99]},
        {"lengths": [101]},
    ],
    ids=str,
)
def test_lengths_that_lead_out_of_the_message_are_told(objects: Make, change: dict[str, Any]) -> None:
    import struct

    good = {"length": 4, "count": 1, "zero": 0, "lengths": [100], **change}
    head = struct.pack("<8sQII", object_frame.MAGIC + b"\1\1", good["length"], good["count"], good["zero"])
    head += struct.pack(f"<{len(good['lengths'])}Q", *good["lengths"])
    q = objects(4, 100_000)
    q.queue.put(head + b"N..." + bytes(64 - len(head) - 4) + bytes(100))
    with pytest.raises(namedshm.InvalidContent, match="out of the queue"):
        q.get()
    assert used(q) == 0


def test_a_pickle_that_asks_for_more_buffers_than_there_are_is_an_error(objects: Make) -> None:
    q = objects(4, 100_000)
    q.queue.put(frame(pickle.dumps(Buffered(bytearray(9000)), 5, buffer_callback=lambda _: None), []))
    with pytest.raises(pickle.UnpicklingError):
        q.get()
    assert used(q) == 0


# ------------------------------------------------------------------------------------------------------------ as multiprocessing's
def test_its_errors_are_the_standard_librarys(objects: Make) -> None:
    q = objects(2)
    for call in (q.get_nowait, lambda: q.get(False), lambda: q.get(False, 7), lambda: q.get(True, 0), lambda: q.get(timeout=-1)):
        with pytest.raises(standard.Empty) as empty:
            call()
        assert isinstance(empty.value, Empty)
    q.put(1)
    q.put_nowait(2)
    big = b"x" * 100_000
    for thing in (3, big):
        for put in (q.put_nowait, lambda o: q.put(o, False), lambda o: q.put(o, False, 7), lambda o: q.put(o, timeout=0.001)):
            with pytest.raises(standard.Full) as full:
                put(thing)
            assert isinstance(full.value, Full)
    assert (q.full(), q.empty(), q.qsize(), used(q)) == (True, False, 2, 0)
    assert (q.get(True), q.get(True, None), q.qsize(), q.empty()) == (1, 2, 0, True)


def test_a_closed_one_is_a_value_error(objects: Make) -> None:
    q = objects(2)
    q.close()
    q.join_thread()
    q.cancel_join_thread()
    q.close()
    for call in (lambda: q.put(1), q.get, q.qsize, lambda: q.put(b"x" * 100_000), lambda: q.take().__enter__()):
        with pytest.raises(ValueError, match="is closed"):
            call()


def test_the_size_is_a_number_of_objects_as_there() -> None:
    for maxsize, capacity in ((0, 4096), (-1, 4096), (1, 1), (5, 8), (64, 64)):
        with ObjectQueue(maxsize) as q:
            assert (q.capacity, q.max_size, q.ack) == (capacity, 64 << 20, False)
            assert q.name is not None
        assert gone(q.name)
    with pytest.raises(TypeError):
        ObjectQueue("5")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ObjectQueue(True)
    with pytest.raises(namedshm.InvalidArgument, match="16777216"):
        ObjectQueue(1 << 40)


def test_it_says_what_it_is(objects: Make) -> None:
    q = objects(4, 1000)
    assert repr(q) == f"<namedshm.ObjectQueue {q.name!r}: up to 4 objects of 1000 bytes, 0 now>"
    q.close()
    assert repr(q).endswith("closed>")
    with ObjectQueue.create(None, 4) as unnamed:
        assert "unnamed" in repr(unnamed)
        with pytest.raises(TypeError, match="unnamed"):
            pickle.dumps(unnamed)


def test_it_is_opened_by_name_and_sent(objects: Make) -> None:
    q = objects(4)
    q.put("one")
    with ObjectQueue.open(q.name or "") as other:
        assert (other.identity, other.get()) == (q.identity, "one")
        sent = pickle.loads(pickle.dumps(other))
        other.put("two")
        assert (type(sent), sent.get(timeout=5)) == (ObjectQueue, "two")
        sent.close()
    with ObjectQueue.open(q.name or "", "read") as reader:
        assert reader.qsize() == 0
        with pytest.raises(namedshm.AccessDenied):
            reader.put(1)
    q.put(q)  # through itself
    with q.get() as sent:
        assert sent.identity == q.identity


def test_the_end_is_told(objects: Make) -> None:
    q = objects(4)
    q.put(1)
    q.shutdown()
    assert q.is_shut_down
    assert list(q) == [1]
    for call in (lambda: q.put(1), q.get):
        with pytest.raises(ShutDown):
            call()
    with objects(4, end_with_producers=True) as ends:
        with ObjectQueue.open(ends.name or "") as producer:
            producer.put([1])
        assert list(ends) == [[1]]


# ------------------------------------------------------------------------------------------------------------ processes
def test_objects_go_between_processes(objects: Make, peers: _Lender) -> None:
    questions, answers = objects(4), objects(4)
    peer = peers(one=questions.name, other=answers.name)
    peer.start(
        """
with namedshm.ObjectQueue.open(one) as questions, namedshm.ObjectQueue.open(other) as answers:
    for question in questions:
        answers.put([question, b'x' * 100_000])
"""
    )
    until(lambda: questions.statistics().awaited, "who waits")
    for question in ({"a": b"y" * 100_000}, "small"):
        questions.put(question)
        assert answers.get(timeout=60) == [question, b"x" * 100_000]
    questions.shutdown()
    peer.result()


def test_what_a_killed_consumer_was_working_on_comes_again(objects: Make, peers: _Lender) -> None:
    q = objects(8, ack=True)
    for number in range(3):
        q.put([number, b"x" * 20_000])
    peer = peers(name=q.name)
    assert peer.do("q = namedshm.ObjectQueue.open(name); q.get()[0]") == 0
    assert peer.do("taken = q.take(); thing = taken.__enter__(); thing[0]") == 1
    peer.kill()
    got = []
    while len(got) < 2:
        taken = q.take(20)
        assert not taken.redelivered
        with taken as thing:
            got.append((thing[0], taken.redelivered))
    assert got == [(1, True), (2, False)]
    assert used(q) == 0


@pytest.mark.skipif(not on_linux, reason="SIGKILL in the midst of copying")
def test_a_producer_killed_in_the_midst_puts_all_of_an_object_or_nothing(objects: Make, peers: _Lender) -> None:
    q = objects(4, chunks=4)
    for turn in range(4):
        peer = peers(name=q.name)
        peer.start(
            """
q = namedshm.ObjectQueue.open(name)
for number in range(1_000_000):
    q.put((number, bytes([number % 251]) * 1_000_000))
"""
        )
        expected = 0

        def next_one(timeout: float, number: int) -> None:
            assert q.get(timeout=timeout) == (number, bytes([number % 251]) * 1_000_000)

        while expected < 5 * (turn + 1):
            next_one(60, expected)
            expected += 1
        peer.kill()
        with pytest.raises(Empty):  # noqa: PT012  # at last
            while True:
                next_one(0, expected)
                expected += 1
    for number in range(4):  # no chunk is lost
        q.put(bytes([number]) * 100_000, timeout=60)
    assert [q.get()[0] for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_forked_child_uses_what_it_inherited(objects: Make, peers: _Lender, tmp_path: Any) -> None:
    peer = peers()
    peer.do("q = namedshm.ObjectQueue.create(None, 8); q.put('before')")
    with peer.fork(tmp_path) as child:
        assert child.do("q.get()") == "before"
        child.do("q.put(b'x' * 100_000)")
        assert peer.do("len(q.get())") == 100_000


# ------------------------------------------------------------------------------------------------------------ asyncio
def test_objects_go_in_asyncio(objects: Make) -> None:
    q = objects(2)
    things = [[number, bytes([number]) * size] for number, size in enumerate((3, 5_000, 100_000, 1_000_000, 0))]

    async def put() -> None:
        for thing in things:
            await q.put_async(thing, 60)
        q.shutdown()

    async def get() -> list[Any]:
        found = [await q.get_async(60)]
        async with q.take(60) as taken:
            found.append(taken)
        return found + [thing async for thing in q]

    async def both() -> Any:
        return await asyncio.gather(put(), get())

    assert asyncio.run(both())[1] == things
    assert used(q) == 0


def test_in_asyncio_errors_are_the_same(objects: Make) -> None:
    q = objects(1, 200_000)

    async def run() -> None:
        with pytest.raises(Empty):
            await q.get_async(0)
        with pytest.raises(Empty):
            async with q.take(0):
                pass
        with pytest.raises(namedshm.InvalidArgument):
            await q.put_async(b"x" * 200_000)
        await q.put_async(b"x" * 100_000)
        for thing in (1, b"y" * 100_000):
            with pytest.raises(Full):
                await q.put_async(thing, 0.001)
        assert (q.qsize(), used(q)) == (1, 1)

    asyncio.run(run())


# ------------------------------------------------------------------------------------------------------------ joining
def joinable(objects: Make, capacity: int = 8) -> JoinableObjectQueue:
    q = objects(capacity, kind=JoinableObjectQueue)
    assert isinstance(q, JoinableObjectQueue)
    return q


def test_join_waits_until_every_object_is_done(objects: Make) -> None:
    q = joinable(objects)
    assert q.join(0)
    q.put(1)
    q.put(b"x" * 100_000)
    assert not q.join(0)
    assert q.get() == 1
    assert len(q.get()) == 100_000
    assert not q.join(0.001)
    waiting = InThread(q.join)
    q.task_done()
    assert not q.join(0)
    assert waiting.running
    q.task_done()
    assert waiting.join() is True
    with pytest.raises(ValueError, match="more often"):
        q.task_done()


def test_a_task_of_a_killed_worker_is_done_by_another(objects: Make, peers: _Lender) -> None:
    q = joinable(objects)
    peer = peers(name=q.name)
    q.put("task")
    assert peer.do("q = namedshm.JoinableObjectQueue.open(name); q.get()") == "task"
    peer.kill()
    assert not q.join(0)
    assert q.get(timeout=60) == "task"
    q.task_done()
    assert q.join(60)


def test_closing_gives_back_what_is_not_done(objects: Make) -> None:
    q = joinable(objects)
    q.put(1)
    other = JoinableObjectQueue.open(q.name or "")
    assert other.get() == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.close()
    assert q.get(timeout=5) == 1
    q.task_done()
    assert q.join(5)


def test_each_threads_tasks_are_its_own(objects: Make) -> None:
    q = joinable(objects)
    q.put("first")
    q.put("second")
    assert q.get() == "first"

    def second() -> None:
        assert q.get() == "second"
        q.task_done()

    InThread(second).join()
    with JoinableObjectQueue.open(q.name or "") as other:
        q.close()  # without having done the first
        assert other.get(timeout=5) == "first"
        other.task_done()
        assert other.join(5)


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_forked_child_has_no_tasks_of_its_parents(objects: Make, peers: _Lender, tmp_path: Any) -> None:
    q = joinable(objects)
    peer = peers(name=q.name)
    q.put(1)
    peer.do("q = namedshm.JoinableObjectQueue.open(name); q.get()")
    with peer.fork(tmp_path) as child, pytest.raises(ValueError, match="more often"):
        child.do("q.task_done()")
    assert not q.join(0)
    peer.do("q.task_done()")
    assert q.join(5)


def test_what_has_no_acknowledgement_cannot_be_joined(objects: Make) -> None:
    q = objects(4)
    with pytest.raises(namedshm.InvalidArgument, match="ack=True"):
        JoinableObjectQueue.open(q.name or "")
    for make in (lambda: JoinableObjectQueue(4, ack=False), lambda: JoinableObjectQueue.create(None, 4, ack=False)):
        with pytest.raises(namedshm.InvalidArgument, match="ack"):
            make()
    with objects(4, ack=True) as acknowledged:
        JoinableObjectQueue.open(acknowledged.name or "").close()
