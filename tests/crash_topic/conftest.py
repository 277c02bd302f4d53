"""Fixtures: the C programs, built once per run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.c_programs import builder, skip_without

from .build import build, compiler

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_without(compiler(), items, HERE)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """program("storm") compiles storm.c once and returns the executable; flags make another one."""
    return builder(build, tmp_path_factory.mktemp("crash_topic"))
