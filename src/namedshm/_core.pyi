"""Bytes and addresses (compiled).  No names, no policy, no system calls."""

from __future__ import annotations

import sys
from typing import SupportsIndex, overload

if sys.version_info >= (3, 12):
    from collections.abc import Buffer as _Buffer
else:
    from typing_extensions import Buffer as _Buffer

class Mapping:
    """A range of mapped bytes with the buffer protocol; made by ``Section.map()`` only.

    Indexing and slicing run in C without a Python frame.  A slice read is a copy (``bytes``), ``memoryview(mapping)`` is not.
    Copies above 64 KiB release the GIL.  The memory stays mapped while the mapping is open, or any buffer taken from it lives.
    """

    @property
    def address(self) -> int:
        """Where the first byte is mapped in this process."""

    @property
    def readonly(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None:
        """End direct access.  Twice is a no-op.

        The memory is unmapped now; or, if a buffer was ever taken from here, when nothing refers to this object any more, as
        buffers and arrays made of it do.
        """

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    @overload
    def __setitem__(self, index: SupportsIndex, value: int) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: _Buffer) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def load64(mapping: Mapping, offset: int) -> int:
    """The aligned 64-bit word at byte ``offset``, in the machine's byte order, read in one piece with acquire ordering: what its
    writer stored before it is seen by what this thread reads after it.

    Raises: ClosedHandle; IndexError if there is no such word.
    """

def store64(mapping: Mapping, offset: int, value: int) -> None:
    """Write the aligned 64-bit word at byte ``offset`` in one piece with release ordering, after everything written before.

    Raises: ClosedHandle; AccessDenied if the view is read-only; IndexError if there is no such word; OverflowError.
    """

class Pager:
    """What a backend gives to C code that writes many pages: time, and what it knows of missing ones.  See _core.pxd."""
