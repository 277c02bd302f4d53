"""The Arrow IPC file format: as much of it as is needed to lay a file out in a section, and to look at one before it is opened.

pyarrow writes and reads the format; what it does not do is here, and needs nothing but the standard library:

* ``lay_out``: pyarrow puts buffers at multiples of 8 bytes, while what computes on them wants 64 (some copy what is less).  So a
  file is written to a ``Recorder``, which keeps references and copies no data, and then every buffer gets another place.
* ``check``: pyarrow refuses what is not well-formed, but well-formed bytes can still make a reader allocate far more than there is:
  compressed buffers, dictionaries in parts, thousands of references to one megabyte.  All of these are refused, which also makes
  "opening copies nothing" true of every file that opens.

A file is, in this order (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format):

    "ARROW1", two zeros
    message: schema
    messages: dictionaries, record batches
    end of stream       ff ff ff ff 00 00 00 00
    footer              FlatBuffer: schema again; a block (where a message is) for each dictionary and record batch
    its length          4 bytes
    "ARROW1"

and a message is ``ff ff ff ff``, the length of its metadata in 4 bytes, the metadata (a FlatBuffer and zeros), its body (buffers).
Numbers of fields below are those of the format's Schema.fbs, Message.fbs and File.fbs.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from heapq import merge
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sys
    from collections.abc import Iterator

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

    Bytes = bytes | bytearray | memoryview

__all__ = ["ALIGNMENT", "MAGIC", "Damaged", "Recorder", "check", "lay_out"]

MAGIC = b"ARROW1\0\0"
ALIGNMENT = 64  # bytes; what the format recommends, and page-aligned sections allow

_CONTINUATION = b"\xff\xff\xff\xff"
_END_OF_STREAM = _CONTINUATION + bytes(4)
_PAGE = 4096
_DICTIONARY, _BATCH = 2, 3  # kinds of message, and fields of the footer that list them
_TIMESTAMP, _UNION = 10, 14  # types with a part of any length
_DEEPEST = 128  # levels of a schema; pyarrow refuses more
_FIELD_COST = 16  # bytes; the smallest field of a schema takes more

_U16 = struct.Struct("<H")
_I16 = struct.Struct("<h")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_BUFFER = struct.Struct("<qq")  # where in the body, length
_BLOCK = struct.Struct("<qi4xq")  # where in the file, length of the message before its body, length of the body


class Damaged(ValueError):
    """These bytes are no Arrow IPC file, or none that opens without copies; the text says why."""


# ------------------------------------------------------------------------------------------------------------ FlatBuffers
class _Table:
    """A table of a FlatBuffer; its fields have numbers.  Whatever the bytes say, reading stays inside them or raises."""

    __slots__ = ("_at", "_data", "_slots", "_slots_size")

    def __init__(self, data: Bytes, at: int) -> None:
        self._data, self._at = data, at
        self._slots = at - _I32.unpack_from(data, at)[0]
        if self._slots < 0:
            raise Damaged("an offset leads out of its metadata")
        self._slots_size: int = _U16.unpack_from(data, self._slots)[0]

    def field(self, number: int) -> int:
        """Where the field is; 0 if it has its default."""
        slot = 4 + 2 * number
        if slot >= self._slots_size:
            return 0
        distance: int = _U16.unpack_from(self._data, self._slots + slot)[0]
        return self._at + distance if distance else 0

    def number(self, number: int, kind: struct.Struct) -> int:
        at = self.field(number)
        return int(kind.unpack_from(self._data, at)[0]) if at else 0

    def byte(self, number: int) -> int:
        at = self.field(number)
        return self._data[at] if at else 0

    def table(self, number: int) -> _Table | None:
        at = self.field(number)
        return _Table(self._data, at + _U32.unpack_from(self._data, at)[0]) if at else None

    def needed(self, number: int) -> _Table:
        table = self.table(number)
        if table is None:
            raise Damaged("its metadata lacks a part")
        return table

    def vector(self, number: int, size: int) -> tuple[int, int]:
        """Where the first element is, and how many of ``size`` bytes there are."""
        at = self.field(number)
        if not at:
            return 0, 0
        at += _U32.unpack_from(self._data, at)[0]
        count: int = _U32.unpack_from(self._data, at)[0]
        if at + 4 + count * size > len(self._data):
            raise Damaged("a list leads out of its metadata")
        return at + 4, count

    def tables(self, number: int) -> Iterator[_Table]:
        first, count = self.vector(number, 4)
        for at in range(first, first + 4 * count, 4):
            yield _Table(self._data, at + _U32.unpack_from(self._data, at)[0])


def _root(data: Bytes) -> _Table:
    return _Table(data, _U32.unpack_from(data, 0)[0])


class _Block(NamedTuple):
    offset: int  # of the message in the file
    metadata: int  # bytes of the message before its body
    body: int  # bytes
    place: int  # of these numbers in the footer
    kind: int  # of message


def _blocks(footer: Bytes) -> Iterator[_Block]:
    """All messages of a file but the schema, in the order they have there (writers list each kind in that order)."""
    root = _root(footer)

    def of(kind: int) -> Iterator[_Block]:
        first, count = root.vector(kind, _BLOCK.size)
        for place in range(first, first + count * _BLOCK.size, _BLOCK.size):
            yield _Block._make((*_BLOCK.unpack_from(footer, place), place, kind))

    return merge(of(_DICTIONARY), of(_BATCH))


def _batch(message: _Table, kind: int) -> _Table:
    header = message.needed(2)
    return header.needed(1) if kind == _DICTIONARY else header


# ------------------------------------------------------------------------------------------------------------ writing
class Recorder:
    """A file that can only be written to.  It keeps small pieces, and references to the buffers: no data is copied.

    Attributes:
        size: bytes written.
    """

    closed = False

    def __init__(self) -> None:
        self.size = 0
        self._buffers: dict[int, Buffer] = {}
        self._runs: list[bytearray] = []  # what was written between buffers
        self._starts: list[int] = []

    def write(self, data: Buffer) -> int:
        size = len(memoryview(data))
        if not isinstance(data, bytes):
            self._buffers[self.size] = data
        elif self._runs and self._starts[-1] + len(self._runs[-1]) == self.size:
            self._runs[-1] += data
        else:
            self._runs.append(bytearray(data))
            self._starts.append(self.size)
        self.size += size
        return size

    def piece(self, at: int, size: int) -> Buffer:
        """What was written there: a buffer as a whole, or a copy of other bytes."""
        if at in self._buffers:
            return self._buffers[at]
        index = bisect_right(self._starts, at) - 1
        first = at - self._starts[index]
        return bytes(self._runs[index][first : first + size])

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def lay_out(record: Recorder) -> tuple[list[tuple[int, Buffer]], int]:
    """The recorded file with every buffer at a multiple of 64 bytes.

    Messages follow each other without a gap, so the result is also readable as a stream from byte 8 on.  Everything that grows is
    a length that is padded: of a message's metadata, of its body.

    Returns: pieces and their offsets, to be written into zeroed memory; the size of the file.
    """

    def numbers(at: int, size: int) -> bytearray:
        return bytearray(record.piece(at, size))

    footer_size = _I32.unpack(numbers(record.size - 10, 4))[0]
    footer = numbers(record.size - 10 - footer_size, footer_size)
    schema = numbers(0, 16 + _I32.unpack(numbers(12, 4))[0])
    at = _padded(len(schema))
    _I32.pack_into(schema, 12, at - 16)
    pieces: list[tuple[int, Buffer]] = [(0, schema)]
    for block in _blocks(footer):
        head = numbers(block.offset, block.metadata)
        size = _padded(len(head))
        _I32.pack_into(head, 4, size - 8)
        pieces.append((at, head))
        metadata = memoryview(head)[8:]
        message = _root(metadata)
        first, count = _batch(message, block.kind).vector(2, _BUFFER.size)
        body = 0
        for place in range(first, first + count * _BUFFER.size, _BUFFER.size):
            offset, length = _BUFFER.unpack_from(metadata, place)
            _BUFFER.pack_into(metadata, place, body, length)
            if length:
                pieces.append((at + size + body, record.piece(block.offset + block.metadata + offset, length)))
                body = _padded(body + length)
        if body:
            _I64.pack_into(metadata, message.field(3), body)
        _BLOCK.pack_into(footer, block.place, at, size, body)
        at += size + body
    end = _END_OF_STREAM + footer + _I32.pack(footer_size) + MAGIC[:6]
    pieces.append((at, end))
    return pieces, at + len(end)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


# ------------------------------------------------------------------------------------------------------------ reading
def check(file: memoryview) -> int:
    """See that a file has the shape it should have and can be opened without copies; time and memory go with its metadata.

    Returns: the size of the file.  (A section that a plain Win32 program made has whole pages: zeros may follow.)

    Raises: Damaged.
    """
    try:
        return _check(file)
    except (struct.error, IndexError):
        raise Damaged("an offset leads out of its metadata") from None
    except UnicodeDecodeError:
        raise Damaged("a name in it is not UTF-8") from None


def _check(file: memoryview) -> int:
    last_page = file[max(0, len(file) - _PAGE) :]
    size = len(file) - len(last_page) + len(last_page.tobytes().rstrip(b"\0"))
    if file[:8] != MAGIC or size < 18 or file[size - 6 : size] != MAGIC[:6]:
        raise Damaged("it does not begin and end as one")
    length: int = _I32.unpack_from(file, size - 10)[0]
    end = size - 10 - length
    if length <= 0 or end < 8:
        raise Damaged(f"its footer cannot have {length} bytes")
    footer = file[end : size - 10]
    _check_schema(footer)
    before = 8
    for block in _blocks(footer):
        if block.offset < before or block.metadata < 8 or block.body < 0 or block.offset % 8 or block.metadata % 8:
            raise Damaged("its messages overlap")
        before = block.offset + block.metadata + block.body
        if before > end:
            raise Damaged("a message leads out of it")
        _check_message(file[block.offset : block.offset + block.metadata], block.kind)
    return size


def _check_message(head: memoryview, kind: int) -> None:
    if head[:4] != _CONTINUATION or _I32.unpack_from(head, 4)[0] != len(head) - 8:
        raise Damaged("a message is not where the footer says")
    metadata = head[8:]
    message = _root(metadata)
    if message.byte(1) != kind:
        raise Damaged("a message is of another kind than the footer says")
    if kind == _DICTIONARY and message.needed(2).byte(2):
        raise Damaged("it has dictionaries in parts (deltas), which would be copied: read it with pyarrow and publish the table")
    if _batch(message, kind).field(3):
        raise Damaged("it is compressed and would be copied: write it without compression")
    _spend(_pairs_cost(message, 4), len(metadata))


def _check_schema(footer: memoryview) -> None:
    """Parts of a FlatBuffer may be referred to more than once, and a reader makes a copy for every reference; writers do not
    do that.  So everything that is reached together must not be larger than the footer is."""
    root = _root(footer)
    schema = root.needed(1)
    if schema.number(0, _I16):
        raise Damaged("it was written on a machine of the other byte order")
    budget = _spend(_pairs_cost(schema, 2) + _pairs_cost(root, 4), len(footer))
    levels = [schema.tables(1)]
    while levels:
        if field := next(levels[-1], None):
            budget = _spend(_field_cost(footer, field), budget)
            levels.append(field.tables(5))
            if len(levels) > _DEEPEST:
                raise Damaged("its schema is too deep")
        else:
            levels.pop()


def _field_cost(footer: memoryview, field: _Table) -> int:
    at, length = field.vector(0, 1)
    str(footer[at : at + length], "utf-8")
    cost = _FIELD_COST + length + _pairs_cost(field, 6)
    kind = field.byte(2)
    if kind in (_TIMESTAMP, _UNION) and (type := field.table(3)):
        cost += type.vector(1, 1 if kind == _TIMESTAMP else 4)[1]
    return cost


def _pairs_cost(table: _Table, number: int) -> int:
    """Bytes of keys and values."""
    return sum(4 + pair.vector(0, 1)[1] + pair.vector(1, 1)[1] for pair in table.tables(number))


def _spend(cost: int, budget: int) -> int:
    if cost > budget:
        raise Damaged("its metadata refers to the same bytes again and again")
    return budget - cost
