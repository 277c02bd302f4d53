r"""The Linux backend: decisions and texts around the compiled handles of ``native.pyx`` (the protocol is include/namedshm.h).

Lifetime is kept by the kernel: System V segments marked IPC_RMID while attached.  ``Local\`` is per user and IPC namespace,
``Global\`` is machine-wide (per IPC namespace); who may create there is written in ``/etc/namedshm.conf`` by ``namedshm grant``.
Refuses: System V IPC missing, creation that memory or the cgroup cannot hold, anything on 32-bit systems.
"""

from __future__ import annotations

import errno
import os

from namedshm import errors

from . import looking, native
from .errors import explain
from .files import attach_file, prepare_file
from .memory import huge_pages as wants_huge_pages
from .memory import refuse_if_short
from .names import Hidden, parcel
from .rights import GlobalPolicy, group_number
from .watch import FutexWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from namedshm._core import Mapping, Pager
    from namedshm.names import Name

    from ..contract import (
        Access,
        Arrivals,
        Awaited,
        HugePages,
        Kind,
        ObjectInfo,
        PolledQueueWait,
        PolledWait,
        QueueHandle,
        Reserve,
        SectionHandle,
        SyncAccess,
        SyncHandle,
        TopicHandle,
        Watcher,
    )

    Q = TypeVar("Q", bound=QueueHandle)
    S = TypeVar("S", bound=SyncHandle)
    T = TypeVar("T", bound=TopicHandle)

_CHECK_MEMORY_ABOVE = 16 << 20  # bytes; asking costs 0.1 ms, less than touching so many pages by far


