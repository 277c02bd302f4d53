r"""The Win32 spelling: Microsoft's names, constants and argument order, so that Windows code ports line by line, on every system.

    from namedshm.win32 import *

    hMapFile = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 256, "MyFileMappingObject")
    if not hMapFile:
        print(f"Could not create file mapping object ({GetLastError()}).")

Functions return what the Windows ones return: a handle (a number) or 0, a view or None, True or False; the reason of a failure is
GetLastError(), per thread.  Views are :class:`namedshm.View` buffers instead of pointers.  This module has no behaviour of its
own: it turns flags into calls of :mod:`namedshm.section` and exceptions into error numbers.

Reference: https://learn.microsoft.com/windows/win32/memory/creating-named-shared-memory
"""

from __future__ import annotations

import os
import sys
import time
from _thread import _local, get_ident
from itertools import count

from . import errors, section
from ._backend import SPIN as _SPIN
from ._backend import SyncHandle as _SyncHandle
from ._backend import backend
from .names import Name
from .section import Section, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._backend.contract import Access, Kind, SyncAccess, SyncHandle, ViewAccess

INVALID_HANDLE_VALUE = -1
PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY = 0x01, 0x02, 0x04, 0x08
PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY = 0x10, 0x20, 0x40, 0x80
PAGE_GUARD, PAGE_NOCACHE, PAGE_WRITECOMBINE = 0x100, 0x200, 0x400
SEC_IMAGE, SEC_RESERVE, SEC_COMMIT, SEC_NOCACHE = 0x01000000, 0x04000000, 0x08000000, 0x10000000
SEC_WRITECOMBINE, SEC_LARGE_PAGES = 0x40000000, 0x80000000
FILE_MAP_COPY, FILE_MAP_WRITE, FILE_MAP_READ, FILE_MAP_EXECUTE = 0x01, 0x02, 0x04, 0x20
FILE_MAP_ALL_ACCESS = 0xF001F
DUPLICATE_CLOSE_SOURCE, DUPLICATE_SAME_ACCESS = 0x01, 0x02
PROCESS_DUP_HANDLE = 0x40
MEM_COMMIT = 0x1000
DELETE, READ_CONTROL, WRITE_DAC, WRITE_OWNER, SYNCHRONIZE = 0x10000, 0x20000, 0x40000, 0x80000, 0x100000
MUTEX_MODIFY_STATE, MUTEX_ALL_ACCESS = 0x0001, 0x1F0001
EVENT_MODIFY_STATE, EVENT_ALL_ACCESS = 0x0002, 0x1F0003
SEMAPHORE_MODIFY_STATE, SEMAPHORE_ALL_ACCESS = 0x0002, 0x1F0003
INFINITE = 0xFFFFFFFF
WAIT_OBJECT_0, WAIT_ABANDONED, WAIT_ABANDONED_0, WAIT_TIMEOUT, WAIT_FAILED = 0, 0x80, 0x80, 258, 0xFFFFFFFF
MAXIMUM_WAIT_OBJECTS = 64

ERROR_SUCCESS = 0
ERROR_FILE_NOT_FOUND = errors.ERROR_FILE_NOT_FOUND
ERROR_PATH_NOT_FOUND = errors.ERROR_PATH_NOT_FOUND
ERROR_ACCESS_DENIED = errors.ERROR_ACCESS_DENIED
ERROR_INVALID_HANDLE = errors.ERROR_INVALID_HANDLE
ERROR_NOT_ENOUGH_MEMORY = errors.ERROR_NOT_ENOUGH_MEMORY
ERROR_INVALID_PARAMETER = errors.ERROR_INVALID_PARAMETER
ERROR_INVALID_NAME = errors.ERROR_INVALID_NAME
ERROR_BAD_PATHNAME = errors.ERROR_BAD_PATHNAME
ERROR_ALREADY_EXISTS = errors.ERROR_ALREADY_EXISTS
ERROR_BAD_EXE_FORMAT = errors.ERROR_BAD_EXE_FORMAT
ERROR_FILENAME_EXCED_RANGE = errors.ERROR_FILENAME_EXCED_RANGE
ERROR_NOT_OWNER = errors.ERROR_NOT_OWNER
ERROR_TOO_MANY_POSTS = errors.ERROR_TOO_MANY_POSTS
ERROR_INVALID_ADDRESS = errors.ERROR_INVALID_ADDRESS
ERROR_MAPPED_ALIGNMENT = errors.ERROR_MAPPED_ALIGNMENT
ERROR_NO_SYSTEM_RESOURCES = errors.ERROR_NO_SYSTEM_RESOURCES
ERROR_COMMITMENT_LIMIT = errors.ERROR_COMMITMENT_LIMIT

