"""Closing in the midst: by another thread, by an argument, by a signal handler.  Who waits is told, nothing dangles."""

from __future__ import annotations

import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm.queue import Queue

Make = Callable[..., Queue]

WAITS: dict[str, Callable[[Queue], object]] = {
    "get": lambda q: q.get(),
    "get_many": lambda q: q.get_many(5),
    "get_into": lambda q: q.get_into(bytearray(q.max_size)),
    "take": lambda q: q.take(),
    "put": lambda q: q.put(b"x"),
    "put_many": lambda q: q.put_many([b"x"] * 100),
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


def mapped() -> int:
    """Lines of this process's map that are segments."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        return sum("/SYSV" in line for line in file)


@pytest.mark.parametrize("what", WAITS)
def test_who_waits_with_a_handle_that_is_closed_is_told(make: Make, what: str) -> None:
    q = prepared(make, what)
    name = q.name
    waiting = [InThread(lambda: WAITS[what](q)) for _ in range(3)]
    until(lambda: q.statistics().awaited, "who waits")
    q.close()
    if on_linux:  # the name goes at once
        with pytest.raises(namedshm.NotFound):
            Queue.open(name)
    for thread in waiting:
        with pytest.raises(namedshm.ClosedHandle):
            thread.join()


@pytest.mark.skipif(not on_linux, reason="looks at /proc")
def test_the_memory_goes_with_the_last_one_out(make: Make) -> None:
    make().close()  # the registry is there, and a spare
    gc.collect()
    before = mapped()
    q = make(2, 3000)
    q.put(bytes(3000))
    message = q.take()
    waiting = InThread(q.get)
    until(lambda: q.statistics().awaited, "who waits")
    q.close()
    with pytest.raises(namedshm.ClosedHandle):
        waiting.join()
    assert mapped() > before
    message.release()
    assert mapped() <= before


class Closing(Fraction):
    """A number of seconds that closes something when it is looked at."""

    queue: Queue

    def __float__(self) -> float:
        self.queue.close()
        return 0.001


@pytest.mark.parametrize("what", ["get", "take", "put", "loan", "get_many", "put_many", "get_into"])
def test_a_timeout_that_closes_the_queue_is_refused_like_any_closed_handle(make: Make, what: str) -> None:
    q = make(2, 100)
    q.put(b"x")
    seconds: Any = Closing(1)
    seconds.queue = q
    arguments: dict[str, tuple[object, ...]] = {
        "put": (b"x",), "loan": (3,), "get_many": (3,), "put_many": ([b"x"],), "get_into": (bytearray(100),)
    }  # fmt: skip
    with pytest.raises(namedshm.ClosedHandle):
        getattr(q, what)(*arguments.get(what, ()), seconds)


class ClosingNumber:
    def __init__(self, queue: Queue, number: int) -> None:
        self.queue, self.number = queue, number

    def __index__(self) -> int:
        self.queue.close()
        return self.number


def test_numbers_that_close_it_are_refused_too(make: Make) -> None:
    for call in (lambda q: q.loan(ClosingNumber(q, 3)), lambda q: q.get_many(ClosingNumber(q, 3))):
        q = make(2, 100)
        q.put(b"x")
        with pytest.raises(namedshm.ClosedHandle):
            call(q)


def test_an_iterable_that_closes_it_puts_what_came_before(make: Make) -> None:
    q = make(256, 100)
    other = Queue.open(q.name)

    def messages() -> Any:
        for number in range(200):
            if number == 130:
                q.close()
            yield b"%d" % number

    with pytest.raises(namedshm.ClosedHandle):
        q.put_many(messages())
    assert other.qsize() == 128  # in whole rows
    other.close()


def test_an_index_that_ends_a_window_reads_no_memory_of_others(make: Make) -> None:
    q = make(2, 5000, chunks=1)

    class Releasing:
        def __init__(self, message: Any) -> None:
            self.message = message

        def __index__(self) -> int:
            self.message.release()
            q.close()
            return 3

    q.put(b"\7" * 5000)
    message = q.take()
    assert message[Releasing(message)] == 7
    with pytest.raises(namedshm.ClosedHandle):
        message[3]


def test_a_length_that_ends_the_loan_is_harmless(make: Make) -> None:
    q = make(2, 5000)
    loan = q.loan(10)

    class Abandoning:
        def __index__(self) -> int:
            loan.abandon()
            return 3

    loan.length = Abandoning()  # type: ignore[assignment]
    with pytest.raises(namedshm.ClosedHandle):
        loan.commit()
    assert q.empty()


def test_a_subclass_makes_its_own_kind_of_queue(name: str) -> None:
    class Jobs(Queue):
        def put_text(self, text: str) -> None:
            self.put(text.encode())

    with Jobs.create(name) as jobs, Jobs.open(name) as same:
        assert (type(jobs), type(same)) == (Jobs, Jobs)
        jobs.put_text("hello")
        assert same.get() == b"hello"


@pytest.mark.skipif(not on_linux, reason="sends itself a signal")
@pytest.mark.parametrize("what", ["get", "put", "loan"])
def test_a_signal_handler_may_close_what_its_thread_waits_for(make: Make, what: str) -> None:
    q = prepared(make, what)
    before = signal.signal(signal.SIGALRM, lambda *_: q.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(namedshm.ClosedHandle):
            WAITS[what](q)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not on_linux, reason="sends itself a signal")
def test_a_signal_handler_may_use_the_queue_its_thread_waits_for(make: Make) -> None:
    q = make(2, 100)
    before = signal.signal(signal.SIGALRM, lambda *_: q.put(b"from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert q.get(30) == b"from the handler"
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not on_linux, reason="signals of this kind are those of Linux")
@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_interrupts_a_wait_and_nothing_is_lost(make: Make, what: str) -> None:
    q = prepared(make, what)
    free = q.statistics().free_chunks
    calls = {
        "get_many": "q.get_many(5)",
        "get_into": "q.get_into(bytearray(q.max_size))",
        "put": "q.put(b'x')",
        "put_many": "q.put_many([b'x'] * 100)",
    }
    with Peer() as peer:
        peer.start(f"q = namedshm.Queue.open(name); {calls.get(what, f'q.{what}()')}", name=q.name)
        until(lambda: q.statistics().awaited, "who waits")
        until(lambda: Path(f"/proc/{peer.pid}/wchan").read_text().startswith("futex"), "the wait")
        os.kill(peer.pid, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            peer.result()
        assert q.statistics().free_chunks == free
        expected = {"put": 2, "put_many": 2, "loan": 1}.get(what, 0)
        assert q.qsize() == expected
        q.get_many(5) if expected else q.put(b"hello")
        assert peer.do("q.get(30)" if not expected else "q.put(b'hello', 30)") in (b"hello", None)


def test_closing_from_many_threads_closes_once(make: Make) -> None:
    for _ in range(50):
        q = make(2, 100)
        barrier = threading.Barrier(4)

        def close(q: Queue = q, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            q.close()

        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert q.closed
        assert "closed" in repr(q)
        with pytest.raises(namedshm.NotFound):
            Queue.open(str(q.name))


def test_a_storm_of_threads_that_use_and_close(make: Make) -> None:
    """Whatever another thread closes or ends: an error of ours, or it went well."""

    def storm(number: int) -> int:
        done = 0
        while not over.is_set():
            queue = handles[done % len(handles)]
            try:
                if number % 2:
                    queue.put(b"x" * (done * 37 % 3000), 0.01)
                    with queue.loan(100, 0.01) as loan:
                        loan[:10] = b"0123456789"
                else:
                    message = queue.take(0.01)
                    kept.append(message)
                    bytes(kept[done % len(kept)])
                    kept[0].release()
                    if len(kept) > 5:
                        kept.pop(0).release()
                if done % 50 == 49:
                    handles[done % len(handles)].close()
                    handles[done % len(handles)] = Queue.open(name)
            except (namedshm.NamedShmError, BufferError, IndexError):
                pass
            done += 1
        return done

    q = make(8, 3000, ack=True)
    name, over = str(q.name), threading.Event()
    handles, kept = [Queue.open(name) for _ in range(3)], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of messages that the threads drop
        threads = [InThread(lambda number=number: storm(number)) for number in range(4)]  # type: ignore[misc]
        until(lambda: q.statistics().put > 2000, "the storm")
        over.set()
        assert all(thread.join() > 10 for thread in threads)
        kept.clear()
        gc.collect()
    for handle in handles:
        handle.close()
    with pytest.raises(namedshm.queue.Empty):  # noqa: PT012
        while True:
            q.get(0)
    q.put(b"it goes on")
    assert q.get(5) == b"it goes on"
