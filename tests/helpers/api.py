"""The public API as text: every public name of every public module, with the signatures of what can be called.

    python tests/helpers/api.py                writes tests/unit/public_api.txt anew
    python tests/helpers/api.py arrays sync    prints what these modules have

Annotations are left out: mypy and pyright look after them, and their spelling says nothing about what a program can call.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

RECORDED = Path(__file__).resolve().parents[1] / "unit" / "public_api.txt"
MODULES = (
    *("", "arrays", "arrow", "copying", "errors", "inspection", "managers", "names"),
    *("object_queue", "queue", "records", "section", "shared_memory", "sync", "topic", "win32"),
)
#: What ``namedshm`` has beside what a star import gives.
ALSO = {"": ("open", "copy", "__version__")}
#: What is public of the backends' compiled handles, which differ by system otherwise.
OF_HANDLES = (
    *("access", "close", "closed", "created", "identity", "name"),
    *("capacity", "chunks", "ended", "length", "max_participants", "max_size", "position", "redelivered", "released", "slot_size"),
    *("end_with_writers", "history", "lag", "missed", "number", "pinned", "pins", "time", "writers"),
)


def lines(name: str) -> Iterator[str]:
    """Those of one module."""
    module = importlib.import_module(f"namedshm.{name}".rstrip("."))
    for public in sorted({*module.__all__, *ALSO.get(name, ())}):
        yield from _lines(module, public, getattr(module, public))


def _lines(module: ModuleType, name: str, thing: Any) -> Iterator[str]:
    full = f"{module.__name__}.{name}"
    home = getattr(thing, "__module__", None)
    if home in {f"namedshm.{other}" for other in MODULES} - {module.__name__} and name in sys.modules[home].__all__:
        yield f"{full} is {home}.{name}"
    elif inspect.isclass(thing):
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object and "._" not in base.__module__)
        code = f"  # error {thing.default_winerror}" if issubclass(thing, Exception) else ""
        yield f"class {full}({bases}){code}" if bases else f"class {full}"
        if any(_ours(vars(thing).get(way)) for way in ("__init__", "__new__")):
            yield f"    {name}{_signature(thing)}"
        for member in sorted(_members(thing)):
            found = inspect.getattr_static(thing, member, None)
            if isinstance(found, (classmethod, staticmethod)) or callable(found):
                yield f"    .{member}{_signature(getattr(thing, member))}"
            else:
                yield f"    .{member}"
    elif callable(thing):
        yield f"{full}{_signature(thing)}"
    elif isinstance(thing, int):
        yield f"{full} = {thing:#x}" if thing > 9 else f"{full} = {thing}"
    else:
        yield full


def _ours(function: Any) -> bool:
    function = inspect.unwrap(getattr(function, "__func__", function))
    return str(getattr(function, "__module__", "")).startswith("namedshm")


def _members(cls: type) -> set[str]:
    """Public attributes that this package gives the class, by itself or by a base; none that a foreign base has, too."""
    if issubclass(cls, Exception) and cls.__name__ != "NamedShmError":
        return set()
    found: set[str] = set(getattr(cls, "_fields", ()))
    foreign: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.endswith(".native"):
            found.update(name for name in OF_HANDLES if hasattr(base, name))
        elif base.__module__.startswith("namedshm"):
            found.update(vars(base), inspect.get_annotations(base))
        else:
            foreign.update(vars(base))
    return {name for name in found - foreign if not name.startswith(("_", "default_"))}


def _signature(thing: Any) -> str:
    try:
        signature = inspect.signature(thing)
    except (ValueError, TypeError):  # compiled, and says nothing
        return "(...)"
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def recorded(name: str) -> list[str]:
    """What the record has of a module."""
    _, _, rest = RECORDED.read_text("utf-8").partition(f"## {name or 'namedshm'}\n")
    return rest.partition("\n## ")[0].splitlines()


def write() -> None:
    parts = ("\n".join((f"## {name or 'namedshm'}", *lines(name))) for name in MODULES)
    RECORDED.write_text("\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(*(line for name in sys.argv[1:] for line in lines(name)), sep="\n")
    else:
        write()
