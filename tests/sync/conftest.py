"""What the tests of mutexes, events and semaphores share: threads with results, and whether a process sleeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers import worker
from helpers.threads import InThread


@pytest.fixture
def in_thread() -> type[InThread]:
    return InThread


@pytest.fixture(autouse=True)
def _no_handle_stays() -> Iterator[None]:
    yield
    worker.close_win32_handles()
