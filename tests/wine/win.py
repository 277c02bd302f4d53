"""Windows itself, by ctypes: what a program that knows nothing of namedshm does."""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import wintypes

assert sys.platform == "win32"

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)

HANDLE, DWORD, BOOL, TEXT, POINTER, SIZE = (
    wintypes.HANDLE,
    wintypes.DWORD,
    wintypes.BOOL,
    wintypes.LPCWSTR,
    ctypes.c_void_p,
    ctypes.c_size_t,
)

for _library, _name, _result, _arguments in (
    (kernel32, "CreateFileMappingW", HANDLE, (HANDLE, POINTER, DWORD, DWORD, DWORD, TEXT)),
    (kernel32, "OpenFileMappingW", HANDLE, (DWORD, BOOL, TEXT)),
    (kernel32, "MapViewOfFile", POINTER, (HANDLE, DWORD, DWORD, DWORD, SIZE)),
    (kernel32, "UnmapViewOfFile", BOOL, (POINTER,)),
    (kernel32, "CloseHandle", BOOL, (HANDLE,)),
    (kernel32, "CreateMutexW", HANDLE, (POINTER, BOOL, TEXT)),
    (kernel32, "CreateEventW", HANDLE, (POINTER, BOOL, BOOL, TEXT)),
    (kernel32, "CreateSemaphoreW", HANDLE, (POINTER, wintypes.LONG, wintypes.LONG, TEXT)),
    (kernel32, "ReleaseMutex", BOOL, (HANDLE,)),
    (kernel32, "GetCurrentProcess", HANDLE, ()),
    (kernel32, "GetProcessHandleCount", BOOL, (HANDLE, ctypes.POINTER(DWORD))),
    (kernel32, "CreateToolhelp32Snapshot", HANDLE, (DWORD, DWORD)),
    (kernel32, "Thread32First", BOOL, (HANDLE, POINTER)),
    (kernel32, "Thread32Next", BOOL, (HANDLE, POINTER)),
    (kernel32, "LocalFree", POINTER, (POINTER,)),
    (advapi32, "GetKernelObjectSecurity", BOOL, (HANDLE, DWORD, POINTER, DWORD, ctypes.POINTER(DWORD))),
    (
        advapi32,
        "ConvertSecurityDescriptorToStringSecurityDescriptorW",
        BOOL,
        (POINTER, DWORD, DWORD, ctypes.POINTER(wintypes.LPWSTR), POINTER),
    ),
    (advapi32, "ConvertStringSecurityDescriptorToSecurityDescriptorW", BOOL, (TEXT, DWORD, POINTER, POINTER)),
):
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments

INVALID = HANDLE(-1)
PAGE_READWRITE, SEC_RESERVE = 4, 0x4000000
COPY, WRITE, READ = 1, 2, 4


def last_error() -> int:
    return ctypes.get_last_error()


def create(name: str, size: int, protect: int = PAGE_READWRITE) -> int:
    handle = kernel32.CreateFileMappingW(INVALID, None, protect, 0, size, name)
    assert handle, last_error()
    return int(handle)


def open(name: str, access: int = READ | WRITE) -> int | None:
    handle = kernel32.OpenFileMappingW(access, False, name)
    return int(handle) if handle else None


def map(handle: int, access: int = READ | WRITE, length: int = 0) -> int | None:
    view = kernel32.MapViewOfFile(handle, access, 0, 0, length)
    return int(view) if view else None


def unmap(view: int) -> None:
    assert kernel32.UnmapViewOfFile(view), last_error()


def close(*handles: int) -> None:
    for handle in handles:
        assert kernel32.CloseHandle(handle), last_error()


def bytes_at(address: int, length: int) -> bytes:
    return ctypes.string_at(address, length)


def handle_count() -> int:
    count = DWORD()
    assert kernel32.GetProcessHandleCount(kernel32.GetCurrentProcess(), ctypes.byref(count)), last_error()
    return count.value


class _Thread(ctypes.Structure):  # THREADENTRY32
    _fields_ = (
        ("size", DWORD),
        ("usage", DWORD),
        ("number", DWORD),
        ("process", DWORD),
        ("priority", wintypes.LONG),
        ("change", wintypes.LONG),
        ("flags", DWORD),
    )


def thread_count() -> int:
    """Threads of this process, also those Python knows nothing of."""
    snapshot = kernel32.CreateToolhelp32Snapshot(4, 0)
    thread = _Thread(size=ctypes.sizeof(_Thread))
    count, more = 0, kernel32.Thread32First(snapshot, ctypes.byref(thread))
    while more:
        count += thread.process == os.getpid()
        more = kernel32.Thread32Next(snapshot, ctypes.byref(thread))
    close(snapshot)
    return count


class _Security(ctypes.Structure):  # SECURITY_ATTRIBUTES
    _fields_ = (("length", DWORD), ("descriptor", POINTER), ("inherit", BOOL))


def create_event(name: str, rights: str) -> int:
    """An auto-reset event with this access list; the handle may do everything."""
    security = _Security(ctypes.sizeof(_Security))
    made = advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(rights, 1, ctypes.byref(security, 8), None)
    assert made, last_error()
    handle = kernel32.CreateEventW(ctypes.byref(security), False, False, name)
    kernel32.LocalFree(security.descriptor)
    assert handle, last_error()
    return int(handle)


def security(handle: int) -> str:
    """The access list of an object in its text form."""
    size = DWORD()
    advapi32.GetKernelObjectSecurity(handle, 4, None, 0, ctypes.byref(size))
    data = ctypes.create_string_buffer(size.value)
    assert advapi32.GetKernelObjectSecurity(handle, 4, data, size, ctypes.byref(size)), last_error()
    text = wintypes.LPWSTR()
    assert advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW(data, 1, 4, ctypes.byref(text), None), last_error()
    try:
        return text.value or ""
    finally:
        kernel32.LocalFree(text)
