"""Fixtures: the C programs, built once per run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import build, compiler

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = None
    if sys.platform != "linux":
        reason = "the protocol under test is that of Linux"
    elif shutil.which(compiler()) is None:
        reason = f"needs a C compiler ({compiler()})"
    if reason:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """program("storm") compiles storm.c once and returns the executable; flags make another one."""
    directory = tmp_path_factory.mktemp("crash_queue")
    built: dict[tuple[str, ...], Path] = {}

    def get(name: str, *flags: str) -> Path:
        key = (name, *flags)
        if key not in built:
            built[key] = build(name, directory, name=f"{name}-{len(built)}", flags=("-O2", *flags))
        return built[key]

    return get
