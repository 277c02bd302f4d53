r"""The Linux backend: decisions and texts around the compiled handles of ``_linux.pyx`` (the protocol is include/namedshm.h).

Lifetime is kept by the kernel: System V segments marked IPC_RMID while attached.  ``Local\`` is per user and IPC namespace,
``Global\`` is machine-wide (per IPC namespace); who may create there is written in ``/etc/namedshm.conf`` by ``namedshm grant``.
Refuses: System V IPC missing, creation that memory or the cgroup cannot hold, anything on 32-bit systems.
"""

from __future__ import annotations

import errno
import os
from _io import open  # the builtin of that name is gone when the interpreter ends, before the last __del__ runs

from namedshm import errors

from . import _linux
from .linux_errors import explain
from .linux_files import attach_file, prepare_file
from .linux_memory import huge_pages as wants_huge_pages
from .linux_memory import refuse_if_short
from .linux_policy import GlobalPolicy, group_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from namedshm._core import Mapping, Pager
    from namedshm.names import Name

    from .contract import Access, HugePages, Kind, ObjectInfo, PolledWait, SectionHandle, SyncAccess, SyncHandle, Watcher

    S = TypeVar("S", bound=SyncHandle)

_CHECK_MEMORY_ABOVE = 16 << 20  # bytes; asking costs 0.1 ms, less than touching so many pages by far
_PARCEL = b"\0parcel\\%d\\%d"  # receiver, number; names of users contain no NUL
_APART = (errno.EXDEV, errno.EUSERS)


class _Hidden:
    """A name no user can choose, for an unnamed object that needs a token: a mutex, or the section of a file."""

    __slots__ = ("bare", "is_global", "text")

    def __init__(self) -> None:
        self.bare = "\0unnamed\\" + os.urandom(16).hex()
        self.is_global = False
        self.text = None


class _FutexWatcher:
    """contract.Watcher by futex_waitv(2): it takes nothing, so there is nothing to give back.

    Without a lock: the collector and signal handlers end waits in the middle of anything here, and a fork would leave it locked for
    ever in the child.  Whoever takes a wait out of the dictionary has it; each single operation on one is atomic.
    """

    def __init__(self) -> None:
        self.wakes = 0
        self._control = _linux.Control()
        self._waits: dict[_linux.Wait, None] = {}

    def add(self, wait: _linux.Wait) -> bool:
        self._waits[wait] = None
        # Entered first and counted then: of several that enter at the same time, the last to count sees all of them.
        if sum(map(len, list(self._waits))) > _linux.WATCH_MAX and self._waits.pop(wait, self) is None:
            return False
        self._control.change()
        return True

    def remove(self, wait: _linux.Wait) -> None:
        if self._waits.pop(wait, self) is None:
            self._control.change()

    def ready(self) -> list[_linux.Wait]:
        seen = self._control.value  # before the copy: whatever is added later changes it
        found = _linux.watch(_fitting(list(self._waits)), self._control, seen)
        self.wakes += 1
        return [wait for wait in found if self._waits.pop(wait, self) is None]


def _fitting(waits: list[_linux.Wait]) -> list[_linux.Wait]:
    """As many as can be watched: one more may be there for the moment until add() refuses it, and changes the control if not."""
    room = _linux.WATCH_MAX
    for number, wait in enumerate(waits):
        room -= len(wait)
        if room < 0:
            return waits[:number]
    return waits


