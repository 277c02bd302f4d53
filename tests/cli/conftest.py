"""Fixtures of the command line's tests: run it, and hold objects in another process.  Every test has namespaces of its own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import namedshm

SOURCE = str(Path(namedshm.__file__).resolve().parents[1])
TIMEOUT = 60  # seconds for one process; the machine may be busy
NOBODY = 65534

_numbers = itertools.count()


IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
# A process that becomes user nobody after all imports: that user may be unable to read this Python.
BECOME_NOBODY = f"""
import os, sys, grp, pwd, json, shutil, queue, encodings.ascii, encodings.unicode_escape, termios, tty, click
import rich.console, rich.table, rich.text
import namedshm.inspection, namedshm.win32, namedshm.cli.app
from namedshm.cli import configuration, demo, get, grant, hold, list, put, show, registry
from namedshm._facts import content, looking, queues, states, words
import namedshm.queue, namedshm.sync
os.setgroups([]); os.setresgid(*[{NOBODY}] * 3); os.setresuid(*[{NOBODY}] * 3)
"""


def _environment(more: dict[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more}


class Namespace:
    """Runs processes that see names of their own."""

    def __init__(self) -> None:
        self.more = {"NAMEDSHM_SESSION": f"cli-{os.getpid()}-{next(_numbers)}", "COLUMNS": "100"}
        self.running: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``namedshm arguments``, to its end."""
        return self.python("-m", "namedshm.cli", *arguments, **more)

    def run_as_nobody(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The same as user and group nobody."""
        return self.nobody(f"sys.argv = {['namedshm', *arguments]!r}; from namedshm.cli import main; main()", **more)

    def nobody(self, code: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Python code as user and group nobody, to its end."""
        return self.python("-c", BECOME_NOBODY + code, **more)

    def python(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``python arguments``, to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            input="",
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=_environment({**self.more, **more}),
            timeout=TIMEOUT,
            check=False,
        )

    def start(self, *arguments: str, **streams: int) -> subprocess.Popen[str]:
        """``python arguments``, left running; ended when the test ends."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            text=True,
            encoding="utf-8",
            env=_environment(self.more),
            **streams,  # type: ignore[call-overload]
        )
        self.running.append(process)
        return process

    def hold(self, code: str) -> subprocess.Popen[str]:
        """A process that ran ``code`` (with namedshm imported) and keeps what it made until its standard input ends."""
        process = self.start("-c", f"import sys, namedshm\n{code}\nprint('holding', flush=True)\nsys.stdin.read()")
        assert process.stdout is not None
        line = process.stdout.readline()
        if line != "holding\n":
            raise AssertionError(f"the holder said {line!r}: {process.communicate(timeout=TIMEOUT)}")
        return process

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate(timeout=TIMEOUT)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    namespace = Namespace()
    yield namespace
    namespace.close()


@pytest.fixture
def run(namespace: Namespace) -> Callable[..., subprocess.CompletedProcess[str]]:
    return namespace.run


@pytest.fixture
def hold(namespace: Namespace) -> Callable[[str], subprocess.Popen[str]]:
    return namespace.hold


def end(process: subprocess.Popen[str]) -> str:
    """Let a process read the end of its input; returns what else it printed."""
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    return output
