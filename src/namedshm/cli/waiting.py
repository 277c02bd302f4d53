"""Staying, for commands that keep a name alive: until Ctrl-C, SIGTERM or the end of the terminal, which are no failures."""

from __future__ import annotations

import signal
import time
from types import FrameType

__all__ = ["until_interrupted"]

_LONG = 3600.0  # seconds; a signal ends the sleep at once


def until_interrupted() -> None:
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        while True:
            time.sleep(_LONG)
    except KeyboardInterrupt:
        return


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
