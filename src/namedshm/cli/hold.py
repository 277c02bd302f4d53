"""``namedshm hold NAME``: a process that does nothing but keep objects alive, for those who want them to outlast their programs."""

from __future__ import annotations

import math
from contextlib import ExitStack

import click

from . import quantities
from .app import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm import Queue, Section
    from namedshm._sync.objects import Waitable


@click.command(epilog="Ended by Ctrl-C, SIGTERM or the time it is a success.  Who else holds an object keeps it alive as well.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=Name())
@click.option(
    "--for",
    "duration",
    callback=quantities.duration,
    metavar="DURATION",
    help="Let go after this long: 90s, 10min, 1.5h, 7d.",
)
@click.option(
    "--create",
    "size",
    callback=quantities.size,
    metavar="SIZE",
    help="Make a section of this size (4096, 64KiB, 10MB, 1.5GiB) where nobody holds the name.",
)
@click.option(
    "--reserve",
    is_flag=True,
    help="With --create: set no memory aside, it is taken as the section is written; so it may be larger than the machine's.",
)
def command(names: tuple[str, ...], duration: float | None, size: float | None, reserve: bool) -> None:
    """Keep objects alive until interrupted: sections, queues, mutexes, events, semaphores.

    Their names, and the memory of sections, stay when the programs that use them end.  Opens with the least rights and changes
    nothing; all of the objects are held, or none.

    \b
    Examples:
      namedshm hold frames frames.lock
      namedshm hold frames --for 10min
      nohup namedshm hold settings --create 64KiB &
    """
    from namedshm._facts import words

    from .waiting import Interruption

    if reserve and size is None:
        raise click.UsageError("--reserve is about a section that is made: give --create SIZE too.")
    interruption = Interruption()
    with ExitStack() as held:
        for name in names:
            handle, text = _open(name, None if size is None else math.ceil(size), reserve)
            held.callback(handle.close)
            click.echo(f"Holding {text.format(name=words.printable(name))}.")
        click.echo("Ctrl-C ends it." if duration is None else f"Ctrl-C ends it, or {_words(duration)} from now.")
        interrupted = interruption.wait(duration)
    click.echo("Interrupted: nothing is held here any more." if interrupted else "The time is up: nothing is held here any more.")


def _open(name: str, size: int | None, reserve: bool) -> tuple[Section | Queue | Waitable, str]:
    """A handle with no more rights than it takes to have one, and what it is in words, with a place for the name."""
    import namedshm
    from namedshm._sync.objects import BY_TYPE

    try:
        info = namedshm.describe(name)
    except namedshm.NotFound:
        if size is None:
            raise
        # exist_ok: somebody may have been quicker
        section = namedshm.create(name, size, exist_ok=True, access="read", reserve="touch" if reserve else False)
    else:
        if info.type == "queue":
            return namedshm.Queue.open(name, "read"), "queue {name}"
        if info.type != "section":
            return BY_TYPE[info.type].open(name, "wait"), f"{info.type} {{name}}"
        section = namedshm.open(name, "read")
    return section, f"{'new ' if section.created else ''}section {{name}} of {section.size} bytes"


def _words(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
