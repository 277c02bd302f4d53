"""Queues of Python objects by name; in the place of ``multiprocessing.Queue`` by one import line.

    from namedshm import ObjectQueue as Queue            # instead of: from multiprocessing import Queue

    jobs = ObjectQueue.create("jobs")                    # or by name: one process
    jobs.put({"file": "7.png", "image": array})

    jobs = ObjectQueue.open("jobs")                      # another one
    job = jobs.get()

An object goes as its pickle (protocol 5); large buffers in it, of arrays for example, are copied straight into the queue and out
of it, without a detour.  ``take()`` does not even copy them out.  An array that lies in a section goes by name
(:mod:`namedshm.arrays`).

**Unpickling trusts whoever writes.**  Who can put into a queue can make those who get run any code: let only those write (``mode``,
``group`` of a ``Global`` queue) whom its readers would let run programs.  For others there is :class:`namedshm.Queue`, whose
messages are bytes.
"""

from __future__ import annotations

import copyreg
import os
import pickle
import sys
import threading
import time
from collections import deque
from multiprocessing.reduction import ForkingPickler

from . import errors
from ._arguments import seconds
from ._copying import unfilled
from ._formats import messages, object_frame
from ._holder import Holder, label, reference
from ._pickling.unavailable import unpickling
from .copying import copy
from .queue import Message, Queue, ShutDown
from .section import stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType
    from typing import Any, Literal, Self

    from ._backend.contract import Access
    from .queue import Participant, Statistics

__all__ = ["JoinableObjectQueue", "ObjectQueue", "Taken"]

#: Bytes of the largest object, if nothing else is said.  Address space is set aside for them, memory is taken as it is used.
MAX_SIZE = 64 << 20
#: Objects a queue holds of which no limit was wished.
MANY = 4096

_SMALL = 4096  # bytes; of a pickle that has its eight bytes put in front
_JOINED = 16384  # bytes; a message that is shorter is put together first and put at once
_BESIDE = 1024  # bytes; a buffer that is shorter goes in the pickle
_AT_ONCE = 65536  # bytes; copying fewer takes less time than starting to copy well
_NAMES = "objects_"  # how names begin that are made up
_FIRST_NAP, _LONGEST_NAP = 0.0005, 0.01  # seconds between two looks of join()


# ------------------------------------------------------------------------------------------------------------ pickling
class _ArrayPickler(pickle.Pickler):
    """Asks of everything whether it is an array that goes by name (``_pickling/arrays_by_name.py``)."""

    def reducer_override(self, thing: object) -> Any:
        asked = getattr(ForkingPickler, "reducer_override", None)
        return NotImplemented if asked is None else asked(self, thing)


class _Reducers(dict["type", "object"]):
    """As multiprocessing pickles for other processes: with what only those can receive (sockets, connections).  What is registered
    later counts, too: nothing is kept here."""

    def __missing__(self, kind: type) -> Any:
        found = ForkingPickler._extra_reducers.get(kind)  # type: ignore[attr-defined]  # what its register() fills
        return copyreg.dispatch_table[kind] if found is None else found


_reducers = _Reducers()


class _Pieces(list["bytes | bytearray | memoryview"]):
    """A file that keeps what is written: large bytes are not copied, they are the object's own."""

    write = list.append


class _Buffers(list[memoryview]):
    """Those that go beside the pickle."""

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if len(raw) < _BESIDE:
            return True  # in the pickle
        self.append(raw)
        return False


def _dump(thing: object) -> tuple[_Pieces, _Buffers]:
    """The pickle, in pieces, and the buffers beside it.  Raises what pickling raises."""
    pieces, buffers = _Pieces(), _Buffers()
    kind = _ArrayPickler if "numpy" in sys.modules else pickle.Pickler
    pickler = kind(pieces, 5, buffer_callback=buffers.keep)
    pickler.dispatch_table = _reducers  # type: ignore[assignment]  # what reducers give is theirs to know
    pickler.dump(thing)
    return pieces, buffers


def _end(timeout: float | None, call: str, name: str | None) -> float | None:
    """When that time is up; None: never."""
    patience = seconds(timeout, call, name)
    return None if patience is None else time.monotonic() + patience


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())