__all__ = [
    "CloseHandle",
    "CopyMemory",
    "CreateEvent",
    "CreateFileMapping",
    "CreateMutex",
    "CreateSemaphore",
    "DuplicateHandle",
    "FlushViewOfFile",
    "GetCurrentProcess",
    "GetLastError",
    "MapViewOfFile",
    "MapViewOfFileEx",
    "OpenEvent",
    "OpenFileMapping",
    "OpenMutex",
    "OpenProcess",
    "OpenSemaphore",
    "PulseEvent",
    "ReleaseMutex",
    "ReleaseSemaphore",
    "ResetEvent",
    "SECURITY_ATTRIBUTES",
    "SetEvent",
    "SetLastError",
    "UnmapViewOfFile",
    "WaitForMultipleObjects",
    "WaitForSingleObject",
    *sorted(
        name
        for name in globals()
        if name.startswith(
            ("PAGE_", "SEC_", "FILE_MAP_", "DUPLICATE_", "ERROR_", "PROCESS_", "MEM_", "MUTEX_", "EVENT_", "SEMAPHORE_", "WAIT_")
        )
    ),
    "INFINITE",
    "INVALID_HANDLE_VALUE",
    "MAXIMUM_WAIT_OBJECTS",
    "SYNCHRONIZE",
]

_PAGE = backend.page_size
_PROTECTIONS = {  # flProtect -> (writable, executable)
    PAGE_READONLY: (False, False),
    PAGE_READWRITE: (True, False),
    PAGE_WRITECOPY: (False, False),
    PAGE_EXECUTE_READ: (False, True),
    PAGE_EXECUTE_READWRITE: (True, True),
    PAGE_EXECUTE_WRITECOPY: (False, True),
}
_CURRENT_PROCESS = -1


class SECURITY_ATTRIBUTES:
    """Who else may use the object.  ``mode`` and ``group`` stand for a security descriptor: see :func:`namedshm.create`."""

    def __init__(self, bInheritHandle: bool = False, *, mode: int = 0o600, group: str | int | None = None) -> None:
        self.bInheritHandle = bInheritHandle
        self.mode = mode
        self.group = group


def _security(attributes: SECURITY_ATTRIBUTES | dict[str, Any] | None) -> tuple[int, str | int | None, bool]:
    """Mode, group and inheritance: of a SECURITY_ATTRIBUTES, of a dict with its fields, or the defaults."""
    facts = attributes if isinstance(attributes, dict) else vars(attributes) if attributes else {}
    return facts.get("mode", 0o600), facts.get("group"), bool(facts.get("inherit", facts.get("bInheritHandle", False)))


# ------------------------------------------------------------------------------------------------------------ last error
_thread = _local()


def GetLastError() -> int:
    """The number of this thread's last failure; Create functions set it on success, too (0 or 183)."""
    return getattr(_thread, "error", 0)


def SetLastError(dwErrCode: int) -> None:
    """Set this thread's last error."""
    _thread.error = dwErrCode


# ------------------------------------------------------------------------------------------------------------ handles
class _FileMapping:
    __slots__ = ("access", "section")

    def __init__(self, section: Section, access: int) -> None:
        self.section = section
        self.access = access  # FILE_MAP_READ and FILE_MAP_WRITE, each on its own: a write handle need not read


class _Sync:
    __slots__ = ("handle",)

    def __init__(self, handle: SyncHandle) -> None:
        self.handle = handle


