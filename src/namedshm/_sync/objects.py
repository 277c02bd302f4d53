r"""Mutex, Event and Semaphore, kernel objects of the backend, and waits on several of them; sync.py gives them out."""

from __future__ import annotations

from namedshm import aio, errors
from namedshm._arguments import check_on_abandoned, seconds, spinning
from namedshm._arrival import opened
from namedshm._backend import SPIN, SyncHandle, backend, set_acquisitions
from namedshm._compiled import describing
from namedshm._holder import Holder, reference
from namedshm._pickling.unavailable import unpickling
from namedshm.names import Name
from namedshm.section import stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Any, ClassVar, Literal, Self, TypeVar, overload

    from namedshm._backend.contract import Kind, SyncAccess

    F = TypeVar("F", bound=Callable[..., object])

__all__ = [
    "Acquisition",
    "Event",
    "Mutex",
    "Semaphore",
    "WaitResult",
    "wait_all",
    "wait_all_async",
    "wait_any",
    "wait_any_async",
]

PUBLIC = "namedshm.sync"  # the module that gives out what is here

#: Most objects one wait can take (Windows: MAXIMUM_WAIT_OBJECTS).
MAXIMUM_WAIT_OBJECTS = 64
MAXIMUM_SEMAPHORE = 0x7FFFFFFF


def compiled(method: Any) -> Callable[[F], F]:
    return describing(method, PUBLIC)


class Acquisition:
    """How acquiring a mutex went: true if it was acquired.

    Attributes:
        abandoned: the last owner ended without releasing; the mutex is yours, what it guards may be half changed.  Told once.
    """

    __module__ = PUBLIC

    __slots__ = ("_acquired", "abandoned")

    abandoned: bool

    def __init__(self, acquired: bool, abandoned: bool) -> None:
        self._acquired = acquired
        self.abandoned = abandoned

    def __bool__(self) -> bool:
        return self._acquired

    def __repr__(self) -> str:
        return "<acquired, abandoned by its last owner>" if self.abandoned else "<acquired>" if self else "<not acquired>"


_ACQUIRED = Acquisition(True, False)
_ABANDONED = Acquisition(True, True)
_NOT_ACQUIRED = Acquisition(False, False)


def _abandoned(name: str | None) -> errors.AbandonedMutex:
    return errors.AbandonedMutex(
        f"The last owner of the mutex {name!r} ended while it held it: check what it guards, then release it",
        name=name,
        call="acquire",
    )


set_acquisitions(_ACQUIRED, _ABANDONED, _NOT_ACQUIRED, _abandoned)


class WaitResult:
    """What a wait on several objects got.

    Attributes:
        index: of the object that was taken (wait_any), or of the first abandoned one or 0 (wait_all).
        object: that object.
        abandoned: indexes of mutexes whose owners died.
    """

    __module__ = PUBLIC

    __slots__ = ("abandoned", "index", "object")

    index: int
    object: Waitable
    abandoned: tuple[int, ...]

    def __init__(self, index: int, object: Waitable, abandoned: tuple[int, ...]) -> None:
        self.index = index
        self.object = object
        self.abandoned = abandoned

    def __iter__(self) -> Iterator[Any]:
        return iter((self.index, self.object, self.abandoned))

    def __repr__(self) -> str:
        return f"<WaitResult {self.index}: {self.object!r}, abandoned {self.abandoned}>"


