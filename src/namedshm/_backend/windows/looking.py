"""What lives, for people."""

from __future__ import annotations

import time

from . import native
from .names import companion, folders, is_own, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from ..contract import Kind, ObjectInfo

__all__ = ["Looks", "objects"]

_LOOK = 0.005  # seconds between two looks for a name


def objects(is_global: bool | None) -> list[ObjectInfo]:
    r"""``Backend.list_objects``, from the object directories of this session and of the machine.

    A section is not opened, for that would keep its name alive: what is told is what its companion tells.  A plain program's
    section has size 0 here.
    """
    found = []
    for prefix, folder in folders():
        if is_global is not None and is_global != bool(prefix):
            continue
        for bare, type in native.directory(folder):
            kind = kind_of(type)
            if kind is not None and not is_own(bare):
                found.append(_describe(prefix + bare, kind))
    return found


def _describe(name: str, kind: Kind | Literal["section"]) -> ObjectInfo:
    from ..contract import ObjectInfo  # late: it needs the typing module

    facts = None
    if kind == "section":
        facts = native.facts_of(companion(name))
    if facts is None:
        return ObjectInfo(name, kind, 0, None, None, None, None, None, None, None, 0)
    size, identity, born, pid, mode, handles, is_queue = facts
    return ObjectInfo(name, "queue" if is_queue else kind, size, handles, None, pid, None, born / 1e6, mode, None, identity)


class Looks:
    """contract.Arrivals.  Windows tells nobody of new names, so who waits for one looks again and again."""

    def wait(self, seconds: float | None) -> None:
        time.sleep(_LOOK if seconds is None else min(_LOOK, max(0.0, seconds)))
