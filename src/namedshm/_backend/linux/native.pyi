"""include/namedshm.h as Python objects (compiled).  Failures are the exceptions that ``explain`` makes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, SupportsIndex, TypeVar, overload

from namedshm._core import Mapping
from namedshm._core import Pager as CorePager
from namedshm.names import Name

from ..contract import Access, Awaited, Codec, Kind, SyncAccess, ViewAccess, Which
from ..contract import QueueHandle as QueueHandleContract
from ..contract import SyncHandle as SyncHandleContract
from ..contract import TopicHandle as TopicHandleContract
from ..queue import QueueHandle as QueueHandle
from ..queue import QueueLoan as QueueLoan
from ..queue import QueueMessage as QueueMessage
from ..queue import QueueWindow as QueueWindow
from ..queue import set_queue_classes as set_queue_classes

if sys.version_info >= (3, 12):
    from collections.abc import Buffer as _Buffer
else:
    from typing_extensions import Buffer as _Buffer

M = TypeVar("M", bound=Mapping)
S = TypeVar("S", bound=SyncHandleContract)
Q = TypeVar("Q", bound=QueueHandleContract)
T = TypeVar("T", bound=TopicHandleContract)

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
    cls: type[S], kind: Kind, name: Name, exist_ok: bool, mode: int, group: int, initial: int, manual: bool, maximum: int
) -> S: ...
def open_sync(cls: type[S], kind: Kind, name: Name, access: SyncAccess) -> S: ...
def wait(handles: Sequence[SyncHandleContract], all: bool, timeout: float | None, spin: float) -> tuple[int, int]: ...
def create_queue(
    cls: type[Q],
    name: Name,
    exist_ok: bool,
    mode: int,
    group: int,
    capacity: int,
    slot: int,
    chunks: int,
    participants: int,
    modes: int,
    max_size: int,
) -> Q: ...
def open_queue(cls: type[Q], name: Name, access: Access) -> Q: ...

class TopicWindow:
    """Memory of a topic, lent: a view or a loan.  A buffer; who takes one after it has ended is told ClosedHandle."""

    @property
    def ended(self) -> bool: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class TopicView(TopicWindow):
    @property
    def number(self) -> int: ...
    @property
    def time(self) -> float: ...
    @property
    def pinned(self) -> bool: ...
    def check(self) -> None: ...
    def release(self) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None: ...

class TopicLoan(TopicWindow):
    length: int
    patience: float | None
    @overload
    def __setitem__(self, index: SupportsIndex, value: int) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: _Buffer) -> None: ...
    def commit(self, timeout: float | None = None) -> None: ...
    def _commit_lent(self, timeout: float | None = None) -> None: ...
    def abandon(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None: ...

class TopicHandle:
    """contract.TopicHandle; ``Topic`` inherits from it, so that its calls are C."""

    position: int
    @property
    def name(self) -> str | None: ...
    @property
    def access(self) -> Access: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def history(self) -> int: ...
    @property
    def max_size(self) -> int: ...
    @property
    def pins(self) -> int: ...
    @property
    def writers(self) -> int: ...
    @property
    def end_with_writers(self) -> bool: ...
    @property
    def schema_kind(self) -> int: ...
    def schema_bytes(self) -> bytes: ...
    @property
    def codec(self) -> Codec | None: ...
    @property
    def spin_ns(self) -> int: ...
    def spin_for(self, nanoseconds: int, /) -> None: ...
    def publish(self, data: Any, timeout: float | None = None) -> None: ...
    def publish_buffer(self, data: _Buffer, timeout: float | None = None) -> None: ...
    def _lend(self, size: int | None = None, timeout: float | None = None) -> TopicLoan: ...
    def latest(self, timeout: float | None = None, *, new: bool = False) -> Any: ...
    def next(self, timeout: float | None = None) -> Any: ...
    def latest_into(self, out: Any, timeout: float | None = None, *, new: bool = False) -> int: ...
    def next_into(self, out: Any, timeout: float | None = None) -> int: ...
    def view(self, timeout: float | None = None, *, which: Which = "latest") -> TopicView: ...
    def pin(self, timeout: float | None = None, *, which: Which = "latest") -> TopicView: ...
    @property
    def missed(self) -> int: ...
    @property
    def lag(self) -> int: ...
    def take_part(self) -> None: ...
    def shutdown(self) -> None: ...
    def figures(self) -> tuple[int, int, int, int, int, int, bool]: ...
    def waiting(self) -> int: ...
    def participants_now(self) -> list[tuple[int, int, int, bool | None]]: ...
    def close(self) -> None: ...

def set_topic_classes(
    full: type[Exception],
    empty: type[Exception],
    shut: type[Exception],
    overrun: type[Exception],
    view: type[TopicView],
    loan: type[TopicLoan],
    codec: Callable[[Any], Codec],
) -> None:
    """What a topic raises where it has no frame, no value, nothing more to come, or was overtaken; what its windows are; what reads
    its schema."""

def create_topic(
    cls: type[T],
    name: Name,
    exist_ok: bool,
    mode: int,
    group: int,
    history: int,
    inline_max: int,
    pins: int,
    writers: int,
    modes: int,
    max_size: int,
    schema_kind: int,
    schema: bytes,
) -> T: ...
def open_topic(cls: type[T], name: Name, access: Access) -> T: ...

WATCH_MAX: int

class Wait:
    """A wait that is polled instead of slept in; what happened between two polls (a pulse) is not lost."""

    def __init__(self, handles: Sequence[SyncHandleContract], all: bool) -> None: ...
    def __len__(self) -> int: ...
    def poll(self) -> tuple[int, int] | None:
        """(index, abandoned mask) if it succeeds now, else None.  What is acquired is this thread's."""

class ArmedWait:
    """A wait that is polled: each poll is a try of the caller's."""

    def __len__(self) -> int: ...
    def poll(self) -> tuple[Any] | None: ...
    def end(self) -> None: ...

class QueueWait(ArmedWait):
    def __init__(self, queue: QueueHandleContract, what: Awaited, attempt: Callable[[], object]) -> None: ...

class TopicWait(ArmedWait):
    def __init__(self, topic: TopicHandleContract, anything: bool, attempt: Callable[[], object]) -> None: ...

class Control:
    """A word that wakes a watching thread."""

    @property
    def value(self) -> int: ...
    def change(self) -> None: ...

def watch(waits: list[Wait | ArmedWait], control: Control, seen: int) -> list[Wait | ArmedWait]:
    """Sleep until some waits (WATCH_MAX objects at most) deserve a poll, or ``control`` is no longer ``seen``; those waits."""
