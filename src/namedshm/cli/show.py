"""``namedshm show NAME``: every fact about one object, and what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .app import Name

if TYPE_CHECKING:
    from namedshm._facts.content import Content


@click.command(epilog="The bytes are read through a read-only handle of this command, which is closed before it prints.")
@click.argument("name", type=Name())
@click.option("--bytes", "length", type=click.IntRange(0), metavar="N", help="Show so many bytes, whatever they are.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as one JSON object, without the preview.")
def command(name: str, length: int | None, as_json: bool) -> None:
    """Show all facts about NAME and what is in it: shape, type and some elements of an array, schema and some rows of an Arrow
    table, the values of a record, who has a lock or waits, who uses a queue, the first bytes of anything else.

    \b
    Examples:
      namedshm show frames
      namedshm show --bytes 1024 'Global\\frames'
    """
    from namedshm._facts.looking import look

    seen = look(name, _columns(), length)
    if as_json:
        import json

        click.echo(json.dumps(seen.as_json(), indent=2))
        return
    for label, text in seen.rows():
        click.echo(f"{label:<9} {text}")
    if seen.denied:
        click.echo(f"\n{'What is in it' if seen.info.type == 'queue' else 'The bytes'} cannot be shown: {seen.denied}")
    elif seen.content is not None:
        _preview(seen.content, seen.first)


def _preview(found: Content, data: bytes | None) -> None:
    click.echo(f"content   {found.summary}")
    if found.preview:
        click.echo()
    for line in found.preview:
        click.echo(line)
    if data is None:
        return
    click.echo(f"\nfirst {len(data)} bytes:" if data else "\nNo byte of this reserved section is committed yet.")
    for line in _hexdump(data):
        click.echo(line)


def _columns() -> int:
    from shutil import get_terminal_size

    return max(40, get_terminal_size().columns)


def _hexdump(data: bytes) -> list[str]:
    """Sixteen bytes a line; lines equal to the one before are shown once as '*'."""
    lines: list[str] = []
    previous = b""
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        if row == previous and len(row) == 16 and start + 16 < len(data):
            if lines[-1] != "*":
                lines.append("*")
            continue
        previous = row
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        lines.append(f"{start:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{text}|")
    return lines
