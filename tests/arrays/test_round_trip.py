"""Whatever the dtype, the shape and the order: another process has the same array, bit for bit."""

from __future__ import annotations

import inspect
import io
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from helpers.peer import Peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import namedshm
from namedshm import arrays

from .conftest import elements

NAME = "round-trip"
MANY = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def other() -> Iterator[Peer]:
    """One process for all examples of all tests here."""
    with Peer() as peer:
        peer.do("import pickle, numpy as np; from namedshm import arrays\n" + inspect.getsource(elements), name=NAME)
        yield peer


VOIDS = st.integers(1, 9).map(lambda size: np.dtype(f"V{size}"))
SIMPLE = hnp.scalar_dtypes() | hnp.byte_string_dtypes() | hnp.unicode_string_dtypes() | VOIDS
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)


@st.composite
def structures(draw, inner=SIMPLE, depth: int = 2) -> np.dtype:
    """Fields with titles, arrays, gaps between and after them, aligned or not, and structures in them."""
    if depth:
        inner = inner | structures(inner=inner, depth=depth - 1)
    names = draw(st.lists(NAMES, min_size=2, max_size=8, unique=True))
    count = len(names) // 2
    formats, offsets, at = [], [], 0
    for _ in range(count):
        shape = draw(st.just(()) | hnp.array_shapes(max_dims=2, max_side=3))
        formats.append(np.dtype((draw(inner), shape)))
        at += draw(st.integers(0, 5))
        offsets.append(at)
        at += formats[-1].itemsize
    said = {"names": names[:count], "formats": formats}
    if draw(st.booleans()):
        said["titles"] = names[count : 2 * count]
    if draw(st.booleans()):
        return np.dtype(said, align=draw(st.booleans()))
    return np.dtype({**said, "offsets": offsets, "itemsize": at + draw(st.integers(0, 9))})


DTYPES = SIMPLE | structures()
SHAPES = hnp.array_shapes(min_dims=0, min_side=0, max_dims=5, max_side=5)
ORDERS = st.sampled_from("CF")


@st.composite
def any_array(draw) -> np.ndarray:
    """Any bits, in any dtype, shape and order."""
    dtype, shape, order = draw(DTYPES), draw(SHAPES), draw(ORDERS)
    size = int(np.prod(shape)) * dtype.itemsize
    bits = np.random.default_rng(draw(st.integers(0, 1 << 32))).bytes(size)
    if dtype.kind == "U" or dtype.itemsize == 0:
        return np.zeros(shape, dtype, order)  # not every number is a character
    return np.ndarray(shape, dtype, bytearray(bits) or None, order=order)


@MANY
@given(any_array())
def test_a_published_array_is_the_same_elsewhere(other: Peer, given: np.ndarray) -> None:
    with arrays.publish(NAME, given) as array:
        assert array.tobytes("A") == given.tobytes("A")
        got = other.do(
            "a = arrays.open(name, 'read'); same = a.dtype == pickle.loads(dtype); "
            "got = same, a.shape, a.strides, a.tobytes('A'); del a; got",
            dtype=pickle.dumps(given.dtype),
        )
        assert got == (True, given.shape, array.strides, given.tobytes("A"))
        assert array.flags.f_contiguous == given.flags.f_contiguous
        assert array.flags.c_contiguous == given.flags.c_contiguous


@MANY
@given(DTYPES, SHAPES, ORDERS)
def test_a_created_array_is_the_same_elsewhere(other: Peer, dtype: np.dtype, shape: tuple[int, ...], order: str) -> None:
    create = "a = arrays.create(name, shape, pickle.loads(dtype), order=order)"
    other.do(create, shape=shape, dtype=pickle.dumps(dtype), order=order)
    try:
        with arrays.open(NAME) as array:
            plain = np.zeros(shape, dtype, order)
            assert (array.shape, array.dtype) == (plain.shape, plain.dtype)
            assert (array.flags.c_contiguous, array.flags.f_contiguous) == (plain.flags.c_contiguous, plain.flags.f_contiguous)
            assert elements(array) == elements(plain)
    finally:
        other.do("del a")


@MANY
@given(st.data(), any_array())
def test_any_view_of_an_array_is_the_same_elsewhere(other: Peer, data: st.DataObject, given: np.ndarray) -> None:
    with arrays.publish(NAME, given) as array:
        view = array
        if given.ndim:
            view = view[data.draw(hnp.basic_indices(given.shape, allow_newaxis=True, allow_ellipsis=True, max_dims=8))]
        if not isinstance(view, arrays.NamedArray):  # an element
            return
        if data.draw(st.booleans()):
            view = view.T
        got = other.do(
            "a = pickle.loads(data); got = a.shape, a.strides, elements(a), a.identity; del a; got", data=pickle.dumps(view)
        )
        assert got == (view.shape, view.strides, elements(view), view.identity)


@MANY
@given(any_array())
def test_numpy_reads_what_is_in_the_section(given: np.ndarray) -> None:
    with arrays.publish(NAME, given) as array, namedshm.open(NAME, "read") as section, section.map() as view:
        loaded = np.load(io.BytesIO(view[:]), allow_pickle=False, max_header_size=1 << 20)
        assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
        assert loaded.flags.f_contiguous == array.flags.f_contiguous
        assert elements(loaded) == elements(array)
