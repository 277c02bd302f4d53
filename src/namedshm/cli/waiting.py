"""Staying, for commands that keep a name alive: Ctrl-C, SIGTERM and the end of the terminal end them, and are no failures."""

from __future__ import annotations

import signal

import namedshm

__all__ = ["Interruption"]


class Interruption:
    """Catches from now on what ends a command, so that it can be waited for.  What the shell made it ignore stays ignored:
    Ctrl-C does not mean a script's background jobs, nor the end of the terminal those of nohup."""

    def __init__(self) -> None:
        self._came = namedshm.Event(manual=True)  # unnamed
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: self._came.set())

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it came before the time was up; None: wait for ever."""
        return self._came.wait(seconds)
