"""What is alive, as frozen snapshots.  Looking opens nothing and keeps nothing alive."""

from __future__ import annotations

from . import errors
from ._backend import backend
from ._backend.contract import ObjectInfo
from .names import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ObjectInfo", "describe", "list_objects", "state"]


def list_objects() -> list[ObjectInfo]:
    r"""Every living object this user may see, sorted by name: ``Local\`` of this user, and ``Global\``."""
    return sorted(backend.list_objects(), key=lambda info: info.name)


def describe(name: str) -> ObjectInfo:
    """The snapshot of one object.

    Raises: NotFound if nobody holds the name; InvalidName.
    """
    parsed = Name(name)
    wanted = parsed.canonical
    for info in backend.list_objects(parsed.is_global):
        if info.name == wanted:
            return info
    raise errors.NotFound(f"No object named {name!r}: nobody holds it, or another user does privately", name=name, call="describe")


def state(name: str) -> dict[str, Any]:
    """What a mutex, event or semaphore is at this moment; a handle is open for as long as it takes to look.

    Returns: ``{"locked": bool, "owner": int | None}`` of a mutex (the owner's thread number), ``{"set": bool}`` of an event,
        ``{"value": int}`` of a semaphore; ``{}`` of a section or a queue.

    Raises: NotFound; AccessDenied if this user may not wait for it; InvalidName.
    """
    kind = describe(name).type
    if kind == "section" or kind == "queue":
        return {}
    from .sync import Waitable

    parsed = Name(name)
    handle = backend.open_sync(Waitable, kind, parsed, "wait", False)
    try:
        free, count, owner = handle.look()
    finally:
        handle.close()
    if kind == "mutex":
        return {"locked": not free, "owner": owner}
    return {"set": free} if kind == "event" else {"value": count}
