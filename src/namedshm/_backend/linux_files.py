"""File-backed sections: checking the creator's descriptor, and finding the same file again as an opener."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from namedshm import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm.names import Name

    from ._linux import Handle


def file_facts(name: Name | None, size: int, file: int, writable: bool) -> tuple[int, bytes]:
    """The section's size (the file grown to it) and what an opener needs to find the same file."""
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


def open_file(handle: Handle) -> None:
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
