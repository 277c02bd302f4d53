r"""Topics: the newest value by name, and a history of it, for any number of readers whom no writer waits for.

    camera = namedshm.Topic.create("camera", dtype="uint8", shape=(1080, 1920, 3))     # one process
    with camera.loan() as frame:
        driver.readinto(frame)

    with namedshm.Topic.open("camera") as camera:                                      # others
        for frame in camera:
            show(frame)

Values are bytes, NumPy arrays of one dtype and shape, or Arrow tables of one schema; who opens a topic needs its name only.  A kill
tears nothing and keeps nobody waiting.  Who is slow misses values, and is told how many: :mod:`namedshm.queue` loses none.
"""

from __future__ import annotations

import sys
import time

from . import aio, errors
from ._arguments import seconds, spinning
from ._arrival import opened

TYPE_CHECKING = False
if sys.platform != "linux":
    raise errors.Unsupported("Topics exist on Linux only, so far: use a Record for a small value, or a Queue", call="import")

assert sys.platform == "linux"  # elsewhere type checkers read no further

from ._backend import TopicHandle, TopicLoan, TopicView, backend, set_topic_classes  # noqa: E402
from ._compiled import describing  # noqa: E402
from ._holder import Holder, label, reference  # noqa: E402
from ._pickling.unavailable import unpickling  # noqa: E402
from .names import Name  # noqa: E402
from .queue import Empty, Full, ShutDown  # noqa: E402
from .section import stale  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Any, ClassVar, Literal, Self, TypeVar

    from ._backend.contract import Access, Codec, Which

    F = TypeVar("F", bound=Callable[..., object])

__all__ = ["Empty", "Full", "Loan", "Overrun", "Participant", "ShutDown", "Statistics", "Topic", "View"]

MAXIMUM_HISTORY = 1 << 16
MAXIMUM_SIZE = 1 << 40
MAXIMUM_PLACES = 64

_RAW, _ARRAY, _ARROW = range(3)  # schema_kind, as in docs/format-topic.md
_ALL_IN_RING = 1024  # bytes: values up to that long cost less in the ring, also where most are shorter
_INLINE = 224  # bytes in the ring, of a topic for longer ones: with what is told of a value that is four cache lines
_TABLE = 1 << 20  # bytes of a table, unless something else is said

ERROR_MORE_DATA = 234


def compiled(method: Any) -> Callable[[F], F]:
    return describing(method, __name__)


# ------------------------------------------------------------------------------------------------------------ errors
class Overrun(errors.NamedShmError):
    """A value was written over while it was read where it lay: whatever was computed of it does not count.

    Attributes:
        missed: how many values had come after it by then.
    """

    default_winerror: ClassVar[int] = ERROR_MORE_DATA
    default_errno: ClassVar[int] = 75  # EOVERFLOW
    missed: int = 0

    def __reduce__(self) -> tuple[object, ...]:
        rebuild, arguments = super().__reduce__()
        return rebuild, (*arguments[:-1], {**arguments[-1], "missed": self.missed})  # type: ignore[index, unused-ignore]  # as NamedShmError says


