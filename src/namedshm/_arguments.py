"""Arguments that many functions take, checked in one place, before anything is touched."""

from __future__ import annotations

from . import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["check_on_abandoned", "count", "seconds", "spinning"]

_FOR_EVER = 9e9  # seconds; 285 years, the most that 64 bits of nanoseconds hold


def seconds(timeout: Any, call: str, name: str | None = None) -> float | None:
    """A time-out as a float from 0 to 285 years; None for ever.

    Args:
        timeout: None or any real number: int, float, Fraction, Decimal, NumPy's.  Below zero is zero; infinity, and whatever is
            more than 285 years, is for ever.
        call, name: for the error.

    Raises:
        TypeError: it is no number; True and False are none, for other libraries take them for "wait" and "do not wait".
        InvalidArgument: it is not a number (NaN).
    """
    if timeout is None:
        return None
    if type(timeout) is not float:
        timeout = _number(timeout, "timeout", "None for ever, 0 to try only")
    if timeout != timeout:
        raise errors.InvalidArgument("The timeout is not a number: pass seconds, or None for ever", name=name, call=call)
    wait: float = max(timeout, 0.0)
    return wait if wait <= _FOR_EVER else None


def spinning(spin: Any, call: str) -> float:
    """Seconds to try before sleeping, as a float from 0 to 285 years.  Raises as :func:`seconds`."""
    if type(spin) is not float:
        spin = _number(spin, "spin", "0 to sleep at once")
    if spin != spin:
        raise errors.InvalidArgument("The time to spin is not a number: pass seconds", call=call)
    spell: float = min(max(spin, 0.0), _FOR_EVER)
    return spell


def check_on_abandoned(what: object) -> None:
    """Raises: InvalidArgument."""
    if what not in ("tell", "raise"):
        raise errors.InvalidArgument(f"on_abandoned {what!r}: use 'tell' or 'raise'", call="acquire")


def count(number: Any, what: str, call: str, name: str | None = None) -> int:
    """A number of at least 1.  Raises: TypeError; InvalidArgument."""
    try:
        if isinstance(number, bool):
            raise AttributeError
        value: int = number.__index__()
    except AttributeError:
        raise TypeError(f"{what} must be a whole number, not {type(number).__name__}") from None
    if value < 1:
        raise errors.InvalidArgument(f"{what}={value}: use at least 1, or None", name=name, call=call)
    return value


def _number(value: Any, what: str, otherwise: str) -> float:
    kind = type(value)
    if isinstance(value, (bool, str, bytes, bytearray)) or not (hasattr(kind, "__float__") or hasattr(kind, "__index__")):
        raise TypeError(f"{what} must be a number of seconds ({otherwise}), not {kind.__name__}")
    try:
        number = float(value)
    except OverflowError:  # whole numbers and fractions can be of any size
        number = float("inf") if value > 0 else 0.0
    except ValueError:  # a signaling NaN of Decimal
        number = float("nan")
    return number
