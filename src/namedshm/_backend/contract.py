"""What every backend does.  The docstrings here are the specification; the backends hold no second copy of it.

The seam is at kernel objects.  Object, handle, view and attachment are four things:

* an *object* lives in the system and is not represented here;
* a :class:`SectionHandle` keeps an object's name alive, and its memory;
* a :class:`~namedshm._core.Mapping` is a range of bytes of it in this process, and keeps the memory alive, not the name;
* an attachment is how a backend holds memory mapped; mappings share one where they can, and the last one to go unmaps it.

Preconditions of every call, checked by the caller (``section.py``): names are valid, sizes and lengths positive and below
2**63, offsets multiples of :attr:`Backend.granularity`, ranges within the page-rounded size, access one of the listed strings
and not more than the handle has.  Backends check only what the system alone can know.

Failures are raised as :mod:`namedshm.errors`, complete with name, call and remedy.  A failed call leaves nothing behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from namedshm._core import Mapping, Pager
    from namedshm.names import Name

    M = TypeVar("M", bound=Mapping)
    S = TypeVar("S", bound="SyncHandle")
    Q = TypeVar("Q", bound="QueueHandle")
    T = TypeVar("T", bound="TopicHandle")

#: Access of a handle: ``"read"`` or ``"write"`` (read and write).  Of a view also ``"copy"``: reads see the section, the first
#: write to a page makes that page private (copy-on-write), as FILE_MAP_COPY does.
Access = Literal["read", "write"]
ViewAccess = Literal["read", "write", "copy"]


#: Huge pages for a section's memory: where the system gives them, or else no section.
HugePages = Literal["try", "require"]

#: Whether pages must be committed before use; ``"touch"``: they need not, and no memory is set aside for them before.
Reserve = Literal[False, True, "touch"]


class SectionHandle(Protocol):
    """One open handle to a section.  Closed at most once; used by one thread at a time or under the GIL."""

    @property
    def name(self) -> str | None:
        """The name as given when it was created or opened; None for an unnamed section."""

    @property
    def size(self) -> int:
        """Bytes asked for at creation, exact, also on the opener's side.  Page-rounded where the creator was a program that
        does not tell (a plain Win32 program)."""

    @property
    def access(self) -> Access: ...

    @property
    def created(self) -> bool:
        """Whether this handle's call made the object (False: opened, or create met an existing one)."""

    @property
    def identity(self) -> int:
        """64 bits that no other object of this name ever has; 0 where the creator does not tell."""

    @property
    def writable(self) -> bool:
        """Whether the object can be mapped writable at all (False: created read-only, as PAGE_READONLY)."""

    @property
    def executable(self) -> bool:
        """Whether the object was created executable."""

    @property
    def reserved(self) -> bool:
        """Whether pages must be committed before use (SEC_RESERVE)."""

    @property
    def closed(self) -> bool: ...

    def map(self, kind: type[M], offset: int, length: int, access: ViewAccess, executable: bool) -> M:
        """Map bytes ``[offset, offset + length)`` as a new ``kind`` (a Mapping subclass).  It outlives the handle.

        Raises: OutOfResources, AccessDenied, Unsupported.
        """

    def duplicate(self, access: Access) -> SectionHandle:
        """A second handle to the same object with the same or less access."""

    def close(self) -> None:
        """Close the handle now: the name goes if it was the last one.  Mappings stay.  Closing twice is a no-op."""


#: What a handle to a synchronisation object may do: "wait" (Windows' SYNCHRONIZE), "modify" (MODIFY_STATE), or both.
SyncAccess = Literal["full", "wait", "modify"]
Kind = Literal["mutex", "event", "semaphore"]


