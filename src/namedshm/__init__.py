r"""Named shared memory with the lifetime of Windows kernel objects, on every operating system.

    import namedshm
    with namedshm.create("frames", 1024) as section:   # another process: namedshm.open("frames")
        view = section.map()
        view[:5] = b"hello"

The layers, from the top; imports only go down:

    cli/  win32                facades: commands, and the Win32 spelling
    inspection                 what is alive: list_objects(), describe()
    section                    Section (a handle, keeps the name), View (bytes, keeps the memory)
    names  errors              what a name may be; what can go wrong
    _backend/                  kernel objects: contract.py is the specification, linux and windows fulfil it
    _core                      compiled: mapped bytes as a Python buffer
"""

from __future__ import annotations

from .errors import (
    AccessDenied,
    AlreadyExists,
    ClosedHandle,
    InvalidArgument,
    InvalidName,
    NamedShmError,
    NotFound,
    OutOfResources,
    StaleObject,
    Unsupported,
    WrongType,
)
from .section import Section, View, create, open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .inspection import ObjectInfo as ObjectInfo
    from .inspection import describe as describe
    from .inspection import list_objects as list_objects

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "ClosedHandle",
    "InvalidArgument",
    "InvalidName",
    "NamedShmError",
    "NotFound",
    "ObjectInfo",
    "OutOfResources",
    "Section",
    "StaleObject",
    "Unsupported",
    "View",
    "WrongType",
    "create",
    "describe",
    "list_objects",
    "open",
]

_LAZY = frozenset({"ObjectInfo", "describe", "list_objects"})  # they need the typing module: 3 ms that most programs never use


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from . import inspection

        return getattr(inspection, name)
    raise AttributeError(f"module 'namedshm' has no attribute {name!r}")
