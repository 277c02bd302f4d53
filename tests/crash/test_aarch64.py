"""The headers on another machine: everything compiles for aarch64, and sections run under qemu-user.

qemu-user has no robust lists (set_robust_list(2) says ENOSYS), so mutexes and waits are refused there, as they have to be; and no
SHM_STAT_ANY, so a program finds no registry but its own.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .build import HERE, INCLUDE, WARNINGS

TESTS = HERE.parent
PROGRAMS = sorted([*HERE.glob("*.c"), *(TESTS / "crash_sync").glob("*.c"), *(TESTS.parent / "benchmarks").glob("*.c")])
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
COMPILERS = {"c": "aarch64-linux-gnu-gcc", "c++": "aarch64-linux-gnu-g++"}

pytestmark = [pytest.mark.skipif(not shutil.which(compiler), reason=f"needs {compiler}") for compiler in COMPILERS.values()]


def compile(language: str, *arguments: str | Path) -> None:
    command = [COMPILERS[language], "-Wall", "-Wextra", "-Werror", "-O2", f"-I{INCLUDE}", f"-I{HERE}", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("header", ["namedshm.h", "namedshm_sync.h"])
@pytest.mark.parametrize(("language", "standard"), [("c", "c11"), ("c", "gnu17"), ("c++", "c++17"), ("c++", "c++20")])
def test_the_headers_compile_without_a_warning(tmp_path: Path, header: str, language: str, standard: str) -> None:
    source = tmp_path / "unit"
    source.write_text(f'#include "{header}"\nint main() {{ return 0; }}\n')
    compile(language, f"-std={standard}", "-Wpedantic", "-x", language, source, "-o", tmp_path / "program", "-lpthread")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_test_programs_compile(tmp_path: Path, program: Path) -> None:
    compile("c", *(flag for flag in WARNINGS if flag != "-g"), "-c", program, "-o", tmp_path / "object")


PROGRAM = """
#include "namedshm_sync.h"
#include <stdio.h>
#include <sys/wait.h>
int main(void) {
    nshm_scope scope;
    nshm_handle section, opened, event;
    nshm_waitee waitee;
    nshm_sync_start start = {NSHM_EVENT, 0, 0, 1};
    int status;
    nshm_scope_init(&scope, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
    if (nshm_create(&scope, NSHM_SECTION, "frames", 6, 100, 0600, -1, 0, 0, 0, NULL, NULL, &section)) return 1;
    memcpy(section.data, "hello", 5);
    if (!fork()) {
        if (nshm_open(&scope, NSHM_SECTION, "frames", 6, 0, &opened)) _exit(1);
        memcpy(opened.data, "HELLO", 5);
        _exit(0);
    }
    if (wait(&status) < 0 || status || memcmp(section.data, "HELLO", 5)) return 2;
    nshm_close(&section, 0);
    if (nshm_open(&scope, NSHM_SECTION, "frames", 6, 0, &opened) != -ENOENT) return 3;
    if (nshm_create(&scope, NSHM_EVENT, "event", 5, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &event)) return 4;
    if (nshm_sync_waitee(&event, NSHM_EVENT, &waitee)) return 5;
    printf("%d\\n", -nshm_try(&waitee));
    return 0;
}
"""


@pytest.mark.skipif(QEMU is None, reason="needs qemu-user")
def test_sections_work_for_aarch64(tmp_path: Path, name: str) -> None:
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    compile("c", "-std=gnu11", "-static", source, "-o", program, "-lpthread")
    environment = {**os.environ, "NAMEDSHM_SESSION": name}
    run = subprocess.run([QEMU or "", program], capture_output=True, text=True, timeout=60, env=environment)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) in (0, errno.ENOSYS)
