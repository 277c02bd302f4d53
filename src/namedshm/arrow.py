"""Arrow tables by name.

    from namedshm import arrow
    trades = arrow.publish("trades", table)     # another process: arrow.open("trades").table

``publish`` writes a table once; whoever opens it reads that memory itself, with pyarrow, pandas, polars or anything else that
speaks Arrow, and copies nothing.  A :class:`NamedTable` keeps the name; so does every column, slice and buffer taken from it,
besides keeping its memory.  A published table does not change: ``replace`` publishes a new one under its name, and its readers keep
what they have; on Windows publish under another name.

A queue (:class:`namedshm.Queue`) takes tables over: :func:`send`, :func:`receive`; without a copy :func:`take`.

The section's bytes are an Arrow IPC file (``_formats/arrow_ipc.py`` says how it is laid out and checked); they appear at once
(``_formats/publication.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

try:
    import pyarrow as pa
except ImportError as _error:
    if _error.name != "pyarrow":
        raise
    raise ImportError("namedshm.arrow needs pyarrow: pip install 'namedshm[arrow]'", name="pyarrow") from None

from . import errors
from . import section as sections
from ._arguments import seconds
from ._formats import messages, publication
from ._formats.arrow_ipc import MAGIC, Damaged, Recorder, check, lay_out
from ._held import hold, published
from ._holder import Holder, label
from ._pickling.unavailable import unpickling
from .copying import copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._backend.contract import Access, HugePages
    from .queue import Message, Queue
    from .section import Section, View

__all__ = ["NamedTable", "open", "publish", "receive", "replace", "send", "take"]

_READING = pa.ipc.IpcReadOptions(use_threads=False)  # there is nothing to compute
_LONGEST_REASON = 300  # characters; names of columns can be of any length
_AHEAD = 4 << 20  # bytes; a piece of less is not worth several threads


class NamedTable(Holder):
    """A table in named memory; made by :func:`publish`, :func:`open` and by unpickling one.

    It can be handed to whatever takes Arrow data (the C stream interface): ``polars.from_arrow(it)``,
    ``pandas.DataFrame.from_arrow(it)``, a query in DuckDB.  Pickling it sends the name and identity, never the data.  Use it as a
    context manager, or call :meth:`close`, to let the name go before the data does.

    Attributes:
        section: the handle that keeps the name.
        table: the data, a ``pyarrow.Table``; its buffers are the section's memory, read-only and at multiples of 64 bytes.
    """

    __slots__ = ("__weakref__", "section", "table")

    section: Section
    table: Any

    def __init__(self, section: Section, table: Any) -> None:
        if not isinstance(section, sections.Section) or not isinstance(table, pa.Table):
            raise TypeError("NamedTable objects are made by namedshm.arrow.publish() and namedshm.arrow.open()")
        self.section, self.table = section, table

    # ---------------------------------------------------------------------------------------------------- what it is
    @property
    def _handle(self) -> Section:
        return self.section

    @property
    def schema(self) -> Any:
        """Names and types of the columns: a ``pyarrow.Schema``."""
        return self.table.schema

    @property
    def num_rows(self) -> int:
        """Rows of all batches together."""
        rows: int = self.table.num_rows
        return rows

    @property
    def nbytes(self) -> int:
        """Bytes of the section: the data and its description."""
        return self.section.size

    def __len__(self) -> int:
        return self.num_rows

    def __arrow_c_schema__(self) -> object:
        return self.table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __reduce__(self) -> tuple[Callable[..., NamedTable], tuple[object, ...]]:
        return _restore, self.section.__reduce__()[1]

    def _title(self) -> str:
        return "arrow.NamedTable"

    def _facts(self) -> str:
        return f": {self.num_rows} rows, {self.table.num_columns} columns"


# -------------------------------------------------------------------------------------------------------- publish and open
def publish(
    name: str | None,
    data: Any,
    *,
    mode: int = 0o600,
    group: str | int | None = None,
    huge_pages: HugePages | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> NamedTable:
    """Create a table by name; who opens it sees all of it or waits.

    Args:
        name, mode, group, huge_pages: as in :func:`namedshm.create`.
        data: a pyarrow Table, RecordBatch, RecordBatchReader or a list of batches; or anything with ``__arrow_c_stream__``: a
            DataFrame of pandas or polars, a result of DuckDB.  A reader is read to its end first: the size must be known.
        threads: how many copy; None: as many as pay.
        progress: called as ``progress(done, total)``, in bytes.  What it raises ends the call, and nothing is left.

    Returns: the table as it is in the section: ``data`` is not needed any more.  It is yours to keep: without it the name goes.

    Raises:
        InvalidArgument: Arrow's file format cannot hold the data; the text says why.
        TypeError: ``data`` is nothing of Arrow's.
        and what :func:`namedshm.create` raises, and what a reader raises.

    Batches stay as they are, with two exceptions: where columns are chunked differently, batches are cut at every chunk's end,
    and where chunks of a column have different dictionaries they get one (the format knows only one for each column).
    """
    pieces, size = _encode(name, _as_table(name, data))
    section = sections.create(name, size, mode=mode, group=group, huge_pages=huge_pages)
    with section:
        _fill(section, pieces, size, threads, progress)
        reading = section.duplicate("read")
    return _read(reading, 0, "structure", False)


def replace(
    name: str,
    data: Any,
    *,
    mode: int = 0o600,
    group: str | int | None = None,
    huge_pages: HugePages | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> NamedTable:
    """Publish a new table under a name that a section may have.

    The name changes hands in one step, when the new table is complete: who opens it at any time finds the old one or the new one,
    whole, without waiting.  All who have the old one keep it.  If nobody holds the name, this is :func:`publish`.

    Args: as :func:`publish`; ``mode`` and ``group`` are the new table's, whatever the old one's were.

    Returns: the new table.  It is yours to keep: without it the name goes, though others still have the old one.

    Raises:
        AccessDenied: the old one may not be written by this process.
        WrongType: the name is held by another object than a section.
        Unsupported: on Windows, where a name stays with its object.
        and as :func:`publish`.  Then the name is as it was.
    """
    pieces, size = _encode(name, _as_table(name, data))
    new = sections.Replacement(name, size, mode, group, huge_pages)
    with new.section as section:
        _fill(section, pieces, size, threads, progress)
        new.commit()
        reading = section.duplicate("read")
    return _read(reading, 0, "structure", False)


def open(
    name: str,
    *,
    wait: float | None = 0,
    timeout: float | None = 1.0,
    validate: Literal["structure", "full"] = "structure",
    populate: bool = False,
) -> NamedTable:
    """Open the table that some process holds under ``name``, for reading.

    Args:
        name: as in :func:`namedshm.open`.
        wait: seconds to wait until somebody publishes it; None for ever.
        timeout: seconds to wait for a publisher that is still writing; None for ever.
        validate: ``"structure"``: the metadata, and that every buffer is there and long enough; takes no longer for more rows.
            ``"full"``: also every value that leads somewhere (offsets, indices into dictionaries, UTF-8), for a publisher that
            is not trusted; reads all the data once.
        populate: make all pages now, by several threads (:meth:`namedshm.View.populate`): quicker than one by one when they are
            touched, if most of the table will be read.

    Raises:
        NotFound: nobody holds the name.
        NotReady: nothing was published in it within ``timeout``.
        InvalidContent: its bytes are no table, or one that cannot be opened without copying (compressed, for example).
        AccessDenied, WrongType, InvalidName, InvalidArgument, OutOfResources: as :func:`namedshm.open`.
    """
    timeout = seconds(timeout, "open", name)
    _check_validate(name, validate, "open")
    return _read(sections.open(name, "read", wait=wait), timeout, validate, populate)


# -------------------------------------------------------------------------------------------------------- through a queue
def send(queue: Queue, data: Any, timeout: float | None = None, *, threads: int | None = None) -> None:
    """Put a table into a queue: it is copied there, and is the queue's; ``data`` is not needed any more.

    Args:
        queue: a :class:`namedshm.Queue`, whose ``max_size`` is that of the table's Arrow file at least.
        data: a table or record batches, as for :func:`publish`.
        timeout: seconds to wait for room; None for ever.
        threads: as in :func:`publish`.

    Raises:
        InvalidArgument: Arrow's file format cannot hold the data; it is longer than ``max_size``.
        TypeError: ``data`` is nothing of Arrow's.
        and what :meth:`namedshm.Queue.put` raises, and what a reader raises.
    """
    pieces, size = _encode(None, _as_table(None, data))
    if size > queue.max_size:
        raise errors.InvalidArgument(
            f"Cannot send a table of {size} bytes: messages of {label('queue', queue.name)} have {queue.max_size} at most. "
            "Send it in parts (table.slice), or create the queue with a larger max_size",
            name=queue.name,
            call="send",
        )
    if size <= queue.slot_size:
        joined = bytearray(size)
        _place(memoryview(joined), pieces, size, threads)
        queue.put(joined, timeout)
        return
    with queue.loan(size, timeout) as window, memoryview(window) as memory:
        _place(memory, pieces, size, threads)


def _place(memory: memoryview, pieces: list[tuple[int, Any]], size: int, threads: int | None) -> None:
    """All of a file, in memory that holds anything: what is between its pieces is zero."""
    end = 0
    for at, piece in [*pieces, (size, b"")]:
        data = memoryview(piece).cast("B")
        memory[end:at] = bytes(at - end)
        end = at + len(data)
        if len(data) >= _AHEAD:
            copy(memory[at:end], data, threads=threads)
        else:
            memory[at:end] = data


def receive(
    queue: Queue,
    timeout: float | None = None,
    *,
    validate: Literal["structure", "full"] = "structure",
    threads: int | None = None,
) -> Any:
    """Get the next table of a queue: a ``pyarrow.Table`` with buffers of its own.

    Args:
        timeout: seconds to wait for one; None for ever.
        validate: as in :func:`open`; what is checked is the own copy, which nobody can change.
        threads: how many copy; None: as many as pay.

    Raises:
        InvalidContent: the message is no Arrow table; it is out of the queue then.
        and what :meth:`namedshm.Queue.get` raises.
    """
    _check_validate(queue.name, validate, "receive")
    with queue.take(timeout) as message, memoryview(message) as view:
        own = pa.allocate_buffer(len(view))
        if len(view):
            copy(memoryview(own), view, threads=threads)
        return _found(queue, message, own, validate)


@contextmanager
def take(queue: Queue, timeout: float | None = None, *, validate: Literal["structure", "full"] = "structure") -> Iterator[Any]:
    """The next table of a queue where it lies, without a copy: it is the queue's again after the block.

        with arrow.take(trades) as table:
            total = pyarrow.compute.sum(table["price"])

    With acknowledgement it is acknowledged at the end of the block, and comes again if that raises, or this process dies.  What
    refers to the table for longer than the block keeps its memory, which is one place less for others.

    Args:
        timeout: seconds to wait for one; None for ever.
        validate: as in :func:`open`.  A hostile producer may change what was checked: take over with :func:`receive` what comes
            from one.

    Raises: at the beginning of the block, as :func:`receive`.
    """
    _check_validate(queue.name, validate, "take")
    with queue.take(timeout) as message:
        yield _found(queue, message, pa.py_buffer(memoryview(message)), validate)


def _found(queue: Queue, message: Message, memory: Any, validate: str) -> Any:
    """The table in a message.  One that is no table never will be: with acknowledgement, too, it does not come again."""
    first = bytes(memory[:8])
    try:
        if first != MAGIC:
            raise Damaged(f"it is {messages.kind(first)}")
        return _table(memoryview(memory).cast("B"), memory, validate)
    except Exception as error:  # see _read
        message.release()
        text = str(error)[:_LONGEST_REASON].rstrip(".")
        raise errors.InvalidContent(
            f"A message of {label('queue', queue.name)} is no Arrow table that can be used, and is out of the queue: {text}",
            name=queue.name,
            call="receive",
        ) from (None if isinstance(error, Damaged) else error)


# -------------------------------------------------------------------------------------------------------- inside
def _as_table(name: str | None, data: Any) -> Any:
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, NamedTable):
        return data.table
    if isinstance(data, pa.RecordBatchReader):  # not through its C stream, where an exception would become a text
        return data.read_all()
    if isinstance(data, (list, tuple)) and data and all(isinstance(batch, pa.RecordBatch) for batch in data):
        try:
            return pa.Table.from_batches(data)
        except pa.ArrowInvalid as error:
            raise _unfit(name, error, "Make them of one schema") from error
    if hasattr(data, "__arrow_c_stream__"):
        _refuse_what_arrow_would_lose(name, data)
        try:
            return pa.RecordBatchReader.from_stream(data).read_all()
        except (pa.ArrowException, ValueError, TypeError, OverflowError, NotImplementedError) as error:  # pandas converts first
            raise _unfit(name, error, "Make a pyarrow.Table of it") from error
    raise TypeError(
        f"publish() takes tables, record batches and what has __arrow_c_stream__, not {type(data).__name__}: "
        "pyarrow.table(...) makes a table of columns"
    )


def _refuse_what_arrow_would_lose(name: str | None, frame: Any) -> None:
    """Frames whose libraries export something else without a word."""
    library = type(frame).__module__.partition(".")[0]
    if library == "polars":
        types = frame.schema.items() if hasattr(frame, "schema") else [(frame.name, frame.dtype)]
        for column, dtype in types:
            if _holds_objects(dtype):  # it exports their addresses
                raise _unfit(name, f"column {column!r} holds Python objects, which exist in one process only", "Cast or drop it")
    elif library == "pandas":
        columns: Any = getattr(frame, "columns", None)
        if type(columns).__name__ == "MultiIndex" and columns.nlevels == 1:  # ("x",) would come back as the text "('x',)"
            raise _unfit(name, "its columns are a MultiIndex of one level", "Use frame.columns.get_level_values(0)")


def _holds_objects(dtype: Any) -> bool:
    """Whether a type of polars is Object, or has it inside."""
    inner = [getattr(dtype, "inner", None), *(field.dtype for field in getattr(dtype, "fields", ()))]
    return str(dtype) == "Object" or any(_holds_objects(part) for part in inner if part is not None)


def _encode(name: str | None, table: Any) -> tuple[list[tuple[int, Any]], int]:
    """The file's pieces, nearly all of them the table's own buffers, and where each goes; the file's size."""
    try:
        try:
            return lay_out(_record(table, unify=False))
        except pa.ArrowInvalid:  # among other things: chunks with different dictionaries.  Unifying copies, so it comes second
            return lay_out(_record(table, unify=True))
    except pa.ArrowException as error:
        raise _unfit(name, error, "Cast the column to a type that Arrow's file format holds") from error


