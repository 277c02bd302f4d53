"""What a message of a queue is, told by its first bytes: for the errors of who expected something else, and for those who look."""

from __future__ import annotations

from . import npy, object_frame
from .arrow_ipc import MAGIC as ARROW

__all__ = ["kind"]

_KINDS = (
    (npy.MAGIC, "an array, which arrays.receive() takes"),
    (ARROW, "an Arrow table, which arrow.receive() takes"),
    (object_frame.MAGIC, "an object, which ObjectQueue.get() takes"),
)


def kind(first: bytes) -> str:
    """What begins with these bytes (8 are enough), and what takes it."""
    return next((words for magic, words in _KINDS if first.startswith(magic)), "bytes, which Queue.get() takes")
