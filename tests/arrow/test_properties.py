"""Whatever can be in an Arrow table is in the published one, bit for bit, and in another process too."""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.extras import needs
from helpers.peer import Peer
from hypothesis import HealthCheck, given, settings

pa = needs("pyarrow")

from namedshm import arrow

from . import samples
from .strategies import tables

_numbers = itertools.count()

DIGEST = """
import hashlib
import pyarrow as pa
from namedshm import arrow
def digest(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()
def opened(name):
    with arrow.open(name, validate='full') as handle:
        return digest(handle.table)
"""
exec(DIGEST)  # the same here and there


@pytest.fixture(scope="module")
def reader() -> Iterator[Peer]:
    with Peer() as peer:
        peer.do(DIGEST)
        yield peer


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables())
def test_any_table_is_the_same_in_another_process(reader: Peer, table: Any) -> None:
    table.validate(full=True)
    name = f"any-{os.getpid()}-{next(_numbers)}"
    with arrow.publish(name, table) as handle:
        assert handle.schema.equals(table.schema, check_metadata=True)
        assert handle.num_rows == table.num_rows
        there = reader.do("opened(name)", name=name)
        assert there == digest(handle.table)  # type: ignore[name-defined]  # noqa: F821
        assert there == digest(table)  # type: ignore[name-defined]  # noqa: F821
        for buffer in samples.buffers(handle.table):
            assert buffer.address % 64 == 0
