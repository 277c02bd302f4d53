r"""What ``namedshm grant`` does to a ``Global\`` registry that lives already: its group and group-write bit (shmctl(2)).

The registry's mode bits are the right to create in ``Global\`` (docs/format-linux.md); its maker set them by the
configuration of its time.  Linux only.
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["owner_group", "set_owner_group"]

_IPC_SET, _IPC_STAT = 1, 2
_GROUP_WRITE = 0o020
# struct shmid_ds of 64-bit Linux begins: key, uid, gid, cuid, cgid, mode, 32 bits each
_GID, _MODE, _SIZE = 2, 5, 112


def _control(segment: int, command: int, facts: ctypes.Array[ctypes.c_uint32]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.shmctl(segment, command, facts) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def owner_group(segment: int) -> int | None:
    """The group that may create through this registry; None if only its owner may."""
    facts = (ctypes.c_uint32 * (_SIZE // 4))()
    _control(segment, _IPC_STAT, facts)
    return facts[_GID] if facts[_MODE] & _GROUP_WRITE else None


def set_owner_group(segment: int, group: int | None) -> None:
    """Let this group create through this registry, or with None nobody but its owner.

    Raises: OSError, for example without CAP_SYS_ADMIN.
    """
    facts = (ctypes.c_uint32 * (_SIZE // 4))()
    _control(segment, _IPC_STAT, facts)
    if group is None:
        facts[_MODE] &= ~_GROUP_WRITE
    else:
        facts[_GID] = group
        facts[_MODE] |= _GROUP_WRITE
    _control(segment, _IPC_SET, facts)