class SyncHandle(Protocol):
    """One open handle to a mutex, event or semaphore.  Operations other than those of its kind are not called."""

    @property
    def name(self) -> str | None: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def access(self) -> SyncAccess: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    @property
    def closed(self) -> bool: ...

    def look(self) -> tuple[bool, int, int | None]:
        """What it is at this moment: whether a wait would succeed (of a mutex: nobody owns it); a semaphore's count (of a mutex: 1
        if its owner died and nobody was told); the number of the thread that owns a mutex, None if nobody does or the system
        does not tell."""

    def acquire_mutex(self, timeout: float | None = None, *, on_abandoned: str = "tell", spin: float = ...) -> Any:
        """``Mutex.acquire``, in C for the uncontended case; returns what ``set_acquisitions`` was given."""

    def wait_event(self, timeout: float | None = None, *, spin: float = ...) -> bool:
        """``Event.wait``, in C for the quick case."""

    def acquire_semaphore(self, timeout: float | None = None, *, spin: float = ...) -> bool:
        """``Semaphore.acquire``, in C for the quick case."""

    def release_mutex(self) -> None:
        """Raises NotOwned."""

    def mutex_depth(self) -> int:
        """How often this thread has acquired the mutex and not released it; needs a handle that may modify it."""

    def set_event(self) -> None: ...
    def reset_event(self) -> None: ...
    def pulse_event(self) -> None: ...
    def release_semaphore(self, count: int) -> int:
        """Add ``count`` (at least 1); the count before.  Raises LimitExceeded, and then nothing has changed."""

    def duplicate_as(self, access: SyncAccess) -> Self: ...
    def close(self) -> None:
        """Close the handle now.  A mutex owned by a thread stays owned.  Closing twice is a no-op."""


class QueueHandle(Protocol):
    """One open handle to a queue.  Threads may use it at once; each handle that puts or takes is one participant.

    Messages are bytes.  Times are seconds, None for ever, 0 to try only; Ctrl-C and other signals are handled while a call waits.
    The classes that ``set_queue_classes`` was given are raised as Full (no room, or no chunk), Empty (no message) and ShutDown.
    The other errors: ClosedHandle; AccessDenied (of a read-only handle all that changes the queue); InvalidArgument (a message
    longer than ``max_size``); TypeError (no buffer in one piece, or text); OutOfResources (as many take part as there is room for;
    a process was stopped in the midst).
    """

    @property
    def name(self) -> str | None: ...
    @property
    def access(self) -> Access: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    @property
    def closed(self) -> bool: ...

    # As it was made, whoever made it; private copies, valid also when it is closed.
    @property
    def capacity(self) -> int: ...
    @property
    def max_size(self) -> int: ...
    @property
    def slot_size(self) -> int: ...
    @property
    def chunks(self) -> int: ...
    @property
    def max_participants(self) -> int: ...
    @property
    def modes(self) -> tuple[bool, bool, bool]:
        """Whether it acknowledges, ends with its producers, drops the oldest."""

    @property
    def spin_ns(self) -> int:
        """Nanoseconds that calls of this handle try before they sleep."""

    def spin_for(self, nanoseconds: int, /) -> None: ...
    def put(self, data: Any, timeout: float | None = None) -> None: ...
    def put_nowait(self, data: Any) -> None: ...
    def put_many(self, messages: Any, timeout: float | None = None) -> int:
        """How many were put: all.  Full and ShutDown say in ``done`` how many were before."""

    def get(self, timeout: float | None = None) -> bytes: ...
    def get_nowait(self) -> bytes: ...
    def get_many(self, most: int, timeout: float | None = None) -> list[bytes]:
        """The first message, and with it as many as are there."""

    def get_into(self, buffer: Any, timeout: float | None = None) -> int: ...
    def take(self, timeout: float | None = None) -> Any:
        """A message where it lies: of the class that ``set_queue_classes`` was given, a subclass of native's."""

    def _get_or_take(self, timeout: float | None = None) -> Any:
        """The bytes of a message that lay in a slot; of one in a chunk the same as :meth:`take`."""

    def loan(self, size: int | None = None, timeout: float | None = None) -> Any:
        """Memory for a message to be written where it will lie; as above."""

    def take_part(self, role: Literal["producer", "consumer"]) -> None: ...
    def shutdown(self, immediate: bool = False) -> None: ...
    def look(self) -> tuple[int, int, int]:
        """(messages in the queue, messages that were given back, how it was shut down: 0 not, bit 0 for putting, bit 1 for taking,
        and then there are none).  A handle for reading may."""

    def figures(self) -> tuple[int, ...]:
        """The fields of ``queue.Statistics``, in that order."""

    def participants_now(self) -> list[tuple[int, int, int, bool | None]]:
        """(pid, user or 0, roles: 1 producer and 2 consumer added up, whether it lives or None if that could not be told)."""

    def close(self) -> None:
        """Leave and close.  Who waits with this handle in another thread is told that it is closed.  Twice is a no-op."""


