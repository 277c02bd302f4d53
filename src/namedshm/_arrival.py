"""Waiting until a name appears: for ``open(..., wait=SECONDS)`` of everything that has a name."""

from __future__ import annotations

import time

from . import errors
from ._arguments import seconds
from ._backend import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["opened"]


def opened(open_it: Callable[[], T], is_global: bool, wait: float | None, name: str) -> T:
    """What ``open_it()`` returns, as soon as it no longer raises NotFound.

    Args:
        wait: seconds to wait for that; 0 tries once, None waits for ever.

    Raises: NotFound when the time is up; what else ``open_it()`` raises, at once; TypeError, InvalidArgument (``wait``).
    """
    patience = seconds(wait, "open", name)
    deadline = None if patience is None else time.monotonic() + patience
    try:
        return open_it()
    except errors.NotFound:
        if patience == 0:
            raise
    while True:
        arrivals = backend.arrivals(is_global)  # from here on none is missed
        try:
            return open_it()
        except errors.NotFound:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise
        arrivals.wait(left)
