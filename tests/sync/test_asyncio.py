"""Waiting in asyncio: what comes from other processes arrives, cancelling takes nothing, no thread sits there for each waiter."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from helpers.facts import has_fork
from helpers.peer import _Lender, run_python
from helpers.threads import InThread
from helpers.turns import until

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


def test_a_pulse_reaches_all_who_wait(name: str) -> None:
    event = namedshm.Event(name, manual=True)

    async def main() -> list[bool]:
        tasks = [asyncio.create_task(event.wait_async(PATIENCE)) for _ in range(3)]
        while not any(task.done() for task in tasks):  # who is about to wait misses a pulse
            await asyncio.sleep(0.05)
            event.pulse()
        return list(await asyncio.gather(*tasks))

    assert all(run(main()))
    assert not event.wait(0)


def test_what_a_cancelled_wait_had_just_got_is_there_at_once(name: str, in_thread: type[InThread]) -> None:
    rounds = 200
    semaphore = namedshm.Semaphore(name, initial=0, maximum=1)
    gate: queue.SimpleQueue[bool] = queue.SimpleQueue()
    released: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def release() -> None:
        while gate.get():
            semaphore.release()
            released.put(True)

    async def main() -> int:
        got = 0
        for number in range(rounds):
            waiting = asyncio.create_task(semaphore.acquire_async())
            await asyncio.sleep(0)  # it is polled, and watched from here on
            gate.put(True)
            for _ in range(number % 20):  # the cancellation meets every stage of the release
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                assert await waiting
                got += 1
            except asyncio.CancelledError:
                assert released.get(timeout=PATIENCE)
                assert semaphore.acquire(0), f"round {number}: taken, and nobody has it"
            else:
                assert released.get(timeout=PATIENCE)
            assert not semaphore.acquire(0), f"round {number}: one was released, and two were there"
        return got

    releasing = in_thread(release)
    try:
        run(main())
    finally:
        gate.put(False)
    releasing.join()


def test_a_wait_whose_time_is_up_loses_nothing(name: str, in_thread: type[InThread]) -> None:
    rounds = 200
    semaphore = namedshm.Semaphore(name, initial=0, maximum=rounds)

    async def main() -> int:
        return sum([await semaphore.acquire_async(number % 10 / 5000) for number in range(rounds)])

    releasing = in_thread(lambda: [semaphore.release() for _ in range(rounds) if not time.sleep(0.0002)])
    got = run(main())
    releasing.join()
    left = 0
    while semaphore.acquire(0):
        left += 1
    assert got + left == rounds


def test_a_dead_owner_is_told_to_exactly_one_of_all_who_wait(name: str, peers: _Lender, in_thread: type[InThread]) -> None:
    mutex = namedshm.Mutex(name)
    other = peers(name=name)
    other.do("mutex = namedshm.Mutex(name)")

    def plain() -> bool:
        with namedshm.Mutex(name) as acquired:
            return acquired.abandoned

    async def in_asyncio() -> bool:
        acquired = await mutex.acquire_async()
        mutex.release()
        return acquired.abandoned

    async def several() -> list[bool]:
        return list(await asyncio.gather(*(in_asyncio() for _ in range(3))))

    for number in range(12):
        held, end = threading.Event(), threading.Event()

        def own(held: threading.Event = held, end: threading.Event = end) -> None:
            mutex.acquire()
            held.set()
            end.wait(PATIENCE)  # and the thread ends as the mutex' owner

        owner = in_thread(own)
        assert held.wait(PATIENCE)
        loops = [in_thread(lambda: run(several())) for _ in range(2)]
        threads = [in_thread(plain) for _ in range(number % 3)]
        other.start("with mutex as acquired: told = acquired.abandoned\ntold")
        for _ in range(number):  # its end meets every stage of the others' beginning
            time.sleep(0)
        end.set()
        owner.join()
        told = [*loops[0].join(), *loops[1].join(), *(thread.join() for thread in threads), other.result()]
        assert sum(told) == 1, f"round {number}: {told}"


def test_a_mutex_excludes_loops_threads_and_processes(name: str, peers: _Lender, in_thread: type[InThread]) -> None:
    rounds, counter = 40, namedshm.create(name, 8)
    mutex = namedshm.Mutex(name + "-m")

    def increase() -> None:
        view = counter.map()
        value = int.from_bytes(view[:8], "little")
        time.sleep(0)  # whoever else is in here now reads the same value
        view[:8] = (value + 1).to_bytes(8, "little")

    async def in_asyncio() -> None:
        for _ in range(rounds):
            assert await mutex.acquire_async()
            increase()
            mutex.release()
            await asyncio.sleep(0.001)

    other = peers(name=name)
    other.start(
        f"import time; v = namedshm.open(name).map(); m = namedshm.Mutex(name + '-m')\n"
        f"for _ in range({rounds}):\n"
        f"    with m:\n"
        f"        n = int.from_bytes(v[:8], 'little'); time.sleep(0); v[:8] = (n + 1).to_bytes(8, 'little')\n"
        f"    time.sleep(0.001)"
    )
    loops = [in_thread(lambda: run(in_asyncio())) for _ in range(2)]
    for loop in loops:
        loop.join()
    other.result()
    assert int.from_bytes(counter.map()[:8], "little") == 3 * rounds


def test_waits_for_all_take_pairs_and_never_halves(name: str, in_thread: type[InThread]) -> None:
    pairs = 40
    left, right = (namedshm.Semaphore(name + side, initial=0, maximum=pairs) for side in "lr")

    async def several() -> int:
        async def one(order: list[namedshm.Semaphore]) -> int:
            got = 0
            while await namedshm.wait_all_async(order, 0.3):
                got += 1
            return got

        return sum(await asyncio.gather(one([left, right]), one([right, left])))

    def plain() -> int:
        got = 0
        while namedshm.wait_all([right, left], 0.3):
            got += 1
        return got

    takers = [in_thread(lambda: run(several())), in_thread(plain)]
    for number in range(pairs):  # first one of the two, then the other
        for semaphore in (left, right) if number % 2 else (right, left):
            semaphore.release()
            time.sleep(0)
    assert sum(taker.join() for taker in takers) + sum(1 for _ in range(pairs) if namedshm.wait_all([left, right], 0)) == pairs
    assert not left.acquire(0)
    assert not right.acquire(0)


STORM = """
import asyncio, random, threading
import namedshm
from namedshm.sync import wait_all_async, wait_any_async

