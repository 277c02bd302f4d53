"""Messages go in and come out: in order, whole, of every size, from whatever has bytes."""

from __future__ import annotations

import array
import queue as standard
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import namedshm
from namedshm.queue import Empty, Full, Queue, ShutDown

Make = Callable[..., Queue]

SIZES = (0, 1, 7, 8, 247, 248, 249, 1000, 4096, 4097, 65536, 65537, 200_000)


@pytest.mark.parametrize("ack", [False, True])
def test_messages_come_out_in_order_as_they_went_in(make: Make, ack: bool) -> None:
    q = make(16, 200_000, ack=ack)
    for size in SIZES:
        q.put(bytes([size % 251]) * size)
    assert q.qsize() == len(SIZES)
    for size in SIZES:
        got = q.get()
        assert type(got) is bytes
        assert got == bytes([size % 251]) * size
    assert q.empty()


@pytest.mark.parametrize("max_size", [1, 5, 8, 1000, 1024, 1025, 5000])
def test_a_message_of_the_most_bytes_fits_and_one_more_does_not(make: Make, max_size: int) -> None:
    q = make(4, max_size)
    assert q.max_size == max_size
    q.put(bytes(max_size))
    for call in (q.put, q.put_nowait, lambda data: q.put_many([data]), lambda data: q.loan(len(data))):
        with pytest.raises(namedshm.InvalidArgument, match=r"max_size"):
            call(bytes(max_size + 1))
    assert q.get() == bytes(max_size)
    assert q.empty()


def test_it_is_used_in_many_laps(make: Make) -> None:
    q = make(2, 300)
    for number in range(1000):
        q.put(b"%d" % number * (number % 90))
        assert q.get() == b"%d" % number * (number % 90)


BUFFERS: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(b"12345678"),
    "memoryview": lambda: memoryview(b"0123456789")[1:9],
    "array": lambda: array.array("I", [0x34333231, 0x38373635]),
    "two dimensions": lambda: memoryview(b"12345678").cast("B", (2, 4)),
}


@pytest.mark.parametrize("what", BUFFERS)
def test_whatever_is_a_buffer_in_one_piece_can_be_put(make: Make, what: str) -> None:
    q = make(4, 100)
    q.put(BUFFERS[what]())
    q.put_nowait(BUFFERS[what]())
    q.put_many([BUFFERS[what](), b"last"])
    assert q.get_many(10) == [b"12345678", b"12345678", b"12345678", b"last"][:4]


