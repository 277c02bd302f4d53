"""Topics in asyncio: nobody waits in a thread of his own, cancelling reads nothing, and no wake-up is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from helpers.peer import _Lender

import namedshm
from namedshm.topic import Empty, ShutDown, Topic

Make = Callable[..., Topic]


def run(main: Coroutine[Any, Any, Any], patience: float = 60) -> Any:
    return asyncio.run(asyncio.wait_for(main, patience))


async def awaited(t: Topic, number: int = 1) -> None:
    """Until so many sleep for it."""
    while t.statistics().waiting < number:
        await asyncio.sleep(0.001)


def test_what_is_there_is_read_at_once(make: Make) -> None:
    t = make()
    t.publish(b"one" * 1000)

    async def main() -> None:
        assert await t.latest_async() == b"one" * 1000
        assert await t.latest_async(0) == b"one" * 1000
        t.publish(b"two")
        assert await t.next_async(0) == b"two"
        with await t.view_async() as window:
            assert bytes(window) == b"two"
        with await t.pin_async(which="latest") as window:
            assert bytes(window) == b"two"
        for call in (t.next_async, lambda s: t.latest_async(s, new=True), lambda s: t.view_async(s, which="new")):
            for seconds in (0, 0.01):
                with pytest.raises(Empty):
                    await call(seconds)

    run(main())


@pytest.mark.parametrize("how", ["latest_async", "next_async", "view_async", "pin_async"])
@pytest.mark.parametrize("size", [5, 5000])
def test_a_value_of_another_process_wakes_the_task(make: Make, peers: _Lender, how: str, size: int) -> None:
    t = make()
    peer = peers(name=t.name)

    async def main() -> Any:
        task = asyncio.ensure_future(getattr(t, how)())
        await awaited(t)
        peer.start("namedshm.Topic.open(name).publish(b'x' * size)", size=size)
        got = await task
        if isinstance(got, bytes):
            return got
        with got as window:
            return bytes(window)

    assert run(main()) == b"x" * size
    peer.result()


def test_many_tasks_are_woken_by_one_value_and_no_thread_waits_for_each(make: Make, peers: _Lender) -> None:
    t = make()
    peer = peers(name=t.name)

    async def main() -> list[bytes]:
        tasks = [asyncio.ensure_future(t.latest_async()) for _ in range(50)]
        await awaited(t)
        threads = threading.active_count()
        peer.start("namedshm.Topic.open(name).publish(b'hello')")
        got = await asyncio.gather(*tasks)
        assert threading.active_count() == threads
        return got

    assert run(main()) == [b"hello"] * 50
    peer.result()


def test_an_async_for_reads_all_until_the_end(make: Make, peers: _Lender) -> None:
    t = make(history=4096)
    peer = peers(name=t.name)

    async def main() -> list[bytes]:
        peer.start("t = namedshm.Topic.open(name)\nfor n in range(2000):\n    t.publish(b'%d' % n)\nt.shutdown()")
        return [value async for value in t]

    assert run(main()) == [b"%d" % number for number in range(2000)]
    peer.result()
    with pytest.raises(ShutDown):
        run(t.next_async())


def test_cancelling_reads_nothing_and_wakes_the_others(make: Make, peers: _Lender) -> None:
    t = make()
    peer = peers(name=t.name)
    peer.do("t = namedshm.Topic.open(name, 'read')")

    async def main() -> None:
        for number in range(50):
            task = asyncio.ensure_future(t.next_async())
            peer.start("t.next(60)")
            await awaited(t, 2)
            t.publish(b"%d" % number)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while t.position != number + 1:
                assert t.position == number
                assert await t.next_async(30) == b"%d" % number
            assert await asyncio.to_thread(peer.result) == b"%d" % number

    run(main())


def test_a_handle_that_is_closed_tells_who_waits(make: Make) -> None:
    t = make()

    async def main() -> None:
        task = asyncio.ensure_future(t.next_async())
        await awaited(t)
        t.close()
        with pytest.raises(namedshm.ClosedHandle):
            await task

    run(main())
