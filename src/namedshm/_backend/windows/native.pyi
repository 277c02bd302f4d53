"""The Windows calls of the backend (compiled).  Failures come from ``errors.failure``, complete with name, call and remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from namedshm._core import Mapping
from namedshm._core import Pager as CorePager

from .. import contract
from ..contract import Access, Awaited, Kind, SyncAccess, ViewAccess
from ..queue import QueueHandle as QueueHandle
from ..queue import QueueLoan as QueueLoan
from ..queue import QueueMessage as QueueMessage
from ..queue import QueueWindow as QueueWindow
from ..queue import set_queue_classes as set_queue_classes

if sys.version_info >= (3, 12):
    pass
else:
    pass

M = TypeVar("M", bound=Mapping)
S = TypeVar("S", bound=contract.SyncHandle)
Q = TypeVar("Q", bound=contract.QueueHandle)

PAGE: int

failure: Callable[..., Exception] | None
"""Set by backend.py: (number of GetLastError, call, name, what was done, to what) -> the exception to raise."""

class Descriptor:
    """A security descriptor made from its text form (SDDL); freed with the object."""

    def __init__(self, sddl: str) -> None: ...

class SectionHandle:
    """A section's handle and its companion's: see ``contract.SectionHandle``."""

    @property
    def name(self) -> str | None: ...
    @property
    def size(self) -> int: ...
    @property
    def access(self) -> Access: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    @property
    def writable(self) -> bool: ...
    @property
    def executable(self) -> bool: ...
    @property
    def reserved(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def os_handle(self) -> int:
        """The HANDLE as a number, for ctypes and for child processes that inherit it; it stays ours to close."""

    def map(self, kind: type[M], offset: int, length: int, access: ViewAccess, executable: bool) -> M: ...
    def duplicate(self, access: Access) -> SectionHandle: ...
    def close(self) -> None: ...

def create(
    text: str | None,
    path: str | None,
    companion: str | None,
    lock: str | None,
    size: int,
    exclusive: bool,
    access: Access,
    writable: bool,
    executable: bool,
    reserve: bool,
    file: int | None,
    inheritable: bool,
    security: Descriptor | None,
    companion_security: Descriptor | None,
    lock_security: Descriptor | None,
    identity: int,
    born: int,
    mode: int,
    /,
) -> SectionHandle:
    """Phases C1 to C6; ``path`` None makes an unnamed section.  ``born`` is in microseconds since 1970."""

def open_existing(
    text: str, path: str, companion: str, lock: str, lock_security: Descriptor | None, access: Access, inheritable: bool, /
) -> SectionHandle:
    """Phases O1 to O4."""

def check_process(pid: int, /) -> None:
    """Raise what OpenProcess would: InvalidArgument (87) if there is no such process, AccessDenied (5)."""

def send(handle: SectionHandle | SyncHandle, pid: int, access: Access | SyncAccess, /) -> int:
    """DuplicateHandle into another process; the number is valid there."""

def object_path(value: int, /) -> tuple[str, str]:
    """Type and full path (empty: unnamed) of the object a handle of this process refers to."""

def receive(value: int, text: str | None, companion: str | None, /) -> SectionHandle:
    """Own a raw HANDLE from now on."""

def receive_sync(value: int, text: str | None, kind: Kind, /) -> SyncHandle: ...
def flush(mapping: Mapping, offset: int, length: int, /) -> None: ...
def commit_view(mapping: Mapping, offset: int, length: int, /) -> None: ...

class Pager(CorePager): ...

def reach(mapping: Mapping, /) -> int: ...
def facts_of(companion: str, /) -> tuple[int, int, int, int, int, int, bool] | None:
    """Size, identity, birth (microseconds), creator's pid, mode, and handles of what a companion belongs to; is it a queue?

    The handles are those of processes that use this package; None if there is no complete companion.
    """

def directory(path: str, /) -> list[tuple[str, str]]:
    """Names and types in a directory of the object manager."""

def session_id() -> int: ...
def can_create_global() -> bool:
    """Whether this process has SeCreateGlobalPrivilege."""

def user_sid() -> str: ...
def group_sid() -> str:
    """The primary group of this process."""

def account_sid(account: str, /) -> str: ...
def wine_version() -> str | None:
    """Wine's version where this is Wine."""

