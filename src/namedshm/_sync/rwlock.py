r"""A lock for many readers or one writer that survives kills, made of mutexes.

The gate is the mutex of the record NAME (``NAME|writers``).  A reader passes through it, takes its seat, a mutex of its own, and
gives the gate back.  A writer keeps the gate, so that no new reader comes in, and acquires and releases the seat of each reader on
the list: then all have left.

    who reads                                     who writes
    1. acquires the gate                          A. acquires the gate
    2. puts its seat on the list, if it is not    B. acquires and releases each seat on the list
    3. acquires its seat                          C. notes in the record that it writes
    4. releases the gate                          ...
    ...                                           D. notes that it does not
    5. releases its seat                          E. releases the gate

Whoever is killed: the gate and the seats are mutexes, which the kernel gives up, so nobody waits for the dead.  A reader's seat is
off the list when its name has gone, which the next writer sees.  A writer killed between C and D leaves the note: whoever comes
through the gate finds it and is told, until a writer has come through, whose own D takes it away.  One killed before C has not
written, one killed after D has finished.  The list is changed in one step (records).

A writer that waits for readers keeps new ones out: it does not starve.  A thread that reads may read again, past a waiting writer,
or it would wait for itself: so its seat is looked for first, whatever handle it was taken by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from namedshm import errors
from namedshm._arguments import check_on_abandoned, seconds
from namedshm.records import Record

from .composed import Composed, deadline_after, time_left
from .objects import _ABANDONED, _ACQUIRED, _NOT_ACQUIRED, Acquisition, Mutex
from .seats import MOST, Seat, Thread, padded, seat_name

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Literal, Self

    #: Yields a mutex and how many seconds to wait for it, is sent how that went; returns None, or whether a writer died.
    Steps = Generator[tuple[Mutex, float | None], Acquisition, bool | None]

__all__ = ["FIELDS", "Access", "RWLock", "RWLockState", "state"]


class RWLockState(Record):
    """What the record of a lock tells.

    Attributes:
        writing: a writer is in, or died there.
        readers: numbers of seats, 0 for none.
    """

    writing: bool
    readers: Annotated[tuple[int, ...], "u4", MOST]


#: By which the record of a lock is known.
FIELDS = {name: field.type for name, field in RWLockState._fields.items()}

#: What threads of this process have: the seat that one reads in; how often one writes.
_reading: dict[Thread, Seat] = {}
_writing: dict[Thread, int] = {}


class RWLock(Composed):
    """Many readers or one writer, of all processes; who reads or writes is a thread.

        lock = namedshm.sync.RWLock("table.lock")        # the same line in every process
        with lock.reader:
            look()
        with lock.writer as acquired:
            if acquired.abandoned:                        # the last writer died while it wrote
                repair()
            change()

    A killed reader's share is given back.  A killed writer is told, as ``abandoned``, to all who acquire the lock after it, until a
    writer has had it.  A writer that waits keeps new readers out.

    Attributes:
        created: whether this call made the lock.
    """

    __module__ = "namedshm.sync"

    __slots__ = ()
    _waits = False

    _record: RWLockState

    def __init__(
        self, name: str, *, exist_ok: bool = True, mode: int = 0o600, group: str | int | None = None, timeout: float | None = 1.0
    ) -> None:
        r"""Create the lock, or open the living one.

        Args:
            name: as in :func:`namedshm.create`, at most 251 characters.
            exist_ok: False raises AlreadyExists if the name is held.
            mode, group: who else may use a ``Global\`` lock; users need both bits, 0o666 lets everybody.  The same in every
                process: whoever reads makes a mutex of its own, which others must be able to open.
            timeout: seconds to wait for a creator who has not finished; None for ever.

        Raises: as :meth:`namedshm.records.Record.create`.
        """
        self._hold(RWLockState.create(name, exist_ok=exist_ok, mode=mode, group=group, timeout=timeout), mode, group)

    @classmethod
    def open(cls, name: str, *, wait: float | None = 0, timeout: float | None = 1.0) -> Self:
        """Open the living lock of that name.

        Args:
            wait: seconds to wait until somebody creates it; None for ever.
            timeout: seconds to wait for a creator who has not finished; None for ever.

        Raises: NotFound; InvalidContent if it is no lock; else as :meth:`namedshm.records.Record.open`.
        """
        lock = cls.__new__(cls)
        lock._hold(RWLockState.open(name, wait=wait, timeout=timeout), None, None)
        return lock

    @property
    def reader(self) -> Access:
        """To acquire and release it for reading, together with other readers."""
        return Access(self, False)

    @property
    def writer(self) -> Access:
        """To acquire and release it for writing, alone."""
        return Access(self, True)

    def __enter__(self) -> Self:
        raise TypeError("A reader-writer lock is acquired for something: 'with lock.reader:' or 'with lock.writer:'")

    # ---------------------------------------------------------------------------------------------------- steps
    @property
    def _gate(self) -> Mutex:
        return self._record._writing()  # raises ClosedHandle

    def _seat_of(self, thread: Thread) -> Seat | None:
        """In which a thread reads.  One that has died is not meant, though a later one has its number."""
        seat = _reading.get(thread)
        return seat if seat is not None and seat.mutex.depth() else None

    def _writes(self, thread: Thread) -> bool:
        return bool(_writing.get(thread)) and self._gate.depth() > 0

    def _read_steps(self, patience: float | None) -> Steps:
        gate, thread = self._gate, self._thread()
        if self._reads_again(thread):
            return False
        if not (yield gate, patience):
            return None
        try:
            return not self._reads_again(thread) and self._sits_down(thread)  # another task of this thread's loop may read by now
        finally:
            gate.release()

    def _reads_again(self, thread: Thread) -> bool:
        seat = self._seat_of(thread)
        if seat is not None:
            seat.times += 1
        return seat is not None

    def _sits_down(self, thread: Thread) -> bool:
        """By who has the gate.  Returns: a writer has died."""
        seat = self._seats.take()
        try:
            abandoned = self._listed(seat) and not self._writes(thread)
            seat.mutex.acquire()
            seat.times = 1
            _reading[thread] = seat
        except BaseException:
            if seat.mutex.depth():
                seat.mutex.release()
            self._seats.give(seat)
            raise
        return abandoned

    def _listed(self, seat: Seat) -> bool:
        """Put a seat on the list, by who has the gate.  Returns: the note that somebody writes."""
        if seat.seen == self._record.version:
            return False
        now = self._record.snapshot()
        version = now.version
        if seat.number not in now.readers:
            readers = [number for number in now.readers if number]
            if len(readers) == MOST:
                readers = [number for number in readers if self._exists(number)]
            if len(readers) == MOST:
                raise errors.OutOfResources(f"{MOST} threads read {self.name!r}: no more can", name=self.name, call="acquire")
            version = self._record.update(readers=padded([*readers, seat.number]))
        seat.seen = 0 if now.writing else version
        return bool(now.writing)

    def _exists(self, number: int) -> bool:
        try:
            Mutex.open(seat_name(self.name, "r", number)).close()
        except (errors.NotFound, errors.WrongType):
            return False
        return True

    def _write_steps(self, patience: float | None) -> Steps:
        gate, thread = self._gate, self._thread()
        if self._writes(thread):
            gate.acquire()
            _writing[thread] += 1
            return False
        if self._seat_of(thread) is not None:
            raise errors.InvalidArgument(
                f"This thread reads {self.name!r}, and would wait for itself: release it for reading first",
                name=self.name,
                call="acquire",
            )
        deadline = deadline_after(patience)
        if not gate.depth():
            _writing.pop(thread, None)  # of a thread that died, and had this one's number
        if not (yield gate, patience):
            return None
        abandoned = None
        undone = {}
        try:
            now = self._record.snapshot()
            listed = [number for number in now.readers if number]
            readers = []
            for number in listed:
                try:
                    seat = Mutex.open(seat_name(self.name, "r", number))
                except (errors.NotFound, errors.WrongType):  # no seat of ours has a name that another type holds
                    continue
                with _closing(seat):
                    if not (yield seat, time_left(deadline)):
                        return None
                    seat.release()
                readers.append(number)
            undone["writing"] = now.writing
            self._record.update(writing=True, **({"readers": padded(readers)} if readers != listed else {}))
            before = _writing.get(thread, 0)  # another task of this thread's loop may write by now
            _writing[thread] = before + 1
            abandoned = bool(now.writing) and not before
        finally:
            if abandoned is None:
                if undone:  # interrupted by a signal handler
                    self._record.update(**undone)
                gate.release()
        return abandoned

    def _release_read(self) -> None:
        thread = self._thread()
        seat = self._seat_of(thread)
        if seat is None:
            raise self._not_owned("reading")
        seat.times -= 1
        if not seat.times:
            seat.mutex.release()
            del _reading[thread]
            self._seats.give(seat)

    def _release_write(self) -> None:
        gate, thread = self._gate, self._thread()
        if not self._writes(thread):
            raise self._not_owned("writing")
        if _writing[thread] == 1:
            self._record.update(writing=False)
            del _writing[thread]
        else:
            _writing[thread] -= 1
        gate.release()

    def _not_owned(self, what: str) -> errors.NotOwned:
        return errors.NotOwned(f"This thread does not hold {self.name!r} for {what}", name=self.name, call="release")


class Access:
    """One of the two ways to hold a lock: ``lock.reader`` and ``lock.writer``.  A thread releases it as often as it acquired it."""

    __slots__ = ("_lock", "_writer")

    def __init__(self, lock: RWLock, writer: bool) -> None:
        self._lock = lock
        self._writer = writer

    def _steps(self, timeout: float | None, on_abandoned: str) -> Steps:
        check_on_abandoned(on_abandoned)
        patience = seconds(timeout, "acquire", self._lock.name)
        return self._lock._write_steps(patience) if self._writer else self._lock._read_steps(patience)

    def acquire(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Acquisition:
        """Acquire the lock.

        Args:
            timeout: seconds; None waits for ever, 0 only tries.
            on_abandoned: "tell" through ``.abandoned``, or "raise" AbandonedMutex (the lock is acquired all the same).

        Returns: an Acquisition, false when the time is up.

        Raises: InvalidArgument: a thread that reads asks to write, and would wait for itself; ClosedHandle; OutOfResources: 256
            threads read.
        """
        steps = self._steps(timeout, on_abandoned)
        try:
            mutex, left = next(steps)
            while True:
                try:
                    got = mutex.acquire(left)
                except BaseException as error:
                    mutex, left = steps.throw(error)
                else:
                    mutex, left = steps.send(got)
        except StopIteration as end:
            return self._told(end.value, on_abandoned)

    async def acquire_async(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Acquisition:
        """:meth:`acquire` for asyncio.  It is the event loop's thread that has the lock: tasks of one loop do not exclude each
        other, and none can write while another one reads (InvalidArgument)."""
        steps = self._steps(timeout, on_abandoned)
        try:
            mutex, left = next(steps)
            while True:
                try:
                    got = await mutex.acquire_async(left)
                except BaseException as error:
                    mutex, left = steps.throw(error)
                else:
                    mutex, left = steps.send(got)
        except StopIteration as end:
            return self._told(end.value, on_abandoned)

    def _told(self, outcome: bool | None, on_abandoned: str) -> Acquisition:
        if outcome is None:
            return _NOT_ACQUIRED
        if not outcome:
            return _ACQUIRED
        if on_abandoned == "raise":
            raise errors.AbandonedMutex(
                f"The last writer of {self._lock.name!r} ended while it wrote: check what the lock guards, then release it",
                name=self._lock.name,
                call="acquire",
            )
        return _ABANDONED

    def release(self) -> None:
        """Release it once.  Raises NotOwned if this thread does not hold it so."""
        if self._writer:
            self._lock._release_write()
        else:
            self._lock._release_read()

    def __enter__(self) -> Acquisition:
        return self.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.release()

    async def __aenter__(self) -> Acquisition:
        return await self.acquire_async()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'writer' if self._writer else 'reader'} of {self._lock!r}>"


class _closing:
    """contextlib.closing() for a mutex, which is a context manager of another kind."""

    def __init__(self, mutex: Mutex) -> None:
        self._mutex = mutex

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._mutex.close()


def state(record: Record) -> dict[str, Any]:
    """Of a lock's record at this moment: how many threads read, whether one writes, and its number where the system tells."""
    now: Any = record.snapshot()
    readers = 0
    for number in filter(None, now.readers):
        try:
            seat = Mutex.open(seat_name(record.name, "r", number), "wait")
        except errors.NamedShmError:
            continue
        with _closing(seat):
            readers += seat.locked()
    try:
        gate = Mutex.open(f"{record.name}|writers", "wait")
    except errors.NamedShmError:
        return {"readers": readers, "writing": False, "owner": None}
    with _closing(gate):
        owner = gate.owner
        return {"readers": readers, "writing": bool(now.writing) and gate.locked(), "owner": owner if now.writing else None}