class Waitable(SyncHandle, Holder):
    """What mutexes, events and semaphores have in common.

    Attributes:
        name: as given; None for an unnamed object.
        created: whether this call made the object (False: it was there, its settings stayed as they were).
        identity: a 64-bit number no other object ever has.
        closed: whether this handle was closed.
    """

    __module__ = PUBLIC

    __slots__ = ()

    _kind: ClassVar[Kind]

    @classmethod
    def open(cls, name: str, access: SyncAccess = "full", *, wait: float | None = 0) -> Self:
        """Open the living object of that name.

        Args:
            name: as in :func:`namedshm.create`.
            access: ``"full"``; ``"wait"`` only to wait for it; ``"modify"`` only to set or release it.
            wait: seconds to wait until somebody creates it; None for ever.

        Raises: NotFound, WrongType (the name is held by another type), AccessDenied, InvalidName, InvalidArgument.
        """
        if access not in ("full", "wait", "modify"):
            raise errors.InvalidArgument(f"access {access!r}: use 'full', 'wait' or 'modify'", name=name, call="open")
        if name is None:
            raise errors.InvalidArgument("open() needs a name: unnamed objects cannot be opened", call="open")
        parsed = Name(name)
        if wait == 0:
            return backend.open_sync(cls, cls._kind, parsed, access, False)
        return opened(lambda: backend.open_sync(cls, cls._kind, parsed, access, False), parsed.is_global, wait, name)

    @classmethod
    def _make(cls, name: str | None, exist_ok: bool, mode: int, group: str | int | None, *settings: int) -> Self:
        if mode != 0o600 and (type(mode) is not int or mode & ~0o666):
            raise errors.InvalidArgument(
                f"mode {mode!r}: use read and write bits only, for example 0o666", name=name, call="create"
            )
        initial, manual, maximum = settings
        return backend.create_sync(
            cls, cls._kind, None if name is None else Name(name), exist_ok, mode, group, initial, bool(manual), maximum, False
        )

    @compiled(SyncHandle.close)
    def close(self) -> None:
        """Close the handle now: the name goes if it was the last one anywhere.  Twice is a no-op.

        A mutex that a thread owns stays owned, and a wait that another thread is in goes on.
        """
        SyncHandle.close(self)

    def duplicate(self, access: SyncAccess | None = None) -> Self:
        """Another handle to the same object.  Raises ClosedHandle; AccessDenied for more access than this handle has."""
        mine = self.access
        if access is not None and access != mine and mine != "full":
            raise errors.AccessDenied(f"This handle has access {mine!r} and cannot be widened", name=self.name, call="duplicate")
        return self.duplicate_as(access or mine)

    def __reduce__(self) -> tuple[Callable[..., Waitable], tuple[object, ...]]:
        return _restore, (type(self), *reference(self._kind, self))


@unpickling()
def _restore(cls: type[Waitable], name: str, identity: int, access: SyncAccess) -> Waitable:
    opened = cls.open(name, access)
    if identity and opened.identity != identity:
        opened.close()
        raise stale(name)
    return opened


