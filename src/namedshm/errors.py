"""What can go wrong, as a small tree: one class per decision a caller makes.

    NamedShmError (OSError)                     .winerror  .errno  .object_name  .call
    ├── NotFound         FileNotFoundError      2     nobody holds that name
    ├── AlreadyExists    FileExistsError        183   create() met a living object
    ├── AccessDenied     PermissionError        5     no right to it, or to create in Global\\, or a range beyond the end
    ├── WrongType                               6     the name is held by an object of another type
    ├── ClosedHandle     ValueError             6     the handle or view was closed
    ├── StaleObject                             2     the name now belongs to another object than the one pickled
    ├── NotReady         TimeoutError           21    the object is there, its creator has not finished filling it
    ├── InvalidContent   ValueError             13    the bytes are not the array, table or record they should be
    ├── InvalidName      ValueError             3 6 123 161 206
    ├── InvalidArgument  ValueError             87 1132 487 193
    ├── OutOfResources   MemoryError            8 1450 1455   memory, commit limit or segment table exhausted
    ├── NotOwned         RuntimeError           288   a mutex was released by a thread that does not own it
    ├── LimitExceeded    ValueError             298   a semaphore would exceed its maximum
    ├── AbandonedMutex                          128   on wish: acquired, but the last owner died holding it
    └── Unsupported      NotImplementedError    50 120        this system cannot do it

namedshm.queue has three more, for they are the standard library's queue.Full, queue.Empty and queue.ShutDown as well.

Every text has three parts: what failed (with the name), the call that failed, and what to do about it.  Numbers are those of
``GetLastError``; they are what :mod:`namedshm.win32` reports.  On every system ``.winerror`` is set.
"""

from __future__ import annotations

import errno as _errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = [
    "AbandonedMutex",
    "AccessDenied",
    "AlreadyExists",
    "ClosedHandle",
    "InvalidArgument",
    "InvalidContent",
    "InvalidName",
    "LimitExceeded",
    "NamedShmError",
    "NotFound",
    "NotOwned",
    "NotReady",
    "OutOfResources",
    "StaleObject",
    "Unsupported",
    "WrongType",
]

ERROR_FILE_NOT_FOUND = 2
ERROR_PATH_NOT_FOUND = 3
ERROR_ACCESS_DENIED = 5
ERROR_INVALID_HANDLE = 6
ERROR_NOT_ENOUGH_MEMORY = 8
ERROR_INVALID_DATA = 13
ERROR_NOT_READY = 21
ERROR_NOT_SUPPORTED = 50
ERROR_INVALID_PARAMETER = 87
ERROR_CALL_NOT_IMPLEMENTED = 120
ERROR_INVALID_NAME = 123
ERROR_BAD_PATHNAME = 161
ERROR_ALREADY_EXISTS = 183
ERROR_BAD_EXE_FORMAT = 193
ERROR_FILENAME_EXCED_RANGE = 206
ERROR_NOT_OWNER = 288
ERROR_TOO_MANY_POSTS = 298
ERROR_INVALID_ADDRESS = 487
ERROR_MAPPED_ALIGNMENT = 1132
ERROR_NO_SYSTEM_RESOURCES = 1450
ERROR_COMMITMENT_LIMIT = 1455


class NamedShmError(OSError):
    """Base of everything this package raises on purpose.

    Attributes:
        winerror: the Win32 error number, on every system.
        errno: the closest POSIX number.
        object_name: the name as the caller gave it, or None for an unnamed object.
        filename: the same, where programs look for it in an OSError.
        call: the system call or API function that failed, for example ``"shmget"``.
    """

    default_winerror: ClassVar[int] = 31
    default_errno: ClassVar[int] = _errno.EIO

    winerror: int
    object_name: str | None
    filename: str | None
    call: str | None

    def __init__(
        self,
        message: str,
        *,
        winerror: int | None = None,
        errno: int | None = None,
        name: str | None = None,
        call: str | None = None,
    ) -> None:
        super().__init__(self.default_errno if errno is None else errno, message)
        self.winerror = self.default_winerror if winerror is None else winerror
        self.object_name = self.filename = name
        self.call = call

    def __str__(self) -> str:
        return f"{self.strerror} [error {self.winerror}]"

    def __reduce__(self) -> tuple[object, ...]:
        state = {
            "winerror": self.winerror,
            "object_name": self.object_name,
            "call": self.call,
            "errno": self.errno,
            "filename": self.filename,
        }
        return (_rebuild, (type(self), self.strerror, state))


