"""A view as a sequence of bytes: it does what a bytearray of fixed size would do.  The model is a bytearray."""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Iterable, Iterator

import pytest
from helpers.ids import plain
from helpers.peer import Peer
from hypothesis import given, settings
from hypothesis import strategies as st

import namedshm

SIZE = 100


@pytest.fixture
def view(name: str) -> Iterator[namedshm.View]:
    with namedshm.create(name, SIZE) as section:
        view = section.map()
        view[:] = bytes(range(SIZE))
        yield view


# ------------------------------------------------------------------------------------------------------------ indexing
def test_indexing_gives_integers(view: namedshm.View) -> None:
    assert (view[0], view[99], view[-1], view[-100]) == (0, 99, 99, 0)


@pytest.mark.parametrize("index", [100, -101, 1 << 40, -(1 << 40)])
def test_an_index_outside_is_an_index_error(view: namedshm.View, index: int) -> None:
    with pytest.raises(IndexError):
        view[index]
    with pytest.raises(IndexError):
        view[index] = 1


@pytest.mark.parametrize("index", ["0", 1.0, None, (0,), b"0"], ids=plain)
def test_what_is_neither_integer_nor_slice_is_a_type_error(view: namedshm.View, index: object) -> None:
    with pytest.raises(TypeError):
        view[index]  # type: ignore[index]
    with pytest.raises(TypeError):
        view[index] = 1  # type: ignore[index]


@pytest.mark.parametrize("index", [1 << 63, 1 << 70, -(1 << 70)])
def test_an_index_beyond_any_address_is_an_index_error(view: namedshm.View, index: int) -> None:
    with pytest.raises(IndexError):
        view[index]


