"""Arrays are created, published and opened by name; what they keep alive, and what they are."""

from __future__ import annotations

import gc
import io
import os
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from helpers.facts import on_linux
from helpers.names import gone
from helpers.peer import Peer

import namedshm
from namedshm import arrays

from .conftest import DTYPES, SHAPES, elements, fill


@pytest.fixture
def other(peers: Callable[[], Peer], name: str) -> Peer:
    peer = peers()
    peer.do("import numpy as np; from namedshm import arrays", name=name)
    return peer


def dump(name: str) -> bytes:
    with namedshm.open(name, "read") as section, section.map() as view:
        return view[:]


def saved(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------------ by name
def test_another_process_opens_it_by_name_alone_and_both_see_the_same_elements(name: str, other: Peer) -> None:
    array = arrays.create(name, (3, 4), "f4")
    assert array.sum() == 0
    assert other.do("a = arrays.open(name); (a.shape, a.dtype.str, a.name)") == ((3, 4), "<f4", name)
    other.do("a[1, 2] = 5")
    assert array[1, 2] == 5
    array[2] = 7
    assert other.do("a[2].tolist()") == [7.0] * 4


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape_is_there_for_another_process(name: str, other: Peer, shape: tuple[int, ...], order: str) -> None:
    array = arrays.create(name, shape, "i4", order=order)
    fill(array)
    got = other.do("a = arrays.open(name, 'read'); (a.shape, a.strides, a.flags.f_contiguous, a.tobytes())")
    assert got == (shape, array.strides, array.flags.f_contiguous, array.tobytes())
    assert array.flags[f"{order}_CONTIGUOUS"]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_any_dtype_is_there_for_another_process(name: str, other: Peer, dtype: object) -> None:
    wanted = np.dtype(dtype)
    array = arrays.create(name, (3, 2), wanted)
    assert array.dtype == wanted
    fill(array)
    opened = arrays.open(name)
    assert opened.dtype == wanted
    assert opened.tobytes() == array.tobytes()
    import pickle

    same = "a = arrays.open(name); (a.dtype == pickle.loads(wanted), a.shape, a.tobytes())"
    assert other.do("import pickle; " + same, wanted=pickle.dumps(wanted)) == (True, (3, 2), array.tobytes())


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_section_is_what_numpy_saves_and_numpy_loads_it(name: str, shape: tuple[int, ...], dtype: object) -> None:
    for order in "C", "F":
        plain = np.zeros(shape, dtype, order=order)
        fill(plain)
        array = arrays.publish(name, plain)
        bytes_ = dump(name)
        with pytest.warns() if "数" in str(dtype) else _quietly():
            assert bytes_[: len(saved(plain))] == saved(plain)
        loaded = np.load(io.BytesIO(bytes_))
        assert loaded.dtype == plain.dtype
        assert loaded.shape == shape
        assert elements(loaded) == elements(plain)
        del array


def _quietly():
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize("fields", [500, 3000])
def test_a_dtype_of_very_many_fields_has_a_long_header(name: str, fields: int) -> None:
    dtype = np.dtype([(f"a long name for a field {n}", "f4") for n in range(fields)])
    array = arrays.create(name, 2, dtype)
    array["a long name for a field 77"] = 7
    opened = arrays.open(name)
    assert opened.dtype == dtype
    assert opened["a long name for a field 77"].tolist() == [7, 7]
    assert np.load(io.BytesIO(dump(name)), max_header_size=1 << 20).dtype == dtype
    assert dump(name)[6] == (2 if fields == 3000 else 1)


def test_a_header_that_nobody_would_read_is_not_written(name: str) -> None:
    dtype = np.dtype([(f"a name of twenty-odd letters {n}", "f4") for n in range(25_000)])
    with pytest.raises(namedshm.InvalidArgument, match="header would be") as caught:
        arrays.create(name, 2, dtype)
    assert len(str(caught.value)) < 1000
    assert gone(name)


@pytest.mark.parametrize("dtype", ["f8", "u1", "c16", [("x", "f8")]], ids=str)
def test_elements_begin_at_a_multiple_of_64_bytes(name: str, dtype: object) -> None:
    for array in (arrays.create(name, 5, dtype), arrays.open(name)):
        assert array.ctypes.data % 64 == 0
        assert array.flags.aligned


def test_a_dtype_of_arrays_is_an_array_of_more_dimensions(name: str) -> None:
    array = arrays.create(name, (2,), np.dtype(("f4", (3, 4))))
    assert array.shape == (2, 3, 4)
    assert arrays.open(name).dtype == "f4"


def test_field_names_changed_in_place_stay_with_one_array(name: str) -> None:
    array = arrays.create(name, 2, [("a", "i4"), ("b", "i4")])
    one, two = arrays.open(name), arrays.open(name)
    one.dtype.names = ("x", "y")
    assert two.dtype.names == array.dtype.names == arrays.open(name).dtype.names == ("a", "b")


def test_an_array_may_have_no_name_and_is_found_by_nobody() -> None:
    array = arrays.create(None, 5)
    array[:] = 2
    assert array.sum() == 10
    assert array.name is None


# ------------------------------------------------------------------------------------------------------------ publish
def test_a_published_array_has_the_elements_and_the_order_of_its_source(name: str, names: Callable[[], str]) -> None:
    source = np.arange(24.0).reshape(2, 3, 4)
    for given in (source, np.asfortranarray(source), source[:, ::-1], source.T, source[1, 2, 3]):
        array = arrays.publish(name, given)
        assert np.array_equal(arrays.open(name), given)
        assert array.flags.f_contiguous == (given.flags.f_contiguous)
        del array
    for order in "C", "F":
        array = arrays.publish(name, source, order=order)
        assert arrays.open(name).flags[f"{order}_CONTIGUOUS"]
        assert np.array_equal(array, source)
        del array


SOURCES = {
    "in one piece": lambda: np.arange(6_000_000.0).reshape(2000, 3000),
    "in Fortran's order": lambda: np.asfortranarray(np.arange(6_000_000.0).reshape(2000, 3000)),
    "every second": lambda: np.arange(12_000_000.0)[::2],
    "reversed columns": lambda: np.arange(6_000_000.0).reshape(2000, 3000)[:, ::-1],
    "small": lambda: np.arange(3.0),
    "small and reversed": lambda: np.arange(3.0)[::-1],
    "one": lambda: np.array(5.0),
    "unaligned": lambda: np.frombuffer(bytes(4000001), np.uint8)[1:].view("f8"),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_publishing_reports_its_progress_up_to_the_end(name: str, source: Callable) -> None:
    given, seen = source(), []
    array = arrays.publish(name, given, threads=2, progress=lambda done, total: seen.append((done, total)))
    assert np.array_equal(array, given)
    assert seen == sorted(seen)
    assert seen[-1] == (given.nbytes, given.nbytes)
    assert {total for _, total in seen} == {given.nbytes}


@pytest.mark.parametrize("source", list(SOURCES.values())[:4], ids=list(SOURCES)[:4])
def test_what_a_progress_function_raises_ends_publishing_and_nothing_is_left(name: str, source: Callable) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        arrays.publish(name, source(), progress=stop)
    assert gone(name)


def test_what_is_like_an_array_can_be_published(name: str) -> None:
    array = arrays.publish(name, [[1, 2], [3, 4]])
    assert arrays.open(name).tolist() == array.tolist() == [[1, 2], [3, 4]]


def test_huge_pages_can_be_asked_for(name: str) -> None:
    source = np.arange(1_000_000.0)
    with arrays.publish(name, source, huge_pages="try"):
        assert np.array_equal(arrays.open(name), source)
    with arrays.create(name, 1_000_000, huge_pages="try") as array:
        assert not array.any()
    with pytest.raises(namedshm.InvalidArgument, match="huge_pages"):
        arrays.create(name, 5, huge_pages="yes")


@pytest.mark.skipif(not on_linux, reason="Windows does not tell the mode")
def test_others_get_the_rights_that_were_given(name: str) -> None:
    name = f"Global\\{name}"
    with arrays.create(name, 3, mode=0o640):
        assert namedshm.describe(name).mode == 0o640
    with arrays.publish(name, [1, 2], mode=0o604):
        assert namedshm.describe(name).mode == 0o604
    with arrays.create(name, 3):
        assert namedshm.describe(name).mode == 0o600


def test_a_published_array_is_not_connected_with_its_source(name: str) -> None:
    source = np.zeros(3)
    array = arrays.publish(name, source)
    source[:] = 1
    assert array.tolist() == [0, 0, 0]


def test_a_masked_array_is_refused_because_its_mask_would_be_lost(name: str) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="mask"):
        arrays.publish(name, np.ma.masked_array([1, 2], [0, 1]))
    assert gone(name)


def test_an_opener_that_comes_while_the_creator_is_still_writing_waits(name: str, other: Peer) -> None:
    # the creator has written the elements and the header, and stops before the first eight bytes
    other.do("""
last, arrays.publish_content = arrays.publish_content, lambda view, first: left.append((view, first))
left = []
a = arrays.publish(name, np.arange(1000))
arrays.publish_content = last
""")
    with pytest.raises(namedshm.NotReady, match=name):
        arrays.open(name, timeout=0)
    with pytest.raises(namedshm.NotReady, match=name):
        arrays.open(name, timeout=0.01)
    other.do("last(*left.pop())")
    assert arrays.open(name, timeout=60).sum() == 499500


# ------------------------------------------------------------------------------------------------------------ exist_ok
def test_create_refuses_a_held_name(name: str) -> None:
    array = arrays.create(name, 3)
    with pytest.raises(namedshm.AlreadyExists, match=name):
        arrays.create(name, 3)
    with pytest.raises(namedshm.AlreadyExists, match=name):
        arrays.publish(name, array)


def test_exist_ok_opens_the_same_kind_of_array_and_tells_which_it_was(name: str, other: Peer) -> None:
    assert other.do("a = arrays.create(name, (2, 3), 'i4', exist_ok=True); a[:] = 5; a.section.created")
    array = arrays.create(name, (2, 3), "i4", exist_ok=True)
    assert not array.section.created
    assert array.tolist() == [[5] * 3] * 2


def test_of_several_that_create_or_open_at_once_one_creates_and_all_have_the_same(name: str, peers: Callable[[], Peer]) -> None:
    group = [peers() for _ in range(4)]
    for number, peer in enumerate(group):
        peer.do("from namedshm import arrays", name=name, number=number)
    for peer in group:
        peer.start("all = [arrays.create(f'{name}-{n}', 4, 'i8', exist_ok=True, timeout=60) for n in range(300)]")
    for peer in group:
        peer.result()
    for peer in group:
        peer.do("for a in all: a[number] = a.identity % 1000 + number")
    created = [peer.do("[a.section.created for a in all]") for peer in group]
    assert all(sum(of_one) == 1 for of_one in zip(*created, strict=True))
    seen = [peer.do("[(a.identity % 1000, a.tolist()) for a in all]") for peer in group]
    assert seen == [[(identity, [identity + n for n in range(4)]) for identity, _ in seen[0]]] * 4


@pytest.mark.parametrize("different", [{"shape": (3, 2)}, {"dtype": "f4"}, {"order": "F"}, {"shape": 6}], ids=str)
def test_exist_ok_refuses_another_kind_of_array(name: str, different: dict[str, object]) -> None:
    array = arrays.create(name, (2, 3), "i4")
    with pytest.raises(namedshm.AlreadyExists, match=r"\(2, 3\)"):
        arrays.create(name, **{"shape": (2, 3), "dtype": "i4", "exist_ok": True, **different})
    del array
    assert gone(name)


# ------------------------------------------------------------------------------------------------------------ lifetime
def test_the_name_goes_with_the_array(name: str) -> None:
    array = arrays.create(name, 3)
    assert not gone(name)
    del array
    assert gone(name)


PARTS = {
    "slice": lambda a: a[1:],
    "reversed": lambda a: a[::-1],
    "transposed": lambda a: a.T,
    "reshaped": lambda a: a.reshape(-1),
    "other dtype": lambda a: a.view("u1"),
    "plain view": lambda a: a.view(np.ndarray)[1:][1:],
    "asarray": lambda a: np.asarray(a)[:1],
    "memoryview": lambda a: memoryview(a),
    "flat iterator": lambda a: a.flat,
    "dlpack": lambda a: np.from_dlpack(a),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_every_view_of_it_keeps_the_name_and_the_memory(name: str, part: Callable) -> None:
    kept = part(arrays.create(name, (4, 5)))
    gc.collect()
    arrays.open(name)[...] = 7
    assert set(np.asarray(kept).ravel().tolist()) in ({7.0}, {0, 28, 64})  # 7.0 in bytes
    del kept
    assert gone(name)


def test_a_record_of_an_array_keeps_the_name(name: str) -> None:
    record = arrays.create(name, 3, [("x", "i4"), ("y", "f8")])[1]
    gc.collect()
    arrays.open(name)["x"] = 9
    assert record["x"] == 9
    del record
    assert gone(name)


def test_close_lets_the_name_go_and_keeps_the_elements(name: str) -> None:
    array = arrays.create(name, 3)
    array[:] = 4
    part = array[1:]
    part.close()
    assert gone(name)
    assert array.section.closed
    array[2] = 5
    assert part.tolist() == [4, 5]
    array.close()  # twice is nothing


def test_a_with_statement_lets_the_name_go_at_its_end(name: str) -> None:
    with arrays.create(name, 3) as array, arrays.open(name) as again:
        again[0] = 1
    assert gone(name)
    assert array[0] == 1


def test_an_array_stays_though_its_view_be_closed(name: str) -> None:
    array = arrays.create(name, 100_000)
    arrays._held(array).close()
    array[:] = 1  # would be a segmentation fault if the memory had gone
    assert array.sum() == 100_000


@pytest.mark.parametrize("end", ["kill", "close"])
def test_the_name_is_gone_when_its_last_holder_is(name: str, other: Peer, end: str) -> None:
    other.do("a = arrays.create(name, 1000); b = a[5:]; a[:] = 3; del a")
    mine = arrays.open(name)
    getattr(other, end)()
    assert not gone(name)
    assert mine.sum() == 3000
    mine.close()
    assert gone(name)
    assert mine.sum() == 3000


# ------------------------------------------------------------------------------------------------------------ read-only
def test_a_read_only_array_cannot_be_made_writable(name: str) -> None:
    keep = arrays.create(name, (3, 3))
    array = arrays.open(name, "read")
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    for view in (array, array[1:], array.T, np.asarray(array), array.view("u1")):
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
    with pytest.raises((TypeError, BufferError, ValueError)):
        memoryview(array).cast("B")[0] = 1
    keep[:] = 2
    assert array.sum() == 18


def test_the_memory_itself_is_mapped_read_only(name: str, other: Peer) -> None:
    keep = arrays.create(name, 3)
    other.start("import ctypes; a = arrays.open(name, 'read'); ctypes.memset(a.ctypes.data, 1, 8)")
    from helpers.peer import PeerDied

    with pytest.raises((PeerDied, OSError)):  # a segmentation fault; ctypes on Windows makes it an OSError
        other.result()
    assert keep.sum() == 0


# ------------------------------------------------------------------------------------------------------------ what results are
RESULTS = {
    "sum": lambda a: a + 1,
    "ufunc": np.sqrt,
    "ufunc of an outer": lambda a: np.add.outer(a, a),
    "reduction": lambda a: a.sum(axis=0),
    "mean": lambda a: a.mean(axis=1),
    "cumulated": lambda a: a.cumsum(),
    "comparison": lambda a: a > 1,
    "matrix product": lambda a: a @ a.T,
    "copy": lambda a: a.copy(),
    "np.copy": np.copy,
    "np.array": np.array,
    "astype": lambda a: a.astype("i4"),
    "a list of rows": lambda a: a[[0, 1]],
    "a mask": lambda a: a[a == 0],
    "flatten": lambda a: a.flatten(),
    "ravel that copies": lambda a: a.T.ravel(),
    "reshape that copies": lambda a: a.T.reshape(-1),
    "take": lambda a: a.take([0, 1]),
    "repeat": lambda a: a.repeat(2),
    "compress": lambda a: a.compress([True, False]),
    "argsort": lambda a: a.argsort(),
    "argpartition": lambda a: a.argpartition(1),
    "byteswap": lambda a: a.byteswap(),
    "choose": lambda a: a.astype("i4").choose([a, a]),
    "dot": lambda a: a.dot(a.T),
    "nonzero": lambda a: a.nonzero()[0],
    "sorted": np.sort,
    "concatenated": lambda a: np.concatenate([a, a]),
    "where": lambda a: np.where(a > 0, a, 0),
}


@pytest.mark.parametrize("operation", RESULTS.values(), ids=RESULTS)
def test_what_is_computed_is_an_ordinary_array_in_private_memory(name: str, operation: Callable) -> None:
    array = arrays.create(name, (3, 4))
    result = operation(array)
    assert type(result) is np.ndarray
    array[...] = 9
    assert not np.shares_memory(result, array)
    del array
    assert gone(name)


def test_scalars_are_scalars(name: str, names: Callable[[], str]) -> None:
    array = arrays.create(name, (3, 4))
    assert type(array[1, 1]) is np.float64
    assert type(array.sum()) is np.float64
    zero = arrays.create(names(), ())
    assert type(zero + 1) is np.float64
    assert type(zero[()]) is np.float64


def test_writing_in_place_writes_shared_memory(name: str) -> None:
    array = arrays.create(name, 4)
    array += 1
    np.multiply(array, 5, out=array)
    assert type(array) is arrays.NamedArray
    assert arrays.open(name).tolist() == [5] * 4


def test_an_array_like_it_is_private_and_says_so(name: str) -> None:
    private = np.empty_like(arrays.create(name, 4))
    assert gone(name)
    for attribute in "name", "section", "identity":
        with pytest.raises(AttributeError, match="private"):
            getattr(private, attribute)


# ------------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize("dtype", [object, [("a", "i4"), ("b", "O")], [("n", [("b", object, 3)])]], ids=str)
def test_python_objects_are_refused_with_a_reason(name: str, dtype: object) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="Python objects"):
        arrays.create(name, 3, dtype)
    with pytest.raises(namedshm.InvalidArgument, match="Python objects"):
        arrays.publish(name, np.zeros(3, dtype))
    assert gone(name)


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has none")
def test_texts_of_any_length_are_refused(name: str) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="StringDType"):
        arrays.create(name, 3, np.dtypes.StringDType())
    assert gone(name)


