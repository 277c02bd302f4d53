"""namedshm.copy against a plain copy of bytes, with whatever hypothesis comes up with."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import namedshm

from .conftest import UNIT, pattern

ROOM = 4 * UNIT
near_edges = st.builds(lambda unit, by: max(0, unit * UNIT + by), st.integers(0, 3), st.integers(-70, 70))
places = st.one_of(st.integers(0, ROOM), near_edges)
teams = st.one_of(st.none(), st.integers(1, 6))
BYTES = pattern(ROOM)


@pytest.mark.usefixtures("streamed")
@settings(max_examples=150, deadline=None)
@given(to=places, start=places, length=places, threads=teams, touched=st.booleans())
def test_a_range_of_a_view_receives_exactly_the_bytes(to: int, start: int, length: int, threads: int | None, touched: bool) -> None:
    length = min(length, ROOM - to, ROOM - start)
    with namedshm.create(None, ROOM) as section, section.map() as view:
        with memoryview(view) as whole, memoryview(BYTES) as source:
            if touched:  # what is absent is made in small pieces, which are never streamed
                whole[to : to + length] = bytes(length)
            assert namedshm.copy(whole[to : to + length], source[start : start + length], threads=threads) == length
        assert view[to : to + length] == BYTES[start : start + length]
        assert not any(view[:to]) and not any(view[to + length :])  # noqa: PT018


@settings(max_examples=150, deadline=None)
@given(to=places, start=places, length=places, threads=teams)
def test_ranges_of_one_view_are_copied_as_if_all_were_read_first(to: int, start: int, length: int, threads: int | None) -> None:
    length = min(length, ROOM - to, ROOM - start)
    expected = bytearray(BYTES)
    expected[to : to + length] = BYTES[start : start + length]
    with namedshm.create(None, ROOM) as section, section.map() as view:
        view[:] = BYTES
        with memoryview(view) as whole:
            namedshm.copy(whole[to : to + length], whole[start : start + length], threads=threads)
        assert view[:] == expected
