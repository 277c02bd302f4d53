"""Exceptions for the negative errno values of the Linux protocol: what failed, the call, the remedy.

Making one needs no file and imports nothing: where nothing can be opened any more, the text only says less.
"""

from __future__ import annotations

import errno
import os
from _io import open  # the builtin of that name is gone when the interpreter ends, before the last __del__ runs

from namedshm import errors

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IPCMNI, _IPCMNI_EXTENDED = 32768, 1 << 24  # the most that kernel.shmmni can be: ordinarily, and with the boot option ipcmni_extend
_HOLDERS = 8  # processes named in a text


def explain(code: int, call: str, name: Any, size: int) -> errors.NamedShmError:
    """The exception for a negative errno of the protocol, with what failed, the call, and the remedy.

    ``size``: bytes, or 0 where it is not known.
    """
    text = getattr(name, "text", name)
    label = "an unnamed section" if text is None else f"{text!r}"
    is_global = text is not None and text.startswith("Global\\")
    number = -code
    of_size = f" of {size} bytes" if size else ""
    if call == "list":
        label = "the living objects"
    match number:
        case errno.ENOENT:
            return errors.NotFound(f"Nothing is named {label}: nobody holds it (any more); create it first", name=text, call=call)
        case errno.EEXIST:
            return errors.AlreadyExists(
                f"{label} exists already, somebody holds it: open it, or choose another name", name=text, call=call
            )
        case errno.EBADMSG:
            return errors.WrongType(
                f"{label} is held by an object of another type (all types share one namespace): choose another name",
                name=text,
                call=call,
            )
        case errno.EPERM if call == "release-sync":
            return errors.NotOwned(
                f"This thread does not own the mutex {label}: only the thread that acquired it releases it, once per acquisition",
                name=text,
                call="release",
            )
        case errno.EPERM if call == "wait-sync":
            return errors.Unsupported(
                "Waiting for all of several objects needs the right to create in Global\\ when one of them is Global: "
                "wait for them one by one",
                name=text,
                call="wait_all",
            )
        case errno.EPERM if call == "location":
            return _another_users_file(label, text)
        case errno.EUCLEAN if call == "location":
            return errors.AccessDenied(
                f"Cannot open {label}: somebody forged its entry, which says that it maps a file; close it everywhere, and let no "
                "one create in Global\\ who is not trusted",
                name=text,
                call="open",
            )
        case errno.EOVERFLOW if call == "release-sync":
            return errors.LimitExceeded(
                f"The semaphore {label} would exceed its maximum: it is released more often than acquired",
                name=text,
                call="release",
            )
        case errno.EBADF:
            return errors.ClosedHandle(f"This handle to {label} is closed: open the object again", name=text, call=call)
        case errno.EUCLEAN:
            return errors.NamedShmError(
                f"Cannot {_verb(call)} {label}: it is damaged, its entry or its control words are not what its type has; close it "
                "everywhere and create it anew",
                errno=number,
                name=text,
                call=call,
            )
        case errno.ESTALE:
            return _could_not_tell(label, text, is_global, call)
        case errno.EREMCHG:
            return errors.NamedShmError(
                f"Cannot {_verb(call)} {label}: the effective user changed meanwhile; try again", errno=number, name=text, call=call
            )
        case errno.EDEADLK:
            return errors.NamedShmError(
                f"Cannot {_verb(call)} {label}: a signal handler that interrupted namedshm uses it; let the handler set a flag, "
                "and do it after",
                errno=number,
                name=text,
                call=call,
            )
        case errno.EXDEV if call == "wait":
            return errors.InvalidArgument(
                "Cannot wait for all of several objects of different IPC namespaces: wait for them one by one", call="wait_all"
            )
        case errno.EXDEV:
            return errors.Unsupported(
                rf"Cannot {_verb(call)} {label}: Global\ is for processes of the user namespace that owns this IPC namespace, "
                r"and this process is in another (rootless container, unshare --user); run it there, give the container its own "
                r"IPC namespace, or use a Local\ name",
                errno=number,
                name=text,
                call=call,
            )
        case errno.ENOTUNIQ:
            return errors.AccessDenied(
                f"Cannot {_verb(call)} {label} for a group: System V gives the same rights to the maker's own group, and this "
                f"process's (number {os.getegid()}) has other members; run it in the group it is for, with 'sg GROUP -c COMMAND' "
                "or newgrp",
                errno=number,
                name=text,
                call=call,
            )
        case errno.EUSERS:
            return errors.Unsupported(
                f"Cannot {_verb(call)} {label}: this process's user has no number of its own in its user namespace (it looks like "
                rf"{os.geteuid()}), so its Local\ objects cannot be told from those of others; map the user there "
                r"(/proc/PID/uid_map, unshare --map-user)",
                errno=number,
                name=text,
                call=call,
            )
        case errno.EPERM if is_global:
            return errors.AccessDenied(
                f"No right to create {label} in Global\\: an administrator grants it with 'namedshm grant GROUP' "
                "(members must log in again, running programs restart); opening needs no such right",
                name=text,
                call=call,
            )
        case errno.EPERM:
            return errors.AccessDenied(
                f"Cannot {_verb(call)} {label}: a sandbox or security module forbids it; let it allow System V shared memory "
                "(shmget, shmat, shmctl)",
                errno=number,
                name=text,
                call=call,
            )
        case errno.EACCES if call in ("wait", "modify"):
            return errors.AccessDenied(
                f"This handle to {label} was not opened with the right to {call}: open it with access 'full'", name=text, call=call
            )
        case errno.EACCES if call == "retire":
            return errors.AccessDenied(
                f"Cannot retire {label}: it takes a handle with access 'write' (of a read-only section: its maker's user), and in "
                "Global\\ the right to create there",
                name=text,
                call=call,
            )
        case errno.EACCES if call == "replace":
            return errors.AccessDenied(
                f"Cannot replace {label}: it takes the right to write the one that has the name (of a read-only section: to be its "
                "maker's user), and in Global\\ the right to create there",
                name=text,
                call=call,
            )
        case errno.EACCES if call == "commit":
            return errors.AccessDenied(f"This view of {label} is read-only: map it with access 'write'", name=text, call=call)
        case errno.EACCES:
            return _no_right(label, text, is_global, call)
        case errno.ENOSPC:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label}{of_size}: {_segment_limit(size)}",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=errno.ENOSPC,
                name=text,
                call="shmget",
            )
        case errno.EPROTO:
            return errors.Unsupported(
                f"Cannot {_verb(call)} {label}: running programs use another version of namedshm, whose format is another"
                f"{_other_version(is_global)}; end them, or run all with the same version (NAMEDSHM_SESSION gives each version a "
                "namespace of its own)",
                errno=number,
                name=text,
                call=call,
            )
        case errno.ENFILE:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label}: there are as many living objects as a namespace holds, or as many open files as "
                "the system has (fs.file-max); close some",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=errno.ENFILE,
                name=text,
                call=call,
            )
        case errno.EMFILE:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label}: this process has no free descriptor; close some files, or raise the limit "
                "(ulimit -n)",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=number,
                name=text,
                call=call,
            )
        case errno.ENOMEM:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label}{of_size}: {_memory_limit()}", errno=number, name=text, call=call
            )
        case errno.ENXIO:
            return errors.AccessDenied(
                f"Cannot map {label}: its file was cut to {size} bytes since, and touching the rest would end the program; let "
                "the file grow again, or map less",
                errno=number,
                name=text,
                call=call,
            )
        case errno.E2BIG:
            return errors.OutOfResources(
                f"Cannot map a copy-on-write view of {label}: without CAP_CHECKPOINT_RESTORE such views of one process are "
                "limited to 96 MiB together; map a smaller section, or copy it",
                winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
                errno=number,
                name=text,
                call=call,
            )
        case errno.ERANGE:
            return errors.InvalidArgument(f"{size} bytes reach beyond the end of this view of {label}", name=text, call=call)
        case errno.EINVAL if call == "wait":
            return errors.InvalidArgument(
                "Cannot wait: 1 to 64 objects are possible, for all of them each only once, and the timeout is a number of seconds",
                call=call,
            )
        case errno.ETIME:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label}: a process was stopped (SIGSTOP, debugger) while it changed several objects at "
                "once; continue or kill it, then try again",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=number,
                name=text,
                call=call,
            )
        case errno.EINVAL if size:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label} of {size} bytes: the kernel refuses that size (kernel.shmmax); make it smaller, "
                "or raise the limit",
                winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
                errno=number,
                name=text,
                call="shmget",
            )
        case errno.ENOLCK:
            return errors.OutOfResources(
                f"Cannot acquire the mutex {label}: this thread owns 1,024 mutexes, of more the kernel would not tell the death; "
                "release some",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=number,
                name=text,
                call=call,
            )
        case errno.ENOSYS if call == "wait-sync":
            return errors.Unsupported(
                f"Cannot wait for {label}: the kernel, a sandbox or the C library does not let this thread have a list of robust "
                "futexes in which named mutexes can be; allow set_robust_list and get_robust_list, or acquire it in another thread",
                errno=number,
                name=text,
                call="set_robust_list",
            )
        case errno.ENOSYS:
            return errors.Unsupported(
                f"Cannot {_verb(call)} {label}: this kernel or sandbox has no System V shared memory (CONFIG_SYSVIPC, seccomp); "
                "allow shmget, shmat, shmctl",
                name=text,
                call="shmget",
            )
        case errno.ETIMEDOUT:
            return errors.OutOfResources(
                f"Cannot {_verb(call)} {label}: a process was stopped in the middle of creating another name (SIGSTOP, debugger) "
                "and holds the registry's lock; continue or kill it, then try again",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=number,
                name=text,
                call="futex",
            )
        case _:
            return errors.NamedShmError(f"Cannot {_verb(call)} {label}: {os.strerror(number)}", errno=number, name=text, call=call)


