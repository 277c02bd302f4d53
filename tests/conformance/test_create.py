"""Create: the table "Create" of the contract, a sentence a test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.facts import GRANULARITY, PAGE, on_wine
from helpers.peer import Peer
from helpers.spelling import Pythonic, Win32, refused
from helpers.turns import until

import namedshm
from namedshm import win32 as w

Api = Pythonic | Win32
SIZES = [1, 100, PAGE - 1, PAGE, PAGE + 1, GRANULARITY, 70000]


def _create(protect: int, name: str | None, size: int = 100) -> int:
    return w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, protect, size >> 32, size & 0xFFFFFFFF, name)


def test_a_new_name_makes_an_object(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    assert not api.existed(handle)
    api.close(api.open(name))


def test_creating_a_new_name_sets_the_last_error_to_0(name: str) -> None:
    w.SetLastError(12345)
    assert _create(w.PAGE_READWRITE, name)
    assert w.GetLastError() == 0


def test_an_existing_name_gives_a_handle_to_the_same_object_and_183(name: str) -> None:
    first = _create(w.PAGE_READWRITE, name)
    w.SetLastError(12345)
    second = _create(w.PAGE_READWRITE, name)
    assert second
    assert second != first
    assert w.GetLastError() == w.ERROR_ALREADY_EXISTS
    one, two = (w.MapViewOfFile(h, w.FILE_MAP_ALL_ACCESS, 0, 0, 0) for h in (first, second))
    one[:4] = b"same"
    assert two[:4] == b"same"


def test_create_refuses_a_living_name_unless_told_otherwise(name: str) -> None:
    with namedshm.create(name, 100) as first:
        assert first.created
        with pytest.raises(namedshm.AlreadyExists) as caught:
            namedshm.create(name, 100)
        assert caught.value.winerror == 183
        assert isinstance(caught.value, FileExistsError)
        assert name in str(caught.value)
        with namedshm.create(name, 100, exist_ok=True) as second:
            assert not second.created
            assert second.identity == first.identity


def test_a_refused_create_leaves_the_object_as_it_was(name: str, other: Peer) -> None:
    with namedshm.create(name, 100) as first:
        view = first.map()
        view[:3] = b"abc"
        for _ in range(10):
            with pytest.raises(namedshm.AlreadyExists):
                namedshm.create(name, 5000)
        assert other.do("s = namedshm.open(name); v = s.map(); (s.size, v[:3])") == (100, b"abc")


@pytest.mark.parametrize("size", SIZES)
def test_the_size_is_exact_on_the_openers_side(name: str, size: int, other: Peer) -> None:
    with namedshm.create(name, size) as section:
        assert section.size == size
        assert len(section.map()) == size
        assert other.do("s = namedshm.open(name); v = s.map(); (s.size, len(v), len(memoryview(v)))") == (size, size, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_contents_are_zero(api: Api, name: str, size: int) -> None:
    view = api.map(api.create(name, size))
    assert bytes(memoryview(view)) == bytes(len(view))


@pytest.mark.parametrize("asked", [1, 50, 100, PAGE])
def test_the_size_of_an_existing_object_stays_whatever_is_asked_for(api: Api, name: str, asked: int, other: Peer) -> None:
    other.do("h = api.create(name, 100); v = api.map(h); v[99:100] = b'z'")
    handle = api.create(name, asked)
    assert api.existed(handle)
    view = api.map(handle)
    assert len(view) >= 100
    assert view[99] == ord("z")
    if isinstance(handle, namedshm.Section):
        assert handle.size == 100


def test_asking_for_more_than_the_existing_object_has_still_gives_a_handle(api: Api, name: str, other: Peer) -> None:
    other.do("h = api.create(name, 100)")
    handle = api.create(name, 10 * PAGE)
    assert api.existed(handle)
    with refused(5):
        api.map(handle, "write", 0, 10 * PAGE)
    assert len(api.map(handle)) in (100, PAGE)


def test_mapping_more_than_the_object_has_is_refused_with_5(api: Api, name: str) -> None:
    """The object has what a view of all of it shows: its exact size, in the Win32 spelling whole pages."""
    handle = api.create(name, 100)
    whole = len(api.map(handle))
    assert len(api.map(handle, "write", 0, whole)) == whole
    with refused(5):
        api.map(handle, "write", 0, whole + 1)
    with refused(5):
        api.map(handle, "write", 0, PAGE + 1)


def test_size_0_is_refused_with_87_and_nothing_is_made(api: Api, name: str) -> None:
    with refused(87):
        api.create(name, 0)
    with refused(2):
        api.open(name)


def test_size_0_is_refused_with_87_also_when_the_name_exists(api: Api, name: str) -> None:
    api_handle = api.create(name, 100)
    with refused(87):
        api.create(name, 0)
    api.close(api_handle)


def test_size_0_is_refused_without_a_name_too(api: Api) -> None:
    with refused(87):
        api.create(None, 0)


def test_without_a_name_each_call_makes_a_new_object(api: Api) -> None:
    one, two = api.create(None, 100), api.create(None, 100)
    assert not api.existed(two)
    first, second = api.map(one), api.map(two)
    first[:3] = b"one"
    assert second[:3] == bytes(3)


def test_an_empty_name_makes_an_unnamed_object_each_time_in_win32() -> None:
    one = w.MapViewOfFile(_create(w.PAGE_READWRITE, ""), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    two = w.MapViewOfFile(_create(w.PAGE_READWRITE, ""), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert w.GetLastError() == 0
    one[:3] = b"one"
    assert two[:3] == bytes(3)


def test_an_empty_name_is_refused_by_create() -> None:
    with pytest.raises(namedshm.InvalidName):
        namedshm.create("", 100)


@pytest.mark.parametrize("size", [(1 << 63) - 1, 1 << 62, 1 << 60, 1 << 48])
def test_absurd_sizes_fail_and_nothing_is_made(api: Api, name: str, size: int, request: pytest.FixtureRequest) -> None:
    if on_wine and size == (1 << 63) - 1:
        reason = "under Wine an absurd size can succeed"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=False))
    with refused(8, 87, 1455):
        api.create(name, size)
    with refused(2):
        api.open(name)


def test_a_size_with_the_sign_bit_set_fails(name: str) -> None:
    assert not w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0xFFFFFFFF, 0xFFFFF000, name)
    assert w.GetLastError() in (8, 87, 1455)
    with pytest.raises(OSError, match=name):
        namedshm.create(name, 1 << 64)


@pytest.mark.parametrize("protect", [w.PAGE_READONLY, w.PAGE_READWRITE, w.PAGE_WRITECOPY, 0x20, 0x40, 0x80])
def test_each_of_six_protections_makes_an_object(name: str, protect: int) -> None:
    assert _create(protect, name)
    assert w.GetLastError() == 0


@pytest.mark.parametrize("protect", [0, 1, 3, 5, 6, 0x10, 0x24, 0xFF, 0x104, 0x204, 0x404])
def test_any_other_protection_is_refused_with_87(name: str, protect: int) -> None:
    assert not _create(protect, name)
    assert w.GetLastError() == 87
    assert not w.OpenFileMapping(w.FILE_MAP_READ, False, name)
    assert w.GetLastError() == 2


@pytest.mark.parametrize("flags", [w.SEC_RESERVE | w.SEC_COMMIT, w.SEC_NOCACHE])
def test_reserve_with_commit_and_nocache_alone_are_refused_with_87(name: str, flags: int) -> None:
    assert not _create(w.PAGE_READWRITE | flags, name)
    assert w.GetLastError() == 87


@pytest.mark.parametrize("flags", [w.SEC_COMMIT, w.SEC_RESERVE, w.SEC_COMMIT | w.SEC_NOCACHE])
def test_commit_reserve_and_commit_with_nocache_make_an_object(name: str, flags: int) -> None:
    assert _create(w.PAGE_READWRITE | flags, name)


def test_an_existing_writable_object_asked_for_with_readonly_gives_a_handle_that_cannot_map_for_writing(name: str) -> None:
    first = _create(w.PAGE_READWRITE, name)
    second = _create(w.PAGE_READONLY, name)
    assert w.GetLastError() == 183
    assert w.MapViewOfFile(second, w.FILE_MAP_WRITE, 0, 0, 0) is None
    assert w.GetLastError() == 5
    assert w.MapViewOfFile(second, w.FILE_MAP_READ, 0, 0, 0) is not None
    assert w.MapViewOfFile(first, w.FILE_MAP_WRITE, 0, 0, 0) is not None


def test_an_object_made_read_only_cannot_be_mapped_for_writing_by_anyone(name: str, other: Peer) -> None:
    with namedshm.create(name, 100, writable=False) as section:
        assert section.access == "read"
        with refused(5):
            section.map(access="write")
        assert section.map()[:] == bytes(100)
        if on_wine:
            pytest.xfail("Wine lets a read-only object be mapped writable")
        with refused(5):
            other.do("s = namedshm.open(name); s.map()[0] = 1")
        assert other.do("namedshm.open(name, 'read').map()[:3]") == bytes(3)


@pytest.mark.parametrize("handle", [12345, 0x7FFFFFFF, 999999])
def test_a_file_that_is_not_open_is_refused_with_6(name: str, handle: int) -> None:
    assert not w.CreateFileMapping(handle, None, w.PAGE_READWRITE, 0, 100, name)
    assert w.GetLastError() == 6


# ------------------------------------------------------------------------------------------------------------ at once
RACE = """
gate = namedshm.open(gate_name).map()
gate[number] = 1                      # here
while not gate[100]:                  # all start when the test says so
    pass
