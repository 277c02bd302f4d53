"""The public API is what is recorded, so that every change of it is seen in review."""

from __future__ import annotations

import pytest
from helpers import api
from helpers.extras import LIBRARIES, needs


@pytest.mark.parametrize("module", api.MODULES, ids=lambda name: name or "namedshm")
def test_it_is_what_is_recorded(module: str) -> None:
    """Where a change is meant: ``python tests/helpers/api.py`` writes the record anew, and CHANGELOG.md tells of it."""
    if module in LIBRARIES:
        needs(LIBRARIES[module])
    there = list(api.lines(module))
    recorded = api.recorded(module)
    assert there == recorded, "if this change is meant: python tests/helpers/api.py"


def test_all_modules_that_come_by_themselves_are_public_ones() -> None:
    import namedshm

    assert set(namedshm._MODULES) <= set(api.MODULES)
