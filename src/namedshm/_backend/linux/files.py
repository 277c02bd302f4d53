"""File-backed sections: checking the creator's descriptor, and finding the same file again as an opener.

The creator's token says where the file is.  Following it opens a file with the opener's rights, so only a text of the opener's own
user is followed, never one that anybody else could have written: ``Handle.location`` proves that by the kernel's facts of the
token (include/namedshm.h).  What the text says counts, not the registry's record, which in Global others can write.

The text, bytes without NUL: ``device:inode:size:flags:pid:descriptor:length of the name:name path``.  The descriptor is the
creator's own, open as long as its handle is; the path is empty where /proc could not tell it.
"""

from __future__ import annotations

import errno
import os
import stat

from namedshm import errors

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm.names import Name

    from .native import Handle

_READONLY, _EXECUTABLE = 1, 2  # flags
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare_file(name: Name | None, size: int, file: int, writable: bool, executable: bool) -> tuple[int, int, bytes]:
    """The section's size (the file grown to it), a descriptor of our own, and what an opener needs to find the same file.

    Raises: NamedShmError if it is not open; InvalidArgument, AccessDenied, OutOfResources.
    """
    text = None if name is None else name.text
    try:
        facts = os.fstat(file)
        mode = native.open_mode(file)
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
    if size > facts.st_size and not writable:
        raise errors.OutOfResources(
            f"Cannot map {size} bytes of a file of {facts.st_size} read-only: it would have to grow",
            winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
            name=text,
            call="create",
        )
    own = native.duplicate_fd(file)
    try:
        if size > facts.st_size:
            _grow(text, file, size, facts.st_size)
        flags = (0 if writable else _READONLY) | (_EXECUTABLE if executable else 0)
        label = _label(text)
        head = f"{facts.st_dev}:{facts.st_ino}:{size}:{flags}:{os.getpid()}:{own}:{len(label)}:".encode()
        return size, own, head + label + _path(own)
    except BaseException:
        os.close(own)
        raise


def _label(text: str | None) -> bytes:
    r"""The name as a token says it: ``x`` and ``Local\x`` are one."""
    return b"" if text is None else text.removeprefix("Local\\").encode("utf-8", "surrogatepass")


def _grow(name: str | None, file: int, size: int, before: int) -> None:
    try:
        os.posix_fallocate(file, 0, size)  # a sparse file would end in SIGBUS when the disk is full
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", errno.EFBIG)
        reason = os.strerror(number)
        raise (errors.OutOfResources if number in _NO_ROOM else errors.NamedShmError)(
            f"Cannot let the file grow from {before} to {size} bytes: {reason}; make room or the section smaller",
            winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
            errno=number,
            name=name,
            call="posix_fallocate",
        ) from error


def _path(fd: int) -> bytes:
    try:
        return os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return b""  # no /proc here: whoever sees this process in his can still open the descriptor


def attach_file(handle: Handle) -> None:
    """Open the file of a file-backed section met by name, and make sure that it is the same one.

    Raises: AccessDenied if another user made the section, or the file cannot be had any more; OutOfResources without a descriptor.
    """
    forged = errors.AccessDenied(
        f"Cannot open {handle.name!r}: somebody forged its entry, which leads to the file of another section; "
        "close it everywhere, and let no one create in Global\\ who is not trusted",
        name=handle.name,
        call="open",
    )
    try:
        *numbers, rest = handle.location().split(b":", 7)
        device, inode, size, flags, pid, descriptor, length = map(int, numbers)
    except ValueError:
        raise forged from None
    label, path = rest[:length], rest[length:]
    found = (_READONLY if not handle.writable else 0) | (_EXECUTABLE if handle.executable else 0)
    # A parcel has no name; its registry is this user's own.
    if (handle.name is not None and label != _label(handle.name)) or (size, flags) != (handle.size, found):
        raise forged
    same = (device, inode)
    access = os.O_RDWR if handle.access == "write" else os.O_RDONLY
    problem = "it was moved or removed"
    for candidate, follow in ((b"/proc/%d/fd/%d" % (pid, descriptor), 0), (path, os.O_NOFOLLOW)):
        try:
            fd = _open_same(candidate, follow, access, same)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise errors.OutOfResources(
                    f"Cannot open the file {os.fsdecode(path)!r} that section {handle.name!r} maps: {error.strerror}; close some "
                    "files, or raise the limit on open files (ulimit -n)",
                    winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
                    errno=error.errno,
                    name=handle.name,
                    call="open",
                ) from error
            if error.errno != errno.ENOENT:
                problem = str(error.strerror)
            continue
        if fd is None:
            continue
        if os.fstat(fd).st_size < handle.size:
            os.close(fd)
            problem = f"it was cut shorter than the section's {handle.size} bytes"
            break
        handle.attach_file(fd)
        return
    raise errors.AccessDenied(
        f"Cannot open the file {os.fsdecode(path)!r} that section {handle.name!r} maps: {problem}; keep the file where it was, "
        "readable and as long",
        name=handle.name,
        call="open",
    )


def _open_same(path: bytes, follow: int, access: int, same: tuple[int, int]) -> int | None:
    """A descriptor of the regular file that ``same`` is, or None if something else is there.  Raises OSError.

    O_PATH finds what is there without opening it: a FIFO would make us wait, a device act.  Then that very file is opened through
    /proc.  Where there is none, by the path again: in between somebody who may change that folder can put a thing there, which
    is opened (O_NONBLOCK: it does not make us wait), found to be another, and closed.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC | follow)
    try:
        if not _is(found, same):
            return None
        flags = access | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        try:
            fd = os.open(f"/proc/self/fd/{found}", flags)
        except FileNotFoundError:
            fd = os.open(path, flags | follow)
    finally:
        os.close(found)
    if _is(fd, same):
        return fd
    os.close(fd)
    return None


def _is(fd: int, same: tuple[int, int]) -> bool:
    facts = os.fstat(fd)
    return stat.S_ISREG(facts.st_mode) and (facts.st_dev, facts.st_ino) == same