#: Which value a window shows: the newest; the newest that was not read with this handle; the one after the one read last.
Which = Literal["latest", "new", "next"]


class Codec(Protocol):
    """What makes values of a topic's bytes, and bytes of values; it knows no topic.  Topics of plain bytes have none."""

    def publish(self, topic: Any, data: Any, timeout: float | None) -> None:
        """Check a value and publish its bytes.  Raises InvalidArgument, TypeError; what ``publish_buffer`` and ``_lend`` raise."""

    def room(self, topic: Any, length: int) -> Any:
        """A writable buffer of that many bytes, to be copied to.  Raises InvalidContent: no value has so many."""

    def made(self, topic: Any, room: Any) -> Any:
        """The value in such a buffer.  Raises InvalidContent."""

    def target(self, topic: Any, out: Any) -> Any:
        """A writable buffer of what the caller wants filled.  Raises InvalidArgument, TypeError, Unsupported."""

    def viewed(self, topic: Any) -> None:
        """Raises Unsupported: a value that may change while it is looked at would be no safe one."""

    def shown(self, topic: Any, window: Any) -> Any:
        """The value in a window, without a copy.  Raises InvalidContent."""


class TopicHandle(Protocol):
    """One open handle to a topic.  Threads may use it at once; for them it is one reader.

    Times are as for queues.  The classes that ``set_topic_classes`` was given are raised as Full (no frame), Empty (no newer
    value), ShutDown and Overrun (a value was written over while it was read).  The other errors: ClosedHandle; AccessDenied (of a
    read-only handle publishing and pinning); InvalidArgument (a value longer than ``max_size``); TypeError (no buffer in one
    piece, or text); OutOfResources (as many write or pin as there is room for; a process was stopped in the midst).
    """

    @property
    def name(self) -> str | None: ...
    @property
    def access(self) -> Access: ...
    @property
    def created(self) -> bool: ...
    @property
    def identity(self) -> int: ...
    @property
    def closed(self) -> bool: ...

    # As it was made, whoever made it; private copies, valid also when it is closed.
    @property
    def history(self) -> int: ...
    @property
    def max_size(self) -> int: ...
    @property
    def pins(self) -> int: ...
    @property
    def writers(self) -> int: ...
    @property
    def end_with_writers(self) -> bool: ...
    @property
    def schema_kind(self) -> int:
        """0 bytes, 1 arrays, 2 Arrow tables; others may be there, of other programs."""

    def schema_bytes(self) -> bytes: ...
    @property
    def codec(self) -> Codec | None:
        """What ``set_topic_classes`` was given made of the schema; None: values are bytes."""

    @property
    def spin_ns(self) -> int: ...
    def spin_for(self, nanoseconds: int, /) -> None: ...
    def publish(self, data: Any, timeout: float | None = None) -> None: ...
    def publish_buffer(self, data: Any, timeout: float | None = None) -> None:
        """A value's bytes, whatever the schema says."""

    def _lend(self, size: int | None = None, timeout: float | None = None) -> Any:
        """Memory for a value to be written where it will lie: of the class that ``set_topic_classes`` was given."""

    def latest(self, timeout: float | None = None, *, new: bool = False) -> Any: ...
    def next(self, timeout: float | None = None) -> Any: ...
    def latest_into(self, out: Any, timeout: float | None = None, *, new: bool = False) -> int: ...
    def next_into(self, out: Any, timeout: float | None = None) -> int: ...
    def view(self, timeout: float | None = None, *, which: Which = "latest") -> Any:
        """A value where it lies, which may be overtaken; of the class that ``set_topic_classes`` was given."""

    def pin(self, timeout: float | None = None, *, which: Which = "latest") -> Any:
        """The same, kept until it is given up."""

    position: int

    @property
    def missed(self) -> int: ...
    @property
    def lag(self) -> int: ...
    def take_part(self) -> None: ...
    def shutdown(self) -> None: ...
    def figures(self) -> tuple[int, int, int, int, int, int, bool]:
        """published, bytes, when the last was (monotonic nanoseconds; 0: never), frames free, lent, pinned; whether shut down."""

    def waiting(self) -> int:
        """How many threads sleep for a value."""

    def participants_now(self) -> list[tuple[int, int, int, bool | None]]:
        """(pid, user or 0, role: 1 pins, 2 writes; whether it lives or None if that could not be told)."""

    def close(self) -> None:
        """Leave and close, as of a queue."""


