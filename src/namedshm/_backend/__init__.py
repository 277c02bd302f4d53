"""The one platform branch.  Everything above this package is the same on every system."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .contract import Backend

backend: Backend
SectionHandle: type  # of the backend; what it is is in the contract

if sys.platform == "win32":
    from . import _windows, windows
    from ._windows import SPIN as SPIN
    from ._windows import SyncHandle as SyncHandle
    from ._windows import set_acquisitions as set_acquisitions

    SectionHandle = _windows.SectionHandle
    backend = windows.WindowsBackend()
elif sys.platform == "linux":
    from . import _linux, linux
    from ._linux import SPIN as SPIN
    from ._linux import SyncHandle as SyncHandle
    from ._linux import set_acquisitions as set_acquisitions

    SectionHandle = _linux.Handle
    backend = linux.LinuxBackend()
else:
    raise ImportError(f"namedshm has no backend for {sys.platform!r} yet: Linux and Windows are supported")
