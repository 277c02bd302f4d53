"""``namedshm list``: what is alive."""

from __future__ import annotations

import click

_EMPTY = r"""Nothing is alive: no process holds an object that this user may see.
Try 'namedshm demo first' here and 'namedshm list' in another terminal.
Seen are Local\ names of this user and Global\ names; the Local\ names of other users are not."""


@click.command(
    epilog="Handles keep the name; mappings (attachments of the memory, a handle's view shares its handle's) keep the memory."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with all facts, [] if nothing is alive.")
def command(as_json: bool) -> None:
    """List the living objects: name, size, handles, mappings, creator, age, memory really used.

    \b
    Examples:
      namedshm list
      namedshm list --json | python3 -m json.tool
    """
    import namedshm

    from . import facts

    objects = namedshm.list_objects()
    if as_json:
        import json

        click.echo(json.dumps([facts.as_json(info) for info in objects], indent=2))
        return
    if not objects:
        click.echo(_EMPTY)
        return

    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, right in (
        ("NAME", False),
        ("TYPE", False),
        ("SIZE", True),
        ("HANDLES", True),
        ("MAPPINGS", True),
        ("USED", True),
        ("AGE", True),
        ("USER", False),
        ("CREATOR", False),
    ):
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for info in objects:
        row = (
            facts.printable(info.name),
            info.type,
            facts.size(info.size),
            facts.count(info.handles),
            facts.count(info.mappings),
            facts.size(info.resident),
            facts.age(info.created),
            facts.user(info.creator_uid) or "-",
            facts.creator(info),
        )
        table.add_row(*map(Text, row))
    wide = None if sys.stdout.isatty() else 2000  # into a pipe: one object, one line
    Console(width=wide, highlight=False).print(table)
