"""The group of commands.  A command's module is imported when the command runs or its help is asked for."""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from namedshm import NamedShmError, __version__

_COMMANDS = ("demo", "grant", "hold", "list", "load", "save", "show")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"namedshm.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        for stream in (sys.stdout, sys.stderr):  # a name may have characters the terminal's encoding lacks
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except NamedShmError as error:
            raise click.ClickException(str(error)) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the operation failed (the reason is on stderr), 2 wrong usage.",
)
@click.version_option(__version__, prog_name="namedshm")
def cli() -> None:
    """Named shared memory with the lifetime of Windows kernel objects.

    A name lives as long as somebody holds a handle, the memory as long as a handle or a view.  There is no command to remove
    anything, because nothing is left behind.

    \b
    Examples:
      namedshm demo                    see two processes share memory by name
      namedshm list                    what is alive
      namedshm show frames             one object and what is in it
      namedshm save frames frames.npy  its bytes as a file
      namedshm load frames.npy frames  and back
      namedshm hold frames             keep it alive, whoever ends
      sudo namedshm grant video        let group 'video' create in Global\\
    """
