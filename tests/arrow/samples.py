"""One column of every type that Arrow has, with nulls where there can be some; plain Python and pyarrow, for Windows too."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import struct
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

ROWS = 60


def _repeated(values: list[Any], type: Any = None) -> Any:
    return pa.array((values * ROWS)[:ROWS], type)


def halves(values: list[float | None]) -> Any:
    """An array of float16, without NumPy."""
    valid = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    data = struct.pack(f"{len(values)}e", *(value or 0 for value in values))
    return pa.Array.from_buffers(pa.float16(), len(values), [valid, pa.py_buffer(data)])


class Point(pa.ExtensionType):  # type: ignore[misc]
    """An extension type: two numbers."""

    def __init__(self, unit: str = "m") -> None:
        self.unit = unit
        super().__init__(pa.list_(pa.float64(), 2), "namedshm.test.point")

    def __arrow_ext_serialize__(self) -> bytes:
        return self.unit.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: Any, data: bytes) -> Point:
        return cls(data.decode())


def columns() -> dict[str, Any]:
    """Arrays of ROWS rows by the name of their type."""
    found = {
        "null": pa.nulls(ROWS),
        "bool": _repeated([True, None, False]),
        "float16": halves([1.5, None, -2.0] * (ROWS // 3)),
        "string": _repeated(["", "Grüße", None, "x" * 40]),
        "large_string": _repeated(["", "Grüße", None, "x" * 40], pa.large_string()),
        "string_view": _repeated(["", "Grüße", None, "x" * 40], pa.string_view()),
        "binary": _repeated([b"", b"\0\xff", None, b"x" * 40]),
        "large_binary": _repeated([b"", b"\0\xff", None, b"x" * 40], pa.large_binary()),
        "binary_view": _repeated([b"", b"\0\xff", None, b"x" * 40], pa.binary_view()),
        "fixed_size_binary": _repeated([b"abc", None, b"def"], pa.binary(3)),
        "decimal128": _repeated([decimal.Decimal("1.25"), None, decimal.Decimal("-9.5")], pa.decimal128(20, 2)),
        "decimal256": _repeated([decimal.Decimal("1.25"), None, decimal.Decimal("-9.5")], pa.decimal256(60, 2)),
        "date32": _repeated([datetime.date(2024, 2, 29), None]),
        "date64": _repeated([datetime.date(2024, 2, 29), None], pa.date64()),
        "time32": _repeated([datetime.time(1, 2, 3), None], pa.time32("ms")),
        "time64": _repeated([datetime.time(1, 2, 3, 4), None], pa.time64("ns")),
        "timestamp": _repeated([1, None, -5], pa.timestamp("ns")),
        "timestamp with zone": _repeated([1, None, -5], pa.timestamp("us", "Europe/Berlin")),
        "duration": _repeated([1, None, -5], pa.duration("s")),
        "interval": _repeated([pa.MonthDayNano([1, 2, 3]), None]),
        "list": _repeated([[1, None], None, []], pa.list_(pa.int32())),
        "large_list": _repeated([["a"], None, []], pa.large_list(pa.string())),
        "list_view": _repeated([[1, None], None, []], pa.list_view(pa.int32())),
        "large_list_view": _repeated([[1, None], None, []], pa.large_list_view(pa.int32())),
        "fixed_size_list": _repeated([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)),
        "struct": _repeated([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
        "map": _repeated([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
        "list of struct of list": _repeated([[{"a": [1, 2]}, None], None, []]),
        "sparse union": pa.UnionArray.from_sparse(
            _repeated([0, 1], pa.int8()), [_repeated([1, None, 3]), _repeated(["a", "b", None])], ["n", "s"]
        ),
        "dense union": pa.UnionArray.from_dense(
            _repeated([0, 1], pa.int8()),
            pa.array([row // 2 for row in range(ROWS)], pa.int32()),
            [_repeated([1, None, 3]), _repeated(["a", "b", None])],
        ),
        "dictionary": _repeated(["a", "b", None]).dictionary_encode(),
        "ordered dictionary": pa.DictionaryArray.from_arrays(
            _repeated([0, 1, None], pa.int8()), pa.array(["low", "high"]), ordered=True
        ),
        "dictionary with nulls among its values": pa.DictionaryArray.from_arrays(
            _repeated([0, 1, None], pa.uint16()), pa.array(["a", None])
        ),
        "dictionary of lists": pa.DictionaryArray.from_arrays(_repeated([0, 1, None], pa.int32()), pa.array([[1, 2], []])),
        "list of dictionary": pa.ListArray.from_arrays(
            pa.array(range(ROWS + 1), pa.int32()), _repeated(["a", "b", None]).dictionary_encode()
        ),
        "run-end encoded": pa.RunEndEncodedArray.from_arrays(pa.array([3, 9, ROWS], pa.int32()), pa.array(["a", None, "c"])),
        "extension": pa.ExtensionArray.from_storage(Point("km"), _repeated([[1.0, 2.0], None], pa.list_(pa.float64(), 2))),
    }
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
        found[kind] = _repeated([1, None, 100], getattr(pa, kind)())
    return found


def buffers(table: Any) -> list[Any]:
    """All buffers of a table that have bytes, those of dictionaries too."""
    found: list[Any] = []

    def collect(array: Any) -> None:
        found.extend(buffer for buffer in array.buffers() if buffer is not None and buffer.size)
        for dictionary in dictionaries(array):
            collect(dictionary)

    for column in table.columns:
        for chunk in column.chunks:
            collect(chunk)
    return found


def dictionaries(array: Any) -> list[Any]:
    """The dictionaries of an array, which buffers() leaves out."""
    if isinstance(array, pa.ExtensionArray):
        return dictionaries(array.storage)
    if isinstance(array, pa.DictionaryArray):
        return [array.dictionary]
    if pa.types.is_struct(array.type) or pa.types.is_union(array.type):
        return [inner for field in range(array.type.num_fields) for inner in dictionaries(array.field(field))]
    if isinstance(array, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray, pa.MapArray)):
        return dictionaries(array.values)
    return []


_pools: list[Any] = []  # what was allocated from a pool must not outlive it


@contextlib.contextmanager
def counting() -> Iterator[Any]:
    """What is allocated meanwhile: ``arrow``, a memory pool of pyarrow that begins with nothing; ``python``, bytes at most."""
    before = pa.default_memory_pool()
    counted = SimpleNamespace(arrow=pa.proxy_memory_pool(before), python=0)
    _pools.append(counted.arrow)
    pa.set_memory_pool(counted.arrow)
    tracemalloc.start()
    try:
        yield counted
        counted.python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)
