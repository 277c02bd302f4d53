r"""A Python object as one message: its pickle (protocol 5), and beside it the buffers that the pickle leaves out.

A small object is its pickle, with eight bytes in front that say so:

    0   6   the magic "\x93NSOBJ"
    6   1   version: 1
    7   1   0: the rest is the pickle

An object with large buffers (arrays, for example) has them beside the pickle, so that they are copied once, or read where they lie:

    7   1   1: what follows
    8   8   length of the pickle
    16  4   N, how many buffers
    20  4   zero
    24  8N  their lengths, in the order in which the pickle asks for them
            the pickle
            each buffer, at the next multiple of 64 behind what is before it; the message ends with the last one

All numbers are little-endian, and lengths in bytes.  What is between the parts is anything.

A message comes from anybody who can write to the queue.  The numbers are copied out once, before they are looked at, and no part
is accepted that is not inside the message.  The pickle itself is not looked at: unpickling does what it says.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sys
    from collections.abc import Sequence

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

__all__ = ["MAGIC", "PLAIN", "VERSION", "lay_out", "parts"]

MAGIC = b"\x93NSOBJ"
VERSION = 1
PLAIN = MAGIC + bytes((VERSION, 0))

_WITH_BUFFERS = MAGIC + bytes((VERSION, 1))
_HEADER = struct.Struct("<8sQII")
_ALIGNMENT = 64  # bytes; what vector instructions and Arrow want


def lay_out(pickle: Sequence[Buffer], buffers: Sequence[memoryview]) -> tuple[list[tuple[int, Buffer]], int]:
    """Where everything goes.

    Args:
        pickle: its bytes, in pieces.
        buffers: of bytes, one-dimensional.

    Returns: pieces and their offsets; the size of the message.
    """
    if not buffers:
        return _placed(pickle, [(0, PLAIN)], len(PLAIN))
    length = sum(len(memoryview(piece)) for piece in pickle)
    header = _HEADER.pack(_WITH_BUFFERS, length, len(buffers), 0) + struct.pack(f"<{len(buffers)}Q", *map(len, buffers))
    pieces, at = _placed(pickle, [(0, header)], len(header))
    for buffer in buffers:
        at += -at % _ALIGNMENT
        pieces.append((at, buffer))
        at += len(buffer)
    return pieces, at


def _placed(pickle: Sequence[Buffer], pieces: list[tuple[int, Buffer]], at: int) -> tuple[list[tuple[int, Buffer]], int]:
    for piece in pickle:
        pieces.append((at, piece))
        at += len(memoryview(piece))
    return pieces, at


def parts(message: memoryview) -> tuple[memoryview, list[memoryview]]:
    """The pickle and the buffers of a message of bytes, where they lie.

    Raises: ValueError; the text says what is wrong with it.
    """
    size = len(message)
    first = bytes(message[:8])
    if first == PLAIN:
        return message[8:], []
    if first != _WITH_BUFFERS:
        if first[:6] == MAGIC and size >= 8:
            raise ValueError(f"it is an object in version {first[6]}.{first[7]} of the format, which is not known here")
        raise ValueError("it is no object that an ObjectQueue has put")
    if size < _HEADER.size:
        raise ValueError(f"it has {size} bytes, too few for an object with buffers")
    _, length, count, zero = _HEADER.unpack(message[: _HEADER.size])
    start = _HEADER.size + 8 * count
    if zero or start > size:
        raise ValueError(f"it announces {count} buffers, and has {size} bytes")
    lengths = struct.unpack(f"<{count}Q", message[_HEADER.size : start])
    at = start + length
    if at > size:
        raise ValueError(f"its pickle would have {length} bytes, and it has {size}")
    pickle, buffers = message[start:at], []
    for length in lengths:
        at += -at % _ALIGNMENT
        if at + length > size:
            raise ValueError(f"a buffer of {length} bytes would begin at byte {at}, and it has {size}")
        buffers.append(message[at : at + length])
        at += length
    if at != size:
        raise ValueError(f"it should end with its last buffer, at byte {at}, and has {size} bytes")
    return pickle, buffers
