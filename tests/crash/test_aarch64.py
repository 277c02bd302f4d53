"""The headers on another machine: everything compiles for aarch64, and sections run under qemu-user.

qemu-user has no robust lists (set_robust_list(2) says ENOSYS), so mutexes and waits are refused there, as they have to be; and no
SHM_STAT_ANY, so a program finds no registry but its own.  Everything else runs on a machine with a kernel of its own, emulated by
tools/arm64.py; that takes long, so here only the parts of that tool are tested, without a boot.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.headers import headers

from .build import HERE, INCLUDE, WARNINGS

TESTS = HERE.parent
sys.path.insert(0, str(TESTS.parent / "tools"))

import arm64  # noqa: E402

PROGRAMS = sorted(
    [
        *(file for suite in ("crash", "crash_sync", "crash_queue", "crash_topic") for file in (TESTS / suite).glob("*.c")),
        *(TESTS.parent / "benchmarks").glob("*.c"),
    ]
)
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
COMPILERS = {"c": "aarch64-linux-gnu-gcc", "c++": "aarch64-linux-gnu-g++"}

pytestmark = [pytest.mark.skipif(not shutil.which(compiler), reason=f"needs {compiler}") for compiler in COMPILERS.values()]


def compile(language: str, *arguments: str | Path) -> None:
    command = [COMPILERS[language], "-Wall", "-Wextra", "-Werror", "-O2", f"-I{INCLUDE}", f"-I{HERE}", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("header", ["namedshm.h", "namedshm_sync.h", "namedshm_queue.h", "namedshm_topic.h"])
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


# ------------------------------------------------------------------------------------------------ tools/arm64.py, without a boot
CASE = arm64.Case("suite/a case", ("/t/storm", "two words"), 20, environment={"KEY": "a b"}, counts=("kills",))


def unpack(file: Path) -> dict[str, tuple[int, bytes, tuple[int, int]]]:
    """Mode, data and device of what is in a "newc" archive, as the kernel reads it."""
    data, at, found = file.read_bytes(), 0, {}
    while True:
        assert data[at : at + 6] == b"070701"
        numbers = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + numbers[11]]
        assert name.endswith(b"\0")
        at += (110 + numbers[11] + 3) & ~3
        if name == b"TRAILER!!!\0":
            return found
        assert name[:-1].decode() not in found
        found[name[:-1].decode()] = numbers[1], data[at : at + numbers[6]], (numbers[9], numbers[10])
        at += (numbers[6] + 3) & ~3


def test_the_initramfs_holds_what_its_init_runs(tmp_path: Path) -> None:
    root, programs, file = tmp_path / "root", tmp_path / "programs", tmp_path / "initramfs"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "busybox").write_bytes(b"box")
    (root / "bin" / "busybox").chmod(0o755)
    (root / "lib" / "deep").mkdir(parents=True)
    (root / "lib" / "deep" / "libc.so").write_bytes(b"12345")
    (root / "lib" / "libc.a").write_bytes(b"static")
    (root / "lib" / "link.so").symlink_to("deep/libc.so")
    programs.mkdir()
    (programs / "storm").write_bytes(b"program")
    arm64.make_initramfs(root, programs, [CASE], None, file)
    found = unpack(file)
    assert found["dev/console"] == (stat.S_IFCHR | 0o600, b"", (5, 1))
    assert found["bin/busybox"] == (stat.S_IFREG | 0o755, b"box", (0, 0))
    assert found["bin/sh"][:2] == (stat.S_IFLNK | 0o777, b"busybox")
    assert found["lib/deep/libc.so"][1] == b"12345"
    assert stat.S_ISLNK(found["lib/link.so"][0])
    assert found["lib/link.so"][1] == b"deep/libc.so"
    assert found["t/storm"][:2] == (stat.S_IFREG | 0o755, b"program")
    assert "lib/libc.a" not in found
    seen: set[str] = set()
    for name, (mode, _, _) in found.items():  # the kernel makes no folders by itself
        assert "/" not in name or name.rpartition("/")[0] in seen
        if stat.S_ISDIR(mode):
            seen.add(name)
    init = found["init"][1].decode()
    assert "run 'suite/a case' 20 env 'KEY=a b' /t/storm 'two words'\n" in init
    assert init.endswith("poweroff -f\n")
    subprocess.run(["sh", "-n"], input=init, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("printed", "complaint"),
    [
        (["kills=3 lost=0", "", "@@ end suite/a case 0 1.50 4.00"], None),
        (["kills=3", "@@ end suite/a case 1 1.50 4.00"], "exit status 1, not 0"),
        (["kills=0", "@@ end suite/a case 0 1.50 4.00"], "tested nothing: kills"),
        (["@@ end suite/a case 0 1.50 4.00"], "tested nothing: kills"),
        (["kills=3", "@@ end suite/a case 137 1.50 22.00"], "did not end within 20 s, or was killed"),
        (["kills=3"], "did not end"),
    ],
)
def test_what_the_machine_prints_is_judged(printed: list[str], complaint: str | None) -> None:
    console = arm64.Console([CASE])
    assert console.results[CASE.name].complaint() == "was not reached"
    for line in ["kernel: hello", "@@ begin suite/a case", *printed]:
        console.feed(line)
    assert console.results[CASE.name].complaint() == complaint
    assert console.outside == ["kernel: hello"]
    assert not console.over
    console.feed("@@ over")
    assert console.over


def test_its_cases_are_found_by_their_names() -> None:
    given = arm64.parser().parse_args(["--storm", "7", "--seed", "3", "crash/storm*"])
    cases = [case for case in arm64.storm_cases(given.storm, given.seed) if arm64.matches(case.name, given.patterns)]
    assert cases
    for case in cases:
        assert case.name.startswith("crash/storm")
        assert case.program in arm64.PROGRAMS
        assert case.command[1:] == ("1000000", "3", "7")


def test_it_has_every_program_of_the_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMEDSHM_ARM64_DIR", str(tmp_path))
    (tmp_path / "host").mkdir()
    known = {(suite, source) for suite, source, _ in arm64.PROGRAMS.values()}
    known |= {(suite, source) for suite, sources in arm64.NOT_PROGRAMS.items() for source in sources}
    assert known == {(file.parent.name, file.stem) for suite in arm64.BUILDERS for file in (TESTS / suite).glob("*.c")}
    run = {case.program for case in (*arm64.storm_cases(1, 1), *arm64.single_cases(1))}
    assert run == arm64.PROGRAMS.keys() - {"step", "step-planted", "sync-step", "queue-step"}, "those have a case for each scenario"


def test_it_builds_programs_for_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMEDSHM_ARM64_DIR", str(tmp_path))
    monkeypatch.setenv("CC", "gcc")
    arm64.build_programs(tmp_path / "programs", ["step", "sync-step"])
    for name in ("step", "sync-step"):
        head = (tmp_path / "programs" / name).read_bytes()[:20]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == 183, "AArch64"
    assert os.environ["CC"] == "gcc"


def test_its_planted_bug_can_be_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMEDSHM_ARM64_DIR", str(tmp_path))
    planted = arm64.planted_headers()
    assert [name for name in headers() if (planted / name).read_text() != (INCLUDE / name).read_text()] == [Path("namedshm/lock.h")]


def test_its_help_says_what_it_cannot_show() -> None:
    tool = [sys.executable, TESTS.parent / "tools" / "arm64.py"]
    run = subprocess.run([*tool, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "--no-python" in run.stdout
    assert "What it cannot show" in run.stdout
