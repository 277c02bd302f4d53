"""What is alive, as frozen snapshots, and what state it is in."""

from __future__ import annotations

from . import errors
from ._alive import ObjectInfo, describe, list_objects
from ._backend import SyncHandle, backend
from .names import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["ObjectInfo", "describe", "list_objects", "state"]


#: What a look at an object of each type tells: whether a wait would pass, the count, the owner.
_STATES: dict[str, Callable[[bool, int, int | None], dict[str, Any]]] = {
    "mutex": lambda free, count, owner: {"locked": not free, "owner": owner},
    "event": lambda free, count, owner: {"set": free},
    "semaphore": lambda free, count, owner: {"value": count},
}


def state(name: str) -> dict[str, Any]:
    """What threads wait for, at this moment; a handle is open for as long as it takes to look.

    Returns: ``{"locked": bool, "owner": int | None}`` of a mutex (the owner's thread number), ``{"set": bool}`` of an event,
        ``{"value": int}`` of a semaphore, ``{"readers": int, "writing": bool, "owner": int | None}`` of a reader-writer lock (how
        many threads read, and the writer's number), ``{"waiting": int}`` of a condition; ``{}`` of any other section and
        of a queue or a topic.

    Raises: NotFound; AccessDenied if this user may not wait for it; InvalidName.
    """
    kind = describe(name).type
    if kind == "section":
        return _of_a_record(name)
    if kind == "queue" or kind == "topic":
        return {}
    handle = backend.open_sync(SyncHandle, kind, Name(name), "wait", False)
    try:
        return _STATES[kind](*handle.look())
    finally:
        handle.close()


def _of_a_record(name: str) -> dict[str, Any]:
    """Of what is made of a record, if the section is one."""
    from ._sync import condition, rwlock  # most who look at what is alive never need them
    from .records import Record

    try:
        record = Record.open(name, "read", timeout=0)
    except errors.NamedShmError:
        return {}
    with record:
        if record.fields == rwlock.FIELDS:
            return rwlock.state(record)
        if record.fields == condition.FIELDS:
            return condition.state(record)
    return {}
