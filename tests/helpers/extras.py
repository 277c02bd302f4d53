"""Optional packages: a test that needs one is skipped where it is absent, and fails where everything has to be there."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import pytest

from .facts import on_linux, required

#: What modules of the package need.
LIBRARIES = {"arrays": "numpy", "arrow": "pyarrow"}


def needs(name: str) -> ModuleType:
    """The module; without it the test is skipped, or fails on Linux if NAMEDSHM_REQUIRE_EXTRAS=1 (continuous integration)."""
    if importlib.util.find_spec(name) is None and not (on_linux and required("NAMEDSHM_REQUIRE_EXTRAS")):
        pytest.skip(f"needs {name}", allow_module_level=True)
    return importlib.import_module(name)
