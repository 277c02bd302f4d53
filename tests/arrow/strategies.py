"""Any table: every type, nested, with nulls, sliced, in chunks; numbers have any bits they can have."""

from __future__ import annotations

import datetime
import decimal
import itertools
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from .samples import halves

Draw = Callable[[Any], Any]

DEEPEST = 3
_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_decimals = st.decimals(-10_000, 10_000, places=2, allow_nan=False)

#: Types of one width whose values may have any bits: bits of a value.  (Floats are not among them: NaN is not equal to NaN.)
ANY_BITS = {
    **{getattr(pa, f"{sign}int{bits}")(): bits for sign in ("", "u") for bits in (8, 16, 32, 64)},
    pa.date32(): 32,
    pa.bool_(): 1,
    pa.timestamp("ns"): 64,
    pa.timestamp("s", "Asia/Kolkata"): 64,
    pa.duration("us"): 64,
    pa.month_day_nano_interval(): 128,
    pa.binary(0): 0,
    pa.binary(5): 40,
}
#: Types made from Python values.
FROM_VALUES = {
    pa.float16(): st.floats(width=16, allow_nan=False),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): _texts,
    pa.large_string(): _texts,
    pa.string_view(): _texts,
    pa.binary(): st.binary(max_size=20),
    pa.large_binary(): st.binary(max_size=20),
    pa.binary_view(): st.binary(max_size=20),
    pa.decimal128(9, 2): _decimals,
    pa.decimal256(60, 2): _decimals,
    pa.date64(): st.dates(datetime.date(1900, 1, 1), datetime.date(2200, 1, 1)),
    pa.time32("s"): st.times().map(lambda time: time.replace(microsecond=0)),
    pa.time64("us"): st.times(),
}


def _nulls(draw: Draw, length: int) -> Any:
    """Which values are null: a boolean array, or None."""
    return pa.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)), pa.bool_()) if draw(st.booleans()) else None


def _validity(draw: Draw, length: int) -> Any:
    nulls = _nulls(draw, length)
    return None if nulls is None else pa.array([not null for null in nulls.to_pylist()], pa.bool_()).buffers()[1]


def _offsets(draw: Draw, length: int, end: int) -> list[int]:
    return sorted(draw(st.lists(st.integers(0, end), min_size=length + 1, max_size=length + 1)))


