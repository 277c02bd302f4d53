"""ShareableList: a list of fixed length in a block.

The layout is the standard library's (native byte order, so that a list of a program that has not changed its import line can be
read on Windows, where the blocks are the same objects):

    offset                bytes       what
    0                     8           N, the number of items
    8                     8 (N + 1)   where each item starts in the data, and where the last one ends
    8 (N + 2)             D           the data: 8 bytes for a number, a bool or None; as much as was needed at first for text
    8 (N + 2) + D         8 N         each item's format, padded with NUL
    8 (N + 2) + D + 8 N   N           each item's kind: 0 number or bool, 1 str, 2 bytes, 3 None

The format of text is "24s": so many bytes, padded with NUL, which reading takes off.  One thing is ours: "024s", with a leading
zero, means exactly so many, because they end in NUL.  The standard library reads and takes off those, as it always does.
Written once when the list is made: N and the places.  An item's data, format and kind are written one after the other with no
lock, as the standard library does: who changes items' types while others read guards the list with a Mutex.
"""

from __future__ import annotations

import operator
import struct
from array import array
from itertools import accumulate

from namedshm import errors
from namedshm._pickling.unavailable import unpickling

from .blocks import SharedMemory, check_same, pickled_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Generic, SupportsIndex, TypeVar, overload

    _Item = str | bytes | float | bool | None
    _T = TypeVar("_T", bound=_Item)

    class _OfItems(Generic[_T]):
        """What makes ``ShareableList[int]`` a type."""

else:  # the typing module alone costs more than all of this package
    _T = None

    class _OfItems:
        def __class_getitem__(cls, item):
            return cls


__all__ = ["ShareableList"]

_WORD = 8
_FORMAT_SIZE = 8  # characters


def _padded(format: str) -> bytes:
    return format.encode().ljust(_FORMAT_SIZE, b"\0")


_INT, _FLOAT, _BOOL, _NONE = map(_padded, ("q", "d", "xxxxxxx?", "xxxxxx?x"))
_int, _float = struct.Struct("q"), struct.Struct("d")
_NUMBER, _STR, _BYTES, _NOTHING = range(4)
_ENCODING = "utf8"


class ShareableList(_OfItems[_T]):
    """A list of fixed length in shared memory; as ``multiprocessing.shared_memory.ShareableList``.

    Items are int (64 bits), float, bool, str, bytes (up to 9,999,999 bytes each) and None.  An item may be replaced by any
    other; text by text that needs no more room than the item had at first, rounded up to 8 bytes.

    Args:
        sequence: the items of a new list.  None opens the list ``name``; without a name it makes an empty list.
        name: of the block.

    Attributes:
        shm: the :class:`SharedMemory` it is in; close that.

    Raises:
        TypeError: an item of another type.
        ValueError: an int beyond 64 bits, text beyond the limit; the block that is opened holds no list.
        FileExistsError, FileNotFoundError and the others of :class:`SharedMemory`.
    """

    __module__ = "namedshm.shared_memory"  # the public place: what is pickled is found there

    shm: SharedMemory

    if TYPE_CHECKING:  # who opens a list says what is in it: "items: ShareableList[int] = ShareableList(name=...)"

        @overload
        def __init__(self: ShareableList[Any], sequence: None = None, *, name: str | None = None) -> None: ...
        @overload
        def __init__(self, sequence: Iterable[_T], *, name: str | None = None) -> None: ...
        @overload  # of several types, which mypy would call "object"
        def __init__(self: ShareableList[_Item], sequence: Iterable[_Item], *, name: str | None = None) -> None: ...

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        if name is None or sequence is not None:
            items = [_encoded(value, None) for value in (() if sequence is None else sequence)]
            block, places = _written(items, name)
        else:
            block = SharedMemory(name)
            try:
                places = _places(block)
            except BaseException:
                block.close()
                raise
        self.shm = block
        self._length = len(places) - 1
        self._places = places  # and, last, where the data ends
        self._data = _WORD * (self._length + 2)
        self._formats = self._data + places[-1]
        self._kinds = self._formats + _FORMAT_SIZE * self._length

    def _bytes(self) -> memoryview:
        block = self.shm._buf
        if block is None:
            raise errors.ClosedHandle(
                f"The list {self.shm.name!r} is closed: open it again", name=self.shm.name, call="ShareableList"
            )
        return block

    def _index(self, position: SupportsIndex, complaint: str) -> int:
        index = operator.index(position)
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(complaint)
        return index

    # ---------------------------------------------------------------------------------------------------- items
    def __getitem__(self, position: SupportsIndex) -> _T:
        index = self._index(position, "index out of range")
        block, places, start = self._bytes(), self._places, self._data
        data = block[start + places[index] : start + places[index + 1]]
        at = self._formats + _FORMAT_SIZE * index
        value: _T = _decoded(bytes(data), bytes(block[at : at + _FORMAT_SIZE]), block[self._kinds + index], index)
        return value

    def __setitem__(self, position: SupportsIndex, value: _T) -> None:
        index = self._index(position, "assignment index out of range")
        block = self._bytes()
        start, end = self._data + self._places[index], self._data + self._places[index + 1]
        at = self._formats + _FORMAT_SIZE * index
        block[start:end], block[at : at + _FORMAT_SIZE], block[self._kinds + index] = _encoded(value, end - start)

    def __iter__(self) -> Iterator[_T]:
        return map(self.__getitem__, range(self._length))

    def __len__(self) -> int:
        return self._length

    def count(self, value: object) -> int:
        """How many items equal ``value``."""
        return sum(value == item for item in self)

    def index(self, value: object) -> int:
        """The first position of ``value``.  Raises ValueError if it is not in the list."""
        for position, item in enumerate(self):
            if value == item:
                return position
        raise ValueError(f"{value!r} is not in this list")

    # ---------------------------------------------------------------------------------------------------- the list itself
    @property
    def format(self) -> str:
        """The formats of all items as they are now, in the language of :mod:`struct`."""
        return "".join(map(self._get_packing_format, range(self._length)))

    def _get_packing_format(self, position: int) -> str:
        at = self._formats + _FORMAT_SIZE * self._index(position, "index out of range")
        return _text(bytes(self._bytes()[at : at + _FORMAT_SIZE]))

    def __reduce__(self) -> tuple[Callable[..., ShareableList[Any]], tuple[object, ...]]:
        return _reopen_list, (type(self), self.shm.name, pickled_identity(self.shm))

    def __repr__(self) -> str:
        items = "closed" if self.shm.buf is None else list(self)
        return f"{type(self).__name__}({items}, name={self.shm.name!r})"

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(type(list[int]))


