r"""The ``.npy`` header: what precedes the data of an array, as bytes and as facts.  Knows nothing of NumPy or of sections.

    offset  size
    0       6     \x93NUMPY
    6       2     version: 1.0, 2.0 (header above 64 KiB) or 3.0 (names that are not latin-1)
    8       2, 4  length of the text that follows, little-endian; 4 bytes from version 2.0 on
    10, 12        the text: a Python dict literal with descr, fortran_order and shape, blanks and a newline up to a multiple of 64

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import Mapping

__all__ = ["ALIGNMENT", "MAGIC", "Damaged", "decode", "encode"]

MAGIC = b"\x93NUMPY"
ALIGNMENT = 64  # bytes; where the data begins is a multiple of it
_LONGEST = 1 << 20  # bytes of text; far more than any type needs, little enough to parse


class Damaged(Exception):
    """Why the bytes are not a header; whoever knows the name makes an InvalidContent of it."""


def encode(descr: object, fortran_order: bool, shape: tuple[int, ...]) -> bytes:
    """The header of an array; ``descr`` is what ``numpy.dtype.descr`` or ``.str`` would be."""
    text = repr({"descr": descr, "fortran_order": fortran_order, "shape": shape})
    encoding, version, width = "latin-1", 1, 2
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        version, width, data = 3, 4, text.encode("utf-8")
    if version == 1 and len(data) + ALIGNMENT > 0xFFFF:
        version, width = 2, 4
    before = len(MAGIC) + 2 + width
    blanks = -(before + len(data) + 1) % ALIGNMENT
    data += b" " * blanks + b"\n"
    return MAGIC + bytes((version, 0)) + len(data).to_bytes(width, "little") + data


def decode(view: Mapping, first: bytes) -> tuple[object, bool, tuple[int, ...], int]:
    """Read the header at the start of a view.

    Args:
        first: the first eight bytes, read before (see ``_content.published``).

    Returns: (descr, fortran_order, shape, offset of the data in bytes).  ``descr`` is a literal of any kind.

    Raises: Damaged.  Nothing is executed, and nothing larger than the header is allocated.
    """
    if first[:6] != MAGIC:
        raise Damaged(f"they begin with {first!r}, not with the magic of the .npy format")
    version = first[6], first[7]
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise Damaged(f"version {version[0]}.{version[1]} of the .npy format is not known")
    width = 2 if version == (1, 0) else 4
    start = 8 + width
    length = int.from_bytes(view[8:start], "little")
    if len(view) < start or length > min(_LONGEST, len(view) - start):
        raise Damaged(f"the header says it has {length} bytes")
    text = view[start : start + length]  # a copy: what is parsed does not change
    try:
        facts = ast.literal_eval(text.decode("utf-8" if version == (3, 0) else "latin-1").strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise Damaged(f"the header is no literal ({type(error).__name__})") from None
    if not isinstance(facts, dict) or facts.keys() != {"descr", "fortran_order", "shape"}:
        raise Damaged("the header has not the keys descr, fortran_order and shape")
    shape = facts["shape"]
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise Damaged(f"the shape is {str(shape)[:60]}")
    if type(facts["fortran_order"]) is not bool:
        raise Damaged("fortran_order is neither True nor False")
    return facts["descr"], facts["fortran_order"], shape, start + length
