"""Time-outs: what is no number of seconds is refused at once by everything that takes one, and all numbers are understood."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from helpers.extras import needs
from helpers.ids import plain

import namedshm
from namedshm import _arguments
from namedshm.records import Record

FOR_EVER = 9e9  # seconds, 285 years


class Camera(Record):
    frame: int = 0


class Number:
    """Something of somebody else's that is a number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Raising:
    def __float__(self) -> float:
        raise ZeroDivisionError


def _async(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def main(timeout: Any) -> Any:
        return await call(timeout)

    return lambda timeout: asyncio.run(main(timeout))


def _takers(name: str) -> dict[str, Callable[[Any], Any]]:
    """Everything with a time-out, on objects where it is over at once or nothing is waited for."""
    event, mutex = namedshm.Event(f"{name}-event", initial=True, manual=True), namedshm.Mutex(f"{name}-mutex")
    semaphore = namedshm.Semaphore(f"{name}-semaphore", initial=1000, maximum=1000)
    camera = Camera.create(f"{name}-camera")
    takers = {
        "Event.wait": event.wait,
        "Event.wait_async": _async(event.wait_async),
        "Mutex.acquire": mutex.acquire,
        "Mutex.acquire_async": _async(mutex.acquire_async),
        "Semaphore.acquire": semaphore.acquire,
        "Semaphore.acquire_async": _async(semaphore.acquire_async),
        "wait_any": lambda timeout: namedshm.wait_any([event, mutex], timeout),
        "wait_all": lambda timeout: namedshm.wait_all([event, mutex], timeout),
        "wait_any_async": _async(lambda timeout: namedshm.wait_any_async([event, mutex], timeout)),
        "wait_all_async": _async(lambda timeout: namedshm.wait_all_async([event, mutex], timeout)),
        "Record.open": lambda timeout: Camera.open(f"{name}-camera", timeout=timeout),
        "Record.create": lambda timeout: Camera.create(f"{name}-camera", exist_ok=True, timeout=timeout),
    }
    if importlib.util.find_spec("numpy"):
        from namedshm import arrays

        array = arrays.create(f"{name}-array", 3)
        takers["arrays.open"] = lambda timeout: arrays.open(f"{name}-array", timeout=timeout)
        takers["arrays.create"] = lambda timeout, _=array: arrays.create(f"{name}-array", 3, exist_ok=True, timeout=timeout)
    if importlib.util.find_spec("pyarrow"):
        import pyarrow

        from namedshm import arrow

        table = arrow.publish(f"{name}-table", pyarrow.table({"x": [1]}))
        takers["arrow.open"] = lambda timeout, _=table: arrow.open(f"{name}-table", timeout=timeout)
    takers["kept"] = lambda timeout, _=camera: _arguments.seconds(timeout, "test")
    return takers


NO_NUMBERS = ["1", b"1", bytearray(b"1"), [], [1], {}, object(), True, False, 1j, ..., type, (1,)]
NANS = [float("nan"), -float("nan"), Decimal("nan"), Decimal("snan"), Number(float("nan"))]
NUMBERS = [
    (0, 0),
    (0.25, 0.25),
    (Fraction(1, 4), 0.25),
    (Decimal("0.25"), 0.25),
    (Number(0.25), 0.25),
    (-1, 0),
    (-0.0, 0),
    (float("-inf"), 0),
    (-(10**400), 0),
    (Fraction(-(10**400)), 0),
    (5e-324, 5e-324),
    (FOR_EVER, FOR_EVER),
    (1e10, None),
    (1e300, None),
    (float("inf"), None),
    (10**400, None),
    (Fraction(10**400), None),
    (Decimal("1e400"), None),
    (Decimal("inf"), None),
    (1 << 64, None),
    (None, None),
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=plain)
def test_what_is_no_number_is_a_type_error_everywhere(name: str, value: object) -> None:
    for what, take in _takers(name).items():
        with pytest.raises(TypeError, match=f"timeout must be a number of seconds.*not {type(value).__name__}"):
            pytest.fail(f"{what} took it and gave {take(value)!r}")


@pytest.mark.parametrize("value", NANS, ids=plain)
def test_what_is_not_a_number_is_an_invalid_argument_everywhere(name: str, value: object) -> None:
    for what, take in _takers(name).items():
        with pytest.raises(namedshm.InvalidArgument, match="not a number") as caught:
            pytest.fail(f"{what} took it and gave {take(value)!r}")
        assert caught.value.winerror == 87


@pytest.mark.parametrize(("value", "seconds"), NUMBERS, ids=lambda value: repr(value)[:20])
def test_every_number_is_taken_everywhere(name: str, value: object, seconds: float | None) -> None:
    assert _arguments.seconds(value, "test") == seconds
    for what, take in _takers(name).items():
        if what != "kept":
            taken = take(value)
            assert taken is not None, what
            assert taken is not False, what


def test_numpy_s_numbers_are_numbers(name: str) -> None:
    np = needs("numpy")
    for value, seconds in (
        (np.float32(0.25), 0.25),
        (np.int64(3), 3),
        (np.float64("inf"), None),
        (np.uint8(0), 0),
        (np.float16(-1), 0),
    ):
        assert _arguments.seconds(value, "test") == seconds
        assert type(_arguments.seconds(value, "test")) in (float, type(None))
    with pytest.raises(namedshm.InvalidArgument):
        namedshm.Event(name).wait(np.float64("nan"))


def test_the_time_given_is_the_time_waited(name: str) -> None:
    event = namedshm.Event(name)
    for value in (0.1, Fraction(1, 10), Decimal("0.1"), Number(0.1)):
        for wait in (
            event.wait,
            _async(event.wait_async),
            lambda value: namedshm.wait_any([event], value),
            lambda value: namedshm.wait_all([event], value),
        ):
            begun = time.monotonic()
            assert not wait(value)
            assert time.monotonic() - begun >= 0.09
    for value in (0, -1, float("-inf"), -(10**400)):
        assert not event.wait(value)
        assert not asyncio.run(event.wait_async(value))


def test_a_time_is_looked_at_before_anything_is_touched(name: str) -> None:
    mutex, semaphore, event = namedshm.Mutex(name), namedshm.Semaphore(f"{name}-s"), namedshm.Event(f"{name}-e", initial=True)
    for wrong, error in (("1", TypeError), (float("nan"), namedshm.InvalidArgument), (Raising(), ZeroDivisionError)):
        for take in (mutex.acquire, semaphore.acquire, event.wait):
            with pytest.raises(error):
                take(wrong)
        with pytest.raises(error):
            namedshm.wait_all([mutex, semaphore, event], wrong)
        with pytest.raises(error):  # also where the name is not held, and nothing would be waited for
            Camera.open(f"{name}-missing", timeout=wrong)
        with pytest.raises(error):
            Camera.create(f"{name}-camera", timeout=wrong)
        with pytest.raises(namedshm.NotFound):
            namedshm.open(f"{name}-camera")
    with pytest.raises(namedshm.NotOwned):
        mutex.release()  # it was not taken
    assert semaphore.acquire(0)
    assert event.wait(0)


@pytest.mark.parametrize("wrong", ["1", None, b"", [], True])
def test_a_time_to_spin_is_a_number_too(name: str, wrong: object) -> None:
    event = namedshm.Event(name, initial=True)
    for wait in (namedshm.wait_any, namedshm.wait_all):
        with pytest.raises(TypeError, match="spin"):
            wait([event], 0, spin=wrong)
        with pytest.raises(namedshm.InvalidArgument, match="spin"):
            wait([event], 0, spin=float("nan"))
    assert event.wait(0)


@pytest.mark.parametrize("wrong", ["rais", "", None, 1])
def test_what_to_do_about_an_abandoned_mutex_is_a_known_word(name: str, wrong: Any) -> None:
    mutex = namedshm.Mutex(name)
    for take in (mutex.acquire, _async(lambda timeout: mutex.acquire_async(timeout, on_abandoned=wrong))):
        with pytest.raises(namedshm.InvalidArgument, match="'tell' or 'raise'"):
            take(0, on_abandoned=wrong) if take == mutex.acquire else take(0)
    with pytest.raises(namedshm.NotOwned):
        mutex.release()


@pytest.mark.parametrize("wrong", ["2", 1.5, True, [], b"2"])
def test_a_number_of_threads_is_a_whole_number(name: str, wrong: Any) -> None:
    with namedshm.create(name, 100) as section, section.map() as view:
        with pytest.raises(TypeError, match="threads"):
            namedshm.copy(view, bytes(100), threads=wrong)
        with pytest.raises(TypeError, match="threads"):
            view.populate(threads=wrong)
        for number in (0, -1):
            with pytest.raises(namedshm.InvalidArgument, match="threads"):
                namedshm.copy(view, bytes(100), threads=number)
        assert not any(view[:])


@pytest.mark.parametrize("wrong", ["x", None, 3, object(), b"x"])
def test_handles_are_made_by_their_functions(wrong: Any) -> None:
    with pytest.raises(TypeError, match="made by"):
        namedshm.Section(wrong)
    with pytest.raises(TypeError):
        namedshm.View(wrong)
    if importlib.util.find_spec("pyarrow"):
        from namedshm import arrow

        with pytest.raises(TypeError, match="made by"):
            arrow.NamedTable(wrong, wrong)
