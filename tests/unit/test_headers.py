"""The C headers: their parts stand on their own and need each other in no circle, and they are installed with the package."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import closing
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.headers import INCLUDE, headers

import namedshm

COMPILERS = [("gcc", "c"), ("g++", "c++")]
MINGW = "x86_64-w64-mingw32-"
PROGRAM = """
#include "namedshm_sync.h"
#include <stdio.h>
int main(void) {
    nshm_scope local;
    nshm_handle section, lock;
    nshm_waitee mutex;
    nshm_scope_init(&local, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
    if (nshm_open(&local, NSHM_SECTION, SECTION, sizeof SECTION - 1, NSHM_READONLY, &section)) return 1;
    if (nshm_open(&local, NSHM_MUTEX, MUTEX, sizeof MUTEX - 1, 0, &lock)) return 2;
    if (nshm_sync_waitee(&lock, NSHM_MUTEX, &mutex) || nshm_try(&mutex) || nshm_mutex_release(&mutex)) return 3;
    printf("%.5s\\n", (const char *)section.data);
    if (nshm_sync_keep(&mutex)) return 4;
    nshm_close(&lock, 0);
    nshm_close(&section, 0);
    return 0;
}
"""

pytestmark = [
    pytest.mark.skipif(not on_linux, reason="the headers are for Linux"),
    pytest.mark.skipif(not INCLUDE.is_dir(), reason="the tests were taken elsewhere without the headers"),
]


def needs(part: Path) -> set[Path]:
    return {part.parent / name for name in re.findall(r'#include "(.+)"', (INCLUDE / part).read_text())}


def of_windows(part: Path) -> bool:
    return part.stem.endswith("_windows")


def check_alone(parts: list[Path], folder: Path, compiler: str, language: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    units = []
    for part in parts:
        unit = folder / part.with_suffix(".c").name
        unit.write_text(f'#include "{part.as_posix()}"\n')
        units.append(unit)
    command = [compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{INCLUDE}", "-x", language, *units]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stderr


def test_parts_need_each_other_in_no_circle() -> None:
    order = TopologicalSorter({part: needs(part) for part in headers()}).static_order()
    assert set(order) == set(headers())


@pytest.mark.parametrize("part", [part for part in headers() if part.parent.name], ids=lambda part: part.name)
def test_a_part_begins_with_what_it_needs(part: Path) -> None:
    head = (INCLUDE / part).read_text().partition("*/")[0]
    assert head.startswith(f"/* {part.as_posix()} - ")
    told = re.search(r"^ \* Needs:  (.*)\.$", head, re.MULTILINE)
    assert told, head
    assert {part.parent / name for name in re.findall(r"\w+\.h", told[1])} == needs(part)


def test_the_entries_name_every_part() -> None:
    for part in headers():
        if part.parent.name:
            family = part.name.partition("_")[0]
            entry = f"namedshm_{family}.h" if family in ("sync", "queue", "topic") else "namedshm.h"
            if of_windows(part):  # where all parts of namedshm.h are Linux's
                entry = "namedshm_queue.h"
            assert re.search(rf"^ \*.* {re.escape(part.name)} ", (INCLUDE / entry).read_text(), re.MULTILINE), part


@pytest.mark.parametrize(("compiler", "language"), COMPILERS)
def test_each_part_compiles_alone(tmp_path: Path, compiler: str, language: str) -> None:
    check_alone([part for part in headers() if not of_windows(part)], tmp_path, compiler, language)


@pytest.mark.parametrize(("compiler", "language"), COMPILERS)
def test_each_part_of_a_queue_compiles_alone_for_windows(tmp_path: Path, compiler: str, language: str) -> None:
    parts = {Path("namedshm_queue.h")} | {part for part in headers() if of_windows(part)}
    for part in headers():
        # what has a twin for Windows is Linux's, and so is what is for its watcher
        mine = part.stem == "queue_watch" or Path(part.parent / f"{part.stem}_windows.h") in parts
        if part.stem.startswith("queue_") and not mine:
            parts.add(part)
    check_alone(sorted(parts), tmp_path, MINGW + compiler, language)


@pytest.mark.parametrize(("compiler", "language"), COMPILERS)
def test_programs_compile_with_the_installed_headers(tmp_path: Path, name: str, compiler: str, language: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    include = Path(namedshm.get_include())
    assert include.is_absolute()
    for part in headers():
        assert (include / part).read_bytes() == (INCLUDE / part).read_bytes(), part
    source, program = tmp_path / "program", tmp_path / "compiled"
    source.write_text(PROGRAM)
    names = [f'-DSECTION="{name}"', f'-DMUTEX="{name}-lock"']
    command = [compiler, "-Wall", "-Wextra", "-Werror", *names, f"-I{include}", "-x", language, source, "-o", program, "-pthread"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    with namedshm.create(name, 100) as section, closing(namedshm.Mutex(f"{name}-lock")):
        section.map()[:5] = b"hello"
        run = subprocess.run([program], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stdout) == (0, "hello\n"), run.stderr


def test_headers_that_are_nowhere_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from namedshm import _headers

    monkeypatch.setattr(_headers, "__file__", str(tmp_path / "lib" / "namedshm" / "_headers.py"))
    with pytest.raises(namedshm.Unsupported, match="There are no C headers here"):
        namedshm.get_include()
