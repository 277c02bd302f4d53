"""Programs of their own: a start method imports the program's main module, and a program that hangs must end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.peer import born

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["fork", "spawn", "forkserver"] if on_linux else ["spawn"])
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., list[str]]:
    """program(code) runs it with the tests on its path and gives the lines it printed."""

    def run(code: str, *, timeout: float = 90, **variables: str) -> list[str]:
        path = tmp_path / "program.py"
        path.write_text(f"import sys\nsys.path[:0] = [{str(TESTS)!r}, {str(tmp_path)!r}]\n{code}", encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables},
            start_new_session=on_linux,
        )  # fmt: skip
        born.add(process.pid)
        try:
            output, complaints = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            if on_linux:
                os.killpg(process.pid, 9)  # its workers too
            process.kill()
            output, complaints = process.communicate()
            pytest.fail(f"the program hangs; it had printed {output!r} and {complaints[-3000:]}")
        assert process.returncode == 0, complaints[-4000:]
        return output.splitlines()

    return run