class _Process:
    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid


# No lock guards these: signal handlers and the collector call functions of this module in the midst of others, threads fork in the
# midst of them, and taking over a handle that was sent may take a while.  Single operations on a dictionary are atomic.
_handles: dict[int, _FileMapping | _Sync | _Process] = {}
_receiving: dict[int, tuple[int]] = {}  # which thread is just taking over, or closing, a number; a new tuple each time
_numbers = count(0x40000000, 4)  # above anything a Windows kernel or send_handle() hands out
_NAP = 50e-6  # seconds


class _Forking(_local):
    handles: dict[int, _FileMapping | _Sync | _Process] | None = None


_forking = _Forking()


def _before_fork() -> None:
    """Without a global lock each dictionary has its own, which CPython gives to a thread that has waited for it.  A fork may come
    before that thread wakes up, and in the child nobody lets it go.  So the child has a copy, made while everybody is there."""
    _forking.handles = dict(_handles)


def _in_parent() -> None:
    _forking.handles = None


def _in_child() -> None:
    """No claims: the threads are not here, and what was sent was sent to the parent."""
    global _handles, _receiving
    _receiving = {}
    if _forking.handles is not None:
        _handles, _forking.handles = _forking.handles, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent)


def _register(item: _FileMapping | _Sync | _Process) -> int:
    kernel: Any = item.section._handle if isinstance(item, _FileMapping) else getattr(item, "handle", None)
    number: int | None = getattr(kernel, "os_handle", None)
    if number is not None:
        _handles[number] = item
        return number
    while True:
        number = next(_numbers)
        if _handles.setdefault(number, item) is item:
            return number


def _item(handle: int) -> _FileMapping | _Sync | _Process:
    """What a number stands for; a handle that another process sent is taken over.  Raises ClosedHandle."""
    handle = _number(handle)
    item = _handles.get(handle)
    if item is not None:
        return item
    if handle <= 0:
        raise errors.ClosedHandle(f"{handle} is not an open handle", call="CloseHandle")
    _claim(handle)
    try:
        item = _handles.get(handle)  # again: another thread may have taken it over
        if item is None:
            item = _handles[handle] = _received(handle)
        return item
    finally:
        _receiving.pop(handle, None)


def _number(handle: object) -> int:
    """A plain number: comparing one of a class made from int may run any code, amidst a claim, too.  Raises ClosedHandle."""
    if type(handle) is int:
        return handle
    if not issubclass(type(handle), int):
        raise errors.ClosedHandle("A handle is a number, and this is none", call="CloseHandle")
    return int.__index__(handle)  # type: ignore[arg-type]


def _claim(handle: int) -> None:
    """Be the one thread that takes a number over, or closes it; until _receiving.pop().  Raises ClosedHandle."""
    me = (get_ident(),)
    while (other := _receiving.setdefault(handle, me)) is not me:
        if other == me:  # a signal handler, or the collector, in the midst of the same: it cannot wait for what it interrupts
            raise errors.ClosedHandle(f"{handle!r} is just being taken over or closed by this thread", call="receive_handle")
        time.sleep(_NAP)  # the other thread will be through at once


def _received(handle: int) -> _FileMapping | _Sync:
    """A handle that another process has sent here."""
    kernel: Any = backend.receive_handle(handle)
    if isinstance(kernel, _SyncHandle):
        return _Sync(kernel)
    opened = Section(kernel)
    return _FileMapping(opened, FILE_MAP_READ | (FILE_MAP_WRITE if opened.access == "write" else 0))


def _mapping(handle: int) -> _FileMapping:
    item = _item(handle)
    if not isinstance(item, _FileMapping):
        raise errors.ClosedHandle(f"{handle!r} is not an open file mapping handle", call="MapViewOfFile")
    return item


def _rights(access: int) -> int:
    """What MapViewOfFile may ask of a handle opened so: FILE_MAP_COPY means reading."""
    rights = access & (FILE_MAP_READ | FILE_MAP_WRITE)
    return rights | FILE_MAP_READ if access & FILE_MAP_COPY and not access & FILE_MAP_WRITE else rights


