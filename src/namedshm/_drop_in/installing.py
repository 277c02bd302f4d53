"""``namedshm.shared_memory.install()``: libraries that nobody can edit get this package's module and manager.

In this process they are put where imports look for them.  A child made by ``fork`` inherits that.  One made by ``spawn`` or
``forkserver`` is a new interpreter, which first of all unpickles what ``multiprocessing.spawn.get_preparation_data`` gave in the
parent, and only then imports the parent's main module: so an entry is added there whose unpickling installs us in the child, and
in its children by the same way.  Programs started in other ways (``subprocess``, loky's workers) call ``install()`` themselves.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.managers
import multiprocessing.spawn
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["substitute"]

_ENTRY = "namedshm"  # of the preparation data; multiprocessing ignores entries it does not know
_ROOT = str(Path(__file__).resolve().parents[2])
_IN_A_CHILD = f"""
import sys
if {_ROOT!r} not in sys.path:
    sys.path.append({_ROOT!r})  # for this import: the parent's path comes with the same data
from namedshm import shared_memory
shared_memory.install()
"""

_standard: Any = multiprocessing


class _Installing:
    """Installs where it is unpickled.  By ``exec``: the child may not have the path yet on which it would find a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_IN_A_CHILD, {})


def substitute(shared_memory: ModuleType, manager: type) -> None:
    """Put a module and a manager class in the place of the standard library's.  Twice is a no-op."""
    if sys.modules.get("multiprocessing.shared_memory") is shared_memory:
        return
    sys.modules["multiprocessing.shared_memory"] = shared_memory
    _standard.shared_memory = shared_memory
    _standard.managers.shared_memory = shared_memory
    _standard.managers.SharedMemoryManager = manager
    _tell_children()
    if sys.platform != "win32":
        _quieten_tracker()


def _tell_children() -> None:
    prepare = multiprocessing.spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {_ENTRY: _Installing(), **prepare(name)}

    _standard.spawn.get_preparation_data = get_preparation_data


def _quieten_tracker() -> None:
    """Libraries take blocks off the tracker's list by hand.  It never had ours, and would print a KeyError for each."""
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker
    register, unregister = tracker.register, tracker.unregister
    known: set[str] = set()

    def register_known(name: str, rtype: str) -> None:
        if rtype == "shared_memory":
            known.add(name)
        register(name, rtype)

    def unregister_known(name: str, rtype: str) -> None:
        if rtype == "shared_memory":
            if name not in known:
                return
            known.discard(name)
        unregister(name, rtype)

    for place in (tracker, tracker._resource_tracker):
        place.register, place.unregister = register_known, unregister_known
