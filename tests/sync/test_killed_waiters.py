"""Processes killed while they wait in asyncio: the others are not disturbed.

tests/crash_sync kills a watcher at every instruction; here it is whole event loops.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.peer import _Lender
from helpers.turns import until

import namedshm

pytestmark = pytest.mark.skipif(not on_linux, reason="looks at threads in /proc")

WAITING = """
import asyncio
async def main():
    return {call}
asyncio.run(main())
"""
TAKING_TURNS = """
import asyncio
lock, progress = namedshm.Mutex(name), namedshm.open(name + "-progress").map()
async def main():
    told = 0
    while progress[8 * who + 7] == 0:
        acquired = await lock.acquire_async()
        told += acquired.abandoned
        mine = int.from_bytes(progress[8 * who : 8 * who + 4], "little") + 1
        progress[8 * who : 8 * who + 4] = mine.to_bytes(4, "little")
        lock.release()
        await asyncio.sleep(0)
    return told
asyncio.run(main())
"""


def all_asleep(pid: int) -> bool:
    """The loop's thread and the watcher."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return len(states) > 1 and set(states) == {"S"}


BOTH = "[namedshm.Event(name), namedshm.Semaphore(name + '-semaphore')]"
WAITS = {  # -> the call, its result, whether the event is left, the count that is left
    "an event": ("await namedshm.Event(name).wait_async(60)", True, False, 1),
    "a manual event": ("await namedshm.Event(name + '-manual', manual=True).wait_async(60)", True, True, 1),
    "a semaphore": ("await namedshm.Semaphore(name + '-semaphore').acquire_async(60)", True, True, 0),
    "any": (f"(await namedshm.wait_any_async({BOTH}, 60)).index", 0, False, 1),
    "all": (f"(await namedshm.wait_all_async({BOTH}, 60)).index", 0, False, 0),
}


@pytest.mark.parametrize("what", WAITS)
def test_of_two_that_wait_the_other_gets_it(name: str, peers: _Lender, what: str) -> None:
    event, manual = namedshm.Event(name), namedshm.Event(name + "-manual", manual=True)
    semaphore = namedshm.Semaphore(name + "-semaphore", initial=0, maximum=5)
    call, result, event_left, count_left = WAITS[what]
    killed, other = peers(name=name), peers(name=name)
    for peer in (killed, other):
        peer.start(WAITING.format(call=call))
        until(lambda pid=peer.pid: all_asleep(pid), "the wait")  # type: ignore[misc]
    killed.kill()
    event.set()
    manual.set()
    semaphore.release()
    assert other.result() == result
    assert event.wait(0) == event_left
    assert semaphore.release() == count_left


def test_the_owner_of_a_loop_s_mutex_is_told_dead_once(name: str, peers: _Lender) -> None:
    mutex = namedshm.Mutex(name)
    owner = peers(name=name)
    owner.start(WAITING.format(call="await namedshm.Mutex(name).acquire_async() and await asyncio.sleep(600)"))
    until(lambda: not mutex.acquire(0) or mutex.release(), "the owner")  # release() is None
    owner.kill()
    with mutex as acquired:
        assert acquired.abandoned
    with mutex as acquired:
        assert not acquired.abandoned


@pytest.mark.parametrize("seed", range(3))
def test_a_loop_goes_on_taking_turns_when_another_is_killed_at_any_moment(name: str, peers: _Lender, seed: int) -> None:
    dice = random.Random(seed)
    with namedshm.create(name + "-progress", 100) as section, section.map() as progress:

        def turns(who: int) -> int:
            return int.from_bytes(progress[8 * who : 8 * who + 4], "little")

        survivor = peers(name=name, who=0)
        survivor.start(TAKING_TURNS)
        for who in range(1, 6):
            victim = peers(name=name, who=who)
            victim.start(TAKING_TURNS)
            wanted = dice.randrange(1, 40)
            until(lambda who=who, wanted=wanted: turns(who) >= wanted, "the victim's turns")  # type: ignore[misc]
            victim.kill()
            before = turns(0)
            until(lambda before=before: turns(0) > before + 20, "the survivor's turns")  # type: ignore[misc]
        progress[7] = 1
        assert survivor.result() <= 5
        with namedshm.Mutex(name) as acquired:
            assert not acquired.abandoned