# ------------------------------------------------------------------------------------------------------------ windows
class View(TopicView):
    """A value where it lies, made by :meth:`Topic.view` and :meth:`Topic.pin`: a context manager, and a buffer to be read.

    ``with`` gives the view itself for topics of bytes (``memoryview(view)``, ``view[:4]``), an array or a table for others.

    **What was computed within the block counts only if the block ends without** :class:`Overrun`.  That is raised at its end if the
    value was written over meanwhile; also if the block itself raised an exception, for that may come of torn data.  A pinned view
    is never overtaken.  Short values are copied whole, and are as good as pinned.

    Attributes:
        number: the value's number in the topic, from 1 on.
        time: when it was published: seconds of ``time.monotonic()``.
        pinned: whether it cannot be overtaken.
        ended: whether its block is over, or it was released.
    """

    __slots__ = ()

    @compiled(TopicView.check)
    def check(self) -> None:
        """What was read of it up to now is what was published; else raise Overrun: no need to go on."""
        TopicView.check(self)

    @compiled(TopicView.release)
    def release(self) -> None:
        """End it now.  Raises Overrun, as the end of the block.  Twice is a no-op."""
        TopicView.release(self)

    def __enter__(self) -> Any:
        return TopicView.__enter__(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        TopicView.__exit__(self, kind, error, trace)

    def __repr__(self) -> str:
        state = "ended" if self.ended else "pinned" if self.pinned else "may be overtaken"
        return f"<namedshm.topic.View of value {self.number}, {len(self)} bytes, {state}>"


class Loan(TopicLoan):
    """Memory for a value, made by :meth:`Topic.loan`: a buffer to be written (``loan[:5] = b"hello"``, ``file.readinto(loan)``).

    As a context manager it is published at the end of the block, and an exception abandons it.  What it holds at first is anything.

    Attributes:
        length: bytes to be published, at first all.
        ended: whether it was published or abandoned.
    """

    __slots__ = ()

    @compiled(TopicLoan.commit)
    def commit(self, timeout: float | None = None) -> None:
        """Publish the first ``length`` bytes.  After an error the loan is as it was.

        Args:
            timeout: seconds to wait while others publish; None for ever, 0 only tries.

        Raises: Full, ShutDown; ClosedHandle; BufferError: a memoryview or an array of it is still there, and could change the
            value afterwards.
        """
        TopicLoan.commit(self, timeout)

    @compiled(TopicLoan.abandon)
    def abandon(self) -> None:
        """Publish nothing.  Twice is a no-op."""
        TopicLoan.abandon(self)

    def __enter__(self) -> Self:
        TopicLoan.__enter__(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        TopicLoan.__exit__(self, kind, error, trace)

    def __repr__(self) -> str:
        return f"<namedshm.topic.Loan of {len(self)} bytes{', ended' if self.ended else ''}>"


def _codec(topic: Topic) -> Codec:
    from . import _topic_values  # what it needs is heavy

    return _topic_values.codec(topic)


set_topic_classes(Full, Empty, ShutDown, Overrun, View, Loan, _codec)


# ------------------------------------------------------------------------------------------------------------ looking
class Participant:
    """Who writes or pins: one for each value that a handle fills or pins at one time.  Who only reads is none.

    Attributes:
        pid: of its process, as that process sees it.
        uid: its user; None in ``Local``, where all are the same.
        role: ``"writer"`` or ``"pinner"``.
        alive: whether its process lives; None if the system could not tell.
    """

    __slots__ = ("alive", "pid", "role", "uid")

    pid: int
    uid: int | None
    role: Literal["writer", "pinner"]
    alive: bool | None

    def __init__(self, pid: int, uid: int | None, role: Literal["writer", "pinner"], alive: bool | None) -> None:
        self.pid, self.uid, self.role, self.alive = pid, uid, role, alive

    def __repr__(self) -> str:
        state = {True: "", False: ", dead", None: ", perhaps alive"}[self.alive]
        return f"<{self.role} in process {self.pid}{state}>"


class Statistics:
    """What went through a topic, of about one moment.

    Attributes:
        published: values since it was made: the number of the last one.
        published_bytes: their bytes.
        age: seconds since the last one; None if there is none.
        waiting: threads that sleep for a value.
        loaned: values that are being filled.
        pinned: values that readers have pinned.
        free_frames: places for long values that nobody needs.
    """

    __slots__ = ("age", "free_frames", "loaned", "pinned", "published", "published_bytes", "waiting")

    published: int
    published_bytes: int
    age: float | None
    waiting: int
    loaned: int
    pinned: int
    free_frames: int

    def __init__(self, figures: tuple[int, ...], waiting: int) -> None:
        self.published, self.published_bytes, last, self.free_frames, self.loaned, self.pinned = figures[:6]
        self.age = max(time.monotonic() - last / 1e9, 0.0) if last else None
        self.waiting = waiting

    def __repr__(self) -> str:
        return f"<Statistics {', '.join(f'{name} {getattr(self, name)}' for name in type(self).__annotations__)}>"


# ------------------------------------------------------------------------------------------------------------ the topic
class Topic(TopicHandle, Holder):
    """A handle to a topic; made by :meth:`create` and :meth:`open`.

    Each handle is one reader, with a position of its own; its threads share it.  A child made by ``fork`` uses what it inherited,
    as itself; pickling sends name and identity.

    Attributes:
        name: as given; None for an unnamed topic.
        access: ``"write"``, or ``"read"``: to read without pinning.
        created: whether this call made the topic (False: it was there, its settings stayed as they were).
        identity: a 64-bit number no other topic ever has.
        closed: whether this handle was closed.
        max_size: bytes of the longest value.
        history: how many values can be read, the last ones.
        pins: how many can be pinned at one time, by all readers together.
        writers: how many can be filled at one time, by all writers together.
        end_with_writers: whether it is over when all its writers are gone.
        position: the number of the value that was read last with this handle; can be set: the next one is that after it.
        missed: how many values this handle has passed over, between those it has read.
        lag: how many values are newer than the one that was read last.
    """

    __slots__ = ()

    # -------------------------------------------------------------------------------------------------- making, opening
    @classmethod
    def create(
        cls,
        name: str | None = None,
        *,
        max_size: int | None = None,
        dtype: Any = None,
        shape: Any = None,
        schema: Any = None,
        history: int = 8,
        exist_ok: bool = False,
        end_with_writers: bool = False,
        pins: int = 16,
        writers: int = 8,
        mode: int = 0o600,
        group: str | int | None = None,
    ) -> Self:
        r"""Create a topic of arrays with ``dtype`` and ``shape``, of Arrow tables with ``schema``, or else of bytes.

        Args:
            name: as in :func:`namedshm.create`; None for an unnamed topic, which forked children inherit.
            max_size: bytes of the longest value, 1 to 2**40; 65,536 unless something is said, 1 MiB for tables (each is an Arrow
                file).  Memory is taken as it is used.
            dtype, shape: of every value; a dtype alone is one element.  No Python objects.
            schema: a ``pyarrow.Schema``.
            history: how many values can be read, the last ones, 1 to 65,536.  Who is slower by more than that misses some.
            exist_ok: open a living topic of that name instead of raising; its settings stay as they are.
            end_with_writers: when all who have published are gone, closed or killed, waiting raises ShutDown.
            pins: how many values can be pinned at one time, 0 to 64.
            writers: how many can be filled at one time, 1 to 64; each handle that publishes takes one of them.
            mode, group: who else may use a ``Global`` topic, as in :func:`namedshm.create`: 0o666 everybody; with 0o644 others may
                read.

        Raises: AlreadyExists, AccessDenied, WrongType, InvalidName, OutOfResources, Unsupported; InvalidArgument, also: with
            ``exist_ok`` a topic of other values was there.
        """
        history = _number("history", history, 1, MAXIMUM_HISTORY, name)
        pins = _number("pins", pins, 0, MAXIMUM_PLACES, name)
        writers = _number("writers", writers, 1, MAXIMUM_PLACES, name)
        if type(mode) is not int or mode & ~0o666:
            raise errors.InvalidArgument(
                f"mode {mode!r}: use read and write bits only, for example 0o666", name=name, call="create"
            )
        kind, said, size = _schema(name, max_size, dtype, shape, schema)
        inline = size if size <= _ALL_IN_RING else 0 if kind == _ARRAY else _INLINE
        parsed = None if name is None else Name(name)
        made = backend.create_topic(
            *(cls, parsed, bool(exist_ok), mode, group, history, inline, pins, writers, int(bool(end_with_writers)), size),
            *(kind, said),
        )
        if not made.created and (made.schema_kind, made.schema_bytes()) != (kind, said):
            there = in_words(made)
            made.close()
            raise errors.InvalidArgument(
                f"The {label('topic', name)} exists already, and has {there}: open() it, or create one with another name",
                name=name,
                call="create",
            )
        return made

    @classmethod
    def open(cls, name: str, access: Access = "write", *, wait: float | None = 0) -> Self:
        """Open the living topic of that name; what its values are it tells itself.

        Args:
            access: ``"write"``, or ``"read"``: all but publishing and pinning; enough for who may only read a ``Global`` topic.
            wait: seconds to wait until somebody creates it; None for ever.

        Raises: NotFound, WrongType (the name is held by another type), AccessDenied, InvalidName, InvalidArgument.
        """
        if access not in ("write", "read"):
            raise errors.InvalidArgument(f"access {access!r}: use 'write' or 'read'", name=name, call="open")
        if name is None:
            raise errors.InvalidArgument("open() needs a name: unnamed objects cannot be opened", call="open")
        parsed = Name(name)
        if wait == 0:
            return backend.open_topic(cls, parsed, access)
        return opened(lambda: backend.open_topic(cls, parsed, access), parsed.is_global, wait, name)

    @compiled(TopicHandle.close)
    def close(self) -> None:
        """Close the handle: the name goes if it was the last one anywhere, and with it the values.  Twice is a no-op.

        Windows of this handle stay readable until they end; a call that waits in another thread raises ClosedHandle soon.
        """
        TopicHandle.close(self)

    # -------------------------------------------------------------------------------------------------- what values are
    @property
    def kind(self) -> Literal["bytes", "array", "table", "other"]:
        """What its values are; "other": of another program, whose schema nobody here knows."""
        kinds: tuple[Literal["bytes", "array", "table"], ...] = ("bytes", "array", "table")
        return kinds[self.schema_kind] if self.schema_kind < len(kinds) else "other"

    @property
    def dtype(self) -> Any:
        """Of arrays; None for others.  Raises InvalidContent: the schema is damaged."""
        return self._codec.layout.dtype if self.schema_kind == _ARRAY else None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of arrays; None for others.  Raises InvalidContent: the schema is damaged."""
        found: tuple[int, ...] | None = self._codec.layout.shape if self.schema_kind == _ARRAY else None
        return found

    @property
    def schema(self) -> Any:
        """The ``pyarrow.Schema`` of tables; None for others.  Raises InvalidContent: it is damaged."""
        return self._codec.arrow_schema if self.schema_kind == _ARROW else None

    @property
    def _codec(self) -> Any:
        return self.codec

    # -------------------------------------------------------------------------------------------------- publishing
    @compiled(TopicHandle.publish)
    def publish(self, data: Any, timeout: float | None = None) -> None:
        """Publish a value: it is copied, and the newest from then on.  No reader is waited for.

        Args:
            data: bytes, or any buffer in one piece, of ``max_size`` bytes at most; of a topic of arrays an array of its dtype and
                shape; of one of tables a table, record batch or frame of its schema.
            timeout: seconds to wait while ``writers`` others fill values, or one publishes; None for ever, 0 only tries.

        Raises: InvalidArgument (too long; another dtype, shape or schema); TypeError; Full when the time is up; ShutDown;
            ClosedHandle; AccessDenied (a handle for reading); OutOfResources (too many write).
        """
        TopicHandle.publish(self, data, timeout)

    def loan(self, timeout: float | None = None, *, size: int | None = None) -> AbstractContextManager[Any]:
        """Borrow memory to write a value where it will lie, without a copy; it is published at the end of the block.

            with camera.loan() as frame:
                driver.readinto(frame)

        The block gets a :class:`Loan`, or of a topic of arrays an array.  An exception abandons it.  While it is filled nobody
        waits for it, and what it holds at first is anything.

        Args:
            timeout: seconds to wait while ``writers`` others fill values, and at the end while others publish.
            size: of a topic of bytes: how many; None: ``max_size``.

        Raises: as :meth:`publish`; Unsupported for tables; at the end of the block BufferError: a view of the array, or a
            memoryview, is still there, and could change what was published.  Then nothing is.
        """
        if self.schema_kind == _RAW:
            return TopicHandle._lend(self, size, timeout)
        codec = self._codec
        if size is not None:
            raise errors.InvalidArgument("size is for topics of bytes: arrays are all of one", name=self.name, call="loan")
        if self.schema_kind == _ARROW:
            codec.lent(self, timeout)
        loan: AbstractContextManager[Any] = codec.lent(TopicHandle._lend(self, codec.size, timeout), timeout)
        return loan

    # -------------------------------------------------------------------------------------------------- reading
    @compiled(TopicHandle.latest)
    def latest(self, timeout: float | None = None, *, new: bool = False) -> Any:
        """The newest value: bytes, an array or a table of its own, never torn.

        Args:
            timeout: seconds to wait if there is none; None for ever, 0 only tries.
            new: it must be one that was not read with this handle; else it is waited for.

        Raises: Empty when the time is up; ShutDown: there is none, and will be none; Overrun: it was overtaken again and again
            while it was copied, and could not be pinned; InvalidContent: its writer does not keep to the schema; ClosedHandle.
        """
        return TopicHandle.latest(self, timeout, new=new)

    @compiled(TopicHandle.next)
    def next(self, timeout: float | None = None) -> Any:
        """The value after the one that was read last, or the oldest that is still there; ``missed`` counts what is passed over.

        The first of a handle is the newest there was when it was opened.  Arguments and errors as of :meth:`latest`.
        """
        return TopicHandle.next(self, timeout)

    @compiled(TopicHandle.latest_into)
    def latest_into(self, out: Any, timeout: float | None = None, *, new: bool = False) -> int:
        """:meth:`latest`, copied to what is there: a buffer that is long enough, or an array of the topic's dtype and shape.

        Returns: how many bytes.  After an error anything may be in it.

        Raises: as :meth:`latest`; InvalidArgument: it does not fit, and nothing counts as read; TypeError; Unsupported for tables.
        """
        return TopicHandle.latest_into(self, out, timeout, new=new)

    @compiled(TopicHandle.next_into)
    def next_into(self, out: Any, timeout: float | None = None) -> int:
        """:meth:`next`, as :meth:`latest_into`."""
        return TopicHandle.next_into(self, out, timeout)

    @compiled(TopicHandle.view)
    def view(self, timeout: float | None = None, *, which: Which = "latest") -> View:
        """A value where it lies, without a copy and without a right to write.  It may be overtaken while it is read.

            try:
                with camera.view() as frame:
                    brightness = frame.mean()
            except Overrun:
                ...  # brightness does not count

        **What was computed within the block counts only if the block ends without** :class:`Overrun`.  What refers to the array
        after the block shows whatever lies there by then: copy what is to stay.

        Args:
            timeout: as of :meth:`latest`.
            which: ``"latest"``, the newest; ``"new"``, the newest that was not read with this handle; ``"next"``, as :meth:`next`.

        Raises: as :meth:`latest`; Unsupported for tables.
        """
        return TopicHandle.view(self, timeout, which=which)  # type: ignore[return-value, unused-ignore]  # what set_topic_classes() said

    @compiled(TopicHandle.pin)
    def pin(self, timeout: float | None = None, *, which: Which = "latest") -> View:
        """The same, and nobody writes over it until the block ends.  Needs access ``"write"``.

        No writer waits for it.  What refers to the array or the table for longer than the block keeps the pin.

        Raises: as :meth:`latest`; AccessDenied: a handle for reading; OutOfResources: all ``pins`` are in use.
        """
        return TopicHandle.pin(self, timeout, which=which)  # type: ignore[return-value, unused-ignore]  # as above

    def __iter__(self) -> Iterator[Any]:
        """Values as :meth:`next` gives them, until ShutDown."""
        while True:
            try:
                value = self.next()
            except ShutDown:
                return
            yield value

    # -------------------------------------------------------------------------------------------------- asyncio
    # What cannot be done at once is watched by one thread for all waits of the process (aio.py).  Publishing waits for no reader,
    # so it needs nothing of its own.

    async def latest_async(self, timeout: float | None = None, *, new: bool = False) -> Any:
        """:meth:`latest` for asyncio; cancelling it reads nothing."""
        return await self._waiting(not new, lambda: self.latest(0, new=new), timeout, "latest_async")

    async def next_async(self, timeout: float | None = None) -> Any:
        """:meth:`next` for asyncio; cancelling it reads nothing."""
        return await self._waiting(False, lambda: self.next(0), timeout, "next_async")

    async def view_async(self, timeout: float | None = None, *, which: Which = "latest") -> View:
        """:meth:`view` for asyncio: ``with await topic.view_async() as window``."""
        view: View = await self._waiting(which == "latest", lambda: self.view(0, which=which), timeout, "view_async")
        return view

    async def pin_async(self, timeout: float | None = None, *, which: Which = "latest") -> View:
        """:meth:`pin` for asyncio: ``with await topic.pin_async() as window``."""
        view: View = await self._waiting(which == "latest", lambda: self.pin(0, which=which), timeout, "pin_async")
        return view

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Values as :meth:`next_async` gives them, until ShutDown."""
        while True:
            try:
                value = await self.next_async()
            except ShutDown:
                return
            yield value

    async def _waiting(self, anything: bool, attempt: Callable[[], Any], timeout: float | None, call: str) -> Any:
        patience = seconds(timeout, call, self.name)
        polled = backend.begin_topic_wait(self, anything, attempt)
        try:
            got = await aio.polled_until(polled, patience)
        finally:
            polled.end()
        return attempt() if got is None else got[0]  # which says what is missing

    # -------------------------------------------------------------------------------------------------- the end
    @compiled(TopicHandle.shutdown)
    def shutdown(self) -> None:
        """From now on publishing raises ShutDown, for everybody, and so does waiting.  The last values can be read on.

        Whoever waits is told.  There is no way back.
        """
        TopicHandle.shutdown(self)

    @property
    def is_shut_down(self) -> bool:
        """Whether :meth:`shutdown` was called, by anybody."""
        return self.figures()[6]

    @compiled(TopicHandle.take_part)
    def take_part(self) -> None:
        """Be a writer before the first value: for ``end_with_writers``, which does not know of one before that.

        Raises: ClosedHandle; AccessDenied (a handle for reading); OutOfResources (too many write).
        """
        TopicHandle.take_part(self)

    # -------------------------------------------------------------------------------------------------- looking
    def participants(self) -> list[Participant]:
        """Who writes and who pins.  The dead are among them until somebody misses something."""
        is_global = self.name is not None and Name(self.name).is_global
        return [
            Participant(pid, uid if is_global else None, "writer" if role == 2 else "pinner", alive)
            for pid, uid, role, alive in self.participants_now()
        ]

    def statistics(self) -> Statistics:
        """What went through it.  Asks the kernel who waits."""
        return Statistics(self.figures(), self.waiting())

    @property
    def spin(self) -> float:
        """Seconds that calls of this handle try before they sleep; at first 0.00002.  Can be set."""
        return self.spin_ns / 1e9

    @spin.setter
    def spin(self, seconds: float) -> None:
        self.spin_for(int(spinning(seconds, "spin") * 1e9))

    def _facts(self) -> str:
        if self.closed:
            return f": {self.kind} of {self.max_size} bytes at most"
        published, *_, shut = self.figures()
        return f": {in_words(self)}, {published} published{', shut down' if shut else ''}"

    def __reduce__(self) -> tuple[Callable[..., Topic], tuple[object, ...]]:
        return _restore, (type(self), *reference("topic", self))


@unpickling()
def _restore(cls: type[Topic], name: str, identity: int, access: Access) -> Topic:
    opened = cls.open(name, access)
    if identity and opened.identity != identity:
        opened.close()
        raise stale(name)
    return opened


def in_words(topic: Topic) -> str:
    """What its values are; also where numpy or pyarrow is not installed, or the schema is damaged."""
    if topic.kind in ("array", "table"):
        try:
            words: str = topic._codec.words()
        except (ImportError, errors.InvalidContent):
            return f"{topic.kind}s of {topic.max_size} bytes at most"
        return words
    return f"values of {topic.max_size} bytes at most" + ("" if topic.kind == "bytes" else ", of another program")


def _schema(name: str | None, max_size: int | None, dtype: Any, shape: Any, schema: Any) -> tuple[int, bytes, int]:
    """The kind, the schema and the longest value of a new topic."""
    if max_size is not None:
        max_size = _number("max_size", max_size, 1, MAXIMUM_SIZE, name)
    if dtype is None and shape is None:
        if schema is None:
            return _RAW, b"", 65536 if max_size is None else max_size
        from ._topic_values import Tables

        return _ARROW, Tables.made_of(name, schema).schema, _TABLE if max_size is None else max_size
    if schema is not None or max_size is not None or dtype is None:
        raise errors.InvalidArgument(
            "A topic is of bytes (max_size), of arrays (dtype and shape say how long they are), or of tables (schema and max_size)",
            name=name,
            call="create",
        )
    from ._topic_values import Arrays

    arrays = Arrays.made_of(name, dtype, () if shape is None else shape)
    if arrays.size > MAXIMUM_SIZE:
        raise errors.InvalidArgument(f"An array of {arrays.size} bytes: use {MAXIMUM_SIZE} at most", name=name, call="create")
    return _ARRAY, arrays.schema, max(arrays.size, 1)


def _number(what: str, value: int, least: int, most: int, name: str | None) -> int:
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{what} must be a whole number, not {type(value).__name__}")
    number = value.__index__()
    if not least <= number <= most:
        raise errors.InvalidArgument(f"{what}={number}: use {least} to {most}", name=name, call="create")
    return number
