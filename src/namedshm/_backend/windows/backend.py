r"""The Windows backend: nearly one call each, because Windows has these objects.

Handles are handles, views are MapViewOfFile, the kernel counts.  Two things Windows does not keep, and this package promises: the
exact size (Windows rounds a section to pages) and an identity.  They stand in a *companion*, a one-page mapping beside the section
in the same namespace, called ``<name>|namedshm``.  The section itself holds the user's bytes and nothing else, so a plain Win32
program can open ours and we can open its: then there is no companion, the size is in whole pages and the identity 0.

The rules that make the pair safe.  *Name* is the section, *companion* the companion, *lock* a mutex ``<name>|namedshm-lock`` that
lives only while somebody creates:

    1. Whoever holds a handle to the section holds one to its companion, opened before and closed after it.
    2. So while any of our handles to a section exists, its companion is the one that is found by name.
    3. A companion's content changes only with the lock held and no section of that name in existence.

Creating                                                     the race it closes
    C1  take the lock (an abandoned one counts as taken)     two creators; a creator that was killed half-way
    C2  try to open, as O1 to O3; found: done, it exists     an existing object keeps its size, its rights and its companion
    C3  make the companion, or take over a left one          left: its last holder has closed the section, but not yet this (1)
    C4  write the facts: magic 0, facts, magic               whoever sees the magic sees all of them
    C5  make the section: only now can it be found           rule 1 for openers: complete before it is found
        it exists after all: magic 0, C2                     a plain program, which takes no lock, was faster
    C6  let go of the lock

Opening
    O1  open the companion; there may be none                opened first, so that no re-creation can replace it (3)
    O2  open the section; not found: NotFound                from here on nobody changes the companion (3)
    O3  read the facts; the size must match the real one     a plain program's section, made between C4 and C5
    O4  no companion: close, take the lock, O1 to O3 again   the section was made between O1 and O2; with the lock held nobody
                                                             creates, so a section without companion is a plain program's

Closing: the section, then the companion (1).  A killed process's handles are closed by the kernel in any order; a companion that
goes first could only be missed by an opener that then also finds the section gone, or held by another of our handles (2).

What stays open: a plain program that creates a section of the same page-rounded size between C4 and C5 is, for the microseconds
until C5 fails, taken for ours; and a handle given to a plain program by DuplicateHandle keeps the section without its companion.
"""

from __future__ import annotations

import os
import time

from namedshm import errors

from . import looking, native, rights
from .errors import failure
from .looking import Looks
from .names import beside, companion, folders, hidden, kind_of, name_of

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


