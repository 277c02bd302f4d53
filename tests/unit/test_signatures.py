"""help() and inspect.signature() tell of compiled methods what they tell of others, on every system the same."""

from __future__ import annotations

import ast
import inspect
import pydoc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import on_linux

import namedshm
from namedshm import _core

CLASSES = (
    *(namedshm.Section, namedshm.View, namedshm.Mutex, namedshm.Event, namedshm.Semaphore, namedshm.Queue),
    *(namedshm.queue.Message, namedshm.queue.Loan),
    *((namedshm.Topic, namedshm.topic.View, namedshm.topic.Loan) if on_linux else ()),
)
#: Methods of the backends' handles that come along: for this package's own use.
RAW = (
    *(
        "acquire_mutex",
        "acquire_semaphore",
        "duplicate_as",
        "exit_mutex",
        "look",
        "mutex_depth",
        "os_handle",
        "pulse_event",
        "release_mutex",
    ),
    *("release_semaphore", "reset_event", "set_event", "try_acquire", "wait_event", "figures", "participants_now", "spin_for"),
    *("publish_buffer", "schema_bytes", "waiting"),
)


def _methods() -> Iterator[tuple[str, Callable[..., Any]]]:
    for cls in CLASSES:
        for name in sorted(set(dir(cls)) - set(RAW)):
            if not name.startswith("_") and callable(method := getattr(cls, name)):
                yield f"{cls.__name__}.{name}", method


METHODS = dict(_methods())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_does_and_what_it_takes(name: str) -> None:
    method = METHODS[name]
    assert inspect.getdoc(method)
    signature = inspect.signature(method)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in list(signature.parameters.values())[0 if inspect.ismethod(method) else 1 :]:
        assert parameter.annotation is not inspect.Parameter.empty, parameter


def test_there_are_methods_to_look_at() -> None:
    assert {"View.close", "Mutex.acquire", "Mutex.open", "Event.wait", "Semaphore.acquire"} < set(METHODS)
    assert len(METHODS) >= 30


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            namedshm.Mutex.acquire,
            "(self, timeout: float | None = None, *, on_abandoned: Literal['tell', 'raise'] = 'tell', spin: float) -> Acquisition",
        ),
        (namedshm.Mutex.release, "(self) -> None"),
        (namedshm.Event.wait, "(self, timeout: float | None = None, *, spin: float) -> bool"),
        (namedshm.Event.set, "(self) -> None"),
        (namedshm.Semaphore.acquire, "(self, timeout: float | None = None, *, spin: float) -> bool"),
        (namedshm.View.close, "(self) -> None"),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else "as written",
)
def test_the_signature_is_the_documented_one(method: Callable[..., Any], expected: str) -> None:
    signature = inspect.signature(method)
    spin = signature.parameters.get("spin")
    if spin is not None:  # as long as pays on this system
        assert isinstance(spin.default, float)
        others = [spin.replace(default=inspect.Parameter.empty) if p is spin else p for p in signature.parameters.values()]
        signature = signature.replace(parameters=others)
    bare = str(signature).replace('"', "").replace("'", "")  # annotations are strings
    assert bare == expected.replace("'", "")


def test_one_function_in_c_has_two_names_only_where_it_does_one_thing() -> None:
    names = {f"{method.__module__}.{method.__qualname__}" for method in METHODS.values()}
    assert {"namedshm.sync.Event.wait", "namedshm.sync.Semaphore.acquire", "namedshm.sync.Mutex.acquire"} < names
    assert "Wait until it is set" in pydoc.render_doc(namedshm.Event.wait)
    assert "Take one" in pydoc.render_doc(namedshm.Semaphore.acquire)
    assert "abandoned" in pydoc.render_doc(namedshm.Mutex.acquire)


def test_a_view_is_described_at_run_time_as_in_its_stub() -> None:
    stub = ast.parse(Path(namedshm.__file__).with_name("_core.pyi").read_text(encoding="utf-8"))
    mapping = next(node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == "Mapping")
    described = {
        node.name: text for node in mapping.body if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node))
    }
    assert described == {name: inspect.getdoc(getattr(_core.Mapping, name)) for name in described}
    assert {"address", "close", "closed", "readonly"} <= set(described)


def test_describing_a_method_puts_no_frame_before_it() -> None:
    for cls in (namedshm.Mutex, namedshm.Event, namedshm.Semaphore):
        for name in ("acquire", "release", "set", "clear", "pulse", "wait", "close"):
            method = getattr(cls, name, None)
            if method is not None and not (cls is namedshm.Semaphore and name == "release"):  # which checks its count
                assert not inspect.isfunction(method), f"{cls.__name__}.{name} is Python's"
