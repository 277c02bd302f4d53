"""The header of a ``.npy`` file: written as ``numpy.save`` does, read without trusting a byte of it.

    0   6  the magic "\\x93NUMPY"
    6   2  version: 1.0, 2.0 (longer headers) or 3.0 (field names beyond Latin-1)
    8   2  length of the text below, little-endian; 4 bytes from version 2.0 on
   10      a Python dictionary as text: 'descr', 'fortran_order' and 'shape', with spaces up to a multiple of 64, and a line end
           the elements

Format: https://numpy.org/neps/nep-0001-npy-format.html.  The first 8 bytes are those that are stored last (``_content.py``).

The text may come from anybody who can write to the section.  It is copied out once, before it is looked at, so that nobody
changes it between check and use; it is read by a parser that knows literals only, is bounded in length and depth, and evaluates
and unpickles nothing; and what it says is compared with the size of the section before anything is made of it.
"""

from __future__ import annotations

import ast
import functools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.format import descr_to_dtype

from . import errors
from ._core import Mapping

__all__ = ["Layout", "decode", "encode", "invalid", "layout", "short"]

MAGIC = b"\x93NUMPY"
_ALIGNMENT = 64  # bytes; of the elements, and so of every vector register and cache line
_GROWTH = 21  # numpy.save leaves room for the first length to grow to this many digits
_LONGEST = 1 << 20  # bytes of text that are read at all: a dtype of 20,000 fields
_DEEPEST = 32  # brackets within brackets
_LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}
_TYPE = re.compile(r"[<>|=]?(?:\?|[biufcSUV][0-9]{0,18}|[mM]8?(?:\[[0-9]{0,18}[A-Za-z]{1,7}\])?)")


class Layout(NamedTuple):
    """Where the elements of an array are in a section, and what they are."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int  # bytes from the start of the section
    size: int  # bytes of all elements


# -------------------------------------------------------------------------------------------------------- writing
def layout(dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> tuple[Layout, bytes]:
    """The layout of a new array, and the header that says it.

    Args:
        order: ``"C"`` or ``"F"``.

    Returns: the layout, whose dtype is the one that readers of the header will get; the header, a multiple of 64 bytes.

    Raises: ValueError, TypeError: the format cannot say this dtype; the text tells why.
    """
    if dtype.hasobject:
        raise TypeError("its elements are Python objects, which exist in one process only")
    descr = dtype.descr if dtype.names is not None else dtype.str
    if _dtype(descr) != dtype:
        raise TypeError("the .npy format cannot describe it")
    dtype = _dtype(descr)  # without what the format does not keep: metadata, and the mark of an aligned structure
    fortran = order == "F" and 0 not in shape and sum(length != 1 for length in shape) > 1  # otherwise both are the same
    header = encode(descr, shape, fortran)
    if len(header) > _LONGEST:
        raise ValueError(f"its header would be {len(header)} bytes long, more than {_LONGEST}")
    return Layout(dtype, shape, fortran, len(header), math.prod(shape) * dtype.itemsize), header


def encode(descr: object, shape: tuple[int, ...], fortran: bool) -> bytes:
    """The header, byte for byte what ``numpy.save`` writes."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
    if shape:
        text += " " * (_GROWTH - len(repr(shape[-1 if fortran else 0])))
    version = b"\1\0"
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        version, data = b"\3\0", text.encode("utf-8")
    else:
        if len(data) > 65535 - _ALIGNMENT:
            version = b"\2\0"
    digits = _LENGTH_BYTES[version]
    start = len(MAGIC) + len(version) + digits
    padding = _ALIGNMENT - (start + len(data) + 1) % _ALIGNMENT
    length = len(data) + padding + 1
    return MAGIC + version + length.to_bytes(digits, "little") + data + b" " * padding + b"\n"


# -------------------------------------------------------------------------------------------------------- reading
def decode(view: Mapping, first: bytes, name: str | None) -> Layout:
    """What the header of a section says, if all of it is true.

    Args:
        view: the whole section.
        first: its first eight bytes, as they were published.

    Raises: InvalidContent.
    """
    try:
        found = _parse(first[len(MAGIC) :], *_text(view, first))
        if found.offset + found.size > len(view):
            raise ValueError(
                f"{found.size} bytes of elements from byte {found.offset} on were announced, the section has {len(view)} bytes"
            )
    except (ValueError, TypeError, SyntaxError, ArithmeticError, LookupError, RuntimeError, MemoryError) as error:
        raise invalid(name, error) from None
    if found.dtype.names is None:
        return found
    return found._replace(dtype=found.dtype.newbyteorder("|"))  # a copy: field names can be changed in place, and these are cached


def invalid(name: str | None, reason: object) -> errors.InvalidContent:
    return errors.InvalidContent(
        f"Section {name!r} holds no array that can be used: {reason}. Create it with namedshm.arrays, or open what it is as bytes "
        "with namedshm.open()",
        name=name,
        call="open",
    )