# ------------------------------------------------------------------------------------------------------------ one array
def _any_bits(draw: Draw, length: int, _: int) -> Any:
    type = draw(st.sampled_from(list(ANY_BITS)))
    size = -(-length * ANY_BITS[type] // 8)
    data = pa.py_buffer(draw(st.binary(min_size=size, max_size=size)))
    return pa.Array.from_buffers(type, length, [_validity(draw, length), data])


def _from_values(draw: Draw, length: int, _: int) -> Any:
    type = draw(st.sampled_from(list(FROM_VALUES)))
    values = draw(st.lists(st.none() | FROM_VALUES[type], min_size=length, max_size=length))
    if type == pa.float16():
        return halves(values)
    if pa.types.is_decimal(type):
        values = [value if value is None else value.quantize(decimal.Decimal("0.01")) for value in values]
    return pa.array(values, type)


def _null(draw: Draw, length: int, _: int) -> Any:
    return pa.nulls(length)


def _list(draw: Draw, length: int, depth: int) -> Any:
    inner = draw(st.integers(0, 2 * length))
    kind, width = draw(st.sampled_from([(pa.ListArray, pa.int32()), (pa.LargeListArray, pa.int64())]))
    offsets = pa.array(_offsets(draw, length, inner), width)
    return kind.from_arrays(offsets, draw(arrays(inner, depth)), mask=_nulls(draw, length))


def _list_view(draw: Draw, length: int, depth: int) -> Any:
    inner = draw(st.integers(1, 2 * length + 1))
    kind, width = draw(st.sampled_from([(pa.ListViewArray, pa.int32()), (pa.LargeListViewArray, pa.int64())]))
    starts = draw(st.lists(st.integers(0, inner), min_size=length, max_size=length))
    sizes = [draw(st.integers(0, inner - start)) for start in starts]
    return kind.from_arrays(pa.array(starts, width), pa.array(sizes, width), draw(arrays(inner, depth)), mask=_nulls(draw, length))


def _fixed_size_list(draw: Draw, length: int, depth: int) -> Any:
    size = draw(st.integers(1, 3))
    return pa.FixedSizeListArray.from_arrays(draw(arrays(length * size, depth)), size, mask=_nulls(draw, length))


def _struct(draw: Draw, length: int, depth: int) -> Any:
    fields = [draw(arrays(length, depth)) for _ in range(draw(st.integers(1, 3)))]
    names = [draw(_texts) for _ in fields]
    return pa.StructArray.from_arrays(fields, names, mask=_nulls(draw, length))


def _map(draw: Draw, length: int, depth: int) -> Any:
    inner = draw(st.integers(0, 2 * length))
    keys = pa.array([str(key) for key in range(inner)], pa.string())
    return pa.MapArray.from_arrays(pa.array(_offsets(draw, length, inner), pa.int32()), keys, draw(arrays(inner, depth)))


def _union(draw: Draw, length: int, depth: int) -> Any:
    count = draw(st.integers(1, 3))
    types = draw(st.lists(st.integers(0, count - 1), min_size=length, max_size=length))
    ids = pa.array(types, pa.int8())
    if draw(st.booleans()):
        return pa.UnionArray.from_sparse(ids, [draw(arrays(length, depth)) for _ in range(count)])
    seen = [itertools.count() for _ in range(count)]
    places = pa.array([next(seen[type]) for type in types], pa.int32())
    return pa.UnionArray.from_dense(ids, places, [draw(arrays(next(used), depth)) for used in seen])


def _dictionary(draw: Draw, length: int, depth: int) -> Any:
    values = draw(arrays(draw(st.integers(1, 4)), depth, dictionaries=False))
    width = draw(st.sampled_from([pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64()]))
    indices = draw(st.lists(st.none() | st.integers(0, len(values) - 1), min_size=length, max_size=length))
    return pa.DictionaryArray.from_arrays(pa.array(indices, width), values, ordered=draw(st.booleans()))


def _run_ends(draw: Draw, length: int, depth: int) -> Any:
    if not length:
        return pa.nulls(0)
    ends = sorted({*draw(st.lists(st.integers(1, length), max_size=3)), length})
    width = draw(st.sampled_from([pa.int16(), pa.int32(), pa.int64()]))
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, width), draw(arrays(len(ends), depth)))


LEAVES = (_any_bits, _any_bits, _from_values, _from_values, _null)
NESTED = (_list, _list_view, _fixed_size_list, _struct, _map, _union, _run_ends)


@st.composite
def arrays(draw: Draw, length: int, depth: int = DEEPEST, dictionaries: bool = True) -> Any:
    """An array of ``length`` values, perhaps the middle of a longer one."""
    kinds = (*LEAVES, *(NESTED if depth else ()), *((_dictionary,) if depth and dictionaries else ()))
    before, behind = draw(st.sampled_from([(0, 0), (0, 0), (1, 0), (0, 2), (9, 1)]))
    whole = draw(st.sampled_from(kinds))(draw, before + length + behind, depth - 1)
    return whole.slice(before, length)


# ------------------------------------------------------------------------------------------------------------ tables
_metadata = st.none() | st.dictionaries(st.binary(max_size=9), st.binary(max_size=9), max_size=3)


@st.composite
def tables(draw: Draw) -> Any:
    """A table; its columns are cut into chunks in the same places or not."""
    rows = draw(st.integers(0, 12))
    columns, fields = [], []
    for _ in range(draw(st.integers(0, 4))):
        column = draw(arrays(rows))
        cuts = [0, *sorted(draw(st.lists(st.integers(0, rows), max_size=3))), rows]
        columns.append(pa.chunked_array([column.slice(a, b - a) for a, b in itertools.pairwise(cuts)], column.type))
        fields.append(pa.field(draw(_texts), column.type, metadata=draw(_metadata)))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=draw(_metadata)))
