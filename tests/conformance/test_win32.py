"""What only the Win32 spelling has: the last error, CopyMemory, fixed addresses, and the two programs it all began with."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from helpers.facts import on_wine
from helpers.peer import Peer

from namedshm import win32 as w

BUFFER = 256


def _create(name: str | None, size: int = 100) -> int:
    return w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, size, name)


# ------------------------------------------------------------------------------------------------------------ last error
def test_success_of_anything_but_create_leaves_the_last_error_alone(name: str) -> None:
    handle = _create(name)
    w.SetLastError(12345)
    other = w.OpenFileMapping(w.FILE_MAP_ALL_ACCESS, False, name)
    view = w.MapViewOfFile(handle, w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert view is not None
    assert w.UnmapViewOfFile(view)
    assert w.CloseHandle(other)
    assert w.GetLastError() == 12345


def test_create_always_sets_the_last_error(name: str) -> None:
    w.SetLastError(12345)
    _create(name)
    assert w.GetLastError() == 0
    w.SetLastError(12345)
    _create(name)
    assert w.GetLastError() == 183
    w.SetLastError(12345)
    _create(name, 0)
    assert w.GetLastError() == 87


def test_each_failure_sets_the_last_error(name: str) -> None:
    handle = _create(name)
    for number, call in (
        (2, lambda: w.OpenFileMapping(w.FILE_MAP_READ, False, name + "-missing")),
        (3, lambda: w.OpenFileMapping(w.FILE_MAP_READ, False, "a\\b")),
        (87, lambda: w.OpenFileMapping(w.FILE_MAP_READ, False, None)),
        (6, lambda: w.MapViewOfFile(0x7FFFFFF0, w.FILE_MAP_READ, 0, 0, 0)),
        (1132, lambda: w.MapViewOfFile(handle, w.FILE_MAP_READ, 0, 1, 0)),
        (5, lambda: w.MapViewOfFile(handle, w.FILE_MAP_READ, 0, 0, 1 << 30)),
        (487, lambda: w.UnmapViewOfFile(None)),
        (6, lambda: w.CloseHandle(0x7FFFFFF0)),
    ):
        w.SetLastError(12345)
        assert not call()
        assert w.GetLastError() == number


def test_each_thread_has_a_last_error_of_its_own(name: str) -> None:
    seen: list[int] = []
    w.SetLastError(11)

    def work() -> None:
        w.SetLastError(22)
        w.OpenFileMapping(w.FILE_MAP_READ, False, name)
        seen.append(w.GetLastError())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [2]
    assert w.GetLastError() == 11


def test_a_new_threads_last_error_is_0() -> None:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(w.GetLastError()))
    thread.start()
    thread.join()
    assert seen == [0]


# ------------------------------------------------------------------------------------------------------------ CopyMemory
def test_copy_memory_copies_between_buffers(name: str) -> None:
    view = w.MapViewOfFile(_create(name), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert view is not None
    w.CopyMemory(view, b"hello world", 5)
    assert view[:6] == b"hello\0"
    target = bytearray(5)
    w.CopyMemory(target, view, 5)
    assert target == b"hello"
    w.CopyMemory(memoryview(view)[10:], view, 5)
    assert view[10:15] == b"hello"
    w.CopyMemory(view, b"", 0)


@pytest.mark.parametrize("length", [-1, 6, 1 << 40])
def test_copy_memory_refuses_a_length_that_either_end_lacks(name: str, length: int) -> None:
    view = w.MapViewOfFile(_create(name), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    with pytest.raises(ValueError, match="copy"):
        w.CopyMemory(view, b"hello", length)
    with pytest.raises(ValueError, match="copy"):
        w.CopyMemory(bytearray(5), view, length)


def test_copy_memory_refuses_to_write_where_nothing_may_be_written(name: str) -> None:
    view = w.MapViewOfFile(_create(name), w.FILE_MAP_READ, 0, 0, 0)
    with pytest.raises((TypeError, OSError)):
        w.CopyMemory(view, b"hello", 5)


def test_an_overlapping_copy_is_right(name: str) -> None:
    view = w.MapViewOfFile(_create(name), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert view is not None
    view[:10] = b"0123456789"
    w.CopyMemory(memoryview(view)[2:], view, 8)
    assert view[:10] == b"0101234567"


# ------------------------------------------------------------------------------------------------------------ the rest
def test_a_fixed_address_is_refused_with_487(name: str) -> None:
    assert w.MapViewOfFileEx(_create(name), w.FILE_MAP_READ, 0, 0, 0, 0x12345) is None
    assert w.GetLastError() in (487, 1132)


def test_map_view_of_file_ex_without_an_address_is_map_view_of_file(name: str) -> None:
    view = w.MapViewOfFileEx(_create(name), w.FILE_MAP_ALL_ACCESS, 0, 0, 0, None)
    assert view is not None
    view[0] = 1


def test_a_name_of_the_module_is_a_name_of_windows() -> None:
    assert w.INVALID_HANDLE_VALUE == -1
    assert w.FILE_MAP_ALL_ACCESS == 0xF001F
    assert w.PAGE_READWRITE == 4
    for name in w.__all__:
        assert hasattr(w, name), name


def test_a_star_import_brings_all_functions_and_constants() -> None:
    kinds = ("PAGE_", "SEC_", "FILE_MAP_", "DUPLICATE_", "ERROR_", "PROCESS_", "MEM_", "MUTEX_", "EVENT_", "SEMAPHORE_", "WAIT_")
    constants = {name for name in vars(w) if name.startswith(kinds)}
    functions = {name for name, value in vars(w).items() if callable(value) and name[0].isupper()}
    assert set(w.__all__) == constants | functions | {"INFINITE", "INVALID_HANDLE_VALUE", "MAXIMUM_WAIT_OBJECTS", "SYNCHRONIZE"}
    assert len(constants) > 50
    assert len(functions) > 25


def test_unmapping_an_address_inside_a_view_follows_windows(name: str) -> None:
    view = w.MapViewOfFile(_create(name, 70000), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert view is not None
    assert w.view_offset(view, 100) == view.address + 100


def test_sizes_of_more_than_32_bits_are_given_in_halves(name: str) -> None:
    size = (1 << 32) + 4096
    protect = w.PAGE_READWRITE | w.SEC_RESERVE
    handle = w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, protect, size >> 32, size & 0xFFFFFFFF, name)
    assert handle
    view = w.MapViewOfFile(handle, w.FILE_MAP_WRITE, 1, 0, 4096)  # the last page, behind 4 GiB
    assert view is not None
    assert w.view_commit(view, 0, 4096)
    w.view_write(view, 0, b"far")
    assert w.view_read(view, 0, 3) == b"far"
    assert w.MapViewOfFile(handle, w.FILE_MAP_WRITE, 1, 65536, 0) is None
    assert w.GetLastError() in (5, 87)


def test_the_two_programs_of_creating_named_shared_memory(name: str, peers: Callable[[], Peer]) -> None:
    """The page's first program writes a message, its second one reads it; both as they stand there."""
    second = peers(name=name)  # type: ignore[call-arg]
    message = "Message from first process.\0".encode("utf-16-le")

    handle = w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, BUFFER, name)
    assert handle, f"Could not create file mapping object ({w.GetLastError()})."
    buffer = w.MapViewOfFile(handle, w.FILE_MAP_ALL_ACCESS, 0, 0, BUFFER)
    assert buffer is not None, f"Could not map view of file ({w.GetLastError()})."
    w.CopyMemory(buffer, message, len(message))

    read = second.do(
        """
handle = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name)
buffer = win32.MapViewOfFile(handle, win32.FILE_MAP_ALL_ACCESS, 0, 0, 256)
text = buffer[:256].decode("utf-16-le").partition("\\0")[0]
win32.UnmapViewOfFile(buffer)
win32.CloseHandle(handle)
text
"""
    )
    assert read == "Message from first process."
    assert w.UnmapViewOfFile(buffer)
    assert w.CloseHandle(handle)
    assert second.do("win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name)") == 0
    assert second.do("win32.GetLastError()") == 2


def test_security_attributes_are_accepted(name: str) -> None:
    attributes = w.SECURITY_ATTRIBUTES(False)
    assert w.CreateFileMapping(w.INVALID_HANDLE_VALUE, attributes, w.PAGE_READWRITE, 0, 100, name)
    assert w.GetLastError() == 0 or on_wine
