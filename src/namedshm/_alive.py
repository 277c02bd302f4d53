"""What is alive, as frozen snapshots (``inspection`` gives it out).  Looking opens nothing and keeps nothing alive."""

from __future__ import annotations

from . import errors
from ._backend import backend
from ._backend.contract import ObjectInfo
from .names import Name

__all__ = ["ObjectInfo", "describe", "list_objects"]


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


for _public in (list_objects, describe):
    _public.__module__ = "namedshm.inspection"  # where they are given out
