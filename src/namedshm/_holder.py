"""What sections, arrays, tables, records, mutexes, events and semaphores have in common: each holds the name of an object.

The name goes with the last holder of all processes; the backend's handle, which each has, counts that.  When one is collected whose
name or guard is still needed, a ResourceWarning tells: that is the compiled handle's work (``native.pyx``).
"""

from __future__ import annotations

from . import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Protocol, Self

    class Handle(Protocol):
        """What a name is held by: a backend's handle, or a Section."""

        @property
        def name(self) -> str | None: ...
        @property
        def identity(self) -> int: ...
        @property
        def closed(self) -> bool: ...
        @property
        def access(self) -> Any: ...
        def close(self) -> None: ...


__all__ = ["Holder", "label", "reference", "sendable"]


class Holder:
    """Something that holds a name until it is closed; as a context manager, until the block ends.

    A subclass has ``_handle``, or the four that are made of it here; and it says in ``_facts()`` what ``repr()`` tells.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def _handle(self) -> Handle: ...

    @property
    def name(self) -> str | None:
        """The name as given; None for an unnamed object."""
        return self._handle.name

    @property
    def identity(self) -> int:
        """A 64-bit number no other object ever has.

        0 where there is none: on Windows mutexes, events and semaphores have none, and sections that a plain Win32 program made.
        """
        return self._handle.identity

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._handle.closed

    def close(self) -> None:
        """Close the handle: the name goes if it was the last one anywhere.  What is mapped stays valid.  Twice is a no-op."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<namedshm.{self._title()} {self._label()}{self._facts()}{', closed' if self.closed else ''}>"

    def _title(self) -> str:
        return type(self).__name__

    def _label(self) -> str:
        return "unnamed" if self.name is None else repr(self.name)

    def _facts(self) -> str:
        return ""


def label(kind: str, name: str | None) -> str:
    """``section 'frames'``, or ``an unnamed section``: for messages."""
    return f"an unnamed {kind}" if name is None else f"{kind} {name!r}"


def sendable(kind: str, name: str | None) -> str:
    """The name, by which a receiver finds the object.  Raises: TypeError if there is none."""
    if name is None:
        raise TypeError(f"An unnamed {kind} cannot be pickled, nobody could find it: create it with a name")
    return name


def reference(kind: str, handle: Handle) -> tuple[str, int, Any]:
    """What is pickled of a holder: name, identity and access.

    Raises: ClosedHandle: the receiver might find nobody any more who holds the name; TypeError: there is no name.
    """
    if handle.closed:
        what = label(kind, handle.name)
        raise errors.ClosedHandle(f"This handle to {what} is closed: open the {kind} again", name=handle.name, call="pickle")
    return sendable(kind, handle.name), handle.identity, handle.access
