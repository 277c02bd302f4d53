"""open(wait=SECONDS): whoever waits for a name has it as soon as somebody makes it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.peer import _Lender

import namedshm

OPENS: dict[str, str] = {
    "section": "namedshm.open({0!r}, wait={1})",
    "mutex": "namedshm.Mutex.open({0!r}, wait={1})",
    "event": "namedshm.Event.open({0!r}, 'wait', wait={1})",
    "semaphore": "namedshm.Semaphore.open({0!r}, wait={1})",
    "array": "namedshm.arrays.open({0!r}, wait={1})",
    "table": "namedshm.arrow.open({0!r}, wait={1})",
    "record": "namedshm.records.Record.open({0!r}, wait={1})",
}
MAKES: dict[str, str] = {
    "section": "made = namedshm.create({0!r}, 10)",
    "mutex": "made = namedshm.Mutex({0!r})",
    "event": "made = namedshm.Event({0!r})",
    "semaphore": "made = namedshm.Semaphore({0!r})",
    "array": "made = namedshm.arrays.create({0!r}, 3)",
    "table": "import pyarrow; made = namedshm.arrow.publish({0!r}, pyarrow.table({{'a': [1]}}))",
    "record": "class R(namedshm.records.Record):\n    n: int\nmade = R.create({0!r})",
}
NEEDS = {"array": "numpy", "table": "pyarrow"}


@pytest.mark.parametrize("kind", OPENS)
def test_a_name_is_had_as_soon_as_it_is_made(name: str, peers: _Lender, kind: str) -> None:
    if kind in NEEDS:
        needs(NEEDS[kind])
    maker = peers()
    got: list[Any] = []
    code = OPENS[kind].format(name, 60)
    waiter = threading.Thread(target=lambda: got.append(eval(code, {"namedshm": namedshm})))
    waiter.start()
    maker.do(MAKES[kind].format(name))
    waiter.join(60)
    assert got
    assert got[0].name == name
    got[0].close()


@pytest.mark.parametrize("kind", OPENS)
def test_nobody_makes_it_in_time(name: str, kind: str) -> None:
    if kind in NEEDS:
        needs(NEEDS[kind])
    with pytest.raises(namedshm.NotFound):
        eval(OPENS[kind].format(name, 0.02), {"namedshm": namedshm})


def test_what_lives_is_opened_at_once_whatever_the_wait(name: str) -> None:
    with namedshm.create(name, 10):
        for wait in (0, 0.0, 1, 1e9, math.inf, None, -1):
            namedshm.open(name, wait=wait).close()


def test_another_error_is_not_waited_for(name: str) -> None:
    with namedshm.Mutex(name), pytest.raises(namedshm.WrongType):
        namedshm.open(name, wait=None)


@pytest.mark.parametrize(("wrong", "error"), [("1", TypeError), (True, TypeError), (math.nan, namedshm.InvalidArgument)])
def test_a_wrong_time_is_refused(name: str, wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        namedshm.open(name, wait=wrong)


def test_many_wait_for_many(names: Callable[[], str], peers: _Lender) -> None:
    wanted = [names() for _ in range(20)]
    got: dict[str, list[int]] = {name: [] for name in wanted}

    def wait_for(name: str) -> None:
        with namedshm.open(name, wait=60) as section:
            got[name].append(section.size)

    waiters = [threading.Thread(target=wait_for, args=(name,)) for name in wanted * 2]
    for waiter in waiters:
        waiter.start()
    maker = peers()
    for size, name in enumerate(wanted, 1):
        maker.do(f"kept{size} = namedshm.create({name!r}, {size})")
    for waiter in waiters:
        waiter.join(60)
    assert got == {name: [size, size] for size, name in enumerate(wanted, 1)}


@pytest.mark.skipif(not on_linux, reason="elsewhere who waits looks again and again")
def test_who_waits_sleeps(name: str, peers: _Lender) -> None:
    """Until something happens: counted by the kernel as voluntary switches of its thread, two a second for its naps."""
    waiter = peers()
    waiter.do("import threading, resource")
    waiter.do(
        f"t = threading.Thread(target=lambda: globals().update(got=namedshm.open({name!r}, wait=60)), daemon=True); t.start()"
    )
    before = waiter.do("import time; time.sleep(0.2); resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw")
    after = waiter.do("time.sleep(1); resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw")
    assert after - before < 60
    with namedshm.create(name, 1):
        assert waiter.do("t.join(60); got.name") == name
