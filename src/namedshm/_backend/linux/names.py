"""Names no user can choose: those contain no NUL."""

from __future__ import annotations

import os

__all__ = ["Hidden", "parcel"]


class Hidden:
    """A name for an unnamed object that needs a token: a mutex, or the section of a file."""

    __slots__ = ("bare", "is_global", "text")

    def __init__(self) -> None:
        self.bare = "\0unnamed\\" + os.urandom(16).hex()
        self.is_global = False
        self.text = None


def parcel(receiver: int, number: int) -> bytes:
    """The name under which a handle waits for the process that it was sent to."""
    return b"\0parcel\\%d\\%d" % (receiver, number)
