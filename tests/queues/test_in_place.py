"""Messages written and read where they lie: what a window shows is its own until the last buffer of it is gone."""

from __future__ import annotations

import gc
import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import namedshm
from namedshm.queue import Empty, Full, Queue, ShutDown

Make = Callable[..., Queue]


def dropped(make: Callable[..., object], *arguments: object) -> None:
    """Make something, and let nothing refer to it."""
    make(*arguments)
    gc.collect()


def used(q: Queue) -> int:
    """Chunks that are not free."""
    return q.chunks - q.statistics().free_chunks


# ------------------------------------------------------------------------------------------------------------ loans
def test_a_message_is_written_where_it_will_lie(make: Make) -> None:
    q = make(4, 100_000)
    with q.loan(5) as window:
        assert (len(window), window.length, window.ended) == (5, 5, False)
        window[:] = b"hello"
        window[0] = ord("H")
        assert window[1] == ord("e")
        assert window[:3] == b"Hel"
        assert q.empty()
    assert window.ended
    assert q.get() == b"Hello"
    assert used(q) == 0


def test_its_length_may_be_told_afterwards(make: Make) -> None:
    q = make(4, 100_000)
    with q.loan() as window:
        assert len(window) == 100_000
        window.length = io.BytesIO(b"from a file").readinto(window)
    with q.loan(10) as window:
        window.length = 0
        for wrong in (11, -1):
            with pytest.raises(namedshm.InvalidArgument):
                window.length = wrong
        for no_number in ("5", 5.0, None, True):
            with pytest.raises(TypeError):
                window.length = no_number  # type: ignore[assignment]
    assert q.get_many(5) == [b"from a file", b""]


def test_an_exception_in_the_block_puts_nothing(make: Make) -> None:
    q = make(4, 1000)
    with pytest.raises(ZeroDivisionError), q.loan(10):
        raise ZeroDivisionError
    assert q.empty()
    assert used(q) == 0


def test_it_can_be_put_or_abandoned_in_the_block(make: Make) -> None:
    q = make(4, 1000)
    with q.loan(3) as window:
        window[:] = b"abc"
        window.commit()
        assert q.get() == b"abc"
    with q.loan(3) as window:
        window.abandon()
        window.abandon()
        with pytest.raises(namedshm.ClosedHandle):
            window.commit()
        with pytest.raises(namedshm.ClosedHandle):
            window[:] = b"abc"
    assert q.empty()
    assert used(q) == 0


def test_order_is_given_when_it_is_put(make: Make) -> None:
    q = make(8, 1000)
    first, second = q.loan(5), q.loan(6)
    q.put(b"between")
    second[:] = b"second"
    second.commit()
    first[:] = b"first"
    first.commit()
    assert q.get_many(5) == [b"between", b"second", b"first"]


def test_a_loan_of_a_full_queue_stays_a_loan(make: Make) -> None:
    q = make(1, 1000)
    q.put(b"full")
    loan = q.loan(3)
    loan[:] = b"abc"
    with pytest.raises(Full):
        loan.commit(0)
    assert not loan.ended
    with pytest.raises(Full):
        loan.commit(0.01)
    loan[0] = ord("A")
    assert q.get() == b"full"
    loan.commit(0)
    assert q.get() == b"Abc"


def test_a_block_that_finds_no_room_abandons_it(make: Make) -> None:
    q = make(1, 1000)
    q.put(b"full")
    with pytest.raises(Full), q.loan(3, 0.01):
        pass
    with pytest.raises(ShutDown), q.loan(3):
        q.shutdown()
    assert used(q) == 0


@pytest.mark.parametrize("kind", ["memoryview", "slice", "numpy"])
def test_what_could_still_be_written_is_not_put(make: Make, kind: str) -> None:
    """Else the message could change under its reader."""
    q = make(4, 1000)

    def of(window: Any) -> Any:
        if kind == "numpy":
            return pytest.importorskip("numpy").frombuffer(window, "u1")
        return memoryview(window) if kind == "memoryview" else memoryview(window)[2:4]

    loan = q.loan(10)
    kept = of(loan)
    with pytest.raises(BufferError, match="del"):
        loan.commit()
    kept[0] = 1
    del kept
    loan.commit()
    assert q.get()[0 if kind != "slice" else 2] == 1
    with pytest.raises(BufferError), q.loan(10) as window:
        kept = of(window)
    assert q.empty()
    kept[0] = 1  # the memory is its own as long as it lives
    assert used(q) == 1
    del kept
    assert used(q) == 0


def test_a_loan_that_is_dropped_puts_nothing_and_says_so(make: Make) -> None:
    q = make(4, 1000)
    with pytest.warns(ResourceWarning, match="nothing was put"):
        dropped(q.loan, 3)
    assert q.empty()
    assert used(q) == 0


@pytest.mark.parametrize("size", [-1, 1001, 1 << 70])
def test_more_than_a_message_cannot_be_borrowed(make: Make, size: int) -> None:
    with pytest.raises(namedshm.InvalidArgument):
        make(4, 1000).loan(size)


@pytest.mark.parametrize("size", ["5", 5.0, True, b"x"])
def test_a_size_is_a_number(make: Make, size: Any) -> None:
    with pytest.raises(TypeError):
        make(4, 1000).loan(size)


def test_without_a_free_chunk_it_waits(make: Make) -> None:
    q = make(4, 5000, chunks=1)
    kept = q.loan()
    with pytest.raises(Full, match="chunks"):
        q.loan(5, 0)
    with pytest.raises(Full, match="chunks"):
        q.loan(5, 0.01)
    kept.abandon()
    q.loan(5, 0).abandon()