def _verb(call: str) -> str:
    """What the caller did, for calls that are named as the system names them."""
    return {"shmat": "map", "mmap": "map", "msync": "flush", "fcntl": "duplicate", "fstat": "map"}.get(call, call)


def _could_not_tell(label: str, text: str | None, is_global: bool, call: str) -> errors.NamedShmError:
    why = native.why()
    if is_global or text is None:  # a Global registry is judged by the group that may create: perhaps that is what is not known
        try:
            native.global_policy.group()
        except errors.NamedShmError as error:
            return error
    kind: type[errors.NamedShmError] = errors.NamedShmError
    remedy = "try again"
    if why in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        kind, remedy = errors.OutOfResources, "close some files, or raise the limit on open files (ulimit -n)"
    elif why in (errno.EACCES, errno.EPERM):
        kind, remedy = (
            errors.AccessDenied,
            "let its security module or sandbox allow shmctl and shmat, or work where the holders do",
        )
    return kind(
        f"Cannot {_verb(call)} {label}: whether it is held, and by whom, could not be told, because the system answered "
        f"'{os.strerror(why)}'; {remedy}",
        winerror=kind.default_winerror if kind is not errors.OutOfResources else errors.ERROR_NO_SYSTEM_RESOURCES,
        errno=errno.ESTALE,
        name=text,
        call=call,
    )


