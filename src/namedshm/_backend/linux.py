r"""The Linux backend: decisions and texts around the compiled handles of ``_linux.pyx`` (the protocol is include/namedshm.h).

Lifetime is kept by the kernel: System V segments marked IPC_RMID while attached.  ``Local\`` is per user and IPC namespace,
``Global\`` is machine-wide (per IPC namespace); who may create there is written in ``/etc/namedshm.conf`` by ``namedshm grant``.
Refuses: System V IPC missing, creation that memory or the cgroup cannot hold, anything on 32-bit systems.
"""

from __future__ import annotations

import errno
import os
import sys

from namedshm import errors

from . import _linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from namedshm._core import Mapping
    from namedshm.names import Name

    from .contract import Access, ObjectInfo, SectionHandle

CONFIG = "/etc/namedshm.conf"
_CHECK_MEMORY_ABOVE = 16 << 20  # bytes; asking costs 0.1 ms, less than touching so many pages by far
_PARCEL = b"\0parcel\\%d\\%d\\%s"  # names of users contain no NUL


class _Hidden:
    """A name no user can choose, for an unnamed section that needs a token (reserved or file-backed)."""

    __slots__ = ("bare", "is_global", "text")

    def __init__(self) -> None:
        self.bare = "\0unnamed\\" + os.urandom(16).hex()
        self.is_global = False
        self.text = None


class GlobalPolicy:
    r"""Who may create in ``Global\``: root, and one group the administrator named in the configuration file.

    The environment variable NAMEDSHM_CONFIG names another file; it changes what this process believes, not what it may do.
    """

    def path(self) -> str:
        return os.environ.get("NAMEDSHM_CONFIG", CONFIG)

    def group(self) -> int:
        """Number of the group that may create, or -1."""
        try:
            with open(self.path(), encoding="utf-8") as file:
                lines = file.readlines()
        except FileNotFoundError:
            return -1
        for line in lines:
            key, _, value = line.partition("#")[0].partition("=")
            if key.strip() == "global-creators":
                return group_number(value.strip())
        return -1

    def may_create(self) -> bool:
        group = self.group()
        return os.geteuid() == 0 or (group >= 0 and (group == os.getegid() or group in os.getgroups()))

    def trusts(self, uid: int, group: int) -> bool:
        """Whether a registry made by this user may be believed: root's, or a member's of the granted group."""
        import pwd

        if uid == 0:
            return True
        if group < 0:
            return False
        if uid == os.geteuid():
            return self.may_create()
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            return False
        return group in os.getgrouplist(user.pw_name, user.pw_gid)


def group_number(group: str | int) -> int:
    """Number of a group given by name or number.  Raises InvalidArgument."""
    import grp

    if isinstance(group, int) or group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise errors.InvalidArgument(f"There is no group {group!r}: use a name or number from getent group") from None


