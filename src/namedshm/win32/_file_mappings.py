"""File mappings and their views."""

from __future__ import annotations

from namedshm import errors, section
from namedshm.section import View

from ._constants import (
    ERROR_ALREADY_EXISTS,
    ERROR_BAD_EXE_FORMAT,
    ERROR_INVALID_ADDRESS,
    ERROR_SUCCESS,
    FILE_MAP_COPY,
    FILE_MAP_EXECUTE,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    INVALID_HANDLE_VALUE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    SEC_COMMIT,
    SEC_IMAGE,
    SEC_NOCACHE,
    SEC_RESERVE,
    SEC_WRITECOMBINE,
)
from ._handles import FileMapping, lookup, register
from ._last_error import SetLastError, refuse
from ._security import SECURITY_ATTRIBUTES, security

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer

    from namedshm._backend.contract import Access, ViewAccess

_PROTECTIONS = {  # flProtect -> (writable, executable)
    PAGE_READONLY: (False, False),
    PAGE_READWRITE: (True, False),
    PAGE_WRITECOPY: (False, False),
    PAGE_EXECUTE_READ: (False, True),
    PAGE_EXECUTE_READWRITE: (True, True),
    PAGE_EXECUTE_WRITECOPY: (False, True),
}


def lookup_mapping(handle: int) -> FileMapping:
    item = lookup(handle)
    if not isinstance(item, FileMapping):
        raise errors.ClosedHandle(f"{handle!r} is not an open file mapping handle", call="MapViewOfFile")
    return item


def map_rights(access: int) -> int:
    """What MapViewOfFile may ask of a handle opened so: FILE_MAP_COPY means reading."""
    rights = access & (FILE_MAP_READ | FILE_MAP_WRITE)
    return rights | FILE_MAP_READ if access & FILE_MAP_COPY and not access & FILE_MAP_WRITE else rights


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
        mode, group, inheritable = security(lpAttributes)
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
        refuse(error)
        return 0
    handle = register(FileMapping(made, FILE_MAP_READ | (FILE_MAP_WRITE if kinds[0] else 0)))
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
        rights = map_rights(dwDesiredAccess)
        access: Access = "write" if rights & FILE_MAP_WRITE else "read"
        opened = section.open(lpName, access, inheritable=bInheritHandle)  # type: ignore[arg-type]
    except OSError as error:
        refuse(error)
        return 0
    return register(FileMapping(opened, rights))


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
        item = lookup_mapping(hFileMappingObject)
        access, needed = _view_access(dwDesiredAccess)
        if needed & ~item.access:
            raise errors.AccessDenied("The handle does not allow that access", call="MapViewOfFile")
        offset = (dwFileOffsetHigh & 0xFFFFFFFF) << 32 | (dwFileOffsetLow & 0xFFFFFFFF)
        length = dwNumberOfBytesToMap or max(1, item.section.size - offset)
        return item.section._map_pages(offset, length, access, bool(dwDesiredAccess & FILE_MAP_EXECUTE))
    except OSError as error:
        refuse(error)
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


def UnmapViewOfFile(lpBaseAddress: View | None) -> bool:
    """Unmap a view.  False with 487 if it is not one, or was unmapped before."""
    if not isinstance(lpBaseAddress, View) or lpBaseAddress.closed:
        SetLastError(ERROR_INVALID_ADDRESS)
        return False
    lpBaseAddress.close()
    return True


def FlushViewOfFile(lpBaseAddress: View | None, dwNumberOfBytesToFlush: int) -> bool:
    """Write the first bytes of a file-backed view to the file (0: all)."""
    if not isinstance(lpBaseAddress, View) or lpBaseAddress.closed:
        SetLastError(ERROR_INVALID_ADDRESS)
        return False
    try:
        lpBaseAddress.flush(0, dwNumberOfBytesToFlush or None)
    except OSError as error:
        refuse(error)
        return False
    return True


def CopyMemory(Destination: Buffer, Source: Buffer, Length: int) -> None:
    """Copy bytes between buffers: views, bytes, bytearrays, arrays.  Neither end may be shorter than Length (ValueError)."""
    source, target = memoryview(Source).cast("B"), memoryview(Destination).cast("B")
    if not 0 <= Length <= min(len(source), len(target)):
        raise ValueError(f"cannot copy {Length} bytes: the source has {len(source)}, the destination {len(target)}")
    target[:Length] = source[:Length]