left, right = (namedshm.Semaphore(name + side, initial=2, maximum=2) for side in "lr")
event, mutex = namedshm.Event(name + "e", initial=True), namedshm.Mutex(name + "m")
back = {left: left.release, right: right.release, event: event.set, mutex: mutex.release}
TIMES = [0, 0.0003, 0.001, 0.003, 0.02]

async def visit(chance):
    for _ in range(rounds):
        objects, time = chance.sample(list(back), chance.randint(1, 4)), chance.choice(TIMES)
        if chance.random() < 0.5:
            got = await wait_any_async(objects, time)
            taken = [got.object] if got else []
        else:
            taken = objects if await wait_all_async(objects, time) else []
        if mutex not in taken:  # else another task of this thread could take it a second time
            await asyncio.sleep(chance.choice([0, 0.0005]))
        for thing in taken:
            back[thing]()

async def change_one_s_mind(chance):
    async def take():
        back[(await wait_any_async(chance.sample([left, right, event], 2))).object]()
    for _ in range(rounds):
        tasks = [asyncio.create_task(take()) for _ in range(5)]
        await asyncio.sleep(chance.choice([0, 0, 0.001]))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

async def main(seed):
    await asyncio.gather(*(visit(random.Random(seed + k)) for k in range(4)), change_one_s_mind(random.Random(seed + 9)))

