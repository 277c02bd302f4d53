"""Runs the blocks: every test in a directory and in namespaces of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.extras import needs

import namedshm

from .blocks import ROOT, Block, commands, same

TIMEOUT = 60  # seconds for one process; the machine may be busy
_numbers = itertools.count()

# Runs a program as its own script would, tells when it is ready for the second process, and stays alive until told.
_FIRST = """
import builtins, runpy, sys
ready = []
def wait(prompt=""):
    if not ready:
        ready.append(1)
        print("\\x02ready", flush=True)
        sys.stdin.readline()
    return ""
builtins.input = wait
runpy.run_path(sys.argv[1], run_name="__main__")
assert ready, "the first process ends at once: who pastes it has nothing to open; let it call input()"
"""


class Place:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        source = Path(namedshm.__file__).resolve().parents[1]
        tools = directory / "tools"
        tools.mkdir()
        for name, rest in (("namedshm", "-m namedshm.cli "), ("python", ""), ("python3", "")):
            tool = tools / name
            tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {rest}"$@"\n')
            tool.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{source}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NAMEDSHM_SESSION": f"docs-{os.getpid()}-{next(_numbers)}",
            "NAMEDSHM_CONFIG": str(directory / "namedshm.conf"),
            "CPLUS_INCLUDE_PATH": str(ROOT / "include"),
            "COLUMNS": "100",
        }
        self.running: list[subprocess.Popen[str]] = []

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run to the end with success; returns what it printed."""
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environment,
            cwd=cwd or self.directory,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        )
        assert result.returncode == 0, f"{command} ended with {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout

    def compile(self, source: Path) -> Path:
        if shutil.which("g++") is None:
            pytest.skip("needs g++")
        program = self.directory / source.stem
        self.run("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", source, "-o", program)
        return program

    def first(self, *command: str | Path, ready: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start and return when it has printed a line that contains ``ready``, or the beginning of one."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            cwd=cwd or self.directory,
        )
        self.running.append(process)
        assert process.stdout is not None
        seen = ""
        while ready not in seen:
            character = process.stdout.read(1)
            assert character, f"{command} ended early: {seen}"
            seen += character
        return process

    def finish(self, process: subprocess.Popen[str]) -> str:
        """Let a first process go on, to its end; returns what it printed since it was ready."""
        output, _ = process.communicate("\n", timeout=TIMEOUT)
        assert process.returncode == 0, output
        return output

    def block(self, block: Block) -> None:
        """Run a block on its own and compare what it prints."""
        self._needs(block)
        if block.language == "console":
            for command, expected in commands(block):
                got = self._shell(command)
                assert same(expected, got), f"{block}: {command}\n--- written\n{expected}\n--- got\n{got}"
            return
        path = self.save(block)
        got = self.run(self.compile(path)) if block.language == "cpp" else self.run(sys.executable, path)
        if block.prints is not None:
            assert same(block.prints, got), f"{block}\n--- written\n{block.prints}\n--- got\n{got}"

    def _shell(self, command: str) -> str:
        """What a terminal would show: output and errors; a command in the documentation may fail on purpose."""
        return subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        ).stdout

    def save(self, block: Block) -> Path:
        path = self.directory / f"block{next(_numbers)}.{ {'python': 'py', 'cpp': 'cpp'}[block.language] }"
        path.write_text(block.code, encoding="utf-8")
        return path

    def _needs(self, block: Block) -> None:
        if block.needs:
            needs(block.needs)

    def first_block(self, block: Block) -> subprocess.Popen[str]:
        self._needs(block)
        if block.language == "cpp":
            return self.first(self.compile(self.save(block)), ready="\n")
        return self.first(sys.executable, "-c", _FIRST, self.save(block), ready="\x02ready\n")

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate(timeout=TIMEOUT)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()
    assert place.run(sys.executable, "-m", "namedshm.cli", "list", "--json") == "[]\n", "the test left objects"
