"""Whatever holds a name has the same properties, closes in the same way and goes to other processes in the same way."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.names import gone
from helpers.peer import _Lender

import namedshm
from namedshm._holder import Holder
from namedshm.records import Record


class Two(Record):
    first: int = 1
    second: float = 2.0


def _array(name: str | None) -> Any:
    needs("numpy")
    from namedshm import arrays

    return arrays.create(name, 3)


def _table(name: str | None) -> Any:
    pa = needs("pyarrow")
    from namedshm import arrow

    return arrow.publish(name, pa.table({"a": [1, 2]}))


MADE: dict[str, Callable[[Any], Any]] = {
    "section": lambda name: namedshm.create(name, 100),
    "array": _array,
    "table": _table,
    "record": Two.create,
    "mutex": namedshm.Mutex,
    "event": namedshm.Event,
    "semaphore": namedshm.Semaphore,
}
#: A block of ``with`` is about the handle; of a mutex and a semaphore it is about holding it.
CLOSED_BY_WITH = ("section", "array", "table", "record", "event")


@pytest.fixture(params=MADE)
def make(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return MADE[request.param]


def test_it_has_the_name_and_an_identity(make: Callable[[Any], Any], name: str) -> None:
    held = make(name)
    assert isinstance(held, Holder)
    assert held.name == name
    assert held.identity == namedshm.describe(name).identity
    assert held.identity or not on_linux  # Windows gives none to a mutex, event or semaphore
    assert not held.closed


def test_closing_lets_the_name_go_and_twice_is_a_no_op(make: Callable[[Any], Any], name: str) -> None:
    held = make(name)
    identity = held.identity
    held.close()
    assert held.closed
    assert gone(name)
    held.close()
    assert held.name == name  # what it was is known all the same
    assert held.identity == identity


@pytest.mark.parametrize("kind", CLOSED_BY_WITH)
def test_the_end_of_a_block_closes_it(kind: str, name: str) -> None:
    with MADE[kind](name) as held:
        assert held.name == name
        assert not gone(name)
    assert held.closed
    assert gone(name)


@pytest.mark.parametrize("kind", [kind for kind in MADE if kind != "array"])  # which shows its elements
def test_it_says_what_it_is_and_whether_it_is_closed(kind: str, name: str) -> None:
    held = MADE[kind](name)
    assert repr(held).startswith("<namedshm.")
    assert name in repr(held)
    assert not repr(held).endswith("closed>")
    held.close()
    assert repr(held).endswith("closed>")


def test_it_goes_to_another_process_by_name(make: Callable[[Any], Any], name: str, peers: _Lender) -> None:
    held = make(name)
    other = peers()
    data = pickle.dumps(held if not isinstance(held, Record) else held.section)  # this module is not there
    other.do("import pickle; got = pickle.loads(data)", data=data)
    assert other.do("(got.name, got.identity, got.closed)") == (name, held.identity, False)
    held.close()
    assert not gone(name)
    other.do("got.close()")
    assert gone(name)


def test_what_is_closed_is_not_pickled(make: Callable[[Any], Any], name: str) -> None:
    held = make(name)
    held.close()
    with pytest.raises(namedshm.ClosedHandle, match=name) as caught:
        pickle.dumps(held)
    assert caught.value.object_name == name
    assert caught.value.call == "pickle"


@pytest.mark.parametrize("kind", [kind for kind in MADE if kind != "record"])
def test_what_has_no_name_is_not_pickled(kind: str) -> None:
    held = MADE[kind](None)
    assert held.name is None
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(held)
