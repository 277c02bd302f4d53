"""``namedshm show NAME``: every fact about one object, and what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .app import Name

if TYPE_CHECKING:
    from namedshm import ObjectInfo

    from .contents import Contents

_FEW = 128  # bytes to show of what has no better preview


@click.command(epilog="The bytes are read through a read-only handle of this command, which is closed before it prints.")
@click.argument("name", type=Name())
@click.option("--bytes", "length", type=click.IntRange(0), metavar="N", help="Show so many bytes, whatever they are.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as one JSON object, without the preview.")
def command(name: str, length: int | None, as_json: bool) -> None:
    """Show all facts about NAME and what is in it: shape, type and some elements of an array, schema and some rows of an Arrow
    table, the values of a record, who has a lock or waits, the first bytes of anything else.

    \b
    Examples:
      namedshm show frames
      namedshm show --bytes 1024 'Global\\frames'
    """
    import namedshm

    from . import facts

    info = namedshm.describe(name)
    found, data, denied = _look(name, info, length)
    state = _state(name)
    if as_json:
        import json

        fact = facts.as_json(info)
        if found is not None:
            fact["content"] = found.details
        if state:
            fact["state"] = state
        click.echo(json.dumps(fact, indent=2))
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
    if state:
        click.echo(f"{'state':<9} {_state_in_words(state)}")
    if denied:
        click.echo(f"\nThe bytes cannot be shown: {denied}")
    elif found is not None:
        _preview(found, data)


def _state(name: str) -> dict[str, Any]:
    """Of what threads wait for; nothing where this user may not look."""
    import namedshm

    try:
        return namedshm.inspection.state(name)
    except (namedshm.AccessDenied, namedshm.NotFound):  # it went meanwhile: the rest was true a moment ago
        return {}


def _state_in_words(state: dict[str, Any]) -> str:
    from . import facts

    match state:
        case {"readers": int(readers), "writing": False}:
            return f"{readers} thread{'s read' if readers > 1 else ' reads'}" if readers else "free"
        case {"waiting": int(waiting)}:
            return f"{waiting} thread{'s wait' if waiting != 1 else ' waits'}"
        case {"writing": True, "owner": int(owner)}:
            return f"written by thread {owner}{facts.process_of(owner)}"
        case {"writing": True}:
            return "written"
        case {"locked": False}:
            return "free"
        case {"owner": int(owner)}:
            return f"owned by thread {owner}{facts.process_of(owner)}"
        case {"locked": True}:
            return "owned"
        case {"set": is_set}:
            return "set" if is_set else "not set"
        case _:
            return f"{state['value']} can be taken"


def _look(name: str, info: ObjectInfo, length: int | None) -> tuple[Contents | None, bytes | None, str]:
    """What a section holds; its first bytes, where they are to be shown; or why it cannot be read."""
    if info.type != "section":
        return None, None, ""
    import namedshm
    from namedshm._backend import backend

    from .contents import contents

    try:
        with namedshm.open(name, "read") as section, section.map() as view:
            reach = backend.reach(view)  # of a reserved section only what is committed may be read
            found = contents(name, view, reach, _columns())
            if length is None:
                length = _FEW if found.kind == "bytes" else 0
            return found, view[: min(length, reach)] if length else None, ""
    except namedshm.AccessDenied as error:
        return None, None, str(error)


def _preview(found: Contents, data: bytes | None) -> None:
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


def _when(created: float | None) -> str:
    if created is None:
        return "-"
    from datetime import datetime

    from . import facts

    return f"{datetime.fromtimestamp(created).astimezone().isoformat(sep=' ', timespec='seconds')} ({facts.age(created)} ago)"
