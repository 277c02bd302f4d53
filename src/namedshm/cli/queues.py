"""What ``put`` and ``get`` have in common: the queue they open or make, and how messages are told apart in a stream of bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from . import quantities

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from namedshm import Queue

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["opened", "options"]

_MAX_SIZE = 1 << 20  # bytes; a line that is longer is rare, and memory is taken as it is used

_OPTIONS = (
    click.option("--null", "-0", is_flag=True, help="Messages end with a NUL byte, not with a line's end."),
    click.option("--whole", is_flag=True, help="The bytes are one message, as they are."),
    click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="How long to wait each time; 0 only tries."),
    click.option("--create", is_flag=True, help="Make the queue where nobody holds the name."),
    click.option(
        "--capacity", type=click.IntRange(1, 1 << 24), metavar="N", help="With --create: messages it holds (1024), a power of two."
    ),
    click.option(
        "--max-size",
        callback=quantities.size,
        metavar="SIZE",
        help="With --create: the longest message (1MiB), for example 64KiB or 10MB.",
    ),
    click.option("--ack", is_flag=True, help="With --create: what a consumer had taken when it died is delivered again."),
)


def options(command: F) -> F:
    """Decorates a command: the options of both, which it gets as keywords."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def opened(name: str, create: bool, capacity: int | None, max_size: float | None, ack: bool, wait: float | None = 0) -> Queue:
    """The queue; made, if that is wished and nobody holds the name."""
    from namedshm import Queue

    if not create:
        for option, given in (("--capacity", capacity), ("--max-size", max_size), ("--ack", ack)):
            if given:
                raise click.UsageError(f"{option} is about a queue that is made: give --create too.")
        return Queue.open(name, wait=wait)
    longest = _MAX_SIZE if max_size is None else math.ceil(max_size)
    return Queue.create(name, capacity or 1024, longest, exist_ok=True, ack=ack)
