#!/usr/bin/env python3
"""The test command: install what is missing, run lint, types and all tests, and say how long each part took.

    ./run-tests                  everything: what continuous integration runs (40 minutes of two cores)
    ./run-tests --quick [...]    the loop at the desk, minutes of two cores; more arguments go to pytest
    ./run-tests tests/unit -x    pytest with these arguments, and nothing else

--quick runs tests/unit, tests/conformance, tests/sync, tests/drop_in and tests/docs, natively and in parallel.  It leaves out:
lint and types, those of the documentation too; Wine; the tests that must run alone; the packaging of tests/unit, which compiles;
and the folders
arrays, arrow, backends, cli, copying, crash, crash_queue, crash_sync, crash_topic, fuzz, pools, queues, records, rights, topics
and wine of tests.

Nothing is installed twice: the tools again when pyproject.toml names others, the package when its sources have changed or what
is installed is not what this command put there.

The parts:

    install     Debian packages (as root), the tools, the package
    lint        ruff, cython-lint
    types       mypy, for both systems
    parallel    tests that may run beside others, on the cores there are (pytest-xdist); each worker has namespaces of its own
    windows     the suites that the Windows backend shares, by genuine Windows Python under Wine: beside the three above, and
                printed when it is done
    newest      a selection with the newest Python that Debian has, and README.md block by block by a new user, both in a Debian
                made for it (tools/pythons.py): when Wine has done, beside what is left of the parts above; only with CI=true,
                and where that can be made
    alone       tests that may not (marked so; tests/conftest.py says why), one after the other, when those have ended too
    left over   nothing in the machine's table of segments and in /dev/shm that was not there before; only with CI=true or
                NAMEDSHM_ALONE=1, because others may use both meanwhile

Exit status: 0 if every part is well, and each that runs tests ran some; 1 otherwise.  With CI=true a part that cannot run here
is not well.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
STAMPS = Path(sys.prefix) / "namedshm-installed.json"
CI = os.environ.get("CI") == "true"
ALONE = CI or os.environ.get("NAMEDSHM_ALONE", "") not in ("", "0")  # nobody else makes segments here meanwhile
TORCH = "torch==2.13.0"  # a large download for a few tests: only where everything has to be tested

QUICK = (
    *("tests/unit", "tests/conformance", "tests/sync", "tests/drop_in", "tests/docs"),
    *("--ignore=tests/unit/test_packaging.py", "--ignore=tests/docs/test_types.py"),
)
WINDOWS_SOURCES = (
    "sync",
    "aio",
    "section",
    "copying",
    "win32",
    "names",
    "errors",
    "inspection",
    "shared_memory",
    "managers",
    "queue",
    "object_queue",
)
WINDOWS_TESTS = (
    *(f"tests/{suite}" for suite in ["conformance", "sync", "copying", "drop_in", "records", "arrow", "arrays", "pools", "queues"]),
    *(f"tests/unit/test_{name}.py" for name in ("closing", "seconds", "failing", "signatures", "unbound")),
)
#: What tools/first_steps.py says in the end.
FIRST_STEPS = re.compile(r"^[1-9]\d* passed, 0 failed$", re.MULTILINE)
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
def install() -> Part:
    part = Timed("install")
    debian_packages()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    build = project["build-system"]["requires"]
    groups = project["dependency-groups"]
    once("tools", digest(json.dumps([groups, build], sort_keys=True).encode()), lambda: tools(build))
    if CI or os.environ.get("NAMEDSHM_TEST_TORCH") == "1":
        once("torch", TORCH, lambda: pip("install", TORCH))
    once("package", digest(*sources(project)), package, installed)
    return part.done(well=True)


def once(what: str, inputs: str, make: Callable[[], None], made: Callable[[], str] = str) -> None:
    """Make it unless it was made from these inputs, and ``made()``, which tells what is there, says the same as then.

    The inputs are those before the making: whoever changes a source meanwhile has it made again.
    """
    stamps = json.loads(STAMPS.read_text()) if STAMPS.exists() else {}
    if stamps.get(what) == [inputs, made()]:
        return
    STAMPS.write_text(json.dumps({**stamps, what: None}))  # a failure half-way is no success
    make()
    STAMPS.write_text(json.dumps({**stamps, what: [inputs, made()]}))


def digest(*parts: bytes) -> str:
    total = hashlib.sha256(sys.version.encode())
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def sources(project: dict[str, Any]) -> Iterable[bytes]:
    """All that the installed package is made of, but for the README in its metadata."""
    yield json.dumps([project["build-system"], project["project"], project["tool"].get("setuptools")], sort_keys=True).encode()
    folders = (path for folder in ("src/namedshm", "include") for path in sorted((ROOT / folder).rglob("*")))
    for path in (ROOT / "setup.py", ROOT / "MANIFEST.in", *folders):
        if path.is_file() and path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".pyi", ".h", ".in", ".typed"):
            yield path.relative_to(ROOT).as_posix().encode()
            yield path.read_bytes()
    for name in ("NAMEDSHM_CFLAGS", "NAMEDSHM_LDFLAGS", "CC"):
        yield os.environ.get(name, "").encode()


def installed() -> str:
    """The list of installed files with their hashes: another one if somebody installed the package by hand."""
    try:
        return digest((distribution("namedshm").read_text("RECORD") or "").encode())
    except PackageNotFoundError:
        return ""


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments[:1], "-q", *arguments[1:]], cwd=ROOT, check=True)


def tools(build: Sequence[str]) -> None:
    say("installing the test tools into .venv")
    pip("install", "--upgrade", "pip>=25.1")  # the first that knows dependency groups
    pip("install", "--group", "test", "--group", "lint", *build)


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
        and subprocess.run([sys.executable, "-c", "import test._test_multiprocessing"], stderr=subprocess.DEVNULL).returncode
    ):
        missing.append(f"libpython3.{sys.version_info[1]}-testsuite")
    if not missing or os.geteuid() or not shutil.which("apt-get"):
        return
    say(f"installing {' '.join(missing)}")
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]  # seconds: another installation may be under way
    subprocess.run([*apt, "update"], check=True)
    command = [*apt, "install", "-y", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


# ------------------------------------------------------------------------------------------------------------ parts
@dataclass
class Part:
    name: str
    well: bool
    seconds: float = 0.0
    told: str = ""  # how many tests passed, failed, ...; or why it did not run
    ran: bool = True

    @property
    def outcome(self) -> str:
        return "FAILED" if not self.well else "ok" if self.ran else "skipped"


class Timed:
    """A part under way."""

    def __init__(self, name: str) -> None:
        self.name, self.start = name, time.monotonic()

    def done(self, *, well: bool, end: float | None = None, told: str = "") -> Part:
        return Part(self.name, well, (end or time.monotonic()) - self.start, told)

    def tested(self, status: int, output: str, end: float | None = None) -> Part:
        """``output``: pytest's.  The part is well only if it ran tests."""
        closing = re.findall(r"^=+ (.+) in [\d.]+s(?: \([\d:]+\))? =+$", output, re.MULTILINE)
        told = closing[-1] if closing else "pytest did not end as it should"
        return self.done(well=status == 0 and re.search(r"\b\d+ passed", told) is not None, end=end, told=told)


