"""FlatBuffers as nobody writes them: the same part referred to many times, and files around such footers."""

from __future__ import annotations

import struct
from typing import Any

MAGIC = b"ARROW1\0\0"


class Part:
    """Something that has a place; ``before``: bytes that lie in front of it."""

    before = 0

    def parts(self) -> list[Part]:
        return []

    def size(self) -> int:
        raise NotImplementedError

    def write(self, data: bytearray, at: int, place: dict[Part, int]) -> None:
        raise NotImplementedError


class Table(Part):
    """Fields by number: a scalar as (format, value), or another part."""

    def __init__(self, fields: dict[int, Any]) -> None:
        self.fields = fields
        self.slots = 4 + 2 * (max(fields, default=-1) + 1)
        self.before = -(-self.slots // 8) * 8

    def parts(self) -> list[Part]:
        return [value for value in self.fields.values() if isinstance(value, Part)]

    def size(self) -> int:
        return 8 + 8 * len(self.fields)

    def write(self, data: bytearray, at: int, place: dict[Part, int]) -> None:
        slots = at - self.before
        struct.pack_into("<HH", data, slots, self.slots, self.size())
        struct.pack_into("<i", data, at, self.before)
        for index, (number, value) in enumerate(self.fields.items()):
            where = 8 + 8 * index
            struct.pack_into("<H", data, slots + 4 + 2 * number, where)
            if isinstance(value, Part):
                struct.pack_into("<I", data, at + where, place[value] - at - where)
            else:
                struct.pack_into(value[0], data, at + where, value[1])


class List(Part):
    """References to other parts."""

    def __init__(self, items: list[Part]) -> None:
        self.items = items

    def parts(self) -> list[Part]:
        return list(dict.fromkeys(self.items))

    def size(self) -> int:
        return 4 + 4 * len(self.items)

    def write(self, data: bytearray, at: int, place: dict[Part, int]) -> None:
        struct.pack_into("<I", data, at, len(self.items))
        for index, item in enumerate(self.items):
            where = at + 4 + 4 * index
            struct.pack_into("<I", data, where, place[item] - where)


class Bytes(Part):
    """A text, or numbers as they lie in memory."""

    def __init__(self, data: bytes, count: int | None = None) -> None:
        self.data, self.count = data, len(data) if count is None else count
        self.before = 4

    def size(self) -> int:
        return 4 + len(self.data) + 1

    def write(self, data: bytearray, at: int, place: dict[Part, int]) -> None:
        struct.pack_into("<I", data, at, self.count)
        data[at + 4 : at + 4 + len(self.data)] = self.data


def flat_buffer(root: Part) -> bytes:
    """Every part once, behind all that refer to it."""
    order: list[Part] = []
    seen: set[Part] = set()

    def visit(part: Part) -> None:
        if part not in seen:
            seen.add(part)
            for inner in part.parts():
                visit(inner)
            order.append(part)

    visit(root)
    place, end = {}, 8
    for part in reversed(order):
        place[part] = end + part.before
        end += -(-(part.before + part.size()) // 8) * 8
    data = bytearray(end)
    struct.pack_into("<I", data, 0, place[root])
    for part, at in place.items():
        part.write(data, at, place)
    return bytes(data)


# ------------------------------------------------------------------------------------------------------------ Arrow's parts
def field(name: Part, kind: int, type: Part, *children: Part) -> Table:
    return Table({0: name, 1: ("<B", 1), 2: ("<B", kind), 3: type, 5: List(list(children))})


def number(name: Part) -> Table:
    return field(name, 2, Table({0: ("<i", 32), 1: ("<B", 1)}))


def pair(key: bytes, value: bytes) -> Table:
    return Table({0: Bytes(key), 1: Bytes(value)})


def file(fields: list[Part], metadata: list[Part] | None = None, *, big_endian: bool = False, blocks: bytes = b"") -> bytes:
    """A file of a schema and nothing else, or with made-up blocks of record batches."""
    schema = {0: ("<h", int(big_endian)), 1: List(fields)}
    if metadata is not None:
        schema[2] = List(metadata)
    footer = flat_buffer(Table({0: ("<h", 4), 1: Table(schema), 2: Bytes(b"", 0), 3: Bytes(blocks, len(blocks) // 24)}))
    return MAGIC + b"\xff\xff\xff\xff\0\0\0\0" + footer + struct.pack("<i", len(footer)) + MAGIC[:6]
