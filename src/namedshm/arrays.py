"""NumPy arrays by name.

    from namedshm import arrays
    frames = arrays.create("frames", (1080, 1920, 3), "uint8")     # another process: arrays.open("frames")

A :class:`NamedArray` is an ``ndarray`` whose elements are in a section.  It and every view of it (slices, transposes, fields,
tensors made from it) keep the name and the memory; when the last of all processes goes, both do.  Pickling one sends the name,
identity and place, never the elements.  What is computed from it is an ordinary array.

A queue (:class:`namedshm.Queue`) takes arrays over: :func:`send`, :func:`receive`; without a copy :func:`loan`, :func:`take`.

The section's bytes are a ``.npy`` file (``_formats/npy.py``), so any language that reads those can open it; they appear at once
(``_formats/publication.py``).  What is read from a section that others can write to is checked, and evaluated by nobody.
"""

from __future__ import annotations

import copyreg
import functools
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeVar, overload

try:
    import numpy as np
    import numpy.typing as npt
except ImportError as _error:
    if _error.name != "numpy":
        raise
    raise ImportError("namedshm.arrays needs NumPy: pip install 'namedshm[numpy]'", name="numpy") from None

from . import errors
from . import section as sections
from ._arguments import seconds
from ._formats import messages, npy
from ._formats.array_layout import Layout, decode, layout
from ._formats.publication import SIZE
from ._formats.publication import publish as publish_content
from ._held import HeldView, hold, published
from ._holder import Holder, label, sendable
from ._pickling.behind import behind
from ._pickling.unavailable import unpickling
from ._pickling.when_imported import when_imported
from .copying import copy

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import EllipsisType
    from typing import TypeAlias

    from ._backend.contract import Access, HugePages, ViewAccess
    from .queue import Message, Queue
    from .section import Section, View

__all__ = ["NamedArray", "create", "loan", "open", "publish", "receive", "replace", "send", "take"]

T = TypeVar("T", bound=np.generic)
T_co = TypeVar("T_co", bound=np.generic, covariant=True)
if TYPE_CHECKING:
    _DType: TypeAlias = np.dtype[T] | type[T]
    _Selecting: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any] | np.bool_]]  # elements by number, or by truth
    _Ranging: TypeAlias = slice | EllipsisType | None
_STRIP = 16 << 20  # bytes copied between two calls of a progress function, where copying is NumPy's work


class NamedArray(np.ndarray[Any, np.dtype[T_co]], Holder):
    """An array in named memory; made by :func:`create`, :func:`publish`, :func:`open` and by unpickling one.

    Slices and other views are NamedArrays too; results of arithmetic, reductions, copies and selections by lists or masks are
    ordinary arrays.  Use it as a context manager, or call :meth:`close`, to let the name go before the array does.

    ``NamedArray[numpy.float64]`` is the type of one whose elements are of that class.
    """

    @property
    def section(self) -> Section:
        """The handle that keeps the name.  Raises AttributeError for an array that is in private memory."""
        held = _held(self)
        if held is None:
            raise AttributeError("this array is a private copy: its memory has no name")
        return held.section

    @property
    def _handle(self) -> Section:
        return self.section

    # ---------------------------------------------------------------------------------------------- parts are named, too
    if TYPE_CHECKING:

        @overload  # type: ignore[override]  # NumPy's say "an array", which these do too, and leave out what comes to nothing
        def __getitem__(self, key: _Selecting | tuple[_Selecting, ...], /) -> np.ndarray[Any, np.dtype[T_co]]: ...  # type: ignore[overload-overlap]  # one element's number has __index__, too
        @overload
        def __getitem__(self, key: SupportsIndex | tuple[SupportsIndex, ...], /) -> Any: ...
        @overload
        def __getitem__(self, key: _Ranging | tuple[SupportsIndex | _Ranging, ...], /) -> NamedArray[T_co]: ...
        @overload
        def __getitem__(self, key: str | list[str], /) -> NamedArray[Any]: ...
        @overload
        def __getitem__(self, key: Any, /) -> np.ndarray[Any, np.dtype[T_co]]: ...
        def __getitem__(self, key: Any, /) -> Any: ...

    # ---------------------------------------------------------------------------------------------- what is computed is private
    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool | None = None) -> Any:
        if array is self:  # the operation wrote into this array
            return array
        plain = array.view(np.ndarray)
        scalar = not plain.ndim if return_scalar is None else return_scalar  # NumPy 1 does not tell
        return plain[()] if scalar else plain

    # ---------------------------------------------------------------------------------------------- the name travels
    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        view = behind(self)
        if view is None or view.access == "copy":
            return self.view(np.ndarray).__reduce_ex__(protocol)
        if isinstance(view, HeldView) and view.section.closed:
            raise errors.ClosedHandle(
                f"The name of this array was let go ({view.section.name!r}): send a copy of it, or close it later",
                name=view.section.name,
                call="pickle",
            )
        sendable("section", view._handle_facts[0])
        return _restore, _place(self, view)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


