"""SharedMemory: a section with the standard library's methods."""

from __future__ import annotations

import os

from namedshm import errors
from namedshm._backend import backend
from namedshm._pickling.unavailable import unpickling
from namedshm.section import create as _create
from namedshm.section import open as _open
from namedshm.section import stale

from .kept import Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from namedshm._backend.contract import Reserve
    from namedshm.section import Section

NAME_PREFIX = "psm_"  # of names that are made up

#: The sections of blocks made here, by identity.  Empty on Windows, where nobody could take their names away.
kept = Kept()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=kept.forget)


def made_up() -> str:
    """A name that is free with near certainty; the caller tries again if it is not."""
    return NAME_PREFIX + os.urandom(8).hex()


_make_name: Callable[[], str] = made_up


def names_by(maker: Callable[[], str]) -> None:
    """From now on blocks without a name get what ``maker()`` returns."""
    global _make_name
    _make_name = maker


def end_access(block: SharedMemory, kept: Kept = kept) -> None:
    # Only dropped, not released: what was made of it may point into it and know no more than this object (torch.frombuffer).
    block._buf = None
    section = block._section
    if section is not None and not kept.keeps(block._identity, section):
        section.close()


class SharedMemory:
    """A block of shared memory, by name; as ``multiprocessing.shared_memory.SharedMemory``.

    Args:
        name: of the block; None makes up a new one.  A leading slash does not count: ``"/x"`` is ``"x"``.
        create: True makes a new block, False opens a living one.
        size: bytes of a new block, exact; ignored when opening.
        track: for compatibility with Python 3.13 and newer; there is no tracker.
        reserve: of a new block: no memory is set aside, it is taken page by page as it is touched; so the block may be larger than
            the machine's memory.  A process that touches more than there is, is ended by the system.

    Raises:
        FileExistsError: (AlreadyExists) create, and somebody holds that name.
        FileNotFoundError: (NotFound) open, and nobody holds it.
        ValueError: (InvalidArgument, InvalidName) no size, no name, or one that cannot be.
        PermissionError: (AccessDenied) it is another user's.
        MemoryError: (OutOfResources) no memory; nothing was made.

    Behaviour: https://docs.python.org/3/library/multiprocessing.shared_memory.html, as far as docs/migration.md does not differ.
    """

    __module__ = "namedshm.shared_memory"  # the public place: what is pickled is found there

    # so that an instance whose __init__ failed, or never ran, can be closed
    _section: Section | None = None
    _buf: memoryview | None = None
    _name: str = ""
    _size: int = 0
    _identity: int = 0

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True, reserve: bool = False
    ) -> None:
        if create:
            section = _create_new(size, reserve) if name is None else _create_named(name, size, reserve)
        elif size < 0:
            raise errors.InvalidArgument(
                f"Cannot open {name!r} with {size} bytes: leave the size out", name=name, call="SharedMemory"
            )
        elif name is None:
            raise errors.InvalidArgument("Opening a block needs its name; create=True makes a new one", call="SharedMemory")
        else:
            section = _open(bare(name))
        self._section = section
        self._name = section.name or "" if name is None else name
        self._size = section.size
        self._identity = section.identity
        self._buf = memoryview(section.map())
        if create and backend.names_can_go:
            kept.keep(section.identity, section)

    @property
    def buf(self) -> memoryview:
        """The bytes, writable; None after :meth:`close`.  Slices and arrays made of it stay valid as long as they live."""
        return self._buf  # type: ignore[return-value]  # as typeshed has it: nobody wants to check for None at every use

    @property
    def name(self) -> str:
        """The name that opens this block elsewhere."""
        return self._name

    @property
    def size(self) -> int:
        """Size in bytes, exactly as given at creation, also where it was opened."""
        return self._size

    def close(self) -> None:
        """End this instance's access.

        The process that made the block keeps its name, and so the block, until :meth:`unlink` or its own end; elsewhere this ends
        the instance's hold on the name.  Buffers and arrays taken from :attr:`buf` stay valid and keep the memory; so this never
        raises BufferError.  Twice is a no-op.
        """
        end_access(self)
        kept.close_unlinked()

    def unlink(self) -> None:
        """Take the name away, whoever holds it: it can be made again at once, and nobody finds this block any more.

        All who have it open keep it, and :attr:`buf` stays usable until :meth:`close`.  Nothing happens if the name is gone, or
        another block's by now.

        On Windows, where a name stays with its object, this only ends the instance's hold on it.

        Raises: PermissionError (AccessDenied) in ``Global`` where this process may not create.
        """
        if not backend.names_can_go:
            let_go(self)
        elif self._section is not None:
            _take_name_away(self)
            kept.close_unlinked()

    # When the interpreter ends, the names of this module may be gone before its objects are: what is needed then is held here.
    def __del__(self, end_access: Callable[[SharedMemory], None] = end_access) -> None:
        end_access(self)

    if not TYPE_CHECKING:  # a checker knows the attributes

        def __getattr__(self, name):
            why = ""
            if name in _OF_FILES:
                why = "; it is memory of the kernel without a file, so there is nothing to map or to resize: use buf"
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{why}", name=name, obj=self)

    def __reduce__(self) -> tuple[Callable[..., SharedMemory], tuple[object, ...]]:
        return _reopen, (type(self), self._name, self._size, pickled_identity(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size})"


