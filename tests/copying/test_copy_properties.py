"""namedshm.copy against a plain copy of bytes, with whatever hypothesis and NumPy come up with."""

from __future__ import annotations

import numpy as np
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


@settings(max_examples=150, deadline=None)
@given(to=places, start=places, length=places, threads=teams)
def test_a_range_of_a_view_receives_exactly_the_bytes(to: int, start: int, length: int, threads: int | None) -> None:
    length = min(length, ROOM - to, ROOM - start)
    with namedshm.create(None, ROOM) as section, section.map() as view:
        with memoryview(view) as whole, memoryview(BYTES) as source:
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


@pytest.mark.parametrize(
    "array",
    [
        np.arange(2_000_000.0),
        np.arange(3_000_000).reshape(1000, 3000),
        np.arange("2020-01-01", "2020-02-01", dtype="datetime64[s]"),
        np.array(7.5),
        np.zeros(0, np.int8),
        np.zeros(300_000, np.dtype([("x", "<f8"), ("name", "S7")])),
    ],
    ids=["floats", "a table", "times", "a number", "nothing", "records"],
)
def test_arrays_are_copied_out_and_in(array: np.ndarray) -> None:
    back = np.empty_like(array)
    with namedshm.create(None, max(1, array.nbytes)) as section, section.map() as view, memoryview(view) as whole:
        namedshm.copy(whole[: array.nbytes], array)
        namedshm.copy(back, whole[: array.nbytes])
    assert np.array_equal(back, array)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)).T[1:], np.zeros(8)[::2], np.asfortranarray(np.ones((3, 3)))])
def test_an_array_that_is_not_in_c_order_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="one piece"):
        namedshm.copy(bytearray(wrong.nbytes), wrong)
    with pytest.raises(namedshm.InvalidArgument, match="one piece"):
        namedshm.copy(wrong, bytes(wrong.nbytes))


def test_a_read_only_array_is_refused() -> None:
    array = np.zeros(5, np.uint8)
    array.flags.writeable = False
    with pytest.raises(namedshm.AccessDenied, match="read-only"):
        namedshm.copy(array, bytes(5))