def explain(code: int, call: str, name: Any, size: int) -> Exception:
    """The exception for a negative errno of the protocol, with what failed, the call, and the remedy."""
    text = getattr(name, "text", name)
    label = "an unnamed section" if text is None else f"{text!r}"
    number = -code
    match number:
        case errno.ENOENT:
            return errors.NotFound(f"Nothing is named {label}: nobody holds it (any more); create it first", name=text, call=call)
        case errno.EEXIST:
            return errors.AlreadyExists(
                f"{label} exists already: open() it, or pass exist_ok=True to take either", name=text, call=call
            )
        case errno.EBADMSG:
            return errors.WrongType(
                f"{label} is held by an object of another type (all types share one namespace): choose another name",
                name=text,
                call=call,
            )
        case errno.EPERM:
            return errors.AccessDenied(
                f"No right to create {label} in Global\\: an administrator grants it with 'namedshm grant GROUP' "
                "(members must log in again, running programs restart); opening needs no such right",
                name=text,
                call=call,
            )
        case errno.EACCES:
            return errors.AccessDenied(
                f"No right to {call} {label}: its mode does not allow that to user {os.geteuid()}; ask for access 'read', "
                "or have the creator pass a wider mode",
                name=text,
                call=call,
            )
        case errno.ENOSPC:
            return errors.OutOfResources(
                f"Cannot {call} {label} of {size} bytes: {_segment_limit()}",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=errno.ENOSPC,
                name=text,
                call="shmget",
            )
        case errno.ENFILE:
            return errors.OutOfResources(
                f"Cannot {call} {label}: the registry is full of living objects; close some",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=errno.ENFILE,
                name=text,
                call=call,
            )
        case errno.ENOMEM | errno.EMFILE:
            return errors.OutOfResources(
                f"Cannot {call} {label} of {size} bytes: the kernel has no memory or address space for it "
                "(see vm.overcommit_memory, ulimit -v, vm.max_map_count); make it smaller",
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
        case errno.EINVAL:
            return errors.OutOfResources(
                f"Cannot {call} {label} of {size} bytes: the kernel refuses that size (kernel.shmmax)",
                winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
                errno=number,
                name=text,
                call="shmget",
            )
        case errno.ENOSYS:
            return errors.Unsupported(
                f"Cannot {call} {label}: this kernel or sandbox has no System V shared memory (CONFIG_SYSVIPC, seccomp); "
                "allow shmget, shmat, shmctl",
                name=text,
                call="shmget",
            )
        case errno.ETIMEDOUT:
            return errors.OutOfResources(
                f"Cannot {call} {label}: a process was stopped in the middle of creating another name (SIGSTOP, debugger) and "
                "holds the registry's lock; continue or kill it, then try again",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=number,
                name=text,
                call="futex",
            )
        case _:
            return errors.NamedShmError(
                f"Cannot {call} {label}: {os.strerror(number)}", errno=number, name=text, call=call
            )


def _segment_limit() -> str:
    try:
        with open("/proc/sys/kernel/shmmni", encoding="ascii") as file:
            limit = int(file.read())
        with open("/proc/sysvipc/shm", encoding="ascii") as file:
            used = sum(1 for _ in file) - 1
    except (OSError, ValueError):
        return "a System V shared memory limit is reached; raise kernel.shmmni or kernel.shmall"
    if used >= limit - 1:
        return (
            f"the system's table of {limit} shared memory segments is full (a section takes two); "
            f"raise it with 'sysctl kernel.shmmni={max(32768, limit * 4)}' or close sections"
        )
    return "the limit kernel.shmall on shared memory of all processes is reached; raise it or make the section smaller"


# ------------------------------------------------------------------------------------------------------------ memory
def available_memory() -> tuple[int, str]:
    """Bytes that could be touched now, and what limits them: the machine or the tightest cgroup (v2, or v1's memory)."""
    limit, cause = _machine_memory(), "the machine's memory and swap"
    for directory, maximum, current in _cgroup_files():
        try:
            with open(os.path.join(directory, maximum), encoding="ascii") as file:
                text = file.read().strip()
            if text == "max":
                continue
            with open(os.path.join(directory, current), encoding="ascii") as file:
                used = int(file.read())
            room = max(0, int(text) - used + _reclaimable(directory))
        except (OSError, ValueError):
            continue
        if room < limit:
            limit, cause = room, f"the memory limit of the cgroup {directory}"
    return limit, cause


def _machine_memory() -> int:
    total = 0
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith(("MemAvailable:", "SwapFree:")):
                total += int(line.split()[1]) * 1024
    return total


def _cgroup_files() -> list[tuple[str, str, str]]:
    found = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, files = "/sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, files = "/sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        while True:
            found.append((root + path.rstrip("/"), *files))
            if path in ("", "/"):
                break
            path = os.path.dirname(path)
    return found


def _reclaimable(directory: str) -> int:
    """Page cache the kernel would give up before it refuses memory."""
    with open(os.path.join(directory, "memory.stat"), encoding="ascii") as file:
        for line in file:
            key, _, value = line.partition(" ")
            if key in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def _refuse_if_short(name: Name | None, size: int) -> None:
    # The kernel makes a segment of any size that its overcommit rule lets pass and kills somebody later; Windows refuses now.
    room, cause = available_memory()
    if size > room:
        text = None if name is None else name.text
        label = "an unnamed section" if text is None else repr(text)
        raise errors.OutOfResources(
            f"Cannot create {label} of {size} bytes: {cause} has room for {room}; make it smaller, or reserve=True and commit "
            "what you use",
            name=text,
            call="create",
        )


# ------------------------------------------------------------------------------------------------------------ files
def _file_facts(name: Name | None, size: int, file: int, writable: bool) -> tuple[int, bytes]:
    """The section's size (the file grown to it) and what an opener needs to find the same file."""
    import fcntl
    import stat

    text = None if name is None else name.text
    try:
        facts = os.fstat(file)
        mode = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, OverflowError) as error:
        raise errors.NamedShmError(
            f"Cannot map descriptor {file}: it is not open; pass file.fileno() of an open file",
            winerror=errors.ERROR_INVALID_HANDLE,
            errno=errno.EBADF,
            name=text,
            call="fstat",
        ) from error
    if not stat.S_ISREG(facts.st_mode):
        raise errors.InvalidArgument(f"Cannot map descriptor {file}: it is not a regular file", name=text, call="fstat")
    if mode == os.O_WRONLY or (writable and mode != os.O_RDWR):
        raise errors.AccessDenied(
            f"Cannot map descriptor {file} for {'writing' if writable else 'reading'}: open the file with mode "
            f"{'r+b' if writable else 'rb'}, or pass writable=False",
            name=text,
            call="fcntl",
        )
    if not size:
        size = facts.st_size
        if not size:
            raise errors.InvalidArgument(
                "Cannot map an empty file without a size: pass the size wanted", winerror=1006, name=text, call="create"
            )
    if size > facts.st_size:
        if not writable:
            raise errors.OutOfResources(
                f"Cannot map {size} bytes of a file of {facts.st_size} read-only: it would have to grow",
                winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
                name=text,
                call="create",
            )
        os.posix_fallocate(file, 0, size)  # a sparse file would end in SIGBUS when the disk is full
    path = os.readlink(f"/proc/self/fd/{file}")
    location = f"{facts.st_dev}:{facts.st_ino}:{os.getpid()}:{file}:{path}"
    return size, os.fsencode(location)


