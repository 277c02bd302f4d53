r"""Queues of messages by name: many processes put, many take, and no kill loses or doubles a message, or keeps anybody waiting.

    jobs = namedshm.Queue.create("jobs")           # one process
    jobs.put(b"resize 7.png")

    with namedshm.Queue.open("jobs") as jobs:      # another one
        for job in jobs:
            work(job)

A message is bytes, copied in and out; or it is written and read where it lies (:meth:`Queue.loan`, :meth:`Queue.take`).  The name
lives like every other name here: until the last process has closed the queue, whatever way it ends.  Messages go with it.

Full, Empty and ShutDown are also what :mod:`queue` of the standard library calls so: code that catches those catches these.
"""

from __future__ import annotations

import queue as _standard
import sys
import time

from . import aio, errors
from ._arguments import seconds, spinning
from ._arrival import opened
from ._backend import QueueHandle, QueueLoan, QueueMessage, backend, set_queue_classes
from ._compiled import describing
from ._holder import Holder, reference
from ._pickling.unavailable import unpickling
from .names import Name
from .section import stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, ClassVar, Literal, Self, TypeVar

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

    from ._backend.contract import Access, Awaited

    F = TypeVar("F", bound=Callable[..., object])

__all__ = ["Empty", "Full", "Loan", "Message", "Participant", "Queue", "ShutDown", "Statistics"]

MAXIMUM_CAPACITY = 1 << 24
MAXIMUM_SIZE = 1 << 40
MAXIMUM_CHUNKS = 1 << 16
MAXIMUM_PARTICIPANTS = 1 << 12

_ALL_IN_SLOTS = 1024  # bytes: messages up to that long cost less in the ring, also where most are shorter
_SLOT = 248  # bytes in the ring, of a queue for longer ones: with its header a slot is four cache lines
_SPARE_CHUNKS = 64  # messages that are being filled or read, beside those that wait

WAIT_TIMEOUT, ERROR_NO_MORE_ITEMS, ERROR_BROKEN_PIPE = 258, 259, 109


def compiled(method: Any) -> Callable[[F], F]:
    return describing(method, __name__)


# ------------------------------------------------------------------------------------------------------------ errors
class Full(errors.NamedShmError, _standard.Full):
    """There was no room for the message, or no chunk for a long one, and the time was up.

    Attributes:
        done: how many messages :meth:`Queue.put_many` had put before.
    """

    default_winerror: ClassVar[int] = WAIT_TIMEOUT
    default_errno: ClassVar[int] = 11  # EAGAIN
    done: int = 0


class Empty(errors.NamedShmError, _standard.Empty):
    """There was no message, and the time was up."""

    default_winerror: ClassVar[int] = ERROR_NO_MORE_ITEMS
    default_errno: ClassVar[int] = 11  # EAGAIN


if sys.version_info >= (3, 13):
    _ShutDown = _standard.ShutDown
else:

    class _ShutDown(Exception):
        """The standard library has it since Python 3.13."""

    _ShutDown.__name__ = _ShutDown.__qualname__ = "ShutDown"


class ShutDown(errors.NamedShmError, _ShutDown):
    """The queue was shut down; or, made with ``end_with_producers``, it is empty and all who put are gone.

    Attributes:
        done: how many messages :meth:`Queue.put_many` had put before.
    """

    default_winerror: ClassVar[int] = ERROR_BROKEN_PIPE
    default_errno: ClassVar[int] = 32  # EPIPE
    done: int = 0


