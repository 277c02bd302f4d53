r"""``namedshm demo``: the two programs of Microsoft's page "Creating Named Shared Memory", as two real processes.

Every line it prints is a call it really makes, through :mod:`namedshm.win32`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import click

_SIZE = 256
_MESSAGE = b"Message from first process."
_READY = "Now the second process can open the name."


@click.command(epilog="The programs follow https://learn.microsoft.com/windows/win32/memory/creating-named-shared-memory")
@click.argument("part", required=False, type=click.Choice(["first", "second"]))
@click.option("--name", default="MyFileMappingObject", show_default=True, metavar="NAME", help="Name, without prefix.")
@click.option("--global", "is_global", is_flag=True, help=r"Use Global\NAME: creating it needs a right, see 'namedshm grant'.")
def command(part: str | None, name: str, is_global: bool) -> None:
    """Share 256 bytes between two processes by name.

    Without PART both processes are started here, and in the end the name is shown to be gone.  'first' and 'second' are the two
    programs for two terminals: first creates the memory, writes a message and waits for a key; second opens it and reads.

    \b
    Examples:
      namedshm demo
      namedshm demo first              in one terminal
      namedshm demo second             in another, while first waits
      namedshm demo --global
    """
    full = rf"Global\{name}" if is_global else name
    if part == "first":
        _first(full)
    elif part == "second":
        _second(full)
    else:
        _both(full, name, is_global)


# ------------------------------------------------------------------------------------------------------------ the programs
def _first(name: str) -> None:
    from namedshm import win32

    said = _Teller("first")
    handle = win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, win32.PAGE_READWRITE, 0, _SIZE, name)
    error = win32.GetLastError()
    said(f'CreateFileMapping(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, {_SIZE}, "{name}")', _result(handle, error))
    if not handle:
        raise click.ClickException(f"Could not create file mapping object ({error}). {_create_hint(error)}")
    if error == win32.ERROR_ALREADY_EXISTS:  # the page's program would go on and write into it
        win32.CloseHandle(handle)
        raise click.ClickException(f"The name exists already ({error}). {_create_hint(error)}")
    view = win32.MapViewOfFile(handle, win32.FILE_MAP_ALL_ACCESS, 0, 0, _SIZE)
    if view is None:
        error = win32.GetLastError()
        win32.CloseHandle(handle)
        raise click.ClickException(f"Could not map view of file ({error}).")
    said(f"MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, {_SIZE})", f"{len(view)} bytes at {view.address:#x}")
    win32.CopyMemory(view, _MESSAGE, len(_MESSAGE))
    said(f'CopyMemory(view, "{_MESSAGE.decode()}", {len(_MESSAGE)})')
    said(_READY)
    try:
        _wait_for_key()
    finally:
        win32.UnmapViewOfFile(view)
        said("UnmapViewOfFile(view)")
        win32.CloseHandle(handle)
        said("CloseHandle(handle)")


def _second(name: str) -> None:
    from namedshm import win32

    said = _Teller("second")
    handle = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name)
    error = win32.GetLastError()
    said(f'OpenFileMapping(FILE_MAP_ALL_ACCESS, FALSE, "{name}")', _result(handle, error))
    if not handle:
        raise click.ClickException(f"Could not open file mapping object ({error}). {_open_hint(error)}")
    view = win32.MapViewOfFile(handle, win32.FILE_MAP_ALL_ACCESS, 0, 0, _SIZE)
    if view is None:
        error = win32.GetLastError()
        win32.CloseHandle(handle)
        raise click.ClickException(f"Could not map view of file ({error}).")
    said(f"MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, {_SIZE})", f"{len(view)} bytes at {view.address:#x}")
    text = view[:_SIZE].split(b"\0")[0].decode("utf-8", "backslashreplace")
    from namedshm._facts.words import printable

    said(f'the view contains "{printable(text)}"')
    win32.UnmapViewOfFile(view)
    said("UnmapViewOfFile(view)")
    win32.CloseHandle(handle)
    said("CloseHandle(handle)")


def _both(name: str, bare: str, is_global: bool) -> None:
    from namedshm import win32

    options = ["--name", bare, *(["--global"] if is_global else [])]
    click.echo(f"Two processes share {_SIZE} bytes named {name}.\n")
    first = _start("first", options)
    assert first.stdin is not None
    assert first.stdout is not None
    try:
        for line in first.stdout:
            click.echo(line, nl=False)
            if _READY in line:
                break
        else:
            sys.exit(first.wait() or 1)  # it told why on stderr
        second = _start("second", options)
        output, _ = second.communicate()
        click.echo(output, nl=False)
        output, _ = first.communicate("\n")  # the key it waits for
        click.echo(output, nl=False)
    finally:
        if first.poll() is None:
            first.kill()
            first.wait()
    if first.returncode or second.returncode:
        sys.exit(1)
    said = _Teller("demo")
    handle = win32.OpenFileMapping(win32.FILE_MAP_READ, False, name)
    error = win32.GetLastError()
    said(f'OpenFileMapping(FILE_MAP_READ, FALSE, "{name}")', _result(handle, error))
    if handle or error != win32.ERROR_FILE_NOT_FOUND:
        if handle:
            win32.CloseHandle(handle)
        raise click.ClickException(f"The name should be gone now, but it is not: somebody else holds {name}.")
    click.echo("\nThe last handle is closed, so the name and the memory are gone. Nobody had to remove them.")


def _start(part: str, options: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "namedshm.cli", "demo", part, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


# ------------------------------------------------------------------------------------------------------------ small things
class _Teller:
    def __init__(self, who: str) -> None:
        self.prefix = f"{who:<6} {os.getpid():>7}  "

    def __call__(self, call: str, result: str = "") -> None:
        click.echo(f"{self.prefix}{call}{f'  -> {result}' if result else ''}")
        sys.stdout.flush()


def _result(handle: int, error: int) -> str:
    if not handle:
        return f"NULL, GetLastError() is {error}"
    return f"handle {handle:#x}" + (", but GetLastError() is 183" if error == 183 else "")


def _create_hint(error: int) -> str:
    hints = {
        5: r"Creating in Global\ needs a right: run it with sudo, let an administrator run 'namedshm grant GROUP', or leave "
        "--global out.",
        6: "An object of another type has that name: choose another with --name.",
        183: "Is another 'namedshm demo first' running? End it, or choose another name with --name.",
    }
    return hints.get(error, "Choose another name with --name.")


def _open_hint(error: int) -> str:
    hints = {
        2: "Nobody holds the name: start 'namedshm demo first' in another terminal, with the same options.",
        5: "It belongs to another user who did not let you in.",
        6: "An object of another type has that name: choose another with --name.",
    }
    return hints.get(error, "Choose another name with --name.")


def _wait_for_key() -> None:
    """Any key on a terminal; elsewhere a line, or the end of the input."""
    if not sys.stdin.isatty():
        sys.stdin.readline()
        return
    click.echo("Press any key to close it.")
    if sys.platform == "win32":
        import msvcrt

        msvcrt.getch()
    else:
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        try:
            tty.setcbreak(descriptor)  # Ctrl-C still interrupts
            os.read(descriptor, 1)
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
