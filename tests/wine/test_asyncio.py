"""asyncio on Windows: what the threads that wait for the event loops do, beside tests/sync/test_asyncio.py."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from helpers.turns import until

import namedshm
from namedshm import aio
from namedshm._backend.windows import native

from . import win

assert sys.platform == "win32"

PATIENCE = 30.0


def run(main: Coroutine[Any, Any, Any], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(asyncio.wait_for(main, PATIENCE))


def watcher() -> native.Watcher:
    (thread,) = aio._pool().threads
    found: Any = thread.watcher
    return found


async def asleep(*waits: Awaitable[Any]) -> list[asyncio.Future[Any]]:
    """Tasks of these waits, once threads of the system sleep for all of them and have stopped waking."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.sleep(0)
    wakes = -1
    while wakes != watcher().wakes or watcher().asleep < len(tasks):
        wakes = watcher().wakes
        await asyncio.sleep(0.05)
    return tasks


@pytest.mark.parametrize("loop", [asyncio.ProactorEventLoop, asyncio.SelectorEventLoop])
def test_every_kind_of_event_loop_is_told(name: str, loop: type[asyncio.AbstractEventLoop], peers: Any) -> None:
    event, mutex = namedshm.Event(name), namedshm.Mutex(name + "-m")
    peer = peers(name=name)
    peer.do("mutex = namedshm.Mutex(name + '-m', owned=True)")
    peer.do("mutex.acquire()")

    async def main() -> None:
        first, second = await asleep(event.wait_async(), mutex.acquire_async())
        peer.do("namedshm.Event(name).set(); mutex.release()")
        assert await first
        assert await second
        mutex.release()

    run(main(), loop)


def test_two_hundred_waits_need_four_threads_of_the_system(name: str) -> None:
    events = [namedshm.Event(f"{name}-{number}") for number in range(200)]

    async def main() -> int:
        tasks = await asleep(*(event.wait_async() for event in events))
        threads = win.thread_count()
        for event in events:
            event.set()
        assert all(await asyncio.gather(*tasks))
        return threads

    async def one() -> int:
        (task,) = await asleep(events[0].wait_async())
        threads = win.thread_count()
        events[0].set()
        await task
        return threads

    with_one = run(one())  # it also starts what asyncio itself needs
    assert run(main()) - with_one <= 3


def test_who_waits_in_vain_wakes_no_thread(name: str) -> None:
    events, mutex = [namedshm.Event(f"{name}-{number}") for number in range(100)], namedshm.Mutex(name)
    go, held = threading.Event(), threading.Event()

    def own() -> None:
        with mutex:
            held.set()
            go.wait(PATIENCE)

    threading.Thread(target=own).start()
    assert held.wait(PATIENCE)

    async def main() -> int:
        both = namedshm.wait_all_async([events[0], mutex])
        tasks = await asleep(*(event.wait_async() for event in events), mutex.acquire_async(), both)
        before = watcher().wakes
        await asyncio.sleep(0.5)
        woke = watcher().wakes - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return woke

    try:
        assert run(main()) == 0
    finally:
        go.set()


def test_one_pulse_releases_the_waits_by_all_handles_of_a_manual_event(name: str) -> None:
    event, other = namedshm.Event(name, manual=True), namedshm.Event(name + "-other")
    handles = [event, namedshm.Event.open(name), event.duplicate(), event]

    async def main() -> list[Any]:
        tasks = await asleep(*(handle.wait_async() for handle in handles), namedshm.wait_any_async([other, handles[1]]))
        event.pulse()
        return list(await asyncio.gather(*tasks))

    *single, several = run(main())
    assert single == [True] * 4
    assert several.index == 1
    assert not event.wait(0)


def test_a_pulse_releases_one_wait_for_an_auto_reset_event(name: str) -> None:
    event = namedshm.Event(name)

    async def main() -> int:
        tasks = await asleep(event.wait_async(), event.wait_async())
        event.pulse()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert watcher().asleep == 1
        event.set()
        await asyncio.gather(*tasks)
        return len(done)

    assert run(main()) == 1
    assert not event.wait(0)


