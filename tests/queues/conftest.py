"""What the tests of queues share: queues that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import namedshm


@pytest.fixture
def make(names: Callable[[], str]) -> Iterator[Callable[..., namedshm.Queue]]:
    """make(capacity, max_size, **options) is a new queue."""
    made: list[namedshm.Queue] = []

    def create(*arguments: Any, name: str | None = None, **options: Any) -> namedshm.Queue:
        made.append(namedshm.Queue.create(name or names(), *arguments, **options))
        return made[-1]

    yield create
    for queue in made:
        queue.close()
