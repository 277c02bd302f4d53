"""Every Python block of README.md and docs/, and every example, is free of complaints of strict type checkers.

They are checked as their readers would: in a directory of their own, against the package that is installed.  A block that shows
wrong use is one that is not run, and is not checked either.  Beside them typed.py, which says what the types are to be.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.extras import needs

from .blocks import PAGES, ROOT, blocks_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the documentation's examples are run on Linux"),
    pytest.mark.timeout(600),
]

#: Libraries that have no types.  To the checkers each is a module of which everything is Any: otherwise all that comes from there
#: is "unknown", which strict checking refuses, and what is unknown in this package would not be seen for it.
UNTYPED = ("gevent", "joblib", "pandas", "pyarrow", "pyarrow.compute", "torch", "torch.utils", "torch.utils.data")
#: Rules of basedpyright and of mypy that are switched off, and why.
OFF = {
    "reportWildcardImportFromLibrary": "programs for Windows are moved by `from namedshm.win32 import *`: __all__ is for that",
    "reportPrivateUsage": "typed.py looks for what libraries reach for",
}
ALLOWED = {
    "--allow-subclassing-any": "a class of a library without types can be a base: torch's Dataset",
}


@dataclass(frozen=True)
class Source:
    """A program of the documentation.  ``line``: of its page, the one before its first."""

    page: Path
    line: int
    code: str

    @property
    def file(self) -> str:
        return f"{re.sub(r'[^a-z0-9]', '_', str(self.page.relative_to(ROOT)).lower())}_{self.line}.py"

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def sources() -> list[Source]:
    blocks = [block for page in PAGES for block in blocks_of(page) if block.language == "python" and block.role != "not run"]
    programs = [*sorted((ROOT / "examples").glob("*.py")), Path(__file__).with_name("typed.py")]
    return [
        *(Source(block.page, block.line, block.code) for block in blocks),
        *(Source(program, 0, program.read_text(encoding="utf-8")) for program in programs),
    ]


class Workplace:
    """A directory with the programs, and with modules for the libraries without types."""

    def __init__(self, directory: Path, programs: Iterable[Source]) -> None:
        self.programs = {program.file: program for program in programs}
        self.directory, self.stubs = directory / "programs", directory / "stubs"
        self.directory.mkdir()
        for file, program in self.programs.items():
            (self.directory / file).write_text(program.code, encoding="utf-8")
        for module in UNTYPED:
            folder = self.stubs.joinpath(*module.split("."))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.pyi").write_text("from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n")

    def told(self, file: str, line: int, text: str) -> str:
        """A complaint, and where in the documentation it is about."""
        program = self.programs[Path(file).name]
        return f"{program.page.relative_to(ROOT)}:{program.line + line}: {text}"

    def mypy(self) -> list[str]:
        needs("mypy")
        options = ["--strict", "--config-file=", "--show-error-codes", "--no-error-summary", "--no-color-output", *ALLOWED]
        cache = ROOT / ".mypy_cache" / "docs"
        result = _run(
            "mypy", *options, f"--cache-dir={cache}", *sorted(self.programs), cwd=self.directory, MYPYPATH=str(self.stubs)
        )
        assert result.returncode in (0, 1), result.stdout + result.stderr
        complaints = re.findall(r"^([^:\n]+):(\d+): (.*)$", result.stdout, re.MULTILINE)
        assert bool(complaints) == bool(result.returncode), result.stdout + result.stderr
        return [self.told(file, int(line), text) for file, line, text in complaints if not text.startswith("note: ")]

    def basedpyright(self) -> list[str]:
        needs("basedpyright")
        configuration = {
            "include": ["."],
            "stubPath": str(self.stubs),
            "typeCheckingMode": "strict",
            "reportUnnecessaryTypeIgnoreComment": True,
            **dict.fromkeys(OFF, False),
        }
        (self.directory / "pyrightconfig.json").write_text(json.dumps(configuration))
        result = _run("basedpyright", "--outputjson", cwd=self.directory)
        report = json.loads(result.stdout)
        assert report["summary"]["filesAnalyzed"] == len(self.programs), result.stdout + result.stderr
        return [
            self.told(found["file"], found["range"]["start"]["line"] + 1, f"{found['message']} [{found.get('rule', 'error')}]")
            for found in report["generalDiagnostics"]
            if found["severity"] in ("error", "warning")
        ]


def _run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python, without what would lead checkers to other sources than the installed ones."""
    left = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH", "VIRTUAL_ENV")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{left['PATH']}"  # pyright looks there for the packages
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**left, "PATH": path, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    for library in ("numpy", "polars"):  # what has types is checked with them
        needs(library)
    return Workplace(tmp_path_factory.mktemp("types"), sources())


def test_mypy_finds_nothing_in_what_is_documented(workplace: Workplace) -> None:
    complaints = workplace.mypy()
    assert not complaints, "\n".join(complaints)


def test_pyright_finds_nothing_in_what_is_documented(workplace: Workplace) -> None:
    complaints = workplace.basedpyright()
    assert not complaints, "\n".join(complaints)


def test_the_public_interface_is_typed_completely(tmp_path: Path) -> None:
    """Nothing in it is left for checkers to guess.  But for the commands, which are no interface of Python's."""
    needs("basedpyright")
    result = _run("basedpyright", "--verifytypes", "namedshm", "--ignoreexternal", "--outputjson", cwd=tmp_path)
    symbols = json.loads(result.stdout)["typeCompleteness"]["symbols"]
    of_python = [symbol for symbol in symbols if symbol["isExported"] and not symbol["name"].startswith("namedshm.cli.")]
    assert len(of_python) > 200, result.stdout
    unclear = {
        symbol["name"]: [told["message"] for told in symbol["diagnostics"]]
        for symbol in of_python
        if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]
    }
    assert not unclear, json.dumps(unclear, indent=4)
