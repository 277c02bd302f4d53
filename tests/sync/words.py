"""The words of an object and of the registry, as somebody with the right to may write them, or a stopped process has left them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

from helpers.facts import on_linux

import namedshm

PAGE = 4096
STATE, LOCK = 4088, 4088  # docs/format-linux.md: offsets in the page of an object, and in the registry
RESERVED = {"Mutex": 0x20000000, "Event": 0x80000000, "Semaphore": 0x80000000}

if on_linux:  # elsewhere this is imported by tests that are skipped
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.shmat.restype = ctypes.c_void_p
    _libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    _libc.shmdt.argtypes = [ctypes.c_void_p]


def segments() -> set[int]:
    """Those attached to this process with a length of one page."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if "/SYSV" in line:
            first, last = (int(part, 16) for part in fields[0].split("-"))
            if last - first == PAGE:
                found.add(int(fields[4]))
    return found


class Page:
    """The first page of a segment, through an attachment of its own.

    Attributes:
        words: its 32-bit numbers.  bytes: all of it.
    """

    def __init__(self, segment: int) -> None:
        at = _libc.shmat(segment, None, 0)
        if at in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "shmat")
        self._at = at
        self.words = (ctypes.c_uint32 * (PAGE // 4)).from_address(at)
        self.bytes = (ctypes.c_uint8 * PAGE).from_address(at)

    @classmethod
    def of(cls, create: Callable[[], namedshm.sync.Waitable]) -> tuple[namedshm.sync.Waitable, Page]:
        """A new object and its page."""
        before = segments()
        thing = create()
        for segment in segments() - before or segments():
            try:
                page = cls(segment)
            except OSError:
                continue  # a token is attached read-only
            if page.words[0] in (2, 3, 4):  # the type
                return thing, page
            page.close()
        raise AssertionError("no page of words among the new segments")

    @classmethod
    def of_registry(cls) -> Page:
        from namedshm._backend.linux import native

        return cls(native.scope_state(False)["registry"])

    def close(self) -> None:
        _libc.shmdt(self._at)