@pytest.mark.parametrize(
    ("shape", "dtype", "order"),
    [
        (-1, "f8", "C"),
        ((3, -4), "f8", "C"),
        ("3", "f8", "C"),
        (3.0, "f8", "C"),
        ([[3]], "f8", "C"),
        ((1,) * 65, "f8", "C"),
        ((0, 1 << 70), "f8", "C"),
        ((0, 1 << 62, 1 << 62), "f8", "C"),
        (3, "no such dtype", "C"),
        (3, {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]}, "C"),  # overlapping
        (3, {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [4, 0]}, "C"),
        (3, "f8", "K"),
        (3, "f8", None),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_leaves_nothing(name: str, shape: object, dtype: object, order: object) -> None:
    with pytest.raises(namedshm.InvalidArgument, match=name):
        arrays.create(name, shape, dtype, order=order)
    assert gone(name)


@pytest.mark.parametrize("shape", [1 << 60, (1 << 40, 1 << 40), (1 << 31,) * 4], ids=str)
def test_what_no_machine_can_hold_is_out_of_resources(name: str, shape: object) -> None:
    with pytest.raises(namedshm.OutOfResources, match=name):
        arrays.create(name, shape)
    assert gone(name)


def test_nobody_holds_the_name(name: str) -> None:
    with pytest.raises(namedshm.NotFound, match=name):
        arrays.open(name)


def test_the_name_is_held_by_a_mutex(name: str) -> None:
    with namedshm.Mutex(name), pytest.raises(namedshm.WrongType, match=name):
        arrays.open(name)


def test_an_access_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    keep = arrays.create(name, 3)
    with pytest.raises(namedshm.InvalidArgument, match=r"'read'.*'write'.*'copy'|'write'.*'read'.*'copy'"):
        arrays.open(name, "append")  # type: ignore[call-overload]
    assert keep.name == name


# ------------------------------------------------------------------------------------------------------------ private writes
@pytest.fixture
def whole_machine() -> int:
    """Bytes that this machine does not have."""
    return 4 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_is_written_to_a_copy_is_seen_here_alone(name: str, peers: Callable[[], Peer]) -> None:
    array = arrays.create(name, (4, 2000))  # every row in pages of its own
    peer = peers()
    peer.do("from namedshm import arrays; a = arrays.open(name, 'copy'); a[0] = 5; a[1] += 1", name=name)
    assert not array.any()
    array[3] = 9
    assert peer.do("type(a).__name__, a.flags.writeable, a.name, *a.sum(axis=1)[[0, 1, 3]].tolist()") == (
        "NamedArray", True, name, 10000, 2000, 18000,
    )  # fmt: skip
    array.close()
    arrays.open(name).close()  # a copy keeps the name, as any array does
    peer.do("del a")
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)


