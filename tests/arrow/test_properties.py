"""Whatever can be in an Arrow table is in the published one, bit for bit, and in another process too."""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.extras import needs
from helpers.peer import Peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pa = needs("pyarrow")

from namedshm import arrow

from . import samples
from .strategies import tables

_numbers = itertools.count()

OPENED = """
import pyarrow as pa
from namedshm import arrow
def opened(name):
    sink = pa.BufferOutputStream()
    with arrow.open(name, validate='full') as handle, pa.ipc.new_stream(sink, handle.schema) as writer:
        writer.write_table(handle.table)
    return sink.getvalue().to_pybytes()
"""


@pytest.fixture(scope="module")
def reader() -> Iterator[Peer]:
    with Peer() as peer:
        peer.do(OPENED)
        yield peer


@pytest.mark.timeout(600)
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables())
def test_any_table_is_the_same_in_another_process(reader: Peer, table: Any) -> None:
    name = f"any-{os.getpid()}-{next(_numbers)}"
    with arrow.publish(name, table) as handle:
        there = pa.ipc.open_stream(reader.do("opened(name)", name=name)).read_all()
        for seen in (handle.table, there):
            assert seen.schema.equals(table.schema, check_metadata=True)
            assert seen.num_rows == table.num_rows
            assert seen.equals(table)
        for buffer in samples.buffers(handle.table):
            assert buffer.address % 64 == 0


@pytest.mark.parametrize(("type", "bits"), [(pa.float16(), 16), (pa.float32(), 32), (pa.float64(), 64)], ids=str)
def test_every_bit_of_a_float_is_kept(name: str, reader: Peer, type: Any, bits: int) -> None:
    """Numbers that are not numbers come in many patterns; zero has a sign."""
    mantissa = {16: 10, 32: 23, 64: 52}[bits]
    nothing = ((1 << bits - 1 - mantissa) - 1) << mantissa
    patterns = [1 << bits - 1, nothing + 1, nothing + 5, nothing + (1 << mantissa - 1), (1 << bits) - 1, 1]
    data = b"".join(pattern.to_bytes(bits // 8, sys.byteorder) for pattern in patterns)
    array = pa.Array.from_buffers(type, len(patterns), [None, pa.py_buffer(data)])
    with arrow.publish(name, pa.table({"x": array})):
        there = pa.ipc.open_stream(reader.do("opened(name)", name=name)).read_all()
        assert there["x"].chunk(0).buffers()[1].to_pybytes()[: len(data)] == data


letters = st.lists(st.none() | st.sampled_from(["", "a", "b", "c", "long " * 9]), max_size=6)


@pytest.mark.timeout(600)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(letters, min_size=1, max_size=4), form=st.sampled_from(["plain", "struct", "list", "slice"]))
def test_chunks_with_any_dictionaries_get_one(parts: list[list[str | None]], form: str) -> None:
    chunks = [pa.array(values, pa.string()).dictionary_encode() for values in parts]
    if form == "struct":
        chunks = [pa.StructArray.from_arrays([chunk], ["d"]) for chunk in chunks]
    elif form == "list":
        chunks = [pa.ListArray.from_arrays(pa.array([0, len(chunk)], pa.int32()), chunk) for chunk in chunks]
    elif form == "slice":
        chunks = [chunk.slice(1) for chunk in chunks]
    table = pa.table({"x": pa.chunked_array(chunks)})
    with arrow.publish(f"any-{os.getpid()}-{next(_numbers)}", table) as handle, arrow.open(handle.name, validate="full") as opened:
        assert opened.schema.equals(table.schema)
        assert opened.table["x"].to_pylist() == table["x"].to_pylist()
