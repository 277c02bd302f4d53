"""ShareableList: what is true of both libraries; then ours alone, where the standard library loses or mistakes something."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.ids import plain
from helpers.peer import Peer
from helpers.worker import end_as_maker

import namedshm
from namedshm import shared_memory
from namedshm.shared_memory import ShareableList, SharedMemory

from .conftest import Library

ITEMS = ["howdy", b"HoWdY", -273.154, 100, None, True, 42, "", b"", False, "ünï", 2**63 - 1, -(2**63), float("inf")]


@pytest.fixture(autouse=True)
def _comparing_bytes_with_str_is_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BytesWarning)
        yield


# ------------------------------------------------------------------------------------------------------------ both
def test_items_come_back_as_they_were(library: Library) -> None:
    items = library.list(ITEMS)
    assert list(items) == ITEMS
    assert [type(item) for item in items] == [type(item) for item in ITEMS]
    assert len(items) == len(ITEMS)
    assert [items[i] for i in range(-len(ITEMS), 0)] == ITEMS


def test_the_format_is_in_the_language_of_struct(library: Library) -> None:
    items = library.list(["howdy", b"HoWdY", -273.154, 100, None, True, 42, "exactly8", b"x" * 17])
    assert items.format == "8s8sdqxxxxxx?xxxxxxxx?q16s24s"
    assert library.list().format == ""


def test_without_a_sequence_and_a_name_the_list_is_empty(library: Library) -> None:
    empty = library.list()
    assert (len(empty), list(empty), empty.count(1)) == (0, [], 0)
    with pytest.raises(ValueError):  # noqa: PT011 - each library has its own text
        empty.index(None)
    with pytest.raises(IndexError):
        empty[0]
    assert list(library.list(name=empty.shm.name)) == []
    assert list(library.list([])) == []


def test_a_list_is_opened_by_its_name(library: Library, name: str) -> None:
    items = library.list([1, "two", None], name=name)
    assert items.shm.name == name
    again = library.list(name=name)
    assert list(again) == [1, "two", None]
    again[0] = 5
    assert items[0] == 5
    items[2] = 2.5
    assert (again[2], again.format) == (2.5, items.format)


def test_names_that_are_held_and_names_that_are_not(library: Library, name: str) -> None:
    keep = library.list([1], name=name)
    with pytest.raises(FileExistsError):
        library.list([1], name=name)
    with pytest.raises(FileNotFoundError):
        library.list(name=name + "x")
    assert keep[0] == 1


def test_repr_shows_items_and_name(library: Library, name: str) -> None:
    assert repr(library.list([1, "a", None], name=name)) == f"ShareableList([1, 'a', None], name={name!r})"


def test_count_and_index_compare_as_a_list_does(library: Library) -> None:
    values = [1, True, 1.0, "1", b"1", None, 1]
    items = library.list(values)
    for value in (1, True, "1", b"1", None, 1.0, 2, "x", [1]):
        assert items.count(value) == values.count(value)  # type: ignore[arg-type]
        if value in values:
            assert items.index(value) == values.index(value)  # type: ignore[arg-type]
            assert value in items
        else:
            with pytest.raises(ValueError):  # noqa: PT011 - each library has its own text
                items.index(value)
            assert value not in items


@pytest.mark.parametrize("position", [3, 100, 2**40])
def test_a_position_outside_is_an_index_error(library: Library, position: int) -> None:
    items = library.list([1, 2, 3])
    with pytest.raises(IndexError):
        items[position]
    with pytest.raises(IndexError):
        items[position] = 1
    assert list(items) == [1, 2, 3]


@pytest.mark.parametrize("position", ["0", None, 1.5, slice(0, 2)], ids=plain)
def test_a_position_is_an_integer(library: Library, position: Any) -> None:
    items = library.list([1, 2, 3])
    with pytest.raises(TypeError):
        items[position]
    with pytest.raises(TypeError):
        items[position] = 1
    assert list(items) == [1, 2, 3]


def test_an_item_may_become_one_of_any_type_that_has_room(library: Library) -> None:
    items = library.list(["12345678", 1, None, True, 2.5, b"1234567"])
    for position in range(6):
        for value in (None, False, -1, 0.5, "seven..", b"eight888", "", b"", "ä"):
            items[position] = value
            assert items[position] == value
            assert type(items[position]) is type(value)
    items[0] = "sixteen bytes...".ljust(16)
    assert items[0] == "sixteen bytes..."


def test_an_item_that_has_no_room_changes_nothing(library: Library) -> None:
    items = library.list(["howdy", 5, None])
    for position, kept in enumerate(["howdy", 5, None]):
        for value in ("nine char", b"123456789", "encodées"):
            with pytest.raises(ValueError, match="exceeds available storage"):
                items[position] = value
        assert items[position] == kept
    items[0] = "encodés"  # eight bytes
    assert list(items) == ["encodés", 5, None]


def test_a_copy_is_a_list_of_its_own(library: Library, name: str) -> None:
    items = library.list(ITEMS)
    copy = library.list(items, name=name)
    assert (list(copy), copy.format, copy.shm.name) == (list(items), items.format, name)
    copy[3] = 77
    assert items[3] == 100


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_sends_the_name(library: Library, protocol: int) -> None:
    items = library.list(["secret", 2, 3])
    data = pickle.dumps(items, protocol)
    assert b"secret" not in data
    twin = pickle.loads(data)
    assert type(twin) is type(items)
    twin[1] = "changed"
    assert items[1] == "changed"
    twin.shm.close()
    items.shm.close()
    items.shm.unlink()
    with pytest.raises(FileNotFoundError):
        len(pickle.loads(data))  # the standard library's raises in loads(), ours when it is used


def test_another_process_sees_the_items_and_changes_them(library: Library, name: str, peers: Callable[[], Peer]) -> None:
    items = library.list([1, "two", b"three"], name=name)
    peer = peers()
    peer.do(
        "import types, multiprocessing.shared_memory as m\n"
        "m.resource_tracker = types.SimpleNamespace(register=lambda n, k: None, unregister=lambda n, k: None)"
    )
    code = f"{library.import_line}\nitems = shared_memory.ShareableList(name=name); list(items)"
    assert peer.do(code, name=name) == [1, "two", b"three"]
    peer.do("items[1] = 2.5; items.shm.close()")
    assert list(items) == [1, 2.5, b"three"]


def test_type_annotations_work(library: Library) -> None:
    assert library.module.ShareableList[int].__origin__ is library.module.ShareableList


# ------------------------------------------------------------------------------------------------------------ ours alone
NUL_AT_THE_END = ["?\0", "\0", "\0\0\0", "a" * 7 + "\0", b"?\0", b"\0", bytes(8), bytes(100), "\0a\0", "ü\0" * 3]


@pytest.mark.parametrize("value", NUL_AT_THE_END, ids=lambda value: f"{type(value).__name__} of {len(value)}")
def test_nul_at_the_end_is_kept(value: str | bytes, name: str, peers: Callable[[], Peer]) -> None:
    # CPython 106939: the standard library loses it
    items = ShareableList([value, 1, "x" * 100], name=name)
    assert list(items) == [value, 1, "x" * 100]
    items[2] = value
    code = "from namedshm.shared_memory import ShareableList\nitems = ShareableList(name=name); [items[0], items[2]]"
    assert peers().do(code, name=name) == [value, value]
    items[0] = "plain"
    assert items[0] == "plain"


def test_nul_at_the_end_is_kept_where_the_value_fills_its_room() -> None:
    items = ShareableList([b"1234567"])
    items[0] = b"1234567\0"
    assert items[0] == b"1234567\0"
    items[0] = b"12345678"
    assert items[0] == b"12345678"
    with pytest.raises(ValueError, match="exceeds available storage"):
        items[0] = b"12345678\0"


@pytest.mark.parametrize("text", ["日本語日本語日本", "é" * 9, "🙂" * 31, "é" * 1000])
def test_text_has_room_for_its_bytes_not_only_its_characters(text: str) -> None:
    assert list(ShareableList([text, 5])) == [text, 5]  # the standard library cuts it, within a character


@pytest.mark.parametrize("position", [-4, -5, -100])
def test_a_position_before_the_first_is_an_index_error(position: int) -> None:
    items = ShareableList([1, 2, 3])
    with pytest.raises(IndexError):
        items[position]
    with pytest.raises(IndexError):
        items[position] = 9
    assert list(items) == [1, 2, 3]


@pytest.mark.parametrize(
    "value", [[1], {}, object(), 1j, bytearray(b"x"), memoryview(b"x")], ids=lambda value: type(value).__name__
)
def test_a_value_of_another_type_is_a_type_error(value: Any, name: str) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        ShareableList([1, value], name=name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)  # and no block was made
    items = ShareableList([1])
    with pytest.raises(TypeError, match=type(value).__name__):
        items[0] = value
    assert items[0] == 1


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**100])
def test_an_integer_beyond_64_bits_is_a_value_error(value: int, name: str) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        ShareableList([value], name=name)
    items = ShareableList([7])
    with pytest.raises(ValueError, match="64 bits"):
        items[0] = value
    assert items[0] == 7
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_subclasses_of_the_types_are_stored_as_those() -> None:
    import enum

    class Number(enum.IntEnum):
        ONE = 1

    class Text(str):
        __slots__ = ()

    class Real(float):
        pass

    items = ShareableList([Number.ONE, Text("x"), Real(1.5)])
    assert [(item, type(item)) for item in items] == [(1, int), ("x", str), (1.5, float)]


def test_items_are_taken_from_any_iterable() -> None:
    assert list(ShareableList(number * number for number in range(4))) == [0, 1, 4, 9]
    assert list(ShareableList("abc")) == ["a", "b", "c"]


def test_text_beyond_the_limit_is_a_value_error(name: str) -> None:
    assert ShareableList(["x" * 9_999_990])[0] == "x" * 9_999_990
    assert ShareableList([b"x" * 999_998 + b"\0"])[0][-2:] == b"x\0"
    for wrong, limit in (("x" * 10_000_000, "9,999,999"), (bytes(1_000_000), "999,999")):
        with pytest.raises(ValueError, match=limit):
            ShareableList([wrong], name=name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_a_closed_list_says_so(name: str) -> None:
    items = ShareableList([1], name=name)
    items.shm.close()
    assert repr(items) == f"ShareableList(closed, name={name!r})"
    for use in (lambda: items[0], lambda: items.__setitem__(0, 1), lambda: list(items), lambda: items.format):
        with pytest.raises(namedshm.ClosedHandle, match=name):
            use()


def test_unpickling_refuses_another_list_of_the_same_name(name: str) -> None:
    items = ShareableList([1], name=name)
    data = pickle.dumps(items)
    items.shm.unlink()
    items = ShareableList([2], name=name)
    with pytest.raises(namedshm.StaleObject, match=name):
        pickle.loads(data)[0] = 3
    assert items[0] == 2


def test_a_list_keeps_its_name_as_long_as_it_or_its_maker_lives(name: str, gone: Callable[[str], bool]) -> None:
    items = ShareableList([1], name=name)
    opened = ShareableList(name=name)
    del items
    end_as_maker()
    assert not gone(name)
    del opened
    assert gone(name)


# ------------------------------------------------------------------------------------------------------------ damage
def _block(name: str, content: bytes) -> SharedMemory:
    block = SharedMemory(name, create=True, size=len(content))
    block.buf[:] = content
    return block


def _one_back(at: int) -> bytes:
    """A list of 5,000 items, of which one begins before the item in front of it."""
    places = [8 * n for n in range(5001)]
    places[at] = places[at - 1] - 1
    return struct.pack("5002q", 5000, *places) + bytes(17 * 5000)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        bytes(8),
        struct.pack("q", -1) + bytes(100),
        struct.pack("q", 1) + bytes(8),
        struct.pack("q", 2**62) + bytes(100),
        struct.pack("q", 2**63 - 1) + bytes(100),
        struct.pack("3q", 1, 0, 2**62) + bytes(100),
        struct.pack("3q", 1, 0, -8) + bytes(100),
        struct.pack("3q", 1, 8, 8) + bytes(100),
        struct.pack("4q", 2, 0, 16, 8) + bytes(100),
        *(_one_back(at) for at in (999, 1000, 1001, 4999)),
        struct.pack("3q", 1, 0, 8) + bytes(8 + 8),
        b"\xff" * 1000,
    ],
    ids=range(16),
)
def test_a_block_that_holds_no_list_is_refused(content: bytes, name: str, gone: Callable[[str], bool]) -> None:
    block = _block(name, content)
    with pytest.raises(namedshm.InvalidArgument, match=f"{name}.*no ShareableList"):
        ShareableList(name=name)
    block.close()
    end_as_maker()
    assert gone(name)  # the refusal kept no handle


@pytest.mark.parametrize(
    ("format", "kind"),
    [
        ("9s", 1),
        ("99999999", 1),
        ("s", 1),
        ("-1s", 2),
        ("q", 1),
        ("8s", 0),
        ("d", 2),
        ("\xff", 0),
        ("", 0),
        ("1_0s", 1),
        ("²s", 2),
        ("q", 4),
        ("8s", 255),
        ("P", 0),
        ("8s8s", 1),
    ],
)
def test_a_damaged_item_is_a_value_error_and_the_others_are_fine(format: str, kind: int) -> None:
    items = ShareableList([1, "x", 3.5])
    items.shm.buf[-3 - 16 : -3 - 8] = format.encode("latin-1").ljust(8, b"\0")
    items.shm.buf[-2] = kind
    with pytest.raises(ValueError, match="Item 1 is damaged"):
        items[1]
    assert (items[0], items[2]) == (1, 3.5)
    items[1] = "healed"
    assert list(items) == [1, "healed", 3.5]


def test_text_that_is_no_utf_8_is_a_value_error() -> None:
    items = ShareableList(["x"])
    items.shm.buf[24] = 0xFF
    with pytest.raises(UnicodeDecodeError):
        items[0]


# ------------------------------------------------------------------------------------------------------------ the layout
def test_the_layout_is_the_standard_librarys(no_tracker: None, name: str) -> None:
    """On Windows the blocks are the same objects: a program with either import line reads the other's list."""
    library = Library(__import__("multiprocessing.shared_memory").shared_memory)
    try:
        theirs = library.list(ITEMS)
        content = bytes(theirs.shm.buf)[: len(bytes(ShareableList(ITEMS).shm.buf))]
        assert content == bytes(ShareableList(ITEMS).shm.buf)
        keep = _block(name, content)
        assert list(ShareableList(name=name)) == ITEMS
        assert keep.size == len(content)
    finally:
        library.clean()


def test_the_module_exports_what_it_says() -> None:
    space: dict[str, Any] = {}
    exec("from namedshm.shared_memory import *", space)
    assert space["ShareableList"] is shared_memory.ShareableList
