"""Whether a name is still held."""

from __future__ import annotations

import contextlib
import gc

import namedshm


def gone(name: str) -> bool:
    gc.collect()
    try:
        with contextlib.suppress(namedshm.WrongType):  # of a mutex, event or semaphore
            namedshm.open(name).close()
    except namedshm.NotFound:
        return True
    return False