class PolledWait(Protocol):
    """A wait that is polled instead of slept in."""

    def __len__(self) -> int: ...
    def poll(self) -> tuple[int, int] | None:
        """As :meth:`Backend.wait`, or None if it does not succeed now.  What is acquired is the calling thread's.

        Not called while a watcher watches it; what a watcher took for it is the result.
        """


#: What a wait for a queue is for: a long message needs a chunk, and then room.
Awaited = Literal["message", "room", "chunk", "chunk and room"]


class PolledQueueWait(Protocol):
    """A wait for a queue that is polled instead of slept in."""

    def __len__(self) -> int: ...
    def poll(self) -> tuple[Any] | None:
        """(what the try gave,), or None where it raised Full or Empty; raises what else it raised.  ClosedHandle."""

    def end(self) -> None:
        """The wait is over, with whatever outcome, and watched no more: a wake-up that came for it goes to somebody else, if there
        is something for him."""


class Watcher(Protocol):
    """Sleeps for many polled waits at once."""

    @property
    def wakes(self) -> int:
        """How often its threads woke up; where nothing happens they sleep."""

    def add(self, wait: Any) -> bool:
        """Watch it, or False if it cannot sleep for so many.  Where a system cannot watch without taking, it takes for the wait.

        Raises: ClosedHandle; AccessDenied (no right to give back what is taken); OutOfResources.
        """

    def remove(self, wait: Any) -> None:
        """Watch it no more, if it is watched.  From here on nothing is taken for it, and nothing that was is lost: what
        :meth:`PolledWait.poll` has not fetched was given back."""

    def ready(self) -> list[Any]:
        """Sleep until something happens; the waits that deserve a poll now, which are watched no more.  Called by one thread."""


class Arrivals(Protocol):
    """A moment in the life of a namespace."""

    def wait(self, seconds: float | None) -> None:
        """Sleep until a name was published since that moment, at most ``seconds``, and perhaps less.  Signal handlers run."""


class ObjectInfo(NamedTuple):
    """A snapshot of one living object, taken without opening it."""

    name: str  # with Global\ prefix where it applies
    type: Literal["section", "mutex", "event", "semaphore", "queue", "topic"]  # "topic": of C and C++ programs
    size: int  # bytes; 0 for synchronisation objects
    handles: int | None  # open handles in all processes; None: the system does not tell
    mappings: int | None  # attachments of the memory, by handles and views together; None: not told
    creator_pid: int | None
    creator_uid: int | None
    created: float | None  # seconds since the epoch
    mode: int | None  # permission bits
    resident: int | None  # bytes of memory really used
    identity: int


