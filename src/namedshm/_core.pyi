"""Bytes and addresses (compiled).  No names, no policy, no system calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import SupportsIndex, TypeVar, overload

if sys.version_info >= (3, 12):
    from collections.abc import Buffer as _Buffer
else:
    from typing_extensions import Buffer as _Buffer

M = TypeVar("M", bound=Mapping)

class Mapping:
    """A range of mapped bytes with the buffer protocol; made by ``Section.map()`` only.

    Indexing and slicing run in C without a Python frame.  A slice read is a copy (``bytes``), ``memoryview(mapping)`` is not.
    Copies above 64 KiB release the GIL.  The memory stays mapped while the mapping is open, or any buffer taken from it lives.
    """

    @property
    def address(self) -> int:
        """Where the first byte is mapped in this process.  Raises: ClosedHandle."""

    @property
    def readonly(self) -> bool:
        """Whether writing is refused."""

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""

    def close(self) -> None:
        """End direct access.  Twice is a no-op.

        The memory is unmapped now; or, if a buffer was ever taken from here, when nothing refers to this object any more, as
        buffers and arrays made of it do.
        """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
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

def again(kind: type[M], mapping: Mapping) -> M:
    """Another view of the same bytes, a ``kind``, which is open whether or not ``mapping`` is closed later; mapped once."""

class Refusing:
    """Base of ``_unavailable.Unavailable``: taking a buffer of it calls its ``_refuse()``, which raises."""

    def __buffer__(self, flags: int, /) -> memoryview: ...

def start_thread(function: Callable[[], object]) -> None:
    """Run ``function`` in a thread of the operating system that ends with the process, whatever a library has made of
    ``threading`` and ``_thread`` (gevent, eventlet).

    Raises: OutOfResources.
    """

class Pager:
    """What a backend gives to C code that writes many pages: time, and what it knows of missing ones.  See _core.pxd."""

def read_slots(mapping: Mapping, base: int, size: int, start: int, length: int) -> tuple[int, bytes] | None:
    """Bytes of the newest of two versions of a value, of one version and whole, without keeping anybody from writing.

    The value's two slots of ``size`` bytes each (a multiple of 8) lie at byte ``base``; a slot is a 64-bit version, 0 while it is
    being written, and the value.

    Args:
        start, length: which bytes of the slot, the first being 8.

    Returns: (version, bytes), or None if writers were faster in a thousand tries; version 0 and no bytes if nothing was written.

    Raises: ClosedHandle; IndexError for slots or bytes that are not there.
    """

def write_slots(mapping: Mapping, base: int, size: int, value: _Buffer) -> int:
    """Make ``value`` (``size - 8`` bytes) the newest version; one writer at a time, which the caller sees to.

    Killed anywhere in it, readers go on seeing the version before.

    Returns: the new version, one more than the last.

    Raises: ClosedHandle; AccessDenied if the view is read-only; IndexError; ValueError for a value of another size;
        OverflowError if somebody set the version to the highest number there is.
    """
