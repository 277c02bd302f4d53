"""What is alive, as frozen snapshots, and what state it is in."""

from __future__ import annotations

import sys

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
        many threads read, and the writer's number), ``{"waiting": int}`` of a condition, ``{"messages": int, "capacity": int,
        "producers": int, "consumers": int, "shut_down": bool}`` of a queue (of the last two but one: handles of living
        processes), ``{"values": str, "published": int, "age": float | None, "writers": int, "waiting": int, "shut_down": bool}``
        of a topic (what its values are; how many there were; seconds since the last; handles of living processes that publish;
        threads that sleep for a value); ``{}`` of any other section.

    Raises: NotFound; AccessDenied if this user may not wait for it, or may not look at the queue; InvalidName.
    """
    kind = describe(name).type
    if kind == "section":
        return _of_a_record(name)
    if kind == "queue":
        return _of_a_queue(name)
    if kind == "topic":
        return _of_a_topic(name)
    handle = backend.open_sync(SyncHandle, kind, Name(name), "wait", False)
    try:
        return _STATES[kind](*handle.look())
    finally:
        handle.close()


def _of_a_queue(name: str) -> dict[str, Any]:
    from .queue import Queue  # as below

    with Queue.open(name, "read") as queue:
        return {
            "messages": queue.qsize(),
            "capacity": queue.capacity,
            "producers": queue.producers,
            "consumers": queue.consumers,
            "shut_down": queue.is_shut_down,
        }


def _of_a_topic(name: str) -> dict[str, Any]:
    if sys.platform == "linux":  # nobody else lists any
        from .topic import Topic, in_words  # as above

        with Topic.open(name, "read") as topic:
            statistics = topic.statistics()
            return {
                "values": in_words(topic),
                "published": statistics.published,
                "age": statistics.age,
                "writers": sum(one.role == "writer" and one.alive is not False for one in topic.participants()),
                "waiting": statistics.waiting,
                "shut_down": topic.is_shut_down,
            }
    return {}


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