def unable(name: str, reason: str) -> Part:
    return Part(name, well=not CI, told=reason, ran=False)


def checked(name: str, *checks: Sequence[str | Path]) -> Part:
    """Python modules and programs that only say whether all is well; each runs, also when one before it complained."""
    say(name)
    part = Timed(name)
    statuses = [subprocess.run([sys.executable, *check], cwd=ROOT).returncode for check in checks]
    return part.done(well=not any(statuses))


def lint() -> Part:
    compiled = sorted(path for ending in ("pyx", "pxi") for path in (ROOT / "src").rglob(f"*.{ending}"))
    cython_lint = "import sys; from cython_lint.cython_lint import main; sys.exit(main())"  # it cannot be run by -m
    return checked(
        "lint",
        ("-m", "ruff", "check", "."),
        ("-m", "ruff", "format", "--check", "."),
        ("-c", cython_lint, "--max-line-length", "132", *compiled),
    )


def types() -> Part:
    package = Path("src/namedshm")
    names = (package / name for name in WINDOWS_SOURCES)
    shared = [name if (ROOT / name).is_dir() else name.with_suffix(".py") for name in names]
    return checked("types", ("-m", "mypy"), ("-m", "mypy", "--platform", "win32", package / "_backend/windows", *shared))


def native(name: str, *arguments: str) -> Part:
    """pytest, its output shown as it comes."""
    say(f"tests: {name}")
    part = Timed(name)
    lines = []
    command = [sys.executable, "-m", "pytest", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    return part.tested(process.returncode, "".join(lines))


def in_parallel(name: str, *arguments: str) -> Part:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return native(name, "-m", "not alone", "-n", str(cores), "--dist", "worksteal", *arguments)


class Beside:
    """A command that runs beside other parts, from the end of another one on if there is one to wait for, and is printed when it
    is done; left early, it is ended, or never begins."""

    def __init__(self, name: str, title: str, *command: str | Path, after: Beside | None = None) -> None:
        self._part, self._title, self._after = Timed(name), title, after
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed by __exit__
        self._command = [sys.executable, *command]
        self._process: subprocess.Popen[bytes] | None = None
        self._left = False
        self._starting = threading.Lock()  # it is not started once it was left
        self._end = 0.0
        self._running = threading.Thread(target=self._run)  # so that the time is its own, not that of whoever asks
        self._running.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._starting:
            self._left = True
            if self._process:
                self._process.terminate()  # does nothing to one that has been waited for
        self._running.join()
        self._log.close()

    def _run(self) -> None:
        if self._after:
            self._after._running.join()
            self._part = Timed(self._part.name)
        with self._starting:
            if self._left:
                return
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
            )
        self._process.wait()
        self._end = time.monotonic()

    def finish(self) -> tuple[int, str]:
        """Its status, and what it printed."""
        self._running.join()
        assert self._process  # nobody has left it
        self._log.seek(0)
        output = self._log.read()
        say(self._title)
        print(output, flush=True)
        return self._process.returncode, output

    def tested(self) -> Part:
        status, output = self.finish()
        return self._part.tested(status, output, self._end)


