"""The end of a queue: shut down as queue.Queue of Python 3.13 is, or over when all who put are gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.peer import _Lender
from helpers.threads import InThread
from helpers.turns import until

from namedshm.queue import Empty, Full, Queue, ShutDown

Make = Callable[..., Queue]


@pytest.mark.parametrize("ack", [False, True])
def test_after_a_shutdown_what_is_there_is_taken_and_then_it_is_over(make: Make, ack: bool) -> None:
    q = make(8, 3000, ack=ack)
    q.put_many([b"one", b"two" * 900, b"three"])
    assert not q.is_shut_down
    q.shutdown()
    q.shutdown()
    assert q.is_shut_down
    assert q.qsize() == 3
    for call in (lambda: q.put(b"x"), lambda: q.put_nowait(b"x"), lambda: q.put_many([b"x"]), lambda: q.loan(1)):
        with pytest.raises(ShutDown, match="no more messages"):
            call()
    assert q.get() == b"one"
    with q.take() as message:
        assert len(message) == 2700
    assert q.get_many(5) == [b"three"]
    for call in (q.get, q.get_nowait, q.take, lambda: q.get_many(3), lambda: q.get_into(bytearray(3000))):
        with pytest.raises(ShutDown, match="Nothing comes any more"):
            call()
    assert q.empty()


def test_an_immediate_shutdown_ends_taking_at_once(make: Make) -> None:
    q = make(8, 100)
    q.put_many([b"one", b"two"])
    q.shutdown(immediate=True)
    assert q.is_shut_down
    assert (q.qsize(), q.empty()) == (0, True)
    for call in (q.get, q.get_nowait, lambda: q.put(b"x")):
        with pytest.raises(ShutDown):
            call()


def test_it_can_be_made_immediate_later(make: Make) -> None:
    q = make(8, 100)
    q.put(b"one")
    q.shutdown()
    q.shutdown(True)
    with pytest.raises(ShutDown):
        q.get()


def test_other_handles_and_processes_are_told(make: Make, peers: _Lender) -> None:
    q = make(8, 100)
    peer = peers(name=q.name)
    peer.do("q = namedshm.Queue.open(name)")
    q.put(b"last")
    q.shutdown()
    assert peer.do("q.is_shut_down, list(q)") == (True, [b"last"])
    with pytest.raises(ShutDown):
        peer.do("q.put(b'')")


WAITS: dict[str, Callable[[Queue], object]] = {
    "get": lambda q: q.get(),
    "take": lambda q: q.take(),
    "get_many": lambda q: q.get_many(3),
    "get_into": lambda q: q.get_into(bytearray(q.max_size)),
    "put": lambda q: q.put(b"x"),
    "put a long one": lambda q: q.put(bytes(q.max_size)),
    "put_many": lambda q: q.put_many([b"x"] * 5),
    "loan": lambda q: q.loan(),
}


def prepared(make: Make, what: str) -> Queue:
    """A queue on which that call waits."""
    q = make(2, 3000, chunks=1)
    if what.startswith("put"):
        q.put_many([b"x", b"x"])
    if what == "loan":
        q.put(bytes(3000))
    return q


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("immediate", [False, True])
def test_who_waits_is_told(make: Make, what: str, immediate: bool) -> None:
    q = prepared(make, what)
    waiting = [InThread(lambda: WAITS[what](q)) for _ in range(3)]
    until(lambda: q.statistics().awaited, "who waits")
    q.shutdown(immediate)
    for thread in waiting:
        with pytest.raises(ShutDown):
            thread.join()


def test_iterating_ends_with_the_queue(make: Make) -> None:
    q = make(8, 100)
    q.put_many([b"%d" % number for number in range(5)])
    q.shutdown()
    assert list(q) == [b"%d" % number for number in range(5)]
    assert list(q) == []


# ------------------------------------------------------------------------------------------------------------ with the producers
def test_it_is_over_when_all_who_put_have_closed(make: Make) -> None:
    q = make(8, 100, end_with_producers=True)
    with pytest.raises(Empty):  # nobody has come yet: that is not the end
        q.get(0.01)
    first, second = Queue.open(q.name), Queue.open(q.name)
    first.put(b"one")
    second.put(b"two")
    first.close()
    assert q.get() == b"one"
    assert q.get() == b"two"
    with pytest.raises(Empty):
        q.get(0.01)
    waiting = InThread(q.get)
    until(lambda: q.statistics().awaited, "who waits")
    second.close()
    with pytest.raises(ShutDown):
        waiting.join()
    assert list(q) == []
    assert not q.is_shut_down


def test_it_is_over_when_the_last_who_put_is_killed(make: Make, peers: _Lender) -> None:
    q = make(8, 100, end_with_producers=True)
    peer = peers(name=q.name)
    peer.do("q = namedshm.Queue.open(name); q.put_many([b'one', b'two'])")
    assert (q.producers, q.consumers) == (1, 0)
    waiting = InThread(lambda: list(q))
    until(lambda: q.empty() and q.statistics().awaited, "who waits")
    peer.kill()
    assert waiting.join() == [b"one", b"two"]


def test_a_producer_may_say_so_before_it_puts(make: Make) -> None:
    q = make(8, 100, end_with_producers=True)
    other = Queue.open(q.name)
    other.take_part("producer")
    assert (q.producers, q.consumers) == (1, 0)
    other.close()
    with pytest.raises(ShutDown):
        q.get()
    q.put(b"after all")  # somebody new: it goes on
    assert q.get() == b"after all"
    with pytest.raises(ValueError, match="producer"):
        q.take_part("boss")  # type: ignore[arg-type]


def test_one_who_puts_and_takes_does_not_wait_for_himself_for_ever(make: Make) -> None:
    q = make(8, 100, end_with_producers=True)
    q.put(b"one")
    assert q.get() == b"one"
    with pytest.raises(Empty):
        q.get(0.01)


# ------------------------------------------------------------------------------------------------------------ full
@pytest.mark.parametrize("size", [10, 3000])
def test_the_oldest_makes_room_for_the_newest(make: Make, size: int) -> None:
    q = make(4, 3000, overflow="drop_oldest")
    for number in range(10):
        q.put_nowait(bytes([number]) * size)
    assert [message[0] for message in q.get_many(10)] == [6, 7, 8, 9]
    assert q.statistics().dropped == 6
    assert q.put_many([bytes([number]) * size for number in range(100)]) == 100
    assert [message[0] for message in q.get_many(10)] == [96, 97, 98, 99]


def test_in_a_queue_that_waits_nothing_is_dropped(make: Make) -> None:
    q = make(4, 100)
    q.put_many([b"x"] * 4)
    with pytest.raises(Full):
        q.put(b"y", 0.01)
    assert q.get_many(10) == [b"x"] * 4
    assert q.statistics().dropped == 0
