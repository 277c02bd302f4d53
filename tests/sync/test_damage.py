"""Somebody with the right to write scribbles over an object's page: errors and timeouts, but no crash and no hang."""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer

import namedshm

pytestmark = pytest.mark.skipif(not on_linux, reason="on Windows the kernel keeps these words to itself")

PAGE = 4096
STATE, END = 192, 256  # include/namedshm_sync.h: nshm_words


def pages() -> dict[int, tuple[int, int]]:
    """Of this process: address -> (segment, length)."""
    found = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if "/SYSV" in line:
            first, last = (int(part, 16) for part in fields[0].split("-"))
            found[first] = (int(fields[4]), last - first)
    return found


class Page:
    """The words of a new object, through another attachment of their segment."""

    def __init__(self, segments: set[int]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
        self._detach = libc.shmdt
        self._detach.argtypes = [ctypes.c_void_p]
        for segment in segments:
            at = libc.shmat(segment, None, 0)
            if at in (None, ctypes.c_void_p(-1).value):
                continue  # the token is attached read-only
            self.words = (ctypes.c_uint32 * (PAGE // 4)).from_address(at)
            self.at = at
            if self.words[0] in (2, 3, 4):  # the type
                return
            self._detach(at)
        raise AssertionError("no page of words among the new segments")

    def close(self) -> None:
        self._detach(self.at)


@pytest.fixture
def page_of() -> Iterator[object]:
    made: list[Page] = []

    def make(create: object) -> tuple[namedshm.Event, Page]:
        before = {segment for segment, _ in pages().values()}
        thing = create()  # type: ignore[operator]
        page = Page(
            {segment for segment, length in pages().values() if length == PAGE} - before or {s for s, _ in pages().values()}
        )
        made.append(page)
        return thing, page

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
            for word in (*range(4), *range(16, 24), *range(32, END // 4)):
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