def _text(view: Mapping, first: bytes) -> tuple[int, bytes]:
    """Where the text begins, and a copy of it."""
    if not first.startswith(MAGIC):
        raise ValueError(f"it begins with {first!r}, not as a .npy file does")
    digits = _LENGTH_BYTES.get(first[len(MAGIC) :])
    if digits is None:
        raise ValueError(f"version {first[6]}.{first[7]} of the .npy format is unknown")
    start = len(first) + digits
    length = int.from_bytes(view[len(first) : start], "little")
    if start + length > len(view):
        raise ValueError(f"its header would be {start + length} bytes long, the section has {len(view)}")
    if length > _LONGEST:
        raise ValueError(f"its header is {length} bytes long, more than {_LONGEST}")
    return start, view[start : start + length]


@functools.lru_cache(64)  # the second opening of an array costs half of the first
def _parse(version: bytes, start: int, data: bytes) -> Layout:
    text = data.decode("utf-8" if version == b"\3\0" else "latin-1")
    said = _literal(text)
    if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header does not consist of 'descr', 'fortran_order' and 'shape'")
    fortran, shape = said["fortran_order"], _shape(said["shape"])
    if type(fortran) is not bool:
        raise ValueError(f"'fortran_order' is {fortran!r}, not True or False")
    dtype = _dtype(said["descr"])
    return Layout(dtype, shape, fortran, start + len(data), math.prod(shape) * dtype.itemsize)


def _dtype(descr: Any) -> np.dtype[Any]:
    _check_type(descr)
    dtype: np.dtype[Any] = descr_to_dtype(descr)
    if dtype.hasobject or dtype.subdtype is not None:
        raise ValueError(f"{dtype} is no type for the elements of a shared array")
    return dtype


def _check_type(descr: object) -> None:
    """Raise ValueError unless it is a type's name, (type, shape), or a list of fields (name, type) or (name, type, shape)."""
    if isinstance(descr, str):
        if "O" in descr:
            raise ValueError("its elements are Python objects, which exist in one process only")
        if not _TYPE.fullmatch(descr):
            raise ValueError(f"{short(descr)} names no type")
    elif isinstance(descr, tuple) and len(descr) == 2:
        _check_type(descr[0])
        _shape(descr[1])
    elif isinstance(descr, list):
        for field in descr:
            if not isinstance(field, tuple) or len(field) not in (2, 3):
                raise ValueError(f"{short(field)} describes no field")
            title_and_name = field[0] if isinstance(field[0], tuple) else ("", field[0])
            if len(title_and_name) != 2 or not all(isinstance(part, str) for part in title_and_name):
                raise ValueError(f"{short(field[0])} names no field")
            _check_type(field[1])
            if len(field) == 3:
                _shape(field[2])
    else:
        raise ValueError(f"{short(descr)} describes no type")


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(length) is int for length in shape):
        raise ValueError(f"{short(shape)} is no shape")
    return shape


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:75] + " ..."


# -------------------------------------------------------------------------------------------------------- literals
_TOKEN = re.compile(
    r"""[ \t\r\n]*(
        [][(){}:,]                                              # punctuation,
      | [0-9]{1,20}L?                                           # a whole number (Python 2 wrote an L),
      | '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*"             # a string,
      | True | False
      | \Z )                                                    # or the end
    """,
    re.VERBOSE,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def _tokens(text: str) -> Iterator[str]:
    at, token = 0, " "
    while token:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"its header cannot be read from character {at} on: {short(text[at : at + 40])}")
        at, token = match.end(), match[1]
        yield token
    raise ValueError("its header ends too early")


def _literal(text: str) -> object:
    """The value of a literal made of dictionaries, lists, tuples, strings, whole numbers and booleans; all else is a ValueError."""
    tokens = _tokens(text)
    value = _value(next(tokens), tokens, 0)
    if token := next(tokens):
        raise ValueError(f"its header goes on with {short(token)} where it should end")
    return value


def _value(token: str, tokens: Iterator[str], depth: int) -> object:
    if token[:1] in "'\"" and token:
        return ast.literal_eval(token) if "\\" in token else token[1:-1]
    if token.rstrip("L").isdecimal():
        return int(token.rstrip("L"))
    if token in ("True", "False"):
        return token == "True"
    if token not in _CLOSING or depth == _DEEPEST:
        raise ValueError(f"its header has {short(token)} where a value should be, or too many brackets")
    return _collection(token, tokens, depth + 1)


def _collection(opening: str, tokens: Iterator[str], depth: int) -> object:
    closing, items = _CLOSING[opening], list[Any]()
    token = next(tokens)
    while token != closing:
        item = _value(token, tokens, depth)
        if opening == "{":
            if next(tokens) != ":":
                raise ValueError("its header has a key without a value")
            item = item, _value(next(tokens), tokens, depth)
        items.append(item)
        token = next(tokens)
        if token == ",":
            token = next(tokens)
        elif token != closing:
            raise ValueError(f"its header has {short(token)} where a comma should be")
        elif opening == "(" and len(items) == 1:
            return item  # only brackets
    if opening == "[":
        return items
    return tuple(items) if opening == "(" else dict(items)
