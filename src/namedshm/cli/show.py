"""``namedshm show NAME``: every fact about one object, and its first bytes."""

from __future__ import annotations

import click


@click.command(epilog="The bytes are read through a read-only handle of this command, which is closed before it prints.")
@click.argument("name")
@click.option("--bytes", "length", type=click.IntRange(0), default=128, show_default=True, metavar="N", help="How many bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as one JSON object, without the preview.")
def command(name: str, length: int, as_json: bool) -> None:
    """Show all facts about NAME and a hexdump of its first bytes.

    \b
    Examples:
      namedshm show frames
      namedshm show --bytes 1024 'Global\\frames'
    """
    import namedshm

    from . import facts

    info = namedshm.describe(name)
    if as_json:
        import json

        click.echo(json.dumps(facts.as_json(info), indent=2))
        return
    command_line = facts.command_of(info)
    if command_line is None:
        command_line = "(ended)" if info.creator_pid is not None else "-"
    rows = (
        ("name", facts.printable(info.name)),
        ("type", info.type),
        ("size", f"{info.size} bytes ({facts.size(info.size)})"),
        ("used", "-" if info.resident is None else f"{facts.size(info.resident)} of memory"),
        ("handles", f"{facts.count(info.handles)} (they keep the name)"),
        ("mappings", f"{facts.count(info.mappings)} (with the handles they keep the memory)"),
        ("mode", facts.mode_text(info)),
        ("user", facts.user(info.creator_uid) or "-"),
        ("creator", f"{facts.count(info.creator_pid)} {facts.printable(command_line)}"),
        ("created", _when(info.created)),
        ("identity", f"{info.identity:#018x}"),
    )
    for label, value in rows:
        click.echo(f"{label:<9} {value}")
    if info.type != "section" or not length:
        return
    try:
        data = _read(name, length)
    except namedshm.AccessDenied as error:
        click.echo(f"\nThe bytes cannot be shown: {error}")
        return
    click.echo(f"\nfirst {len(data)} bytes:" if data else "\nNo byte of this reserved section is committed yet.")
    for line in _hexdump(data):
        click.echo(line)


def _read(name: str, length: int) -> bytes:
    """The first bytes that may be read: of a reserved section only what is committed."""
    import namedshm
    from namedshm._backend import backend

    with namedshm.open(name, "read") as section, section.map() as view:
        return view[: min(length, backend.reach(view))]


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


def _when(created: float | None) -> str:
    if created is None:
        return "-"
    from datetime import datetime

    from . import facts

    return f"{datetime.fromtimestamp(created).astimezone().isoformat(sep=' ', timespec='seconds')} ({facts.age(created)} ago)"
