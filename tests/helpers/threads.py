"""A call in a thread of its own, with its result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0


class InThread:
    """A call in a thread of its own; join() gives its result or raises its exception."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._outcome: list[tuple[bool, Any]] = []
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._outcome.append((True, call()))
        except BaseException as error:
            self._outcome.append((False, error))

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self, patience: float = PATIENCE) -> Any:
        self._thread.join(patience)
        assert not self._thread.is_alive(), f"the thread did not end in {patience:g} s"
        well, value = self._outcome[0]
        if not well:
            raise value
        return value