def test_a_copy_of_an_array_that_is_only_read_can_be_written(name: str) -> None:
    array = arrays.publish(name, np.arange(10.0))
    copy = arrays.open(name, "copy")
    copy[::2] = 0
    assert copy.sum() == 25
    assert array.sum() == 45
    with pytest.raises(namedshm.InvalidArgument, match="copy"):
        arrays.open(name, "private")


def test_a_copy_is_pickled_with_its_elements(name: str) -> None:
    array = arrays.create(name, 10)
    copy = arrays.open(name, "copy")
    copy[:] = 3
    back = pickle.loads(pickle.dumps(copy[2:]))
    assert type(back) is np.ndarray
    assert back.tolist() == [3.0] * 8
    assert not array.any()


# ------------------------------------------------------------------------------------------------------------ beyond memory
@pytest.mark.skipif(not on_linux, reason="Windows counts all of a section's memory when it is made")
def test_a_reserved_array_may_be_larger_than_the_memory_there_is(name: str, whole_machine: int, peers: Callable[[], Peer]) -> None:
    with pytest.raises(namedshm.OutOfResources, match="none aside"):
        arrays.create(name, whole_machine, "u1")
    array = arrays.create(name, whole_machine, "u1", reserve=True)
    array[-1] = 1
    peer = peers()
    peer.do("from namedshm import arrays; a = arrays.open(name); a[len(a) // 2] = 2", name=name)
    assert array[len(array) // 2] == 2
    assert peer.do("int(a[-1])") == 1
    resident = namedshm.describe(name).resident
    assert resident is None or resident < 1 << 20


def test_a_reserved_array_is_like_any_other(name: str) -> None:
    array = arrays.create(name, (100, 100), reserve=True, huge_pages="try")
    array[...] = 7
    assert arrays.open(name, "read").sum() == 70000
    assert arrays.create(name, (100, 100), reserve=True, exist_ok=True).identity == array.identity
    array.section.close()