# ------------------------------------------------------------------------------------------------------------ the backend
class LinuxBackend:
    granularity = 65536
    page_size = 4096

    def __init__(self) -> None:
        if os.sysconf("SC_PAGE_SIZE") != self.page_size:
            raise ImportError("namedshm supports Linux with 4 KiB pages only, so far")
        _linux.explain = explain
        _linux.global_policy = GlobalPolicy()
        _linux.set_session(os.fsencode(os.environ.get("NAMEDSHM_SESSION", "")))

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
        reserve: bool,
        file: int | None,
        inheritable: bool,
        huge_pages: HugePages | None,
    ) -> SectionHandle:
        if name is None or not name.is_global:
            mode, group = 0o600, None  # nobody else can open it; wider bits would let others attach the segments by their ids
        target: Any = name
        props, location = 0 if writable else _linux.OBJ_READONLY, None
        if executable:
            props |= _linux.OBJ_EXECUTABLE
        if huge_pages is not None and wants_huge_pages(name, size, huge_pages):
            props |= _linux.OBJ_HUGE
        if reserve:
            props |= _linux.OBJ_RESERVE
        elif file is None and size > _CHECK_MEMORY_ABOVE:
            refuse_if_short(name, size)
        own = None
        if file is not None:
            props |= _linux.OBJ_FILE
            size, own, location = prepare_file(name, size, file, writable, executable)
            target = name or _Hidden()
            mode, group = 0o600, None  # for this user alone: see linux_files.py
        try:
            handle: _linux.Handle = _linux.create(
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

    def open_section(self, name: Name, access: Access, inheritable: bool) -> SectionHandle:
        handle: _linux.Handle = _linux.open(name, access)
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
        target: Any = _Hidden() if name is None else name
        if not target.is_global:
            mode, group = 0o600, None
        return _linux.create_sync(cls, kind, target, exist_ok, mode, _group(group), initial, manual, maximum)

    def open_sync(self, cls: type[S], kind: Kind, name: Name, access: SyncAccess, inheritable: bool) -> S:
        return _linux.open_sync(cls, kind, name, access)

    def wait(self, handles: Sequence[SyncHandle], all: bool, timeout: float | None, spin: float) -> tuple[int, int]:
        return _linux.wait(handles, all, timeout, spin)

    def begin_wait(self, handles: Sequence[SyncHandle], all: bool) -> PolledWait:
        return _linux.Wait(handles, all)

    def watcher(self) -> Watcher:
        return _FutexWatcher()

    def list_objects(self, is_global: bool | None = None) -> list[ObjectInfo]:
        from .contract import ObjectInfo

        resident = _resident()
        found, refused = [], None
        scopes = (False, True) if is_global is None else (is_global,)
        for scope in scopes:
            try:
                rows = _linux.objects(scope)
            except errors.Unsupported as error:
                if error.errno not in _APART or len(scopes) == 1:
                    raise
                if refused is not None:
                    raise refused from None
                refused = error  # this namespace is not for this process: what it sees is in the other
                continue
            for bare, kind, size, handles, mappings, pid, uid, born, mode, data, nonce, _ in rows:
                if bare.startswith("\0"):
                    continue
                found.append(
                    ObjectInfo(
                        name=f"Global\\{bare}" if scope else bare,
                        type=kind,
                        size=size if kind == "section" else 0,
                        handles=handles,
                        mappings=mappings if kind == "section" and data >= 0 else None,
                        creator_pid=pid,
                        creator_uid=uid,
                        created=float(born),
                        mode=mode,
                        resident=resident.get(data) if data >= 0 else None,
                        identity=nonce,
                    )
                )
        return found

    def flush(self, mapping: Mapping, offset: int, length: int) -> None:
        _linux.flush(mapping, offset, length)

    def commit_view(self, mapping: Mapping, offset: int, length: int) -> None:
        _linux.commit_view(mapping, offset, length)

    def pager(self) -> Pager:
        return _linux.Pager()

    def reach(self, mapping: Mapping) -> int:
        return _linux.reach(mapping)

    def send_handle(self, handle: SectionHandle | SyncHandle, pid: int, access: Access | SyncAccess) -> int:
        assert isinstance(handle, _linux.Handle | _linux.SyncHandle)
        value = 0x10000000 | (int.from_bytes(os.urandom(4), "little") & 0x0FFFFFFC)
        # The receiver cannot attach before it runs, so the handle is ours until then.
        _refuse_receiver(pid, _linux.send(handle, pid, _PARCEL % (pid, value), access))
        return value

    def receive_handle(self, value: int) -> SectionHandle | SyncHandle:
        handle = _linux.receive(_PARCEL % (os.getpid(), value))
        if handle is None:
            raise errors.ClosedHandle(f"Handle {value:#x} is not open in this process", call="receive_handle")
        if isinstance(handle, _linux.Handle) and handle.file_backed:
            attach_file(handle)
        return handle

    def check_process(self, pid: int) -> None:
        _refuse_receiver(pid, _linux.check_receiver(pid) if 0 < pid < 1 << 31 else -errno.ESRCH)

    def backend_state(self) -> dict[str, Any]:
        return {
            "mechanism": "System V shared memory, IPC_RMID while attached",
            "local": _linux.scope_state(False),
            "global": _linux.scope_state(True),
            "global_group": _linux.global_policy.group(),
        }


def _refuse_receiver(pid: int, code: int) -> None:
    if code == -errno.EPERM:
        raise errors.AccessDenied(f"Process {pid} is another user's: handles are sent to processes of the same user", call="kill")
    if code:
        raise errors.InvalidArgument(f"There is no process {pid}: it has ended, or there never was one", call="kill")


def _group(group: str | int | None) -> int:
    return -1 if group is None else group_number(group)


def _resident() -> dict[int, int]:
    """Bytes of each segment that are really in memory, by id (proc_sysvipc_shm(5): column rss); empty where that file is not."""
    found = {}
    try:
        with open("/proc/sysvipc/shm", "rb") as file:
            columns = file.readline().split()
            id_column, rss_column = columns.index(b"shmid"), columns.index(b"rss")
            for line in file:
                fields = line.split()
                found[int(fields[id_column])] = int(fields[rss_column])
    except (OSError, ValueError, IndexError):
        return {}
    return found
