"""Arrays that are no NamedArray but in a section all the same travel by name between processes.

``numpy.frombuffer(view)``, ``numpy.ndarray(..., buffer=block.buf)``, ``numpy.asarray(named)``, a record array or a masked one over
either: these are NumPy's classes, which pickle their elements.  A worker would get a copy, and what it writes would be lost without
a word.  The picklers by which processes talk ask a method ``reducer_override`` first, if their class has one; it is given to them
here, and answers NotImplemented ("as ever") for everything that is no such array.  Pickling elsewhere (files, caches, other
machines) is NumPy's own.

The picklers are in modules that most programs never import and that cost much; so they are changed when, and if, they are imported.
"""

from __future__ import annotations

import sys

from .section import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

__all__ = ["behind", "when_imported"]

#: The classes whose pickles go to other processes of this machine and nowhere else.
_PICKLERS = {
    "multiprocessing.reduction": "ForkingPickler",
    "loky.backend.reduction": "_LokyPickler",
    "joblib.externals.loky.backend.reduction": "_LokyPickler",
}


def behind(array: Any) -> View | None:
    """The view in whose memory the array is, by the chain of what keeps what; None where it does not lead to one."""
    found = array.base
    while found is not None and not isinstance(found, View):
        if isinstance(found, memoryview):
            try:
                found = found.obj
            except ValueError:  # released under the array
                return None
        elif hasattr(type(found), "__array_finalize__") or type(found).__module__.startswith("numpy."):
            found = getattr(found, "base", None)  # not only arrays: numpy.lib.stride_tricks puts something else between
        else:
            return None  # foreign objects are not asked: this looks at every array that is sent anywhere
    return found


def _by_name(thing: object) -> Any:
    """What pickles an array by its name; NotImplemented for everything else."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None or not isinstance(thing, ndarray):
        return NotImplemented
    if behind(thing) is None and behind_mask(thing) is None:
        return NotImplemented
    from .arrays import reduced

    return reduced(thing)


def behind_mask(array: Any) -> View | None:
    """As :func:`behind`, of the mask of a masked array."""
    mask = getattr(array, "_mask", None)
    return None if mask is None or mask.base is None else behind(mask)


def _teach(module: ModuleType) -> None:
    pickler = getattr(module, _PICKLERS[module.__name__])
    before = getattr(pickler, "reducer_override", None)

    def reducer_override(self: object, thing: object) -> Any:
        found = _by_name(thing)
        return before(self, thing) if found is NotImplemented and before is not None else found

    pickler.reducer_override = reducer_override


# -------------------------------------------------------------------------------------------------------- once it is imported
_waiting: dict[str, Callable[[ModuleType], object]] = {}


def when_imported(name: str, change: Callable[[ModuleType], object]) -> None:
    """Call ``change`` with the module of that name: now if it is there, else right after its code has run."""
    if name in sys.modules:
        change(__import__(name, fromlist=["*"]))  # which waits for another thread that is just importing it
        return
    _waiting[name] = change
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder:
    """Finds nothing by itself: it has others find the module, and puts itself between that and what follows."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            spec: Any = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader  # nobody shall find anything unusual about the module
        self._loader.exec_module(module)
        _waiting.pop(module.__name__)(module)


_finder: Any = _Finder()

for _name in _PICKLERS:
    when_imported(_name, _teach)
del _name