def plain(chance):
    for _ in range(rounds):
        objects, time = chance.sample(list(back), 2), chance.choice(TIMES)
        if chance.random() < 0.5:
            taken = objects if namedshm.wait_all(objects, time) else []
        else:
            got = namedshm.wait_any(objects, time)
            taken = [got.object] if got else []
        for thing in taken:
            back[thing]()

failed = []
def in_thread(call):
    try:
        call()
    except BaseException as error:
        failed.append(repr(error))

calls = [lambda: plain(random.Random(seed)), lambda: asyncio.run(main(seed + 1))]
threads = [threading.Thread(target=in_thread, args=(call,)) for call in calls]
for thread in threads: thread.start()
asyncio.run(main(seed + 20))
for thread in threads: thread.join()
failed
"""


def test_in_a_storm_of_waits_nothing_gets_lost_and_nothing_is_taken_twice(name: str, peers: _Lender) -> None:
    keep = [namedshm.Semaphore(name + side, initial=2, maximum=2) for side in "lr"]
    event, mutex = namedshm.Event(name + "e", initial=True), namedshm.Mutex(name + "m")
    storm = [peers(name=name, seed=seed, rounds=20) for seed in (100, 200)]
    for peer in storm:
        peer.start(STORM)
    for peer in storm:
        assert peer.result() == []  # a semaphore that is given back twice fails with LimitExceeded
    for semaphore in keep:
        assert [bool(semaphore.acquire(0)) for _ in range(3)] == [True, True, False]
    assert event.wait(0)
    assert mutex.acquire(0)
    mutex.release()


def test_the_lowest_index_wins_also_after_sleeping(name: str) -> None:
    events = [namedshm.Event(f"{name}-{number}") for number in range(64)]

    async def main() -> int:
        waiting = asyncio.create_task(namedshm.wait_any_async(events))
        await asyncio.sleep(0)
        events[40].set()
        result = await waiting
        assert result
        assert result.object is events[40]
        for number in (63, 7, 30):
            events[number].set()
        result = await namedshm.wait_any_async(events)
        assert result
        return result.index

    assert run(main()) == 7
    assert not events[40].wait(0)
    assert events[30].wait(0)
    assert events[63].wait(0)


def test_loops_in_several_threads_wait_at_once(name: str, in_thread: type[InThread]) -> None:
    semaphore = namedshm.Semaphore(name, initial=0, maximum=100)
    ready = threading.Semaphore(0)

    async def main() -> int:
        tasks = [asyncio.create_task(semaphore.acquire_async(PATIENCE)) for _ in range(10)]
        await asyncio.sleep(0)
        ready.release()
        return sum(await asyncio.gather(*tasks))

    loops = [in_thread(lambda: run(main())) for _ in range(4)]
    for _ in loops:
        assert ready.acquire(timeout=PATIENCE)
    for _ in range(40):
        semaphore.release()
    assert sum(loop.join() for loop in loops) == 40
    assert not semaphore.acquire(0)


def test_a_closed_loop_keeps_nothing(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=0, maximum=1)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(semaphore.acquire_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()  # with the wait in it: asyncio.run() would have cancelled it
    semaphore.release()
    until(lambda: semaphore.acquire(0), "the unit that a wait of a closed loop had taken")
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_process_ends_in_the_middle_of_waits() -> None:
    code = """
import asyncio, threading, namedshm
events = [namedshm.Event() for _ in range(100)]
mutex = namedshm.Mutex()
running = threading.Event()
async def wait():
    for event in events: asyncio.ensure_future(event.wait_async())
    asyncio.get_running_loop().call_later(0.05, running.set)
    await namedshm.wait_all_async([*events[:10], mutex])
threading.Thread(target=asyncio.run, args=(wait(),), daemon=True).start()
running.wait()
print("end", flush=True)
events[50].set()
"""
    assert run_python(code).strip() == "end"


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
