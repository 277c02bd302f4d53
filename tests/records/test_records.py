"""What a record is: typed fields by name, updated whole, read whole."""

from __future__ import annotations

import ast
import gc
import math
import pickle
import struct
import threading
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from helpers.facts import has_fork, on_linux
from helpers.ids import plain
from helpers.peer import Peer
from hypothesis import given, settings
from hypothesis import strategies as st

import namedshm
from namedshm import records
from namedshm._formats import npy
from namedshm.records import AnyRecord, Record
from records.declared import Camera, Equal, Large, bump, check


# ------------------------------------------------------------------------------------------------------------ values
def test_a_new_record_has_the_declared_values_and_zero_elsewhere(name: str) -> None:
    with Camera.create(name) as camera:
        assert camera.snapshot() == (0.01, False, 7, "idle", (0.0, 0.0, 0.0), b"abc", (0, 0, 0, 0))
        assert camera.version == 1


def test_initial_values_go_before_declared_ones(name: str) -> None:
    with Camera.create(name, {"frame": 8, "label": "new"}) as camera:
        assert (camera.frame, camera.label, camera.exposure) == (8, "new", 0.01)


def test_another_process_sees_every_field_and_what_it_writes_is_seen_here(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        peer = peers()
        peer.do("from records.declared import Camera; c = Camera.open(name)", name=name)
        camera.update(exposure=2.5, on=True, label="läuft 🎥", position=(1, 2, 3), key=b"\0\0\0", mask=(1, 2, 3, 255))
        assert peer.do("tuple(c.snapshot())") == (2.5, True, 7, "läuft 🎥", (1.0, 2.0, 3.0), b"\0\0\0", (1, 2, 3, 255))
        peer.do("c.frame = -1")
        assert camera.frame == -1
        assert camera.version == 3


def test_assigning_a_field_makes_a_new_version(name: str) -> None:
    with Camera.create(name) as camera:
        camera.exposure = 1
        assert (camera.exposure, camera.version) == (1.0, 2)


def test_update_returns_the_new_version(name: str) -> None:
    with Camera.create(name) as camera:
        assert [camera.update(frame=n) for n in range(4)] == [2, 3, 4, 5]


def test_edit_sees_the_newest_values_and_writes_them_back_in_one_step(name: str) -> None:
    with Camera.create(name) as camera, Camera.open(name) as other:
        with camera.edit() as draft:
            draft.frame += 1
            draft.label = draft.label.upper()
            assert other.snapshot()[2:4] == (7, "idle")  # nobody sees a draft
        assert other.snapshot()[2:4] == (8, "IDLE")
        assert camera.version == 2


def test_after_an_exception_in_edit_nothing_has_changed(name: str) -> None:
    with Camera.create(name) as camera:
        before = camera.snapshot()
        with pytest.raises(ZeroDivisionError), camera.edit() as draft:
            draft.frame = 1 // 0
        with pytest.raises(ZeroDivisionError), camera.edit() as draft:  # noqa: PT012  # what cannot be written is refused at once
            draft.frame = 100
            with pytest.raises(AttributeError, match="no field 'fram'"):
                draft.fram = 1
            with pytest.raises(AttributeError, match="no field 'fram'"):
                draft.fram += 1
            with pytest.raises(TypeError, match="frame"):
                draft.frame = "1"
            with pytest.raises(AttributeError, match="deleted"):
                del draft.frame
            raise ZeroDivisionError
        assert camera.snapshot() == before
        assert camera.version == 1
        camera.frame = 3  # and the writers' mutex is free


def test_an_update_within_edit_is_not_lost(name: str) -> None:
    with Camera.create(name) as camera:
        with camera.edit() as draft:
            draft.frame = 100
            camera.label = "inner"
        assert (camera.frame, camera.label) == (100, "inner")


def test_edit_keeps_other_writers_out(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        peer = peers()
        peer.do("from records.declared import Camera; c = Camera.open(name)", name=name)
        with camera.edit() as draft:
            peer.start("c.frame = 50; c.version")
            draft.frame = 49
            assert camera.frame == 7
        assert peer.result() == 3
        assert camera.frame == 50


def test_a_draft_is_independent_of_later_versions(name: str) -> None:
    with Camera.create(name) as camera:
        old = camera.snapshot()
        camera.frame = 1000
        assert old.frame == 7


# ------------------------------------------------------------------------------------------------------------ declarations
def test_fields_are_told_as_numpy_writes_them(name: str) -> None:
    with Camera.create(name) as camera:
        assert camera.fields == {
            "exposure": "<f8",
            "on": "|b1",
            "frame": "<i8",
            "label": "<U32",
            "position": "(3,)<f8",
            "key": "|V3",
            "mask": "(4,)|u1",
        }


class Widths(Record):
    i1: Annotated[int, "i1"]
    i2: Annotated[int, "i2"]
    i4: Annotated[int, "i4"]
    i8: Annotated[int, "i8"]
    u1: Annotated[int, "u1"]
    u2: Annotated[int, "u2"]
    u4: Annotated[int, "u4"]
    u8: Annotated[int, "u8"]
    f4: Annotated[float, "f4"]
    f8: Annotated[float, "f8"]


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [(f"i{n}", -(1 << (8 * n - 1)), (1 << (8 * n - 1)) - 1) for n in (1, 2, 4, 8)]
    + [(f"u{n}", 0, (1 << (8 * n)) - 1) for n in (1, 2, 4, 8)],
)
def test_an_integer_field_holds_its_whole_range_and_nothing_beyond(name: str, field: str, low: int, high: int) -> None:
    with Widths.create(name) as record:
        for value in (low, high, 0):
            setattr(record, field, value)
            assert getattr(record, field) == value
        for value in (low - 1, high + 1):
            with pytest.raises(OverflowError, match=field):
                setattr(record, field, value)
        assert getattr(record, field) == 0


def test_floats_of_both_widths_keep_what_they_can(name: str) -> None:
    with Widths.create(name) as record:
        for value in (1.5, -0.0, math.inf, -math.inf):
            record.update(f4=value, f8=value)
            assert struct.pack("dd", record.f4, record.f8) == struct.pack("dd", value, value)
        record.update(f4=math.nan, f8=math.nan)
        assert math.isnan(record.f4)
        assert math.isnan(record.f8)
        with pytest.raises(OverflowError):
            record.f4 = 1e300


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("exposure", "1", TypeError),
        ("exposure", None, TypeError),
        ("frame", 1.5, TypeError),
        ("frame", 1 << 63, OverflowError),
        ("on", "no", TypeError),
        ("on", 2, TypeError),
        ("label", b"bytes", TypeError),
        ("label", "x" * 33, ValueError),
        ("label", "ends with NUL\0", ValueError),
        ("label", "\ud800", ValueError),
        ("position", (1.0, 2.0), ValueError),
        ("position", 1.0, TypeError),
        ("key", b"ab", ValueError),
        ("key", b"abcd", ValueError),
        ("key", "abc", TypeError),
        ("mask", (1, 2, 3, 256), OverflowError),
    ],
)
def test_a_value_that_does_not_fit_changes_nothing(name: str, field: str, value: Any, error: type[Exception]) -> None:
    with Camera.create(name) as camera:
        before = camera.snapshot()
        with pytest.raises(error):
            camera.update(exposure=99.0, **{field: value}) if field != "exposure" else camera.update(exposure=value)
        assert camera.snapshot() == before
        assert camera.version == 1