class Mutex(Waitable):
    """One owner at a time; the owner is a thread, and may acquire it again (release as often).

    ``Mutex(name)`` creates it or opens the living one.  An owner that ends without releasing (a thread's end, exit, SIGKILL)
    abandons it: exactly one waiter acquires it then and is told.
    """

    __module__ = PUBLIC

    __slots__ = ()
    _kind = "mutex"

    def __new__(
        cls,
        name: str | None = None,
        *,
        owned: bool = False,
        exist_ok: bool = True,
        mode: int = 0o600,
        group: str | int | None = None,
    ) -> Self:
        """Create the mutex, or open the living one.

        Args:
            name: None for an unnamed mutex.
            owned: acquire it at once if it is new; ignored if it existed (see ``created``).
            exist_ok: False raises AlreadyExists if the name is held.
            mode, group: who else may use it, as in :func:`namedshm.create`; users need both bits, 0o666 lets everybody.
        """
        return cls._make(name, exist_ok, mode, group, int(owned), 0, 0)

    @compiled(SyncHandle.acquire_mutex)
    def acquire(
        self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell", spin: float = SPIN
    ) -> Acquisition:
        """Acquire the mutex; Ctrl-C interrupts the wait.

        Args:
            timeout: seconds; None waits for ever, 0 only tries.
            on_abandoned: "tell" through ``.abandoned``, or "raise" AbandonedMutex (the mutex is acquired all the same).
            spin: seconds to try before sleeping.

        Returns: an Acquisition, false when the time is up.

        Raises: ClosedHandle; AccessDenied (a handle without the right to wait); InvalidArgument (NaN as a time, an unknown
            ``on_abandoned``); TypeError (a time that is no number).
        """
        got: Acquisition = SyncHandle.acquire_mutex(self, timeout, on_abandoned=on_abandoned, spin=spin)
        return got

    @compiled(SyncHandle.release_mutex)
    def release(self) -> None:
        """Release it once.  Raises NotOwned if this thread does not own it; ClosedHandle."""
        SyncHandle.release_mutex(self)

    if TYPE_CHECKING:

        def __enter__(self) -> Acquisition: ...  # type: ignore[override]  # a mutex is held as a lock, not as a handle

    else:
        __enter__ = acquire

    @compiled(SyncHandle.exit_mutex)
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Release it once."""
        self.release()

    def locked(self) -> bool:
        """Whether a thread owns it at this moment."""
        return not self.look()[0]

    @property
    def owner(self) -> int | None:
        """The number of the thread that owns it (Linux: its kernel's thread id, :func:`threading.get_native_id`).

        None if nobody does, or where the system does not tell (Wine).  The number of a thread in another PID namespace is that
        namespace's.
        """
        return self.look()[2]

    @compiled(SyncHandle.mutex_depth)
    def depth(self) -> int:
        """How often this thread has acquired it and not released it.  Raises ClosedHandle."""
        times: int = SyncHandle.mutex_depth(self)
        return times

    async def acquire_async(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Acquisition:
        """:meth:`acquire` for asyncio.  The owner is the event loop's thread: tasks of one loop do not exclude each other."""
        check_on_abandoned(on_abandoned)
        index, abandoned = await aio.wait([self], False, timeout)
        if index < 0:
            return _NOT_ACQUIRED
        if abandoned and on_abandoned == "raise":
            raise _abandoned(self.name)
        return _ABANDONED if abandoned else _ACQUIRED

    async def __aenter__(self) -> Acquisition:
        return await self.acquire_async()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.release()


class Event(Waitable):
    """Set or not.  Auto-reset (default): one wait takes it and resets it.  Manual: it stays set, all waits pass, until cleared."""

    __module__ = PUBLIC

    __slots__ = ()
    _kind = "event"

    def __new__(
        cls,
        name: str | None = None,
        *,
        manual: bool = False,
        initial: bool = False,
        exist_ok: bool = True,
        mode: int = 0o600,
        group: str | int | None = None,
    ) -> Self:
        """Create the event, or open the living one (whose ``manual`` and state stay).

        Args:
            name: None for an unnamed event.
            manual: stays set until :meth:`clear`.
            initial: set from the start.
            exist_ok, mode, group: as for :class:`Mutex`.
        """
        return cls._make(name, exist_ok, mode, group, int(initial), int(manual), 0)

    @compiled(SyncHandle.set_event)
    def set(self) -> None:
        """Set it; setting twice is setting once.  Raises ClosedHandle; AccessDenied (a handle without the right to modify)."""
        SyncHandle.set_event(self)

    @compiled(SyncHandle.reset_event)
    def clear(self) -> None:
        """Reset it.  Raises as :meth:`set`."""
        SyncHandle.reset_event(self)

    @compiled(SyncHandle.pulse_event)
    def pulse(self) -> None:
        """Release who waits now (auto-reset: one of them) and leave it reset.  A waiter about to wait misses it.

        Raises as :meth:`set`.
        """
        SyncHandle.pulse_event(self)

    @compiled(SyncHandle.wait_event)
    def wait(self, timeout: float | None = None, *, spin: float = SPIN) -> bool:
        """Wait until it is set; Ctrl-C interrupts the wait.

        Args:
            timeout: seconds; None waits for ever, 0 only looks (and takes).
            spin: seconds to try before sleeping.

        Returns: False when the time is up.

        Raises: ClosedHandle; AccessDenied (a handle without the right to wait); InvalidArgument (NaN as a time); TypeError (a time
            that is no number).
        """
        return SyncHandle.wait_event(self, timeout, spin=spin)

    def is_set(self) -> bool:
        """Whether a wait would pass at this moment."""
        return self.look()[0]

    async def wait_async(self, timeout: float | None = None) -> bool:
        """:meth:`wait` for asyncio; cancelling it takes nothing."""
        return (await aio.wait([self], False, timeout))[0] >= 0


class Semaphore(Waitable):
    """A count between 0 and a maximum: waiting takes one, releasing gives back.  A killed holder gives nothing back."""

    __module__ = PUBLIC

    __slots__ = ()
    _kind = "semaphore"

    def __new__(
        cls,
        name: str | None = None,
        *,
        initial: int = 1,
        maximum: int | None = None,
        exist_ok: bool = True,
        mode: int = 0o600,
        group: str | int | None = None,
    ) -> Self:
        """Create the semaphore, or open the living one (whose maximum and count stay).

        Args:
            name: None for an unnamed semaphore.
            initial: count at the start, 0 to ``maximum``.
            maximum: at least 1, at most 2,147,483,647; None means ``initial`` or 1, whichever is more.
            exist_ok, mode, group: as for :class:`Mutex`.
        """
        if maximum is None:
            maximum = max(initial, 1)
        if not 0 < maximum <= MAXIMUM_SEMAPHORE or not 0 <= initial <= maximum:
            raise errors.InvalidArgument(
                f"Semaphore {name!r}: initial {initial} and maximum {maximum} must satisfy 0 <= initial <= maximum, "
                f"1 <= maximum <= {MAXIMUM_SEMAPHORE}",
                name=name,
                call="create",
            )
        return cls._make(name, exist_ok, mode, group, initial, 0, maximum)

    @compiled(SyncHandle.acquire_semaphore)
    def acquire(self, timeout: float | None = None, *, spin: float = SPIN) -> bool:
        """Take one; Ctrl-C interrupts the wait.

        Args:
            timeout: seconds; None waits for ever, 0 only tries.
            spin: seconds to try before sleeping.

        Returns: False when the time is up.

        Raises: as :meth:`Event.wait`.
        """
        return SyncHandle.acquire_semaphore(self, timeout, spin=spin)

    @property
    def value(self) -> int:
        """How many can be taken at this moment."""
        return self.look()[1]

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """:meth:`acquire` for asyncio; cancelling it takes nothing."""
        return (await aio.wait([self], False, timeout))[0] >= 0

    def release(self, count: int = 1) -> int:
        """Give ``count`` back; the count before.  Raises LimitExceeded beyond the maximum: then nothing has changed."""
        if not 0 < count <= MAXIMUM_SEMAPHORE:
            raise errors.InvalidArgument(f"Cannot release {count}: at least 1", name=self.name, call="release")
        return self.release_semaphore(count)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.release()


#: The classes by what snapshots (ObjectInfo) call them.
BY_TYPE: dict[str, type[Waitable]] = {cls._kind: cls for cls in (Mutex, Event, Semaphore)}


# ------------------------------------------------------------------------------------------------------------ several
if TYPE_CHECKING:  # a wait without an end has a result; so for the other three

    @overload
    def wait_any(objects: Sequence[Waitable], timeout: None = None, *, spin: float = SPIN) -> WaitResult: ...
    @overload
    def wait_any(objects: Sequence[Waitable], timeout: float | None, *, spin: float = SPIN) -> WaitResult | None: ...


def wait_any(objects: Sequence[Waitable], timeout: float | None = None, *, spin: float = SPIN) -> WaitResult | None:
    """Wait until one of 1 to 64 objects is signaled; the lowest index wins and only that one is taken.

    Returns: a WaitResult (index, object, abandoned indexes), or None when ``timeout`` seconds are over.
    Raises: InvalidArgument (0 or more than 64 objects, or NaN as a time), ClosedHandle, AccessDenied (a handle without the right to
        wait); TypeError (a time that is no number).
    """
    return _result(objects, _wait(objects, False, timeout, spin))


if TYPE_CHECKING:

    @overload
    async def wait_any_async(objects: Sequence[Waitable], timeout: None = None) -> WaitResult: ...
    @overload
    async def wait_any_async(objects: Sequence[Waitable], timeout: float | None) -> WaitResult | None: ...


async def wait_any_async(objects: Sequence[Waitable], timeout: float | None = None) -> WaitResult | None:
    """:func:`wait_any` for asyncio; cancelling it takes nothing."""
    objects = _handles(objects)
    return _result(objects, await aio.wait(objects, False, timeout))


if TYPE_CHECKING:

    @overload
    def wait_all(objects: Sequence[Waitable], timeout: None = None, *, spin: float = SPIN) -> WaitResult: ...
    @overload
    def wait_all(objects: Sequence[Waitable], timeout: float | None, *, spin: float = SPIN) -> WaitResult | None: ...


def wait_all(objects: Sequence[Waitable], timeout: float | None = None, *, spin: float = SPIN) -> WaitResult | None:
    """Wait until all of 1 to 64 different objects are signaled at once, and take them all, or none.

    Returns and raises as :func:`wait_any`; InvalidArgument also if one object is there twice.
    """
    return _result(objects, _wait(objects, True, timeout, spin))


if TYPE_CHECKING:

    @overload
    async def wait_all_async(objects: Sequence[Waitable], timeout: None = None) -> WaitResult: ...
    @overload
    async def wait_all_async(objects: Sequence[Waitable], timeout: float | None) -> WaitResult | None: ...


async def wait_all_async(objects: Sequence[Waitable], timeout: float | None = None) -> WaitResult | None:
    """:func:`wait_all` for asyncio; cancelling it takes nothing."""
    objects = _handles(objects)
    return _result(objects, await aio.wait(objects, True, timeout))


def _result(objects: Sequence[Waitable], outcome: tuple[int, int]) -> WaitResult | None:
    index, abandoned = outcome
    if index < 0:
        return None
    return WaitResult(index, objects[index], tuple(k for k in range(len(objects)) if abandoned >> k & 1))


def _wait(objects: Sequence[Waitable], all: bool, timeout: float | None, spin: float) -> tuple[int, int]:
    call = "wait_all" if all else "wait_any"
    timeout, spin = seconds(timeout, call), spinning(spin, call)
    return backend.wait(_handles(objects), all, timeout, spin)


def _handles(objects: Sequence[Waitable]) -> Sequence[Waitable]:
    if not 1 <= len(objects) <= MAXIMUM_WAIT_OBJECTS:
        raise errors.InvalidArgument(
            f"Cannot wait for {len(objects)} objects: 1 to {MAXIMUM_WAIT_OBJECTS} are possible", call="wait"
        )
    return objects


for _public in (wait_any, wait_all, wait_any_async, wait_all_async):
    _public.__module__ = PUBLIC