_OF_FILES = ("_fd", "_mmap")  # of the standard library's blocks

# What a block's methods do is done here, so that a subclass may override any of them without changing another.


def let_go(block: SharedMemory) -> None:
    """End this instance's hold on the name, and this process's if it made the block."""
    if block._section is not None:
        kept.take(block._identity)
        block._section.close()


def _take_name_away(block: SharedMemory) -> None:
    section = block._section
    assert section is not None
    try:
        section.retire()
    except errors.ClosedHandle:
        _retire_by_name(block)
    section.close()
    other = kept.take(block._identity)  # the same section, or that of another instance of this process
    if other is not None:
        other.close()


def _retire_by_name(block: SharedMemory) -> None:
    """Of a block that was closed before."""
    try:
        section = _open(bare(block._name))
    except (errors.NotFound, errors.WrongType):
        return
    with section:
        if section.identity == block._identity:
            section.retire()


def _create_named(name: str, size: int, reserve: bool) -> Section:
    try:
        return _create_somehow(bare(name), size, reserve)
    except errors.AlreadyExists:
        raise errors.AlreadyExists(
            f"Cannot create block {name!r}: it exists. Open it (without create=True), unlink() it first, or leave the name out "
            "for a new one",
            name=name,
            call="SharedMemory",
        ) from None


def _create_somehow(name: str, size: int, reserve: bool) -> Section:
    kept.close_unlinked()
    when: Reserve = "touch" if reserve else False
    try:
        return _create(name, size, reserve=when)
    except errors.OutOfResources:
        kept.close_all_unlinked()  # what others have unlinked, and only we still have
        return _create(name, size, reserve=when)


def bare(name: str) -> str:
    """The name as sections have it; shm_open(3) does not count leading slashes either."""
    return name.lstrip("/") if isinstance(name, str) else name


def _create_new(size: int, reserve: bool) -> Section:
    while True:
        try:
            return _create_somehow(_make_name(), size, reserve)
        except errors.AlreadyExists:
            continue


@unpickling()
def _reopen(kind: type[SharedMemory], name: str, size: int, identity: str) -> SharedMemory:
    block = kind(name, False, size)
    check_same(block, identity)
    return block


def pickled_identity(block: SharedMemory) -> str:
    """Of the same length for every block."""
    return f"{block._identity:016x}"


def check_same(block: SharedMemory, identity: str) -> None:
    """Raises StaleObject if this is not the block that was pickled but a later one of its name."""
    if int(identity, 16) not in (0, block._identity):  # 0: made by a program that gives none
        end_access(block)
        raise stale(block._name)
