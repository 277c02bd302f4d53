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

from .. import errors
from . import _windows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal, TypeVar

    from namedshm._core import Mapping, Pager
    from namedshm.names import Name

    from .contract import Access, HugePages, Kind, ObjectInfo, PolledWait, SectionHandle, SyncAccess, SyncHandle, Watcher

    S = TypeVar("S", bound=SyncHandle)

_SUFFIX = "|namedshm"
_LOCK_SUFFIX = _SUFFIX + "-lock"
#: A companion's name must itself be a name: longer ones end in a digest instead.
_PLAIN_LENGTH = 120

#: Lets every user wait for and release a creation lock; without it, a creator of another user would meet "access denied".
_LOCK_SDDL = "D:(A;;0x1F0001;;;SY)(A;;0x100001;;;WD)(A;;0x1F0001;;;{user})"

# Rights of a section: query, map for reading, read the descriptor; map for writing; map for executing.
_READ_RIGHTS = 0x20005
_WRITE_RIGHTS = 0x2
_EXECUTE_RIGHTS = 0x8
# Rights of the other objects: wait, read the descriptor; change the state, and look at it, which waiting in asyncio needs.
_WAIT_RIGHTS = 0x120000
_MODIFY_RIGHTS: dict[Kind, int] = {"mutex": 0x1, "event": 0x3, "semaphore": 0x3}

_TYPES: dict[str, Literal["section", "mutex", "event", "semaphore"]] = {
    "Section": "section",
    "Mutant": "mutex",
    "Event": "event",
    "Semaphore": "semaphore",
}


class WindowsBackend:
    """Kernel objects by kernel32.  The methods are specified in ``contract.py``."""

    granularity = 65536
    page_size = _windows.PAGE

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
            security, companion_security = _descriptors(mode, group, executable)
        if name is None:
            text = path = companion = lock = None
        else:
            text, path = name.text, name.canonical
            companion, lock = _beside(name)
        return _windows.create(
            text,
            path,
            companion,
            lock,
            size,
            not exist_ok,
            access,
            writable,
            executable,
            reserve,
            file,
            inheritable,
            security,
            companion_security,
            _lock_descriptor(),
            int.from_bytes(os.urandom(8), "little") or 1,
            time.time_ns() // 1000,
            mode,
        )

    def open_section(self, name: Name, access: Access, inheritable: bool) -> SectionHandle:
        companion, lock = _beside(name)
        return _windows.open_existing(name.text, name.canonical, companion, lock, _lock_descriptor(), access, inheritable)

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
        security = None if mode == 0o600 else _sync_descriptor(kind, mode, group)
        return _windows.create_sync(cls, kind, text, path, not exist_ok, initial, manual, maximum, inheritable, security)

    def open_sync(self, cls: type[S], kind: Kind, name: Name, access: SyncAccess, inheritable: bool) -> S:
        return _windows.open_sync(cls, kind, name.text, name.canonical, access, inheritable)

    def wait(self, handles: Sequence[SyncHandle], all: bool, timeout: float | None, spin: float) -> tuple[int, int]:
        return _windows.wait(handles, all, timeout)  # no spinning: Windows' own waiting is what everybody measures against

    def begin_wait(self, handles: Sequence[SyncHandle], all: bool) -> PolledWait:
        return _windows.Wait(handles, all)

    def watcher(self) -> Watcher:
        return _windows.Watcher()

    def list_objects(self, is_global: bool | None = None) -> list[ObjectInfo]:
        r"""Everything alive, from the object directories of this session and of the machine.

        A section is not opened, for that would keep its name alive: what is told is what its companion tells.  A plain program's
        section has size 0 here.
        """
        found = []
        for prefix, folder in _folders():
            if is_global is not None and is_global != bool(prefix):
                continue
            for bare, kind in _windows.directory(folder):
                if kind in _TYPES and not bare.endswith((_SUFFIX, _LOCK_SUFFIX)):
                    found.append(_describe(prefix + bare, _TYPES[kind]))
        return found

    def flush(self, mapping: Mapping, offset: int, length: int) -> None:
        _windows.flush(mapping, offset, length)

    def commit_view(self, mapping: Mapping, offset: int, length: int) -> None:
        _windows.commit_view(mapping, offset, length)

    def pager(self) -> Pager:
        return _windows.Pager()

    def reach(self, mapping: Mapping) -> int:
        return _windows.reach(mapping)

    def send_handle(self, handle: SectionHandle | SyncHandle, pid: int, access: Access | SyncAccess) -> int:
        if not isinstance(handle, _windows.SectionHandle | _windows.SyncHandle):
            raise TypeError(f"not a handle of this backend: {handle!r}")
        return _windows.send(handle, pid, access)

    def check_process(self, pid: int) -> None:
        """Whether handles could be sent to that process.  Raises InvalidArgument (87) if there is none, or AccessDenied (5)."""
        if not 0 < pid < 1 << 32:
            raise errors.InvalidArgument(f"There is no process {pid}", call="OpenProcess")
        _windows.check_process(pid)

    def receive_handle(self, value: int) -> SectionHandle | SyncHandle:
        if not 0 < value < 1 << 64:
            raise errors.ClosedHandle(f"There is no handle {value} in this process", call="receive_handle")
        try:
            kind, path = _windows.object_path(value)
        except errors.NamedShmError as error:
            raise errors.ClosedHandle(
                f"There is no handle {value} in this process: it was closed, or sent to another process", call="receive_handle"
            ) from error
        if kind not in _TYPES:
            raise errors.WrongType(f"Handle {value} is one to a {kind.lower()}", call="receive_handle")
        text, type = _name_of(path), _TYPES[kind]
        if type != "section":
            return _windows.receive_sync(value, text, type)
        if text is None:
            return _windows.receive(value, None, None)
        prefix = "Global\\" if text.startswith("Global\\") else ""
        return _windows.receive(value, text, prefix + _base(text[len(prefix) :]) + _SUFFIX)

    def backend_state(self) -> dict[str, Any]:
        return {
            "mechanism": "Windows kernel objects",
            "scopes": {"Local": _folders()[0][1], "Global": "\\BaseNamedObjects"},
            "session": _windows.session_id(),
            "can_create_global": _windows.can_create_global(),
            "granularity": self.granularity,
            "page_size": self.page_size,
            "wine": _windows.wine_version(),
        }