def _record(table: Any, *, unify: bool) -> Recorder:
    record = Recorder()
    options = pa.ipc.IpcWriteOptions(allow_64bit=True, unify_dictionaries=unify)
    with pa.ipc.new_file(pa.PythonFile(record, "w"), table.schema, options=options) as writer:
        writer.write_table(table)
    return record


def _fill(
    section: Section,
    pieces: list[tuple[int, Any]],
    size: int,
    threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> None:
    with section.map() as view:
        _write(view, pieces, size, threads, progress)
        publication.publish(view, MAGIC)


def _write(
    view: View, pieces: list[tuple[int, Any]], size: int, threads: int | None, progress: Callable[[int, int], object] | None
) -> None:
    """Everything but the first eight bytes.  Making pages takes longer than filling them, so several threads make them, for many
    small pieces at once; they are not made all at first, because those just made are still in the cache."""
    made = 0 if size >= _AHEAD else size
    for at, piece in pieces:
        data = memoryview(piece).cast("B")
        if not at:
            at, data = publication.SIZE, data[publication.SIZE :]
        end = at + len(data)
        if len(data) >= _AHEAD:
            copy(memoryview(view)[at:end], data, threads=threads, progress=progress and _share(progress, at, size))
            continue
        if end > made:
            start, made = max(at, made), min(end + _AHEAD, size)
            view.populate(start, made - start, threads=threads)
            if progress is not None:
                progress(at, size)
        view[at:end] = data
    if progress is not None:
        progress(size, size)


def _share(progress: Callable[[int, int], object], before: int, size: int) -> Callable[[int, int], object]:
    """Progress of one piece, told as progress of the whole."""
    return lambda done, _: progress(before + done, size)


def _check_validate(name: str | None, validate: str, call: str) -> None:
    if validate not in ("structure", "full"):
        raise errors.InvalidArgument(f"validate {validate!r}: use 'structure' or 'full'", name=name, call=call)


def _table(content: memoryview, buffer: Any, validate: str) -> Any:
    """The table of a file: ``content``, which ``buffer`` is for pyarrow.  Raises Damaged, and whatever pyarrow says."""
    size = check(content)
    with pa.ipc.open_file(buffer[:size], options=_READING) as reader:
        table = reader.read_all()
    table.validate(full=validate == "full")
    return table


def _read(section: Section, timeout: float | None, validate: str, populate: bool) -> NamedTable:
    try:
        view = hold(section)
        first = published(view, timeout)
        if first != MAGIC:
            raise _invalid(section, f"it begins with {first!r}, not with {MAGIC!r}")
        if populate:
            view.populate()
        try:
            table = _table(memoryview(view), pa.py_buffer(view), validate)
        except Damaged as error:
            raise _invalid(section, error) from None
        except Exception as error:  # whatever pyarrow, or an extension type that is registered with it, says of damaged bytes
            raise _invalid(section, error) from error
    except BaseException:
        section.close()  # now, and not when the last reference to this traceback goes
        raise
    return NamedTable(section, table)


@unpickling("NamedTable")
def _restore(name: str, identity: int, access: Access) -> NamedTable:
    return _read(sections.reopened(name, identity, access), 0, "structure", False)


def _unfit(name: str | None, reason: object, remedy: str) -> errors.InvalidArgument:
    what = "share this table" if name is None else f"publish the table {name!r}"
    return errors.InvalidArgument(f"Cannot {what}: {reason}. {remedy}", name=name, call="publish")


def _invalid(section: Section, reason: object) -> errors.InvalidContent:
    text = str(reason)[:_LONGEST_REASON].rstrip(".")
    return errors.InvalidContent(
        f"Section {section.name!r} holds no Arrow table that can be opened: {text}. Look at it with namedshm.open()",
        name=section.name,
        call="open",
    )
