"""Facts about the system the tests run on, probed once."""

from __future__ import annotations

import functools
import os
import sys

on_linux = sys.platform == "linux"
on_windows = sys.platform == "win32"


@functools.cache
def _wine() -> bool:
    if not on_windows:
        return False
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


#: Windows Python under Wine: right about nearly everything, and where not the test says so.
on_wine: bool = _wine()
is_root: bool = hasattr(os, "geteuid") and os.geteuid() == 0
has_fork: bool = hasattr(os, "fork")
has_global_lock: bool = getattr(sys, "_is_gil_enabled", lambda: True)()  # before 3.13 every Python has it

GRANULARITY = 65536
PAGE = 4096


def required(variable: str) -> bool:
    """Whether the environment says that a skip for want of something would be a failure (in continuous integration)."""
    return os.environ.get(variable, "") not in ("", "0")
