"""Queues in asyncio: nobody waits in a thread of his own, cancelling takes nothing, and no wake-up is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import on_linux
from helpers.peer import _Lender
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm.queue import Empty, Full, Queue, ShutDown

Make = Callable[..., Queue]


def run(main: Coroutine[Any, Any, Any], patience: float = 60) -> Any:
    return asyncio.run(asyncio.wait_for(main, patience))


async def awaited(q: Queue, bits: int = 7) -> None:
    """Until somebody sleeps for it."""
    while not q.statistics().awaited & bits:
        await asyncio.sleep(0.001)


def test_what_is_there_is_taken_at_once(make: Make) -> None:
    q = make(4, 3000)

    async def main() -> None:
        await q.put_async(b"one")
        await q.put_async(bytes(3000))
        assert await q.put_many_async([b"two", b"three"]) == 2
        assert await q.get_async() == b"one"
        with await q.take_async() as message:
            assert len(message) == 3000
        assert await q.get_many_async(10) == [b"two", b"three"]
        async with await q.loan_async(5) as window:
            window[:] = b"hello"
        assert await q.get_async(0) == b"hello"

    run(main())


@pytest.mark.parametrize("how", ["get_async", "take_async", "get_many_async"])
def test_a_message_of_another_process_wakes_the_task(make: Make, peers: _Lender, how: str) -> None:
    q = make(4, 3000)
    peer = peers(name=q.name)

    async def main() -> Any:
        task = asyncio.ensure_future(getattr(q, how)(*([5] if how == "get_many_async" else [])))
        await awaited(q)
        peer.start("namedshm.Queue.open(name).put(b'hello')")
        got = await task
        return bytes(got[0] if isinstance(got, list) else got)

    assert run(main()) == b"hello"
    peer.result()


@pytest.mark.parametrize("size", [3, 3000])
def test_room_made_by_another_process_wakes_the_task(make: Make, peers: _Lender, size: int) -> None:
    q = make(2, 3000, chunks=2)
    q.put_many([bytes(size)] * 2)
    peer = peers(name=q.name)

    async def main() -> None:
        task = asyncio.ensure_future(q.put_async(b"x" * size))
        await awaited(q)
        peer.start("q = namedshm.Queue.open(name); len(q.get())")
        await task

    run(main())
    assert peer.result() == size
    assert [len(message) for message in q.get_many(5)] == [size, size]


def test_a_chunk_that_becomes_free_wakes_the_task(make: Make) -> None:
    q = make(4, 3000, chunks=1)
    kept = q.loan()

    async def main() -> None:
        task = asyncio.ensure_future(q.loan_async(5))
        await awaited(q, 4)
        kept.abandon()
        (await task).abandon()

    run(main())


def test_a_loan_waits_for_room_at_the_end_of_its_block(make: Make) -> None:
    q = make(1, 3000)
    q.put(b"full")

    async def lend() -> None:
        async with await q.loan_async(5) as window:
            window[:] = b"hello"

    async def main() -> None:
        task = asyncio.ensure_future(lend())
        await awaited(q, 2)
        assert await q.get_async() == b"full"
        await task
        assert await q.get_async() == b"hello"
        with pytest.raises(ZeroDivisionError):
            async with await q.loan_async(5):
                raise ZeroDivisionError
        q.put(b"full")
        with pytest.raises(Full):
            async with await q.loan_async(5, 0.01):
                pass
        loan = q.loan(3)
        with pytest.raises(Full):
            await loan.commit_async(0.01)
        assert not loan.ended
        loan.abandon()

    run(main())
    assert q.statistics().loaned == 0


def test_the_time_is_kept(make: Make) -> None:
    q = make(1, 100)

    async def main() -> None:
        for seconds in (0, 0.01):
            with pytest.raises(Empty):
                await q.get_async(seconds)
        await q.put_async(b"x")
        for seconds in (0, 0.01):
            with pytest.raises(Full):
                await q.put_async(b"x", seconds)
            with pytest.raises(Full) as caught:
                await q.put_many_async([b"x", b"y"], seconds)
            assert caught.value.done == 0

    run(main())


@pytest.mark.parametrize("wrong", ["text", 5, None, memoryview(b"123456")[::2]])
def test_what_is_no_buffer_is_refused(make: Make, wrong: Any) -> None:
    with pytest.raises(TypeError):
        run(make(4, 100).put_async(wrong))


def test_many_tasks_wait_for_one_queue_and_each_message_comes_once(make: Make) -> None:
    q, done = make(8, 100), make(1024, 100)

    async def take(number: int) -> int:
        taken = 0
        async for message in q:
            await done.put_async(message)
            taken += 1
        return taken

    async def main() -> list[int]:
        tasks = [asyncio.ensure_future(take(number)) for number in range(50)]
        await awaited(q)
        for number in range(500):
            await q.put_async(b"%d" % number)
        q.shutdown()
        return list(await asyncio.gather(*tasks))

    assert sum(run(main())) == 500
    assert sorted(int(message) for message in done.get_many(1000)) == list(range(500))


def test_tasks_and_blocked_threads_share_what_comes(make: Make) -> None:
    q = make(64, 100)
    threads = [InThread(lambda: list(q)) for _ in range(3)]

    async def take() -> list[bytes]:
        return [message async for message in q]

    async def main() -> list[bytes]:
        tasks = [asyncio.ensure_future(take()) for _ in range(10)]
        await awaited(q)
        for number in range(1000):
            await q.put_async(b"%d" % number)
            if number % 10 == 0:
                await asyncio.sleep(0)
        q.shutdown()
        return [message for some in await asyncio.gather(*tasks) for message in some]

    got = run(main()) + [message for thread in threads for message in thread.join()]
    assert sorted(map(int, got)) == list(range(1000))


@pytest.mark.parametrize("what", ["get", "take", "put", "loan"])
def test_a_cancelled_wait_takes_nothing_and_passes_its_wake_up_on(make: Make, what: str) -> None:
    """The message comes in the moment that the task is cancelled: the thread that waits behind it gets it."""
    for turn in range(40):
        q = make(1, 3000, chunks=1)
        kept: Any = q.loan() if what == "loan" else q.put(b"full") if what == "put" else None
        blocked: list[InThread] = []

        async def main(q: Queue = q, blocked: list[InThread] = blocked, turn: int = turn, kept: Any = kept) -> None:
            first = {
                "get": q.get_async,
                "take": q.take_async,
                "put": lambda: q.put_async(b"async"),
                "loan": lambda: q.loan_async(1),
            }[what]
            task = asyncio.ensure_future(first())
            await awaited(q)
            blocked.append(InThread({"put": lambda: q.put(b"sync"), "loan": lambda: q.loan(1)}.get(what, q.get)))
            if turn % 2:
                await asyncio.sleep(0.002)  # often: until the thread sleeps too; either way it has to come out right
            if what in ("get", "take"):
                q.put(b"hello")
            elif what == "put":
                q.get()
            else:
                kept.abandon()
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            task.cancel()
            try:
                got = await task
            except asyncio.CancelledError:
                return
            if what == "loan":
                got.abandon()
            elif what == "put":
                assert q.get() == b"async"
            else:
                q.put(b"another")
                if what == "take":
                    got.release()

        run(main())
        got = blocked[0].join(30)
        if what == "loan":
            got.abandon()
        q.close()


def test_a_task_that_is_thrown_away_passes_its_wake_up_on(make: Make) -> None:
    q = make(4, 100)

    async def main() -> None:
        coroutine = q.get_async()
        waiting = coroutine.send(None)  # begun, and never looked at again
        await awaited(q)
        blocked = InThread(q.get)
        q.put(b"hello")
        coroutine.close()
        del waiting
        assert await asyncio.to_thread(blocked.join) == b"hello"

    run(main())


def test_shutting_down_ends_all_waits(make: Make) -> None:
    q, full = make(4, 100), make(1, 3000, chunks=1)
    full.put(bytes(3000))

    async def main() -> list[Any]:
        tasks = [
            asyncio.ensure_future(wait)
            for wait in (q.get_async(), q.take_async(), full.put_async(b"x"), full.put_async(bytes(3000)), full.loan_async())
        ]
        await awaited(q)
        await awaited(full)
        q.shutdown()
        full.shutdown()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    assert [type(outcome) for outcome in run(main())] == [ShutDown] * 5


def test_the_end_of_the_producers_ends_a_wait(make: Make, peers: _Lender) -> None:
    q = make(4, 100, end_with_producers=True)
    peer = peers(name=q.name)
    peer.do("q = namedshm.Queue.open(name); q.put(b'last')")

    async def main() -> list[bytes]:
        async def take() -> list[bytes]:
            return [message async for message in q]

        task = asyncio.ensure_future(take())
        while not q.empty():
            await asyncio.sleep(0)
        await asyncio.to_thread(peer.kill)
        return await task

    assert run(main()) == [b"last"]


def test_with_acknowledgement_what_a_killed_consumer_held_comes(make: Make, peers: _Lender) -> None:
    q = make(4, 100, ack=True)
    q.put(b"one")
    peer = peers(name=q.name)
    peer.do("q = namedshm.Queue.open(name); kept = q.take()")

    async def main() -> bytes:
        task = asyncio.ensure_future(q.get_async())
        await awaited(q)
        await asyncio.to_thread(peer.kill)
        return await task

    assert run(main()) == b"one"


def test_closing_the_queue_ends_its_waits(make: Make) -> None:
    q = make(4, 100)

    async def main() -> None:
        task = asyncio.ensure_future(q.get_async())
        await awaited(q)
        q.close()
        with pytest.raises(namedshm.ClosedHandle):
            await task
        with pytest.raises(namedshm.ClosedHandle):
            await q.get_async()

    run(main())


@pytest.mark.skipif(not on_linux, reason="looks at threads in /proc")
def test_a_killed_event_loop_keeps_no_message_from_others(make: Make, peers: _Lender) -> None:
    q = make(4, 100)
    peer = peers(name=q.name)
    peer.start("import asyncio\nasyncio.run(namedshm.Queue.open(name).get_async(60))")
    until(lambda: all_asleep(peer.pid), "the wait")
    blocked = InThread(q.get)
    peer.kill()
    q.put(b"hello")
    assert blocked.join() == b"hello"


def all_asleep(pid: int) -> bool:
    """The loop's thread and the watcher."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return len(states) > 1 and set(states) == {"S"}


