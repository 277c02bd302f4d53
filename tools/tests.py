#!/usr/bin/env python3
"""The test command: install what is missing, run lint, types and all tests, and say how long each part took.

    ./run-tests                  everything: what continuous integration runs (about 25 minutes of two cores)
    ./run-tests --quick          the loop at the desk, under three minutes: unit, conformance, waits, the drop-in and the
                                 documentation, natively; no lint, no Wine, none of the tests that must run alone
    ./run-tests tests/unit -x    pytest with these arguments

Nothing is installed twice: the tools again when pyproject.toml names others, the package when its sources have changed.

The parts:

    install     Debian packages (as root), the tools, the package
    lint        ruff, cython-lint, mypy for both systems
    parallel    tests that may run beside others, on the cores there are (pytest-xdist); each worker has namespaces of its own
    alone       tests that may not (tests/conftest.py says which and why), one after the other
    windows     the suites that the Windows backend shares, by genuine Windows Python under Wine; beside the two above, and
                printed when it is done

Exit status: 0 if every part is well, and each that runs tests ran some; 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMPS = Path(sys.prefix) / "namedshm-installed.json"
CI = os.environ.get("CI") == "true"
TORCH = "torch==2.13.0"  # a large download for a few tests: only where everything has to be tested

QUICK = ("tests/unit", "tests/conformance", "tests/sync", "tests/drop_in", "tests/docs", "--ignore=tests/unit/test_packaging.py")
WINDOWS_SOURCES = ("sync", "aio", "section", "copying", "win32", "names", "errors", "inspection", "shared_memory", "managers")
WINDOWS_TESTS = (
    *(f"tests/{suite}" for suite in ["conformance", "sync", "copying", "drop_in", "records", "arrow", "arrays", "pools"]),
    *(f"tests/unit/test_{name}.py" for name in ("closing", "seconds", "failing")),
)
#: A Debian package, and the program that shows that it is there.
PACKAGES = {
    "gcc": "gcc",
    "g++": "g++",
    "wine64": "wine64",
    "g++-mingw-w64-x86-64": "x86_64-w64-mingw32-g++",
    "xvfb": "Xvfb",
    "xdotool": "xdotool",
    "strace": "strace",
    "g++-aarch64-linux-gnu": "aarch64-linux-gnu-g++",
}


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


# ------------------------------------------------------------------------------------------------------------ install
def install() -> None:
    debian_packages()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    torch = CI or os.environ.get("NAMEDSHM_TEST_TORCH") == "1"
    wanted = [project["dependency-groups"], project["build-system"]["requires"], torch]
    once("tools", digest(json.dumps(wanted, sort_keys=True).encode()), lambda: tools(project, torch))
    once("package", digest(*sources()), package)


def once(what: str, wanted: str, make: Callable[[], None]) -> None:
    """Make it unless that was done for the same inputs."""
    stamps = json.loads(STAMPS.read_text()) if STAMPS.exists() else {}
    if stamps.get(what) == wanted:
        return
    STAMPS.write_text(json.dumps({**stamps, what: None}))  # a failure half-way is no success
    make()
    STAMPS.write_text(json.dumps({**stamps, what: wanted}))


def digest(*parts: bytes) -> str:
    total = hashlib.sha256(sys.version.encode())
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def sources() -> Iterable[bytes]:
    """All that the installed package is made of."""
    folders = (path for folder in ("src/namedshm", "include") for path in sorted((ROOT / folder).rglob("*")))
    for path in (*(ROOT / name for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md")), *folders):
        if path.is_file() and path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".pyi", ".h", ".toml", ".in", ".md", ".typed"):
            yield path.relative_to(ROOT).as_posix().encode()
            yield path.read_bytes()
    for name in ("NAMEDSHM_CFLAGS", "NAMEDSHM_LDFLAGS", "CC"):
        yield os.environ.get(name, "").encode()


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments[:1], "-q", *arguments[1:]], cwd=ROOT, check=True)


def tools(project: dict[str, object], torch: bool) -> None:
    say("installing the test tools into .venv")
    pip("install", "--upgrade", "pip>=25.1")  # the first that knows dependency groups
    build = project["build-system"]
    assert isinstance(build, dict)
    pip("install", "--group", "test", "--group", "lint", *build["requires"])
    if torch:
        pip("install", TORCH)


def package() -> None:
    say("installing namedshm into .venv")
    pip("install", "--force-reinstall", "--no-deps", "--no-build-isolation", ".")


def debian_packages() -> None:
    missing = [name for name, program in PACKAGES.items() if not shutil.which(program)]
    if "wine64" in missing and Path("/usr/lib/wine/wine64").exists():
        missing.remove("wine64")
    if not shutil.which("wine"):
        missing.append("wine")
    # clang has the fuzzer that gcc lacks; any version that is there will do
    if not any(
        re.fullmatch(r"clang(-\d+)?", name) for folder in os.get_exec_path() if Path(folder).is_dir() for name in os.listdir(folder)
    ):
        missing += ["clang", "libclang-rt-dev"]
    # CPython's own tests, which Debian packs apart from its Python; other Pythons bring them along
    if (
        sys.base_prefix == "/usr"
        and subprocess.run([sys.executable, "-c", "import test._test_multiprocessing"], stderr=-3).returncode
    ):
        missing.append(f"libpython3.{sys.version_info[1]}-testsuite")
    if not missing or os.geteuid() or not shutil.which("apt-get"):
        return
    say(f"installing {' '.join(missing)}")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, stdout=-3, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


# ------------------------------------------------------------------------------------------------------------ parts
@dataclass
class Part:
    name: str
    well: bool
    seconds: float
    counts: str = ""


class Timed:
    def __init__(self, name: str) -> None:
        self.name, self.start = name, time.monotonic()

    def done(self, well: bool, output: str | None = None) -> Part:
        """``output``: of a part that runs tests, which is well only if it ran some."""
        counts = ""
        if output is not None:
            found = re.findall(r"^=* ?(\d+ (?:passed|failed|error)[^=\n]*?) in [\d.]+s", output, re.MULTILINE)
            counts = found[-1] if found else "ran no test"
            well = well and " passed" in f" {counts}"
        return Part(self.name, well, time.monotonic() - self.start, counts)


def run(*command: str | Path, **environment: str) -> bool:
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}).returncode == 0


def lint() -> Part:
    say("lint and types")
    part = Timed("lint")
    windows = [
        f"src/namedshm/{name}.py" if (ROOT / f"src/namedshm/{name}.py").exists() else f"src/namedshm/{name}"
        for name in WINDOWS_SOURCES
    ]
    compiled = sorted(path for ending in ("pyx", "pxi") for path in (ROOT / "src").rglob(f"*.{ending}"))
    checks: list[Sequence[str | Path]] = [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("mypy", "--platform", "win32", "src/namedshm/_backend/windows", *windows),
    ]
    passed = [run(sys.executable, "-m", *check) for check in checks]
    passed.append(
        run(
            sys.executable,
            "-c",
            "import sys; from cython_lint.cython_lint import main; sys.exit(main())",
            "--max-line-length",
            "132",
            *compiled,
        )
    )
    return part.done(all(passed))


def native(name: str, *arguments: str) -> Part:
    """pytest, its output shown as it comes."""
    say(f"tests: {name}")
    part = Timed(name)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    return part.done(process.returncode == 0, "".join(lines))


class Windows:
    """The suites under Wine, in a process beside the others."""

    def __init__(self) -> None:
        self.part = Timed("windows")
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with this object
        command = [sys.executable, "tools/windows.py", "test", *WINDOWS_TESTS]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.log, stderr=subprocess.STDOUT)

    @staticmethod
    def possible() -> bool:
        return bool(shutil.which("wine") and shutil.which("x86_64-w64-mingw32-gcc"))

    def finish(self) -> Part:
        status = self.process.wait()
        seconds = time.monotonic() - self.part.start
        self.log.seek(0)
        output = self.log.read()
        say("the suites that the Windows backend shares, by genuine Windows Python under Wine")
        print(output, flush=True)
        done = self.part.done(status == 0, output)
        done.seconds = seconds
        return done


def workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def everything() -> list[Part]:
    parts = [lint()]
    windows = Windows() if Windows.possible() else None
    try:
        parts.append(native("parallel", "-m", "not alone", "-n", str(workers()), "--dist", "worksteal"))
        parts.append(native("alone", "-m", "alone"))
    finally:
        if windows is not None:
            parts.append(windows.finish())
    return parts


def quick() -> list[Part]:
    return [native("quick", "-m", "not alone", "-n", str(workers()), "--dist", "worksteal", *QUICK)]


def report(parts: Sequence[Part]) -> int:
    say("parts")
    for part in parts:
        print(f"{part.name:<10} {'ok' if part.well else 'FAILED':<6} {part.seconds:7.0f} s  {part.counts}")
    print(f"{'together':<10} {'ok' if all(part.well for part in parts) else 'FAILED'}", flush=True)
    return 0 if all(part.well for part in parts) else 1


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="run-tests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a selection for the loop at the desk, in under three minutes")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, metavar="...", help="arguments for pytest")
    chosen, rest = parser.parse_known_args(arguments)
    start = Timed("install")
    install()
    installed = start.done(True)
    given = [*rest, *chosen.pytest]
    if given:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *given])
    return report([installed, *(quick() if chosen.quick else everything())])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