def _rebuild(cls: type[NamedShmError], message: str, state: dict[str, object]) -> NamedShmError:
    error = cls(message)
    for key, value in state.items():
        setattr(error, key, value)
    return error


class NotFound(NamedShmError, FileNotFoundError):
    """Nobody holds an object of that name (any more)."""

    default_winerror: ClassVar[int] = ERROR_FILE_NOT_FOUND
    default_errno: ClassVar[int] = _errno.ENOENT


class AlreadyExists(NamedShmError, FileExistsError):
    """The name is held by a living object and the caller wanted a new one."""

    default_winerror: ClassVar[int] = ERROR_ALREADY_EXISTS
    default_errno: ClassVar[int] = _errno.EEXIST


class AccessDenied(NamedShmError, PermissionError):
    """No right to the object, to more access than the handle has, or to create in ``Global\\``."""

    default_winerror: ClassVar[int] = ERROR_ACCESS_DENIED
    default_errno: ClassVar[int] = _errno.EACCES


class WrongType(NamedShmError):
    """The name is held by an object of another type: all types share one namespace."""

    default_winerror: ClassVar[int] = ERROR_INVALID_HANDLE
    default_errno: ClassVar[int] = _errno.EBADMSG


class ClosedHandle(NamedShmError, ValueError):
    """The handle or view was closed before."""

    default_winerror: ClassVar[int] = ERROR_INVALID_HANDLE
    default_errno: ClassVar[int] = _errno.EBADF


class StaleObject(NamedShmError):
    """A pickled reference met another object under its name: the original is gone."""

    default_winerror: ClassVar[int] = ERROR_FILE_NOT_FOUND
    default_errno: ClassVar[int] = _errno.ESTALE


class NotReady(NamedShmError, TimeoutError):
    """The object is there, but whoever created it has not finished filling it: try again, or give it more time."""

    default_winerror: ClassVar[int] = ERROR_NOT_READY
    default_errno: ClassVar[int] = _errno.ETIMEDOUT


class InvalidContent(NamedShmError, ValueError):
    """The section's bytes are not what they were opened as: another format, or damaged."""

    default_winerror: ClassVar[int] = ERROR_INVALID_DATA
    default_errno: ClassVar[int] = _errno.EBADMSG


class InvalidName(NamedShmError, ValueError):
    """The name cannot be a name of an object."""

    default_winerror: ClassVar[int] = ERROR_INVALID_NAME
    default_errno: ClassVar[int] = _errno.EINVAL


class InvalidArgument(NamedShmError, ValueError):
    """A size, offset, length, access or mode that cannot be."""

    default_winerror: ClassVar[int] = ERROR_INVALID_PARAMETER
    default_errno: ClassVar[int] = _errno.EINVAL


class OutOfResources(NamedShmError, MemoryError):
    """Memory, the commit limit or the system's table of segments is exhausted; nothing was made."""

    default_winerror: ClassVar[int] = ERROR_COMMITMENT_LIMIT
    default_errno: ClassVar[int] = _errno.ENOMEM


class NotOwned(NamedShmError, RuntimeError):
    """A mutex is released by the thread that acquired it, as often as it acquired it."""

    default_winerror: ClassVar[int] = ERROR_NOT_OWNER
    default_errno: ClassVar[int] = _errno.EPERM


class LimitExceeded(NamedShmError, ValueError):
    """A semaphore's count would exceed its maximum; it stays as it was."""

    default_winerror: ClassVar[int] = ERROR_TOO_MANY_POSTS
    default_errno: ClassVar[int] = _errno.EOVERFLOW


class AbandonedMutex(NamedShmError):
    """The mutex is acquired, but its last owner ended without releasing it: what it guards may be half changed."""

    default_winerror: ClassVar[int] = 0x80  # WAIT_ABANDONED
    default_errno: ClassVar[int] = getattr(_errno, "EOWNERDEAD", _errno.EIO)


class Unsupported(NamedShmError, NotImplementedError):
    """This operating system, or its configuration, cannot do it."""

    default_winerror: ClassVar[int] = ERROR_NOT_SUPPORTED
    default_errno: ClassVar[int] = _errno.ENOSYS
