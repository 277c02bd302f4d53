"""The group of commands.  A command's module is imported when the command runs or its help is asked for."""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from namedshm import NamedShmError, __version__

_COMMANDS = ("demo", "get", "grant", "hold", "list", "load", "put", "save", "show")


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
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except NamedShmError as error:
            raise click.ClickException(_as_typed(error)) from None


def _as_typed(error: NamedShmError) -> str:
    """The error's text, with the name as it stands in a shell and not as in Python, where a backslash is written twice."""
    text, name = str(error), error.object_name
    return text if name is None or "\\" not in name else text.replace(repr(name), f"'{name}'")


class Name(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click
    r"""An object's name, with a remark on those that were meant to be Global and are not."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        lower = value.lower()
        if lower.startswith("global") and "\\" not in value and (lower[6:7] == "/" or value.startswith("Global")) and lower[6:]:
            click.echo(
                f"Remark: {value!r} is a Local name. A Global one is written 'Global\\{value[6:].lstrip('/')}', in quotes, for the "
                "shell takes a backslash away.",
                err=True,
            )
        return value


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
      namedshm put jobs jobs.txt       lines as messages of a queue
      namedshm get jobs --follow       and out of it
      namedshm grant video             as root: let group 'video' create in Global\\
    """
