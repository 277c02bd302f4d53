"""What the values of a topic are, if not bytes: arrays of one type and shape, or Arrow tables of one schema (contract.Codec).

The schema travels with the topic: of arrays it is a ``.npy`` header, and a value is its elements; of tables it is a schema as Arrow
writes it, and a value is an Arrow file.  Nothing that comes out of a topic is believed: schemas are read as headers of files are,
and a value of another length, or whose bytes are no table of that schema, is InvalidContent.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import errors
from ._formats import npy
from ._holder import label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._backend.contract import Codec
    from ._formats.array_layout import Layout

__all__ = ["ARRAY", "ARROW", "RAW", "Arrays", "Tables", "codec"]

RAW, ARRAY, ARROW = range(3)  # as in docs/format-topic.md

_LONGEST = 65536  # bytes of a schema


def codec(topic: Any) -> Codec:
    """What reads the values of this topic.  Raises: InvalidContent; ImportError: numpy or pyarrow is not installed."""
    kind = topic.schema_kind
    if kind == ARRAY:
        return Arrays.told(topic.name, topic.schema_bytes())
    if kind == ARROW:
        return Tables.told(topic.name, topic.schema_bytes())
    raise _unknown(topic.name, f"its kind is {kind}, which is of another program")


def _unknown(name: str | None, reason: object) -> errors.InvalidContent:
    return errors.InvalidContent(
        f"The schema of {label('topic', name)} says nothing that can be used: {str(reason)[:500].rstrip('.')}. Create it anew",
        name=name,
        call="open",
    )


def _too_long(name: str | None, size: int) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f"Cannot create {label('topic', name)}: its schema takes {size} bytes, {_LONGEST} at most: use shorter names of fields",
        name=name,
        call="create",
    )


def _damaged(topic: Any, reason: object) -> errors.InvalidContent:
    return errors.InvalidContent(
        f"A value of {label('topic', topic.name)} is not what its schema says: {str(reason)[:500].rstrip('.')}. "
        "Whoever published it is no friend, or another program",
        name=topic.name,
        call="read",
    )


# ------------------------------------------------------------------------------------------------------------ arrays
class Arrays:
    """Arrays of one dtype and shape."""

    def __init__(self, layout: Layout, schema: bytes) -> None:
        self.layout = layout._replace(offset=0)
        self.schema = schema
        self.size = layout.size

    @classmethod
    def made_of(cls, name: str | None, dtype: Any, shape: Any) -> Arrays:
        """For a new topic.  Raises InvalidArgument."""
        from . import arrays

        layout, header = arrays._layout(name, shape, dtype, "C")
        if len(header) > _LONGEST:
            raise _too_long(name, len(header))
        return cls(layout, header)

    @classmethod
    def told(cls, name: str | None, schema: bytes) -> Arrays:
        from ._formats.array_layout import announced

        try:
            return cls(announced(schema), schema)
        except (ValueError, OverflowError) as error:
            raise _unknown(name, error) from None

    def publish(self, topic: Any, data: Any, timeout: float | None) -> None:
        import numpy as np

        given = np.asarray(data)
        layout = self.layout
        if given.shape != layout.shape or (given.dtype != layout.dtype and not _is_safe(given.dtype, layout.dtype, data)):
            raise errors.InvalidArgument(
                f"Cannot publish an array of shape {npy.short(given.shape)} and dtype {npy.short(given.dtype)}: the values of "
                f"{label('topic', topic.name)} have shape {npy.short(layout.shape)} and dtype {npy.short(layout.dtype)}",
                name=topic.name,
                call="publish",
            )
        given = given.astype(layout.dtype, copy=False)
        in_order = np.asfortranarray(given).T if layout.fortran else np.ascontiguousarray(given)
        topic.publish_buffer(in_order.reshape(-1).view(np.uint8).data if layout.size else b"", timeout)

    def room(self, topic: Any, length: int) -> Any:
        import numpy as np

        self._fits(topic, length)
        return np.empty(length, np.uint8)

    def made(self, topic: Any, room: Any) -> Any:
        from . import arrays

        return arrays._within(room, self.layout)

    def target(self, topic: Any, out: Any) -> Any:
        import numpy as np

        layout = self.layout
        if not isinstance(out, np.ndarray):
            raise TypeError(f"Values of {label('topic', topic.name)} are arrays: pass one to be filled, not {type(out).__name__}")
        fits = out.flags.f_contiguous if layout.fortran else out.flags.c_contiguous
        if out.dtype != layout.dtype or out.shape != layout.shape or not fits or not out.flags.writeable:
            raise errors.InvalidArgument(
                f"Cannot read into an array of shape {npy.short(out.shape)} and dtype {npy.short(out.dtype)}: it must be of shape "
                f"{npy.short(layout.shape)} and dtype {npy.short(layout.dtype)}, contiguous and writable",
                name=topic.name,
                call="latest",
            )
        flat = (out.T if layout.fortran else out).reshape(-1)
        return flat.view(np.uint8) if layout.size else bytearray()

    def viewed(self, topic: Any) -> None:
        """A number that changes while it is looked at is a wrong number, and no more."""

    def shown(self, topic: Any, window: Any) -> Any:
        import numpy as np

        from . import arrays

        self._fits(topic, len(window))
        return arrays._within(np.frombuffer(memoryview(window), np.uint8), self.layout)

    @contextmanager
    def lent(self, window: Any, timeout: float | None) -> Iterator[Any]:
        from . import arrays

        with arrays.filling(window, self.layout, b"", timeout) as array:
            yield array

    def _fits(self, topic: Any, length: int) -> None:
        if length != self.size:
            raise _damaged(topic, f"it has {length} bytes, and should have {self.size}")

    def words(self) -> str:
        return f"arrays of shape {npy.short(self.layout.shape)} and dtype {npy.short(self.layout.dtype)}"


def _is_safe(given: Any, wanted: Any, data: Any) -> bool:
    """Whether numbers of Python (lists, floats) may be stored so: an array must be of the right dtype."""
    import numpy as np

    return not isinstance(data, np.ndarray) and np.can_cast(given, wanted, "same_kind")


# ------------------------------------------------------------------------------------------------------------ tables
class Tables:
    """Arrow tables of one schema."""

    def __init__(self, arrow_schema: Any, schema: bytes) -> None:
        self.arrow_schema = arrow_schema
        self.schema = schema

    @classmethod
    def made_of(cls, name: str | None, arrow_schema: Any) -> Tables:
        import pyarrow as pa

        if not isinstance(arrow_schema, pa.Schema):
            raise TypeError(f"schema must be a pyarrow.Schema, not {type(arrow_schema).__name__}")
        schema = arrow_schema.serialize().to_pybytes()
        if len(schema) > _LONGEST:
            raise _too_long(name, len(schema))
        return cls(arrow_schema, schema)

    @classmethod
    def told(cls, name: str | None, schema: bytes) -> Tables:
        import pyarrow as pa

        try:
            return cls(pa.ipc.read_schema(pa.py_buffer(schema)), schema)
        except Exception as error:  # whatever pyarrow, or an extension type, says of damaged bytes
            raise _unknown(name, error) from error

    def publish(self, topic: Any, data: Any, timeout: float | None) -> None:
        from . import arrow
        from ._backend import TopicHandle

        table = arrow._as_table(topic.name, [data] if _is_batch(data) else data)
        if not table.schema.equals(self.arrow_schema):
            raise errors.InvalidArgument(
                f"Cannot publish a table of the schema {_line(table.schema)}: the values of {label('topic', topic.name)} have the "
                f"schema {_line(self.arrow_schema)}. table.cast(topic.schema) may make one of it",
                name=topic.name,
                call="publish",
            )
        pieces, size = arrow._encode(topic.name, table)
        if size > topic.max_size:
            raise errors.InvalidArgument(
                f"Cannot publish a table of {size} bytes: values of {label('topic', topic.name)} have {topic.max_size} at most: "
                "create it with a larger max_size",
                name=topic.name,
                call="publish",
            )
        window = TopicHandle._lend(topic, size, timeout)
        with window, memoryview(window) as memory:
            arrow._place(memory, pieces, size, None)

    def room(self, topic: Any, length: int) -> Any:
        import pyarrow as pa

        return pa.allocate_buffer(length)

    def made(self, topic: Any, room: Any) -> Any:
        from . import arrow
        from ._formats.arrow_ipc import MAGIC

        try:
            if bytes(room[:8]) != MAGIC:
                raise ValueError("it is no Arrow file")
            table = arrow._table(memoryview(room).cast("B"), room, "structure")
        except Exception as error:  # as in arrow.py
            raise _damaged(topic, error) from error
        if not table.schema.equals(self.arrow_schema):
            raise _damaged(topic, f"its schema is {_line(table.schema)}")
        return table

    def target(self, topic: Any, out: Any) -> Any:
        raise errors.Unsupported(
            f"Values of {label('topic', topic.name)} are tables, which are not read into something: use latest() or next()",
            name=topic.name,
            call="latest_into",
        )

    def viewed(self, topic: Any) -> None:
        raise errors.Unsupported(
            f"Cannot view tables of {label('topic', topic.name)} where they lie: what is overtaken while pyarrow reads it could "
            "make it read elsewhere. pin() them, or take copies with latest()",
            name=topic.name,
            call="view",
        )

    def shown(self, topic: Any, window: Any) -> Any:
        import pyarrow as pa

        return self.made(topic, pa.py_buffer(memoryview(window)))

    def lent(self, topic: Any, timeout: float | None) -> Any:
        raise errors.Unsupported("A table is laid out when it is published: use publish()", name=topic.name, call="loan")

    def words(self) -> str:
        return f"tables of the schema {_line(self.arrow_schema)}"


def _is_batch(data: Any) -> bool:
    import pyarrow as pa

    return isinstance(data, pa.RecordBatch)


def _line(schema: Any) -> str:
    return npy.short(", ".join(f"{field.name}: {field.type}" for field in schema))