def _open_file(handle: _linux.Handle) -> None:
    """Open the file of a file-backed section met by name, and make sure that it is the same one."""
    device, inode, pid, number, path = os.fsdecode(handle.location()).split(":", 4)
    flags = (os.O_RDWR if handle.access == "write" and handle.writable else os.O_RDONLY) | os.O_CLOEXEC
    problem = "it was moved or removed"
    for candidate in (f"/proc/{pid}/fd/{number}", path):
        try:
            fd = os.open(candidate, flags)
        except OSError as error:
            problem = str(error.strerror)
            continue
        facts = os.fstat(fd)
        if (facts.st_dev, facts.st_ino) == (int(device), int(inode)):
            handle.attach_file(fd)
            return
        os.close(fd)
    raise errors.AccessDenied(
        f"Cannot open the file {path!r} that section {handle.name!r} maps: {problem}; keep the file where it was and readable",
        name=handle.name,
        call="open",
    )


# ------------------------------------------------------------------------------------------------------------ the backend
class LinuxBackend:
    granularity = 65536
    page_size = 4096

    def __init__(self) -> None:
        if os.sysconf("SC_PAGE_SIZE") != self.page_size:
            raise ImportError("namedshm supports Linux with 4 KiB pages only, so far")
        self._policy = GlobalPolicy()
        self._parcels: list[_linux.Parcel] = []
        _linux.explain = explain
        _linux.global_policy = self._policy
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
    ) -> SectionHandle:
        if writable and not executable and not reserve and file is None and group is None:
            if size > _CHECK_MEMORY_ABOVE:
                _refuse_if_short(name, size)
            handle: _linux.Handle = _linux.create(name, size, exist_ok, access, mode, -1, 0, None)
            if not handle.created and handle.file_backed:
                _open_file(handle)
            return handle
        props, location = 0 if writable else _linux.OBJ_READONLY, None
        if executable:
            props |= _linux.OBJ_EXECUTABLE
        if reserve:
            props |= _linux.OBJ_RESERVE
        elif file is None and size > _CHECK_MEMORY_ABOVE:
            _refuse_if_short(name, size)
        if file is not None:
            props |= _linux.OBJ_FILE
            size, location = _file_facts(name, size, file, writable)
        target: Any = _Hidden() if name is None and (reserve or file is not None) else name
        handle = _linux.create(target, size, exist_ok, access, mode, -1 if group is None else group_number(group), props, location)
        if handle.file_backed:
            if handle.created:
                handle.attach_file(os.dup(file))  # type: ignore[arg-type]
            else:
                _open_file(handle)
        return handle

    def open_section(self, name: Name, access: Access, inheritable: bool) -> SectionHandle:
        handle: _linux.Handle = _linux.open(name, access)
        if handle.file_backed:
            _open_file(handle)
        return handle

    def list_objects(self) -> list[ObjectInfo]:
        from .contract import ObjectInfo

        resident = _resident()
        found = []
        for is_global in (False, True):
            try:
                rows = _linux.objects(is_global)
            except errors.AccessDenied:  # a Global registry that is being made
                continue
            except errors.NotFound:
                continue
            for bare, kind, size, handles, mappings, pid, uid, born, mode, data, nonce in rows:
                if bare.startswith("\0"):
                    continue
                found.append(
                    ObjectInfo(
                        name=f"Global\\{bare}" if is_global else bare,
                        type=kind,
                        size=size,
                        handles=handles,
                        mappings=mappings if data >= 0 else None,
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

    def reach(self, mapping: Mapping) -> int:
        return _linux.reach(mapping)

    def send_handle(self, handle: SectionHandle, pid: int, access: Access) -> int:
        assert isinstance(handle, _linux.Handle)
        self._parcels = [parcel for parcel in self._parcels if not parcel.claimed]
        value = 0x10000000 | (int.from_bytes(os.urandom(4), "little") & 0x0FFFFFFC)
        label = _PARCEL % (pid, value, access.encode())
        self._parcels.append(_linux.send(handle, label, access))
        return value

    def receive_handle(self, value: int) -> SectionHandle:
        for access in (b"write", b"read"):
            handle = _linux.receive(_PARCEL % (os.getpid(), value, access), access == b"read")
            if handle is not None:
                return handle  # type: ignore[no-any-return]
        raise errors.ClosedHandle(f"Handle {value:#x} is not open in this process", call="receive_handle")

    def backend_state(self) -> dict[str, Any]:
        return {
            "mechanism": "System V shared memory, IPC_RMID while attached",
            "local": _linux.scope_state(False),
            "global": _linux.scope_state(True),
            "global_group": self._policy.group(),
            "python": sys.version.split()[0],
        }


def _resident() -> dict[int, int]:
    """Bytes of each segment that are really in memory, by id (proc_sysvipc_shm(5): column rss)."""
    found = {}
    with open("/proc/sysvipc/shm", encoding="ascii") as file:
        columns = file.readline().split()
        id_column, rss_column = columns.index("shmid"), columns.index("rss")
        for line in file:
            fields = line.split()
            found[int(fields[id_column])] = int(fields[rss_column])
    return found
