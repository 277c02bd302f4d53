"""Every type is opened as it was published, in the section's own memory: aligned, read-only, nothing copied."""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.extras import needs
from helpers.peer import Peer

pa = needs("pyarrow")

import namedshm
from namedshm import arrow

from . import samples

COLUMNS = samples.columns()
MANY = 2000  # times a sample's rows: from 16 KB for a boolean column to megabytes


@pytest.fixture(autouse=True)
def _point() -> Iterator[None]:
    pa.register_extension_type(samples.Point())
    yield
    pa.unregister_extension_type("namedshm.test.point")


def large(kind: str) -> Any:
    """MANY samples in one chunk; where pyarrow cannot join them, as one slice after the other."""
    column = COLUMNS[kind]
    if kind == "run-end encoded":
        ends = [len(column) * time + end for time in range(MANY) for end in column.run_ends.to_pylist()]
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), pa.concat_arrays([column.values] * MANY))
    if kind == "extension":
        return pa.ExtensionArray.from_storage(column.type, pa.concat_arrays([column.storage] * MANY))
    if kind == "dictionary of lists":
        return column.take(pa.array(list(range(len(column))) * MANY))
    return pa.concat_arrays([column] * MANY)


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_is_opened_as_it_was_published(name: str, kind: str) -> None:
    table = pa.table({"x": COLUMNS[kind]}, metadata={b"about": b"\0\xff"})
    with arrow.publish(name, table) as published, arrow.open(name, validate="full") as opened:
        assert opened.schema.equals(table.schema, check_metadata=True)
        assert opened.table.equals(table)
        assert published.table.equals(table)


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_slice_is_published_as_the_rows_it_has(name: str, kind: str) -> None:
    rows = pa.table({"x": COLUMNS[kind]}).slice(13, 21)
    with arrow.publish(name, rows), arrow.open(name, validate="full") as opened:
        assert opened.table.equals(rows)


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_without_rows_keeps_its_type(name: str, kind: str) -> None:
    table = pa.table({"x": COLUMNS[kind].slice(0, 0)})
    with arrow.publish(name, table), arrow.open(name, validate="full") as opened:
        assert opened.schema.equals(table.schema)
        assert opened.num_rows == 0


@pytest.mark.parametrize("kind", COLUMNS)
def test_opening_copies_nothing(name: str, kind: str) -> None:
    with arrow.publish(name, pa.table({"x": large(kind)})):
        arrow.open(name).close()  # what is made once is made
        with samples.counting() as pool:
            opened = arrow.open(name)
        assert (pool.arrow.max_memory(), pool.arrow.bytes_allocated()) == (0, 0)
        assert pool.python < 30_000
        for buffer in samples.buffers(opened.table):
            assert not buffer.is_mutable
            assert buffer.address % 64 == 0


def test_what_is_counted_is_counted() -> None:
    with samples.counting() as pool:
        kept = [pa.array([1] * 1000, pa.int64()), bytes(50_000)]
    assert pool.arrow.max_memory() >= 8000
    assert pool.arrow.bytes_allocated() >= 8000
    assert pool.python > 50_000
    assert kept


def test_all_handles_see_the_memory_that_is_in_the_section(name: str, peers: Callable[[], Peer]) -> None:
    mark = 0x1122334455667788
    handle = arrow.publish(name, pa.table({"x": pa.array([1, mark, 3], pa.int64())}))
    peer = peers()
    peer.do("from namedshm import arrow; opened = arrow.open(name)", name=name)
    with pytest.raises(TypeError, match="read-only"):
        memoryview(handle.table["x"].chunk(0).buffers()[1])[0] = 1
    with namedshm.open(name).map() as view:  # what nobody should do
        at = view[:].find(mark.to_bytes(8, sys.byteorder))
        view[at : at + 8] = bytes(8)
    assert handle.table["x"].to_pylist() == [1, 0, 3]
    assert peer.do("opened.table['x'].to_pylist()") == [1, 0, 3]