h = api.create(name, 1000 + number)
v = api.map(h)
v[number:number + 1] = b"x"
api.existed(h)
"""


@pytest.mark.parametrize("attempt", range(5))
def test_of_four_processes_creating_one_name_at_once_exactly_one_makes_it(
    api: Api, name: str, names: Callable[[], str], others: Callable[[], Peer], attempt: int
) -> None:
    gate_name = names()
    with namedshm.create(gate_name, 101) as section:
        gate = section.map()
        racers = [others() for _ in range(4)]
        for number, peer in enumerate(racers):
            peer.start(RACE, gate_name=gate_name, number=number)
        until(lambda: gate[:4] == b"\1\1\1\1", "all racers stand at the gate")
        gate[100] = 1
        existed = [peer.result() for peer in racers]
    assert sorted(existed) == [False, True, True, True]
    maker = existed.index(False)
    assert [peer.do("v[:4]") for peer in racers] == [b"xxxx"] * 4
    assert {peer.do("namedshm.open(name).size") for peer in racers} == {1000 + maker}


CHURN = """
made = 0
for _ in range(200):
    with namedshm.create(name, 100, exist_ok=True) as s:
        v = s.map()
        made += s.created
        if s.created:                 # only makers write, so what one finds can only be an older object's
            if v[:] != bytes(100):
                raise AssertionError("a new object was not zero")
            v[:] = bytes([255]) * 100
made
"""


def test_every_object_is_new_and_zero_while_processes_create_and_close_one_name(others: Callable[[], Peer]) -> None:
    racers = [others() for _ in range(3)]
    for peer in racers:
        peer.start(CHURN)
    assert sum(peer.result() for peer in racers) >= 1