class SyncHandle:
    """A handle to a mutex, event or semaphore: see ``contract.SyncHandle``.  The identity is 0: Windows does not tell.

    The classes of sync.py inherit from it, so that their quick paths are C.
    """

    @property
    def name(self) -> str | None: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def access(self) -> SyncAccess: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def os_handle(self) -> int:
        """The HANDLE as a number; it stays ours to close."""

    def try_acquire(self) -> int: ...
    def look(self) -> tuple[bool, int, int | None]: ...
    def acquire_mutex(self, timeout: float | None = None, *, on_abandoned: str = "tell", spin: float = ...) -> Any: ...
    def wait_event(self, timeout: float | None = None, *, spin: float = ...) -> bool: ...
    def acquire_semaphore(self, timeout: float | None = None, *, spin: float = ...) -> bool: ...
    def exit_mutex(self, kind: object, error: object, trace: object) -> None: ...
    def release_mutex(self) -> None: ...
    def mutex_depth(self) -> int: ...
    def set_event(self) -> None: ...
    def reset_event(self) -> None: ...
    def pulse_event(self) -> None: ...
    def release_semaphore(self, count: int) -> int: ...
    def duplicate_as(self, access: SyncAccess) -> Self: ...
    def close(self) -> None: ...

SPIN: float

def set_acquisitions(got: object, abandoned: object, not_got: object, error: Callable[[str | None], Exception]) -> None:
    """What ``acquire_mutex`` returns, and makes for on_abandoned="raise"."""

def create_sync(
    cls: type[S],
    kind: Kind,
    text: str | None,
    path: str | None,
    exclusive: bool,
    initial: int,
    manual: bool,
    maximum: int,
    inheritable: bool,
    security: Descriptor | None,
    /,
) -> S: ...
def open_sync(cls: type[S], kind: Kind, text: str, path: str, access: SyncAccess, inheritable: bool, /) -> S: ...
def wait(handles: Sequence[contract.SyncHandle], all: bool, timeout: float | None, /) -> tuple[int, int]:
    """As ``contract.Backend.wait``.

    Of a wait for all Windows tells that a mutex was abandoned, but not always which: the index it gives stands for it.
    """

def create_queue(
    cls: type[Q],
    text: str | None,
    names: tuple[str, str, str],
    is_global: bool,
    exclusive: bool,
    mode: int,
    section: Descriptor | None,
    companion: Descriptor | None,
    bell: Descriptor | None,
    lock: Descriptor,
    capacity: int,
    slot: int,
    chunks: int,
    participants: int,
    modes: int,
    max_size: int,
    /,
) -> Q:
    """``names``: of section, companion and creation lock; the descriptors: of those and of the bells."""

def open_queue(cls: type[Q], text: str, names: tuple[str, str, str], is_global: bool, lock: Descriptor, access: Access, /) -> Q: ...

class Wait:
    """``contract.PolledWait``."""

    def __init__(self, handles: Sequence[contract.SyncHandle], all: bool) -> None: ...
    def __len__(self) -> int: ...
    def poll(self) -> tuple[int, int] | None: ...

class QueueWait:
    """A wait for a queue that is polled: each poll is a try of the caller's."""

    def __init__(self, queue: contract.QueueHandle, what: Awaited, attempt: Callable[[], object]) -> None: ...
    def __len__(self) -> int: ...
    def poll(self) -> tuple[Any] | None: ...
    def end(self) -> None: ...

class Watcher:
    """``contract.Watcher``: threads that sleep for up to 64 objects each, and take.  ``add`` always finds one."""

    @property
    def wakes(self) -> int: ...
    @property
    def asleep(self) -> int:
        """Waits that its threads sleep for, or are just about to."""

    def add(self, wait: Wait | QueueWait, /) -> bool: ...
    def remove(self, wait: Wait | QueueWait, /) -> None: ...
    def ready(self) -> list[Wait | QueueWait]: ...