def _demoting(name: str) -> Callable[..., Any]:
    """The method of ndarray, its result an ordinary array where it is in private memory."""
    method = getattr(np.ndarray, name)

    @functools.wraps(method)
    def call(self: NamedArray[Any], *arguments: Any, **options: Any) -> Any:
        result = method(self, *arguments, **options)
        return result.view(np.ndarray) if isinstance(result, NamedArray) and behind(result) is None else result

    return call


# What gives copies, always or sometimes, and would make them of this class; results of ufuncs come through __array_wrap__.
for _name in (
    *("__copy__", "__deepcopy__", "__getitem__", "argpartition", "argsort", "astype", "byteswap", "choose", "compress", "copy"),
    *("dot", "flatten", "nonzero", "ravel", "repeat", "reshape", "searchsorted", "take"),
):
    setattr(NamedArray, _name, _demoting(_name))


# -------------------------------------------------------------------------------------------------------- create and open
if TYPE_CHECKING:

    @overload
    def create(
        name: str | None,
        shape: SupportsIndex | Sequence[SupportsIndex],
        *,
        order: Literal["C", "F"] = "C",
        exist_ok: bool = False,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        reserve: bool = False,
        timeout: float | None = 1.0,
    ) -> NamedArray[np.float64]: ...
    @overload
    def create(
        name: str | None,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: _DType[T],
        *,
        order: Literal["C", "F"] = "C",
        exist_ok: bool = False,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        reserve: bool = False,
        timeout: float | None = 1.0,
    ) -> NamedArray[T]: ...
    @overload
    def create(
        name: str | None,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: npt.DTypeLike,
        *,
        order: Literal["C", "F"] = "C",
        exist_ok: bool = False,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        reserve: bool = False,
        timeout: float | None = 1.0,
    ) -> NamedArray[Any]: ...


def create(
    name: str | None,
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: npt.DTypeLike = float,
    *,
    order: Literal["C", "F"] = "C",
    exist_ok: bool = False,
    mode: int = 0o600,
    group: str | int | None = None,
    huge_pages: HugePages | None = None,
    reserve: bool = False,
    timeout: float | None = 1.0,
) -> NamedArray[Any]:
    r"""Create an array of zeros by name.

    Args:
        name, mode, group, huge_pages: as in :func:`namedshm.create`.
        shape: lengths of the dimensions; one number, or several; ``()`` for a single element.
        dtype: of the elements; anything but Python objects and NumPy's StringDType.
        order: ``"C"`` (the last index runs fastest) or ``"F"`` (the first does).
        exist_ok: open a living array of that name instead, if it is the same in shape, dtype and order;
            ``array.section.created`` tells which it was.
        reserve: set no memory aside: the array may be larger than the machine's memory, and takes it page by page (4 KiB) as
            elements are touched.  If it is used up then, the system ends a process.  On Windows the memory counts at once.
        timeout: seconds to wait for one that another process is just creating; None for ever.

    Returns: the array, writable.

    Raises:
        AlreadyExists: the name is held, by an array of another kind if ``exist_ok``.
        InvalidArgument: a shape or dtype that cannot be, or cannot be said in a ``.npy`` header.
        InvalidContent, NotReady: with ``exist_ok``, see :func:`open`.
        and what :func:`namedshm.create` raises.
    """
    timeout = seconds(timeout, "create", name)
    wanted, header = _layout(name, shape, dtype, order)
    size = wanted.offset + wanted.size
    handle = sections.create(
        name, size, exist_ok=exist_ok, mode=mode, group=group, huge_pages=huge_pages, reserve="touch" if reserve else False
    )
    if handle.created:
        return _fill(handle, wanted, header, lambda target: None)
    found = _read(handle, timeout)
    if (found.dtype, found.shape, found.flags.c_contiguous) != (wanted.dtype, wanted.shape, not wanted.fortran):
        found.close()
        raise errors.AlreadyExists(
            f"The name {name!r} is held by an array of shape {found.shape} and dtype {npy.short(found.dtype)}, not by one of "
            f"shape {wanted.shape} and dtype {npy.short(wanted.dtype)} in order {order!r}: open it, or choose another name",
            name=name,
            call="create",
        )
    return found


