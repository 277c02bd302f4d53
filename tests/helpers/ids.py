"""Names of cases."""

from __future__ import annotations

import re

__all__ = ["plain"]


def plain(value: object) -> str:
    """The value as Python writes it, the same in each process: no addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