# ---------------------------------------------------------------------------------------------------------------------- names
def _base(bare: str) -> str:
    if len(bare) <= _PLAIN_LENGTH:
        return bare
    from hashlib import sha256  # late: it costs more than the rest of this module, and names are rarely this long

    return bare[:40] + sha256(bare.encode("utf-8", "surrogatepass")).hexdigest()


def _beside(name: Name) -> tuple[str, str]:
    """The names of a section's companion and creation lock."""
    base = ("Global\\" if name.is_global else "") + _base(name.bare)
    return base + _SUFFIX, base + _LOCK_SUFFIX


def _folders() -> list[tuple[str, str]]:
    r"""The object directories where names live, with the prefix their names have here.  In session 0 the two are one."""
    session = _windows.session_id()
    machine = "\\BaseNamedObjects"
    return [("", f"\\Sessions\\{session}{machine}"), ("Global\\", machine)] if session else [("", machine)]


def _name_of(path: str) -> str | None:
    r"""A name as users write it from an object's full path; None for an unnamed object."""
    folder, _, bare = path.rpartition("\\")
    for prefix, known in _folders():
        if folder == known:
            return prefix + bare
    return path or None


# ---------------------------------------------------------------------------------------------------------------------- rights
_lock_security: _windows.Descriptor | None = None


def _lock_descriptor() -> _windows.Descriptor:
    global _lock_security
    if _lock_security is None:
        _lock_security = _windows.Descriptor(_LOCK_SDDL.format(user=_windows.user_sid()))
    return _lock_security


def _descriptors(mode: int, group: str | int | None, executable: bool) -> tuple[_windows.Descriptor, _windows.Descriptor]:
    """Security of a section and of its companion, from permission bits.

    Others may read the companion if they have any right to the section, and write it never.
    """
    execute = _EXECUTE_RIGHTS if executable else 0
    section = _access_list(mode, group, _READ_RIGHTS | execute, _WRITE_RIGHTS | execute)
    companion = _access_list(mode, group, _READ_RIGHTS, _READ_RIGHTS)
    return _windows.Descriptor(section), _windows.Descriptor(companion)


def _sync_descriptor(kind: Kind, mode: int, group: str | int | None) -> _windows.Descriptor:
    """Who may read may wait; who may write may release, set and reset."""
    return _windows.Descriptor(_access_list(mode, group, _WAIT_RIGHTS, _MODIFY_RIGHTS[kind]))


def _access_list(mode: int, group: str | int | None, read: int, write: int) -> str:
    """The user and the system may do everything, group and others what the mode says."""
    text = f"D:(A;;GA;;;SY)(A;;GA;;;{_windows.user_sid()})"
    for shift, others in ((3, False), (0, True)):
        bits = mode >> shift & 6
        if bits:
            rights = (read if bits & 4 else 0) | (write if bits & 2 else 0)
            text += f"(A;;{rights:#x};;;{'WD' if others else _group_sid(group)})"
    return text


