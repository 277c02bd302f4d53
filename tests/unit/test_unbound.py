"""A compiled method that is called by its class takes objects of that class alone; Cython would read any as if it were one."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import namedshm

MODULES = ("_core", "_copying", f"_backend.{'windows' if sys.platform == 'win32' else 'linux'}.native")
METHOD = type(namedshm.View.close)


def _methods() -> Iterator[tuple[str, type, Callable[..., Any]]]:
    for name in MODULES:
        module = importlib.import_module(f"namedshm.{name}")
        for cls in vars(module).values():
            if inspect.isclass(cls) and cls.__module__ == module.__name__:
                for key, method in vars(cls).items():
                    if isinstance(method, METHOD):
                        yield f"{cls.__name__}.{key}", cls, method


METHODS = {name: (cls, method) for name, cls, method in _methods()}


def test_there_are_methods_to_look_at() -> None:
    assert {"Mapping.close", "SyncHandle.release_mutex", "QueueHandle.put", "QueueMessage.release"} < set(METHODS)
    assert len(METHODS) > 50


@pytest.mark.parametrize("name", METHODS)
def test_it_refuses_what_is_no_object_of_its_class(name: str) -> None:
    cls, method = METHODS[name]
    with namedshm.create(None, 4096) as section, section.map() as view:
        others: list[object] = [object(), None, cls, "text", section, view]
        for other in others:
            if not isinstance(other, cls):
                with pytest.raises(TypeError, match=rf"is a method of [\w.]*{cls.__name__} objects"):
                    method(other)
    with pytest.raises(TypeError, match="not of nothing"):
        method()
    with pytest.raises(TypeError):
        method(self=object())


def test_it_takes_objects_of_classes_made_of_its_own(name: str) -> None:
    class Own(namedshm.Mutex):
        pass

    mutex = Own(name)
    assert namedshm.Mutex.acquire(mutex, timeout=0)
    namedshm.Mutex.release(mutex)
    namedshm.Mutex.close(mutex)
    assert mutex.closed