def test_closing_a_handle_ends_the_waits_through_it(name: str) -> None:
    event, keeper, second = namedshm.Event(name), namedshm.Event(name), namedshm.Semaphore(name + "-s", initial=0, maximum=1)

    async def main() -> None:
        waits = event.wait_async(), namedshm.wait_any_async([second, event]), namedshm.wait_all_async([second, event])
        tasks = await asleep(*waits, keeper.wait_async())
        event.close()
        for task in tasks[:3]:
            with pytest.raises(namedshm.ClosedHandle):
                await task
        keeper.set()
        assert await tasks[3]

    run(main())
    second.close()
    keeper.close()
    with pytest.raises(namedshm.NotFound):  # no thread kept a handle
        namedshm.Event.open(name)


def test_a_name_goes_with_a_handle_that_is_waited_for(name: str) -> None:
    event = namedshm.Event(name)

    async def main() -> None:
        (task,) = await asleep(event.wait_async())
        event.close()
        with pytest.raises(namedshm.NotFound):
            namedshm.Event.open(name)
        with pytest.raises(namedshm.ClosedHandle):
            await task

    run(main())


def test_waits_leave_no_handles(name: str) -> None:
    event, mutex = namedshm.Event(name), namedshm.Mutex(name + "-m")

    async def main() -> None:
        for number in range(50):
            tasks = [asyncio.ensure_future(w) for w in (event.wait_async(), namedshm.wait_all_async([event, mutex]))]
            await asyncio.sleep(0)
            if number % 2:
                event.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            event.clear()

    run(main())
    before = win.handle_count()
    run(main())
    assert win.handle_count() <= before


def test_the_other_waits_survive_the_thread_that_met_a_dead_owner(name: str) -> None:
    mutex, semaphore = namedshm.Mutex(name), namedshm.Semaphore(name + "-s", initial=0, maximum=100)

    async def main() -> None:
        for _ in range(10):
            held, end = threading.Event(), threading.Event()

            def own(held: threading.Event = held, end: threading.Event = end) -> None:
                mutex.acquire()
                held.set()
                end.wait(PATIENCE)

            owner = threading.Thread(target=own)
            owner.start()
            held.wait(PATIENCE)
            acquiring, *taking = await asleep(mutex.acquire_async(), *(semaphore.acquire_async() for _ in range(5)))
            threads = win.thread_count()
            end.set()
            assert (await acquiring).abandoned
            owner.join()
            until(lambda threads=threads: win.thread_count() < threads, "the end of the owner and of the thread that met it")
            mutex.release()
            with mutex as acquired:
                assert not acquired.abandoned
            semaphore.release(5)
            assert all(await asyncio.gather(*taking))

    run(main())
    assert not semaphore.acquire(0)


def test_a_task_gets_a_mutex_for_which_others_always_queue(name: str, peers: Any) -> None:
    peer = peers(name=name)
    peer.do(
        "import threading, time\n"
        "end = threading.Event()\n"
        "def hold():\n"
        "    mutex = namedshm.Mutex(name)\n"
        "    while not end.is_set():\n"
        "        with mutex: time.sleep(0)\n"
        "threads = [threading.Thread(target=hold) for _ in range(3)]\n"
        "for thread in threads: thread.start()"
    )
    mutex = namedshm.Mutex(name)

    async def main() -> None:
        for _ in range(100):
            assert await mutex.acquire_async()
            mutex.release()

    run(main())
    peer.do("end.set()\nfor thread in threads: thread.join()")


def test_a_handle_that_may_only_wait_is_enough_where_its_user_may_more(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=0, maximum=1)
    waiting_only = namedshm.Semaphore.open(name, "wait")

    async def main() -> None:
        (task,) = await asleep(waiting_only.acquire_async())
        task.cancel()
        semaphore.release()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert semaphore.acquire(0)


def test_who_could_not_give_back_cannot_wait(name: str) -> None:
    user = native.user_sid()
    handle = win.create_event(name, f"D:(A;;0x100000;;;{user})")  # SYNCHRONIZE alone
    with namedshm.Event.open(name, "wait") as event:
        with pytest.raises(namedshm.AccessDenied, match="wait in asyncio"):
            run(event.wait_async(PATIENCE))
        assert not event.wait(0)
        assert win.kernel32.SetEvent(ctypes.c_void_p(handle))
        assert run(event.wait_async(PATIENCE)), "nothing to wait for, nothing to give back"
    win.close(handle)
