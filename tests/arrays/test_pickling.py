"""Pickling an array sends its name: the receiver has the same memory, whatever part of it was sent."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from helpers.peer import Peer

import namedshm
from namedshm import arrays

from .conftest import DTYPES

PARTS = {
    "all": "a",
    "slice": "a[1:3]",
    "steps": "a[::2, 1::2]",
    "reversed": "a[::-1, ::-1]",
    "transposed": "a.T",
    "column": "a[:, 2]",
    "one element": "a[1:2, 2:3].reshape(())",
    "nothing": "a[5:]",
    "nothing, backwards": "a[:0:-1, 6:0:-1][:, 9:]",
    "other dimensions": "a.reshape(3, 2, 2, 2)",
    "bytes": "a.view('u1')",
    "wider": "a[:, :6].view('c16')",
    "one more dimension": "a[:, None, ::3]",
    "diagonal": "a.diagonal()",
    "broadcast": "np.broadcast_to(a[0], (7, 6), subok=True)",
    "windows": "np.lib.stride_tricks.sliding_window_view(a, (2, 2), subok=True)",
    "real part": "a.view('c16').real",
}
NEED_ROWS = [PARTS[part] for part in ("other dimensions", "bytes", "wider", "real part")]


@pytest.fixture
def other(peers: Callable[[], Peer], name: str) -> Peer:
    peer = peers()
    peer.do("import pickle, numpy as np; from namedshm import arrays", name=name)
    return peer


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_any_part_of_an_array_arrives_as_the_same_memory(name: str, other: Peer, part: str, order: str) -> None:
    array = arrays.create(name, (4, 6), order=order)
    array[...] = np.arange(24).reshape(4, 6)
    if order == "F" and part in NEED_ROWS:
        pytest.skip("this view needs rows in one piece")
    sent = eval(part, {"a": array, "np": np})
    got = other.do(
        "b = pickle.loads(data); (b.shape, b.strides, b.dtype.str, b.tobytes(), b.flags.writeable)", data=pickle.dumps(sent)
    )
    assert got == (sent.shape, sent.strides, sent.dtype.str, sent.tobytes(), sent.flags.writeable)
    if sent.size and sent.flags.writeable:
        other.do("b[...] = 77")
        assert (sent == 77).all()
        array[...] = 0
        assert other.do("not b.any()")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_name_travels_and_not_the_elements(name: str, protocol: int) -> None:
    array = arrays.create(name, 1_000_000)
    array[:] = 1
    data = pickle.dumps(array, protocol)
    assert len(data) < 400
    buffers: list[pickle.PickleBuffer] = []
    if protocol == 5:
        assert len(pickle.dumps(array, protocol, buffer_callback=buffers.append)) < 400
    assert not buffers
    twin = pickle.loads(data)
    twin[5] = 7
    assert array[5] == 7
    assert type(twin) is arrays.NamedArray
    assert twin.identity == array.identity


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_any_dtype_travels(name: str, dtype: object) -> None:
    array = arrays.create(name, (2, 3), dtype)
    twin = pickle.loads(pickle.dumps(array.T))
    assert twin.dtype == array.dtype
    assert twin.__array_interface__["shape"] == (3, 2)
    assert twin.strides == array.T.strides


def test_fields_travel(name: str, other: Peer) -> None:
    array = arrays.create(name, 4, [("x", "i4"), ("y", "f8"), ("z", "i2")])
    other.do("y = pickle.loads(data); y[1] = 5", data=pickle.dumps(array["y"]))
    assert array[1]["y"] == 5
    other.do("xz = pickle.loads(data); xz['z'] = 6; xz['x'] = 7", data=pickle.dumps(array[["x", "z"]]))
    assert array[2].item() == (7, 0, 6)


def test_the_receiver_keeps_the_name(name: str, other: Peer) -> None:
    array = arrays.create(name, 5)
    other.do("b = pickle.loads(data)[2:]", data=pickle.dumps(array))
    array.close()
    namedshm.open(name).close()
    other.do("del b")
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_what_is_read_only_here_is_read_only_there(name: str, other: Peer) -> None:
    keep = arrays.create(name, 5)
    array = arrays.open(name, "read")
    frozen = arrays.open(name)
    frozen.flags.writeable = False
    for sent in array, array[1:], frozen:
        other.do("b = pickle.loads(data)", data=pickle.dumps(sent))
        with pytest.raises(ValueError, match="WRITEABLE"):
            other.do("b.setflags(write=True)")
    assert keep.sum() == 0


def test_a_name_that_nobody_holds_any_more_is_not_found(name: str) -> None:
    data = pickle.dumps(arrays.create(name, 5))
    gc.collect()
    with pytest.raises(namedshm.NotFound, match=name):
        pickle.loads(data).sum()


def test_a_name_that_belongs_to_another_array_now_is_stale(name: str) -> None:
    data = pickle.dumps(arrays.create(name, 5))
    gc.collect()
    again = arrays.create(name, 5)
    with pytest.raises(namedshm.StaleObject, match=name):
        np.asarray(pickle.loads(data))
    again.close()
    with pytest.raises(namedshm.NotFound):  # the refusal kept nothing
        namedshm.open(name)


def test_an_array_whose_name_was_let_go_cannot_be_pickled(name: str) -> None:
    array = arrays.create(name, 5)
    array.close()
    with pytest.raises(namedshm.ClosedHandle, match=name):
        pickle.dumps(array[1:])


def test_an_array_without_a_name_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="unnamed"):
        pickle.dumps(arrays.create(None, 5))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_private_arrays_travel_with_their_elements(name: str, protocol: int) -> None:
    array = arrays.create(name, 5)
    for private in (array + 1, array.copy(), array[[1, 2]], np.ones_like(array)):
        back = pickle.loads(pickle.dumps(private, protocol))
        assert type(back) is np.ndarray
        assert back.tolist() == private.tolist()
    buffers: list[pickle.PickleBuffer] = []
    pickle.dumps(np.ones_like(array), 5, buffer_callback=buffers.append)
    assert len(buffers) == 1  # and out of band, as NumPy's own


def test_a_pickle_cannot_reach_beyond_the_section(name: str) -> None:
    array = arrays.create(name, 5)
    make, (own, identity, access, offset, shape, strides, dtype) = array.__reduce_ex__(5)
    for change in (
        {"offset": -8},
        {"offset": 1 << 40},
        {"offset": offset + 8},
        {"shape": (6,)},
        {"strides": (16,)},
        {"strides": (-64,)},
        {"strides": (1 << 62,)},
        {"shape": (1 << 62,)},
        {"shape": (-1,)},
        {"dtype": np.dtype("f4,f8")},
        {"dtype": np.dtype(object)},
    ):
        place = {"offset": offset, "shape": shape, "strides": strides, "dtype": dtype, **change}
        with pytest.raises(namedshm.InvalidContent, match=name):
            len(make(own, identity, access, *place.values()))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda a: copy.deepcopy({"a": a})["a"]], ids=["copy", "deep", "nested"])
def test_a_copy_is_private(name: str, way: Callable) -> None:
    array = arrays.create(name, (2, 3), order="F")
    twin = way(array)
    assert type(twin) is np.ndarray
    array[...] = 1
    assert not twin.any()
    assert not np.shares_memory(array, twin)
