"""``namedshm get NAME``: messages of a queue, as lines or as they are."""

from __future__ import annotations

import contextlib
import signal
import sys

import click

from .app import Name
from .queues import opened, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from namedshm import Queue


@click.command(epilog="With acknowledgement a message is acknowledged when it is written: what could not be comes again.")
@click.argument("name", type=Name())
@click.option("--count", type=click.IntRange(1), metavar="N", help="So many messages, not one.")
@click.option("--follow", is_flag=True, help="All that come: until the queue is shut down, nothing came for --timeout, or Ctrl-C.")
@options
def command(
    name: str,
    count: int | None,
    follow: bool,
    null: bool,
    whole: bool,
    timeout: float | None,
    create: bool,
    capacity: int | None,
    max_size: float | None,
    ack: bool,
) -> None:
    """Take a message from the queue NAME, and write it and a line's end to standard output.

    Waits until there is one.  With --timeout it also waits so long for the queue, which somebody may be about to make.

    \b
    Examples:
      namedshm get jobs --timeout 10
      namedshm get log --follow
      namedshm get images --whole >photo.jpg
      namedshm get jobs --create --follow --null | xargs -0 -n1 process
    """
    if null and whole:
        raise click.UsageError("--null and --whole exclude each other.")
    if follow and count is not None:
        raise click.UsageError("--follow and --count exclude each other.")
    end = b"" if whole else b"\0" if null else b"\n"
    with opened(name, create, capacity, max_size, ack, timeout or 0) as queue:
        if follow:
            _follow(queue, end, timeout)
            return
        for _ in range(count or 1):
            _get(queue, end, timeout)


def _get(queue: Queue, end: bytes, timeout: float | None) -> None:
    with queue.take(timeout) as message, memoryview(message) as data:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.write(end)
        sys.stdout.buffer.flush()


def _follow(queue: Queue, end: bytes, timeout: float | None) -> None:
    from namedshm.queue import Empty, ShutDown

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # as in waiting.py, but a call is to be interrupted
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupted)
    with contextlib.suppress(Empty, ShutDown, KeyboardInterrupt):
        while True:
            _get(queue, end, timeout)