def _group_sid(group: str | int | None) -> str:
    if group is None:
        return _windows.group_sid()
    if isinstance(group, int):
        raise errors.InvalidArgument(
            f"group {group}: groups have no numbers on Windows, give the name, for example 'Users', or a SID as text",
            call="create",
        )
    return group if group.startswith("S-1-") else _windows.account_sid(group)


# ---------------------------------------------------------------------------------------------------------------------- looking
def _describe(name: str, kind: Literal["section", "mutex", "event", "semaphore"]) -> ObjectInfo:
    from .contract import ObjectInfo  # late: it needs the typing module

    facts = None
    if kind == "section":
        prefix = "Global\\" if name.startswith("Global\\") else ""
        facts = _windows.facts_of(prefix + _base(name[len(prefix) :]) + _SUFFIX)
    if facts is None:
        return ObjectInfo(name, kind, 0, None, None, None, None, None, None, None, 0)
    size, identity, born, pid, mode, handles = facts
    return ObjectInfo(name, kind, size, handles, None, pid, None, born / 1e6, mode, None, identity)


# ---------------------------------------------------------------------------------------------------------------------- errors
_REMEDIES: dict[int, tuple[type[errors.NamedShmError], str]] = {
    2: (errors.NotFound, "nobody holds that name; create it first, and keep a handle open"),
    3: (errors.InvalidName, "use no backslash but that of 'Global\\' or 'Local\\'"),
    5: (
        errors.AccessDenied,
        "the object's rights do not let this user in; ask its creator for a wider mode, or ask for 'read'",
    ),
    8: (errors.OutOfResources, "not enough memory or address space; free some or ask for less"),
    14: (errors.OutOfResources, "not enough memory; free some or ask for less"),
    50: (errors.Unsupported, "this system cannot do it"),
    87: (errors.InvalidArgument, "Windows does not accept this combination of size, range and access"),
    112: (errors.OutOfResources, "the disk is full; free some space"),
    120: (errors.Unsupported, "this system does not have the call"),
    123: (errors.InvalidName, "choose another name"),
    161: (errors.InvalidName, "leave out the leading backslash"),
    183: (errors.AlreadyExists, "it exists; open it, pass exist_ok=True, or choose another name"),
    206: (errors.InvalidName, "choose a shorter name"),
    487: (errors.InvalidArgument, "that range is not mapped"),
    288: (errors.NotOwned, "this thread does not own it; the thread that acquired it releases it, as often as it acquired it"),
    298: (errors.LimitExceeded, "its count would exceed its maximum, and stays as it was; release as often as was acquired"),
    1006: (errors.InvalidArgument, "the file is empty; give a size"),
    1132: (errors.InvalidArgument, "offsets are multiples of 65,536"),
    1332: (errors.InvalidArgument, "there is no account of that name"),
    1450: (errors.OutOfResources, "the system has no resources left; close something"),
    1455: (errors.OutOfResources, "the paging file is too small; close something, enlarge it or ask for less"),
    1460: (errors.NamedShmError, "another process was stopped while creating it; let it continue, or end it"),
}


def failure(code: int, call: str, name: str | None, doing: str, what: str = "section") -> errors.NamedShmError:
    """The exception for GetLastError ``code``: what failed, the call, and what to do about it.

    ``doing`` is a verb and what belongs to it; ``{}`` in it stands for the object, a ``what``.
    """
    kind, remedy = _REMEDIES.get(code, (errors.NamedShmError, "see the error number in Microsoft's list of system error codes"))
    creating = doing.startswith("create")
    if code == 6:
        if creating or doing == "open {}":
            kind, remedy = errors.WrongType, "an object of another type holds that name; choose another"
        else:
            kind, remedy = errors.ClosedHandle, "the handle is not open in this process"
    elif code == 5 and creating and name is not None and name.startswith("Global\\"):
        remedy = (
            "creating in Global\\ needs the privilege SeCreateGlobalPrivilege, which services and administrators have "
            "(Local Security Policy, User Rights Assignment, 'Create global objects'); opening needs no privilege"
        )
    elif code == 8 and creating and what == "section":
        remedy = "not enough memory or address space, or a file that is shorter and cannot grow; ask for less"
    elif code == 87 and creating and what == "section":
        kind, remedy = errors.OutOfResources, "the size is more than this system can have; ask for less"
    elif code == 87 and call == "OpenProcess":
        remedy = "there is no such process"
    text = doing.replace("{}", f"an unnamed {what}" if name is None else f"{what} {name!r}")
    return kind(f"Cannot {text}: {call} failed; {remedy}", winerror=code, name=name, call=call)


_windows.failure = failure
