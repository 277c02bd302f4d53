"""Fixtures: the C programs, built once per run.  That nothing stays behind is checked by the programs themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.c_programs import skip_without

from .build import build, compiler

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_without(compiler(), items, HERE)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """program("storm") compiles storm.c once and returns the executable."""
    directory = tmp_path_factory.mktemp("crash")
    built: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in built:
            built[name] = build(name, directory)
        return built[name]

    return get
