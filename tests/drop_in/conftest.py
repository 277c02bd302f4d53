"""The two libraries a sentence may be about: a test that asks for ``library`` is true of both, so what it says is compatibility."""

from __future__ import annotations

import contextlib
import multiprocessing.shared_memory
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import has_fork, on_wine
from helpers.worker import end_as_maker

import namedshm
from namedshm import shared_memory

SOURCE = str(Path(namedshm.__file__).resolve().parents[1])


class Library:
    """One of the two, and what a test made with it.

    The standard library's blocks are removed when the test ends.  Its tracker is not started: it would outlive the tests, and
    what it does is the subject of test_known_complaints.py.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.ours = module is shared_memory
        self.made: list[Any] = []

    @property
    def import_line(self) -> str:
        return f"from {'namedshm' if self.ours else 'multiprocessing'} import shared_memory"

    def block(self, *arguments: Any, **options: Any) -> Any:
        return self._kept(self.module.SharedMemory(*arguments, **options))

    def list(self, *arguments: Any, **options: Any) -> Any:
        made = self.module.ShareableList(*arguments, **options)
        self._kept(made.shm)
        return made

    def _kept(self, block: Any) -> Any:
        if not self.ours:  # a reference would keep our names from going
            self.made.append(block)
        return block

    def clean(self) -> None:
        for block in self.made:
            with contextlib.suppress(BufferError):
                block.close()
            with contextlib.suppress(FileNotFoundError):
                block.unlink()


@pytest.fixture
def no_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = types.SimpleNamespace(register=lambda name, kind: None, unregister=lambda name, kind: None)
    monkeypatch.setattr(multiprocessing.shared_memory, "resource_tracker", nothing, raising=False)


@pytest.fixture(params=["namedshm", "multiprocessing"])
def library(request: pytest.FixtureRequest, no_tracker: None) -> Iterator[Library]:
    library = Library(shared_memory if request.param == "namedshm" else multiprocessing.shared_memory)
    yield library
    library.clean()


@pytest.fixture(autouse=True)
def each_test_is_a_maker_of_its_own() -> Iterator[None]:
    yield
    end_as_maker()


@pytest.fixture
def gone() -> Callable[[str], bool]:
    """gone(name): nobody holds it."""

    def look(name: str) -> bool:
        try:
            shared_memory.SharedMemory(name)
        except FileNotFoundError:
            return True
        return False

    return look


METHODS = ["fork", "spawn", "forkserver"] if has_fork else ["spawn"]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """How multiprocessing starts processes."""
    return str(request.param)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """program(code, *arguments): what the code prints as a script of its own, as multiprocessing needs it; it says nothing on
    stderr, where trackers would."""

    def run(code: str, *arguments: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(code, encoding="utf-8")
        # Wine now and then fails to start a process, or ends it at once without a word; such a start is repeated.
        for more in (on_wine, on_wine, False):
            try:
                status, output, complaints = _run_program(path, arguments)
            except OSError:
                if not more:
                    raise
                continue
            if not (more and (status, output, complaints) == (1, "", "")):
                break
        assert (status, complaints) == (0, ""), f"{output}{complaints}"
        return output

    return run


def _run_program(path: Path, arguments: tuple[str, ...]) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, str(path), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])},
    )
    try:
        output, complaints = process.communicate(timeout=100)
    except subprocess.TimeoutExpired as late:  # and not waited for: its children may have the pipes
        process.kill()
        process.wait(20)
        raise AssertionError(f"did not end: {late.stdout!r} {late.stderr!r}") from None
    return process.returncode, output, complaints
