r"""Sections and views.

A :class:`Section` is a handle: it keeps the object's *name*.  A :class:`View` is mapped bytes: it keeps the *memory*.  The name
goes with the last handle of all processes, the memory with the last handle or view; the kernel counts both, whatever way a
process ends.  Everything that needs the system is the backend's (``_backend/contract.py``); here are the checks and the objects
people hold.
"""

from __future__ import annotations

from . import errors
from ._arrival import opened
from ._backend import SectionHandle, backend
from ._core import Mapping
from ._holder import Holder, label, reference, sendable
from ._pickling.openings import SharedHandle, reopen
from ._pickling.unavailable import unpickling
from .names import Name

TYPE_CHECKING = False
if TYPE_CHECKING:  # the typing module alone costs more than all of this package
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self, TypeVar, overload

    from ._backend import contract
    from ._backend.contract import Access, HugePages, Reserve, ViewAccess

    V = TypeVar("V", bound="View")

__all__ = ["Section", "View"]

_GRANULARITY = backend.granularity
_PAGE = backend.page_size
_SIZE_LIMIT = 1 << 63
_pages: Any = None  # the module, from the first time on that it is needed


class View(Mapping):
    """Bytes of a section, mapped into this process.

    A view is a buffer: ``view[0:5]`` (a copy), ``view[0:5] = b"hello"``, ``memoryview(view)``, ``numpy.frombuffer(view)``.  Buffers
    taken from it keep the memory alive after :meth:`close`; nothing ever dangles.

    Attributes:
        access: ``"read"``, ``"write"`` or ``"copy"``.
        offset: where in the section it starts, bytes.
        address: where it is mapped.
        readonly: whether writing is refused.
        closed: whether :meth:`close` was called.
    """

    __slots__ = ("_handle_facts", "access", "executable", "offset")

    access: ViewAccess
    executable: bool
    offset: int
    _handle_facts: tuple[str | None, int]

    def flush(self, offset: int = 0, length: int | None = None) -> None:
        """Write a file-backed range to its file; for memory there is nothing to do.

        Args:
            offset: first byte, relative to the view.
            length: bytes; None means to the end of the view.

        Raises: ClosedHandle, InvalidArgument.
        """
        size = len(self)
        length = size - offset if length is None else length
        if not 0 <= offset <= size or not 0 <= length <= size - offset:
            raise errors.InvalidArgument(
                f"Cannot flush {length} bytes at {offset}: the view has {size} bytes", call="FlushViewOfFile"
            )
        backend.flush(self, offset, length)

    def commit(self, offset: int = 0, length: int | None = None) -> None:
        """Commit pages of a view of a section created with ``reserve=True``, for all its users; nothing to do for others.

        Args:
            offset: first byte, relative to the view; rounded down to a page.
            length: bytes, rounded up to a page; None means to the end of the view.

        Raises: ClosedHandle; AccessDenied if the view is read-only; InvalidArgument beyond the view; OutOfResources (Windows).
        """
        backend.commit_view(self, offset, len(self) - offset if length is None else length)

    def populate(self, offset: int = 0, length: int | None = None, *, threads: int | None = None) -> None:
        """Make the pages of a range now, so that touching them later does not fault; no byte changes.

        For writing, where the view writes to the section.  For reading in a read-only or a copy-on-write view: a page of the
        latter becomes private only when it is written.  Pages of a reserved section that are not committed are left out.

        Args:
            offset: first byte, relative to the view; rounded down to a page.
            length: bytes, rounded up to a page; None means to the end of the view.
            threads: how many take part, the calling one included; None: as many as pay, by size and cores, at most 4.

        Raises:
            ClosedHandle, InvalidArgument.
            OutOfResources: there is no memory for them (Linux; where it tells).
            NamedShmError: the file behind them was cut shorter, or a page is on broken memory (Linux).
        """
        global _pages
        if _pages is None:
            from . import _pages
        _pages.populate(self, self._handle_facts[0], self.access == "write", offset, length, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., View], tuple[object, ...]]:
        name, identity = self._handle_facts
        return _restore_view, (sendable("section", name), identity, self.offset, len(self), self.access)

    def __repr__(self) -> str:
        name, _ = self._handle_facts
        state = "closed" if self.closed else self.access
        return f"<namedshm.View of {_label(name)}: {len(self)} bytes at offset {self.offset}, {state}>"


