"""ShareableList against two models: a Python list, and the standard library's where that is right."""

from __future__ import annotations

import contextlib
import multiprocessing.shared_memory
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from helpers.worker import end_as_maker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namedshm.shared_memory import ShareableList, SharedMemory

STANDARD = multiprocessing.shared_memory
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.text("a\0é", max_size=20)
anything = scalars | texts | st.binary(max_size=40) | st.binary(max_size=20).map(lambda data: data + bytes(3))
#: What the standard library does not lose: no NUL at the end, and no more bytes than eight per eight characters begun.
agreed = (
    scalars
    | st.text(st.characters(max_codepoint=127), max_size=40).filter(lambda text: not text.endswith("\0"))
    | texts.filter(lambda text: not text.endswith("\0") and len(text.encode()) <= 8 * (len(text) // 8 + 1))
    | st.binary(max_size=40).filter(lambda data: not data.endswith(b"\0"))
)
slow = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def known(items: Any) -> list[str]:
    """Values with their types; NaN equals itself here, and 0.0 is not -0.0."""
    return [repr(item) for item in items]


@contextlib.contextmanager
def standard_list(items: list[Any] | None = None, name: str | None = None) -> Iterator[Any]:
    made = STANDARD.ShareableList(items, name=name)
    try:
        yield made
    finally:
        made.shm.close()
        with contextlib.suppress(FileNotFoundError):
            made.shm.unlink()


@slow
@given(st.lists(anything, max_size=12))
def test_any_items_come_back_wherever_the_list_is_opened(items: list[Any]) -> None:
    end_as_maker()  # of the example before: none shall fill the table of segments
    made = ShareableList(items)
    assert known(made) == known(items)
    assert known(ShareableList(name=made.shm.name)) == known(items)
    assert known(ShareableList(made)) == known(items)


@slow
@given(st.lists(anything, min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 5), anything), max_size=12))
def test_replacing_items_changes_those_or_nothing(items: list[Any], changes: list[tuple[int, Any]]) -> None:
    end_as_maker()  # of the example before: none shall fill the table of segments
    made = ShareableList(items)
    opened = ShareableList(name=made.shm.name)
    model = list(items)
    for position, value in changes:
        position %= len(model)
        try:
            made[position] = value
        except ValueError:
            assert isinstance(value, (str, bytes))  # no room
        else:
            model[position] = value
        assert known(opened) == known(model)
        for item in model:
            if item == item:
                assert opened.count(item) == model.count(item)
                assert opened.index(item) == model.index(item)


@slow
@given(st.lists(agreed, max_size=6), st.lists(st.tuples(st.integers(-6, 8), agreed), max_size=12))
def test_it_does_what_the_standard_library_does(no_tracker: None, items: list[Any], changes: list[tuple[int, Any]]) -> None:
    end_as_maker()  # of the example before: none shall fill the table of segments
    made = ShareableList(items)
    with standard_list(items) as theirs:
        length = made.shm.size
        assert theirs.shm.size >= length  # whole pages on some systems
        assert bytes(made.shm.buf) == bytes(theirs.shm.buf[:length])
        for position, value in changes:
            if position < -len(items):
                continue  # there the standard library takes another item
            outcomes = []
            for side in (made, theirs):
                try:
                    side[position] = value
                    outcomes.append("done")
                except (IndexError, ValueError) as error:
                    outcomes.append(f"{type(error).__name__} {str(error)[:34]}")
            assert outcomes[0] == outcomes[1]
            assert (known(made), made.format, len(made)) == (known(theirs), theirs.format, len(theirs))
        # either reads what the other wrote
        copy = SharedMemory(create=True, size=length)
        copy.buf[:] = theirs.shm.buf[:length]
        assert known(ShareableList(name=copy.name)) == known(theirs)
        theirs.shm.buf[:length] = made.shm.buf
        assert known(theirs) == known(made)


@slow
@given(st.lists(anything, max_size=5), st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=9)), max_size=4))
def test_whatever_is_written_into_the_block_an_item_is_a_value_or_a_value_error(
    items: list[Any], damage: list[tuple[int, bytes]]
) -> None:
    end_as_maker()  # of the example before: none shall fill the table of segments
    made = ShareableList(items)
    for offset, data in damage:
        offset = offset % made.shm.size
        data = data[: made.shm.size - offset]
        made.shm.buf[offset : offset + len(data)] = data
        lists = [made]
        with contextlib.suppress(ValueError):
            lists.append(ShareableList(name=made.shm.name))
        for one in lists:
            assert len(one) <= made.shm.size
            for position in range(len(one)):
                try:
                    assert isinstance(one[position], (int, float, bool, str, bytes, type(None)))
                except ValueError:
                    continue
