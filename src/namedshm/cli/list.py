"""``namedshm list``: what is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from namedshm import ObjectInfo

_EMPTY = r"""Nothing is alive: no process holds an object that this user may see.
Try 'namedshm demo first' here and 'namedshm list' in another terminal.
Seen are Local\ names of this user and Global\ names; the Local\ names of other users are not."""
_GAP = 2  # characters between two columns
_NAME = 20  # characters a name has in any case
_ALWAYS = 3  # columns that are never left out


@click.command(
    epilog="Handles keep the name; mappings (attachments of the memory, a handle's view shares its handle's) keep the memory."
)
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with all facts, [] if nothing is alive.")
@click.option("--watch", is_flag=True, help="Print anew every second, until interrupted.")
def command(patterns: tuple[str, ...], as_json: bool, watch: bool) -> None:
    """List the living objects: name, type, size, handles, mappings, memory really used, age, creator.

    With PATTERNs ('*' any text, '?' any character) those whose name matches one.  In a narrow terminal the facts that do not
    fit are left out, the last ones first.

    \b
    Examples:
      namedshm list
      namedshm list 'camera*' --watch
      namedshm list --json | python3 -m json.tool
    """
    if not watch:
        _print(patterns, as_json)
        return
    from .waiting import Interruption

    interruption = Interruption()
    while True:
        if not as_json:
            click.clear()
        _print(patterns, as_json)
        if interruption.wait(1.0):
            return


def _print(patterns: tuple[str, ...], as_json: bool) -> None:
    from fnmatch import fnmatchcase

    import namedshm
    from namedshm._facts import words

    objects = [info for info in namedshm.list_objects() if not patterns or any(fnmatchcase(info.name, p) for p in patterns)]
    if as_json:
        import json

        click.echo(json.dumps([words.as_json(info) for info in objects], indent=2))
    elif objects:
        _table(objects)
    else:
        click.echo(_EMPTY if not patterns else "Nothing of such a name is alive.")


def _table(objects: list[ObjectInfo]) -> None:
    import sys
    from shutil import get_terminal_size

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from namedshm._facts.looking import COLUMNS

    wide = get_terminal_size().columns if sys.stdout.isatty() else 2000  # into a pipe: one object, one line
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    shown: list[list[str]] = []
    used = 0
    for title, number, text in COLUMNS:
        cells = [text(info) for info in objects]
        need = max(map(len, (title, *cells)))
        used += min(need, _NAME) if not shown else need + _GAP  # a name that is longer goes on in the next line
        if used > wide and len(shown) >= _ALWAYS:
            break
        table.add_column(title, justify="right" if number else "left", overflow="fold", no_wrap=bool(shown))
        shown.append(cells)
    wide = max(wide, used) if len(shown) == _ALWAYS else wide
    for row in zip(*shown, strict=True):
        table.add_row(*map(Text, row))
    Console(width=wide, highlight=False).print(table)
