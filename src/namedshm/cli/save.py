"""``namedshm save NAME FILE``: the bytes of a section as a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .app import Name

if TYPE_CHECKING:
    from typing import BinaryIO

    from namedshm import View

_CHUNK = 8 << 20  # bytes between two looks at the progress
_SAYS = {".npy": "npy", ".arrow": "arrow", ".feather": "arrow"}
_IS = {"npy": "an array: save it as .npy", "arrow": "an Arrow table: save it as .arrow", "bin": "just bytes: save it as .bin"}


@click.command(epilog="The section is read as it is: what others write meanwhile may be in the file or not.")
@click.argument("name", type=Name())
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def command(name: str, file: Path, force: bool) -> None:
    """Write the bytes of NAME to FILE ('-': standard output).

    An array or a record is a .npy file as it is, a table an .arrow file; any section can be saved under another ending, for example
    .bin.  FILE appears when it is complete.

    \b
    Examples:
      namedshm save frames frames.npy
      namedshm save trades trades.arrow
      namedshm save buffer - | sha256sum
    """
    import namedshm
    from namedshm._backend import backend
    from namedshm._facts.content import format_of
    from namedshm._facts.words import size

    with namedshm.open(name, "read") as section:
        with section.map() as whole:
            reach = backend.reach(whole)
            found = format_of(whole[: min(8, reach)])
        if not reach:
            raise click.ClickException(f"No byte of the reserved section {name!r} is committed yet: there is nothing to save")
        wanted = _SAYS.get(file.suffix.lower())
        if wanted is not None and wanted != found:
            raise click.ClickException(f"{file} cannot be written: {name!r} holds {_IS[found]}")
        with section.map(0, reach) as view:
            _save(view, file, force, name)
        if str(file) != "-":
            rest = "" if reach == section.size else f", all that is committed of {size(section.size)}"
            click.echo(f"{file}: {reach} bytes ({size(reach)}){rest}")


def _save(view: View, file: Path, force: bool, name: str) -> None:
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already: --force replaces it")
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        if str(file) == "-":
            _write(view, sys.stdout.buffer, name)
            return
        with part.open("xb") as stream:
            _write(view, stream, name)
        part.replace(file)  # in one step: nobody reads half a file
    except BrokenPipeError:
        raise  # the reader has seen enough
    except OSError as error:
        raise click.ClickException(f"Cannot write {file}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _write(view: View, stream: BinaryIO, name: str) -> None:
    from .progress import bar

    data, end = memoryview(view), len(view)
    with bar(f"saving {name}", end) as tell:
        for start in range(0, end, _CHUNK):
            stream.write(data[start : start + _CHUNK])
            tell(min(start + _CHUNK, end), end)
    stream.flush()
