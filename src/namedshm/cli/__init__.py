"""The command ``namedshm``: look at living objects, try the library, grant the right to create in ``Global\\``.

    app.py      the group of commands; each is loaded when it is used, so that starting is cheap
    demo.py  list.py  show.py  save.py  load.py  put.py  get.py  hold.py  grant.py      one file a command
    queues.py        what 'put' and 'get' share      quantities.py   options with a unit
    progress.py      a bar for what takes seconds      waiting.py      an end by Ctrl-C or by the clock
    configuration.py, registry.py      what 'grant' writes, and does to a Global registry that lives already

What is told of an object is not decided here but in ``namedshm/_facts/``: this is the layout.

It refuses to change or free an object: there is nothing to clean up, the kernel does it.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point.  Exit status: 0 done, 1 the operation failed (the reason is on stderr), 2 wrong usage."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        _tell(f"namedshm: the command line needs {error.name}: pip install 'namedshm[cli]'")
        sys.exit(1)
    from .app import cli

    if sys.stdout is None:  # closed by the shell (>&-): what is written fails, as it does for other programs
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    try:
        cli(prog_name="namedshm")
    except OSError as error:  # of the output: click itself is silent about a reader that has gone
        _tell(f"namedshm: cannot write the output: {error.strerror or error}")
        _forget_output()
        sys.exit(1)


def _tell(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def _forget_output() -> None:
    """What could not be written is not tried again when the interpreter ends."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
