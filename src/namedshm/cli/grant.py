r"""``namedshm grant``: who may create in ``Global\`` on Linux.

The right is one line, ``global-creators = GROUP``, in /etc/namedshm.conf, and group-write permission on a living registry:
configuration.py and registry.py.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys

import click

from namedshm._facts.words import printable, user

_NAMES = 10  # listed of many
_ON_WINDOWS = r"""On Windows the right to create in Global\ is the user right "Create global objects" (SeCreateGlobalPrivilege).
Administrators and services have it. To give it to others: secpol.msc, Local Policies, User Rights Assignment."""


@click.command(epilog=r"Opening in Global\ needs no right.  On Windows the right is SeCreateGlobalPrivilege (secpol.msc).")
@click.argument("group", required=False)
@click.option("--show", is_flag=True, help="Print who may create; changes nothing and needs no root.")
@click.option("--revoke", is_flag=True, help="Take the right away: only root may create.")
@click.option("--force", is_flag=True, help=r"Also while programs use Global\ that the others would not meet there any more.")
def command(group: str | None, show: bool, revoke: bool, force: bool) -> None:
    """Let the members of GROUP create objects in Global\\ (Linux, as root).

    Root always may.  There is one such group; granting to another one replaces it.  The line is written to /etc/namedshm.conf
    (or the file in NAMEDSHM_CONFIG) and applied at once to the memory that is shared already.  Where that memory was made by a
    user who would no longer be believed, nothing is changed: the programs that use it end first, or --force.

    \b
    Examples:
      namedshm grant video
      namedshm grant --show
      namedshm grant --revoke
    """
    if (group is not None) + show + revoke != 1:
        raise click.UsageError("Give a GROUP, or --show, or --revoke.")
    if sys.platform != "linux":
        raise click.ClickException(_ON_WINDOWS)
    if show:
        _show()
        return
    if os.geteuid() != 0:
        raise click.ClickException(f"Only root may change who creates in Global\\: run it with sudo.\n  {_as_root()}")
    from namedshm._backend.linux.rights import GlobalPolicy, group_number

    from . import configuration

    number = None if group is None else group_number(group)
    segment = _registry()  # before the file changes: a registry is believed or not by what the file says
    problem = _split(GlobalPolicy().group(), -1 if number is None else number)
    if problem and not force:
        raise click.ClickException(f"Nothing was changed. {problem}")
    path = configuration.path()
    try:
        configuration.write(group)
    except OSError as error:
        raise click.ClickException(f"Could not write {path}: {error.strerror}.") from None
    if problem:
        click.echo(f"Done all the same. {problem}", err=True)
        segment = None  # it goes on as it is, for those who use it
    if group is None:
        click.echo(f"Only root may create in Global\\ now ({path}).")
    else:
        click.echo(f"Members of group {group!r} may create in Global\\ now ({path}).")
        if not configuration.members(group):
            click.echo(f"The group has no members yet; add one with: usermod -aG {group} USER")
    if segment is not None:
        from .registry import set_owner_group

        try:
            set_owner_group(segment, number)
        except OSError as error:
            raise click.ClickException(
                f"Global memory is in use and could not be told ({error.strerror}): the change counts once its users ended."
            ) from None
    if group is None:
        click.echo("A running program that may create keeps that until it ends.")
    else:
        click.echo("A new member logs in again ('id' must show the group); programs that run already must be started again.")


def _as_root() -> str:
    """This command for sudo, which has another PATH than a virtual environment and passes no variables on."""
    program = os.path.abspath(sys.argv[0])
    words = ["sudo"]
    if "NAMEDSHM_CONFIG" in os.environ:
        words += ["env", f"NAMEDSHM_CONFIG={os.environ['NAMEDSHM_CONFIG']}"]
    words += [sys.executable, "-m", "namedshm.cli"] if program.endswith(".py") or not os.path.exists(program) else [program]
    return shlex.join([*words, *sys.argv[1:]])


def _registry() -> int | None:
    r"""Segment of the living ``Global\`` registry, or None; also if programs of another version have it."""
    from namedshm import Unsupported
    from namedshm._backend import backend

    try:
        segment: int | None = backend.backend_state()["global"]["registry"]
    except Unsupported as error:
        if error.errno != errno.EPROTO:
            raise
        click.echo(f"Warning: {error}", err=True)
        return None
    return segment


def _split(before: int, after: int) -> str:
    r"""Why this change of the group would make two worlds of ``Global\``; empty if it would not."""
    if sys.platform != "linux":
        return ""
    from namedshm import list_objects
    from namedshm._backend.linux import native
    from namedshm._backend.linux.rights import GlobalPolicy

    trusts = GlobalPolicy().trusts
    living = [row for row in native.registries(True) if row[6] == native.FORMAT_VERSION]
    lost = [row for row in living if trusts(row[1], before) and not trusts(row[1], after)]
    kept = [row for row in living if trusts(row[1], after)]
    if not lost and len(kept) < 2:
        return ""
    lines = []
    if lost:
        lines.append("Global memory is in use whose maker would no longer be believed:")
        lines += [f"  {_who(*row)}" for row in lost]
        names = sorted(info.name for info in list_objects() if info.name.startswith("Global\\"))
        lines += [f"  with {printable(name)}" for name in names[:_NAMES]]
        lines += [f"  and {len(names) - _NAMES} more"] if len(names) > _NAMES else []
        lines.append("Programs started later would not find these objects, and would make others of the same names.")
        lines.append("End the programs that use them first, or put the maker into the group; or repeat with --force.")
    else:
        lines.append("Programs use two Global memories, both of which would be believed:")
        lines += [f"  {_who(*row)}" for row in kept]
        lines.append("End the programs of one first; or repeat with --force, and it is by chance which one a program finds.")
    return "\n".join(lines)


def _who(segment: int, maker: int, group: int, mode: int, pid: int, attached: int, version: int) -> str:
    from namedshm._backend.linux.errors import held_by

    return f"made by user {user(maker)}, {held_by(segment, attached)}"


def _show() -> None:
    if sys.platform != "linux":
        return
    from namedshm._backend.linux import native
    from namedshm._backend.linux.rights import GlobalPolicy

    from . import configuration
    from .registry import owner_group

    number = GlobalPolicy().group()
    if number < 0:
        click.echo(f"Only root may create in Global\\ ({configuration.path()} grants nobody else).")
    else:
        group = configuration.group_name(number)
        click.echo(f"Root and group {group!r} may create in Global\\ ({configuration.path()}).")
        click.echo(f"Members: {', '.join(configuration.members(group)) or 'none yet'}")
    segment = _registry()
    if segment is not None and owner_group(segment) != (number if number >= 0 else None):
        click.echo("Global memory in use was made under another grant: this one counts after its users have ended.")
    for row in native.registries(True):
        if not GlobalPolicy().trusts(row[1], number):
            click.echo(f"Not believed, because its maker may not create: Global memory {_who(*row)}.")
