"""``namedshm put NAME [FILE]``: lines, or a whole file, as messages of a queue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .app import Name
from .queues import opened, options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from namedshm import Queue

_CHUNK = 65536  # bytes read at a time
_LOOK = 0.05  # seconds between two looks at whether all is taken


@click.command(epilog="A name lives as long as somebody holds it, so a queue made here is held until its messages are taken.")
@click.argument("name", type=Name())
@click.argument("file", default="-", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--shutdown", is_flag=True, help="Afterwards shut the queue down: who gets ends when it is empty.")
@options
def command(
    name: str,
    file: Path,
    shutdown: bool,
    null: bool,
    whole: bool,
    timeout: float | None,
    create: bool,
    capacity: int | None,
    max_size: float | None,
    ack: bool,
) -> None:
    """Put the lines of FILE ('-' or nothing: standard input) as messages into the queue NAME.

    Each is put as soon as it is read, without its line's end, whatever bytes it has.  Where the queue is full this waits.

    \b
    Examples:
      namedshm put jobs jobs.txt
      tail -f access.log | namedshm put log
      namedshm put images --whole photo.jpg
      find . -name '*.png' -print0 | namedshm put jobs --null --create --shutdown
    """
    from namedshm._facts.words import size

    from .waiting import Interruption

    if null and whole:
        raise click.UsageError("--null and --whole exclude each other.")
    with opened(name, create, capacity, max_size, ack) as queue, _readable(file) as stream:
        queue.take_part("producer")  # also where nothing comes
        number = total = 0
        for message in [stream.read()] if whole else _messages(stream, b"\0" if null else b"\n"):
            queue.put(message, timeout)
            number += 1
            total += len(message)
        if shutdown:
            queue.shutdown()
        text = f"{name}: {number} message{'' if number == 1 else 's'}, {total} bytes ({size(total)})"
        if not queue.created or _done(queue):
            click.echo(text)
            return
        interruption = Interruption()
        click.echo(f"{text}; held until they are taken, or interrupted (Ctrl-C)")
        while not _done(queue) and not interruption.wait(_LOOK):
            pass


def _done(queue: Queue) -> bool:
    figures = queue.statistics()
    return not figures.waiting and not figures.held


def _readable(file: Path) -> BinaryIO:
    try:
        if str(file) == "-":
            return open(0, "rb", buffering=0, closefd=False)
        return file.open("rb", buffering=0)
    except OSError as error:
        raise click.ClickException(f"Cannot read {file}: {error.strerror or error}") from None


def _messages(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    """What ends so, as soon as it is there; and what is left at the end of the stream."""
    rest = bytearray()
    while data := stream.read(_CHUNK):
        *whole, last = data.split(end)
        if whole:
            yield bytes(rest) + whole[0]
            yield from whole[1:]
            rest.clear()
        rest += last
    if rest:
        yield bytes(rest)