# ------------------------------------------------------------------------------------------------------------ windows
class Message(QueueMessage):
    """A message where it lies, made by :meth:`Queue.take`: a buffer that can be read (``memoryview(message)``, ``message[:4]``).

    As a context manager it is released at the end of the block; with acknowledgement that acknowledges it, and an exception gives
    it back.  While buffers or arrays of it are still there, the memory stays theirs: it is released with the last of them.

    Attributes:
        redelivered: it was taken before, by a consumer that died or gave it back.
        position: its number in the queue, the same for everybody and also when it comes again.
        released: whether it was released or given back.
    """

    __slots__ = ()

    @compiled(QueueMessage.release)
    def release(self) -> None:
        """It is done with; with acknowledgement: it will not come again.  Twice is a no-op."""
        QueueMessage.release(self)

    @compiled(QueueMessage.give_back)
    def give_back(self) -> None:
        """With acknowledgement: it comes again, to whoever takes next.  Raises Unsupported for a queue without."""
        QueueMessage.give_back(self)

    def __enter__(self) -> Self:
        QueueMessage.__enter__(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        QueueMessage.__exit__(self, kind, error, trace)

    def __repr__(self) -> str:
        state = "released" if self.released else "redelivered" if self.redelivered else "taken"
        return f"<namedshm.queue.Message of {len(self)} bytes, {state}>"


class Loan(QueueLoan):
    """Memory for a message, made by :meth:`Queue.loan`: a buffer to be written (``loan[:5] = b"hello"``, ``file.readinto(loan)``).

    As a context manager it is put at the end of the block, and an exception abandons it.  What it holds at first is anything.

    Attributes:
        length: bytes to be put, at first all.
        ended: whether it was put or abandoned.
    """

    __slots__ = ()

    @compiled(QueueLoan.commit)
    def commit(self, timeout: float | None = None) -> None:
        """Put the message: the first ``length`` bytes.  After an error the loan is as it was.

        Args:
            timeout: seconds to wait for room; None for ever, 0 only tries.

        Raises: Full, ShutDown; ClosedHandle; BufferError: a memoryview or an array of it is still there, and could change the
            message afterwards.
        """
        QueueLoan.commit(self, timeout)

    @compiled(QueueLoan.abandon)
    def abandon(self) -> None:
        """Put nothing.  Twice is a no-op."""
        QueueLoan.abandon(self)

    async def commit_async(self, timeout: float | None = None) -> None:
        """:meth:`commit` for asyncio.  Cancelled, the loan is as it was."""
        patience = seconds(timeout, "commit_async")
        try:
            self.commit(0)
        except Full:
            queue: Any = self.lender
            await queue._waiting("room", lambda: self.commit(0), patience, "commit_async")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.ended:
            return
        try:
            if kind is None:
                await self.commit_async(self.patience)
        finally:
            self.abandon()

    def __enter__(self) -> Self:
        QueueLoan.__enter__(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        QueueLoan.__exit__(self, kind, error, trace)

    def __repr__(self) -> str:
        return f"<namedshm.queue.Loan of {len(self)} bytes{', ended' if self.ended else ''}>"


set_queue_classes(Full, Empty, ShutDown, Message, Loan)


# ------------------------------------------------------------------------------------------------------------ looking
class Participant:
    """A handle that has put or taken.

    Attributes:
        pid: of its process, as that process sees it.
        uid: its user; None in ``Local``, where all are the same.
        producer, consumer: what it does.
        alive: whether its process lives; None if the system could not tell.
    """

    __slots__ = ("alive", "consumer", "pid", "producer", "uid")

    pid: int
    uid: int | None
    producer: bool
    consumer: bool
    alive: bool | None

    def __init__(self, pid: int, uid: int | None, producer: bool, consumer: bool, alive: bool | None) -> None:
        self.pid, self.uid, self.producer, self.consumer, self.alive = pid, uid, producer, consumer, alive

    def __repr__(self) -> str:
        does = " and ".join(name for name, is_so in (("producer", self.producer), ("consumer", self.consumer)) if is_so)
        state = {True: "", False: ", dead", None: ", perhaps alive"}[self.alive]
        return f"<{does} in process {self.pid}{state}>"


class Statistics:
    """What went through a queue, of about one moment.

    Attributes:
        put, got: messages since it was made.
        put_bytes, got_bytes: their bytes.
        redelivered: how often a message came again.
        dropped: messages that made room for others (``overflow="drop_oldest"``).
        waiting: messages that are there to be taken.
        held: long messages, or with acknowledgement any, that consumers have taken and not released.
        loaned: chunks of producers: loans, and messages in the queue.
        free_chunks: chunks that nobody has.
        awaited: what somebody waits for, or did a moment ago: 1 a message, 2 room, 4 a chunk, added up.
    """

    __slots__ = (
        *("awaited", "dropped", "free_chunks", "got", "got_bytes", "held", "loaned", "put", "put_bytes", "redelivered", "waiting"),
    )

    put: int
    got: int
    put_bytes: int
    got_bytes: int
    redelivered: int
    dropped: int
    waiting: int
    held: int
    loaned: int
    free_chunks: int
    awaited: int

    def __init__(self, figures: tuple[int, ...]) -> None:
        self.put, self.got, self.put_bytes, self.got_bytes, self.redelivered, self.dropped = figures[:6]
        self.waiting, self.held, self.loaned, self.free_chunks, self.awaited = figures[6:]

    def __repr__(self) -> str:
        return f"<Statistics {', '.join(f'{name} {getattr(self, name)}' for name in type(self).__annotations__)}>"


# ------------------------------------------------------------------------------------------------------------ the queue
class Queue(QueueHandle, Holder):
    """A handle to a queue; made by :meth:`create` and :meth:`open`.

    Its threads may use it at once; a child made by ``fork`` uses what it inherited, as itself; pickling sends name and identity.

    Attributes:
        name: as given; None for an unnamed queue.
        access: ``"write"``, or ``"read"``: to look at it.
        created: whether this call made the queue (False: it was there, its settings stayed as they were).
        identity: a 64-bit number no other queue ever has.
        closed: whether this handle was closed.
        capacity: messages it holds at most; what was asked for, rounded up to a power of two.
        max_size: bytes of the longest message.
        slot_size: bytes; messages up to that long lie in the ring itself, longer ones, and all with acknowledgement, in chunks.
        chunks: how many of those there can be at one time: waiting, being filled and being read, together.
        max_participants: how many handles can put or take at one time.
    """

    __slots__ = ()

    # -------------------------------------------------------------------------------------------------- making, opening
    @classmethod
    def create(
        cls,
        name: str | None = None,
        capacity: int = 1024,
        max_size: int = 65536,
        *,
        exist_ok: bool = False,
        ack: bool = False,
        end_with_producers: bool = False,
        overflow: Literal["wait", "drop_oldest"] = "wait",
        chunks: int | None = None,
        participants: int = 256,
        mode: int = 0o600,
        group: str | int | None = None,
    ) -> Self:
        r"""Create a queue.

        Args:
            name: as in :func:`namedshm.create`; None for an unnamed queue, which forked children inherit.
            capacity: messages it holds, 1 to 16,777,216; rounded up to a power of two.
            max_size: bytes of the longest message, 1 to 2**40.  Memory is taken as it is used.
            exist_ok: open a living queue of that name instead of raising; its settings stay as they are.
            ack: what a consumer has taken and not released when it dies, or gave back, is delivered again.
            end_with_producers: when the queue is empty and all who put are gone, closed or killed, taking raises ShutDown.
            overflow: who finds it full waits, or takes the oldest message away.
            chunks: how many messages beyond ``slot_size`` there can be at one time, waiting, being filled and being read, together;
                None: as many as it holds and 64 more, at most 65,536.
            participants: handles that put or take at one time, 1 to 4,096.
            mode, group: who else may use a ``Global`` queue, as in :func:`namedshm.create`: 0o666 everybody; with 0o644 others
                may look.

        Raises: AlreadyExists, AccessDenied, WrongType, InvalidName, InvalidArgument, OutOfResources, Unsupported.
        """
        capacity = _number("capacity", capacity, 1, MAXIMUM_CAPACITY, name)
        max_size = _number("max_size", max_size, 1, MAXIMUM_SIZE, name)
        participants = _number("participants", participants, 1, MAXIMUM_PARTICIPANTS, name)
        slot = max(max_size, 8) if max_size <= _ALL_IN_SLOTS else _SLOT
        capacity = 1 << (capacity - 1).bit_length()
        chunked = bool(ack) or max_size > slot
        if chunks is None:
            chunks = min(capacity + _SPARE_CHUNKS, MAXIMUM_CHUNKS) if chunked else _SPARE_CHUNKS
        else:
            chunks = _number("chunks", chunks, int(chunked), MAXIMUM_CHUNKS, name)
        if overflow not in ("wait", "drop_oldest"):
            raise errors.InvalidArgument(f"overflow {overflow!r}: use 'wait' or 'drop_oldest'", name=name, call="create")
        if type(mode) is not int or mode & ~0o666:
            raise errors.InvalidArgument(
                f"mode {mode!r}: use read and write bits only, for example 0o666", name=name, call="create"
            )
        modes = (1 if ack else 0) | (2 if end_with_producers else 0) | (4 if overflow == "drop_oldest" else 0)
        parsed = None if name is None else Name(name)
        return backend.create_queue(cls, parsed, bool(exist_ok), mode, group, capacity, slot, chunks, participants, modes, max_size)

    @classmethod
    def open(cls, name: str, access: Access = "write", *, wait: float | None = 0) -> Self:
        """Open the living queue of that name.

        Args:
            access: ``"write"``, or ``"read"`` to look only: how many messages there are, who takes part, what went through.
            wait: seconds to wait until somebody creates it; None for ever.

        Raises: NotFound, WrongType (the name is held by another type), AccessDenied, InvalidName, InvalidArgument.
        """
        if access not in ("write", "read"):
            raise errors.InvalidArgument(f"access {access!r}: use 'write' or 'read'", name=name, call="open")
        if name is None:
            raise errors.InvalidArgument("open() needs a name: unnamed objects cannot be opened", call="open")
        parsed = Name(name)
        if wait == 0:
            return backend.open_queue(cls, parsed, access)
        return opened(lambda: backend.open_queue(cls, parsed, access), parsed.is_global, wait, name)

    @compiled(QueueHandle.close)
    def close(self) -> None:
        """Close the handle: the name goes if it was the last one anywhere, and with it the messages.  Twice is a no-op.

        What this handle has taken and not released stays readable; a call that waits in another thread raises ClosedHandle soon.
        """
        QueueHandle.close(self)

    # -------------------------------------------------------------------------------------------------- putting
    @compiled(QueueHandle.put)
    def put(self, data: Buffer, timeout: float | None = None) -> None:
        """Put a message; Ctrl-C interrupts the wait.

        Args:
            data: bytes, or any buffer in one piece; 0 to ``max_size`` bytes.  It is copied.
            timeout: seconds to wait for room; None for ever, 0 only tries.

        Raises: Full when the time is up; ShutDown; InvalidArgument (too long); TypeError (text, or no buffer); ClosedHandle;
            AccessDenied (a handle for reading); OutOfResources (too many take part).
        """
        QueueHandle.put(self, data, timeout)

    @compiled(QueueHandle.put_nowait)
    def put_nowait(self, data: Buffer) -> None:
        """:meth:`put` with timeout 0."""
        QueueHandle.put_nowait(self, data)

    @compiled(QueueHandle.put_many)
    def put_many(self, messages: Iterable[Buffer], timeout: float | None = None) -> int:
        """Put several messages, in order; others may put theirs in between.

        Args:
            timeout: seconds for all of them together.

        Returns: how many: all.

        Raises: as :meth:`put`; Full and ShutDown say in ``done`` how many were put.  What the iterable raises comes after those
            before it were put.
        """
        return QueueHandle.put_many(self, messages, timeout)

    @compiled(QueueHandle.loan)
    def loan(self, size: int | None = None, timeout: float | None = None) -> Loan:
        """Borrow memory to write a message where it will lie, without a copy.  While it is filled, nobody waits for it.

            with queue.loan(1 << 20) as window:
                window.length = file.readinto(window)

        Args:
            size: bytes, up to ``max_size``; None: that many.
            timeout: seconds to wait for a chunk, and at the end of the block for room; None for ever.

        Raises: Full when the time is up; otherwise as :meth:`put`.
        """
        return QueueHandle.loan(self, size, timeout)  # type: ignore[return-value]  # what set_queue_classes() said

    # -------------------------------------------------------------------------------------------------- taking
    @compiled(QueueHandle.get)
    def get(self, timeout: float | None = None) -> bytes:
        """Take the next message; Ctrl-C interrupts the wait.  With acknowledgement it is acknowledged at once.

        Args:
            timeout: seconds; None for ever, 0 only tries.

        Raises: Empty when the time is up; ShutDown; ClosedHandle; AccessDenied (a handle for reading); OutOfResources (too many
            take part).
        """
        return QueueHandle.get(self, timeout)

    @compiled(QueueHandle.get_nowait)
    def get_nowait(self) -> bytes:
        """:meth:`get` with timeout 0."""
        return QueueHandle.get_nowait(self)

    @compiled(QueueHandle.get_many)
    def get_many(self, most: int, timeout: float | None = None) -> list[bytes]:
        """Wait for a message, and take it and those behind it that are there, up to ``most`` in all.  Raises as :meth:`get`."""
        return QueueHandle.get_many(self, most, timeout)

    @compiled(QueueHandle.get_into)
    def get_into(self, buffer: Buffer, timeout: float | None = None) -> int:
        """Take the next message into a buffer of at least ``max_size`` bytes; how many it had.

        Raises: as :meth:`get`; InvalidArgument (the buffer is shorter), TypeError (none that can be written).
        """
        return QueueHandle.get_into(self, buffer, timeout)

    @compiled(QueueHandle.take)
    def take(self, timeout: float | None = None) -> Message:
        """Take the next message where it lies, without a copy, until it is released.

            with queue.take() as message:
                work(numpy.frombuffer(message))

        With acknowledgement it is acknowledged at the end of the block, and comes again if that raises, or this process dies.
        Raises as :meth:`get`.
        """
        return QueueHandle.take(self, timeout)  # type: ignore[return-value]  # what set_queue_classes() said

    def __iter__(self) -> Iterator[bytes]:
        """Messages, until ShutDown."""
        while True:
            try:
                message = self.get()
            except ShutDown:
                return
            yield message

    # -------------------------------------------------------------------------------------------------- asyncio
    # Each is what its namesake is, and what cannot be done at once is watched by one thread for all waits of the process (aio.py).
    # Cancelling puts and takes nothing.

    async def put_async(self, data: Buffer, timeout: float | None = None) -> None:
        """:meth:`put` for asyncio; cancelling it puts nothing."""
        try:
            size = len(data) if type(data) is bytes else memoryview(data).nbytes
        except TypeError:
            size = 0  # put_nowait() says what is wrong
        what: Awaited = "chunk and room" if self.ack or size > self.slot_size else "room"
        await self._waiting(what, lambda: self.put_nowait(data), timeout, "put_async")

    async def put_many_async(self, messages: Iterable[Buffer], timeout: float | None = None) -> int:
        """:meth:`put_many` for asyncio; cancelled, those before are put."""
        patience = seconds(timeout, "put_many_async", self.name)
        ends = None if patience is None else time.monotonic() + patience
        done = 0
        try:
            for data in messages:
                await self.put_async(data, None if ends is None else max(ends - time.monotonic(), 0))
                done += 1
        except (Full, ShutDown) as error:
            error.done = done
            raise
        return done

    async def loan_async(self, size: int | None = None, timeout: float | None = None) -> Loan:
        """:meth:`loan` for asyncio.

        async with await queue.loan_async(1000) as window:
            window[:] = data
        """
        loan: Loan = await self._waiting("chunk", lambda: self.loan(size, 0), timeout, "loan_async")
        loan.patience = timeout
        return loan

    async def get_async(self, timeout: float | None = None) -> bytes:
        """:meth:`get` for asyncio; cancelling it takes nothing."""
        message: bytes = await self._waiting("message", self.get_nowait, timeout, "get_async")
        return message

    async def get_many_async(self, most: int, timeout: float | None = None) -> list[bytes]:
        """:meth:`get_many` for asyncio; cancelling it takes nothing."""
        messages: list[bytes] = await self._waiting("message", lambda: self.get_many(most, 0), timeout, "get_many_async")
        return messages

    async def take_async(self, timeout: float | None = None) -> Message:
        """:meth:`take` for asyncio: ``with await queue.take_async() as message``.  Cancelling it takes nothing."""
        message: Message = await self._waiting("message", lambda: self.take(0), timeout, "take_async")
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Messages, until ShutDown."""
        while True:
            try:
                message = await self.get_async()
            except ShutDown:
                return
            yield message

    async def _waiting(self, what: Awaited, attempt: Callable[[], Any], timeout: float | None, call: str) -> Any:
        patience = seconds(timeout, call, self.name)
        polled = backend.begin_queue_wait(self, what, attempt)
        try:
            got = await aio.polled_until(polled, patience)
        finally:
            polled.end()
        return attempt() if got is None else got[0]  # which says what is missing

    # -------------------------------------------------------------------------------------------------- the end
    @compiled(QueueHandle.shutdown)
    def shutdown(self, immediate: bool = False) -> None:
        """From now on putting raises ShutDown, for everybody; taking does when the queue is empty, or with ``immediate`` at once.

        Whoever waits is told.  There is no way back.  As :meth:`queue.Queue.shutdown` of Python 3.13.
        """
        QueueHandle.shutdown(self, immediate)

    @property
    def is_shut_down(self) -> bool:
        """Whether :meth:`shutdown` was called, by anybody."""
        return self.look()[2] != 0

    @compiled(QueueHandle.take_part)
    def take_part(self, role: Literal["producer", "consumer"]) -> None:
        """Take part before the first message: for ``end_with_producers``, which does not know of a producer before that.

        Raises: ClosedHandle; AccessDenied (a handle for reading); OutOfResources (too many take part).
        """
        QueueHandle.take_part(self, role)

    # -------------------------------------------------------------------------------------------------- looking
    def qsize(self) -> int:
        """How many messages can be taken, about: others put and take meanwhile.  Those that were given back are among them."""
        waiting, again, _ = self.look()
        return waiting + again

    def empty(self) -> bool:
        """Whether there is no message at this moment."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room at this moment."""
        return self.look()[0] >= self.capacity

    @property
    def ack(self) -> bool:
        """Whether messages are acknowledged."""
        return self.modes[0]

    @property
    def end_with_producers(self) -> bool:
        """Whether it is over when it is empty and all who put are gone."""
        return self.modes[1]

    @property
    def overflow(self) -> Literal["wait", "drop_oldest"]:
        """What who finds it full does."""
        return "drop_oldest" if self.modes[2] else "wait"

    def participants(self) -> list[Participant]:
        """Who has put or taken, and has not closed.  The dead are among them until somebody misses something."""
        is_global = self.name is not None and Name(self.name).is_global
        return [
            Participant(pid, uid if is_global else None, bool(roles & 1), bool(roles & 2), alive)
            for pid, uid, roles, alive in self.participants_now()
        ]

    @property
    def producers(self) -> int:
        """How many handles of living processes have put, or said that they will."""
        return sum(one.producer and one.alive is not False for one in self.participants())

    @property
    def consumers(self) -> int:
        """How many handles of living processes have taken, or said that they will."""
        return sum(one.consumer and one.alive is not False for one in self.participants())

    def statistics(self) -> Statistics:
        """What went through it."""
        return Statistics(self.figures())

    @property
    def spin(self) -> float:
        """Seconds that calls of this handle try before they sleep; at first 0.00002.  Can be set."""
        return self.spin_ns / 1e9

    @spin.setter
    def spin(self, seconds: float) -> None:
        self.spin_for(int(spinning(seconds, "spin") * 1e9))

    def _facts(self) -> str:
        return f": up to {self.capacity} messages of {self.max_size} bytes" + (
            "" if self.closed else f", {self.qsize()} now{', shut down' if self.is_shut_down else ''}"
        )

    def __reduce__(self) -> tuple[Callable[..., Queue], tuple[object, ...]]:
        return _restore, (type(self), *reference("queue", self))


@unpickling()
def _restore(cls: type[Queue], name: str, identity: int, access: Access) -> Queue:
    opened = cls.open(name, access)
    if identity and opened.identity != identity:
        opened.close()
        raise stale(name)
    return opened


def _number(what: str, value: int, least: int, most: int, name: str | None) -> int:
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{what} must be a whole number, not {type(value).__name__}")
    number = value.__index__()
    if not least <= number <= most:
        raise errors.InvalidArgument(f"{what}={number}: use {least} to {most}", name=name, call="create")
    return number
