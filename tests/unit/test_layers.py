"""Imports only go down: every import of the package is read, those inside functions too, and compared with the order below.

What stands under ``if TYPE_CHECKING:`` is for type checkers and is never run; it is left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import namedshm
from namedshm import arrays

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "namedshm"

#: What has a .pxd alone: code that others compile in.
COMPILED_IN = ("_gate", "_unbound")
#: From the bottom up: a module imports what is in rows above its own, and modules of its own folder.  Folders stand for all that is
#: in them, unless a module of theirs has a place of its own.
LAYERS = (
    ("errors", "_gate", "_unbound"),
    ("names", "_arguments", "_compiled", "_headers", "_holder", "_core"),
    ("_copying", "_formats", "_pickling.when_imported", "_pickling.unavailable"),
    ("_backend",),
    ("_arrival", "_pages", "_pickling.openings"),
    ("section",),
    ("_held", "_pickling.behind", "aio", "copying", "_alive"),
    ("_sync.objects", "_drop_in", "queue"),
    ("arrays", "arrow", "object_queue", "records", "managers"),
    ("_sync", "_topic_values"),  # what is made of records; what is read by arrays and arrow
    ("topic",),
    ("sync", "inspection"),
    ("_facts", "_pickling.arrays_by_name", "shared_memory", "win32"),
    ("", "_pickling"),  # the package itself: namedshm/__init__.py
    ("cli",),
    ("__main__",),
)
PLACES = {unit: level for level, units in enumerate(LAYERS) for unit in units}


# ------------------------------------------------------------------------------------------------------------ reading
def modules() -> dict[str, list[Path]]:
    """All modules, by name below the package ("" is the package itself), and the files each is made of."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".pyx"):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = [path]
    for path in PACKAGE.rglob("*.pxi"):
        system = path.parent.name
        for name in (name for name in found if name.endswith(".native") and system in (*name.split("."), "_backend")):
            found[name].append(path)
    return found


def imported(module: str, path: Path) -> Iterator[str]:
    """What a file imports of the package, by the names that :func:`modules` has."""
    text = path.read_text("utf-8")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    if path.suffix != ".py":
        for name, what in re.findall(r"^\s*(?:from|c?import)\s+namedshm\.?([\w.]*)(?:\s+c?import\s+(\w+))?", text, re.MULTILINE):
            yield from _resolved(name, [what] if what else [])
        return
    for node in _run(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "namedshm":
                    yield from _resolved(alias.name.removeprefix("namedshm").lstrip("."), [])
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                parts = parts[: len(parts) - node.level + 1]
                yield from _resolved(".".join([*parts, *name.split(".")]).strip("."), [alias.name for alias in node.names])
            elif name.split(".")[0] == "namedshm":
                yield from _resolved(name.removeprefix("namedshm").lstrip("."), [alias.name for alias in node.names])


def _resolved(name: str, what: list[str]) -> Iterator[str]:
    """``from NAME import WHAT``: a module of that folder, or something of the module NAME."""
    for one in what or [""]:
        inner = f"{name}.{one}".strip(".")
        yield inner if one and (inner in ALL or inner in COMPILED_IN) else name


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "not TYPE_CHECKING"):
            for inner in node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node.body:
                yield inner
                yield from _run(inner)
        else:
            yield node
            yield from _run(node)


ALL: dict[str, list[Path]] = modules()
GRAPH = {module: {name for path in paths for name in imported(module, path)} - {module} for module, paths in ALL.items()}


def unit(module: str) -> str:
    """What stands for a module in LAYERS."""
    while module not in PLACES:
        module, dot, _ = module.rpartition(".")
        assert dot, f"{module!r} has no place in LAYERS"
    return module


# ------------------------------------------------------------------------------------------------------------ the tests
def test_this_reads_what_is_there() -> None:
    assert {"errors", "_backend", "_core", "_pickling.openings", "names"} <= GRAPH["section"]
    assert "managers" in GRAPH["shared_memory"], "imports inside functions"
    assert "arrays" in GRAPH["_pickling.arrays_by_name"], "imports inside functions, of the whole name"
    assert "section" not in GRAPH["_backend.contract"], "what only type checkers import"
    assert "_arguments" in GRAPH["_backend.linux.native"], "parts that a compiled module includes"
    assert "errors" in GRAPH["_core"]
    assert "win32._handles" in GRAPH["win32._waits"], "relative imports in a folder"


