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
from _thread import _local, allocate_lock

from . import errors, section
from ._backend import backend
from .section import Section, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._backend.contract import Access, ViewAccess

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
ERROR_INVALID_ADDRESS = errors.ERROR_INVALID_ADDRESS
ERROR_MAPPED_ALIGNMENT = errors.ERROR_MAPPED_ALIGNMENT
ERROR_NO_SYSTEM_RESOURCES = errors.ERROR_NO_SYSTEM_RESOURCES
ERROR_COMMITMENT_LIMIT = errors.ERROR_COMMITMENT_LIMIT

__all__ = [
    "CloseHandle",
    "CopyMemory",
    "CreateFileMapping",
    "DuplicateHandle",
    "FlushViewOfFile",
    "GetCurrentProcess",
    "GetLastError",
    "MapViewOfFile",
    "MapViewOfFileEx",
    "OpenFileMapping",
    "OpenProcess",
    "SECURITY_ATTRIBUTES",
    "SetLastError",
    "UnmapViewOfFile",
    *sorted(k for k in globals() if k.startswith(("PAGE_", "SEC_", "FILE_MAP_", "DUPLICATE_", "ERROR_", "PROCESS_", "MEM_"))),
    "INVALID_HANDLE_VALUE",
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


class _Process:
    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid


_handles: dict[int, _FileMapping | _Process] = {}
_handles_lock = allocate_lock()
_next_number = 0x40000000  # above anything a Windows kernel or send_handle() hands out


def _register(item: _FileMapping | _Process) -> int:
    global _next_number
    with _handles_lock:
        number = getattr(item.section._handle, "os_handle", None) if isinstance(item, _FileMapping) else None
        if number is None:
            number = _next_number
            _next_number += 4
        _handles[number] = item
    return number


def _mapping(handle: int) -> _FileMapping:
    item = _handles.get(handle)
    if item is None and isinstance(handle, int) and handle > 0:  # another process may have sent it
        received = Section(backend.receive_handle(handle))
        access = FILE_MAP_READ | (FILE_MAP_WRITE if received.access == "write" else 0)
        item = _handles[handle] = _FileMapping(received, access)
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
        attributes = lpAttributes or {}
        if not isinstance(attributes, dict):
            attributes = vars(attributes)
        made = section.create(
            lpName or None,
            size,
            exist_ok=True,
            mode=attributes.get("mode", 0o600),
            group=attributes.get("group"),
            writable=kinds[0],
            executable=kinds[1],
            reserve=bool(options & SEC_RESERVE),
            file=None if hFile == INVALID_HANDLE_VALUE else hFile,
            inheritable=bool(attributes.get("inherit", attributes.get("bInheritHandle", False))),
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
        return item.section.map(
            offset, -(-length // _PAGE) * _PAGE, access, executable=bool(dwDesiredAccess & FILE_MAP_EXECUTE)
        )
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
    item = _handles.pop(hObject, None)
    if item is None:
        try:
            item = _mapping(hObject)  # sent by another process and never used
            del _handles[hObject]
        except OSError as error:
            _refuse(error)
            return False
    if isinstance(item, _FileMapping):
        item.section.close()
    return True


def GetCurrentProcess() -> int:
    """The pseudo handle of this process."""
    return _CURRENT_PROCESS


def OpenProcess(dwDesiredAccess: int, bInheritHandle: bool, dwProcessId: int) -> int:
    """A handle to a process of this user, for DuplicateHandle.  0 with 87 if there is none."""
    try:
        if os.name == "posix":
            os.kill(dwProcessId, 0)
    except PermissionError:
        SetLastError(ERROR_ACCESS_DENIED)
        return 0
    except (ProcessLookupError, OverflowError):
        SetLastError(ERROR_INVALID_PARAMETER)
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
        item = _mapping(hSourceHandle)
        rights = item.access if dwOptions & DUPLICATE_SAME_ACCESS else _rights(dwDesiredAccess)
        if rights & ~item.access:
            raise errors.AccessDenied("A duplicate cannot have more access than its source", call="DuplicateHandle")
        access: Access = "write" if rights & FILE_MAP_WRITE else "read"
        if hTargetProcessHandle == _CURRENT_PROCESS:
            result = _register(_FileMapping(item.section.duplicate(access), rights))
        else:
            target = _handles.get(hTargetProcessHandle)
            if not isinstance(target, _Process):
                raise errors.ClosedHandle(f"{hTargetProcessHandle!r} is not an open process handle", call="DuplicateHandle")
            result = backend.send_handle(item.section._handle, target.pid, access)
    except OSError as error:
        _refuse(error)
        result = 0
    if dwOptions & DUPLICATE_CLOSE_SOURCE:  # also on failure, as documented
        _quietly(CloseHandle, hSourceHandle)
    return result


def _quietly(call: Callable[[int], bool], handle: int) -> None:
    before = GetLastError()
    call(handle)
    SetLastError(before)


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