@pytest.mark.parametrize("value", [-1, 256, 1 << 40])
def test_a_byte_is_0_to_255(view: namedshm.View, value: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        view[0] = value
    assert view[0] == 0


@pytest.mark.parametrize("value", ["a", b"a", None, 1.5], ids=plain)
def test_a_byte_is_an_integer(view: namedshm.View, value: object) -> None:
    with pytest.raises(TypeError):
        view[0] = value  # type: ignore[call-overload]
    assert view[0] == 0


# ------------------------------------------------------------------------------------------------------------ slicing
def test_slices_are_copies(view: namedshm.View) -> None:
    piece = view[:4]
    view[0] = 9
    assert piece == b"\0\1\2\3"
    assert type(piece) is bytes


SLICES = st.slices(SIZE) | st.builds(
    slice,
    st.none() | st.integers(-250, 250),
    st.none() | st.integers(-250, 250),
    st.none() | st.integers(-7, 7).filter(bool) | st.sampled_from([1 << 62, -(1 << 62)]),
)


@given(SLICES)
def test_reading_a_slice_is_what_a_bytearray_does(piece: slice) -> None:
    with namedshm.create(None, SIZE) as section:
        view = section.map()
        view[:] = model = bytearray(range(SIZE))
        assert view[piece] == bytes(model[piece])


@given(st.lists(st.tuples(SLICES, st.binary(max_size=SIZE)), max_size=10))
def test_writing_slices_is_what_a_bytearray_of_fixed_size_does(writes: list[tuple[slice, bytes]]) -> None:
    with namedshm.create(None, SIZE) as section:
        view, model = section.map(), bytearray(SIZE)
        for piece, data in writes:
            room = len(model[piece])
            if len(data) >= room:
                model[piece] = data[:room]
                view[piece] = data[:room]
            else:
                with pytest.raises(ValueError, match="fixed size"):
                    view[piece] = data
            assert view[:] == bytes(model)


@given(st.integers(0, SIZE), st.integers(0, SIZE), st.integers(0, SIZE))
def test_an_overlapping_assignment_is_right(start: int, target: int, count: int) -> None:
    count = min(count, SIZE - start, SIZE - target)
    with namedshm.create(None, SIZE) as section:
        view = section.map()
        view[:] = model = bytearray(range(SIZE))
        view[target : target + count] = memoryview(view)[start : start + count]
        model[target : target + count] = bytes(model[start : start + count])
        assert view[:] == bytes(model)


def test_an_overlapping_assignment_with_a_step_is_right(view: namedshm.View) -> None:
    # backwards onto itself: a plain loop would read what it has written already
    model = bytearray(view[:])
    view[::-1] = memoryview(view)
    model[::-1] = bytes(model)
    assert view[:] == bytes(model)


def test_a_slice_step_of_0_is_a_value_error(view: namedshm.View) -> None:
    with pytest.raises(ValueError, match="zero"):
        view[::0]
    with pytest.raises(ValueError, match="zero"):
        view[::0] = b""


@pytest.mark.parametrize("value", [1, "text", None, [1, 2, 3]], ids=plain)
def test_what_has_no_buffer_cannot_be_assigned_to_a_slice(view: namedshm.View, value: object) -> None:
    with pytest.raises(TypeError):
        view[:3] = value  # type: ignore[call-overload]
    assert view[:3] == b"\0\1\2"


def test_assignment_of_another_length_changes_nothing(view: namedshm.View) -> None:
    before = view[:]
    for data in (b"", b"ab", b"abcd"):
        with pytest.raises(ValueError, match="fixed size"):
            view[:3] = data
    with pytest.raises(ValueError, match="fixed size"):
        view[::2] = bytes(51)
    assert view[:] == before


def test_bytes_cannot_be_deleted(view: namedshm.View) -> None:
    with pytest.raises(TypeError, match="deleted"):
        del view[0]
    with pytest.raises(TypeError, match="deleted"):
        del view[:]


def test_any_buffer_can_be_assigned(view: namedshm.View) -> None:
    import array

    view[:4] = bytearray(b"abcd")
    view[4:8] = memoryview(b"efgh")
    view[8:16] = array.array("d", [1.5])
    assert view[:8] == b"abcdefgh"
    assert memoryview(view)[8:16].cast("d")[0] == 1.5
    view[16:32] = view[:16]
    assert view[16:24] == b"abcdefgh"


def test_length_iteration_and_containment(view: namedshm.View) -> None:
    assert len(view) == SIZE
    assert list(view)[:5] == [0, 1, 2, 3, 4]
    assert isinstance(view, Iterable)
    assert list(reversed(view))[:2] == [99, 98]
    assert 42 in view
    assert 200 not in view


def test_iterating_stops_with_the_view(view: namedshm.View) -> None:
    bytes_of_it = iter(view)
    assert next(bytes_of_it) == 0
    view.close()
    with pytest.raises(namedshm.ClosedHandle):
        next(bytes_of_it)


# ------------------------------------------------------------------------------------------------------------ read-only
def test_a_read_only_view_refuses_every_way_of_writing(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        view = section.map(access="read")
        for index, value in ((0, 1), (slice(None), bytes(SIZE)), (slice(0, 0), b""), (slice(None, None, 2), bytes(50))):
            with pytest.raises(namedshm.AccessDenied, match=name):
                view[index] = value  # type: ignore[index]
        assert memoryview(view).readonly
        with pytest.raises(TypeError):
            memoryview(view)[0] = 1
        with pytest.raises((BufferError, TypeError)):
            struct.pack_into("i", view, 0, 1)  # asks for a writable buffer, as readinto does


# ------------------------------------------------------------------------------------------------------------ closing
def test_a_closed_view_refuses_everything_but_length_and_repr(view: namedshm.View) -> None:
    view.close()
    for use in (
        lambda: view[0],
        lambda: view[:],
        lambda: view[::2],
        lambda: memoryview(view),
        lambda: bytes(view),
        lambda: view.address,
        lambda: view.__setitem__(0, 1),
        lambda: view.__setitem__(slice(0, 1), b"x"),
        lambda: view.flush(),
    ):
        with pytest.raises(namedshm.ClosedHandle):
            use()
    assert len(view) == SIZE
    assert "closed" in repr(view)


def test_a_view_is_a_context_manager(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        with section.map() as view:
            assert not view.closed
        assert view.closed
        with pytest.raises(ZeroDivisionError), section.map() as view:
            raise ZeroDivisionError
        assert view.closed


def test_buffers_are_counted_and_the_memory_goes_with_the_last(name: str) -> None:
    with namedshm.create(name, 1 << 20) as section:
        gc.collect()
        address_count = _attached()
        view = section.map(access="read")  # an attachment of its own
        assert _attached() in (address_count, address_count + 1)
        mapped = _attached()
        one, two = memoryview(view), memoryview(view)[5:]
        three = two[5:]
        view.close()
        one.release()
        two.release()
        del view
        assert three[0] == 0
        assert _attached() == mapped
        three.release()
        assert _attached() == address_count


def test_a_view_that_no_buffer_was_taken_from_is_unmapped_when_it_is_closed(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        gc.collect()
        before = _attached()
        view = section.map(access="read")
        view.close()
        assert _attached() == before
        assert view.closed


def test_an_array_that_keeps_the_view_but_no_buffer_of_it_stays_valid(name: str, peers: Callable[[], Peer]) -> None:
    pytest.importorskip("numpy")
    peer = peers()  # it would be a crash
    assert peer.do(
        """import numpy
section = namedshm.create(name, 100_000)
with section.map(access="read") as view:
    array = numpy.ndarray((100_000,), numpy.uint8, buffer=view)
    through = numpy.ndarray((100_000,), numpy.uint8, buffer=memoryview(view))
section.map()[99_999] = 7
section.close()
(int(array[99_999]), int(through[99_999]))""",
        name=name,
    ) == (7, 7)


def test_a_view_in_a_cycle_with_its_own_buffer_is_collected(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        gc.collect()
        before = _attached()
        view = section.map(access="read")
        cycle: list[object] = [view, memoryview(view)]
        cycle.append(cycle)
        del view, cycle
        gc.collect()
        assert _attached() == before


EVIL = """
class Evil:
    def __init__(self, view, value): self.view, self.value = view, value
    def __index__(self):
        self.view.close()
        return self.value
def attempt(use):
    with namedshm.create(None, 100) as section:
        view = section.map(access="copy")       # memory of its own, so that closing really unmaps it
        try:
            use(view)
        except (ValueError, TypeError) as error:
            return type(error).__name__
"""


@pytest.mark.parametrize(
    "use",
    [
        "lambda view: view[Evil(view, 5)]",
        "lambda view: view[Evil(view, 5):]",
        "lambda view: view[::Evil(view, 2)]",
        "lambda view: view.__setitem__(Evil(view, 5), 1)",
        "lambda view: view.__setitem__(0, Evil(view, 5))",
        "lambda view: view.__setitem__(slice(Evil(view, 5), 10), b'12345')",
    ],
)
def test_a_view_closed_by_its_own_index_is_refused_like_any_closed_view(use: str, peers: Callable[[], Peer]) -> None:
    # in another process: memory that is gone ends the process that touches it
    peer = peers()
    peer.do(EVIL)
    assert peer.do(f"attempt({use})") in ("ClosedHandle", "TypeError")


def _attached() -> int:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            return sum("/SYSV" in line for line in file)
    except OSError:
        return 0


# ------------------------------------------------------------------------------------------------------------ the buffer
def test_the_buffer_is_flat_writable_bytes(view: namedshm.View) -> None:
    buffer = memoryview(view)
    assert (buffer.format, buffer.itemsize, buffer.ndim, buffer.shape, buffer.strides) == ("B", 1, 1, (SIZE,), (1,))
    assert buffer.contiguous
    assert not buffer.readonly
    assert buffer.obj is view


def test_the_buffer_begins_at_the_address(view: namedshm.View) -> None:
    import ctypes

    assert ctypes.addressof(ctypes.c_char.from_buffer(view)) == view.address
    assert view.address % 4096 == 0


@settings(max_examples=30)
@given(st.sampled_from([65535, 65536, 65537, 200_001]), st.integers(0, 5000), st.binary(min_size=1, max_size=7))
def test_copies_beyond_the_limit_for_releasing_the_gil_are_right_too(count: int, start: int, pattern: bytes) -> None:
    data = (pattern * (count // len(pattern) + 1))[:count]
    with namedshm.create(None, 300_000) as section:
        view = section.map()
        view[start : start + count] = data
        assert view[start : start + count] == data
        assert view[:start] == bytes(start)
        assert view[start + count :] == bytes(300_000 - start - count)