def _written(target: Any, pieces: list[tuple[int, Any]]) -> None:
    for at, piece in pieces:
        view = memoryview(piece)
        if len(view) < _AT_ONCE:
            target[at : at + len(view)] = view
        else:
            copy(target[at : at + len(view)], view)


def _own(buffer: memoryview) -> bytearray:
    """Its bytes, copied once."""
    target = unfilled(len(buffer))
    if len(buffer):
        copy(target, buffer)
    return target


# ------------------------------------------------------------------------------------------------------------ the queue
class ObjectQueue(Holder):
    """A queue of Python objects: many processes put, many get, and no kill loses or doubles an object, or keeps anybody waiting.

    Its threads may use it at once.  It goes to children by fork and by spawn, and in messages to other processes; a receiver opens
    it by its name, so somebody has to hold it until then.

    Args:
        maxsize: how many objects it holds, as for :class:`multiprocessing.Queue`; rounded up to a power of two.  0: 4,096.  It gets
            a name that is made up.
        max_size: bytes of the largest object, pickled with all that belongs to it, 1 to 2**40.  Address space is set aside for
            that many; memory is taken as it is used.
        ack: an object that was got and not acknowledged when its consumer died is delivered again: :meth:`get` acknowledges when
            it returns, :meth:`take` at the end of its block.

    Attributes:
        name: of the queue; None if it was made with :meth:`create` and has none.
        identity, closed: as of :class:`namedshm.Queue`.
        queue: the queue of bytes beneath, with all its settings: ``queue.spin``, ``queue.overflow``.
    """

    __slots__ = ("__weakref__", "_queue")

    _queue: Queue

    def __init__(self, maxsize: int = 0, *, max_size: int = MAX_SIZE, ack: bool = False) -> None:
        capacity = MANY if not isinstance(maxsize, bool) and isinstance(maxsize, int) and maxsize <= 0 else maxsize
        while True:
            try:
                self._queue = Queue.create(_NAMES + os.urandom(8).hex(), capacity, max_size, ack=ack)
            except errors.AlreadyExists:
                continue
            break

    @classmethod
    def create(
        cls,
        name: str | None = None,
        capacity: int = 1024,
        max_size: int = MAX_SIZE,
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
        """Create a queue of objects by name.

        Args:
            max_size: bytes of the largest object, pickled with all that belongs to it, 1 to 2**40.
            and the others as for :meth:`namedshm.Queue.create`.

        Raises: as :meth:`namedshm.Queue.create`.
        """
        return cls._of(
            Queue.create(
                name,
                capacity,
                max_size,
                exist_ok=exist_ok,
                ack=ack,
                end_with_producers=end_with_producers,
                overflow=overflow,
                chunks=chunks,
                participants=participants,
                mode=mode,
                group=group,
            )
        )

    @classmethod
    def open(cls, name: str, access: Access = "write", *, wait: float | None = 0) -> Self:
        """Open the living queue of that name.  Arguments and errors as of :meth:`namedshm.Queue.open`."""
        return cls._of(Queue.open(name, access, wait=wait))

    @classmethod
    def _of(cls, queue: Queue) -> Self:
        self = cls.__new__(cls)
        self._queue = queue
        return self

    @property
    def queue(self) -> Queue:
        """The queue of bytes beneath."""
        return self._queue

    @property
    def _handle(self) -> Queue:
        return self._queue

    # ------------------------------------------------------------------------------------------------ putting
    def put(self, obj: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an object; it is pickled here and now, so a later change of it is not seen by who gets it.

        Args:
            block: False only tries.
            timeout: seconds to wait for room; None for ever.

        Raises: Full when the time is up (it is a :class:`queue.Full`); ShutDown; InvalidArgument: it is larger than ``max_size``;
            what pickling it raises; ClosedHandle (a ValueError), AccessDenied, OutOfResources as :meth:`namedshm.Queue.put`.
        """
        patience = timeout if block else 0
        queue = self._queue
        frame, pieces, size = self._framed(obj)
        if frame is not None:
            queue.put(frame, patience)
            return
        end = _end(patience, "put", queue.name)
        loan = queue.loan(size, patience)
        try:
            with memoryview(loan) as window:
                _written(window, pieces)
            loan.commit(_left(end))
        finally:
            loan.abandon()

    def _framed(self, thing: object) -> tuple[bytes | bytearray | None, list[tuple[int, Any]], int]:
        """The message, if it is short; else its pieces, and how many bytes it has."""
        queue = self._queue
        pickled, buffers = _dump(thing)
        if not buffers and len(pickled) == 1 and len(pickled[0]) <= _SMALL:  # most objects
            frame = object_frame.PLAIN + pickled[0]
            if len(frame) <= queue.max_size:
                return frame, [], 0
        pieces, size = object_frame.lay_out(pickled, buffers)
        if size > queue.max_size:
            raise errors.InvalidArgument(
                f"Cannot put an object of {size} bytes into {label('queue', queue.name)}: its objects have {queue.max_size} bytes "
                "at most. Create it with a larger max_size, or send a large array by name (namedshm.arrays)",
                name=queue.name,
                call="put",
            )
        if size > _JOINED:
            return None, pieces, size
        joined = unfilled(size)
        _written(joined, pieces)
        return joined, [], 0

    def put_nowait(self, obj: object) -> None:
        """``put(obj, False)``."""
        self.put(obj, False)

    # ------------------------------------------------------------------------------------------------ getting
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Get the next object, with its own copies of its buffers: arrays in it can be written.

        With acknowledgement it is acknowledged when this returns; if unpickling it raises, it comes again.

        Args:
            block: False only tries.
            timeout: seconds; None for ever.

        Raises: Empty when the time is up (it is a :class:`queue.Empty`); ShutDown; InvalidContent: the message is no object, and
            is out of the queue; what unpickling raises; ClosedHandle (a ValueError), AccessDenied, OutOfResources as
            :meth:`namedshm.Queue.get`.
        """
        return self._received(self._queue._get_or_take(timeout if block else 0))

    def _received(self, message: Message | bytes) -> Any:
        if isinstance(message, bytes):
            if message.startswith(object_frame.PLAIN):
                return pickle.loads(message[8:])
            return self._loaded(memoryview(message), _own, None)
        return self._got(message)

    def _got(self, message: Message) -> Any:
        with message:
            return self._loaded(memoryview(message), _own, message)

    def get_nowait(self) -> Any:
        """``get(False)``."""
        return self.get(False)

    def take(self, timeout: float | None = None) -> Taken:
        """The next object where it lies, without a copy of its buffers: they are read-only, and the queue's again after the block.

            with frames.take() as frame:       # or, for asyncio: async with frames.take() as frame
                show(frame["image"])

        With acknowledgement it is acknowledged at the end of the block, and comes again if that raises, or this process dies.
        What refers to the buffers for longer than the block (an array that was kept) keeps their memory, which is one place less
        for others: ``copy()`` what is to stay.

        Args:
            timeout: seconds to wait for an object; None for ever.

        Raises: at the beginning of the block, as :meth:`get`.
        """
        return Taken(self, timeout)

    def _loaded(self, view: memoryview, own: Callable[[memoryview], Any] | None, message: Message | None) -> Any:
        """The object in a message; the views of it are released, but what the object itself refers to if it owns nothing."""
        slices: list[memoryview] = []
        try:
            try:
                pickled, buffers = object_frame.parts(view)
            except ValueError as error:
                if message is not None:  # it will never be an object: with acknowledgement, too, it does not come again
                    message.release()
                raise self._no_object(bytes(view[:8]), error) from None
            slices = [pickled, *buffers]
            return pickle.loads(pickled, buffers=buffers if own is None else map(own, buffers))
        finally:
            for one in slices[: 1 if own is None else None]:
                one.release()
            view.release()

    def _no_object(self, first: bytes, reason: ValueError) -> errors.InvalidContent:
        found = "" if first.startswith(object_frame.MAGIC) else f". It is {messages.kind(first)}"
        return errors.InvalidContent(
            f"A message of {label('queue', self.name)} cannot be got as an object, and is out of the queue: {reason}{found}",
            name=self.name,
            call="get",
        )

    def __iter__(self) -> Iterator[Any]:
        """Objects, until ShutDown."""
        while True:
            try:
                found = self.get()
            except ShutDown:
                return
            yield found

    # ------------------------------------------------------------------------------------------------ asyncio
    async def put_async(self, obj: object, timeout: float | None = None) -> None:
        """:meth:`put` for asyncio; cancelling it puts nothing."""
        queue = self._queue
        frame, pieces, size = self._framed(obj)
        if frame is not None:
            await queue.put_async(frame, timeout)
            return
        end = _end(timeout, "put_async", queue.name)
        loan = await queue.loan_async(size, timeout)
        try:
            with memoryview(loan) as window:
                _written(window, pieces)
            await loan.commit_async(_left(end))
        finally:
            loan.abandon()

    async def get_async(self, timeout: float | None = None) -> Any:
        """:meth:`get` for asyncio; cancelling it takes nothing."""
        return self._received(await self._queue._waiting("message", lambda: self._queue._get_or_take(0), timeout, "get_async"))

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Objects, until ShutDown."""
        while True:
            try:
                found = await self.get_async()
            except ShutDown:
                return
            yield found

    # ------------------------------------------------------------------------------------------------ the end
    def shutdown(self, immediate: bool = False) -> None:
        """As :meth:`namedshm.Queue.shutdown`: nothing can be put any more; getting ends when it is empty, or at once."""
        self._queue.shutdown(immediate)

    @property
    def is_shut_down(self) -> bool:
        """Whether :meth:`shutdown` was called, by anybody."""
        return self._queue.is_shut_down

    def join_thread(self) -> None:
        """For programs that used :class:`multiprocessing.Queue`: there is no thread, what was put is in the queue."""

    def cancel_join_thread(self) -> None:
        """For programs that used :class:`multiprocessing.Queue`: there is no thread, what was put is in the queue."""

    # ------------------------------------------------------------------------------------------------ looking
    def qsize(self) -> int:
        """How many objects can be got, about: others put and get meanwhile."""
        return self._queue.qsize()

    def empty(self) -> bool:
        """Whether there is no object at this moment."""
        return self._queue.empty()

    def full(self) -> bool:
        """Whether there is no room at this moment."""
        return self._queue.full()

    @property
    def capacity(self) -> int:
        """Objects it holds at most; what was asked for, rounded up to a power of two."""
        return self._queue.capacity

    @property
    def max_size(self) -> int:
        """Bytes of the largest object."""
        return self._queue.max_size

    @property
    def ack(self) -> bool:
        """Whether objects are acknowledged."""
        return self._queue.ack

    def participants(self) -> list[Participant]:
        """As :meth:`namedshm.Queue.participants`."""
        return self._queue.participants()

    def statistics(self) -> Statistics:
        """As :meth:`namedshm.Queue.statistics`."""
        return self._queue.statistics()

    def _facts(self) -> str:
        return self._queue._facts().replace("messages", "objects")

    def __reduce__(self) -> tuple[Callable[..., ObjectQueue], tuple[object, ...]]:
        return _restore, (type(self), *reference("queue", self._queue))


@unpickling()
def _restore(cls: type[ObjectQueue], name: str, identity: int, access: Access) -> ObjectQueue:
    opened = cls.open(name, access)
    if identity and opened.identity != identity:
        opened.close()
        raise stale(name)
    return opened


class Taken:
    """What :meth:`ObjectQueue.take` gives: a context manager, whose block has the object."""

    __slots__ = ("_message", "_queue", "_timeout")

    @property
    def redelivered(self) -> bool:
        """Whether it was taken before, by a consumer that died or gave it back: it may be done in part.  False before the block."""
        return self._message is not None and self._message.redelivered

    def __init__(self, queue: ObjectQueue, timeout: float | None) -> None:
        self._queue, self._timeout = queue, timeout
        self._message: Message | None = None

    def __enter__(self) -> Any:
        if self._message is not None:
            raise ValueError("An object is taken once: call take() for the next one")
        return self._entered(self._queue.queue.take(self._timeout))

    def _entered(self, message: Message) -> Any:
        self._message = message
        try:
            return self._queue._loaded(memoryview(message), None, message)
        except BaseException as error:
            message.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._message is not None:
            self._message.__exit__(kind, error, trace)

    async def __aenter__(self) -> Any:
        if self._message is not None:
            raise ValueError("An object is taken once: call take() for the next one")
        return self._entered(await self._queue.queue.take_async(self._timeout))

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)


# ------------------------------------------------------------------------------------------------------------ done, all of it
#: What a forked child has of its parent's: kept, for it is not the child's to complain that nobody released it.
_of_parents: list[object] = []


class JoinableObjectQueue(ObjectQueue):
    """In the place of :class:`multiprocessing.JoinableQueue`: who has got an object says when it is done with it.

    No counter is kept that a kill could make wrong: it is a queue with acknowledgement, and :meth:`task_done` is that.  So an
    object of a worker that died before it had said so is done by another one, and :meth:`join` waits for that.

    Arguments and attributes as of :class:`ObjectQueue`; ``ack`` is always on.
    """

    __slots__ = ("_pid", "_tasks")

    _tasks: deque[tuple[int, Message]]
    _pid: int

    def __init__(self, maxsize: int = 0, *, max_size: int = MAX_SIZE, ack: bool = True) -> None:
        if not ack:
            raise errors.InvalidArgument("A JoinableObjectQueue acknowledges: leave ack out, or use an ObjectQueue", call="create")
        super().__init__(maxsize, max_size=max_size, ack=True)

    @classmethod
    def create(
        cls,
        name: str | None = None,
        capacity: int = 1024,
        max_size: int = MAX_SIZE,
        *,
        exist_ok: bool = False,
        ack: bool = True,
        end_with_producers: bool = False,
        overflow: Literal["wait", "drop_oldest"] = "wait",
        chunks: int | None = None,
        participants: int = 256,
        mode: int = 0o600,
        group: str | int | None = None,
    ) -> Self:
        """As :meth:`ObjectQueue.create`; ``ack`` is always on.  With ``exist_ok`` InvalidArgument: the living one has none."""
        return super().create(
            name,
            capacity,
            max_size,
            exist_ok=exist_ok,
            ack=ack,
            end_with_producers=end_with_producers,
            overflow=overflow,
            chunks=chunks,
            participants=participants,
            mode=mode,
            group=group,
        )

    @classmethod
    def _of(cls, queue: Queue) -> Self:
        if not queue.ack:
            name = queue.name
            queue.close()
            raise errors.InvalidArgument(
                f"{label('queue', name)} has no acknowledgement, and cannot be joined: create it with ack=True",
                name=name,
                call="open",
            )
        return super()._of(queue)

    def _mine(self) -> deque[tuple[int, Message]]:
        """Objects that were got and are not done, with the thread that did; a forked child has none of its parent's."""
        if getattr(self, "_pid", None) != os.getpid():
            if hasattr(self, "_tasks"):
                _of_parents.append(self._tasks)
            self._tasks, self._pid = deque(), os.getpid()
        return self._tasks

    def _got(self, message: Message) -> Any:
        try:
            found = self._loaded(memoryview(message), _own, message)
        except BaseException:
            message.give_back()  # a no-op if it was released
            raise
        self._mine().append((threading.get_ident(), message))
        return found

    def task_done(self) -> None:
        """An object that was got is done: the first of this thread's, or else of this process's.

        Raises: ValueError: as often as objects were got it was said before.
        """
        tasks = self._mine()
        me = threading.get_ident()
        for task in list(tasks):
            if task[0] == me:
                try:
                    tasks.remove(task)
                except ValueError:  # another thread, which had none of its own, was faster
                    continue
                task[1].release()
                return
        try:
            task = tasks.popleft()
        except IndexError:
            raise ValueError("task_done() was called more often than objects were got here") from None
        task[1].release()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every object that was put is done, whoever got it.

        Nobody tells when that is: it is looked every 10 ms.

        Args:
            timeout: seconds; None for ever.

        Returns: whether all are done; False: the time was up.
        """
        end = _end(timeout, "join", self.name)
        nap = _FIRST_NAP
        while True:
            # An object is somebody's before it is out of the queue, and figures() looks at the queue first: none is overlooked.
            figures = self._queue.statistics()
            if not figures.waiting and not figures.held:
                return True
            left = _left(end)
            if left == 0:
                return False
            time.sleep(nap if left is None else min(nap, left))
            nap = min(2 * nap, _LONGEST_NAP)

    def close(self) -> None:
        """As of every handle.  What was got here and is not done is delivered again, to another process."""
        if getattr(self, "_pid", None) == os.getpid():
            while self._tasks:
                self._tasks.popleft()[1].give_back()
        super().close()
