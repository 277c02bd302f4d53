"""GetLastError(), per thread, and how an exception becomes its number."""

from __future__ import annotations

from _thread import _local

_thread = _local()


def GetLastError() -> int:
    """The number of this thread's last failure; Create functions set it on success, too (0 or 183)."""
    return getattr(_thread, "error", 0)


def SetLastError(dwErrCode: int) -> None:
    """Set this thread's last error."""
    _thread.error = dwErrCode


def refuse(error: OSError) -> None:
    """Make the exception's number this thread's last error."""
    SetLastError(getattr(error, "winerror", None) or 31)
