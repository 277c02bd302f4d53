"""Somebody with the right to write scribbles over an object's page: errors and timeouts, but no crash and no hang."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer

import namedshm

from .words import PAGE, STATE, Page

pytestmark = pytest.mark.skipif(not on_linux, reason="on Windows the kernel keeps these words to itself")


@pytest.fixture
def page_of() -> Iterator[object]:
    made: list[Page] = []

    def make(create: object) -> tuple[namedshm.Event, Page]:
        thing, page = Page.of(create)  # type: ignore[arg-type]
        made.append(page)
        return thing, page  # type: ignore[return-value]

    yield make
    for page in made:
        page.close()


USES = """
def attempt(call, *arguments):
    try:
        call(*arguments)
    except namedshm.NamedShmError:
        pass
for thing in things:
    if isinstance(thing, namedshm.Mutex):
        attempt(thing.acquire, 0)
        attempt(thing.acquire, 0.02)
        attempt(thing.release)
        attempt(thing.release)
    elif isinstance(thing, namedshm.Event):
        attempt(thing.wait, 0)
        attempt(thing.set)
        attempt(thing.wait, 0.02)
        attempt(thing.clear)
        attempt(thing.pulse)
    else:
        attempt(thing.acquire, 0)
        attempt(thing.release)
        attempt(thing.acquire, 0.02)
    attempt(namedshm.wait_any, [thing, good], 0.02)
    attempt(namedshm.wait_all, [thing, good], 0.02)
"""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["Mutex", "Event", "Semaphore"])
def test_a_page_of_garbage_harms_nobody(name: str, kind: str, seed: int, page_of: object) -> None:
    thing, page = page_of(lambda: getattr(namedshm, kind)(name))  # type: ignore[operator]
    dice = random.Random(seed)
    with Peer() as peer:
        peer.do(f"things = [namedshm.{kind}.open(name)]; good = namedshm.Event(name + '-good')", name=name)
        for _ in range(15):
            for word in (*range(4), *range(16, 24), *range(256), *range(PAGE // 4 - 16, PAGE // 4)):
                bits = dice.choice(
                    (0, 1, 0x80000000, 0x40000000, 0x20000000, peer.pid, os.getpid(), 0xFFFFFFFF, dice.getrandbits(32))
                )
                if dice.random() < 0.5:
                    page.words[word] = bits
            peer.do(USES)
        # its own world is whole: other objects work, and the registry
        assert peer.do("m = namedshm.Mutex(name + '-new'); bool(m.acquire(0)), m.release(), good.set(), good.wait(0)")[3] is True
        peer.do("things[0].close()")
    thing.close()


@pytest.mark.parametrize("kind", ["Mutex", "Event", "Semaphore"])
def test_a_reservation_whose_maker_is_gone_is_taken_off(name: str, kind: str, page_of: object) -> None:
    thing, page = page_of(lambda: getattr(namedshm, kind)(name))  # type: ignore[operator]
    if kind == "Event":
        thing.set()
    page.words[STATE // 4] |= 0x20000000 if kind == "Mutex" else 0x80000000
    assert namedshm.wait_any([thing], 10)
    if kind == "Mutex":
        thing.release()
    else:
        thing.set() if kind == "Event" else thing.release()
        page.words[STATE // 4] |= 0x80000000
    assert namedshm.wait_all([thing, namedshm.Event(name + "-2", initial=True)], 10)
    if kind == "Mutex":
        thing.release()


def test_a_page_of_another_type_is_refused_at_opening(name: str, page_of: object) -> None:
    _event, page = page_of(lambda: namedshm.Event(name))  # type: ignore[operator]
    page.words[0] = 77
    with pytest.raises(namedshm.NamedShmError):
        namedshm.Event.open(name)


OWNER = """
things = [namedshm.Mutex.open(name + end) for end in ("-first", "-bad", "-last")]
assert all(thing.acquire(0) for thing in things)
"""


def overwrite(page: Page, value: str, dice: random.Random) -> None:
    for k in range(PAGE):
        page.bytes[k] = dice.getrandbits(8) if value == "random" else int(value, 16)


@pytest.mark.parametrize("value", ["00", "ff", "random"])
@pytest.mark.parametrize("end", ["kill", "exit", "release", "close and release"])
def test_who_owns_a_mutex_that_is_overwritten_keeps_and_abandons_the_others(
    name: str, value: str, end: str, page_of: object
) -> None:
    """It stands between two others in the owner's list."""
    first, last = namedshm.Mutex(name + "-first"), namedshm.Mutex(name + "-last")
    bad, page = page_of(lambda: namedshm.Mutex(name + "-bad"))  # type: ignore[operator]
    with Peer() as peer:
        peer.do(OWNER, name=name)
        overwrite(page, value, random.Random(value))
        if end == "kill":
            peer.kill()
        elif end == "exit":
            peer.close()
        else:
            if end == "close and release":
                peer.do("things[1].close(); things[0].close()")
                things = "things[2], namedshm.Mutex.open(name + '-first')"
            else:
                things = "things[2], things[0]"
                with pytest.raises(namedshm.NamedShmError):
                    peer.do("things[1].release()")
                with pytest.raises(namedshm.NotOwned):
                    peer.do("things[1].release()")
            assert not first.acquire(0)
            assert not last.acquire(0)
            peer.do(f"for thing in ({things}): thing.release()")
        for mutex in (first, last):
            acquired = mutex.acquire(30)
            assert acquired
            assert acquired.abandoned == (end in ("kill", "exit"))
            mutex.release()
    page.words[STATE // 4] = 0
    bad.close()


def test_a_word_that_says_free_while_another_thread_of_ours_owns_it_is_damage(name: str, page_of: object) -> None:
    """Two threads cannot both have the node in the page behind in their lists."""
    mutex, page = page_of(lambda: namedshm.Mutex(name))  # type: ignore[operator]
    with Peer() as peer:
        peer.do(
            "import threading; from helpers.turns import until\n"
            "mutex, owns, end = namedshm.Mutex.open(name), threading.Event(), threading.Event()\n"
            "def own(): mutex.acquire(); owns.set(); end.wait(60)\n"
            "owner = threading.Thread(target=own); owner.start(); assert owns.wait(60)",
            name=name,
        )
        page.words[STATE // 4] = 0
        assert not peer.do("bool(mutex.acquire(0))")
        with pytest.raises(namedshm.NamedShmError, match="damaged"):
            peer.do("mutex.acquire(20)")
        peer.do("end.set(); owner.join()")
        assert peer.do("bool(mutex.acquire(0))")
    mutex.close()
