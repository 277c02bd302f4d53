"""What the tests of topics share: topics that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.facts import on_linux

if on_linux:
    from namedshm.topic import Topic
else:
    collect_ignore_glob = ["test_*.py"]  # topics are on Linux only, so far


@pytest.fixture
def make(names: Callable[[], str]) -> Iterator[Callable[..., Topic]]:
    """make(**options) is a new topic."""
    made: list[Topic] = []

    def create(*, name: str | None = None, **options: Any) -> Topic:
        made.append(Topic.create(name or names(), **options))
        return made[-1]

    yield create
    for topic in made:
        topic.close()


@pytest.fixture
def reader() -> Iterator[Callable[..., Topic]]:
    """reader(topic) is another handle to it, for reading."""
    opened: list[Topic] = []

    def open_it(topic: Topic, access: Any = "read") -> Topic:
        opened.append(Topic.open(str(topic.name), access))
        return opened[-1]

    yield open_it
    for topic in opened:
        topic.close()
