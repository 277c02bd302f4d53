"""Waiting in asyncio: what comes from other processes arrives, cancelling takes nothing, no thread sits there for each waiter."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import _Lender, run_python

import namedshm

PATIENCE = 30.0


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


def test_a_set_in_another_process_arrives(name: str, peers: _Lender) -> None:
    event = namedshm.Event(name)
    other = peers(name=name)

    async def main() -> bool:
        waiting = asyncio.create_task(event.wait_async())
        await asyncio.sleep(0)  # it is polled once and watched from here on
        other.start("namedshm.Event(name).set()")
        return await waiting

    assert run(main())
    other.result()
    assert not event.wait(0), "it was consumed"


def test_the_time_that_was_given_is_kept(name: str) -> None:
    event, mutex, semaphore = (
        namedshm.Event(name),
        namedshm.Mutex(name + "-m"),
        namedshm.Semaphore(name + "-s", initial=0, maximum=1),
    )

    async def main() -> None:
        begun = time.monotonic()
        assert not await event.wait_async(0.2)
        assert time.monotonic() - begun >= 0.19
        assert not await event.wait_async(0)
        assert not await semaphore.acquire_async(0)
        assert await mutex.acquire_async(0)
        mutex.release()
        assert await namedshm.wait_any_async([event, semaphore], 0.01) is None
        assert await namedshm.wait_all_async([event, semaphore, mutex], 0.01) is None

    run(main())
    assert mutex.acquire(0), "a wait for all that failed has taken nothing"
    mutex.release()


def test_a_cancelled_wait_has_taken_nothing(name: str) -> None:
    event = namedshm.Event(name)

    async def main() -> None:
        waiting = asyncio.create_task(event.wait_async())
        await asyncio.sleep(0.01)
        waiting.cancel()
        event.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(main())
    assert event.wait(0)


def test_each_unit_of_a_semaphore_goes_to_one_task(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=0, maximum=10)

    async def main() -> list[bool]:
        tasks = [asyncio.create_task(semaphore.acquire_async(0.5)) for _ in range(5)]
        await asyncio.sleep(0.01)
        semaphore.release(3)
        return list(await asyncio.gather(*tasks))

    assert sum(run(main())) == 3
    assert not semaphore.acquire(0)


def test_an_owner_s_death_is_told(name: str, peers: _Lender) -> None:
    mutex = namedshm.Mutex(name)
    other = peers(name=name)
    other.do("held = namedshm.Mutex(name); held.acquire()")

    async def main() -> namedshm.sync.Acquisition:
        waiting = asyncio.create_task(mutex.acquire_async())
        await asyncio.sleep(0.01)
        other.kill()
        return await waiting

    acquisition = run(main())
    assert acquisition
    assert acquisition.abandoned
    mutex.release()


def test_any_takes_one_and_all_takes_all(name: str) -> None:
    event, semaphore = namedshm.Event(name), namedshm.Semaphore(name + "-s", initial=0, maximum=2)

    async def main() -> None:
        waiting = asyncio.create_task(namedshm.wait_all_async([event, semaphore]))
        await asyncio.sleep(0.01)
        event.set()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert event.wait(0), "a wait for all leaves alone what it cannot have"
        event.set()
        semaphore.release(2)
        assert await waiting
        result = await namedshm.wait_any_async([event, semaphore])
        assert result is not None
        assert result.index == 1

    run(main())


@pytest.mark.skipif(not on_linux, reason="Windows cannot be asked to watch an object without taking it, so a pulse can be missed")
def test_a_pulse_reaches_who_waits(name: str) -> None:
    event = namedshm.Event(name, manual=True)

    async def main() -> list[bool]:
        tasks = [asyncio.create_task(event.wait_async(10)) for _ in range(3)]
        await asyncio.sleep(0.05)
        event.pulse()
        return list(await asyncio.gather(*tasks))

    assert all(run(main()))
    assert not event.wait(0)


def test_hundreds_of_waiters_need_few_threads(name: str) -> None:
    events = [namedshm.Event(f"{name}-{k}") for k in range(300)]
    before = threading.active_count()

    async def main() -> int:
        tasks = [asyncio.create_task(event.wait_async()) for event in events]
        await asyncio.sleep(0.05)
        threads = threading.active_count()
        for event in events:
            event.set()
        assert all(await asyncio.gather(*tasks))
        return threads

    assert run(main()) - before <= 4


def test_the_loop_goes_on_while_a_task_waits(name: str) -> None:
    event = namedshm.Event(name)

    async def main() -> int:
        waiting = asyncio.create_task(event.wait_async(0.3))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert run(main()) > 5


def test_a_handle_closed_under_a_waiting_task_does_not_hurt(name: str) -> None:
    event, keeper = namedshm.Event(name), namedshm.Event(name)

    async def main() -> None:
        waiting = asyncio.create_task(event.wait_async(0.2))
        await asyncio.sleep(0.01)
        event.close()
        keeper.set()
        with pytest.raises(namedshm.ClosedHandle):
            await waiting

    run(main())
    assert keeper.wait(0)


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_child_has_a_watcher_of_its_own() -> None:
    code = """
import asyncio, os, namedshm
event = namedshm.Event()
async def wait():
    asyncio.get_running_loop().call_later(0.01, event.set)
    return await event.wait_async(20)
assert asyncio.run(wait())
if not (pid := os.fork()):
    os._exit(0 if asyncio.run(wait()) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run_python(code).strip() == "0"


def test_a_loop_that_ended_in_the_middle_leaves_the_watcher_well(name: str) -> None:
    event = namedshm.Event(name)

    async def give_up() -> None:
        asyncio.create_task(event.wait_async())  # noqa: RUF006 - it is to be cancelled by the end of the loop
        await asyncio.sleep(0.01)

    run(give_up())

    async def main() -> bool:
        asyncio.get_running_loop().call_later(0.01, event.set)
        return await event.wait_async(10)

    assert run(main())