def test_every_module_has_a_place() -> None:
    for module in ALL:
        unit(module)
    gone = {place for place in PLACES if place not in ALL and place not in COMPILED_IN}
    assert not gone, "places of modules that are not there"


def test_imports_go_down() -> None:
    upward = [
        f"{module or 'namedshm'} imports {name or 'namedshm'}"
        for module, names in GRAPH.items()
        for name in names
        if unit(module) != unit(name) and PLACES[unit(name)] >= PLACES[unit(module)]
    ]
    assert not upward


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in GRAPH.get(module, ()):
                visit(name, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


def test_formats_know_no_names_and_open_nothing() -> None:
    formats = {module: names for module, names in GRAPH.items() if module.startswith("_formats")}
    assert len(formats) > 5
    for module, names in formats.items():
        assert {name for name in names if not name.startswith("_formats")} <= {"errors", "_core"}, module
        (path,) = ALL[module]
        taken = {argument.arg for node in ast.walk(ast.parse(path.read_text("utf-8"))) for argument in _arguments(node)}
        assert not taken & {"section", "handle"}, module


def _arguments(node: ast.AST) -> list[ast.arg]:
    return [*node.args.args, *node.args.kwonlyargs] if isinstance(node, ast.FunctionDef) else []


def test_backends_know_nothing_of_what_is_above_them_or_of_each_other() -> None:
    backends = {module: names for module, names in GRAPH.items() if module.startswith("_backend.")}
    assert len(backends) > 15
    for module, names in backends.items():
        system = ".".join(module.split(".")[:2])
        outside = {name for name in names if not name.startswith(system)}
        assert outside <= {"errors", "names", "_core", *COMPILED_IN, "_arguments", "_backend.contract"}, module


def test_systems_are_told_apart_in_one_place() -> None:
    """Above the backends nothing imports one of them; which one it is, ``_backend/__init__.py`` alone knows."""
    knowing = {
        module
        for module, names in GRAPH.items()
        if not module.startswith("_backend.") and any(re.match(r"_backend\.(linux|windows)", name) for name in names)
    }
    assert knowing <= {"_backend", "cli.grant", "cli.configuration"}, "grant changes a setting that Linux alone has"


# ------------------------------------------------------------------------------------------------------------ the way of a name
def way(name: str, call: Callable[[], Any]) -> list[tuple[str, str]]:
    """(from, to) for each time that a function gets the name as an argument, by modules, in order; the system's part left out."""
    steps: list[tuple[str, str]] = []

    def look(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        module = _module_of(frame)
        if event != "call" or module is None or module.startswith("_backend"):
            return
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(type(value := frame.f_locals.get(variable)) is str and value == name for variable in taken):
            caller = frame.f_back
            while caller is not None and _module_of(caller) is None:
                caller = caller.f_back
            steps.append(("" if caller is None else _module_of(caller) or "", module))

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return steps


def _module_of(frame: FrameType) -> str | None:
    name = frame.f_globals.get("__name__", "")
    return name.removeprefix("namedshm").lstrip(".") if name.split(".")[0] == "namedshm" else None


@pytest.mark.parametrize(
    ("call", "rooms"),
    [
        pytest.param(lambda name: namedshm.create(name, 100), 2, id="create"),
        pytest.param(lambda name: (namedshm.create(name, 100), namedshm.open(name)), 2, id="create-and-open"),
        pytest.param(lambda name: arrays.create(name, 3), 4, id="array-create"),
        pytest.param(lambda name: arrays.publish(name, [1, 2]), 4, id="array-publish"),
        pytest.param(lambda name: (arrays.publish(name, [1, 2]), arrays.open(name)), 4, id="array-publish-and-open"),
    ],
)
def test_a_name_passes_through_few_modules_and_never_back(name: str, call: Callable[[str], object], rooms: int) -> None:
    kept: list[object] = []
    steps = way(name, lambda: kept.append(call(name)))
    assert len({to for _, to in steps}) in range(2, rooms + 1), steps
    upward = [(start, to) for start, to in steps if start and start != to and PLACES[unit(to)] >= PLACES[unit(start)]]
    assert not upward