def windows() -> Beside | None:
    if not (shutil.which("wine") and shutil.which("x86_64-w64-mingw32-gcc")):
        return None
    title = "the suites that the Windows backend shares, by genuine Windows Python under Wine"
    return Beside("windows", title, "tools/windows.py", "test", *WINDOWS_TESTS)


class Newest(Beside):
    """The newest Python: nothing to complain of where no Debian can be made."""

    CANNOT = 2  # tools/pythons.py

    def __init__(self, after: Beside | None = None) -> None:
        super().__init__("newest", "the newest Python, and README.md by a new user", "tools/pythons.py", "newest", after=after)

    def tested(self) -> Part:
        status, output = self.finish()
        if status == self.CANNOT:
            reason = (output.strip() or "?").splitlines()[-1]
            return Part("newest", well=True, told=f"no Debian could be made for it: {reason}", ran=False)
        part = self._part.tested(status, output, self._end)
        return replace(part, well=part.well and FIRST_STEPS.search(output) is not None)


def shared_things() -> set[str]:
    """Every System V segment of the machine, and every file in /dev/shm."""
    table, files = Path("/proc/sysvipc/shm"), Path("/dev/shm")
    segments = [line.split()[1] for line in table.read_text("ascii").splitlines()[1:]] if table.exists() else []
    return {f"segment {number}" for number in segments} | {str(file) for file in files.glob("*")}


def left_over(before: set[str]) -> Part:
    if not ALONE:
        return Part("left over", well=True, told="others may be at work: NAMEDSHM_ALONE=1 says that nobody is", ran=False)
    part = Timed("left over")
    patience = time.monotonic() + 10  # killed processes may still be on their way
    while (left := shared_things() - before) and time.monotonic() < patience:
        time.sleep(0.1)
    return part.done(well=not left, told=", ".join(sorted(left)))


def everything() -> Iterator[Part]:
    before = shared_things()
    with windows() or nullcontext() as wine, Newest(after=wine) if CI else nullcontext() as newest:
        yield lint()
        yield types()
        yield in_parallel("parallel")
        yield wine.tested() if wine else unable("windows", "Wine or mingw-w64 is not installed")
        yield newest.tested() if newest else Part("newest", well=True, told="only in continuous integration", ran=False)
    yield native("alone", "-m", "alone")
    yield left_over(before)


def report(parts: Sequence[Part]) -> int:
    say("parts")
    for part in parts:
        print(f"{part.name:<10} {part.outcome:<8} {part.seconds:6.0f} s  {part.told}".rstrip())
    well = all(part.well for part in parts)
    print(f"{'together':<10} {'ok' if well else 'FAILED'}", flush=True)
    return 0 if well else 1


def main(arguments: Sequence[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print((__doc__ or "").strip())
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that Wine is ended
    # Some tools start others by name (cython-lint does), and nobody need have activated the environment.
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    given = [argument for argument in arguments if argument != "--quick"]
    quick = len(given) < len(arguments)
    parts = [install()]
    if given and not quick:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *given])
    parts += [in_parallel("quick", *QUICK, *given)] if quick else everything()
    return report(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
