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
from ._constants import *  # noqa: F403
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
    *("INFINITE", "INVALID_HANDLE_VALUE", "MAXIMUM_WAIT_OBJECTS", "SYNCHRONIZE"),
]
