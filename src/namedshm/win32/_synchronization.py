"""Mutexes, events and semaphores."""

from __future__ import annotations

from namedshm import errors
from namedshm._backend import SyncHandle as _SyncHandle
from namedshm._backend import backend
from namedshm.names import Name

from ._constants import (
    ERROR_ALREADY_EXISTS,
    ERROR_INVALID_PARAMETER,
    ERROR_SUCCESS,
    EVENT_MODIFY_STATE,
    MUTEX_MODIFY_STATE,
    SYNCHRONIZE,
)
from ._handles import Sync, lookup, register
from ._last_error import SetLastError, refuse
from ._security import security

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from namedshm._backend.contract import Kind, SyncAccess, SyncHandle

    from ._security import SECURITY_ATTRIBUTES

    _Attributes = SECURITY_ATTRIBUTES | dict[str, Any] | None


def _create_sync(
    kind: Kind, attributes: _Attributes, name: str | None, initial: int = 0, manual: bool = False, maximum: int = 0
) -> int:
    try:
        mode, group, inheritable = security(attributes)
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
        refuse(error)
        return 0
    handle = register(Sync(made))
    SetLastError(ERROR_SUCCESS if made.created else ERROR_ALREADY_EXISTS)
    return handle


def sync_access(kind: Kind, desired: int) -> SyncAccess:
    modify = MUTEX_MODIFY_STATE if kind == "mutex" else EVENT_MODIFY_STATE
    if desired & SYNCHRONIZE:
        return "full" if desired & modify else "wait"
    return "modify"


def _open_sync(kind: Kind, desired: int, inherit: bool, name: str | None) -> int:
    try:
        if name is None:
            raise errors.InvalidArgument("A name is needed to open an object", call="Open")
        return register(Sync(backend.open_sync(_SyncHandle, kind, Name(name), sync_access(kind, desired), inherit)))
    except OSError as error:
        refuse(error)
        return 0


def _sync(handle: int, kind: Kind) -> SyncHandle:
    item = lookup(handle)
    if not isinstance(item, Sync) or item.handle.kind != kind:
        raise errors.ClosedHandle(f"{handle!r} is not an open {kind} handle", call=kind)
    return item.handle


def _change(handle: int, kind: Kind, call: Callable[[SyncHandle], object]) -> bool:
    try:
        call(_sync(handle, kind))
    except OSError as error:
        refuse(error)
        return False
    return True


def CreateMutex(lpMutexAttributes: _Attributes, bInitialOwner: bool, lpName: str | None) -> int:
    """Create a mutex or open the living one (183; bInitialOwner is ignored then).  A handle, or 0."""
    return _create_sync("mutex", lpMutexAttributes, lpName, initial=int(bool(bInitialOwner)))


def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open a living mutex.  A handle, or 0."""
    return _open_sync("mutex", dwDesiredAccess, bInheritHandle, lpName)


def ReleaseMutex(hMutex: int) -> bool:
    """Release it once; False with 288 if this thread does not own it."""
    return _change(hMutex, "mutex", lambda handle: handle.release_mutex())


def CreateEvent(lpEventAttributes: _Attributes, bManualReset: bool, bInitialState: bool, lpName: str | None) -> int:
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


def CreateSemaphore(lpSemaphoreAttributes: _Attributes, lInitialCount: int, lMaximumCount: int, lpName: str | None) -> int:
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
        refuse(error)
        return False, 0
