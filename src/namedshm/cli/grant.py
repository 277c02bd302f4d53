r"""``namedshm grant``: who may create in ``Global\`` on Linux.

The right is one line, ``global-creators = GROUP``, in /etc/namedshm.conf, and group-write permission on a living registry:
configuration.py and registry.py.
"""

from __future__ import annotations

import os
import sys

import click

_ON_WINDOWS = r"""On Windows the right to create in Global\ is the user right "Create global objects" (SeCreateGlobalPrivilege).
Administrators and services have it. To give it to others: secpol.msc, Local Policies, User Rights Assignment."""


@click.command(epilog=r"Opening in Global\ needs no right.  On Windows the right is SeCreateGlobalPrivilege (secpol.msc).")
@click.argument("group", required=False)
@click.option("--show", is_flag=True, help="Print who may create; changes nothing and needs no root.")
@click.option("--revoke", is_flag=True, help="Take the right away: only root may create.")
def command(group: str | None, show: bool, revoke: bool) -> None:
    """Let the members of GROUP create objects in Global\\ (Linux, as root).

    Root always may.  There is one such group; granting to another one replaces it.  The line is written to /etc/namedshm.conf
    (or the file in NAMEDSHM_CONFIG) and applied at once to the memory that is shared already.

    \b
    Examples:
      sudo namedshm grant video
      namedshm grant --show
      sudo namedshm grant --revoke
    """
    if (group is not None) + show + revoke != 1:
        raise click.UsageError("Give a GROUP, or --show, or --revoke.")
    if sys.platform != "linux":
        raise click.ClickException(_ON_WINDOWS)
    if show:
        _show()
        return
    if os.geteuid() != 0:
        raise click.ClickException("Only root may change who creates in Global\\: run it with sudo.")
    from namedshm._backend.linux_policy import group_number

    from . import configuration

    number = None if group is None else group_number(group)
    segment = _registry()  # before the file changes: a registry is believed or not by what the file says
    path = configuration.path()
    try:
        configuration.write(group)
    except OSError as error:
        raise click.ClickException(f"Could not write {path}: {error.strerror}.") from None
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


def _registry() -> int | None:
    r"""Segment of the living ``Global\`` registry, or None."""
    from namedshm._backend import backend

    backend.list_objects()
    segment: int | None = backend.backend_state()["global"]["registry"]
    return segment


def _show() -> None:
    if sys.platform != "linux":
        return
    from namedshm._backend.linux_policy import GlobalPolicy

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
