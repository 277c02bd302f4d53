r"""The Win32 spelling: Microsoft's names, constants and argument order, so that Windows code ports line by line, on every system.

    from namedshm.win32 import *

    hMapFile = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 256, "MyFileMappingObject")
    if not hMapFile:
        print(f"Could not create file mapping object ({GetLastError()}).")

Functions return what the Windows ones return: a handle (a number) or 0, a view or None, True or False; the reason of a failure is
GetLastError(), per thread.  Views are :class:`namedshm.View` buffers instead of pointers.  This package has no behaviour of
its own: it turns flags into calls of :mod:`namedshm.section` and exceptions into error numbers.

    _constants.py  _last_error.py  _security.py    numbers, GetLastError(), SECURITY_ATTRIBUTES
    _handles.py                                    which number stands for which object
    _file_mappings.py  _pointers.py                file mappings, views, and what C does with a pointer into one
    _synchronization.py  _waits.py                 mutexes, events, semaphores; waiting for them
    _any_handle.py                                 CloseHandle, DuplicateHandle

Reference: https://learn.microsoft.com/windows/win32/memory/creating-named-shared-memory
"""

from __future__ import annotations

from ._any_handle import CloseHandle, DuplicateHandle, GetCurrentProcess, OpenProcess
from ._constants import *
from ._file_mappings import (
    CopyMemory,
    CreateFileMapping,
    FlushViewOfFile,
    MapViewOfFile,
    MapViewOfFileEx,
    OpenFileMapping,
    UnmapViewOfFile,
)
from ._last_error import GetLastError, SetLastError
from ._pointers import view_commit as view_commit
from ._pointers import view_offset as view_offset
from ._pointers import view_protect as view_protect
from ._pointers import view_read as view_read
from ._pointers import view_size as view_size
from ._pointers import view_write as view_write
from ._security import SECURITY_ATTRIBUTES
from ._synchronization import (
    CreateEvent,
    CreateMutex,
    CreateSemaphore,
    OpenEvent,
    OpenMutex,
    OpenSemaphore,
    PulseEvent,
    ReleaseMutex,
    ReleaseSemaphore,
    ResetEvent,
    SetEvent,
)
from ._waits import WaitForMultipleObjects, WaitForSingleObject

# Written out, for type checkers compute nothing.
__all__ = [
    "DUPLICATE_CLOSE_SOURCE",
    "DUPLICATE_SAME_ACCESS",
    "ERROR_ACCESS_DENIED",
    "ERROR_ALREADY_EXISTS",
    "ERROR_BAD_EXE_FORMAT",
    "ERROR_BAD_PATHNAME",
    "ERROR_COMMITMENT_LIMIT",
    "ERROR_FILENAME_EXCED_RANGE",
    "ERROR_FILE_NOT_FOUND",
    "ERROR_INVALID_ADDRESS",
    "ERROR_INVALID_HANDLE",
    "ERROR_INVALID_NAME",
    "ERROR_INVALID_PARAMETER",
    "ERROR_MAPPED_ALIGNMENT",
    "ERROR_NOT_ENOUGH_MEMORY",
    "ERROR_NOT_OWNER",
    "ERROR_NO_SYSTEM_RESOURCES",
    "ERROR_PATH_NOT_FOUND",
    "ERROR_SUCCESS",
    "ERROR_TOO_MANY_POSTS",
    "EVENT_ALL_ACCESS",
    "EVENT_MODIFY_STATE",
    "FILE_MAP_ALL_ACCESS",
    "FILE_MAP_COPY",
    "FILE_MAP_EXECUTE",
    "FILE_MAP_READ",
    "FILE_MAP_WRITE",
    "INFINITE",
    "INVALID_HANDLE_VALUE",
    "MAXIMUM_WAIT_OBJECTS",
    "MEM_COMMIT",
    "MUTEX_ALL_ACCESS",
    "MUTEX_MODIFY_STATE",
    "PAGE_EXECUTE",
    "PAGE_EXECUTE_READ",
    "PAGE_EXECUTE_READWRITE",
    "PAGE_EXECUTE_WRITECOPY",
    "PAGE_GUARD",
    "PAGE_NOACCESS",
    "PAGE_NOCACHE",
    "PAGE_READONLY",
    "PAGE_READWRITE",
    "PAGE_WRITECOMBINE",
    "PAGE_WRITECOPY",
    "PROCESS_DUP_HANDLE",
    "SECURITY_ATTRIBUTES",
    "SEC_COMMIT",
    "SEC_IMAGE",
    "SEC_LARGE_PAGES",
    "SEC_NOCACHE",
    "SEC_RESERVE",
    "SEC_WRITECOMBINE",
    "SEMAPHORE_ALL_ACCESS",
    "SEMAPHORE_MODIFY_STATE",
    "SYNCHRONIZE",
    "WAIT_ABANDONED",
    "WAIT_ABANDONED_0",
    "WAIT_FAILED",
    "WAIT_OBJECT_0",
    "WAIT_TIMEOUT",
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
    "SetEvent",
    "SetLastError",
    "UnmapViewOfFile",
    "WaitForMultipleObjects",
    "WaitForSingleObject",
]
