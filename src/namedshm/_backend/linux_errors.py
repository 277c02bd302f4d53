"""Exceptions for the negative errno values of the Linux protocol: what failed, the call, the remedy."""

from __future__ import annotations

import errno
import os

from namedshm import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
                f"{label} is damaged: its control words are not those of its type; close it everywhere and create it anew",
                errno=number,
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
            if call in ("wait", "modify"):
                return errors.AccessDenied(
                    f"This handle to {label} was not opened with the right to {call}: open it with access 'full'",
                    name=text,
                    call=call,
                )
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
        case errno.EPROTO:
            return errors.Unsupported(
                f"Cannot {call} {label}: running programs use another version of namedshm, whose format is another; "
                "end them, or run all with the same version (NAMEDSHM_SESSION gives each version a namespace of its own)",
                errno=number,
                name=text,
                call=call,
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
        case errno.EINVAL if call == "wait":
            return errors.InvalidArgument(
                "Cannot wait: 1 to 64 objects are possible, for all of them each only once, and the timeout is a number of seconds",
                call=call,
            )
        case errno.ETIME:
            return errors.OutOfResources(
                f"Cannot {call} {label}: a process was stopped (SIGSTOP, debugger) while it changed several objects at once; "
                "continue or kill it, then try again",
                winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                errno=number,
                name=text,
                call=call,
            )
        case errno.EINVAL:
            return errors.OutOfResources(
                f"Cannot {call} {label} of {size} bytes: the kernel refuses that size (kernel.shmmax)",
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
        case errno.EXDEV if call == "wait":
            return errors.InvalidArgument(
                "Cannot wait for all of several objects of different IPC namespaces: wait for them one by one", call="wait_all"
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
            return errors.NamedShmError(f"Cannot {call} {label}: {os.strerror(number)}", errno=number, name=text, call=call)


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
