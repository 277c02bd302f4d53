"""Every interleaving of one reader with writers that are killed anywhere, over a model of the two slots.

The model's steps are those of ``_core.read_slots`` and ``write_slots`` in the order their fences give; a value is two words, equal
when it is whole.  Planted flaws show that the model sees what it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

# Memory: (version, word, word) of slot 0, then of slot 1.  Version n has the words n, n.
START = (1, 1, 1, 0, 0, 0)
UPDATES = 3


def writer(memory: tuple[int, ...], flaw: str) -> list[tuple[int, int]]:
    """The stores (index, value) of one update; it alone writes, so what it reads first stays."""
    one, two = memory[0], memory[3]
    target = 3 if one > two else 0
    if flaw == "the newest slot is rewritten":
        target = 3 - target
    version = max(one, two) + 1
    stores = [(target, 0), (target + 1, version), (target + 2, version), (target, version)]
    if flaw == "the version stays while its slot is rewritten":
        del stores[0]
    if flaw == "the version is stored before the value":
        stores = [stores[3], *stores[1:3]]
    return stores


def reader(flaw: str) -> Iterator[int]:
    """Yields the index it reads, is sent the word; returns with the (version, words) it believes."""
    one = yield 0
    two = yield 3
    newest = 0 if one > two else 3
    version = max(one, two)
    if not version and flaw != "no version is taken for one":
        return None
    words = ((yield newest + 1), (yield newest + 2))
    if flaw != "the version is not read again":
        again = yield newest
        if again != version:
            return None  # and tries again: another read of the model
    return version, words


def outcomes(flaw: str) -> set[tuple[int, tuple[int, int], int] | None]:
    """What a reader may return, over all interleavings, with the version that was the newest when it began.

    A state is (memory, stores to come, updates to come, newest version finished, that one when the reader began, what it has read).
    """
    found: set[tuple[int, tuple[int, int], int] | None] = set()
    seen = set()
    states = [(START, (), UPDATES, 1, 0, ())]
    while states:
        state = states.pop()
        if state in seen:
            continue
        seen.add(state)
        memory, stores, updates, newest, begun, read = state
        # the reader's next step
        steps = reader(flaw)
        index = next(steps)
        try:
            for word in read:
                index = steps.send(word)
        except StopIteration as end:
            found.add(end.value and (*end.value, begun))
            continue
        states.append((memory, stores, updates, newest, begun if read else newest, (*read, memory[index])))
        # the writer's: one store; or it is killed and the next one begins, as it does after the last store
        if stores:
            (at, value), *rest = stores
            after = (*memory[:at], value, *memory[at + 1 :])
            states.append((after, tuple(rest), updates, newest if rest else max(newest, *after[::3]), begun, read))
        if updates:
            states.append((memory, tuple(writer(memory, flaw)), updates - 1, newest, begun, read))
    return found


def good(outcome: tuple[int, tuple[int, int], int] | None) -> bool:
    """Whole, and not older than what was there when the reader began."""
    if outcome is None:
        return True
    version, words, begun = outcome
    return words == (version, version) and version >= begun


def test_a_reader_gets_a_whole_version_or_tries_again() -> None:
    found = outcomes("")
    assert all(map(good, found)), found
    assert {outcome[0] for outcome in found if outcome} == set(range(1, UPDATES + 2))  # and every version can be read
    assert None in found


@pytest.mark.parametrize(
    "flaw",
    [
        "the newest slot is rewritten",
        "the version stays while its slot is rewritten",
        "the version is stored before the value",
        "the version is not read again",
        "no version is taken for one",
    ],
)
def test_a_planted_flaw_is_found(flaw: str) -> None:
    assert not all(map(good, outcomes(flaw)))


# ------------------------------------------------------------------------------------------------------------ waiting
class World(NamedTuple):
    """Two who wait for a version after 1, and writers that may be killed before any step (_newer.py).

    Attributes:
        waiters: step (1 to 3: next is that of `order`; 4: asleep; DONE), and the version it read.
        writer: step, and the version it writes.
        made, set: bit V stands for the event of version V.
        untold: a writer was killed with its version stored and nobody told.
    """

    version: int = 1
    word: int = 0
    made: int = 0
    set: int = 0
    waiters: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    writer: tuple[str, int] = ("idle", 0)
    updates: int = 2
    untold: bool = False


DONE, ASLEEP = -1, 4


def waiter_moves(world: World, who: int, flaw: str) -> World | None:
    step, mine = world.waiters[who]
    order = ["make", "announce", "look"]
    if flaw == "the version is read again before the word is written":
        order = ["make", "look", "announce"]

    def then(step: int, mine: int = mine, **changes: int) -> World:
        waiters = (*world.waiters[:who], (step, mine), *world.waiters[who + 1 :])
        return world._replace(waiters=waiters, **changes)

    if step == DONE:
        return None
    if step == 0:
        return then(DONE) if world.version > 1 else then(1, world.version)
    if step == ASLEEP:
        return then(DONE) if world.set & 1 << mine else None
    match order[step - 1]:
        case "make":
            return then(step + 1, made=world.made | 1 << mine)
        case "announce":
            return then(step + 1, word=1)
    changed = world.version != mine and flaw != "the version is not read again"
    return then(DONE) if changed else then(step + 1)


def writer_moves(world: World, flaw: str) -> Iterator[World]:
    step, wrote = world.writer
    early = flaw == "the word is taken before the version is stored"
    if step == "idle":
        if world.updates:
            yield world._replace(writer=("take" if early else "store", world.version + 1), updates=world.updates - 1)
        return
    idle = world._replace(writer=("idle", 0))
    yield idle._replace(untold=True) if world.version == wrote else idle  # killed
    match step:
        case "store":
            yield world._replace(version=wrote, writer=("take", wrote))
        case "take" if early:
            yield world._replace(word=0, writer=("store, tell" if world.word else "store, end", wrote))
        case "take":
            yield world._replace(word=0, writer=("tell", wrote)) if world.word else idle
        case "store, tell":
            yield world._replace(version=wrote, writer=("tell", wrote))
        case "store, end":
            yield idle._replace(version=wrote)
        case "tell":
            yield idle._replace(set=world.set | world.made & 1 << wrote - 1)


def ends(flaw: str) -> set[World]:
    """All worlds in which nothing happens any more."""
    found, seen = set(), set()
    worlds = [World()]
    while worlds:
        world = worlds.pop()
        if world in seen:
            continue
        seen.add(world)
        after = [moved for who in (0, 1) if (moved := waiter_moves(world, who, flaw))]
        after += writer_moves(world, flaw)
        if not after:
            found.add(world)
        worlds += after
    return found


def sleeps_past_a_version(world: World) -> bool:
    return any(step == ASLEEP and world.version > mine for step, mine in world.waiters)


def test_nobody_sleeps_past_a_version_unless_its_writer_was_killed() -> None:
    slept = [world for world in ends("") if sleeps_past_a_version(world)]
    assert all(world.untold for world in slept), slept
    assert slept, "that case is in the model: it costs a nap"
    assert not all(world.untold for world in ends(""))


@pytest.mark.parametrize(
    "flaw",
    [
        "the version is read again before the word is written",
        "the version is not read again",
        "the word is taken before the version is stored",
    ],
)
def test_a_planted_flaw_in_waiting_is_found(flaw: str) -> None:
    assert any(sleeps_past_a_version(world) and not world.untold for world in ends(flaw))
