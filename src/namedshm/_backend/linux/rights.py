r"""Who may create in ``Global\``."""

from __future__ import annotations

import errno
import os
from _io import open  # the builtin of that name is gone when the interpreter ends, before the last __del__ runs

from namedshm import errors

from . import native

CONFIG = "/etc/namedshm.conf"
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class GlobalPolicy:
    r"""Who may create in ``Global\``: root, and one group the administrator named in the configuration file.

    The environment variable NAMEDSHM_CONFIG names another file; it changes what this process believes, not what it may do.
    """

    def path(self) -> str:
        return os.environ.get("NAMEDSHM_CONFIG", CONFIG)

    def group(self) -> int:
        """Number of the group that may create, or -1 if the administrator named none, or none that exists.

        Where there is no file, none is named.  One that is there and cannot be read could name a group whose members' memory would
        be overlooked: that is an error, never "no group".  Opening what root made needs no group, so the error is not in its way.

        Raises: AccessDenied, OutOfResources, NamedShmError: it could not be told.
        """
        path = self.path()
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.readlines()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return -1
        except OSError as error:
            raise _unreadable(path, error) from error
        for line in lines:
            key, _, value = line.partition("#")[0].partition("=")
            if key.strip() == "global-creators":
                try:
                    return group_number(value.strip())
                except errors.InvalidArgument:
                    return -1
        return -1

    def may_create(self) -> bool:
        return os.geteuid() == 0 or _is_mine(self.group())

    def trusts(self, uid: int, group: int) -> bool:
        """Whether a registry made by this user may be believed: root's, or a member's of the granted group.

        Raises: OutOfResources, NamedShmError if it could not be told.
        """
        if uid == 0:
            return True
        if group < 0:
            return False
        if uid == os.geteuid():
            return _is_mine(group)
        try:
            return native.user_in_group(uid, group)
        except OSError as error:
            raise _unanswered(f"whether user {uid} is in the group {group}", "getgrouplist", error) from error


def _is_mine(group: int) -> bool:
    return group >= 0 and (group == os.getegid() or group in os.getgroups())


def _unreadable(path: str, error: OSError) -> errors.NamedShmError:
    text = rf"Cannot use Global\: {path}, which says who may create there, cannot be read ({error.strerror}); "
    if error.errno in (errno.EACCES, errno.EPERM):
        return errors.AccessDenied(
            f"{text}make it readable for everybody (chmod 644, as 'namedshm grant' writes it), or set NAMEDSHM_CONFIG=/dev/null to "
            "believe root alone",
            call="open",
        )
    if error.errno in _FULL:
        return errors.OutOfResources(
            f"{text}close some files, or raise the limit on open files (ulimit -n)",
            winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
            errno=error.errno,
            call="open",
        )
    return errors.NamedShmError(f"{text}repair or remove it", errno=error.errno, call="open")


def _unanswered(question: str, call: str, error: OSError) -> errors.NamedShmError:
    reason = os.strerror(error.errno or 0)
    text = f"Cannot tell {question}: the user database answered '{reason}'; "
    if error.errno in _FULL:
        return errors.OutOfResources(
            f"{text}close some files, or raise the limit on open files (ulimit -n)",
            winerror=errors.ERROR_NO_SYSTEM_RESOURCES,
            errno=error.errno,
            call=call,
        )
    return errors.NamedShmError(f"{text}see what 'getent group' says", errno=error.errno, call=call)


def group_number(group: str | int) -> int:
    """Number of a group given by name or number.

    Raises: InvalidArgument if there is none; OutOfResources, NamedShmError if that could not be told.
    """
    if isinstance(group, str) and group.isascii() and group.isdigit():
        group = int(group)
    if isinstance(group, int) and not isinstance(group, bool):
        if not 0 <= group < 0xFFFFFFFF:
            raise errors.InvalidArgument(f"{group} is not the number of a group")
        return group
    if not isinstance(group, str):
        raise TypeError(f"a group is a name or a number, not {type(group).__name__}")
    try:
        number = None if "\0" in group else native.group_number(os.fsencode(group))
    except UnicodeEncodeError:
        number = None  # a lone surrogate
    except OSError as error:
        raise _unanswered(f"which group {group!r} is", "getgrnam_r", error) from error
    if number is None:
        raise errors.InvalidArgument(f"There is no group {group!r}: use a name or number from getent group")
    return number
