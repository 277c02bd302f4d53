"""One of everything that is pickled by name: how it is made, and how it lets go."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import namedshm
from namedshm import shared_memory
from namedshm.records import Record


class Camera(Record):
    exposure: float = 0.01
    frame: int = 0


def _array(name: str) -> Any:
    from namedshm import arrays

    return arrays.create(name, (4, 5))


def _table(name: str) -> Any:
    import pyarrow

    from namedshm import arrow

    return arrow.publish(name, pyarrow.table({"x": [1, 2, 3]}))


class Block(shared_memory.SharedMemory):
    """A subclass that sends something along."""

    def __reduce__(self) -> Any:
        return *super().__reduce__(), {"more": 1}


#: How one is made of a name, what of it is sent, and how all of it lets the name go.
THINGS: dict[str, tuple[Callable[[str], Any], Callable[[Any], Any], Callable[[Any], None]]] = {
    "Section": (lambda name: namedshm.create(name, 100), lambda made: made, lambda made: made.close()),
    "View": (lambda name: namedshm.create(name, 100), lambda made: made.map(), lambda made: made.close()),
    "Mutex": (namedshm.Mutex, lambda made: made, lambda made: made.close()),
    "Event": (namedshm.Event, lambda made: made, lambda made: made.close()),
    "Semaphore": (namedshm.Semaphore, lambda made: made, lambda made: made.close()),
    "Camera": (Camera.create, lambda made: made, lambda made: made.close()),
    "SharedMemory": (
        lambda name: shared_memory.SharedMemory(name, create=True, size=100),
        lambda made: made,
        lambda made: (made.close(), made.unlink()),  # its maker keeps the name until then (Linux)
    ),
    "Block": (lambda name: Block(name, create=True, size=100), lambda made: made, lambda made: (made.close(), made.unlink())),
    "ShareableList": (
        lambda name: shared_memory.ShareableList([1, "two"], name=name),
        lambda made: made,
        lambda made: (made.shm.close(), made.shm.unlink()),
    ),
}
if importlib.util.find_spec("numpy"):
    THINGS["NamedArray"] = _array, lambda made: made[1:3, ::2], lambda made: made.close()
if importlib.util.find_spec("pyarrow"):
    THINGS["NamedTable"] = _table, lambda made: made, lambda made: made.close()
