"""In whose memory an array lies.  NumPy is not imported here: whoever has an array has it."""

from __future__ import annotations

from namedshm.section import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["behind", "behind_mask"]


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


def behind_mask(array: Any) -> View | None:
    """As :func:`behind`, of the mask of a masked array."""
    mask = getattr(array, "_mask", None)
    return None if mask is None or mask.base is None else behind(mask)
