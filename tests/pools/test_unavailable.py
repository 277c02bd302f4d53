"""Unpickling gives something, always; what cannot be opened raises our error at its first use, of whatever kind."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import operator
import os
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.names import gone

import namedshm
from namedshm._pickling import unavailable
from namedshm._pickling.unavailable import Unavailable

from .things import THINGS


def _await(thing: Any) -> None:
    async def program() -> None:
        await thing

    asyncio.run(program())


def _async_with(thing: Any) -> None:
    async def program() -> None:
        async with thing:
            pass

    asyncio.run(program())


def _async_for(thing: Any) -> None:
    async def program() -> None:
        async for _ in thing:
            pass

    asyncio.run(program())


def _with(thing: Any) -> None:
    with thing:
        pass


def _assign(thing: Any) -> None:
    thing.value = 1


def _assign_item(thing: Any) -> None:
    thing[0] = 1


def _delete(thing: Any) -> None:
    del thing.value


def _delete_item(thing: Any) -> None:
    del thing[0]


def _add_to(thing: Any) -> None:
    thing += 1


USES: dict[str, Callable[[Any], object]] = {
    "attribute": lambda thing: thing.name,
    "private attribute": lambda thing: thing._handle,
    "method": lambda thing: thing.close(),
    "hasattr": lambda thing: hasattr(thing, "shape"),
    "assignment": _assign,
    "deletion": _delete,
    "index": lambda thing: thing[0],
    "slice": lambda thing: thing[1:2],
    "item assignment": _assign_item,
    "item deletion": _delete_item,
    "len": len,
    "bool": bool,
    "not": lambda thing: not thing,
    "iteration": list,
    "next": next,
    "reversed": reversed,
    "unpacking": lambda thing: [*thing],
    "in": lambda thing: 1 in thing,
    "with": _with,
    "call": lambda thing: thing(),
    "await": _await,
    "async with": _async_with,
    "async for": _async_for,
    "int": int,
    "float": float,
    "complex": complex,
    "index number": operator.index,
    "bytes": bytes,
    "memoryview": memoryview,
    "bytearray": bytearray,
    "path": os.fspath,
    "equal": lambda thing: thing == 1,
    "unequal": lambda thing: thing != 1,
    "equal to": lambda thing: 1 == thing,  # noqa: SIM300
    "less": lambda thing: thing < 1,
    "sorted": lambda thing: sorted([thing, thing]),
    "negative": operator.neg,
    "absolute": abs,
    "invert": operator.invert,
    "round": round,
    "floor": math.floor,
    "sum": lambda thing: sum([thing]),
    "divmod": lambda thing: divmod(1, thing),
    "power": lambda thing: thing**2,
    "matrix": lambda thing: [1] @ thing,
    "in place": _add_to,
    "deepcopy": copy.deepcopy,
    "buffer of a view": lambda thing: namedshm.copy(bytearray(8), thing),
    "attribute by name": operator.attrgetter("wait"),
}
NUMPY: dict[str, Callable[[Any, Any], object]] = {
    "asarray": lambda np, thing: np.asarray(thing),
    "array": lambda np, thing: np.array([thing]),
    "frombuffer": lambda np, thing: np.frombuffer(thing),
    "sum": lambda np, thing: np.sum(thing),
    "add": lambda np, thing: np.add(thing, 1),
    "array + thing": lambda np, thing: np.ones(3) + thing,
    "thing + array": lambda np, thing: thing + np.ones(3),
    "array += thing": lambda np, thing: operator.iadd(np.ones(3), thing),
    "array @ thing": lambda np, thing: np.ones(3) @ thing,
    "array == thing": lambda np, thing: np.ones(3) == thing,
    "assignment": lambda np, thing: operator.setitem(np.ones(3), slice(None), thing),
    "concatenate": lambda np, thing: np.concatenate([np.ones(3), thing]),
    "stack": lambda np, thing: np.stack([thing, thing]),
    "from_dlpack": lambda np, thing: np.from_dlpack(thing),
}


@pytest.fixture(params=THINGS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


BLOCKS = ("SharedMemory", "Block", "ShareableList") if on_linux else ()


@pytest.fixture
def data(kind: str, name: str) -> bytes:
    """A pickle of something that has gone."""
    make, part, close = THINGS[kind]
    made = make(name)
    data = pickle.dumps(part(made))
    close(made)
    del made
    gc.collect()
    assert gone(name)
    return data


@pytest.fixture
def thing(name: str) -> Any:
    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
    return pickle.loads(data)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_there_arrives_as_itself(kind: str, name: str, protocol: int) -> None:
    make, part, close = THINGS[kind]
    made = make(name)
    sent = part(made)
    twin = pickle.loads(pickle.dumps(sent, protocol))
    assert type(twin) is type(sent)
    close(made)
    if kind not in BLOCKS:  # there closing includes unlink(), for everybody
        assert kind == "View" or not gone(name)
    del twin, made, sent
    assert gone(name)


def test_what_has_gone_arrives_as_what_raises_when_it_is_used(kind: str, data: bytes, name: str) -> None:
    thing = pickle.loads(data)
    assert isinstance(thing, Unavailable)
    for _ in range(2):  # each time
        with pytest.raises(namedshm.NotFound, match=f"{name}.*found when the {kind} was unpickled.*keep a handle") as caught:
            thing.close()
        assert caught.value.winerror == 2
    assert kind in repr(thing)
    assert name in repr(thing)
    assert "NotFound" in f"{thing!s} {thing} {thing:>10}"


def test_a_successor_is_not_taken_for_what_was_sent(kind: str, data: bytes, name: str) -> None:
    make, _, close = THINGS[kind]
    made = make(name)
    if not getattr(made, "identity", 1):
        pytest.skip("this system tells no identity of such an object")
    thing = pickle.loads(data)
    with pytest.raises(namedshm.StaleObject, match=f"{name}.*found when the {kind} was unpickled"):
        bool(thing)
    close(made)
    del made
    assert gone(name)  # the refusal kept nothing, nor does what it left
    assert repr(thing)


def test_another_type_under_the_name_is_told_as_such(kind: str, data: bytes, name: str) -> None:
    other = namedshm.create(name, 100) if kind in ("Mutex", "Event", "Semaphore") else namedshm.Event(name)
    with other, pytest.raises(namedshm.WrongType, match=name):
        len(pickle.loads(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_be_passed_on_and_opened_where_the_object_is(kind: str, name: str, protocol: int, data: bytes) -> None:
    thing = pickle.loads(data)
    again = pickle.dumps(thing, protocol)
    assert isinstance(pickle.loads(again), Unavailable)
    assert pickle.dumps(pickle.loads(pickle.dumps(thing))) == pickle.dumps(thing)


def test_it_is_opened_after_all_where_that_is_possible_later(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        with monkeypatch.context() as patch:
            patch.setattr("namedshm.section.reopen", _refuse)
            thing = pickle.loads(data)
        with pytest.raises(namedshm.OutOfResources, match="no room"):
            thing.map()
        with pickle.loads(pickle.dumps(thing)) as twin:
            assert twin.identity == section.identity


def _refuse(*_: object) -> None:
    raise namedshm.OutOfResources("There is no room", winerror=1450, call="shmat")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_use_raises_what_was_wrong(name: str, thing: Any, use: Callable[[Any], object]) -> None:
    with pytest.raises(namedshm.NotFound, match=name):
        use(thing)


def test_every_operator_that_python_has_raises(name: str, thing: Any) -> None:
    tried = 0
    for function in vars(operator).values():
        for arguments in ((thing,), (thing, 1), (1, thing), (thing, 0, 1)):
            if not callable(function) or isinstance(function, type) or function.__name__.strip("_") in ("is", "is_not"):
                continue
            try:
                function(*arguments)
            except namedshm.NotFound:
                tried += 1
            except TypeError as error:  # it takes another number of arguments, or no such other one
                if "Unavailable" in str(error) and "concatenated" not in str(error):
                    raise
            else:
                pytest.fail(f"{function} took it")
    assert tried > 100


@pytest.mark.parametrize("use", NUMPY.values(), ids=NUMPY)
def test_numpy_meets_the_error_too(name: str, thing: Any, use: Callable[[Any, Any], object]) -> None:
    np = needs("numpy")
    with pytest.raises(namedshm.NotFound, match=name):
        use(np, thing)


def test_arrow_and_pandas_meet_the_error_too(name: str, thing: Any) -> None:
    pyarrow = needs("pyarrow")
    for use in (pyarrow.table, pyarrow.array, pyarrow.py_buffer, pyarrow.RecordBatchReader.from_stream):
        with pytest.raises(namedshm.NotFound, match=name):
            use(thing)
    pandas = needs("pandas")
    for use in (pandas.DataFrame, pandas.Series):
        with pytest.raises(namedshm.NotFound, match=name):
            use(thing).sum()


def test_looking_at_it_is_no_use_of_it(thing: Any) -> None:
    assert type(thing) is Unavailable
    assert isinstance(thing, Unavailable)
    assert not isinstance(thing, (int, namedshm.Section))
    assert thing is not None
    assert dir(thing)
    assert weakref.ref(thing)() is thing
    assert [item is thing for item in (thing,)] == [True]
    assert Unavailable.__doc__


@pytest.mark.parametrize(
    "error", [RuntimeError("out of luck"), TypeError("wrong"), MemoryError(), ImportError("no module"), KeyError(1)]
)
def test_whatever_goes_wrong_it_is_no_exception_of_unpickling(name: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        monkeypatch.setattr("namedshm.section.reopen", fail)
        thing = pickle.loads(data)
    with pytest.raises(namedshm.NamedShmError, match=f"{type(error).__name__}.*found when the Section was unpickled"):
        thing.map()


def test_ctrl_c_is_no_reason_to_go_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        monkeypatch.setattr("namedshm.section.reopen", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pickle.loads(data)


def test_the_error_keeps_nothing_alive(name: str) -> None:
    class Thing:
        pass

    def fail() -> None:
        thing = Thing()
        seen.append(weakref.ref(thing))
        raise namedshm.NotFound("x", name=name)

    seen: list[Any] = []
    left = unavailable.unpickling("Thing")(fail)()
    gc.collect()
    assert seen[0]() is None
    assert "NotFound" in repr(left)