def _refuse(error: OSError) -> None:
    SetLastError(getattr(error, "winerror", None) or 31)


# ------------------------------------------------------------------------------------------------------------ file mappings
def CreateFileMapping(
    hFile: int,
    lpAttributes: SECURITY_ATTRIBUTES | dict[str, Any] | None,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Create a file mapping object or open the existing one of that name.

    Args:
        hFile: INVALID_HANDLE_VALUE for memory, or an open file (a descriptor; on Windows a handle).
        lpAttributes: None for the default: this user only.
        flProtect: PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY or an executable form, with SEC_COMMIT or SEC_RESERVE.
        dwMaximumSizeHigh, dwMaximumSizeLow: size in bytes, two halves of 32 bits.
        lpName: None or "" for an unnamed object.

    Returns: a handle, or 0.  Last error: 0 made, 183 (ERROR_ALREADY_EXISTS) existed; else what went wrong.
    """
    try:
        protection, options = flProtect & 0xFF, flProtect & 0xFFFFFF00
        kinds = _PROTECTIONS.get(protection)
        if kinds is None or not _valid_options(options):
            raise errors.InvalidArgument(f"flProtect {flProtect:#x} is not a protection CreateFileMapping takes")
        if options & SEC_IMAGE:
            raise errors.InvalidArgument("SEC_IMAGE needs an executable file", winerror=ERROR_BAD_EXE_FORMAT)
        size = (dwMaximumSizeHigh & 0xFFFFFFFF) << 32 | (dwMaximumSizeLow & 0xFFFFFFFF)
        mode, group, inheritable = _security(lpAttributes)
        made = section.create(
            lpName or None,
            size,
            exist_ok=True,
            mode=mode,
            group=group,
            writable=kinds[0],
            executable=kinds[1],
            reserve=bool(options & SEC_RESERVE),
            file=None if hFile == INVALID_HANDLE_VALUE else hFile,
            inheritable=inheritable,
        )
    except OSError as error:
        _refuse(error)
        return 0
    handle = _register(_FileMapping(made, FILE_MAP_READ | (FILE_MAP_WRITE if kinds[0] else 0)))
    SetLastError(ERROR_SUCCESS if made.created else ERROR_ALREADY_EXISTS)
    return handle


def _valid_options(options: int) -> bool:
    if options & ~(SEC_IMAGE | SEC_RESERVE | SEC_COMMIT | SEC_NOCACHE | SEC_WRITECOMBINE):
        return False  # PAGE_GUARD, PAGE_NOCACHE ..., and SEC_LARGE_PAGES, which needs a privilege
    if options & SEC_RESERVE and options & SEC_COMMIT:
        return False
    needs_kind = options & (SEC_NOCACHE | SEC_WRITECOMBINE)
    return not needs_kind or bool(options & (SEC_RESERVE | SEC_COMMIT))


def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open a living file mapping object.  Returns a handle, or 0; success leaves the last error alone."""
    try:
        rights = _rights(dwDesiredAccess)
        access: Access = "write" if rights & FILE_MAP_WRITE else "read"
        opened = section.open(lpName, access, inheritable=bInheritHandle)  # type: ignore[arg-type]
    except OSError as error:
        _refuse(error)
        return 0
    return _register(_FileMapping(opened, rights))


def MapViewOfFile(
    hFileMappingObject: int,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> View | None:
    """Map a view.  Returns a buffer instead of a pointer, or None.  Length 0 means to the end; lengths round up to pages."""
    return MapViewOfFileEx(hFileMappingObject, dwDesiredAccess, dwFileOffsetHigh, dwFileOffsetLow, dwNumberOfBytesToMap, None)


def MapViewOfFileEx(
    hFileMappingObject: int,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
    lpBaseAddress: int | None,
) -> View | None:
    """MapViewOfFile; a base address other than None fails with 487 (fixed addresses are not supported)."""
    try:
        if lpBaseAddress:
            raise errors.InvalidArgument(
                "Views cannot be mapped at a fixed address: pass None", winerror=ERROR_INVALID_ADDRESS, call="MapViewOfFileEx"
            )
        item = _mapping(hFileMappingObject)
        access, needed = _view_access(dwDesiredAccess)
        if needed & ~item.access:
            raise errors.AccessDenied("The handle does not allow that access", call="MapViewOfFile")
        offset = (dwFileOffsetHigh & 0xFFFFFFFF) << 32 | (dwFileOffsetLow & 0xFFFFFFFF)
        length = dwNumberOfBytesToMap or max(1, item.section.size - offset)
        return item.section._map_pages(offset, length, access, bool(dwDesiredAccess & FILE_MAP_EXECUTE))
    except OSError as error:
        _refuse(error)
        return None


def _view_access(desired: int) -> tuple[ViewAccess, int]:
    """The view's access, and the right of the handle it needs."""
    if desired & FILE_MAP_WRITE:
        return "write", FILE_MAP_WRITE
    if desired & FILE_MAP_READ:  # also READ|COPY: Windows maps that read-only
        return "read", FILE_MAP_READ
    if desired & FILE_MAP_COPY:
        return "copy", FILE_MAP_READ
    raise errors.InvalidArgument(f"Access {desired:#x} maps nothing: pass FILE_MAP_READ, _WRITE or _COPY", call="MapViewOfFile")


def UnmapViewOfFile(lpBaseAddress: View) -> bool:
    """Unmap a view.  False with 487 if it is not one, or was unmapped before."""
    if not isinstance(lpBaseAddress, View) or lpBaseAddress.closed:
        SetLastError(ERROR_INVALID_ADDRESS)
        return False
    lpBaseAddress.close()
    return True


def FlushViewOfFile(lpBaseAddress: View, dwNumberOfBytesToFlush: int) -> bool:
    """Write the first bytes of a file-backed view to the file (0: all)."""
    if not isinstance(lpBaseAddress, View) or lpBaseAddress.closed:
        SetLastError(ERROR_INVALID_ADDRESS)
        return False
    try:
        lpBaseAddress.flush(0, dwNumberOfBytesToFlush or None)
    except OSError as error:
        _refuse(error)
        return False
    return True


def CopyMemory(Destination: Any, Source: Any, Length: int) -> None:
    """Copy bytes between buffers: views, bytes, bytearrays, arrays.  Neither end may be shorter than Length (ValueError)."""
    source, target = memoryview(Source).cast("B"), memoryview(Destination).cast("B")
    if not 0 <= Length <= min(len(source), len(target)):
        raise ValueError(f"cannot copy {Length} bytes: the source has {len(source)}, the destination {len(target)}")
    target[:Length] = source[:Length]


# ------------------------------------------------------------------------------------------------------------ any handle
def CloseHandle(hObject: int) -> bool:
    """Close a handle.  False with 6 if it is not open."""
    try:
        hObject = _number(hObject)
        _item(hObject)
        _claim(hObject)  # until it is closed: on Windows the number can still be taken over while it is not
    except OSError as error:
        _refuse(error)
        return False
    try:
        item = _handles.pop(hObject, None)
        if isinstance(item, _FileMapping):
            item.section.close()
        elif isinstance(item, _Sync):
            item.handle.close()
    finally:
        _receiving.pop(hObject, None)
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
        _refuse(error)
        return 0
    return _register(_Process(dwProcessId))


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
        item = _item(hSourceHandle)
        if isinstance(item, _Sync):
            result = _duplicate_sync(item, hTargetProcessHandle, dwDesiredAccess, dwOptions)
        else:
            result = _duplicate_mapping(_mapping(hSourceHandle), hTargetProcessHandle, dwDesiredAccess, dwOptions)
    except OSError as error:
        _refuse(error)
        result = 0
    if dwOptions & DUPLICATE_CLOSE_SOURCE:  # also on failure, as documented
        _quietly(CloseHandle, hSourceHandle)
    return result


def _duplicate_mapping(item: _FileMapping, process: int, desired: int, options: int) -> int:
    rights = item.access if options & DUPLICATE_SAME_ACCESS else _rights(desired)
    if rights & ~item.access:
        raise errors.AccessDenied("A duplicate cannot have more access than its source", call="DuplicateHandle")
    access: Access = "write" if rights & FILE_MAP_WRITE else "read"
    if process == _CURRENT_PROCESS:
        return _register(_FileMapping(item.section.duplicate(access), rights))
    return backend.send_handle(item.section._handle, _pid(process), access)


def _duplicate_sync(item: _Sync, process: int, desired: int, options: int) -> int:
    mine = item.handle.access
    access = mine if options & DUPLICATE_SAME_ACCESS else _sync_access(item.handle.kind, desired)
    if access != mine and mine != "full":
        raise errors.AccessDenied("A duplicate cannot have more access than its source", call="DuplicateHandle")
    if process == _CURRENT_PROCESS:
        return _register(_Sync(item.handle.duplicate_as(access)))
    return backend.send_handle(item.handle, _pid(process), access)


def _pid(process: int) -> int:
    target = _handles.get(process)
    if not isinstance(target, _Process):
        raise errors.ClosedHandle(f"{process!r} is not an open process handle", call="DuplicateHandle")
    return target.pid


def _quietly(call: Callable[[int], bool], handle: int) -> None:
    before = GetLastError()
    call(handle)
    SetLastError(before)


# ------------------------------------------------------------------------------------------------------------ synchronisation
def _create_sync(kind: Kind, attributes: Any, name: str | None, initial: int = 0, manual: bool = False, maximum: int = 0) -> int:
    try:
        mode, group, inheritable = _security(attributes)
        made = backend.create_sync(
            _SyncHandle,
            kind,
            Name(name) if name else None,
            True,
            mode,
            group,
            initial,
            manual,
            maximum,
            inheritable,
        )
    except OSError as error:
        _refuse(error)
        return 0
    handle = _register(_Sync(made))
    SetLastError(ERROR_SUCCESS if made.created else ERROR_ALREADY_EXISTS)
    return handle


def _sync_access(kind: Kind, desired: int) -> SyncAccess:
    modify = MUTEX_MODIFY_STATE if kind == "mutex" else EVENT_MODIFY_STATE
    if desired & SYNCHRONIZE:
        return "full" if desired & modify else "wait"
    return "modify"


def _open_sync(kind: Kind, desired: int, inherit: bool, name: str | None) -> int:
    try:
        if name is None:
            raise errors.InvalidArgument("A name is needed to open an object", call="Open")
        return _register(_Sync(backend.open_sync(_SyncHandle, kind, Name(name), _sync_access(kind, desired), inherit)))
    except OSError as error:
        _refuse(error)
        return 0


def _sync(handle: int, kind: Kind) -> SyncHandle:
    item = _item(handle)
    if not isinstance(item, _Sync) or item.handle.kind != kind:
        raise errors.ClosedHandle(f"{handle!r} is not an open {kind} handle", call=kind)
    return item.handle


def _change(handle: int, kind: Kind, call: Callable[[SyncHandle], object]) -> bool:
    try:
        call(_sync(handle, kind))
    except OSError as error:
        _refuse(error)
        return False
    return True


def CreateMutex(lpMutexAttributes: Any, bInitialOwner: bool, lpName: str | None) -> int:
    """Create a mutex or open the living one (183; bInitialOwner is ignored then).  A handle, or 0."""
    return _create_sync("mutex", lpMutexAttributes, lpName, initial=int(bool(bInitialOwner)))


def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open a living mutex.  A handle, or 0."""
    return _open_sync("mutex", dwDesiredAccess, bInheritHandle, lpName)


def ReleaseMutex(hMutex: int) -> bool:
    """Release it once; False with 288 if this thread does not own it."""
    return _change(hMutex, "mutex", lambda handle: handle.release_mutex())


def CreateEvent(lpEventAttributes: Any, bManualReset: bool, bInitialState: bool, lpName: str | None) -> int:
    """Create an event or open the living one (183; its settings stay).  A handle, or 0."""
    return _create_sync("event", lpEventAttributes, lpName, initial=int(bool(bInitialState)), manual=bool(bManualReset))


def OpenEvent(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open a living event.  A handle, or 0."""
    return _open_sync("event", dwDesiredAccess, bInheritHandle, lpName)


def SetEvent(hEvent: int) -> bool:
    """Set it."""
    return _change(hEvent, "event", lambda handle: handle.set_event())


def ResetEvent(hEvent: int) -> bool:
    """Reset it."""
    return _change(hEvent, "event", lambda handle: handle.reset_event())


def PulseEvent(hEvent: int) -> bool:
    """Release who waits now (auto-reset: one), and leave it reset."""
    return _change(hEvent, "event", lambda handle: handle.pulse_event())


def CreateSemaphore(lpSemaphoreAttributes: Any, lInitialCount: int, lMaximumCount: int, lpName: str | None) -> int:
    """Create a semaphore or open the living one (183; its counts stay).  A handle, or 0 (87 for counts that cannot be)."""
    if not 0 < lMaximumCount <= 0x7FFFFFFF or not 0 <= lInitialCount <= lMaximumCount:
        SetLastError(ERROR_INVALID_PARAMETER)
        return 0
    return _create_sync("semaphore", lpSemaphoreAttributes, lpName, initial=lInitialCount, maximum=lMaximumCount)


def OpenSemaphore(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open a living semaphore.  A handle, or 0."""
    return _open_sync("semaphore", dwDesiredAccess, bInheritHandle, lpName)


def ReleaseSemaphore(hSemaphore: int, lReleaseCount: int) -> tuple[bool, int]:
    """Give back; (True, count before), or (False, 0): 298 beyond the maximum, 87 for less than 1."""
    try:
        handle = _sync(hSemaphore, "semaphore")
        if not 0 < lReleaseCount <= 0x7FFFFFFF:
            raise errors.InvalidArgument("At least 1 is released", call="ReleaseSemaphore")
        return True, handle.release_semaphore(lReleaseCount)
    except OSError as error:
        _refuse(error)
        return False, 0


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
        index, abandoned = backend.wait(handles, bool(bWaitAll), timeout, _SPIN)
    except OSError as error:
        _refuse(error)
        return WAIT_FAILED
    if index < 0:
        return WAIT_TIMEOUT
    return (WAIT_ABANDONED_0 if abandoned else WAIT_OBJECT_0) + index


def _waitable(number: int) -> SyncHandle:
    item = _item(number)
    if isinstance(item, _Sync):
        return item.handle
    if isinstance(item, _FileMapping):
        raise errors.AccessDenied("File mappings cannot be waited for", call="WaitForMultipleObjects")
    raise errors.ClosedHandle(f"{number!r} is not an open handle", call="WaitForMultipleObjects")


# ------------------------------------------------------------------------------------------------------------ pointers
# What C does with the pointer itself has no function in Win32; these stand for it (VirtualQuery, VirtualAlloc, dereferencing).
def view_read(view: View, offset: int, length: int) -> bytes:
    """Bytes of a view; OSError where C would fault."""
    return view[offset : offset + length]


def view_write(view: View, offset: int, data: bytes) -> None:
    """Write bytes into a view; OSError where C would fault."""
    view[offset : offset + len(data)] = data


def view_size(view: View) -> int:
    """Bytes accessible from the view's start (VirtualQuery: RegionSize), whole pages."""
    size = backend.reach(view)
    return -(-size // _PAGE) * _PAGE


def view_protect(view: View) -> int:
    """PAGE_* of the view (VirtualQuery: Protect)."""
    protect = {"read": PAGE_READONLY, "write": PAGE_READWRITE, "copy": PAGE_WRITECOPY}[view.access]
    return protect << 4 if view.executable else protect


def view_commit(view: View, offset: int, length: int) -> bool:
    """Commit pages of a view of a SEC_RESERVE object (VirtualAlloc with MEM_COMMIT)."""
    try:
        backend.commit_view(view, offset, length)
    except OSError as error:
        _refuse(error)
        return False
    return True


def view_offset(view: View, length: int) -> int:
    """The address ``length`` bytes inside the view."""
    return view.address + length