class Section(Holder):
    r"""A handle to a section of shared memory; make one with :func:`namedshm.create` or :func:`namedshm.open`.

    Use it as a context manager, or call :meth:`close`; garbage collection closes it as well.  A child made by ``fork`` has
    handles and views of its own; pickling sends name and identity, and unpickling opens the same object.  What cannot be opened
    then becomes an object whose first use raises why.
    """

    __slots__ = ("__weakref__", "_handle")

    _handle: contract.SectionHandle

    def __init__(self, handle: contract.SectionHandle) -> None:
        if not isinstance(handle, (SectionHandle, SharedHandle)):
            raise TypeError("Section objects are made by namedshm.create() and namedshm.open()")
        self._handle = handle

    # ---------------------------------------------------------------------------------------------------- what it is
    @property
    def size(self) -> int:
        """Size in bytes, exactly as asked for at creation, in every process."""
        return self._handle.size

    @property
    def access(self) -> Access:
        """``"read"`` or ``"write"``: what this handle allows."""
        return self._handle.access

    @property
    def created(self) -> bool:
        """Whether this call made the object (with ``exist_ok``: False means it was there)."""
        return self._handle.created

    # ---------------------------------------------------------------------------------------------------- what it does
    if TYPE_CHECKING:

        @overload
        def map(
            self, offset: int = 0, length: int | None = None, access: ViewAccess | None = None, *, executable: bool = False
        ) -> View: ...
        @overload
        def map(
            self,
            offset: int = 0,
            length: int | None = None,
            access: ViewAccess | None = None,
            *,
            executable: bool = False,
            kind: type[V],
        ) -> V: ...

    def map(
        self,
        offset: int = 0,
        length: int | None = None,
        access: ViewAccess | None = None,
        *,
        executable: bool = False,
        kind: type[View] = View,
    ) -> View:
        """Map bytes of the section into this process.

        Args:
            offset: first byte, a multiple of 65,536.
            length: bytes; None means to the end.  A view ends where the section does, to the byte.
            access: ``"read"``, ``"write"`` or ``"copy"`` (own writes are private, page by page); None means the handle's.
            executable: pages may be executed; the section must have been created so.
            kind: the class of the view, a subclass of View.

        Returns: a new view; several may exist, they see the same bytes.

        Raises:
            ClosedHandle: the section was closed.
            InvalidArgument: offset not a multiple of 65,536 (1132) or at or beyond the end (87), unknown access.
            AccessDenied: more access than the handle has, or a range beyond the section's end (5).
            OutOfResources: no address space or memory.
        """
        return self._map(offset, length, access, executable, kind, self._handle.size)

    def _map_pages(self, offset: int, length: int, access: ViewAccess, executable: bool) -> View:
        """:meth:`map` in whole pages, as MapViewOfFile: also what is behind the end in the section's last page."""
        length, end = (-(-bytes // _PAGE) * _PAGE for bytes in (length, self._handle.size))
        return self._map(offset, length, access, executable, View, end)

    def _map(
        self, offset: int, length: int | None, access: ViewAccess | None, executable: bool, kind: type[View], end: int
    ) -> View:
        handle = self._handle
        if handle.closed:
            raise _closed(handle.name, "map")
        if access is None:
            access = handle.access
        elif access != handle.access:
            _check_view_access(handle, access)
        size = handle.size
        if offset or length is not None:
            length = _check_range(handle.name, size, offset, length, end)
        else:
            length = size
        if executable and not handle.executable:
            raise errors.AccessDenied(
                f"{_label(handle.name)} is not executable: create it with executable=True", name=handle.name, call="map"
            )
        view = handle.map(kind, offset, length, access, executable)
        view.access = access
        view.executable = executable
        view.offset = offset
        view._handle_facts = (handle.name, handle.identity)
        return view

    def duplicate(self, access: Access | None = None) -> Section:
        """Another handle to the same object, with the same or less access.

        Raises: ClosedHandle; AccessDenied if ``access`` is more than this handle has; OutOfResources.
        """
        handle = self._handle
        if handle.closed:
            raise _closed(handle.name, "duplicate")
        if access is None:
            access = handle.access
        _check_access(access)
        if access == "write" and handle.access == "read":
            raise errors.AccessDenied(
                f"This handle to {_label(handle.name)} is read-only and cannot be widened: open the section for writing",
                name=handle.name,
                call="duplicate",
            )
        return Section(handle.duplicate(access))

    def retire(self) -> bool:
        """Take the name away from the object now, whoever holds it: the name can be created again at once.

        All handles and views of the object stay as they are, in every process, and the memory goes with the last of them.  Nobody
        finds it any more: not :func:`open`, not :func:`list_objects`, not the receiver of a pickled handle.

        Returns: whether this call did it; False if the object had no name any more.

        Raises:
            ClosedHandle, InvalidArgument (an unnamed section).
            AccessDenied: the handle is read-only, or the section is and another user's; in ``Global`` this process has no right to
                create.
            Unsupported: on Windows, where a name stays with its object.
        """
        handle = self._handle
        if handle.closed:
            raise _closed(handle.name, "retire")
        if handle.name is None:
            raise errors.InvalidArgument("An unnamed section has no name to retire", call="retire")
        return backend.retire(handle)

    def __reduce__(self) -> tuple[Callable[..., Section], tuple[object, ...]]:
        return _restore, reference("section", self._handle)

    def _label(self) -> str:
        return _label(self.name)

    def _facts(self) -> str:
        return f": {self.size} bytes{'' if self.closed else f', {self.access}'}"


# -------------------------------------------------------------------------------------------------------- create and open
def create(
    name: str | None,
    size: int,
    *,
    exist_ok: bool = False,
    access: Access = "write",
    mode: int = 0o600,
    group: str | int | None = None,
    writable: bool = True,
    executable: bool = False,
    reserve: Reserve = False,
    file: int | None = None,
    inheritable: bool = False,
    huge_pages: HugePages | None = None,
) -> Section:
    r"""Create a section of shared memory; its bytes are zero.

    Args:
        name: ``"x"`` or ``"Local\x"`` (this user), ``"Global\x"`` (the machine; needs the right to), None for an unnamed section.
        size: bytes, at least 1.
        exist_ok: open a living section of that name instead of raising; ``section.created`` tells which it was.  The existing
            size and rights stay as they are: look at ``section.size``.
        access: of the returned handle, ``"write"`` or ``"read"``.
        mode: who else may open a ``Global`` section, as for a file: 0o600 nobody, 0o644 others read, 0o666 everybody,
            0o660 ``group``.
        group: name or number of the group the group bits mean; None: the process's own.
        writable: False makes a section that nobody can map for writing.
        executable: views may be executable.
        reserve: True: pages take no memory, and cannot be touched, until committed (Win32 SEC_RESERVE).  ``"touch"``: no memory is
            set aside, so the size may be beyond the machine's; pages take it when they are touched, and if it is used up then, the
            system ends a process.  On Windows ``"touch"`` changes nothing: the memory counts at once.
        file: map this open file (a descriptor; on Windows a handle) instead of memory.  Size 0 means the file's size; a larger
            size extends the file.
        inheritable: Windows: child processes may inherit the handle.
        huge_pages: pages of 2 MiB, which are much quicker to make, where whole ones fit.  ``"try"``: where the system gives them;
            ``"require"``: Unsupported unless it is set up to (Linux).  Touching a byte then takes 2 MiB of memory.

    Returns: an open Section.

    Raises:
        AlreadyExists: the name is held and ``exist_ok`` is false.
        AccessDenied: no right to create in ``Global\``, or to open the existing object.
        WrongType: the name is held by a mutex, event or semaphore.
        InvalidName, InvalidArgument: see :mod:`namedshm.errors`.
        OutOfResources: not enough memory, or the system's segment table is full; nothing was made.
        Unsupported: this system cannot do it, for example give the huge pages that are required.

    Behaviour: https://learn.microsoft.com/windows/win32/api/memoryapi/nf-memoryapi-createfilemappingw
    """
    if type(size) is not int or not 0 < size < _SIZE_LIMIT:
        size = _check_size(name, size, file)
    if access != "write":
        _check_access(access)
    if mode != 0o600:
        _check_mode(name, mode)
    if reserve is not False:
        reserve = _check_reserve(name, reserve, file)
    if huge_pages is not None:
        _check_huge_pages(name, huge_pages, reserve is True, file)
    return Section(
        backend.create_section(
            None if name is None else Name(name),
            size,
            exist_ok,
            access if writable else "read",
            mode,
            group,
            writable,
            executable,
            reserve,
            file,
            inheritable,
            huge_pages,
        )
    )


def open(name: str, access: Access = "write", *, wait: float | None = 0, inheritable: bool = False) -> Section:
    r"""Open the section that some process holds under ``name``.

    Args:
        name: as in :func:`create`.
        access: ``"write"`` (default) or ``"read"``; a read-only handle cannot be widened.
        wait: seconds to wait until somebody creates it; None for ever.  Ctrl-C interrupts it.
        inheritable: Windows: child processes may inherit the handle.

    Raises:
        NotFound: nobody holds the name, or nobody made it in time.
        AccessDenied: the object's mode does not let this user in.
        WrongType: the name is held by an object of another type.
        InvalidName, InvalidArgument, OutOfResources.

    Behaviour: https://learn.microsoft.com/windows/win32/api/memoryapi/nf-memoryapi-openfilemappingw
    """
    if access != "write":
        _check_access(access)
    if name is None:
        raise errors.InvalidArgument("open() needs a name: unnamed sections cannot be opened", call="open")
    parsed = Name(name)
    if wait == 0:
        return Section(backend.open_section(parsed, access, inheritable))
    return opened(lambda: Section(backend.open_section(parsed, access, inheritable)), parsed.is_global, wait, name)


class Replacement:
    """A section that is filled before anybody can find it, and then has the name of another in one step."""

    __slots__ = ("_name", "section")

    section: Section

    def __init__(self, name: str, size: int, mode: int, group: str | int | None, huge_pages: HugePages | None) -> None:
        """Raises: as :func:`create`; Unsupported on Windows."""
        if huge_pages is not None:
            _check_huge_pages(name, huge_pages, False, None)
        self._name = Name(name)
        self.section = Section(backend.prepare_section(self._name, size, _check_mode(name, mode), group, huge_pages))

    def commit(self) -> None:
        """From here on the name leads here.  Raises: AccessDenied, WrongType, OutOfResources: then it is as it was."""
        backend.replace_section(self.section._handle, self._name)


def reopened(name: str, identity: int, access: Access) -> Section:
    """A handle to the object that was pickled.  Raises: StaleObject, and as :func:`open`."""
    section = Section(reopen(name, identity, access))
    if identity and section.identity != identity:
        section.close()
        raise stale(name)
    return section


@unpickling("Section")
def _restore(name: str, identity: int, access: Access) -> Section:
    return reopened(name, identity, access)


@unpickling("View")
def _restore_view(name: str, identity: int, offset: int, length: int, access: ViewAccess) -> View:
    with reopened(name, identity, "write" if access == "write" else "read") as section:
        return section.map(offset, length, access)


# -------------------------------------------------------------------------------------------------------- checks
def stale(name: str) -> errors.StaleObject:
    """What unpickling a handle of any type meets when its name has a new owner."""
    return errors.StaleObject(
        f"The name {name!r} now belongs to another object than the one that was pickled: "
        "keep a handle open until the receiver has opened it",
        name=name,
        call="unpickle",
    )


def _label(name: str | None) -> str:
    return label("section", name)


def _closed(name: str | None, call: str) -> errors.ClosedHandle:
    return errors.ClosedHandle(f"This handle to {_label(name)} is closed: open the section again", name=name, call=call)


def _check_mode(name: str | None, mode: int) -> int:
    if type(mode) is not int or mode & ~0o666:
        raise errors.InvalidArgument(
            f"mode {mode!r} for {_label(name)}: use read and write bits only, for example 0o644", name=name, call="create"
        )
    return mode


def _check_access(access: object) -> None:
    if access not in ("read", "write"):
        raise errors.InvalidArgument(f"access {access!r}: use 'read' or 'write'", call="open")


def _check_view_access(handle: contract.SectionHandle, access: object) -> None:
    if access not in ("read", "write", "copy"):
        raise errors.InvalidArgument(
            f"access {access!r} for {_label(handle.name)}: use 'read', 'write' or 'copy'", name=handle.name, call="map"
        )
    if access == "write":
        raise errors.AccessDenied(
            f"This handle to {_label(handle.name)} is read-only: open the section with access 'write'",
            name=handle.name,
            call="map",
        )


def _check_huge_pages(name: str | None, huge_pages: object, reserve: bool, file: int | None) -> None:
    if huge_pages not in ("try", "require"):
        raise errors.InvalidArgument(
            f"huge_pages {huge_pages!r} for {_label(name)}: use 'try', 'require' or None", name=name, call="create"
        )
    if reserve or file is not None:
        raise errors.InvalidArgument(
            f"Cannot create {_label(name)} in huge pages: {'a reserved section takes' if reserve else 'a file is in'} small ones; "
            "leave huge_pages out",
            name=name,
            call="create",
        )


def _check_reserve(name: str | None, reserve: object, file: int | None) -> Reserve:
    if reserve != "touch":
        return bool(reserve)
    if file is not None:
        raise errors.InvalidArgument(
            f"Cannot create {_label(name)} of a file with reserve='touch': a file's pages are in the file; leave it out",
            name=name,
            call="create",
        )
    return "touch"


def _check_size(name: str | None, size: object, file: int | None) -> int:
    try:
        number: int = size.__index__()  # type: ignore[attr-defined]
    except AttributeError:
        raise TypeError(f"size must be an integer number of bytes, not {type(size).__name__}") from None
    if number == 0 and file is not None:
        return 0
    if number <= 0:
        raise errors.InvalidArgument(
            f"Cannot create {_label(name)} with {number} bytes: the size must be at least 1", name=name, call="create"
        )
    if number >= _SIZE_LIMIT:
        raise errors.OutOfResources(
            f"Cannot create {_label(name)} with {number} bytes: no system has that much address space",
            winerror=errors.ERROR_NOT_ENOUGH_MEMORY,
            name=name,
            call="create",
        )
    return number


def _check_range(name: str | None, size: int, offset: int, length: int | None, end: int) -> int:
    """The length to map; what Windows refuses is refused with its number."""
    if offset % _GRANULARITY:
        raise errors.InvalidArgument(
            f"Offset {offset} of a view of {_label(name)} is not a multiple of {_GRANULARITY}: "
            f"map from {max(0, offset - offset % _GRANULARITY)} and slice the view",
            winerror=errors.ERROR_MAPPED_ALIGNMENT,
            name=name,
            call="map",
        )
    if not 0 <= offset < size:
        raise errors.InvalidArgument(f"Offset {offset} is outside {_label(name)} of {size} bytes", name=name, call="map")
    if length is None:
        return size - offset
    if length <= 0:
        raise errors.InvalidArgument(
            f"Cannot map {length} bytes of {_label(name)}: the length must be at least 1, or None for all",
            name=name,
            call="map",
        )
    if offset + length > end:
        raise errors.AccessDenied(
            f"Cannot map {length} bytes at {offset} of {_label(name)}: it has only {size} bytes", name=name, call="map"
        )
    return length
