"""``namedshm load FILE NAME``: a file as a section, held as long as the command runs; or into a section that lives."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namedshm._formats import npy
from namedshm._formats.publication import SIZE

from .app import Name

if TYPE_CHECKING:
    from typing import BinaryIO

    from namedshm import Section, View

_CHUNK = 8 << 20  # bytes between two looks at the progress


def _octal(context: click.Context, option: click.Parameter, value: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no octal number, for example 644") from None


@click.command(epilog="A name lives as long as somebody holds it, so without --into this command stays until it is interrupted.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.argument("name", type=Name())
@click.option("--into", is_flag=True, help="Overwrite the bytes of a section that lives, and end.")
@click.option("--mode", callback=_octal, default="600", show_default=True, help=r"Who else may use it in Global\, as for a file.")
def command(file: Path, name: str, into: bool, mode: int) -> None:
    """Make a section NAME of the bytes of FILE ('-': standard input), and hold it until interrupted.

    A .npy file becomes an array that numpy programs open by name, an .arrow file (not compressed) a table; any other file is bytes.
    With --into the bytes go into a section that some process holds: an array of the same shape and type, or plain bytes that are
    at least as many.

    \b
    Examples:
      namedshm load frames.npy frames
      namedshm load trades.arrow trades
      namedshm load --into frames.npy frames
      zcat frames.npy.gz | namedshm load - frames
    """
    import namedshm
    from namedshm._facts.content import format_of
    from namedshm._facts.words import size

    from .waiting import Interruption

    try:
        with _readable(file) as stream:
            length = os.fstat(stream.fileno()).st_size
            first = stream.read(SIZE)
            kind = format_of(first)
            if into:
                with namedshm.open(name) as section:
                    _overwrite(section, stream, length, kind, file)
                click.echo(f"{name}: {length} bytes ({size(length)}) from {file}")
                return
            if not length:
                raise click.ClickException(f"{file} is empty: a section has at least one byte")
            with namedshm.create(name, length, mode=mode) as section:
                summary = _fill(section, stream, first, kind, name)
                interruption = Interruption()
                click.echo(f"{name}: {summary}, {size(length)} from {file}; held until interrupted (Ctrl-C)")
                interruption.wait()
    except OSError as error:
        if isinstance(error, namedshm.NamedShmError):
            raise
        raise click.ClickException(f"Cannot read {file}: {error.strerror or error}") from None


def _readable(file: Path) -> BinaryIO:
    """The file, at its beginning.  What comes through a pipe is copied to a temporary one first: a section's size is fixed."""
    stdin = str(file) == "-"
    stream: BinaryIO = open(0 if stdin else file, "rb", buffering=0, closefd=not stdin)  # noqa: SIM115  # the caller's to close
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    with stream:
        spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        shutil.copyfileobj(stream, spool, _CHUNK)
    spool.seek(0)
    return spool


def _fill(section: Section, stream: BinaryIO, first: bytes, kind: str, name: str) -> str:
    """Fill a new section; what it is, as far as this machine can tell.  Typed content appears when all of it is there."""
    from namedshm import InvalidContent
    from namedshm._facts.content import content
    from namedshm._formats.publication import publish

    with section.map() as view:
        _read(stream, view, len(first), section.size, name)
        if kind == "bin":
            view[: len(first)] = first
        else:
            publish(view, first)
        found = content(name, view, section.size, 80)
    if found.damaged:
        raise InvalidContent(found.summary, name=name, call="load")
    return found.summary


def _overwrite(section: Section, stream: BinaryIO, length: int, kind: str, file: Path) -> None:
    from namedshm._facts.content import content, format_of

    name = section.name or ""
    with section.map() as view:
        there = content(name, view, section.size, 80)
        start = 0
        if format_of(view[:SIZE]) != kind or there.kind in ("record", "table"):
            raise click.ClickException(
                f"{name!r} holds: {there.summary}. That is not overwritten by {file}: load it under another name"
            )
        if kind == "npy":
            start = _header(view, stream, section.size, length, name, file, there.summary)
        elif length > section.size:
            raise click.ClickException(f"{file} has {length} bytes, {name!r} only {section.size}: load it under another name")
        stream.seek(start)
        _read(stream, view, start, length, name)


def _header(view: View, stream: BinaryIO, size: int, length: int, name: str, file: Path, summary: str) -> int:
    """Where the elements start, if the file's header is that of the section: the arrays that others have open stay true."""
    stream.seek(0)
    start, text = npy.text(view, view[:SIZE])
    start += len(text)
    if length != size or stream.read(start) != view[:start]:
        raise click.ClickException(
            f"{name!r} holds an {summary}; the array in {file} is another, or laid out differently: load it under another name"
        )
    return start


def _read(stream: BinaryIO, view: View, start: int, end: int, name: str) -> None:
    from .progress import bar

    data = memoryview(view)
    with bar(f"loading {name}", end) as tell:
        while start < end:
            got = stream.readinto(data[start : min(start + _CHUNK, end)])  # type: ignore[attr-defined]
            if not got:
                raise click.ClickException(f"The file became shorter while it was read: {start} of {end} bytes were there")
            start += got
            tell(start, end)
