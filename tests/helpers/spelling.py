"""The two spellings of the API behind one face, so that a sentence of the contract is one test for both.

A refusal is an OSError with ``.winerror`` in either: the exception itself, or GetLastError() after a failed Win32 call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import namedshm
from namedshm import win32 as w

CLASSES = {
    2: namedshm.NotFound,
    3: namedshm.InvalidName,
    5: namedshm.AccessDenied,
    87: namedshm.InvalidArgument,
    123: namedshm.InvalidName,
    161: namedshm.InvalidName,
    206: namedshm.InvalidName,
    1132: namedshm.InvalidArgument,
}


class Win32Error(OSError):
    """GetLastError() after a Win32 function returned NULL or FALSE."""

    def __init__(self, call: str, number: int) -> None:
        super().__init__(number, f"{call} failed")
        self.call = call
        self.winerror = number

    def __reduce__(self) -> tuple[Any, ...]:
        return Win32Error, (self.call, self.winerror)


@contextlib.contextmanager
def refused(*numbers: int) -> Iterator[None]:
    """The block fails with one of these Win32 error numbers; a namedshm exception is of the class that number stands for."""
    import pytest  # only here: the other processes start three times as fast without it

    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at below
        yield
    error = caught.value
    got = getattr(error, "winerror", None)
    assert got in numbers, f"failed with {got} instead of {numbers}: {error!r}"
    if isinstance(error, namedshm.NamedShmError) and got in CLASSES:
        assert isinstance(error, CLASSES[got]), f"{got} came as {type(error).__name__}"


class Pythonic:
    """namedshm.create, namedshm.open, Section, View.

    Handles stay open until they are closed, as Win32's do: garbage collection would make a difference between the two.
    """

    label = "namedshm"
    granularity = 1  # views end where the object does, to the byte

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def _keep(self, handle: Any) -> Any:
        self._kept.append(handle)
        return handle

    def close_all(self) -> None:
        while self._kept:
            self._kept.pop().close()

    def create(self, name: str | None, size: int, *, writable: bool = True, **options: Any) -> Any:
        return self._keep(namedshm.create(name, size, exist_ok=True, writable=writable, **options))

    def existed(self, handle: Any) -> bool:
        return not handle.created

    def open(self, name: Any, access: str = "write") -> Any:
        return self._keep(namedshm.open(name, "read" if access == "copy" else access))

    def map(self, handle: Any, access: str | None = None, offset: int = 0, length: int | None = None) -> Any:
        return handle.map(offset, length, access)

    def duplicate(self, handle: Any, access: str = "write") -> Any:
        return self._keep(handle.duplicate(access))

    def close(self, handle: Any) -> None:
        handle.close()

    def unmap(self, view: Any) -> None:
        view.close()


_RIGHTS = {"read": w.FILE_MAP_READ, "write": w.FILE_MAP_WRITE, "copy": w.FILE_MAP_COPY, "all": w.FILE_MAP_ALL_ACCESS}


class Win32:
    """CreateFileMapping and its relatives."""

    label = "win32"
    granularity = 4096  # views are whole pages

    def __init__(self) -> None:
        self._existed: dict[int, bool] = {}

    def close_all(self) -> None:
        for handle in list(w._handles._handles):
            w.CloseHandle(handle)

    @staticmethod
    def _checked(call: str, result: Any) -> Any:
        if not result:
            raise Win32Error(call, w.GetLastError())
        return result

    def create(self, name: str | None, size: int, *, writable: bool = True, **options: Any) -> int:
        assert not options, "options of the Pythonic spelling"
        protect = w.PAGE_READWRITE if writable else w.PAGE_READONLY
        size &= (1 << 64) - 1
        handle = w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, protect, size >> 32, size & 0xFFFFFFFF, name)
        number = w.GetLastError()
        self._checked("CreateFileMapping", handle)
        assert number in (0, 183)
        self._existed[handle] = number == 183
        return handle

    def existed(self, handle: int) -> bool:
        return self._existed[handle]

    def open(self, name: Any, access: str = "all") -> int:
        return self._checked("OpenFileMapping", w.OpenFileMapping(_RIGHTS[access], False, name))

    def map(self, handle: int, access: str | None = None, offset: int = 0, length: int | None = None) -> Any:
        rights = _RIGHTS[access or "all"]
        view = w.MapViewOfFile(handle, rights, offset >> 32, offset & 0xFFFFFFFF, length or 0)
        if view is None:
            raise Win32Error("MapViewOfFile", w.GetLastError())
        return view

    def duplicate(self, handle: int, access: str = "all") -> int:
        me = w.GetCurrentProcess()
        return self._checked("DuplicateHandle", w.DuplicateHandle(me, handle, me, _RIGHTS[access], False, 0))

    def close(self, handle: int) -> None:
        self._checked("CloseHandle", w.CloseHandle(handle))

    def unmap(self, view: Any) -> None:
        self._checked("UnmapViewOfFile", w.UnmapViewOfFile(view))


def speak(label: str) -> Pythonic | Win32:
    return {"namedshm": Pythonic, "win32": Win32}[label]()
