"""The two versions of a record: where its fields lie, how their values become bytes, and the type that says so.

The section of a record is a ``.npy`` file of two elements, the slots, of a structured type whose first field is ``version``: the
element with the higher one counts (``_core.write_slots``).  This is that type.  Needs nothing but the standard library.
"""

from __future__ import annotations

import struct
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, TypeVar

from namedshm import errors

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CODES", "LARGEST", "Field", "FieldType", "described", "difference", "fields_of", "laid_out", "slot_size"]

_ALIGNMENT = 64  # bytes: a slot begins on a cache line of its own
LARGEST = 1 << 20  # bytes of a slot; an update writes all of it
#: Types of numbers: as NumPy writes them, and as ``struct`` does.
CODES = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f4": "f", "f8": "d"}
FieldType = tuple[str, str, int | None]  # name, code, length


class Field:
    """One field of a record: where it lies in a slot, and how its value becomes bytes.

    Attributes:
        code: as NumPy's, without byte order: ``f8``, ``U32`` (32 characters of 4 bytes), ``V16`` (16 bytes).
        length: elements; None for a plain value.
        type: as NumPy writes it: ``<f8``, ``(3,)<f8``.
        offset, size: in the slot, bytes.
    """

    __slots__ = ("_numbers", "code", "length", "name", "offset", "size", "type")

    def __init__(self, name: str, code: str, length: int | None, offset: int) -> None:
        self.name, self.code, self.length, self.offset = name, code, length, offset
        count = 1 if length is None else length
        self.size = _element_size(code) * count
        self._numbers = struct.Struct(f"<{count}{CODES[code]}") if code in CODES else None
        order = "|" if code[0] in "bV" or (self.size == count and code[0] in "iu") else "<"
        self.type = order + code if length is None else f"({length},){order}{code}"

    @property
    def descr(self) -> tuple[object, ...]:
        code = self.type.rpartition(")")[2]
        return (self.name, code) if self.length is None else (self.name, code, (self.length,))

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Field) and (self.name, self.type, self.offset) == (other.name, other.type, other.offset)

    def pack(self, value: Any) -> bytes:
        """Raises: TypeError, ValueError, OverflowError, as saying what does not fit."""
        if self._numbers is None:
            pack = _pack_text if self.code[0] == "U" else _pack_bytes
            return pack(self.name, value, int(self.code[1:]))
        values = (value,) if self.length is None else tuple(value)
        if self.length is not None and len(values) != self.length:
            raise ValueError(f"field {self.name!r} takes {self.length} values, not {len(values)}")
        if self.code == "b1" and any(v not in (False, True) for v in values):
            raise TypeError(f"field {self.name!r} is true or false, not {value!r}")
        try:
            return self._numbers.pack(*values)
        except struct.error as error:
            text = f"field {self.name!r} ({self.code}) does not take {value!r}: {error}"
            raise (OverflowError if all(isinstance(v, int) for v in values) else TypeError)(text) from None

    def unpack(self, data: bytes) -> Any:
        if self._numbers is not None:
            values = self._numbers.unpack(data)
            return values[0] if self.length is None else values
        if self.code[0] == "V":
            return data
        try:
            return data.decode("utf-32-le").rstrip("\0")
        except UnicodeDecodeError as error:
            raise errors.InvalidContent(f"Field {self.name!r} is no text ({error}): its writer is at fault", call="read") from None


_F = TypeVar("_F", bound=Field)


def _element_size(code: str) -> int:
    return int(code[1:]) * (4 if code[0] == "U" else 1)


def _pack_text(name: str, value: object, size: int) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"field {name!r} takes a string, not {type(value).__name__}")
    if len(value) > size:
        raise ValueError(f"field {name!r} takes {size} characters, not {len(value)}")
    if value.endswith("\0"):
        raise ValueError(f"field {name!r} cannot end with a NUL character: that is what fills it up")
    return value.encode("utf-32-le").ljust(4 * size, b"\0")


def _pack_bytes(name: str, value: Any, size: int) -> bytes:
    data = bytes(memoryview(value))
    if len(data) != size:
        raise ValueError(f"field {name!r} takes exactly {size} bytes, not {len(data)}")
    return data


def laid_out(fields: list[FieldType], kind: type[_F]) -> tuple[_F, ...]:
    """Where they lie, as objects of a kind: each at a multiple of its element's size, as a C compiler would, behind the version."""
    offset = 8
    found = []
    for name, code, count in fields:
        alignment = {"U": 4, "V": 1}.get(code[0]) or _element_size(code)
        offset += -offset % alignment
        field = kind(name, code, count, offset)
        found.append(field)
        offset += field.size
    return tuple(found)


def slot_size(fields: tuple[Field, ...]) -> int:
    end = fields[-1].offset + fields[-1].size if fields else 8
    return end + -end % _ALIGNMENT


def described(fields: tuple[Field, ...]) -> list[tuple[object, ...]]:
    """The structured type of a slot, gaps as NumPy writes them."""
    found: list[tuple[object, ...]] = [("version", "<u8")]
    at = 8
    for field in fields:
        if field.offset > at:
            found.append(("", f"|V{field.offset - at}"))
        found.append(field.descr)
        at = field.offset + field.size
    if end := slot_size(fields) - at:
        found.append(("", f"|V{end}"))
    return found


def fields_of(descr: object, kind: type[_F], reserved: Callable[[str], bool]) -> tuple[_F, ...]:
    """The other way round; only what :func:`described` writes is taken.

    Args:
        kind: of the fields, as for :func:`laid_out`.
        reserved: whether a name cannot be a field's.

    Raises: ValueError.
    """
    fields: list[FieldType] = []
    for item in descr if isinstance(descr, list) else ():
        match item:
            case (str(name), str(code)) if name not in ("", "version"):
                fields.append((name, code[1:], None))
            case (str(name), str(code), (int(count),)) if 0 < count <= LARGEST:
                fields.append((name, code[1:], count))
    names = {name for name, _, _ in fields}
    if not all(_is_field(*field) for field in fields) or any(map(reserved, names)) or len(names) < len(fields):
        raise ValueError("its fields are not those of a record")
    found = laid_out(fields, kind)
    if slot_size(found) > LARGEST or descr != described(found):
        raise ValueError("its type is not that of a record")
    return found


def _is_field(name: str, code: str, count: int | None) -> bool:
    if not name.isidentifier() or iskeyword(name) or name.startswith("_"):
        return False
    if code in CODES:
        return True
    return code[:1] in ("U", "V") and code[1:].isdecimal() and len(code) <= 8 and int(code[1:]) > 0 and count is None


def difference(there: tuple[Field, ...], here: tuple[Field, ...]) -> str:
    if missing := {field.name for field in here} - {field.name for field in there}:
        return f"it has no {sorted(missing)[0]!r}"
    if more := {field.name for field in there} - {field.name for field in here}:
        return f"it also has {sorted(more)[0]!r}"
    for one, two in zip(there, here, strict=True):
        if one.name != two.name:
            return "they come in another order"
        if one != two:
            return f"its {one.name!r} is {one.type}, not {two.type}"
    return "none"  # not reached: they differ
