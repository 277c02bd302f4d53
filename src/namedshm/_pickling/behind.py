"""In whose memory an array lies.  NumPy is not imported here: whoever has an array has it."""

from __future__ import annotations

import sys

from namedshm.section import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["behind", "is_shared"]


def behind(array: Any) -> View | None:
    """The view in whose memory the array is, by the chain of what keeps what; None where it does not lead to one."""
    found = array.base
    while found is not None and not isinstance(found, View):
        if isinstance(found, memoryview):
            try:
                found = found.obj
            except ValueError:  # released under the array
                return None
        elif hasattr(type(found), "__array_finalize__") or type(found).__module__.startswith("numpy."):
            found = getattr(found, "base", None)  # not only arrays: numpy.lib.stride_tricks puts something else between
        else:
            return None  # foreign objects are not asked: this looks at every array that is sent anywhere
    return found


def is_shared(thing: object) -> bool:
    """Whether it is an array whose memory, or whose mask's, is a view's; false for everything that is no array."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None or not isinstance(thing, ndarray):
        return False
    mask: Any = getattr(thing, "_mask", None)
    return behind(thing) is not None or (mask is not None and mask.base is not None and behind(mask) is not None)
