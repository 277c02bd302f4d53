"""What is done with handles of every kind: closing and duplicating."""

from __future__ import annotations

from namedshm import errors
from namedshm._backend import backend

from ._constants import (
    DUPLICATE_CLOSE_SOURCE,
    DUPLICATE_SAME_ACCESS,
    FILE_MAP_WRITE,
)
from ._file_mappings import lookup_mapping, map_rights
from ._handles import FileMapping, Process, Sync, claim, give_up, known, lookup, plain_number, register, take
from ._last_error import GetLastError, SetLastError, refuse
from ._synchronization import sync_access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from namedshm._backend.contract import Access

_CURRENT_PROCESS = -1  # what GetCurrentProcess() returns


def CloseHandle(hObject: int) -> bool:
    """Close a handle.  False with 6 if it is not open."""
    try:
        hObject = plain_number(hObject)
        lookup(hObject)
        claim(hObject)  # until it is closed: on Windows the number can still be taken over while it is not
    except OSError as error:
        refuse(error)
        return False
    try:
        item = take(hObject)
        if isinstance(item, FileMapping):
            item.section.close()
        elif isinstance(item, Sync):
            item.handle.close()
    finally:
        give_up(hObject)
    if item is None:  # another thread was faster
        SetLastError(6)
    return item is not None


def GetCurrentProcess() -> int:
    """The pseudo handle of this process."""
    return _CURRENT_PROCESS


def OpenProcess(dwDesiredAccess: int, bInheritHandle: bool, dwProcessId: int) -> int:
    """A handle to a process of this user, for DuplicateHandle.  0 with 87 if there is none."""
    try:
        backend.check_process(dwProcessId)
    except OSError as error:
        refuse(error)
        return 0
    return register(Process(dwProcessId))


def DuplicateHandle(
    hSourceProcessHandle: int,
    hSourceHandle: int,
    hTargetProcessHandle: int,
    dwDesiredAccess: int,
    bInheritHandle: bool,
    dwOptions: int,
) -> int:
    """Duplicate a handle of this process, into this or another one.  Returns the new handle (no output argument), or 0.

    On Linux a handle sent to another process is this process's until the receiver uses it for the first time.
    """
    try:
        if hSourceProcessHandle != _CURRENT_PROCESS:
            raise errors.Unsupported("Handles of other processes cannot be duplicated from here: let that process do it")
        item = lookup(hSourceHandle)
        if isinstance(item, Sync):
            result = _duplicate_sync(item, hTargetProcessHandle, dwDesiredAccess, dwOptions)
        else:
            result = _duplicate_mapping(lookup_mapping(hSourceHandle), hTargetProcessHandle, dwDesiredAccess, dwOptions)
    except OSError as error:
        refuse(error)
        result = 0
    if dwOptions & DUPLICATE_CLOSE_SOURCE:  # also on failure, as documented
        _quietly(CloseHandle, hSourceHandle)
    return result


def _duplicate_mapping(item: FileMapping, process: int, desired: int, options: int) -> int:
    rights = item.access if options & DUPLICATE_SAME_ACCESS else map_rights(desired)
    if rights & ~item.access:
        raise errors.AccessDenied("A duplicate cannot have more access than its source", call="DuplicateHandle")
    access: Access = "write" if rights & FILE_MAP_WRITE else "read"
    if process == _CURRENT_PROCESS:
        return register(FileMapping(item.section.duplicate(access), rights))
    return backend.send_handle(item.section._handle, _pid(process), access)


def _duplicate_sync(item: Sync, process: int, desired: int, options: int) -> int:
    mine = item.handle.access
    access = mine if options & DUPLICATE_SAME_ACCESS else sync_access(item.handle.kind, desired)
    if access != mine and mine != "full":
        raise errors.AccessDenied("A duplicate cannot have more access than its source", call="DuplicateHandle")
    if process == _CURRENT_PROCESS:
        return register(Sync(item.handle.duplicate_as(access)))
    return backend.send_handle(item.handle, _pid(process), access)


def _pid(process: int) -> int:
    target = known(process)
    if not isinstance(target, Process):
        raise errors.ClosedHandle(f"{process!r} is not an open process handle", call="DuplicateHandle")
    return target.pid


def _quietly(call: Callable[[int], bool], handle: int) -> None:
    before = GetLastError()
    call(handle)
    SetLastError(before)
