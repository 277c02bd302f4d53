"""Waiting for one or several objects."""

from __future__ import annotations

from namedshm import errors
from namedshm._backend import SPIN, backend

from ._constants import (
    INFINITE,
    MAXIMUM_WAIT_OBJECTS,
    WAIT_ABANDONED_0,
    WAIT_FAILED,
    WAIT_OBJECT_0,
    WAIT_TIMEOUT,
)
from ._handles import FileMapping, Sync, lookup
from ._last_error import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm._backend.contract import SyncHandle


def WaitForSingleObject(hHandle: int, dwMilliseconds: int) -> int:
    """Wait; WAIT_OBJECT_0, WAIT_ABANDONED, WAIT_TIMEOUT or WAIT_FAILED."""
    return WaitForMultipleObjects([hHandle], False, dwMilliseconds)


def WaitForMultipleObjects(lpHandles: list[int], bWaitAll: bool, dwMilliseconds: int) -> int:
    """Wait for one or all of up to 64 handles (nCount is their number).

    Returns: WAIT_OBJECT_0 + i, WAIT_ABANDONED_0 + i, WAIT_TIMEOUT or WAIT_FAILED.
    """
    try:
        if not 1 <= len(lpHandles) <= MAXIMUM_WAIT_OBJECTS:
            raise errors.InvalidArgument(f"{len(lpHandles)} handles: 1 to 64 are possible", call="WaitForMultipleObjects")
        handles = [_waitable(number) for number in lpHandles]
        timeout = None if dwMilliseconds & 0xFFFFFFFF == INFINITE else (dwMilliseconds & 0xFFFFFFFF) / 1000
        index, abandoned = backend.wait(handles, bool(bWaitAll), timeout, SPIN)
    except OSError as error:
        refuse(error)
        return WAIT_FAILED
    if index < 0:
        return WAIT_TIMEOUT
    return (WAIT_ABANDONED_0 if abandoned else WAIT_OBJECT_0) + index


def _waitable(number: int) -> SyncHandle:
    item = lookup(number)
    if isinstance(item, Sync):
        return item.handle
    if isinstance(item, FileMapping):
        raise errors.AccessDenied("File mappings cannot be waited for", call="WaitForMultipleObjects")
    raise errors.ClosedHandle(f"{number!r} is not an open handle", call="WaitForMultipleObjects")