def test_a_view_of_a_section_can_be_put(make: Make, name: str) -> None:
    q = make(4, 100)
    with namedshm.create(name + "-section", 8) as section, section.map() as view:
        view[:] = b"12345678"
        q.put(view)
        view.close()
        with pytest.raises(namedshm.ClosedHandle):
            q.put(view)
    assert q.get() == b"12345678"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("text", "encode"),
        (5, "pickle"),
        (None, "pickle"),
        ([b"x"], "pickle"),
        (memoryview(b"0123456789")[::2], "one piece"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_such_buffer_is_refused_and_nothing_is_put(make: Make, data: Any, says: str) -> None:
    q = make(4, 100)
    for call in (q.put, q.put_nowait, lambda data: q.put_many([data])):
        with pytest.raises(TypeError, match=says):
            call(data)
    assert q.empty()


def test_a_numpy_array_goes_as_it_lies_in_memory(make: Make) -> None:
    np = pytest.importorskip("numpy")
    q = make(4, 1000)
    numbers = np.arange(12, dtype=np.uint16).reshape(3, 4)
    q.put(numbers)
    assert np.array_equal(np.frombuffer(q.get(), np.uint16).reshape(3, 4), numbers)
    with pytest.raises(TypeError, match="one piece"):
        q.put(numbers[:, ::2])
    with pytest.raises(TypeError, match="one piece"):
        q.put(numbers.T)


# ------------------------------------------------------------------------------------------------------------ several
def test_several_at_once_keep_their_order_and_their_sizes(make: Make) -> None:
    q = make(1024, 5000)
    messages = [bytes([number % 256]) * (number * 13 % 600 if number % 50 else 5000) for number in range(700)]
    assert q.put_many(messages) == 700
    got: list[bytes] = []
    while len(got) < 700:
        some = q.get_many(77)
        assert 1 <= len(some) <= 77
        got += some
    assert got == messages


def test_what_does_not_fit_is_counted(make: Make) -> None:
    q = make(8, 100)
    with pytest.raises(Full) as caught:
        q.put_many([b"%d" % number for number in range(20)], 0)
    assert caught.value.done == 8
    assert q.get_many(100) == [b"%d" % number for number in range(8)]
    q.shutdown()
    with pytest.raises(ShutDown) as ended:
        q.put_many([b"x"])
    assert ended.value.done == 0


def test_what_comes_before_something_that_is_no_message_is_put(make: Make) -> None:
    q = make(1024, 100)

    def messages() -> Iterator[bytes]:
        yield from (b"%d" % number for number in range(100))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        q.put_many(messages())
    assert q.qsize() == 100
    with pytest.raises(TypeError, match="encode"):
        q.put_many([b"a", b"b", "c", b"d"])  # type: ignore[list-item]
    assert q.qsize() == 102


@pytest.mark.parametrize("messages", [b"abc", "abc", bytearray(3), memoryview(b"abc")])
def test_one_message_is_not_taken_for_several(make: Make, messages: Any) -> None:
    with pytest.raises(TypeError, match="several messages"):
        make(4, 100).put_many(messages)


def test_a_list_that_changes_while_it_is_put_is_put_as_it_was_read(make: Make) -> None:
    q = make(1024, 100)
    messages: list[Any] = [bytearray(b"%d" % number) for number in range(200)]

    class Clearing:
        def __buffer__(self, flags: int) -> memoryview:
            messages.clear()
            return memoryview(b"cleared")

    messages[10] = Clearing()
    try:
        memoryview(messages[10])
    except TypeError:
        pytest.skip("before Python 3.12 no Python class is a buffer")
    messages[:] = [bytearray(b"%d" % number) for number in range(10)] + [Clearing()]
    assert q.put_many(messages) == 11
    assert q.get_many(100) == [b"%d" % number for number in range(10)] + [b"cleared"]


@pytest.mark.parametrize("most", [0, -1])
def test_less_than_one_message_cannot_be_asked_for(make: Make, most: int) -> None:
    with pytest.raises(namedshm.InvalidArgument):
        make(4, 100).get_many(most, 0)


@pytest.mark.parametrize("most", [True, "3", 3.0, None])
def test_how_many_is_a_number(make: Make, most: Any) -> None:
    with pytest.raises(TypeError):
        make(4, 100).get_many(most, 0)


# ------------------------------------------------------------------------------------------------------------ get_into
def test_messages_are_taken_into_a_buffer(make: Make) -> None:
    q = make(8, 5000)
    buffer = bytearray(5000)
    for size in (3, 249, 5000, 0):
        q.put(bytes([size % 256]) * size)
        assert q.get_into(buffer) == size
        assert buffer[:size] == bytes([size % 256]) * size
    with pytest.raises(Empty):
        q.get_into(buffer, 0)


def test_a_buffer_in_which_not_every_message_has_room_is_refused_before_anything_is_taken(make: Make) -> None:
    q = make(8, 5000)
    q.put(b"x")
    with pytest.raises(namedshm.InvalidArgument, match="5000"):
        q.get_into(bytearray(4999))
    for wrong in (bytes(5000), memoryview(bytearray(10000))[::2], "x" * 5000, 5000):
        with pytest.raises(TypeError):
            q.get_into(wrong)  # type: ignore[arg-type]
    assert q.get() == b"x"


# ------------------------------------------------------------------------------------------------------------ as queue.Queue
def test_the_errors_are_those_of_the_standard_library(make: Make) -> None:
    q = make(1, 10)
    with pytest.raises(standard.Empty):
        q.get_nowait()
    with pytest.raises(standard.Empty):
        q.get(0.01)
    q.put(b"")
    with pytest.raises(standard.Full):
        q.put_nowait(b"")
    with pytest.raises(standard.Full):
        q.put(b"", 0.01)
    q.shutdown(immediate=True)
    if hasattr(standard, "ShutDown"):
        for call in (q.get, lambda: q.put(b"")):
            with pytest.raises(standard.ShutDown):
                call()
    for error in (Empty, Full, ShutDown):
        assert issubclass(error, namedshm.NamedShmError)


def test_an_error_names_the_queue_the_call_and_what_to_do(make: Make) -> None:
    q = make(1, 10)
    with pytest.raises(Empty, match="put one") as empty:
        q.get(0)
    q.put(b"")
    with pytest.raises(Full, match="take some") as full:
        q.put(b"", 0)
    for error, call in ((empty.value, "get"), (full.value, "put")):
        assert error.object_name == q.name
        assert repr(q.name) in str(error)
        assert error.call == call


@pytest.mark.parametrize("timeout", ["1", b"1", [], True, False, object()])
def test_a_timeout_is_a_number(make: Make, timeout: Any) -> None:
    q = make(4, 10)
    calls = (lambda: q.put(b"", timeout), lambda: q.get(timeout), lambda: q.take(timeout), lambda: q.loan(1, timeout))
    for call in calls:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(namedshm.InvalidArgument):
        q.get(float("nan"))
    assert q.empty()


# ------------------------------------------------------------------------------------------------------------ making
@pytest.mark.parametrize(("asked", "given"), [(1, 1), (2, 2), (3, 4), (1000, 1024), (1024, 1024), (1025, 2048)])
def test_the_capacity_is_rounded_up(make: Make, asked: int, given: int) -> None:
    q = make(asked, 8)
    assert q.capacity == given
    q.put_many([b""] * given)
    assert q.full()
    with pytest.raises(Full):
        q.put(b"", 0)


def test_long_messages_fill_it_as_well(make: Make) -> None:
    q = make(16, 5000)
    for _ in range(16):
        q.put(bytes(5000), 0)
    with pytest.raises(Full, match="no room"):
        q.put(bytes(5000), 0)
    assert q.statistics().free_chunks == q.chunks - 16  # what could not be put is not kept


def test_with_fewer_chunks_they_run_out(make: Make) -> None:
    q = make(16, 5000, chunks=2)
    q.put(bytes(5000))
    q.put(bytes(5000))
    with pytest.raises(Full, match="chunks"):
        q.put(bytes(5000), 0)
    q.put(b"a short one has room")
    assert len(q.get()) == 5000
    q.put(bytes(5000))


@pytest.mark.parametrize(
    "options",
    [
        {"capacity": 0},
        {"capacity": -1},
        {"capacity": 1 << 25},
        {"max_size": 0},
        {"max_size": 1 << 41},
        {"participants": 0},
        {"participants": 5000},
        {"chunks": 0, "max_size": 5000},
        {"chunks": 0, "ack": True},
        {"chunks": 1 << 17},
        {"overflow": "drop_newest"},
        {"overflow": None},
        {"mode": 0o777},
        {"mode": "0600"},
        {"capacity": 1, "max_size": 1 << 40, "chunks": 1 << 16},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(namedshm.NamedShmError):
        Queue.create(name, **options)
    with pytest.raises(namedshm.NotFound):
        Queue.open(name)


@pytest.mark.parametrize("what", ["capacity", "max_size", "participants", "chunks"])
@pytest.mark.parametrize("value", [1.5, "10", True, None])
def test_numbers_are_whole_numbers(name: str, what: str, value: Any) -> None:
    if what == "chunks" and value is None:
        return
    with pytest.raises(TypeError, match=what):
        Queue.create(name, **{what: value})


def test_an_opener_sees_how_it_was_made(make: Make) -> None:
    q = make(100, 5000, ack=True, end_with_producers=True, overflow="drop_oldest", chunks=7, participants=3)
    with Queue.open(q.name) as other:
        for one in (q, other):
            facts = (one.capacity, one.max_size, one.slot_size, one.chunks, one.max_participants)
            assert facts == (128, 5000, 0, 7, 3)
            assert (one.ack, one.end_with_producers, one.overflow) == (True, True, "drop_oldest")
        assert (q.created, other.created) == (True, False)
        assert other.identity == q.identity
    plain = make()
    assert (plain.ack, plain.end_with_producers, plain.overflow) == (False, False, "wait")
    assert (plain.capacity, plain.max_size) == (1024, 65536)


def test_exist_ok_opens_the_living_one(make: Make) -> None:
    q = make(4, 100)
    q.put(b"there")
    with pytest.raises(namedshm.AlreadyExists):
        Queue.create(q.name)
    with Queue.create(q.name, 1024, 5, exist_ok=True) as same:
        assert (same.created, same.capacity, same.max_size) == (False, 4, 100)
        assert same.get() == b"there"


def test_another_type_of_that_name_is_refused(make: Make, names: Callable[[], str]) -> None:
    q = make()
    for call in (namedshm.open, namedshm.Mutex.open, lambda name: namedshm.create(name, 10, exist_ok=True)):
        with pytest.raises(namedshm.WrongType):
            call(q.name)
    with namedshm.create(names(), 100000) as section:
        for attempt in (lambda: Queue.open(section.name), lambda: Queue.create(section.name, exist_ok=True)):
            with pytest.raises(namedshm.WrongType):
                attempt()


def test_queues_are_made_by_create_and_open_only() -> None:
    for cls in (Queue, namedshm.queue.Message, namedshm.queue.Loan):
        with pytest.raises(TypeError, match="made by"):
            cls()


def test_what_was_never_made_refuses_everything() -> None:
    """Python can make an object without calling __init__; using it is an error, not a crash."""
    empty = Queue.__new__(Queue)
    assert empty.closed
    for call in (
        lambda: empty.put(b""),
        empty.get,
        lambda: empty.put_many([b""]),
        lambda: empty.get_many(3),
        lambda: empty.get_into(bytearray(10)),
        empty.take,
        lambda: empty.loan(0),
        empty.look,
        empty.figures,
        empty.participants,
        empty.shutdown,
        lambda: empty.take_part("producer"),
    ):
        with pytest.raises(namedshm.ClosedHandle):
            call()
    empty.close()
    message, loan = namedshm.queue.Message.__new__(namedshm.queue.Message), namedshm.queue.Loan.__new__(namedshm.queue.Loan)
    assert len(message) == len(loan) == 0
    message.release()
    loan.abandon()
    repr((message, loan, empty))
    for call in (
        message.__enter__,
        loan.__enter__,
        loan.commit,
        lambda: bytes(message),
        lambda: message[0],
        lambda: message.__exit__(None, None, None),
        lambda: setattr(loan, "length", 0),
    ):
        with pytest.raises(namedshm.ClosedHandle):
            call()
    with pytest.raises(namedshm.Unsupported):
        message.give_back()
