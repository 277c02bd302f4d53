"""What a section holds, told by its bytes: an array, a record, an Arrow table, or just bytes.  Reads; changes nothing.

Texts that come out of a section are another user's: they are escaped before they reach the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from namedshm import errors
from namedshm._formats.arrow_ipc import MAGIC as ARROW
from namedshm._formats.npy import MAGIC as NPY
from namedshm._formats.publication import SIZE

from . import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namedshm.section import View

__all__ = ["Content", "content", "format_of"]

_ROWS = 5  # of a table's preview
_LINES = 12  # of an array's


class Content(NamedTuple):
    """What is told of it.

    Attributes:
        kind: what the bytes are.
        summary: one line.
        details: the same as JSON.
        preview: some lines of it.
        damaged: it begins as typed content and is none.
    """

    kind: Literal["array", "record", "table", "bytes"]
    summary: str
    details: dict[str, Any]
    preview: list[str]
    damaged: bool = False


def format_of(first: bytes) -> Literal["npy", "arrow", "bin"]:
    """The file format that begins with these eight bytes."""
    return "npy" if first.startswith(NPY) else "arrow" if first == ARROW else "bin"


def content(name: str, view: View, reach: int, width: int) -> Content:
    """Look into a section.

    Args:
        view: of the whole section.
        reach: how many of its bytes may be read.
        width: of the preview's lines, characters.
    """
    first = view[: min(SIZE, reach)]
    try:
        match format_of(first):
            case "npy":
                return _record(name) or _array(name, width)
            case "arrow":
                return _table(name, width)
    except ImportError as error:
        extra = {"numpy": "numpy", "pyarrow": "arrow"}.get(error.name or "", "")
        return _bytes(f"it begins as {'an array' if extra == 'numpy' else 'a table'}: to see more pip install 'namedshm[{extra}]'")
    except ValueError as error:  # InvalidContent
        remark = f"it begins as {'an array' if first.startswith(NPY) else 'a table'}, but: {words.printable(str(error))}"
        return _bytes(remark)._replace(damaged=True)
    return _bytes("")


def _bytes(remark: str) -> Content:
    return Content("bytes", f"bytes ({remark})" if remark else "bytes", {"kind": "bytes"}, [])


def _record(name: str) -> Content | None:
    from namedshm.records import Record

    try:
        record = Record.open(name, "read", timeout=0)
    except errors.InvalidContent:
        return None
    with record:
        snapshot: Any = record.snapshot()
        values = snapshot._asdict()
        width = max(map(len, values), default=0)
        lines = [f"{field:<{width}}  {record.fields[field]:<6}  {value!r}" for field, value in values.items()]
        details = {"kind": "record", "version": record.version, "fields": record.fields}
        return Content("record", f"record, version {record.version}", details, [words.printable(line) for line in lines])


def _array(name: str, width: int) -> Content:
    import numpy as np

    from namedshm import arrays

    with arrays.open(name, "read", timeout=0) as array:
        order = "C" if array.flags.c_contiguous else "F"
        dtype = array.dtype.descr if array.dtype.names else str(array.dtype)
        shape = ", ".join(map(str, array.shape)) + ("," if array.ndim == 1 else "")
        summary = f"array of shape ({shape}), dtype {words.printable(str(array.dtype))}, order {order}"
        details = {"kind": "array", "shape": list(array.shape), "dtype": dtype, "order": order}
        with np.printoptions(threshold=60, edgeitems=3, linewidth=width):
            lines = str(array.view(np.ndarray)).splitlines()
        if len(lines) > _LINES:
            lines = [*lines[:_LINES], "..."]
        return Content("array", summary, details, [words.printable(line) for line in lines])


def _table(name: str, width: int) -> Content:
    from namedshm import arrow

    with arrow.open(name, timeout=0) as held:
        schema = [(words.printable(field.name), words.printable(str(field.type))) for field in held.schema]
        summary = f"Arrow table of {held.num_rows} rows and {len(schema)} columns"
        details = {"kind": "table", "rows": held.num_rows, "schema": [{"name": n, "type": t} for n, t in schema]}
        piece = held.table.slice(0, _ROWS)
        piece.validate(full=True)  # its writer may be anybody, and values are looked at only here
        lines = [f"{n}: {t}" for n, t in schema]
        if piece.num_rows and schema:
            lines += ["", *_grid([n for n, _ in schema], piece, width)]
        return Content("table", summary, details, lines)


def _grid(names: list[str], piece: Any, width: int) -> Iterator[str]:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="none")
    for name in names:
        grid.add_column(Text(name), no_wrap=True, overflow="ellipsis")
    columns = [column.to_pylist() for column in piece.columns]
    for row in zip(*columns, strict=True):
        grid.add_row(*(Text(words.printable("null" if value is None else str(value))) for value in row))
    text = StringIO()
    Console(file=text, width=width, color_system=None).print(grid)
    for line in text.getvalue().splitlines():
        yield line.rstrip()
