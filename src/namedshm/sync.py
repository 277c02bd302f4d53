r"""Named mutexes, events and semaphores, and waits on several of them.

They live in the same namespaces as sections and go the same way: the name with the last handle, whatever way a process ends.

    lock = namedshm.Mutex("frames.lock")          # the same line in every process
    with lock as acquired:
        if acquired.abandoned:                     # the last owner died holding it
            repair()

Which one: a Mutex guards data (its owner is a thread, and the kernel tells when the owner died); an Event says that something
happened; a Semaphore counts what is there; an RWLock lets many read or one write; a Condition wakes who waits for a change of what
a mutex guards.  Behaviour of the first three: https://learn.microsoft.com/windows/win32/sync/using-synchronization
"""

from __future__ import annotations

from ._sync.objects import (
    Acquisition,
    Event,
    Mutex,
    Semaphore,
    WaitResult,
    wait_all,
    wait_all_async,
    wait_any,
    wait_any_async,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._sync.condition import Condition as Condition
    from ._sync.rwlock import RWLock as RWLock

__all__ = [
    "Acquisition",
    "Condition",
    "Event",
    "Mutex",
    "RWLock",
    "Semaphore",
    "WaitResult",
    "wait_all",
    "wait_all_async",
    "wait_any",
    "wait_any_async",
]


def __getattr__(name: str) -> object:
    found: object
    if name == "RWLock":  # loaded when first used: most programs use neither, and these bring records along
        from ._sync import rwlock

        found = rwlock.RWLock
    elif name == "Condition":
        from ._sync import condition

        found = condition.Condition
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found
