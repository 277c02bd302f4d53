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
        """End direct access.  The memory is unmapped now, or with the last buffer taken from here.  Twice is a no-op."""

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
