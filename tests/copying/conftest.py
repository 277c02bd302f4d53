"""What these tests share: memory to copy into, bytes that are nowhere the same, and a copy that looks up all the time."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator

import pytest
from helpers.facts import on_wine

import namedshm
from namedshm import _copying

collect_ignore = []
if not importlib.util.find_spec("hypothesis"):
    collect_ignore.append("test_copy_properties.py")
if on_wine or not importlib.util.find_spec("numpy"):
    collect_ignore.append("test_copy_arrays.py")  # NumPy ends the process at import for want of crealf() in Wine's C library

UNIT = 2 << 20  # what a thread takes at a time


@pytest.fixture
def fresh() -> Iterator[Callable[[int], namedshm.View]]:
    """fresh(n) is a view of n bytes that nobody has touched."""
    views: list[namedshm.View] = []

    def make(size: int) -> namedshm.View:
        with namedshm.create(None, size) as section:
            views.append(section.map())
        return views[-1]

    yield make
    for view in views:
        view.close()


def pattern(size: int) -> bytes:
    """Bytes of which no two pages are alike, and that start differently each time."""
    block = os.urandom(4096 - 7)  # no divisor of a page or unit: what lands in the wrong place is seen
    return (block * (size // len(block) + 1))[:size]


@pytest.fixture(scope="module", params=[False, True], ids=["cached", "streamed"])
def streamed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether all of a copy is written past the cache, as that of large data is."""
    before = _copying.stream_above(0 if request.param else 1 << 60)
    yield
    _copying.stream_above(before)


@pytest.fixture
def attentive() -> Iterator[None]:
    """A copy looks at signals and calls progress after every unit that its thread has copied."""
    before = _copying.look_up_every(0)
    yield
    _copying.look_up_every(before)