@unpickling()
def _reopen_list(kind: type[ShareableList[Any]], name: str, identity: str) -> ShareableList[Any]:
    opened = kind(name=name)
    check_same(opened.shm, identity)
    return opened


def _written(items: list[tuple[bytes, bytes, int]], name: str | None) -> tuple[SharedMemory, array[int]]:
    """A new block with these items; everything that can be wrong with them was found before."""
    places = array("q", accumulate((len(data) for data, _, _ in items), initial=0))
    content = b"".join(
        (
            _int.pack(len(items)),
            places.tobytes(),
            *(data for data, _, _ in items),
            *(format for _, format, _ in items),
            bytes(kind for _, _, kind in items),
        )
    )
    block = SharedMemory(name, create=True, size=len(content))
    block.buf[: len(content)] = content
    return block, places


def _places(block: SharedMemory) -> array[int]:
    """The places of the items of a list somebody made; anything may be in the block."""
    size = block.size
    length = struct.unpack_from("q", block.buf)[0] if size >= 2 * _WORD else -1
    if 0 <= length <= (size - 2 * _WORD) // (_WORD + _FORMAT_SIZE + 1):
        places = array("q", bytes(block.buf[_WORD : _WORD * (length + 2)]))
        fits = _WORD * (length + 2) + places[-1] + (_FORMAT_SIZE + 1) * length <= size
        if fits and places[0] == 0 and _in_order(places):
            return places
    raise errors.InvalidArgument(
        f"The block {block.name!r} of {size} bytes holds no ShareableList: open it with SharedMemory",
        name=block.name,
        call="ShareableList",
    )


def _in_order(places: array[int]) -> bool:
    """Whether they never decrease; compared in C, a thousand at a time, for a list may have millions."""
    for start in range(0, len(places), 1000):
        some = places[start : start + 1001].tolist()  # and the first of the next
        if some != sorted(some):
            return False
    return True


def _encoded(value: object, room: int | None) -> tuple[bytes, bytes, int]:
    """What is stored for a value: data, format and kind.

    Args:
        room: bytes the item has; None: as many as it needs.
    """
    if isinstance(value, (str, bytes)):
        return _encoded_text(value, room)
    if value is None:
        data, format, kind = bytes(_WORD), _NONE, _NOTHING
    elif isinstance(value, bool):
        data, format, kind = bytes(_WORD - 1) + bytes([value]), _BOOL, _NUMBER
    elif isinstance(value, float):
        data, format, kind = _float.pack(value), _FLOAT, _NUMBER
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"a ShareableList holds integers of 64 bits, and {value} needs more")
        data, format, kind = _int.pack(value), _INT, _NUMBER
    else:
        raise TypeError(f"a ShareableList holds int, float, bool, str, bytes and None, not {type(value).__name__}")
    return data if room is None else data.ljust(room, b"\0"), format, kind


def _encoded_text(value: str | bytes, room: int | None) -> tuple[bytes, bytes, int]:
    data = value.encode(_ENCODING) if isinstance(value, str) else value
    if room is None:
        # as the standard library, which counts characters; but never less than the bytes need
        room = max(_WORD * (len(value) // _WORD + 1), -(-len(data) // _WORD) * _WORD)
    elif len(data) > room:
        raise ValueError(f"bytes/str item exceeds available storage: {len(data)} bytes, and there is room for {room}")
    format = f"0{len(data)}s" if data.endswith(b"\0") else f"{room}s"
    if len(format) > _FORMAT_SIZE:
        limit = "999,999 if they end in NUL" if format[0] == "0" else "9,999,999"
        raise ValueError(f"an item of a ShareableList has at most {limit} bytes, not {len(data)}: use a SharedMemory for it")
    return data.ljust(room, b"\0"), _padded(format), _STR if isinstance(value, str) else _BYTES


def _decoded(data: bytes, format: bytes, kind: int, index: int) -> Any:
    """The value; whatever the block holds, it is one of the six types or a ValueError."""
    if kind == _NUMBER and len(data) >= _WORD:
        if format == _INT:
            return _int.unpack_from(data)[0]
        if format == _FLOAT:
            return _float.unpack_from(data)[0]
        if format == _BOOL:
            return data[_WORD - 1] != 0
    elif kind == _NOTHING:
        return None
    text = _text(format)
    digits = text[:-1]
    if kind in (_STR, _BYTES) and text[-1:] == "s" and digits.isdecimal() and int(digits) <= len(data):
        data = data[: int(digits)]
        if digits[0] != "0":
            data = data.rstrip(b"\0")
        return data.decode(_ENCODING) if kind == _STR else data
    raise ValueError(
        f"Item {index} is damaged (format {text!r}, kind {kind}), or somebody changes its type at this moment: "
        "guard the list with a namedshm.Mutex"
    )


def _text(format: bytes) -> str:
    return format.rstrip(b"\0").decode("latin-1")