if TYPE_CHECKING:

    @overload
    def publish(
        name: str | None,
        array: npt.NDArray[T],
        *,
        order: Literal["C", "F"] | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> NamedArray[T]: ...
    @overload
    def publish(
        name: str | None,
        array: npt.ArrayLike,
        *,
        order: Literal["C", "F"] | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> NamedArray[Any]: ...


def publish(
    name: str | None,
    array: npt.ArrayLike,
    *,
    order: Literal["C", "F"] | None = None,
    mode: int = 0o600,
    group: str | int | None = None,
    huge_pages: HugePages | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> NamedArray[Any]:
    """Create an array by name with the elements of another; who opens it sees all of them or waits.

    Args:
        name, mode, group, huge_pages: as in :func:`namedshm.create`.
        array: what to copy; anything ``numpy.asarray`` takes, tensors on the CPU too.
        order: as in :func:`create`; None keeps the array's own.
        threads: how many copy; None: as many as pay.  For an array whose elements lie in the order of the new one.
        progress: called as ``progress(done, total)``, in bytes.  What it raises ends the call, and nothing is left.

    Returns: the new array, writable.  It is yours to keep: without it the name goes.

    Raises: as :func:`create` without ``exist_ok``.
    """
    source, layout, header = _source(name, array, order)
    handle = sections.create(name, layout.offset + layout.size, mode=mode, group=group, huge_pages=huge_pages)
    return _fill(handle, layout, header, lambda target: _copy(target, source, threads, progress))


if TYPE_CHECKING:

    @overload
    def replace(
        name: str,
        array: npt.NDArray[T],
        *,
        order: Literal["C", "F"] | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> NamedArray[T]: ...
    @overload
    def replace(
        name: str,
        array: npt.ArrayLike,
        *,
        order: Literal["C", "F"] | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        huge_pages: HugePages | None = None,
        threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> NamedArray[Any]: ...


def replace(
    name: str,
    array: npt.ArrayLike,
    *,
    order: Literal["C", "F"] | None = None,
    mode: int = 0o600,
    group: str | int | None = None,
    huge_pages: HugePages | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> NamedArray[Any]:
    """Publish a new version under a name that a section may have, of whatever shape, dtype and rights.

    The name changes hands in one step, when the new array is complete: who opens it at any time finds the old version or the new
    one, whole, without waiting.  All who have the old one keep it.  If nobody holds the name, this is :func:`publish`.

    Args: as :func:`publish`; ``mode`` and ``group`` are the new array's, whatever the old one's were.

    Returns: the new array, writable.  It is yours to keep: without it the name goes, though others still have the old version.

    Raises:
        AccessDenied: the old one may not be written by this process.
        WrongType: the name is held by another object than a section.
        Unsupported: on Windows, where a name stays with its object.
        and as :func:`publish`.  Then the name is as it was.
    """
    source, layout, header = _source(name, array, order)
    new = sections.Replacement(name, layout.offset + layout.size, mode, group, huge_pages)
    made = _fill(new.section, layout, header, lambda target: _copy(target, source, threads, progress))
    try:
        new.commit()
    except BaseException:
        made.close()
        raise
    return made


def open(name: str, access: ViewAccess = "write", *, wait: float | None = 0, timeout: float | None = 1.0) -> NamedArray[Any]:
    """Open the array that some process holds under ``name``.

    Args:
        name: as in :func:`namedshm.open`.
        access: ``"write"`` (default); ``"read"``: the memory is mapped read-only, and no flag can change that; ``"copy"``: what
            this process writes is its own, page by page, and nobody else's; pages it has not written show what others write.
        wait: seconds to wait until somebody creates it; None for ever.
        timeout: seconds to wait for a creator that is still writing; None for ever.

    Raises:
        NotFound: nobody holds the name.
        NotReady: nothing was published in it within ``timeout``.
        InvalidContent: its bytes are no array, or not one that can be shared.
        AccessDenied, WrongType, InvalidName, InvalidArgument, OutOfResources: as :func:`namedshm.open`.
    """
    timeout = seconds(timeout, "open", name)
    if access not in ("read", "write", "copy"):
        raise errors.InvalidArgument(f"access {access!r} for array {name!r}: use 'read', 'write' or 'copy'", name=name, call="open")
    return _read(sections.open(name, "read" if access == "copy" else access, wait=wait), timeout, access)


# -------------------------------------------------------------------------------------------------------- through a queue
def send(
    queue: Queue,
    array: npt.ArrayLike,
    timeout: float | None = None,
    *,
    order: Literal["C", "F"] | None = None,
    threads: int | None = None,
) -> None:
    """Put an array into a queue: its elements are copied there, and are the queue's; ``array`` is not needed any more.

    Args:
        queue: a :class:`namedshm.Queue`, made with a ``max_size`` of the elements and 128 bytes; more for a dtype with fields.
        array: anything ``numpy.asarray`` takes; no Python objects.
        timeout: seconds to wait for room; None for ever.
        order: as in :func:`create`; None keeps the array's own.
        threads: as in :func:`publish`.

    Raises:
        InvalidArgument: a dtype that a ``.npy`` header cannot say; it is longer than ``max_size``.
        and what :meth:`namedshm.Queue.put` raises.
    """
    source, layout, header = _source(queue.name, array, order, "send")
    size = layout.offset + layout.size
    _fits(queue, layout, size, "send")
    if size <= queue.slot_size:
        queue.put(header + source.astype(layout.dtype, copy=False).tobytes("F" if layout.fortran else "C"), timeout)
        return
    with queue.loan(size, timeout) as window:
        memory = np.frombuffer(memoryview(window), np.uint8)
        memory[: len(header)] = np.frombuffer(header, np.uint8)
        _copy(_within(memory, layout), source, threads, None)
        del memory


def receive(queue: Queue, timeout: float | None = None, *, threads: int | None = None) -> np.ndarray[Any, Any]:
    """Get the next array of a queue: an ordinary one, with elements of its own.

    Args:
        timeout: seconds to wait for one; None for ever.
        threads: how many copy; None: as many as pay.

    Raises:
        InvalidContent: the message is no array; it is out of the queue then.
        and what :meth:`namedshm.Queue.get` raises.
    """
    message = queue._get_or_take(timeout)
    if isinstance(message, bytes):
        return _copied(_announced(queue, message), memoryview(message), threads)
    with message, memoryview(message) as view:
        return _copied(_told(queue, message), view, threads)


@contextmanager
def take(queue: Queue, timeout: float | None = None) -> Iterator[np.ndarray[Any, Any]]:
    """The next array of a queue where it lies, without a copy: it is read-only, and the queue's again after the block.

        with arrays.take(frames) as frame:
            show(frame)

    With acknowledgement it is acknowledged at the end of the block, and comes again if that raises, or this process dies.  What
    refers to the array for longer keeps its memory, which is one place less for others: ``copy()`` what is to stay.

    Args:
        timeout: seconds to wait for one; None for ever.

    Raises: at the beginning of the block, as :func:`receive`.
    """
    with queue.take(timeout) as message:
        yield _within(np.frombuffer(memoryview(message), np.uint8), _told(queue, message))


if TYPE_CHECKING:

    @overload
    def loan(
        queue: Queue,
        shape: SupportsIndex | Sequence[SupportsIndex],
        *,
        order: Literal["C", "F"] = "C",
        timeout: float | None = None,
    ) -> AbstractContextManager[npt.NDArray[np.float64]]: ...
    @overload
    def loan(
        queue: Queue,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: _DType[T],
        *,
        order: Literal["C", "F"] = "C",
        timeout: float | None = None,
    ) -> AbstractContextManager[npt.NDArray[T]]: ...
    @overload
    def loan(
        queue: Queue,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: npt.DTypeLike,
        *,
        order: Literal["C", "F"] = "C",
        timeout: float | None = None,
    ) -> AbstractContextManager[np.ndarray[Any, Any]]: ...


@contextmanager
def loan(
    queue: Queue,
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: npt.DTypeLike = float,
    *,
    order: Literal["C", "F"] = "C",
    timeout: float | None = None,
) -> Iterator[np.ndarray[Any, Any]]:
    """An array in the queue's own memory, to be filled: it is sent at the end of the block, and an exception abandons it.

        with arrays.loan(frames, (1080, 1920, 3), "uint8") as frame:
            camera.readinto(frame)

    At first its elements are anything.  After the block it can neither be written nor relied on: the memory is the queue's.

    Args:
        shape, dtype, order: as in :func:`create`.
        timeout: seconds to wait for a free chunk at the beginning, and for room at the end; None for ever.

    Raises: as :func:`send`, at the beginning and at the end of the block; at the end BufferError: a slice or another view of the
        array is still there, and could change what was sent.  Then nothing is sent.
    """
    layout, header = _layout(queue.name, shape, dtype, order, "loan")
    size = layout.offset + layout.size
    _fits(queue, layout, size, "loan")
    with filling(queue.loan(size, timeout), layout, header, timeout) as array:
        yield array


@contextmanager
def filling(window: Any, layout: Layout, header: bytes, timeout: float | None) -> Iterator[np.ndarray[Any, Any]]:
    """A loan as an array with this header before it, to be filled within the block; then it is sent.  Of queues and topics."""
    try:
        memory = np.frombuffer(memoryview(window), np.uint8)
        memory[: len(header)] = np.frombuffer(header, np.uint8)
        array = _within(memory, layout)
        users = sys.getrefcount(memory)
        yield array
        # Views of the array refer to its memory and not to it: so does NumPy when it makes one of another.  The array itself is
        # in the variable that the block named, and stays there; so it is made read-only, and the memory mapped until it is gone.
        if sys.getrefcount(memory) > users:
            raise BufferError(
                "A view of this array is still there, and could change what was sent: delete it (del) before the block ends"
            )
        array.flags.writeable = False
        del memory, array
        window._commit_lent(timeout)
    finally:
        window.abandon()


def _fits(queue: Queue, layout: Layout, size: int, call: str) -> None:
    if size > queue.max_size:
        raise errors.InvalidArgument(
            f"Cannot {call} an array of shape {npy.short(layout.shape)} and dtype {npy.short(layout.dtype)}: with its header it "
            f"has {size} bytes, messages of {label('queue', queue.name)} {queue.max_size} at most. Create it with a larger "
            "max_size",
            name=queue.name,
            call=call,
        )


def _told(queue: Queue, message: Message) -> Layout:
    """What a message holds.  One that is no array never will be: with acknowledgement, too, it does not come again."""
    try:
        return _announced(queue, message)
    except errors.InvalidContent:
        message.release()
        raise


def _announced(queue: Queue, message: Message | bytes) -> Layout:
    first = message[:8]
    try:
        if not first.startswith(npy.MAGIC):
            raise ValueError(f"it is {messages.kind(first)}")
        found = decode(message, first)
        _within(np.frombuffer(memoryview(message), np.uint8), found)  # more dimensions, or longer ones, than NumPy has
        return found
    except (ValueError, OverflowError) as error:
        raise errors.InvalidContent(
            f"A message of {label('queue', queue.name)} is no array that can be used, and is out of the queue: {error}",
            name=queue.name,
            call="receive",
        ) from None


def _copied(found: Layout, view: memoryview, threads: int | None) -> np.ndarray[Any, Any]:
    memory = np.empty(found.size, np.uint8)
    if found.size:
        copy(memory.data, view[found.offset : found.offset + found.size], threads=threads)
    return _within(memory, found._replace(offset=0))


def _within(memory: np.ndarray[Any, Any], layout: Layout) -> np.ndarray[Any, Any]:
    """The array in these bytes."""
    return np.ndarray(layout.shape, layout.dtype, memory, layout.offset, None, "F" if layout.fortran else "C")


# -------------------------------------------------------------------------------------------------------- inside
def _layout(name: str | None, shape: Any, dtype: Any, order: object, call: str = "create") -> tuple[Layout, bytes]:
    """The layout and header of a new array; every reason why there cannot be one is an InvalidArgument."""
    what = f"create an array {name!r}" if call == "create" else f"{call} an array"
    try:
        resolved = np.dtype(dtype)
        lengths = tuple(map(operator.index, [shape] if hasattr(shape, "__index__") else shape))
        if resolved.subdtype is not None:  # an array of arrays is one array
            resolved, inner = resolved.subdtype
            lengths += inner
        if order not in ("C", "F"):
            raise ValueError(f"order {order!r}: use 'C' or 'F'")
        if any(length < 0 for length in lengths):
            raise ValueError("a length is negative")
        return layout(np.empty(0, resolved).dtype, lengths, order)  # 'S' and 'U' get a length there
    except (TypeError, ValueError, OverflowError, SyntaxError) as error:
        raise errors.InvalidArgument(
            f"Cannot {what} of shape {npy.short(shape)} and dtype {npy.short(dtype)}: {error}",
            name=name,
            call=call,
        ) from None


def _source(
    name: str | None, array: npt.ArrayLike, order: Literal["C", "F"] | None, call: str = "create"
) -> tuple[np.ndarray[Any, Any], Layout, bytes]:
    """What is to be published, and where it goes."""
    if isinstance(array, np.ma.MaskedArray):
        what = f"publish {name!r}" if call == "create" else f"{call} this"
        raise errors.InvalidArgument(
            f"Cannot {what}: a masked array has a mask, a .npy file has none. Take its data and its mask, one by one",
            name=name,
            call="publish" if call == "create" else call,
        )
    source = np.asarray(array)
    if order is None:
        order = "F" if source.flags.fnc else "C"
    return source, *_layout(name, source.shape, source.dtype, order, call)


def _fill(handle: Section, layout: Layout, header: bytes, write: Callable[[NamedArray[Any]], None]) -> NamedArray[Any]:
    """Write a new section: the elements, the header, and last the bytes by which others know that all is there."""
    try:
        view = hold(handle)
        try:
            array = _array(view, layout)
        except (ValueError, OverflowError) as error:  # more dimensions, or longer ones, than NumPy has
            raise errors.InvalidArgument(
                f"Cannot create an array {handle.name!r} of shape {npy.short(layout.shape)}: {error}",
                name=handle.name,
                call="create",
            ) from None
        write(array)
        view[SIZE : len(header)] = header[SIZE:]
        publish_content(view, header[:SIZE])
    except BaseException:
        handle.close()  # now, and not when the last reference to this traceback goes
        raise
    return array


def _copy(
    target: np.ndarray[Any, Any],
    source: np.ndarray[Any, Any],
    threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> None:
    if not target.flags.c_contiguous:
        target, source = target.T, source.T
    total = target.nbytes
    if total and source.flags.c_contiguous:
        pieces: list[Any] = [array.reshape(-1).view(np.uint8) for array in (target, source)]
        copy(*pieces, threads=threads, progress=progress)
        return
    strip = max(1, len(target) * _STRIP // total) if target.ndim and total else 1
    for start in range(0, len(target) if target.ndim else 0, strip):
        target[start : start + strip] = source[start : start + strip]
        if progress is not None:
            progress(min(start + strip, len(target)) * (total // len(target)), total)


def _read(handle: Section, timeout: float | None, access: ViewAccess | None = None) -> NamedArray[Any]:
    try:
        view = hold(handle, access)
        first = published(view, timeout)
        try:
            return _array(view, decode(view, first))
        except (ValueError, OverflowError) as error:
            raise errors.InvalidContent(
                f"Section {handle.name!r} holds no array that can be used: {error}. Create it with namedshm.arrays, or open what "
                "it is as bytes with namedshm.open()",
                name=handle.name,
                call="open",
            ) from None
    except BaseException:
        handle.close()
        raise


def _array(view: HeldView, layout: Layout) -> NamedArray[Any]:
    return _at(view, layout.offset, layout.shape, layout.dtype, None, "F" if layout.fortran else "C")


def _at(
    view: HeldView,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: tuple[int, ...] | None,
    order: Literal["C", "F"] = "C",
) -> NamedArray[Any]:
    """An array over bytes of the section; that it lies within them has been checked.

    Between the two is an array of bytes because it holds a buffer of the view: the memory stays though the view be closed.
    """
    return NamedArray(shape, dtype, np.frombuffer(memoryview(view), np.uint8), offset, strides, order)


def _held(array: np.ndarray[Any, Any]) -> HeldView | None:
    """The view that the array's memory is, if it keeps its section's name; None for private memory."""
    view = behind(array)
    return view if isinstance(view, HeldView) else None


# -------------------------------------------------------------------------------------------------------- pickling
def _place(array: np.ndarray[Any, Any], view: View) -> tuple[Any, ...]:
    """Where an array is, for :func:`_restore`; with its class if that is not NamedArray."""
    name, identity = view._handle_facts
    access = "write" if array.flags.writeable else "read"
    # nothing may begin anywhere
    offset = array.__array_interface__["data"][0] - view.address + view.offset if array.size else 0
    kind = () if type(array) is NamedArray else (type(array),)
    return name, identity, access, offset, array.shape, array.strides, array.dtype, *kind


def reduced(array: Any) -> Any:
    """What pickles an array of any class by name, as ``reducer_override`` gives it: NotImplemented where that cannot be.

    That is where its memory is private, or was never named; where the name is gone, or leads elsewhere by now, so that nobody could
    open it; and where its class has a way of its own to be pickled, as NamedArray has.
    """
    kind: Any = type(array)
    if kind.__reduce_ex__ is not np.ndarray.__reduce_ex__:
        return NotImplemented
    if kind.__reduce__ is not np.ndarray.__reduce__:
        return _reduced_masked(array) if kind is np.ma.MaskedArray else NotImplemented
    view = _found(array)
    return NotImplemented if view is None else (_restore, _place(array, view))


def _found(array: np.ndarray[Any, Any]) -> View | None:
    """The view of an array that another process can open at this moment, all of it."""
    view = behind(array)
    if view is None or view.access == "copy":
        return None
    name, identity = view._handle_facts
    if name is None:
        return None
    try:
        with sections.reopened(name, identity, "read") as section:
            # MapViewOfFile's views are whole pages, of which the section's end may be in the midst
            inside = _reach(*_place(array, view)[3:7])[1] <= section.size
    except errors.NamedShmError:  # the elements are here: they are what others can have of it
        return None
    return view if inside else None


def _reach(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """The first byte of an array, and the one behind its last."""
    if 0 in shape:
        return offset, offset
    ways = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    return offset + sum(way for way in ways if way < 0), offset + sum(way for way in ways if way > 0) + dtype.itemsize


def _reduced_masked(array: np.ma.MaskedArray[Any, Any]) -> Any:
    """Data and mask, each by name if it is in a section."""
    parts: list[Any] = [array.data, *([] if array.mask is np.ma.nomask else [array.mask])]
    if not any(_found(part) for part in parts):
        return NotImplemented
    sent = [part.view(NamedArray) if _found(part) else np.array(part) for part in parts]
    return _restore_masked, (array.baseclass, array.fill_value, array.hardmask, *sent)


@unpickling("MaskedArray")
def _restore_masked(
    kind: type, fill_value: Any, hard: bool, data: np.ndarray[Any, Any], mask: Any = np.False_
) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.MaskedArray(data.view(kind), mask=mask, copy=False, fill_value=fill_value, hard_mask=hard)


def _by_class(array: np.ndarray[Any, Any]) -> Any:
    """``reduced`` for any pickler.  A subclass of ndarray has no other way that is lost: its elements never go out of band."""
    found = reduced(array)
    return array.__reduce__() if found is NotImplemented else found


@unpickling("NamedArray")
def _restore(
    name: str,
    identity: int,
    access: Access,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    kind: type[np.ndarray[Any, Any]] = NamedArray,
) -> np.ndarray[Any, Any]:
    """What unpickling does: the same elements of the same object, by name."""
    handle = sections.reopened(name, identity, access)
    first, last = _reach(offset, shape, strides, dtype)
    # NumPy's own checks let strides overflow, and Python objects in
    if dtype.hasobject or any(length < 0 for length in shape) or not 0 <= first <= last <= handle.size:
        handle.close()
        raise errors.InvalidContent(
            f"What was pickled is no part of section {name!r} of {handle.size} bytes: shape {shape}, strides {strides}, dtype "
            f"{dtype}, from byte {offset} on. Send it again",
            name=name,
            call="unpickle",
        )
    array = _at(hold(handle), offset, shape, dtype, strides)
    return array if kind is NamedArray else array.view(kind)


for _kind in np.recarray, np.matrix:
    copyreg.pickle(_kind, _by_class)
when_imported("numpy.ma.core", lambda module: copyreg.pickle(module.MaskedArray, _by_class))
when_imported("numpy._core.defchararray", lambda module: copyreg.pickle(module.chararray, _by_class))