class WindowsBackend:
    """Kernel objects by kernel32.  The methods are specified in ``contract.py``."""

    names_can_go = False
    granularity = 65536
    page_size = native.PAGE

    def __init__(self) -> None:
        native.failure = failure

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
        if huge_pages == "require":
            # SEC_LARGE_PAGES: a privilege few accounts have, sizes and offsets in multiples of 2 MiB, memory that is locked.
            label = "an unnamed section" if name is None else repr(name.text)
            raise errors.Unsupported(
                f"Cannot create {label} in huge pages: not done on Windows so far; pass huge_pages='try'",
                name=None if name is None else name.text,
                call="create",
            )
        security = companion_security = None
        if mode != 0o600:
            security, companion_security = rights.of_section(mode, group, executable)
        if name is None:
            text = path = pair = lock = None
        else:
            text, path = name.text, name.canonical
            pair, lock = beside(name)
        return native.create(
            text,
            path,
            pair,
            lock,
            size,
            not exist_ok,
            access,
            writable,
            executable,
            reserve is True,  # memory that is not counted before it is touched does not exist here
            file,
            inheritable,
            security,
            companion_security,
            rights.of_lock(),
            int.from_bytes(os.urandom(8), "little") or 1,
            time.time_ns() // 1000,
            mode,
        )

    def prepare_section(
        self, name: Name, size: int, mode: int, group: str | int | None, huge_pages: HugePages | None
    ) -> SectionHandle:
        raise _no_retiring(name.text, "replace")

    def replace_section(self, handle: SectionHandle, name: Name) -> None:
        raise _no_retiring(name.text, "replace")

    def retire(self, handle: SectionHandle) -> bool:
        raise _no_retiring(handle.name, "retire")

    def named(self, handle: SectionHandle) -> bool:
        return handle.name is not None

    def open_section(self, name: Name, access: Access, inheritable: bool) -> SectionHandle:
        pair, lock = beside(name)
        return native.open_existing(name.text, name.canonical, pair, lock, rights.of_lock(), access, inheritable)

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
        text, path = (None, None) if name is None else (name.text, name.canonical)
        security = None if mode == 0o600 else rights.of_sync(kind, mode, group)
        return native.create_sync(cls, kind, text, path, not exist_ok, initial, manual, maximum, inheritable, security)

    def open_sync(self, cls: type[S], kind: Kind, name: Name, access: SyncAccess, inheritable: bool) -> S:
        return native.open_sync(cls, kind, name.text, name.canonical, access, inheritable)

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
        section = companion = bell = None
        if mode != 0o600:
            section, companion = rights.of_section(mode, group, executable=False)
            bell = rights.of_bell(mode, group)
        return native.create_queue(
            cls,
            None if name is None else name.text,
            hidden() if name is None else (name.canonical, *beside(name)),
            name is not None and name.is_global,
            not exist_ok,
            mode,
            section,
            companion,
            bell,
            rights.of_lock(),
            capacity,
            slot,
            chunks,
            participants,
            modes,
            max_size,
        )

    def open_queue(self, cls: type[Q], name: Name, access: Access) -> Q:
        return native.open_queue(cls, name.text, (name.canonical, *beside(name)), name.is_global, rights.of_lock(), access)

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
        raise errors.Unsupported("Topics exist on Linux only, so far", call="create")

    def open_topic(self, cls: type[T], name: Name, access: Access) -> T:
        raise errors.Unsupported("Topics exist on Linux only, so far", call="open")

    def wait(self, handles: Sequence[SyncHandle], all: bool, timeout: float | None, spin: float) -> tuple[int, int]:
        return native.wait(handles, all, timeout)  # no spinning: Windows' own waiting is what everybody measures against

    def begin_wait(self, handles: Sequence[SyncHandle], all: bool) -> PolledWait:
        return native.Wait(handles, all)

    def begin_queue_wait(self, handle: QueueHandle, what: Awaited, attempt: Callable[[], object]) -> PolledQueueWait:
        return native.QueueWait(handle, what, attempt)

    def begin_topic_wait(self, handle: TopicHandle, anything: bool, attempt: Callable[[], object]) -> PolledQueueWait:
        raise errors.Unsupported("Topics exist on Linux only, so far", call="wait")

    def watcher(self) -> Watcher:
        return native.Watcher()

    def arrivals(self, is_global: bool) -> Arrivals:
        return Looks()

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
        if not isinstance(handle, native.SectionHandle | native.SyncHandle):
            raise TypeError(f"not a handle of this backend: {handle!r}")
        return native.send(handle, pid, access)

    def check_process(self, pid: int) -> None:
        """Whether handles could be sent to that process.  Raises InvalidArgument (87) if there is none, or AccessDenied (5)."""
        if not 0 < pid < 1 << 32:
            raise errors.InvalidArgument(f"There is no process {pid}", call="OpenProcess")
        native.check_process(pid)

    def receive_handle(self, value: int) -> SectionHandle | SyncHandle:
        if not 0 < value < 1 << 64:
            raise errors.ClosedHandle(f"There is no handle {value} in this process", call="receive_handle")
        try:
            type, path = native.object_path(value)
        except errors.NamedShmError as error:
            raise errors.ClosedHandle(
                f"There is no handle {value} in this process: it was closed, or sent to another process", call="receive_handle"
            ) from error
        kind = kind_of(type)
        if kind is None:
            raise errors.WrongType(f"Handle {value} is one to a {type.lower()}", call="receive_handle")
        text = name_of(path)
        if kind != "section":
            return native.receive_sync(value, text, kind)
        return native.receive(value, text, None if text is None else companion(text))

    def backend_state(self) -> dict[str, Any]:
        return {
            "mechanism": "Windows kernel objects",
            "scopes": {"Local": folders()[0][1], "Global": "\\BaseNamedObjects"},
            "session": native.session_id(),
            "can_create_global": native.can_create_global(),
            "granularity": self.granularity,
            "page_size": self.page_size,
            "wine": native.wine_version(),
        }


def _no_retiring(name: str | None, call: str) -> errors.Unsupported:
    return errors.Unsupported(
        f"Cannot {call} {name!r}: on Windows a name stays with its object until every handle is closed; close them all, or use a "
        "new name and tell it to the readers",
        name=name,
        call=call,
    )
