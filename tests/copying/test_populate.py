"""View.populate: pages are there afterwards, no byte has changed, and nothing else has happened."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.facts import PAGE, on_linux
from helpers.peer import Peer

import namedshm

from .conftest import UNIT, pattern

Fresh = Callable[[int], namedshm.View]
linux = pytest.mark.skipif(not on_linux, reason="asks Linux which pages there are")
SIZE = 3 * UNIT


def resident(name: str) -> int | None:
    """Bytes of the section that are in memory, wherever they are mapped."""
    return namedshm.describe(name).resident


def mapped(view: namedshm.View, offset: int = 0, length: int | None = None) -> int:
    """How many pages of a range are in this process's page table: touching them does not fault."""
    first = (view.address + offset) // PAGE
    last = -(-(view.address + offset + (len(view) - offset if length is None else length)) // PAGE)
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(first * 8)
        entries = file.read((last - first) * 8)
    return sum(entries[n * 8 + 7] >> 7 for n in range(last - first))


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("size", [1, PAGE, PAGE + 1, UNIT, SIZE + 5])
def test_no_byte_changes(fresh: Fresh, size: int, threads: int | None) -> None:
    view = fresh(size)
    view.populate(threads=threads)
    assert view[:] == bytes(size)
    source = pattern(size)
    view[:] = source
    view.populate(threads=threads)
    assert view[:] == source


@linux
@pytest.mark.parametrize("threads", [1, 3])
def test_every_page_is_there_afterwards_and_before_none_was(name: str, threads: int) -> None:
    with namedshm.create(name, SIZE + 1) as section, section.map() as view:
        assert resident(name) == 0
        view.populate(threads=threads)
        assert resident(name) == SIZE + PAGE
        assert mapped(view) == SIZE // PAGE + 1


@linux
@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (PAGE - 1, 2), (5, 3 * PAGE), (UNIT - 1, UNIT + 2), (PAGE, None), (7, 0), (SIZE, 0)]
)
def test_a_range_is_rounded_outwards_to_pages_and_no_others_are_made(name: str, offset: int, length: int | None) -> None:
    with namedshm.create(name, SIZE) as section, section.map() as view:
        view.populate(offset, length)
        end = SIZE if length is None else offset + length
        pages = -(-end // PAGE) - offset // PAGE if length != 0 else 0
        assert resident(name) == pages * PAGE


@linux
def test_an_opener_maps_pages_that_are_there(name: str) -> None:
    with namedshm.create(name, SIZE) as section, section.map() as first, section.map(access="read") as second:
        first[:] = b"x" * SIZE
        assert mapped(second) == 0
        second.populate()
        assert mapped(second) == SIZE // PAGE
        assert second[:] == b"x" * SIZE


@linux
def test_a_read_only_view_makes_pages_too_and_they_are_zero(name: str) -> None:
    with namedshm.create(name, SIZE) as section, section.map(access="read") as view:
        view.populate()
        assert mapped(view) == SIZE // PAGE
        assert view[:] == bytes(SIZE)


@pytest.fixture(params=["kernel", "fault"] if on_linux else ["kernel"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways Linux has for copy-on-write."""
    if not on_linux:
        yield
        return
    from namedshm._backend.linux import native

    native.set_kernel_copy(request.param == "kernel")
    yield
    native.set_kernel_copy(True)


@pytest.mark.usefixtures("way")
def test_pages_of_a_copy_on_write_view_stay_shared_until_they_are_written(name: str) -> None:
    with namedshm.create(name, SIZE) as section, section.map() as view, section.map(access="copy") as private:
        view[0] = view[PAGE] = 1
        private[PAGE] = 2
        private.populate()
        view[0] = view[PAGE] = view[2 * PAGE] = 3
        assert (private[0], private[PAGE], private[2 * PAGE]) == (3, 2, 3)
        private[2 * PAGE] = 4
        assert view[2 * PAGE] == 3


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("threads", [1, 3])
def test_copy_writes_into_a_copy_on_write_view_and_the_section_stays_as_it_was(name: str, threads: int) -> None:
    before, source = pattern(SIZE), pattern(SIZE)
    with namedshm.create(name, SIZE) as section, section.map() as view, section.map(access="copy") as private:
        view[:] = before
        namedshm.copy(private, source, threads=threads)
        assert private[:] == source
        assert view[:] == before


def test_pages_not_committed_are_left_out(name: str) -> None:
    with namedshm.create(name, 64 * PAGE, reserve=True) as section, section.map() as view:
        view.populate()
        if on_linux:
            assert resident(name) <= PAGE  # the page that tells which are committed
        view.commit(0, PAGE)
        view.commit(40 * PAGE, 2 * PAGE)
        view.populate()
        if on_linux:
            assert mapped(view, 0, 64 * PAGE) == 3
        for still in (1, 39, 42, 63):
            with pytest.raises(namedshm.AccessDenied):
                view[still * PAGE]
        assert view[0] == view[40 * PAGE] == view[42 * PAGE - 1] == 0


def test_pages_of_a_file_are_read_in(tmp_path: Path) -> None:
    path, source = tmp_path / "file", pattern(SIZE)
    path.write_bytes(source)
    with path.open("r+b") as file:
        number = file.fileno()
        if not on_linux:
            import msvcrt

            number = msvcrt.get_osfhandle(number)
        with namedshm.create(None, 0, file=number) as section, section.map() as view:
            view.populate()
            assert view[:] == source
            if on_linux:
                assert mapped(view) == SIZE // PAGE


@linux
def test_a_file_cut_shorter_is_an_error_and_not_the_end_of_the_process(tmp_path: Path, peers: Callable[[], Peer]) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * SIZE))
    peer = peers()
    peer.do("f = open(path, 'r+b'); s = namedshm.create(None, 0, file=f.fileno()); v = s.map()", path=str(path))
    os.truncate(path, SIZE)
    with pytest.raises(namedshm.NamedShmError, match="cut shorter") as caught:
        peer.do("v.populate()")
    assert caught.value.call == "populate"
    with pytest.raises(namedshm.NamedShmError, match="cut shorter"):
        peer.do("namedshm.copy(v, bytes(len(v)))")
    peer.do("v.populate(0, len(v) // 2); v[0]")


# ---------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, 101), (101, None), (50, 51), (0, -1), (2**62, 2**62)])
def test_a_range_outside_the_view_is_refused(fresh: Fresh, offset: int, length: int | None) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="100 bytes"):
        fresh(100).populate(offset, length)


def test_a_closed_view_is_refused(fresh: Fresh) -> None:
    view = fresh(100)
    view.close()
    with pytest.raises(namedshm.ClosedHandle):
        view.populate()


def test_fewer_threads_than_one_are_refused(fresh: Fresh) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="at least 1"):
        fresh(100).populate(threads=0)


# ---------------------------------------------------------------------------------------------------- meanwhile
def lost_while(peer: Peer, view: namedshm.View) -> int:
    """Write the first byte again and again while a peer populates its page; how often it was not there immediately after.

    Two processes, for threads of one would take turns.
    """
    rounds = lost = 0
    peer.do("from namedshm import _copying; from namedshm._backend import backend; pager = backend.pager()")
    peer.start("for _ in range(500000): _copying.populate(view, 0, 1, True, 1, pager)\nview[1] = 1")  # the quickest way to do it
    while not view[1]:
        rounds += 1
        view[0] = rounds % 256
        lost += view[0] != rounds % 256
    peer.result()
    assert rounds > 1000
    return lost


def test_what_others_write_meanwhile_is_not_lost(name: str, peers: Callable[[], Peer]) -> None:
    with namedshm.create(name, 2) as section, section.map() as view:
        peer = peers()
        peer.do("view = namedshm.open(name).map()", name=name)
        assert lost_while(peer, view) == 0


@linux
def test_no_memory_is_lost(peers: Callable[[], Peer]) -> None:
    peer = peers()  # a process whose heap has no holes yet
    peer.do("section = namedshm.create(None, 1); view = section.map()")
    peer.do("def used(): return int(open('/proc/self/statm').read().split()[1]) * 4096")
    peer.do("for _ in range(1000): view.populate()\nbefore = used()\nfor _ in range(20000): view.populate()")
    assert peer.do("used() - before") < 20_000 * 50  # bytes


def test_a_view_may_be_closed_meanwhile(fresh: Fresh) -> None:
    for _ in range(20):
        view = fresh(8 * UNIT)
        closer = threading.Thread(target=view.close)
        closer.start()
        with contextlib.suppress(namedshm.ClosedHandle):
            view.populate(threads=2)
        closer.join()
        assert view.closed