class Backend(Protocol):
    """One operating system's way."""

    #: Offsets of views are multiples of this (bytes): 65,536, Windows' allocation granularity, on every system.
    granularity: int
    #: Memory is mapped in units of this (bytes).
    page_size: int
    #: Whether a name can be taken away from a living object: :meth:`retire`, :meth:`replace_section`.
    names_can_go: bool

    def create_section(
        self,
        name: Name | None,
        size: int,
        exist_ok: bool,
        access: Access,
        mode: int,
        group: str | int | None,
        writable: bool,
        executable: bool,
        reserve: Reserve,
        file: int | None,
        inheritable: bool,
        huge_pages: HugePages | None,
    ) -> SectionHandle:
        """Make a section; with ``exist_ok`` open a living one of that name instead (its size and rights stay as they are).

        Args:
            name: None for an unnamed section: each call makes a new one.
            size: bytes, exact.  With ``file`` 0 means the file's size.
            exist_ok: open an existing object instead of raising AlreadyExists.
            access: of the handle that is returned.
            mode: permission bits as of a file: 0o600 the user alone, 0o604 others read, 0o666 everybody; 0o060 means ``group``.
            group: name or number of the group meant by the group bits; None: the process's group.
            writable: False makes the object read-only for good.
            file: a descriptor (POSIX) or handle (Windows) of an open file to map instead of memory.  On Linux only this user's
                processes open such a section, whatever ``mode`` says.
            inheritable: Windows: child processes may inherit the handle.
            reserve: ``"touch"`` is for memory alone; where the system sets memory aside for every section (Windows), it is False.
            huge_pages: not with ``reserve=True`` or ``file``.  Every mapping of the object, in every process, asks for them.

        Raises: AlreadyExists, AccessDenied, WrongType, OutOfResources, InvalidArgument, Unsupported.
        """

    def prepare_section(
        self, name: Name, size: int, mode: int, group: str | int | None, huge_pages: HugePages | None
    ) -> SectionHandle:
        """Make a section of memory that cannot be found yet; :meth:`replace_section` gives it ``name``.

        Raises: as :meth:`create_section`; Unsupported where names cannot change hands (Windows).
        """

    def replace_section(self, handle: SectionHandle, name: Name) -> None:
        """Give a prepared section its name, which another living section may have: that one loses it in the same step.  Who looks
        for the name at any time finds the one or the other.

        Raises: AccessDenied (the other may not be written), WrongType, OutOfResources: then nothing has changed.
        """

    def retire(self, handle: SectionHandle) -> bool:
        """Take the object's name away now, whoever holds it; the memory stays with its holders.  False: it had none any more.

        Raises: ClosedHandle; AccessDenied (a read-only handle; in Global no right to create); Unsupported on Windows.
        """

    def named(self, handle: SectionHandle) -> bool:
        """Whether the name still leads to this object: False once it was retired or replaced.  Costs no call of the system.

        Raises: ClosedHandle.
        """

    def open_section(self, name: Name, access: Access, inheritable: bool) -> SectionHandle:
        """Open a living section.

        Raises: NotFound, AccessDenied, WrongType, OutOfResources.
        """

    def create_sync(
        self,
        cls: type[S],
        kind: Kind,
        name: Name | None,
        exist_ok: bool,
        mode: int,
        group: str | int | None,
        initial: int,
        manual: bool,
        maximum: int,
        inheritable: bool,
    ) -> S:
        """Make a synchronisation object, or with ``exist_ok`` open a living one, whose settings stay as they are.

        Args:
            cls: the backend's SyncHandle or a subclass of it: what is made.
            initial: mutex: 1 means owned by this thread; event: 1 means signaled; semaphore: the count.
            manual: event: stays signaled until reset.
            maximum: semaphore.
        """

    def open_sync(self, cls: type[S], kind: Kind, name: Name, access: SyncAccess, inheritable: bool) -> S: ...

    def create_queue(
        self,
        cls: type[Q],
        name: Name | None,
        exist_ok: bool,
        mode: int,
        group: str | int | None,
        capacity: int,
        slot: int,
        chunks: int,
        participants: int,
        modes: int,
        max_size: int,
    ) -> Q:
        """Make a queue, or with ``exist_ok`` open a living one, whose settings stay as they are.

        Args:
            cls: the backend's QueueHandle or a subclass of it: what is made.
            mode, group: as for :meth:`create_section`; who takes part needs both bits, who looks the read bit.
            capacity: messages, a power of two.
            slot: bytes; messages up to that long lie in the ring itself.
            chunks, participants: as in ``namedshm_queue.h``.
            modes: 1 acknowledges, 2 ends with its producers, 4 drops the oldest, added up.
            max_size: bytes of a message.
        """

    def open_queue(self, cls: type[Q], name: Name, access: Access) -> Q:
        """Open a living queue; with access ``"read"`` it can be looked at."""

    def create_topic(
        self,
        cls: type[T],
        name: Name | None,
        exist_ok: bool,
        mode: int,
        group: str | int | None,
        history: int,
        inline_max: int,
        pins: int,
        writers: int,
        modes: int,
        max_size: int,
        schema_kind: int,
        schema: bytes,
    ) -> T:
        """Make a topic, or with ``exist_ok`` open a living one, whose settings and schema stay as they are.  Linux.

        Args:
            mode, group: as for :meth:`create_section`; who writes or pins needs both bits, who reads the read bit.
            history, inline_max, pins, writers: as in ``namedshm_topic.h``.
            modes: 1 ends with its writers.
            max_size: bytes of a value.
            schema_kind, schema: what the values are, as in ``docs/format-topic.md``.
        """

    def open_topic(self, cls: type[T], name: Name, access: Access) -> T:
        """Open a living topic; with access ``"read"`` all but publishing and pinning can be done.  Linux."""

    def wait(self, handles: Sequence[SyncHandle], all: bool, timeout: float | None, spin: float) -> tuple[int, int]:
        """Wait for one (the lowest signaled index, only that one is taken) or all (atomically) of 1 to 64 handles.

        Args:
            timeout: seconds; None for ever, 0 just looks.
            spin: seconds to try before sleeping.

        Returns: (index, or -1 when the time is up; bit mask of the mutexes that were abandoned).  Signal handlers run meanwhile.
        """

    def begin_wait(self, handles: Sequence[SyncHandle], all: bool) -> PolledWait:
        """A wait for event loops: polled by the loop's thread, watched by another.  Raises Unsupported where there is none."""

    def begin_queue_wait(self, handle: QueueHandle, what: Awaited, attempt: Callable[[], object]) -> PolledQueueWait:
        """The same for a queue: ``attempt`` tries once, and raises Full or Empty if it was in vain."""

    def begin_topic_wait(self, handle: TopicHandle, anything: bool, attempt: Callable[[], object]) -> PolledQueueWait:
        """The same for a topic: ``attempt`` raises Empty if it was in vain; ``anything``: it takes a value that was read, too."""

    def watcher(self) -> Watcher:
        """A place where a thread watches polled waits."""

    def arrivals(self, is_global: bool) -> Arrivals:
        """What wakes who waits for a name: begun before the name is looked for, so that none is missed."""

    def list_objects(self, is_global: bool | None = None) -> list[ObjectInfo]:
        """Everything alive that this user may see, in no order: in Local or in Global, or with None in both.

        Raises if a namespace could not be looked at, except, with None, one that is not for this process at all.
        """

    def flush(self, mapping: Mapping, offset: int, length: int) -> None:
        """Write a file-backed range out (FlushViewOfFile); nothing to do for memory."""

    def commit_view(self, mapping: Mapping, offset: int, length: int) -> None:
        """Commit pages of a reserved section through a view of it, for all its users; rounded outwards to pages.

        Raises: InvalidArgument beyond the view; AccessDenied if the view is read-only.  Nothing to do for other sections.
        """

    def pager(self) -> Pager:
        """What code in C needs to make pages just ahead of writing them; valid in this process until a fork."""

    def reach(self, mapping: Mapping) -> int:
        """How many bytes from the view's start on may be touched: all, or what is committed of a reserved section."""

    def send_handle(self, handle: SectionHandle | SyncHandle, pid: int, access: Access | SyncAccess) -> int:
        """Give process ``pid`` a handle to the object; the number is what it passes to :meth:`receive_handle`."""

    def receive_handle(self, value: int) -> SectionHandle | SyncHandle:
        """Take over a handle another process sent.  Raises ClosedHandle if there is none of that number."""

    def check_process(self, pid: int) -> None:
        """Raises InvalidArgument if there is no such process, AccessDenied if it is another user's."""

    def backend_state(self) -> dict[str, Any]:
        """Facts for diagnostics: mechanism, scopes, limits."""
