"""Arrays and Arrow tables by topic: the schema travels along, and what does not fit it is refused on both sides."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from helpers.peer import _Lender
from hypothesis import given, settings
from hypothesis import strategies as st

import namedshm
from namedshm import _topic_values
from namedshm._backend import backend
from namedshm.names import Name
from namedshm.topic import Empty, Overrun, Topic

np = pytest.importorskip("numpy")
numpy_strategies = pytest.importorskip("hypothesis.extra.numpy")

Make = Callable[..., Topic]
Reader = Callable[..., Topic]


# ------------------------------------------------------------------------------------------------------------ arrays
def test_an_array_goes_through_with_dtype_and_shape(make: Make, reader: Reader) -> None:
    t = make(dtype="f4", shape=(3, 4))
    r = reader(t)
    assert (r.kind, r.dtype, r.shape, r.schema, r.max_size) == ("array", np.dtype("f4"), (3, 4), None, 48)
    data = np.arange(12, dtype="f4").reshape(3, 4)
    for array in (data, np.asfortranarray(data), data[::-1][::-1], np.arange(24, dtype="f4")[::2].reshape(3, 4) / 2):
        t.publish(array)
        got = r.latest(new=True)
        assert type(got) is np.ndarray
        assert (got.dtype, got.shape, got.flags.writeable) == (np.dtype("f4"), (3, 4), True)
        assert (got == data).all()
    t.publish(data.tolist())
    assert (r.next() == data).all()


def test_other_arrays_are_refused(make: Make) -> None:
    t = make(dtype="f4", shape=(3,))
    for wrong in (
        np.zeros(3),
        np.zeros(4, "f4"),
        np.zeros((1, 3), "f4"),
        np.zeros(3, ">f4"),
        np.zeros(3, "i4"),
        "text",
        [1j, 2, 3],
    ):
        with pytest.raises(namedshm.InvalidArgument, match=r"shape \(3,\)"):
            t.publish(wrong)
    assert t.statistics().published == 0


def test_it_is_filled_and_read_where_it_lies(make: Make, reader: Reader) -> None:
    t = make(dtype="u1", shape=(100, 100), history=1)
    r = reader(t)
    with t.loan() as frame:
        assert (frame.shape, frame.dtype) == ((100, 100), np.dtype("u1"))
        frame[:] = 7
    assert not frame.flags.writeable  # it is the topic's now
    with r.view() as frame:
        assert not frame.flags.writeable
        assert frame.mean() == 7
    kept = []
    with pytest.raises(BufferError), t.loan() as frame:
        kept.append(frame[3:])
    kept.clear()
    del frame
    with pytest.raises(ZeroDivisionError), t.loan():
        raise ZeroDivisionError
    assert t.statistics().published == 1
    with t.pin() as frame:
        for _ in range(60):
            t.publish(np.full((100, 100), 9, "u1"))
        assert frame.mean() == 7
    del frame
    assert t.statistics().pinned == 0
    view = r.view()
    for _ in range(60):
        t.publish(np.full((100, 100), 9, "u1"))
    with pytest.raises(Overrun), view as frame:
        assert frame.mean() == 9
    with pytest.raises(namedshm.InvalidArgument):
        t.loan(size=5)


def test_it_is_read_into_an_array_that_is_there(make: Make, reader: Reader) -> None:
    t = make(dtype="i8", shape=(2, 3))
    r = reader(t)
    t.publish(np.arange(6).reshape(2, 3))
    out = np.empty((2, 3), "i8")
    assert r.latest_into(out) == 48
    assert (out == np.arange(6).reshape(2, 3)).all()
    assert r.next_into(out, 0) if r.lag else r.latest_into(out) == 48
    readonly = np.empty((2, 3), "i8")
    readonly.flags.writeable = False
    for wrong in (np.empty((3, 2), "i8"), np.empty((2, 3), "u8"), np.empty((4, 3), "i8")[::2], readonly):
        with pytest.raises(namedshm.InvalidArgument):
            r.latest_into(wrong)
    with pytest.raises(TypeError):
        r.latest_into(bytearray(48))


@given(
    dtype=st.one_of(
        numpy_strategies.scalar_dtypes(),
        numpy_strategies.array_dtypes(numpy_strategies.scalar_dtypes(), allow_subarrays=True),
    ),
    shape=numpy_strategies.array_shapes(min_dims=0, min_side=0, max_side=5),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_any_dtype_and_shape_goes_through(dtype: Any, shape: Any, data: Any) -> None:
    with Topic.create(dtype=dtype, shape=shape) as t:
        array = data.draw(numpy_strategies.arrays(t.dtype, t.shape))
        t.publish(array)
        got = t.latest(0)
        assert (got.dtype, got.shape) == (t.dtype, t.shape)
        assert got.tobytes() == array.tobytes()
        with t.view() as seen:
            assert seen.tobytes() == array.tobytes()
        out = np.empty(t.shape, t.dtype)
        assert t.latest_into(out) == array.nbytes
        assert out.tobytes() == array.tobytes()
        with t.loan() as frame:
            frame[...] = array
        assert t.next(0).shape == t.shape
        del seen, frame


def test_with_exist_ok_another_kind_is_not_taken_for_it(make: Make) -> None:
    t = make(dtype="f4", shape=(3,))
    with Topic.create(t.name, dtype="f4", shape=(3,), exist_ok=True) as same:
        assert not same.created
    for other in ({"dtype": "f4", "shape": (4,)}, {"dtype": "f8", "shape": (3,)}, {"max_size": 12}):
        with pytest.raises(namedshm.InvalidArgument, match="exists already"):
            Topic.create(t.name, exist_ok=True, **other)  # type: ignore[arg-type]


def test_it_is_pickled_and_opened_by_another_process(make: Make, peers: _Lender) -> None:
    t = make(dtype=[("a", "f4"), ("b", "S3")], shape=(2,))
    t.publish(np.array([(1, b"x"), (2, b"yz")], t.dtype))
    peer = peers(name=t.name, pickled=pickle.dumps(t))
    assert peer.do("import pickle; str(namedshm.Topic.open(name, 'read').latest(0).tolist())") == "[(1.0, b'x'), (2.0, b'yz')]"
    assert peer.do("str(pickle.loads(pickled).dtype)") == str(t.dtype)


# ------------------------------------------------------------------------------------------------------------ mistrust
def raw(name: str, kind: int, schema: bytes, size: int = 1000) -> Topic:
    """A topic with any bytes as its schema, as a program of another language might make it."""
    return backend.create_topic(Topic, Name(name), False, 0o600, None, 4, 0, 4, 4, 0, size, kind, schema)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize(
    "schema",
    [
        b"",
        b"x",
        b"\x93NUMPY\1\0",
        b"\x93NUMPY\1\0\xff\xff{}",
        b"\x93NUMPY\1\0\x10\0{'descr': '|O', }",
        bytes(1000),
        b"\xff" * 60000,
    ],
)
def test_a_schema_that_says_nothing_is_told(name: str, kind: int, schema: bytes) -> None:
    if kind == 2:
        pytest.importorskip("pyarrow")
    with raw(name, kind, schema) as t:
        for call in (
            t.latest,
            t.next,
            lambda: t.publish(b"x"),
            lambda: t.dtype if kind == 1 else t.schema,
            t.loan,
            lambda: t.view(0),
        ):
            with pytest.raises((namedshm.InvalidContent, Empty)):
                call()
        assert "bytes at most" in repr(t)
        assert namedshm.inspection.state(name)["published"] == 0


def test_a_schema_of_another_program_is_told(name: str) -> None:
    with raw(name, 77, b"what?") as t:
        assert (t.kind, t.schema, t.dtype, t.shape) == ("other", None, None, None)
        with pytest.raises(namedshm.InvalidContent, match="77"):
            t.publish(b"x")
        assert "of another program" in repr(t)


@pytest.mark.parametrize("change", ["\x93NUMPY", "descr", "<f4", "shape", "3", "}", "False"])
def test_a_schema_that_was_changed_is_told(name: str, change: str) -> None:
    good = _topic_values.Arrays.made_of(None, "f4", (3,)).schema
    with raw(name, 1, good.replace(change.encode("latin-1"), b"O" * len(change))) as t, pytest.raises(namedshm.InvalidContent):
        t.latest(0)


def test_a_value_of_another_length_is_told(make: Make, reader: Reader) -> None:
    t = make(dtype="f4", shape=(300,))
    r = reader(t)
    t.publish_buffer(b"short")
    for call in (r.latest, r.next):
        with pytest.raises(namedshm.InvalidContent, match="5 bytes"):
            call()
    with pytest.raises(namedshm.InvalidContent), r.view():
        pass
    with pytest.raises(namedshm.InvalidContent), t.pin():
        pass
    assert t.statistics().pinned == 0


# ------------------------------------------------------------------------------------------------------------ tables
def test_a_table_goes_through_with_its_schema(make: Make, reader: Reader) -> None:
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("price", pa.float64()), ("what", pa.dictionary(pa.int32(), pa.string()))])
    t = make(schema=schema)
    r = reader(t)
    assert (r.kind, r.schema, r.dtype, r.shape, r.max_size) == ("table", schema, None, None, 1 << 20)
    table = pa.table({"price": [1.5, None], "what": pa.array(["x", "y"]).dictionary_encode()}, schema=schema)
    t.publish(table)
    assert r.latest().equals(table)
    t.publish(table.to_batches()[0])
    assert r.next(0).equals(table)
    t.publish(table.slice(0, 0))
    assert r.latest().num_rows == 0
    t.publish(table)
    with t.pin() as seen:
        for _ in range(60):
            t.publish(table.slice(1))
        assert seen.equals(table)
    del seen
    assert t.statistics().pinned == 0


def test_other_tables_are_refused(make: Make) -> None:
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("a", pa.int64())])
    t = make(schema=schema, max_size=2000)
    for wrong in (pa.table({"a": [1.5]}), pa.table({"b": [1]}), pa.table({"a": [1], "b": [2]})):
        with pytest.raises(namedshm.InvalidArgument, match="a: int64"):
            t.publish(wrong)
    with pytest.raises(namedshm.InvalidArgument, match="2000 at most"):
        t.publish(pa.table({"a": range(1000)}))
    with pytest.raises(TypeError):
        t.publish(b"bytes")
    for call in (t.view, t.loan, lambda: t.latest_into(bytearray(2000))):
        with pytest.raises(namedshm.Unsupported):
            call()
    for no_schema in ("a: int64", [("a", "int64")]):
        with pytest.raises(TypeError):
            Topic.create(schema=no_schema)
    assert t.statistics().published == 0


def test_what_is_no_table_is_told(make: Make, reader: Reader) -> None:
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("a", pa.int64())])
    t, other = make(schema=schema), make(schema=pa.schema([("a", pa.string())]))
    r = reader(t)
    other.publish(pa.table({"a": ["x"]}))
    with other.pin():
        pass
    r.position = 0
    for data in (b"", b"x", b"ARROW1\0\0" * 100, bytes(5000)):
        t.publish_buffer(data)
        with pytest.raises(namedshm.InvalidContent):
            r.latest()
        with pytest.raises(namedshm.InvalidContent), t.pin():
            pass
    assert t.statistics().pinned == 0


def test_only_arrays_need_numpy(name: str) -> None:
    code = f"""
import sys, namedshm
with namedshm.Topic.create({name!r}) as topic:
    topic.publish(b"x" * 5000)
    topic.latest()
    with topic.pin(), topic.view(), topic.loan(): pass
    print(repr(topic), sorted({{"numpy", "pyarrow", "asyncio"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("[]\n")
