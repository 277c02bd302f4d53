"""The header of a ``.npy`` file: written as ``numpy.save`` does, read without trusting a byte of it.

    0   6  the magic "\\x93NUMPY"
    6   2  version: 1.0, 2.0 (longer headers) or 3.0 (field names beyond Latin-1)
    8   2  length of the text below, little-endian; 4 bytes from version 2.0 on
   10      a Python dictionary as text: 'descr', 'fortran_order' and 'shape', with spaces up to a multiple of 64, and a line end
           the elements

Format: https://numpy.org/neps/nep-0001-npy-format.html.  The first 8 bytes are those that are stored last (``publication.py``).

The text may come from anybody who can write to the section.  It is copied out once, before it is looked at, so that nobody
changes it between check and use, and it is read by a parser that knows literals only, is bounded in length and depth, and evaluates
and unpickles nothing.  What the parts mean is not known here: an array's in ``array_layout.py``, a record's in ``record_slots.py``.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Content(Protocol):
        """A mapped section, or a message: its slices are bytes."""

        def __len__(self) -> int: ...
        def __getitem__(self, index: slice, /) -> bytes: ...


__all__ = ["REFUSALS", "check_shape", "encode", "parse", "short", "text"]

MAGIC = b"\x93NUMPY"
#: What reading a header, and making something of what it says, raises when the bytes are wrong.
REFUSALS = (ValueError, TypeError, SyntaxError, ArithmeticError, LookupError, RuntimeError, MemoryError)

_ALIGNMENT = 64  # bytes; of the elements, and so of every vector register and cache line
_GROWTH = 21  # numpy.save leaves room for the first length to grow to this many digits
_LONGEST = 1 << 20  # bytes of text that are read at all: a dtype of 20,000 fields
_DEEPEST = 32  # brackets within brackets
_MOST_DIMENSIONS = 64  # NumPy has no more; lengths are multiplied, which takes minutes for thousands of them
_LONGEST_DIMENSION = 1 << 63  # and no size reaches this
_LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}


#: What numpy.save writes, if the type is a plain one: it is not taken apart, which is four fifths of reading it.
_SAVED = re.compile(
    r"\{'descr': '([^'\\\n]*+)', 'fortran_order': (True|False), "
    r"'shape': \((|[0-9]{1,19},|[0-9]{1,19}(?:, [0-9]{1,19}){1,63}+)\), \} *+\n"
)


def encode(descr: object, shape: tuple[int, ...], fortran: bool) -> bytes:
    """The header, byte for byte what ``numpy.save`` writes.  Raises: ValueError if it is longer than :func:`text` reads."""
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
    if length > _LONGEST:
        raise ValueError(f"its header would be {length} bytes long, more than {_LONGEST}")
    return MAGIC + version + length.to_bytes(digits, "little") + data + b" " * padding + b"\n"


def text(view: Content, first: bytes) -> tuple[int, bytes]:
    """Where the text of a header begins, and a copy of it.

    Args:
        view: the whole section, or message.
        first: its first eight bytes, as they were published.

    Raises: ValueError.
    """
    if not first.startswith(MAGIC):
        raise ValueError(f"it begins with {first!r}, not as a .npy file does")
    digits = _LENGTH_BYTES.get(first[len(MAGIC) :])
    if digits is None:
        raise ValueError(f"version {first[6]}.{first[7]} of the .npy format is unknown")
    start = len(first) + digits
    length = int.from_bytes(view[len(first) : start], "little")
    if start + length > len(view):
        raise ValueError(f"its header would be {start + length} bytes long, and there are {len(view)}")
    if length > _LONGEST:
        raise ValueError(f"its header is {length} bytes long, more than {_LONGEST}")
    return start, view[start : start + length]


def parse(first: bytes, data: bytes) -> tuple[Any, tuple[int, ...], bool]:
    """What a header's text says: descr, a literal of any kind; shape; whether in Fortran order.

    Raises: ValueError and the others of ``REFUSALS``.
    """
    text = data.decode("utf-8" if first[6] == 3 else "latin-1")
    if saved := _SAVED.fullmatch(text):
        shape = tuple(map(int, saved[3].rstrip(",").split(","))) if saved[3] else ()
        return saved[1], check_shape(shape), saved[2] == "True"
    said = _literal(text)
    if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header does not consist of 'descr', 'fortran_order' and 'shape'")
    fortran = said["fortran_order"]
    if type(fortran) is not bool:
        raise ValueError(f"'fortran_order' is {fortran!r}, not True or False")
    return said["descr"], check_shape(said["shape"]), fortran


def check_shape(shape: object) -> tuple[int, ...]:
    """Raises ValueError unless it is one, of so few and short dimensions that their product is worth computing."""
    if not isinstance(shape, tuple) or not all(type(length) is int for length in shape):
        raise ValueError(f"{short(shape)} is no shape")
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"it has {len(shape)} dimensions, more than {_MOST_DIMENSIONS}")
    if not all(0 <= length < _LONGEST_DIMENSION for length in shape):
        raise ValueError(f"a length in {short(shape)} is no length of a dimension")
    return shape


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:75] + " ..."


# -------------------------------------------------------------------------------------------------------- literals
# With the escapes that repr() makes; possessive (+), so that a long one takes no memory to match.  A token is looked for when the
# one before it was accepted, so that the text is gone through once: behind the first that does not belong, every quote may begin
# a string that reaches to the end.
_STRING = r"""%s(?:[^%s\\\n]++|\\(?:[\\'"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}))*+%s"""
_TOKEN = re.compile(
    rf"""[ \t\r\n]*+(
        [][(){{}}:,]                                 # punctuation,
      | [0-9]{{1,20}}L?                              # a whole number (Python 2 wrote an L),
      | {_STRING.replace("%s", "'")}                 # a string,
      | {_STRING.replace("%s", '"')}
      | True | False
      | \Z                                           # the end, which is an empty token,
      | . )                                          # or what does not belong here
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def _literal(text: str) -> object:
    """The value of a literal made of dictionaries, lists, tuples, strings, whole numbers and booleans; all else is a ValueError."""
    tokens = _tokens(text)
    value = _value(next(tokens), tokens, 0)
    if token := next(tokens, ""):
        raise ValueError(f"its header goes on with {short(token)} where it should end")
    return value


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        yield match[1]


def _value(token: str, tokens: Iterator[str], depth: int) -> object:
    if len(token) > 1 and token[0] in "'\"":
        return ast.literal_eval(token) if "\\" in token else token[1:-1]
    if token in ("True", "False"):
        return token == "True"
    if token in _CLOSING and depth < _DEEPEST:
        return _collection(token, tokens, depth + 1)
    if token and token[0] in "0123456789":
        return int(token.rstrip("L"))
    raise ValueError(f"its header has {short(token)} where a value should be, or too many brackets")


def _collection(opening: str, tokens: Iterator[str], depth: int) -> object:
    closing = _CLOSING[opening]
    items: list[Any] = []
    token = next(tokens, "")
    while token != closing:
        item = _value(token, tokens, depth)
        if opening == "{":
            if next(tokens, "") != ":":
                raise ValueError("its header has a key without a value")
            item = item, _value(next(tokens, ""), tokens, depth)
        items.append(item)
        token = next(tokens, "")
        if token == ",":
            token = next(tokens, "")
        elif token != closing:
            raise ValueError(f"its header has {short(token)} where a comma should be")
        elif opening == "(" and len(items) == 1:
            return item  # only brackets
    if opening == "[":
        return items
    return tuple(items) if opening == "(" else dict(items)