def test_an_unknown_field_is_told_with_those_there_are(name: str) -> None:
    with Camera.create(name) as camera:
        with pytest.raises(TypeError, match=r"no field 'gain'; it has exposure, on, frame"):
            camera.update(gain=1)
        with pytest.raises(AttributeError, match="no field 'gain'"):
            camera.gain = 1  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            camera.version = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (str, "length"),
        (bytes, "length"),
        (object, "use bool"),
        (list[int], "use bool"),
        (Annotated[int, "f4"], "type code"),
        (Annotated[int, "i3"], "type code"),
        (Annotated[int, "O"], "type code"),
        (Annotated[int, 3], "no length"),
        (Annotated[str, 0], "length"),
        (Annotated[str, -1], "length"),
        (tuple[int, float], "one type"),
        (tuple[()], "one type"),
        (tuple[int, ...], "length"),
        (Annotated[tuple[int, int], 3], "as many"),
        (int | None, "use bool"),
    ],
    ids=str,
)
def test_what_cannot_be_a_field_is_an_error_of_the_declaration(hint: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        type("Bad", (Record,), {"__annotations__": {"field": hint}})


@pytest.mark.parametrize("reserved", ["name", "version", "fields", "update", "edit", "close", "open", "create", "section"])
def test_a_field_cannot_have_the_name_of_an_attribute(reserved: str) -> None:
    with pytest.raises(TypeError, match=reserved):
        type("Bad", (Record,), {"__annotations__": {reserved: int}})


def test_a_wrong_first_value_is_an_error_of_the_declaration() -> None:
    with pytest.raises(ValueError, match="label"):
        type("Bad", (Record,), {"__annotations__": {"label": Annotated[str, 3]}, "label": "long"})


def test_a_record_too_large_to_rewrite_is_refused() -> None:
    with pytest.raises(TypeError, match="use an array"):
        type("Bad", (Record,), {"__annotations__": {"data": Annotated[bytes, 1 << 20]}})


def test_a_subclass_adds_fields_and_changes_first_values(name: str) -> None:
    class Base(Record):
        a: int = 1
        b: int = 2

    class More(Base):
        b = 3
        c: int = 4

    with More.create(name) as record:
        assert record.snapshot()._asdict() == {"a": 1, "b": 3, "c": 4}
    assert Base._first == {"a": 1, "b": 2}


def test_record_itself_is_only_opened() -> None:
    with pytest.raises(TypeError, match="subclass"):
        Record.create("x")
    with pytest.raises(TypeError, match=r"Camera\.create"):
        Camera()


# ------------------------------------------------------------------------------------------------------------ opening
def test_any_record_is_opened_by_the_function_of_the_module(name: str) -> None:
    with Camera.create(name) as camera, records.open(name) as found, Record.open(name) as same, AnyRecord.open(name) as too:
        assert type(found) is type(same) is type(too)
        assert isinstance(found, AnyRecord)
        found.frame = 3
        with found.edit() as draft:
            draft.frame += 1
        assert camera.frame == found.snapshot().frame == 4
        with pytest.raises(AttributeError, match="no field"):
            found.fram = 5
        with pickle.loads(pickle.dumps(found)) as received:
            assert isinstance(received, AnyRecord)
            assert received.frame == 4


def test_any_record_cannot_be_created() -> None:
    with pytest.raises(TypeError, match="subclass"):
        AnyRecord.create("x")


def test_a_record_is_opened_without_its_declaration(name: str) -> None:
    with Camera.create(name) as camera, Record.open(name) as found:
        assert found.fields == camera.fields
        assert found.snapshot() == camera.snapshot()
        found.frame = 3  # type: ignore[attr-defined]
        assert camera.frame == 3


def test_another_declaration_is_refused_with_the_difference(name: str) -> None:
    class Less(Record):
        exposure: float

    class Other(Record):
        exposure: Annotated[float, "f4"]

    class Order(Record):
        b: int
        a: int

    class Sorted(Record):
        a: int
        b: int

    with Camera.create(name), pytest.raises(namedshm.InvalidContent, match=r"other fields than Less: it also has 'frame'"):
        Less.open(name)
    with Less.create(name):
        with pytest.raises(namedshm.InvalidContent, match=r"its 'exposure' is <f8, not <f4"):
            Other.open(name)
        with pytest.raises(namedshm.InvalidContent, match=r"it has no 'frame'"):
            Camera.open(name)
    with Order.create(name), pytest.raises(namedshm.InvalidContent, match="order"):
        Sorted.open(name)


def test_exist_ok_opens_the_living_record_with_its_values(name: str) -> None:
    with Camera.create(name, {"frame": 1}), Camera.create(name, {"frame": 2}, exist_ok=True) as again:
        assert again.frame == 1
        assert not again.section.created
        with pytest.raises(namedshm.AlreadyExists):
            Camera.create(name)


def test_a_handle_for_reading_cannot_write(name: str) -> None:
    with Camera.create(name), Camera.open(name, "read") as reader:
        with pytest.raises(namedshm.AccessDenied, match="open it with access 'write'"):
            reader.frame = 1
        with pytest.raises(namedshm.AccessDenied), reader.edit():
            pass
        assert reader.frame == 7


def test_the_name_goes_with_the_last_handle(name: str) -> None:
    camera = Camera.create(name)
    other = Camera.open(name)
    camera.close()
    camera.close()
    assert other.frame == 7
    other.close()
    for left in (name, f"{name}|writers"):
        with pytest.raises(namedshm.NotFound):
            namedshm.describe(left)


def test_a_forgotten_record_is_closed(name: str) -> None:
    Camera.create(name)
    gc.collect()
    with pytest.raises(namedshm.NotFound):
        Camera.open(name)


def test_a_closed_record_says_so(name: str) -> None:
    camera = Camera.create(name)
    camera.close()
    assert "closed" in repr(camera)
    for use in (
        lambda: camera.frame,
        camera.snapshot,
        lambda: camera.version,
        lambda: camera.update(frame=1),
        lambda: pickle.dumps(camera),
    ):
        with pytest.raises(namedshm.ClosedHandle):
            use()


def test_repr_tells_name_version_and_values(name: str) -> None:
    with Camera.create(name) as camera:
        assert name in repr(camera)
        assert "version 1" in repr(camera)
        assert "label='idle'" in repr(camera)


def test_a_pickled_record_is_the_same_record_elsewhere(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name, {"frame": 123456789}) as camera:
        data = pickle.dumps(camera)
        assert (123456789).to_bytes(4, "little") not in data
        peer = peers()
        assert peer.do("import pickle; c = pickle.loads(data); (type(c).__name__, c.frame)", data=data) == ("Camera", 123456789)
        with Record.open(name, "read") as found:
            twin = pickle.loads(pickle.dumps(found))
            assert twin.frame == 123456789
            with pytest.raises(namedshm.AccessDenied):
                twin.frame = 1


def test_a_pickle_of_a_record_that_has_gone_is_stale(name: str) -> None:
    with Camera.create(name) as camera:
        data = pickle.dumps(camera)
    with Camera.create(name), pytest.raises(namedshm.StaleObject):
        pickle.loads(data).snapshot()


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_forked_child_goes_on_with_the_record(name: str, peers: Callable[[], Peer], tmp_path: Any) -> None:
    peer = peers()
    peer.do("from records.declared import Camera; c = Camera.create(name)", name=name)
    with peer.fork(tmp_path) as child:
        assert child.do("c.frame = 20; c.version") == 2
        assert peer.do("c.frame") == 20


# ------------------------------------------------------------------------------------------------------------ the format
def test_the_bytes_are_an_npy_file_of_two_versions(name: str) -> None:
    numpy = pytest.importorskip("numpy")
    import io

    with Camera.create(name) as camera, namedshm.open(name, "read") as section, section.map() as view:
        camera.update(frame=8, label="zwölf", position=(1, 2, 3))
        array = numpy.load(io.BytesIO(bytes(view)), allow_pickle=False)
        newest = array[array["version"].argmax()]
        assert array["version"].tolist() == [2, 1] or array["version"].tolist() == [1, 2]
        assert (newest["frame"], newest["label"], newest["position"].tolist()) == (8, "zwölf", [1, 2, 3])
        assert array.dtype.itemsize % 64 == 0
        assert (view.address + len(view) - array.nbytes) % 64 == 0


@pytest.mark.parametrize(
    "fields",
    [
        [("version", "<u8"), ("a", "<i8"), ("", "|V48")],
        [("version", "<u8"), ("", "|V56")],
    ],
)
def test_a_record_made_by_another_program_is_opened(name: str, fields: list[tuple[str, str]]) -> None:
    with _made(name, npy.encode(fields, (2,), False), slot=64), Record.open(name) as record:
        assert record.version == 1


def _made(name: str, header: bytes, slot: int, *, size: int | None = None) -> namedshm.Section:
    """A section with this header and two slots, the first at version 1."""
    section = namedshm.create(name, len(header) + 2 * slot if size is None else size)
    with section.map() as view:
        view[: len(header)] = header
        if size is None:
            view[len(header) : len(header) + 8] = (1).to_bytes(8, "little")
    return section


GOOD = [("version", "<u8"), ("a", "<i8"), ("", "|V48")]


@pytest.mark.parametrize(
    ("descr", "shape", "fortran"),
    [
        ("<f8", (2,), False),
        ("|O", (2,), False),
        ([("version", "<u8"), ("a", "|O"), ("", "|V48")], (2,), False),
        (GOOD, (3,), False),
        (GOOD, (), False),
        (GOOD, (2, 2), False),
        (GOOD, (2,), True),
        (GOOD, (1 << 80,), False),
        (GOOD[1:], (2,), False),
        ([("a", "<i8"), ("version", "<u8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<i8"), ("a", "<i8"), ("", "|V40")], (2,), False),
        ([("version", "<u8"), ("class", "<i8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("_a", "<i8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("update", "<i8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("__class__", "<i8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a b", "<i8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", ">i8"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<i8", (0,)), ("", "|V56")], (2,), False),
        ([("version", "<u8"), ("a", "<i8", (1 << 70,)), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<U99999999"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<U" + "9" * 5000), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<U-1"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<U٣"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<M8[s]"), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", [("b", "<i8")]), ("", "|V48")], (2,), False),
        ([("version", "<u8"), ("a", "<i8")], (2,), False),
        ([("version", "<u8"), ("a", "<i8"), ("", "|V112")], (2,), False),
        ([("version", "<u8"), ["a", "<i8"], ("", "|V48")], (2,), False),
        ([], (2,), False),
        (None, (2,), False),
        ({}, (2,), False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_foreign_header_is_invalid_content(name: str, descr: object, shape: tuple[int, ...], fortran: bool) -> None:
    with _made(name, npy.encode(descr, shape, fortran), slot=64), pytest.raises(namedshm.InvalidContent, match=name):
        Record.open(name)


@pytest.mark.parametrize(
    "header",
    [
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"\x93NUMPY\x01\x00\x00\x00",
        b"\x93NUMPY\x04\x00\x10\x00" + b" " * 16,
        b"\x93NUMPX\x01\x00\x10\x00" + b" " * 16,
        b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
        b"\x93NUMPY\x01\x00\x00\x40" + b"[" * 0x4000,
        b"\x93NUMPY\x01\x00\x00\x40" + b"-" * 0x4000,
        b"\x93NUMPY\x03\x00\x04\x00\x00\x00\xff\xff\xff\xff",
        b"\x93NUMPY\x01\x00\x04\x00{1:2",
        b"ARROW1\0\0" * 4,
    ],
    ids=plain,
)
def test_a_damaged_header_is_invalid_content(name: str, header: bytes) -> None:
    with _made(name, header, 64, size=max(4096, len(header))), pytest.raises(namedshm.InvalidContent, match=name):
        Record.open(name)


def test_a_section_that_is_too_short_for_its_slots_is_invalid_content(name: str) -> None:
    header = npy.encode(GOOD, (2,), False)
    with _made(name, header, 64, size=len(header) + 127), pytest.raises(namedshm.InvalidContent, match="bytes"):
        Record.open(name)


def test_a_plain_section_is_not_ready_as_a_record(name: str) -> None:
    with namedshm.create(name, 4096), pytest.raises(namedshm.NotReady, match=name):
        Record.open(name, timeout=0)


def test_a_record_without_a_version_is_damaged(name: str) -> None:
    with _made(name, npy.encode(GOOD, (2,), False), 64) as section, Record.open(name) as record:
        with section.map() as view:
            view[len(view) - 128 : len(view) - 120] = bytes(8)
        with pytest.raises(namedshm.InvalidContent, match="no version"):
            record.snapshot()


def test_a_version_at_its_end_is_told(name: str) -> None:
    with _made(name, npy.encode(GOOD, (2,), False), 64) as section, Record.open(name) as record:
        with section.map() as view:
            view[len(view) - 128 : len(view) - 120] = b"\xff" * 8
        with pytest.raises(OverflowError):
            record.update(a=1)
        assert record.version == (1 << 64) - 1


def test_text_that_is_none_is_told(name: str) -> None:
    with Camera.create(name) as camera, namedshm.open(name) as section, section.map() as view:
        at = bytes(view).index("idle".encode("utf-32-le"))
        view[at : at + 4] = b"\xff\xff\xff\xff"
        with pytest.raises(namedshm.InvalidContent, match="label"):
            _ = camera.label


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_mutated_record_is_opened_or_refused_and_nothing_else(data: st.DataObject) -> None:
    header = npy.encode(GOOD, (2,), False)
    name = f"mutated-{id(data)}"
    with _made(name, header, 64) as section, section.map() as view:
        for _ in range(data.draw(st.integers(1, 6))):
            view[data.draw(st.integers(0, len(view) - 1))] = data.draw(st.sampled_from([0, 255, 39, 40, 44, 91, 48, 57, 0x61]))
        try:
            with Record.open(name, timeout=0) as record:
                assert set(record.fields) == set(record.snapshot()._asdict())
                record.snapshot()
                record.update()
        except (namedshm.InvalidContent, namedshm.NotReady, OverflowError):
            pass


def test_the_header_is_a_literal_that_ends_on_a_line(name: str) -> None:
    for descr in (GOOD, [("version", "<u8"), ("größe", "<i8"), ("", "|V48")], [("version", "<u8"), ("数", "<i8"), ("", "|V48")]):
        header = npy.encode(descr, (2,), False)
        assert len(header) % 64 == 0
        assert header.endswith(b"\n")
        width = 2 if header[6] == 1 else 4
        facts = ast.literal_eval(header[8 + width :].decode("latin-1" if header[6] == 1 else "utf-8").strip())
        assert facts == {"descr": descr, "fortran_order": False, "shape": (2,)}


# ------------------------------------------------------------------------------------------------------------ many at once
@pytest.mark.parametrize(("kind", "rounds"), [(Equal, 1500 if on_linux else 150), (Large, 300 if on_linux else 50)])
def test_readers_see_one_version_while_processes_write(
    name: str, peers: Callable[[], Peer], kind: type[Equal | Large], rounds: int
) -> None:
    writers = 3
    with kind.create(name) as record:
        crew = [peers() for _ in range(writers + 1)]
        for peer in crew:
            peer.do(f"from records.declared import *; r = {kind.__name__}.open(name)", name=name)
        for peer in crew[:writers]:
            peer.start("bump(r, rounds)", rounds=rounds)
        crew[writers].start("check(r, until)", until=rounds * writers)
        assert check(record, rounds * writers) > 1
        for peer in crew[:writers]:
            peer.result()
        assert crew[writers].result() > 1
        assert record.a == rounds * writers  # no update was lost
        assert record.version == 1 + rounds * writers


def test_threads_share_one_handle(name: str) -> None:
    with Equal.create(name) as record:
        threads = [threading.Thread(target=bump, args=(record, 200)) for _ in range(4)]
        for thread in threads:
            thread.start()
        check(record, 800)
        for thread in threads:
            thread.join()
        assert record.a == 800


def test_a_writer_killed_at_any_moment_leaves_a_whole_version_and_a_free_mutex(name: str) -> None:
    """Killed in the middle of a loop of updates, wherever it is; the next writer goes on from what readers see."""
    with Equal.create(name) as record:
        for _ in range(40 if on_linux else 8):
            with Peer() as peer:
                peer.do("from records.declared import *; r = Equal.open(name)", name=name)
                before = record.a
                peer.start("bump(r, 10 ** 9)")
                check(record, before + 5)
                peer.kill()
            check(record, record.a)
            before, version = record.a, record.version
            bump(record, 1)
            assert (record.a, record.version) == (before + 1, version + 1)


def test_a_version_written_half_is_not_seen_and_written_again(name: str) -> None:
    """What a writer killed between its first and last store leaves: the older slot at version 0, full of anything."""
    with Camera.create(name) as camera:
        camera.frame = 8
        base, size = camera._base, camera._slot
        with namedshm.open(name) as section, section.map() as view:
            older = base if view[base : base + 8] < view[base + size : base + size + 8] else base + size
            view[older : older + size] = bytes(8) + b"\xee" * (size - 8)
        assert (camera.version, camera.frame, camera.label) == (2, 8, "idle")
        camera.frame = 9
        assert (camera.version, camera.frame, camera.label) == (3, 9, "idle")


def test_readers_that_kept_a_record_without_writers_let_new_ones_in(name: str) -> None:
    camera = Camera.create(name)
    with Camera.open(name, "read") as reader:
        camera.close()
        with Camera.open(name) as late, Camera.open(name) as later:
            late.frame = 1
            later.frame = 2
            assert reader.frame == 2
