"""include/namedshm.h as Python objects (compiled).  Failures are the exceptions that ``explain`` makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from namedshm._core import Mapping
from namedshm._core import Pager as CorePager
from namedshm.names import Name

from ..contract import Access, Kind, SyncAccess, ViewAccess
from ..contract import SyncHandle as SyncHandleContract

M = TypeVar("M", bound=Mapping)
S = TypeVar("S", bound=SyncHandleContract)

OBJ_READONLY: int
OBJ_EXECUTABLE: int
OBJ_RESERVE: int
OBJ_FILE: int
OBJ_HUGE: int
UNCOUNTED: int

explain: Callable[[int, str, Any, int], Exception]
"""Set by backend.py: (negative errno, call, name, size) -> the exception to raise."""
global_policy: Any
"""Set by backend.py: an object with the methods of rights.GlobalPolicy."""
kernel_copy: bool
"""Whether copy-on-write views try the kernel's way first; see :func:`set_kernel_copy`."""

class Handle:
    """contract.SectionHandle on Linux."""

    name: str | None
    access: Access
    closed: bool
    @property
    def size(self) -> int: ...
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
    def file_backed(self) -> bool: ...
    @property
    def segments(self) -> tuple[int, int]:
        """Segment ids of token and data, -1 for none: for diagnostics and tests."""

    def map(self, kind: type[M], offset: int, length: int, access: ViewAccess, executable: bool) -> M: ...
    def duplicate(self, access: Access) -> Handle: ...
    def attach_file(self, fd: int) -> None:
        """Take over the descriptor of the file this section maps."""

    def retire(self) -> bool:
        """``Backend.retire``."""

    def named(self) -> bool:
        """``Backend.named``."""

    def replace(self, name: Name) -> None:
        """``Backend.replace_section``, of a handle that :func:`prepare` made."""

    def location(self) -> bytes:
        """Where the creator of a file-backed section said its file is (files.py).

        Raises: AccessDenied if the creator was another user; NamedShmError if there is no such text.
        """

    def close(self) -> None: ...

def create(
    name: Name | None,
    size: int,
    exist_ok: bool,
    access: Access,
    mode: int,
    group: int,
    props: int,
    location: bytes | None,
) -> Handle: ...
def prepare(name: Name, size: int, mode: int, group: int, props: int) -> Handle: ...
def open(name: Name, access: Access) -> Handle: ...
def duplicate_fd(fd: int) -> int: ...
def open_mode(fd: int) -> int:
    """O_RDONLY, O_WRONLY or O_RDWR of an open descriptor."""

class Arrivals:
    def __init__(self, is_global: bool) -> None: ...
    def wait(self, seconds: float | None) -> None: ...

def objects(is_global: bool) -> list[tuple[str, Any, int, int, int, int, int, int, int, int, int, int]]:
    """What lives in a scope: (bare name, type, size, handles, mappings, pid, uid, born, mode, data id, nonce, props)."""

FORMAT_VERSION: int
"""Of the registry, as this package reads and writes it."""

def registries(is_global: bool) -> list[tuple[int, int, int, int, int, int, int]]:
    """What looks like a registry of the scope, whatever its version and whoever made it:
    (id, creator, group, mode, creator's process, attachments, version; 0 where it may not be read)."""

def group_number(name: bytes) -> int | None:
    """None: there is no such group.  Raises OSError if that could not be told."""

def user_in_group(uid: int, gid: int) -> bool:
    """Raises OSError if it could not be told."""

def why() -> int:
    """After a negative ESTALE, in the same thread: the errno value that the system gave."""

def memory() -> int | None:
    """Bytes of memory and swap this machine has, used or not (sysinfo(2))."""

def segment_limits() -> tuple[int, int, int, int, int] | None:
    """(shmmni, segments used, shmall, pages used, shmmax) of this IPC namespace (shmctl(2)); None without System V memory."""

def check_receiver(pid: int) -> int:
    """0; -ESRCH: there is no such process (any more); -EPERM: it is another user's."""

def send(handle: Handle | SyncHandle, pid: int, label: bytes, access: Access | SyncAccess) -> int:
    """Leave a parcel for a process, kept until it is taken; returns what :func:`check_receiver` does."""

def receive(label: bytes) -> Handle | SyncHandle | None:
    """What a parcel of this label brings; None if there is none."""

def commit_view(mapping: Mapping, offset: int, length: int) -> None: ...
def reach(mapping: Mapping) -> int: ...

class Pager(CorePager): ...

def flush(mapping: Mapping, offset: int, length: int) -> None: ...
def scope_state(is_global: bool) -> dict[str, Any]: ...
def set_session(name: bytes) -> None:
    """The separate Local namespace this process uses; b"" is the ordinary one.  Before first use only."""

def set_kernel_copy(on: bool) -> None:
    """Tests turn the kernel's copy-on-write off, to exercise the fault-driven way as root."""

class SyncHandle:
    """contract.SyncHandle on Linux; the classes of sync.py inherit from it, so that their quick paths are C."""

    @property
    def name(self) -> str | None: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def access(self) -> SyncAccess: ...
    @property
    def closed(self) -> bool: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    def look(self) -> tuple[bool, int, int | None]: ...
    def acquire_mutex(self, timeout: float | None = None, *, on_abandoned: str = "tell", spin: float = ...) -> Any: ...
    def wait_event(self, timeout: float | None = None, *, spin: float = ...) -> bool: ...
    def acquire_semaphore(self, timeout: float | None = None, *, spin: float = ...) -> bool: ...
    def exit_mutex(self, kind: object, error: object, trace: object) -> None: ...
    def release_mutex(self) -> None: ...
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
    cls: type[S], kind: Kind, name: Name, exist_ok: bool, mode: int, group: int, initial: int, manual: bool, maximum: int
) -> S: ...
def open_sync(cls: type[S], kind: Kind, name: Name, access: SyncAccess) -> S: ...
def wait(handles: Sequence[SyncHandleContract], all: bool, timeout: float | None, spin: float) -> tuple[int, int]: ...

WATCH_MAX: int

class Wait:
    """A wait that is polled instead of slept in; what happened between two polls (a pulse) is not lost."""

    def __init__(self, handles: Sequence[SyncHandleContract], all: bool) -> None: ...
    def __len__(self) -> int: ...
    def poll(self) -> tuple[int, int] | None:
        """(index, abandoned mask) if it succeeds now, else None.  What is acquired is this thread's."""

class Control:
    """A word that wakes a watching thread."""

    @property
    def value(self) -> int: ...
    def change(self) -> None: ...

def watch(waits: list[Wait], control: Control, seen: int) -> list[Wait]:
    """Sleep until some waits (WATCH_MAX objects at most) deserve a poll, or ``control`` is no longer ``seen``; those waits."""
