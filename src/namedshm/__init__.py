r"""Named shared memory with the lifetime of Windows kernel objects, on every operating system.

    import namedshm
    with namedshm.create("frames", 1024) as section:   # another process: namedshm.open("frames")
        view = section.map()
        view[:5] = b"hello"

The layers, from the top; imports only go down:

    cli/  win32/               facades: commands, and the Win32 spelling
    _facts/                    what is told of an object, whoever shows it
    shared_memory  managers    facades: the standard library's modules of that name; behind them is _drop_in/
    arrays                     NumPy arrays by name; needs numpy
    arrow                      Arrow tables by name; needs pyarrow
    sync  inspection           Mutex, Event, Semaphore, RWLock, Condition, wait_any(), wait_all(), in _sync/; what is alive
    object_queue               ObjectQueue: Python objects by name; in the place of multiprocessing.Queue
    topic                      Topic: the newest value by name; _topic_values: arrays and tables as values
    queue                      Queue: messages by name
    records/                   a few named values, always consistent
    aio                        waits for asyncio
    copying                    copy(): large data, by several threads
    section                    Section (a handle, keeps the name), View (bytes, keeps the memory)
    names  errors              what a name may be; what can go wrong
    _backend/                  kernel objects: contract.py is the specification, linux and windows fulfil it
    _core  _copying            compiled: mapped bytes as a Python buffer; copies by several threads

Beside them, for those above: _formats/ (what bytes mean; knows no names), _pickling/ (how things go to other processes by name),
_holder (name, identity, close() of all that hold a name), _held (views that keep the name), _compiled (descriptions of methods in
C), _pages, _arrival, _arguments, _headers.
The tests read all imports and hold them to this order.
"""

from __future__ import annotations

import sys as _sys

from ._pickling import arrays_by_name as _arrays_by_name  # noqa: F401  # from now on arrays may be sent
from .errors import (
    AbandonedMutex,
    AccessDenied,
    AlreadyExists,
    ClosedHandle,
    InvalidArgument,
    InvalidContent,
    InvalidName,
    LimitExceeded,
    NamedShmError,
    NotFound,
    NotOwned,
    NotReady,
    OutOfResources,
    StaleObject,
    Unsupported,
    WrongType,
)
from .section import Section, View, create
from .section import open as open

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sys

    from . import arrays as arrays
    from . import arrow as arrow
    from . import copying as copying
    from . import inspection as inspection
    from . import managers as managers
    from . import object_queue as object_queue
    from . import queue as queue
    from . import records as records
    from . import shared_memory as shared_memory
    from . import sync as sync
    from . import topic as topic
    from . import win32 as win32
    from ._headers import get_include as get_include
    from .copying import copy as copy
    from .inspection import ObjectInfo as ObjectInfo
    from .inspection import describe as describe
    from .inspection import list_objects as list_objects
    from .object_queue import JoinableObjectQueue as JoinableObjectQueue
    from .object_queue import ObjectQueue as ObjectQueue
    from .queue import Queue as Queue
    from .sync import Event as Event
    from .sync import Mutex as Mutex
    from .sync import Semaphore as Semaphore
    from .sync import wait_all as wait_all
    from .sync import wait_all_async as wait_all_async
    from .sync import wait_any as wait_any
    from .sync import wait_any_async as wait_any_async

    if sys.platform == "linux":
        from .topic import Topic as Topic

__version__ = "0.1.0"

__all__ = [  # not open and copy: "from namedshm import *" leaves the builtin and the module of these names alone
    "AbandonedMutex",
    "AccessDenied",
    "AlreadyExists",
    "ClosedHandle",
    "Event",
    "InvalidArgument",
    "InvalidContent",
    "InvalidName",
    "JoinableObjectQueue",
    "LimitExceeded",
    "Mutex",
    "NamedShmError",
    "NotFound",
    "NotOwned",
    "NotReady",
    "ObjectInfo",
    "ObjectQueue",
    "OutOfResources",
    "Queue",
    "Section",
    "Semaphore",
    "StaleObject",
    "Topic",
    "Unsupported",
    "View",
    "WrongType",
    "create",
    "describe",
    "get_include",
    "list_objects",
    "wait_all",
    "wait_all_async",
    "wait_any",
    "wait_any_async",
]

#: Who asks for them is told that this system does not have them.
_NOT_HERE = set() if _sys.platform == "linux" else {"Topic", "topic"}
if _NOT_HERE:
    __all__ = [name for name in __all__ if name not in _NOT_HERE]

# Loaded on first use: what most programs never touch must not cost them time at import.  Nothing that is needed to say what went
# wrong is among it: when that is needed, nothing may be importable any more (the interpreter ends, no descriptor is left, chroot).
_LAZY = {
    "copy": "copying",
    "get_include": "_headers",
    "ObjectInfo": "inspection",
    "describe": "inspection",
    "list_objects": "inspection",
    "JoinableObjectQueue": "object_queue",
    "ObjectQueue": "object_queue",
    "Queue": "queue",
    "Event": "sync",
    "Mutex": "sync",
    "Semaphore": "sync",
    "wait_all": "sync",
    "wait_all_async": "sync",
    "wait_any": "sync",
    "wait_any_async": "sync",
    "Topic": "topic",
}


#: Modules that are attributes of the package without having been imported.
_MODULES = (
    *(
        "arrays",
        "arrow",
        "copying",
        "inspection",
        "managers",
        "object_queue",
        "queue",
        "records",
        "shared_memory",
        "sync",
        "topic",
        "win32",
    ),
)


if not TYPE_CHECKING:  # to a checker there is what is imported above, and nothing else

    def __getattr__(name):
        if name in _MODULES:
            return __import__(f"{__name__}.{name}", fromlist=["*"])
        if name in _LAZY:
            module = __import__(f"{__name__}.{_LAZY[name]}", fromlist=[name])  # importlib.import_module is slow to import
            # All that comes from there at once: the next may be used first when nothing can be imported any more.
            globals().update({other: getattr(module, other) for other, place in _LAZY.items() if place == _LAZY[name]})
            return globals()[name]
        raise AttributeError(f"module 'namedshm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES} - _NOT_HERE)