# ------------------------------------------------------------------------------------------------------------ rights
def _no_right(label: str, text: str | None, is_global: bool, call: str) -> errors.NamedShmError:
    facts = _look_up(text) if is_global else None
    if facts is None:
        problem = f"its mode does not allow that to user {os.geteuid()}; have its creator pass a wider mode"
    else:
        kind, mode, uid, props = facts
        if props & native.OBJ_FILE:
            return _another_users_file(label, text, uid)
        problem = f"user {uid} made it with mode 0o{mode:o}, which does not allow that to user {os.geteuid()}; "
        if kind == "section" and mode & 0o044:
            problem += "ask for access 'read' if those who may read include you, or have the creator pass a wider mode"
        else:
            problem += "have the creator pass a wider mode"
    return errors.AccessDenied(f"No right to {_verb(call)} {label}: {problem}", name=text, call=call)


def _another_users_file(label: str, text: str | None, uid: int | None = None) -> errors.NamedShmError:
    who = "another user" if uid is None else f"user {uid}"
    return errors.AccessDenied(
        f"Cannot open {label}: it maps a file, and {who} made it; only that user's programs open it, because nobody follows "
        "another user's path with his own rights; open the file itself, or have the creator share memory instead",
        name=text,
        call="open",
    )


def _look_up(text: str | None) -> tuple[str, int, int, int] | None:
    """(type, mode, creator, properties) of a Global object, which may be another user's; None if that cannot be told."""
    if text is None:
        return None
    bare = text.removeprefix("Global\\")
    try:
        rows = native.objects(True)
    except errors.NamedShmError:
        return None
    for row in rows:
        if row[0] == bare:
            return row[1], row[8], row[6], row[11]
    return None


