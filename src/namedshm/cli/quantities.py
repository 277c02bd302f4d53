"""Options that are numbers with a unit: durations and sizes."""

from __future__ import annotations

import math

import click

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["duration", "size"]

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PREFIXES = "kmgtp"
_BYTES = {"": 1, "b": 1}
_BYTES |= {prefix + unit: 1024 ** (k + 1) for k, prefix in enumerate(_PREFIXES) for unit in ("", "ib")}
_BYTES |= {prefix + "b": 1000 ** (k + 1) for k, prefix in enumerate(_PREFIXES)}


def _quantity(units: dict[str, int], example: str) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Reads a number above 0 with one of these units."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
        if text is None:
            return None
        number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
        try:
            amount = float(number) * units[text[len(number) :].strip().lower()]
        except (ValueError, KeyError):
            amount = math.nan
        if amount <= 0:
            raise click.BadParameter(f"{text!r} is nothing: give more than 0.", context, parameter)
        if not amount < math.inf:
            raise click.BadParameter(f"{text!r} is not like {example}.", context, parameter)
        return amount

    return read


duration = _quantity(_SECONDS, "90s, 10min, 1.5h or 7d")
size = _quantity(_BYTES, "4096, 64KiB, 10MB or 1.5GiB")
