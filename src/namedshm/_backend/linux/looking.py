"""What lives, for people."""

from __future__ import annotations

import errno
from _io import open  # the builtin of that name is gone when the interpreter ends, before the last __del__ runs

from namedshm import errors

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..contract import ObjectInfo

__all__ = ["objects"]

_APART = (errno.EXDEV, errno.EUSERS)


def objects(is_global: bool | None) -> list[ObjectInfo]:
    """``Backend.list_objects``."""
    from ..contract import ObjectInfo  # late: it needs the typing module

    resident = _resident()
    found, refused = [], None
    scopes = (False, True) if is_global is None else (is_global,)
    for scope in scopes:
        try:
            rows = native.objects(scope)
        except errors.Unsupported as error:
            if error.errno not in _APART or len(scopes) == 1:
                raise
            if refused is not None:
                raise refused from None
            refused = error  # this namespace is not for this process: what it sees is in the other
            continue
        for bare, kind, size, handles, mappings, pid, uid, born, mode, data, nonce, _ in rows:
            if bare.startswith("\0"):
                continue
            found.append(
                ObjectInfo(
                    name=f"Global\\{bare}" if scope else bare,
                    type=kind,
                    size=size if kind in ("section", "queue", "topic") else 0,
                    handles=handles,
                    mappings=mappings if kind in ("section", "queue", "topic") and data >= 0 else None,
                    creator_pid=pid,
                    creator_uid=uid,
                    created=float(born),
                    mode=mode,
                    resident=resident.get(data) if data >= 0 else None,
                    identity=nonce,
                )
            )
    return found


def _resident() -> dict[int, int]:
    """Bytes of each segment that are really in memory, by id (proc_sysvipc_shm(5): column rss); empty where that file is not."""
    found = {}
    try:
        with open("/proc/sysvipc/shm", "rb") as file:
            columns = file.readline().split()
            id_column, rss_column = columns.index(b"shmid"), columns.index(b"rss")
            for line in file:
                fields = line.split()
                found[int(fields[id_column])] = int(fields[rss_column])
    except (OSError, ValueError, IndexError):
        return {}
    return found
