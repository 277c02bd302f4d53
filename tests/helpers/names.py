"""Whether a name is still held."""

from __future__ import annotations

import gc

import namedshm


def gone(name: str) -> bool:
    gc.collect()
    try:
        namedshm.open(name).close()
    except namedshm.NotFound:
        return True
    return False