@pytest.mark.skipif(not on_linux, reason="how many threads watch is Linux's")
def test_no_thread_sits_there_for_each_waiter(make: Make) -> None:
    q = make(4, 100)

    async def main() -> tuple[int, int]:
        def count() -> int:
            return len(list(Path("/proc/self/task").iterdir()))

        before = count()
        tasks = [asyncio.ensure_future(q.get_async()) for _ in range(100)]
        await awaited(q)
        during = count()
        q.shutdown()
        await asyncio.gather(*tasks, return_exceptions=True)
        return before, during

    before, during = run(main())
    assert during <= before + 2


def test_loops_of_several_threads_take_from_one_queue(make: Make) -> None:
    q = make(16, 100)
    got: list[bytes] = []

    async def take() -> None:
        async for message in q:
            got.append(message)  # noqa: PERF401

    loops = [threading.Thread(target=asyncio.run, args=(take(),)) for _ in range(3)]
    for loop in loops:
        loop.start()
    q.put_many([b"%d" % number for number in range(300)], 60)
    q.shutdown()
    for loop in loops:
        loop.join(60)
        assert not loop.is_alive()
    assert sorted(map(int, got)) == list(range(300))


def test_it_is_waited_for_beside_events(make: Make) -> None:
    q, event = make(4, 100), namedshm.Event()

    async def main() -> tuple[bool, bytes]:
        both = [asyncio.ensure_future(event.wait_async()), asyncio.ensure_future(q.get_async())]
        await awaited(q)
        event.set()
        first = await both[0]
        q.put(b"hello")
        return first, await both[1]

    assert run(main()) == (True, b"hello")
