"""The command ``namedshm``: look at living objects, try the library, grant the right to create in ``Global\\``.

    app.py      the group of commands; each is loaded when it is used, so that starting is cheap
    demo.py  list.py  show.py  save.py  load.py  hold.py  grant.py      one file a command
    contents.py      what a section holds, told by its bytes     progress.py     a bar for what takes seconds
    facts.py    a snapshot (ObjectInfo) in words for people and as JSON
    configuration.py, registry.py      what 'grant' writes, and does to a Global registry that lives already

It refuses to change or free an object: there is nothing to clean up, the kernel does it.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point.  Exit status: 0 done, 1 the operation failed (the reason is on stderr), 2 wrong usage."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.stderr.write(f"namedshm: the command line needs {error.name}: pip install 'namedshm[cli]'\n")
        sys.exit(1)
    from .app import cli

    cli(prog_name="namedshm")