# ------------------------------------------------------------------------------------------------------------ messages
@pytest.mark.parametrize("size", [0, 5, 5000])
def test_a_message_is_read_where_it_lies(make: Make, size: int) -> None:
    q = make(4, 100_000)
    q.put(bytes(range(256)) * 20 if size == 5000 else b"x" * size)
    with q.take() as message:
        assert len(message) == (5120 if size == 5000 else size)
        assert (message.redelivered, message.released, message.position) == (False, False, 0)
        assert bytes(message) == (bytes(range(256)) * 20 if size == 5000 else b"x" * size)
        assert memoryview(message).readonly
        if size:
            assert message[0] == bytes(message)[0]
            assert message[-1:] == bytes(message)[-1:]
            with pytest.raises(IndexError):
                message[len(message)]
            with pytest.raises(TypeError):
                message["x"]  # type: ignore[index]
    assert message.released
    assert used(q) == 0


def test_what_was_released_is_not_read(make: Make) -> None:
    q = make(4, 1000)
    for size in (5, 900):
        q.put(bytes(size))
        message = q.take()
        message.release()
        message.release()
        for call in (lambda m=message: bytes(m), lambda m=message: m[0], message.__enter__):
            with pytest.raises(namedshm.ClosedHandle, match="released"):
                call()


@pytest.mark.parametrize("kind", ["memoryview", "numpy"])
def test_a_buffer_keeps_the_message_until_it_is_gone(make: Make, kind: str) -> None:
    """So arrays may be used after the block, and are not somebody else's message by then."""
    q = make(4, 5000, chunks=1)
    q.put(b"\5" * 5000)
    with q.take() as message:
        kept = pytest.importorskip("numpy").frombuffer(message, "u1") if kind == "numpy" else memoryview(message)
    assert message.released
    with pytest.raises(namedshm.ClosedHandle):
        memoryview(message)
    with pytest.raises(Full):
        q.put(b"\6" * 5000, 0)
    assert kept[4999] == 5
    del kept
    q.put(b"\6" * 5000, 0)
    assert q.get()[0] == 6


def test_a_message_that_is_dropped_is_lost_and_says_so(make: Make) -> None:
    q = make(4, 5000)
    q.put(bytes(5000))
    with pytest.warns(ResourceWarning, match="lost"):
        dropped(q.take)
    assert used(q) == 0
    with pytest.raises(Empty):
        q.get(0)


def test_a_short_message_that_was_copied_out_needs_no_warning(make: Make) -> None:
    q = make(4, 5000)
    q.put(b"short")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bytes(q.take()) == b"short"
        gc.collect()


def test_windows_live_on_when_the_queue_is_closed(make: Make, name: str) -> None:
    q = make(4, 5000, name=name)
    q.put(b"\7" * 5000)
    message, loan = q.take(), q.loan(10)
    q.close()
    with pytest.raises(namedshm.NotFound):  # the name goes at once
        Queue.open(name)
    assert message[4999] == 7
    loan[0] = 1
    with pytest.raises(namedshm.ClosedHandle):
        loan.commit()
    message.release()
    loan.abandon()


def test_many_threads_release_one_message_once(make: Make) -> None:
    q = make(64, 5000, chunks=2)
    for _ in range(200):
        q.put(bytes(5000))
        message = q.take()
        barrier = threading.Barrier(4)

        def release(message: namedshm.queue.Message = message, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            message.release()

        threads = [threading.Thread(target=release) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert used(q) == 0


# ------------------------------------------------------------------------------------------------------------ with acknowledgement
def test_an_exception_gives_a_message_back(make: Make) -> None:
    q = make(8, 100, ack=True)
    q.put_many([b"one", b"two"])
    with pytest.raises(ZeroDivisionError), q.take():
        raise ZeroDivisionError
    assert (q.qsize(), q.empty(), q.full()) == (2, False, False)
    with q.take() as again:
        assert (bytes(again), again.redelivered, again.position) == (b"one", True, 0)
    with q.take() as message:
        assert (bytes(message), message.redelivered, message.position) == (b"two", False, 1)
    assert q.statistics().redelivered == 1
    assert used(q) == 0


def test_it_can_be_given_back_in_so_many_words(make: Make) -> None:
    q = make(8, 100, ack=True)
    q.put(b"one")
    message = q.take()
    message.give_back()
    message.give_back()
    assert q.get(5) == b"one"
    with pytest.raises(Empty):
        q.get(0)


def test_one_that_is_dropped_comes_again(make: Make) -> None:
    q = make(8, 100, ack=True)
    q.put(b"one")
    with pytest.warns(ResourceWarning, match="comes again"):
        dropped(q.take)
    assert q.get(5) == b"one"


def test_without_acknowledgement_nothing_can_be_given_back(make: Make) -> None:
    q = make(8, 5000)
    q.put(bytes(5000))
    with q.take() as message, pytest.raises(namedshm.Unsupported, match="ack=True"):
        message.give_back()
    with pytest.raises(ZeroDivisionError), q.loan(5):
        raise ZeroDivisionError
    q.put(b"x")
    with pytest.raises(ZeroDivisionError), q.take():
        raise ZeroDivisionError
    with pytest.raises(Empty):
        q.get(0)


def test_what_a_closed_handle_held_comes_again(make: Make) -> None:
    q = make(8, 100, ack=True)
    q.put_many([b"one", b"two"])
    other = Queue.open(q.name)
    message = other.take()
    other.close()
    del other
    assert bytes(message) == b"one"
    assert q.get(5) == b"two"  # it is still being read
    message.give_back()
    assert q.get(5) == b"one"
