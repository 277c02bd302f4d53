"""namedshm.copy and NumPy's arrays."""

from __future__ import annotations

import numpy as np
import pytest

import namedshm


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
