#!/usr/bin/env python3
"""namedshm built and tested with a CPython that has no global interpreter lock, and with one under ThreadSanitizer.

    python tools/freethreaded.py test                  # the suites below; what is missing is made first
    python tools/freethreaded.py --python 3.14 test tests/sync -x    # another version, pytest on any path
    python tools/freethreaded.py python -c "..."       # that Python, with the package
    python tools/freethreaded.py setup                 # only make the Python (about five minutes of one core)
    python tools/freethreaded.py --tsan storm 60       # threads against each other under ThreadSanitizer, for so many seconds
    python tools/freethreaded.py --tsan test tests/unit/test_threads.py

Debian has no package of a free-threaded Python.  Each command does what the ones before it do if that has not been done: it
fetches Debian's source package of CPython, unpacks it (without Debian's changes, which are for the system's Python), builds it with
``--disable-gil``, and with ``--with-thread-sanitizer`` for ``--tsan``, installs what the tests import, then namedshm if it changed.
The exit status is that of pytest; 66 where ThreadSanitizer found a race in namedshm; 1 where importing namedshm turns the lock on;
2: not made.

Needed beforehand, as Debian packages: ``gcc make dpkg-dev libffi-dev libssl-dev zlib1g-dev``, and an apt that reaches Debian.
Neither that configuration nor any installed package is changed: apt gets lists and sources of its own.

Everything is kept below ``.freethreaded/`` (ignored by git), or below the folder named by NAMEDSHM_FREETHREADED_DIR:

    3.13/apt/     sources and lists of our own
    3.13/source/  CPython
    3.13/plain/, 3.13/tsan/   the two flavours: build/, python/ (installed, with the packages), tree/ (the package's copy), *.log
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.common import REPO, Missing, copy_package, folder_for, locked, once, package_digest, run, say, sources_list, timed

#: Which suite of Debian has the source of which Python.
SUITES = {"3.13": "trixie", "3.14": "sid"}
DEFAULT = "3.13"  # of a released Debian: what is in sid today may be gone from a mirror tomorrow
#: Each is there as a wheel for free-threaded Python, or in pure Python; pip takes the newest version that is.
TEST_PACKAGES = ("pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6", "numpy>=1.26", "pyarrow>=22", "click>=8.1", "rich>=13")
BUILD_PACKAGES = ("setuptools>=77", "cython>=3.1")
#: Not tests/unit/test_endurance.py and its like: free-threaded CPython frees memory late, and keeps more of it.
SUITES_RUN = ("unit", "conformance", "sync", "records", "drop_in", "arrays")
DEFAULT_TESTS = (*(f"tests/{suite}" for suite in SUITES_RUN), "-q", "--deselect=tests/unit/test_endurance.py")
#: Headers the interpreter's modules need: those it would otherwise be built without, silently.
HEADERS = {"ffi.h": "libffi-dev", "openssl/ssl.h": "libssl-dev", "zlib.h": "zlib1g-dev"}

#: gcc copies small blocks by instructions that ThreadSanitizer does not see, unless told to call memcpy.
TSAN_CFLAGS = "-O1 -g -fno-omit-frame-pointer -fno-builtin -fsanitize=thread -Wno-tsan"
TSAN_FOUND = 66

#: The folder everything is kept in.
HOME = folder_for("freethreaded")


# ------------------------------------------------------------------------------------------------------------ CPython's source
def get_source(version: str) -> Path:
    source = HOME / version / "source"
    if source.exists():
        return source
    for program in ("apt-get", "dpkg-source"):
        if not shutil.which(program):
            raise Missing(f"{program} is not installed: apt-get install dpkg-dev")
    apt, package = HOME / version / "apt", f"python{version}"
    for folder in ("lists/partial", "cache/archives/partial", "package"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "debian.sources").write_text(sources_list(SUITES[version], "deb-src"))
    settings = {
        "Dir::Etc::sourcelist": apt / "debian.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    with timed(f"fetching the source of {package} from Debian {SUITES[version]}"):
        run(["apt-get", *options, "-q", "update"])
        run(["apt-get", *options, "-q", "source", "--download-only", package], cwd=apt / "package")
        (description,) = (apt / "package").glob("*.dsc")
        part = HOME / version / "source.part"
        shutil.rmtree(part, ignore_errors=True)
        # apt has compared the checksums with the signed lists; the maintainers' own keys are not on this machine
        run(["dpkg-source", "--no-check", "--no-copy", "--skip-patches", "-x", description, part])
        part.rename(source)  # last, and in one step
    return source


# ------------------------------------------------------------------------------------------------------------ a flavour
def without_random_layout() -> list[str]:
    """libtsan of gcc before 14 dies where the kernel places mappings at random over more bits than it knows of."""
    command = ["setarch", "-R"]
    with contextlib.suppress(OSError):
        if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
            return command
    return []


@dataclass
class Flavour:
    """One build of CPython, and namedshm for it."""

    version: str
    tsan: bool

    @property
    def folder(self) -> Path:
        return HOME / self.version / ("tsan" if self.tsan else "plain")

    @property
    def prefix(self) -> Path:
        return self.folder / "python"

    @property
    def python(self) -> Path:
        (program,) = (path for path in (self.prefix / "bin").glob("python3.*t") if "-" not in path.name)
        return program

    @property
    def site(self) -> Path:
        return self.prefix / "lib" / self.python.name / "site-packages"

    def command(self, *arguments: str | Path) -> list[str | Path]:
        return [*(without_random_layout() if self.tsan else ()), self.python, *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """For programs that use the package.  No module may turn the lock on: what a test imports decides nothing here."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TSAN_"))}
        if self.tsan:
            # CPython's own list of what it knows to race in itself; nothing of ours
            suppressions = HOME / self.version / "source" / "Tools" / "tsan" / "suppressions_free_threading.txt"
            own["TSAN_OPTIONS"] = f"suppressions={suppressions} history_size=7 exitcode=0 log_path={self.folder / 'report'}"
        return {**own, "PYTHON_GIL": "0", "PYTHONDONTWRITEBYTECODE": "1", **more}

    # -------------------------------------------------------------------------------------------- the interpreter
    def make_python(self) -> None:
        stamp, packages = self.folder / "packages", "\n".join((*BUILD_PACKAGES, *TEST_PACKAGES))
        if stamp.exists() and stamp.read_text() == packages:
            return
        if self.tsan:
            Flavour(self.version, tsan=False).make_python()
        for program in ("gcc", "make"):
            if not shutil.which(program):
                raise Missing(f"{program} is not installed: apt-get install {program}")
        for header, package in HEADERS.items():
            probe = subprocess.run(["gcc", "-E", "-"], input=f"#include <{header}>\n", capture_output=True, text=True, check=False)
            if probe.returncode:
                raise Missing(f"{header} is missing: apt-get install {package}")
        source = get_source(self.version)
        build, prefix = self.folder / "build", self.prefix
        nice = ["nice", *(without_random_layout() if self.tsan else ())]
        quiet = {**os.environ, "TSAN_OPTIONS": "report_bugs=0"}  # building runs the interpreter: not what is to be tested
        if not (prefix / "installed").exists():
            build.mkdir(parents=True, exist_ok=True)
            with timed("configuring CPython"):
                choice = ["--disable-gil", "--with-ensurepip=no", f"--prefix={prefix}"]
                choice += ["--with-thread-sanitizer"] if self.tsan else []
                run([*nice, source / "configure", "-q", *choice], self.folder / "configure.log", cwd=build, env=quiet)
            with timed("building CPython"):
                run([*nice, "make", "-s", "-j2"], self.folder / "make.log", cwd=build, env=quiet)
            with timed("installing CPython"):  # but not compiling the library three times over, which takes long
                run(
                    [*nice, "make", "-s", "altinstall", "COMPILEALL_OPTS=--help"], self.folder / "install.log", cwd=build, env=quiet
                )
            (prefix / "installed").touch()
        with timed("installing what the tests import"):
            if self.tsan:  # the other Python's are the same, and it gets them in a tenth of the time
                unwanted = shutil.ignore_patterns("namedshm*", "__pycache__")
                shutil.copytree(Flavour(self.version, tsan=False).site, self.site, dirs_exist_ok=True, ignore=unwanted)
            else:
                run([*nice, self.python, "-m", "ensurepip"], env=quiet)
                pip = [*nice, self.python, "-m", "pip", "install", "-q", "--no-compile", "--only-binary", ":all:"]
                run([*pip, *BUILD_PACKAGES, *TEST_PACKAGES], env=quiet)
            stamp.write_text(packages)

    # -------------------------------------------------------------------------------------------- the package
    def install(self) -> None:
        """Build namedshm from a copy, for other Pythons' builds stand in the checkout, and install it."""
        stamp, digest = self.folder / "package.stamp", package_digest()
        if not once(stamp, digest):
            return
        tree = self.folder / "tree"
        copy_package(tree)
        environment = dict(os.environ)
        arguments = ["-m", "pip", "install", "-q", "--force-reinstall", "--no-deps", "--no-build-isolation"]
        if self.tsan:  # compiled by the other Python, which is quicker and the same to extensions
            environment |= {"NAMEDSHM_CFLAGS": TSAN_CFLAGS, "NAMEDSHM_LDFLAGS": "-fsanitize=thread"}
            for old in self.site.glob("namedshm*"):
                shutil.rmtree(old)
            arguments += ["--target", str(self.site)]
        with timed("building namedshm"):
            run(
                ["nice", Flavour(self.version, tsan=False).python, *arguments, "."],
                self.folder / "namedshm.log",
                cwd=tree,
                env=environment,
            )
        stamp.write_text(digest)

    def declares(self) -> bool:
        """Does importing the package leave the lock off, without being told to?"""
        code = "import namedshm, namedshm.copying, sys; print(sys._is_gil_enabled())"
        environment = self.environment()
        del environment["PYTHON_GIL"]
        command = self.command("-c", code)
        seen = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)
        if seen.stdout.strip() == "False":
            return True
        say("importing namedshm turns the global interpreter lock on:\n" + seen.stderr.strip())
        return False

    # -------------------------------------------------------------------------------------------- what ThreadSanitizer said
    def forget_reports(self) -> None:
        for file in self.folder.glob("report.*"):
            file.unlink()

    def reports(self) -> tuple[list[str], int, int]:
        """The races that namedshm has a part in; how many were about the bytes of views, and how many CPython has with itself.

        What threads do to the bytes of a view at once is theirs to agree on: the storm's threads do not.  Those are accesses to a
        segment's memory, and by nobody who knows what is in a registry or a synchronisation object.
        """
        ours: dict[str, str] = {}
        bytes_of_views, others = set(), set()
        for file in sorted(self.folder.glob("report.*")):
            for report in file.read_text(errors="replace").split("==================\n"):
                if "WARNING: ThreadSanitizer" not in report:
                    continue
                # the two accesses; not who made the threads and the memory
                accesses = re.split(r"\n  (?:Location|Thread|Mutex|As if) ", report)[0]
                summary = re.search(r"^SUMMARY: .*$", report, re.M)
                key = summary[0] if summary else accesses
                if "(SYSV" in report and not re.search(r"namedshm(_sync)?\.h|_backend", accesses):
                    bytes_of_views.add(key)
                elif re.search(r"\bsrc/namedshm/|namedshm(_sync)?\.h", accesses):
                    ours.setdefault(key, report)
                else:
                    others.add(key)
        return list(ours.values()), len(bytes_of_views), len(others)