class LinuxBackend:
    names_can_go = True
    granularity = 65536
    page_size = 4096

    def __init__(self) -> None:
        if os.sysconf("SC_PAGE_SIZE") != self.page_size:
            raise ImportError("namedshm supports Linux with 4 KiB pages only, so far")
        native.explain = explain
        native.global_policy = GlobalPolicy()
        native.set_session(os.fsencode(os.environ.get("NAMEDSHM_SESSION", "")))

    def create_section(
        self,
        name: Name | None,
        size: int,
        exist_ok: bool,
        access: Access,
        mode: int,
        group: str | int | None,
        writable: bool,
        executable: bool,
        reserve: Reserve,
        file: int | None,
        inheritable: bool,
        huge_pages: HugePages | None,
    ) -> SectionHandle:
        if name is None or not name.is_global:
            mode, group = 0o600, None  # nobody else can open it; wider bits would let others attach the segments by their ids
        target: Any = name
        props, location = 0 if writable else native.OBJ_READONLY, None
        if executable:
            props |= native.OBJ_EXECUTABLE
        if huge_pages is not None and wants_huge_pages(name, size, huge_pages):
            props |= native.OBJ_HUGE
        if reserve == "touch":
            props |= native.UNCOUNTED
        elif reserve:
            props |= native.OBJ_RESERVE
        elif file is None and size > _CHECK_MEMORY_ABOVE:
            refuse_if_short(name, size)
        own = None
        if file is not None:
            props |= native.OBJ_FILE
            size, own, location = prepare_file(name, size, file, writable, executable)
            target = name or Hidden()
            mode, group = 0o600, None  # for this user alone: see files.py
        try:
            handle: native.Handle = native.create(
                target, size, exist_ok, access, mode, -1 if group is None else _group(group), props, location
            )
            if handle.file_backed and not handle.created:
                attach_file(handle)
            elif own is not None and handle.created:
                handle.attach_file(own)
                own = None
        finally:
            if own is not None:
                os.close(own)
        return handle

    def prepare_section(
        self, name: Name, size: int, mode: int, group: str | int | None, huge_pages: HugePages | None
    ) -> SectionHandle:
        if not name.is_global:
            mode, group = 0o600, None
        props = native.OBJ_HUGE if huge_pages is not None and wants_huge_pages(name, size, huge_pages) else 0
        if size > _CHECK_MEMORY_ABOVE:
            refuse_if_short(name, size)
        return native.prepare(name, size, mode, _group(group), props)

    def replace_section(self, handle: SectionHandle, name: Name) -> None:
        assert isinstance(handle, native.Handle)
        handle.replace(name)

    def retire(self, handle: SectionHandle) -> bool:
        retire: Callable[[], bool] = handle.retire  # type: ignore[attr-defined]  # of ours, or of one that shares an opening of ours
        return retire()

    def named(self, handle: SectionHandle) -> bool:
        named: Callable[[], bool] = handle.named  # type: ignore[attr-defined]  # as above
        return named()

    def open_section(self, name: Name, access: Access, inheritable: bool) -> SectionHandle:
        handle: native.Handle = native.open(name, access)
        if handle.file_backed:
            attach_file(handle)
        return handle

    def create_sync(
        self,
        cls: type[S],
        kind: Kind,
        name: Name | None,
        exist_ok: bool,
        mode: int,
        group: str | int | None,
        initial: int,
        manual: bool,
        maximum: int,
        inheritable: bool,
    ) -> S:
        target: Any = Hidden() if name is None else name
        if not target.is_global:
            mode, group = 0o600, None
        return native.create_sync(cls, kind, target, exist_ok, mode, _group(group), initial, manual, maximum)

    def open_sync(self, cls: type[S], kind: Kind, name: Name, access: SyncAccess, inheritable: bool) -> S:
        return native.open_sync(cls, kind, name, access)

    def create_queue(
        self,
        cls: type[Q],
        name: Name | None,
        exist_ok: bool,
        mode: int,
        group: str | int | None,
        capacity: int,
        slot: int,
        chunks: int,
        participants: int,
        modes: int,
        max_size: int,
    ) -> Q:
        target: Any = Hidden() if name is None else name
        if not target.is_global:
            mode, group = 0o600, None
        return native.create_queue(
            cls, target, exist_ok, mode, _group(group), capacity, slot, chunks, participants, modes, max_size
        )

    def open_queue(self, cls: type[Q], name: Name, access: Access) -> Q:
        return native.open_queue(cls, name, access)

    def create_topic(
        self,
        cls: type[T],
        name: Name | None,
        exist_ok: bool,
        mode: int,
        group: str | int | None,
        history: int,
        inline_max: int,
        pins: int,
        writers: int,
        modes: int,
        max_size: int,
        schema_kind: int,
        schema: bytes,
    ) -> T:
        target: Any = Hidden() if name is None else name
        if not target.is_global:
            mode, group = 0o600, None
        return native.create_topic(
            cls, target, exist_ok, mode, _group(group), history, inline_max, pins, writers, modes, max_size, schema_kind, schema
        )

    def open_topic(self, cls: type[T], name: Name, access: Access) -> T:
        return native.open_topic(cls, name, access)

    def wait(self, handles: Sequence[SyncHandle], all: bool, timeout: float | None, spin: float) -> tuple[int, int]:
        return native.wait(handles, all, timeout, spin)

    def begin_wait(self, handles: Sequence[SyncHandle], all: bool) -> PolledWait:
        return native.Wait(handles, all)

    def begin_queue_wait(self, handle: QueueHandle, what: Awaited, attempt: Callable[[], object]) -> PolledQueueWait:
        return native.QueueWait(handle, what, attempt)

    def begin_topic_wait(self, handle: TopicHandle, anything: bool, attempt: Callable[[], object]) -> PolledQueueWait:
        return native.TopicWait(handle, anything, attempt)

    def watcher(self) -> Watcher:
        return FutexWatcher()

    def arrivals(self, is_global: bool) -> Arrivals:
        return native.Arrivals(is_global)

    def list_objects(self, is_global: bool | None = None) -> list[ObjectInfo]:
        return looking.objects(is_global)

    def flush(self, mapping: Mapping, offset: int, length: int) -> None:
        native.flush(mapping, offset, length)

    def commit_view(self, mapping: Mapping, offset: int, length: int) -> None:
        native.commit_view(mapping, offset, length)

    def pager(self) -> Pager:
        return native.Pager()

    def reach(self, mapping: Mapping) -> int:
        return native.reach(mapping)

    def send_handle(self, handle: SectionHandle | SyncHandle, pid: int, access: Access | SyncAccess) -> int:
        assert isinstance(handle, native.Handle | native.SyncHandle)
        value = 0x10000000 | (int.from_bytes(os.urandom(4), "little") & 0x0FFFFFFC)
        # The receiver cannot attach before it runs, so the handle is ours until then.
        _refuse_receiver(pid, native.send(handle, pid, parcel(pid, value), access))
        return value

    def receive_handle(self, value: int) -> SectionHandle | SyncHandle:
        handle = native.receive(parcel(os.getpid(), value))
        if handle is None:
            raise errors.ClosedHandle(f"Handle {value:#x} is not open in this process", call="receive_handle")
        if isinstance(handle, native.Handle) and handle.file_backed:
            attach_file(handle)
        return handle

    def check_process(self, pid: int) -> None:
        _refuse_receiver(pid, native.check_receiver(pid) if 0 < pid < 1 << 31 else -errno.ESRCH)

    def backend_state(self) -> dict[str, Any]:
        return {
            "mechanism": "System V shared memory, IPC_RMID while attached",
            "local": native.scope_state(False),
            "global": native.scope_state(True),
            "global_group": native.global_policy.group(),
        }


def _refuse_receiver(pid: int, code: int) -> None:
    if code == -errno.EPERM:
        raise errors.AccessDenied(f"Process {pid} is another user's: handles are sent to processes of the same user", call="kill")
    if code:
        raise errors.InvalidArgument(f"There is no process {pid}: it has ended, or there never was one", call="kill")


def _group(group: str | int | None) -> int:
    return -1 if group is None else group_number(group)
