"""The numbers that stand for handles, and what each stands for in this process."""

from __future__ import annotations

import os
import sys
import time
from _thread import _local, get_ident
from itertools import count

from namedshm import errors
from namedshm._backend import SyncHandle as _SyncHandle
from namedshm._backend import backend
from namedshm.section import Section

from ._constants import FILE_MAP_READ, FILE_MAP_WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from namedshm._backend.contract import SyncHandle


class FileMapping:
    __slots__ = ("access", "section")

    def __init__(self, section: Section, access: int) -> None:
        self.section = section
        self.access = access  # FILE_MAP_READ and FILE_MAP_WRITE, each on its own: a write handle need not read


class Sync:
    __slots__ = ("handle",)

    def __init__(self, handle: SyncHandle) -> None:
        self.handle = handle


class Process:
    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid


# No lock guards these tables.  A signal handler or the garbage collector may call functions of this module while another of them
# runs in the same thread, a thread may fork meanwhile, and taking over a handle that was sent may take a while: with a lock, each
# of these could wait for ever.  Single operations on a dictionary are atomic.
_handles: dict[int, FileMapping | Sync | Process] = {}
#: The thread that is taking over or closing a number; compared by identity: a new tuple each time.
_receiving: dict[int, tuple[int]] = {}
_numbers = count(0x40000000, 4)  # above anything a Windows kernel or send_handle() hands out
_NAP = 50e-6  # seconds


class _Forking(_local):
    handles: dict[int, FileMapping | Sync | Process] | None = None


_forking = _Forking()


def _before_fork() -> None:
    """In a Python without a global lock each dictionary has a lock of its own, and CPython hands it to a thread that waits for it.
    If the fork comes before that thread wakes up, the child has a locked dictionary and no thread to unlock it.  So the child gets
    a copy, made before the fork."""
    _forking.handles = dict(_handles)


def _in_parent() -> None:
    _forking.handles = None


def _in_child() -> None:
    """The child has no claims on numbers: the threads that made them are the parent's."""
    global _handles, _receiving
    _receiving = {}
    if _forking.handles is not None:
        _handles, _forking.handles = _forking.handles, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent)


def register(item: FileMapping | Sync | Process) -> int:
    kernel: Any = item.section._handle if isinstance(item, FileMapping) else getattr(item, "handle", None)
    number: int | None = getattr(kernel, "os_handle", None)
    if number is not None:
        _handles[number] = item
        return number
    while True:
        number = next(_numbers)
        if _handles.setdefault(number, item) is item:
            return number


def lookup(handle: int) -> FileMapping | Sync | Process:
    """What a number stands for; a handle that another process sent is taken over.  Raises ClosedHandle."""
    handle = plain_number(handle)
    item = _handles.get(handle)
    if item is not None:
        return item
    if handle <= 0:
        raise errors.ClosedHandle(f"{handle} is not an open handle", call="CloseHandle")
    claim(handle)
    try:
        item = _handles.get(handle)  # again: another thread may have taken it over
        if item is None:
            item = _handles[handle] = _received(handle)
        return item
    finally:
        give_up(handle)


def plain_number(handle: object) -> int:
    """The handle as a plain int: comparing objects of a subclass may run any code, even while a number is claimed.

    Raises: ClosedHandle.
    """
    if type(handle) is int:
        return handle
    if not issubclass(type(handle), int):
        raise errors.ClosedHandle("A handle is a number, and this is none", call="CloseHandle")
    return int.__index__(handle)  # type: ignore[arg-type]


def claim(handle: int) -> None:
    """Be the one thread that takes a number over, or closes it; until :func:`give_up`.  Raises ClosedHandle."""
    me = (get_ident(),)
    while (other := _receiving.setdefault(handle, me)) is not me:
        if other == me:  # a signal handler or the garbage collector has interrupted this thread here: waiting would never end
            raise errors.ClosedHandle(f"{handle!r} is just being taken over or closed by this thread", call="receive_handle")
        time.sleep(_NAP)  # the other thread will be through at once


def give_up(handle: int) -> None:
    """End the claim."""
    _receiving.pop(handle, None)


def known(handle: int) -> FileMapping | Sync | Process | None:
    """What a number stands for, if it does already; nothing is taken over."""
    return _handles.get(handle)


def take(handle: int) -> FileMapping | Sync | Process | None:
    """What a number stood for; it stands for nothing any more.  None: it did not."""
    return _handles.pop(handle, None)


def _received(handle: int) -> FileMapping | Sync:
    """A handle that another process has sent here."""
    kernel: Any = backend.receive_handle(handle)
    if isinstance(kernel, _SyncHandle):
        return Sync(kernel)
    opened = Section(kernel)
    return FileMapping(opened, FILE_MAP_READ | (FILE_MAP_WRITE if opened.access == "write" else 0))