def verdict(flavour: Flavour, status: int) -> int:
    """The exit status, with what ThreadSanitizer has to say."""
    if flavour.tsan:
        ours, bytes_of_views, others = flavour.reports()
        for report in ours:
            print(report)
        say(f"ThreadSanitizer: {len(ours)} races of namedshm, {bytes_of_views} of views' bytes, {others} of CPython with itself")
        say(f"reports: {flavour.folder}/report.*")
        if ours:
            return status or TSAN_FOUND
    return status


# ------------------------------------------------------------------------------------------------------------ command line
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", choices=list(SUITES), default=DEFAULT, help=f"which version (default {DEFAULT})")
    parser.add_argument("--tsan", action="store_true", help="CPython and the package under ThreadSanitizer")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="make the Python")
    commands.add_parser("build", help="install namedshm into it")
    commands.add_parser("python", help="run it; everything after the word is Python's")
    commands.add_parser("test", help="run pytest with it; everything after the word is pytest's")
    commands.add_parser("storm", help="run tests.unit.storm with it; after the word: SECONDS [THREADS]")
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = next((i + 1 for i, word in enumerate(given) if word in ("python", "test", "storm")), len(given))
    chosen = parser.parse_args(given[:cut])
    passed_on = given[cut:]
    flavour = Flavour(chosen.python, chosen.tsan)
    try:
        with locked(flavour.folder.parent / "lock"):
            flavour.make_python()
            if chosen.command != "setup":
                flavour.install()
    except Missing as error:
        say(str(error))
        return 2
    if chosen.command in ("setup", "build"):
        return 0
    if chosen.command == "python":
        return subprocess.run(flavour.command(*passed_on), env=flavour.environment(), check=False).returncode

    declared = flavour.declares()
    flavour.forget_reports()
    if chosen.command == "storm":
        program = ("-m", "tests.unit.storm", *(passed_on or ["60"]))
    else:
        program = ("-m", "pytest", "-p", "no:cacheprovider", *(passed_on or DEFAULT_TESTS))
    with timed(" ".join(["pytest" if chosen.command == "test" else "storm", *passed_on])):
        status = subprocess.run(flavour.command(*program), env=flavour.environment(), cwd=REPO, check=False).returncode
    return verdict(flavour, status) or (0 if declared else 1)


if __name__ == "__main__":
    sys.exit(main())
