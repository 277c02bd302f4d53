"""Changes to modules of others, made when, and if, they are imported: most programs never import them, and they cost much."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

__all__ = ["when_imported"]

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
    """Lets the other finders find a module that is waited for, and wraps its loader."""

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
        module.__spec__.loader = module.__loader__ = self._loader  # as if it had been loaded without us
        self._loader.exec_module(module)
        _waiting.pop(module.__name__)(module)


_finder: Any = _Finder()