# ------------------------------------------------------------------------------------------------------------ limits
def _segment_limit(size: int) -> str:
    limits = native.segment_limits()
    if limits is None:
        return "a limit on System V shared memory is reached; raise kernel.shmmni or kernel.shmall"
    most, used, pages, used_pages, _ = limits
    if used >= most - 1 and used_pages + (size + 4095) // 4096 <= pages:
        ceiling = _IPCMNI if most <= _IPCMNI else _IPCMNI_EXTENDED
        full = f"the system's table of {most} shared memory segments is full (a section takes two)"
        if most >= ceiling:
            boot = "; boot with ipcmni_extend for more" if ceiling == _IPCMNI else ""
            return f"{full}, and kernel.shmmni={most} is the most this kernel takes{boot}; close sections"
        return f"{full}; raise it with 'sysctl kernel.shmmni={min(ceiling, max(most * 4, _IPCMNI))}' or close sections"
    return (
        f"the limit on shared memory of all processes is reached (kernel.shmall={pages} pages, {used_pages} in use); raise it or "
        "make the section smaller"
    )


def _memory_limit() -> str:
    count, most = _mappings()
    if most and count >= most - 8:
        return (
            f"this process has {count} mappings, and {most} is the most (vm.max_map_count); close sections and views, or raise "
            f"it with 'sysctl vm.max_map_count={most * 4}'"
        )
    return (
        "the kernel has no memory or address space for it (see vm.overcommit_memory, ulimit -v, vm.max_map_count); make it "
        "smaller, or close others"
    )


def _mappings() -> tuple[int, int]:
    """(mappings of this process, the most it may have); zeros if that cannot be told."""
    try:
        with open("/proc/sys/vm/max_map_count", "rb") as file:
            most = int(file.read())
        with open("/proc/self/maps", "rb") as file:
            return sum(1 for _ in file), most
    except (OSError, ValueError, MemoryError):
        return 0, 0


# ------------------------------------------------------------------------------------------------------------ other versions
def _other_version(is_global: bool) -> str:
    """Who holds a registry of another version, as far as this process can see."""
    try:
        found = [row for row in native.registries(is_global) if row[6] not in (0, native.FORMAT_VERSION)]
    except errors.NamedShmError:
        return ""
    words = []
    for segment, maker, _, _, _, attached, version in found:
        words.append(f"version {version}, made by user {maker}, {held_by(segment, attached)}")
    return f" ({'; '.join(words)}; this is version {native.FORMAT_VERSION})" if words else ""


def held_by(segment: int, attached: int) -> str:
    """Who else has a segment attached, in words."""
    pids = [pid for pid in _holders(segment) if pid != os.getpid()]
    if not pids:
        return f"attached {attached} times, by processes that cannot be seen from here"
    more = f" and {len(pids) - _HOLDERS} more" if len(pids) > _HOLDERS else ""
    return f"held by process{'' if len(pids) == 1 else 'es'} {', '.join(map(str, pids[:_HOLDERS]))}{more}"


def _holders(segment: int) -> list[int]:
    """Processes that have a segment attached, those /proc lets us see."""
    found = []
    try:
        pids = sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    except OSError:
        return []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                # address permissions offset device inode path: the inode of a System V segment is its id
                if any(b"/SYSV" in line and int(line.split(None, 5)[4]) == segment for line in file):
                    found.append(pid)
        except OSError:
            continue  # another user's, or ended
    return found
