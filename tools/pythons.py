#!/usr/bin/env python3
"""namedshm with other Pythons, on other Debians, and as somebody meets it for the first time.

    python tools/pythons.py test --suite sid --python 3.14              # the suites below, with Debian's Python 3.14
    python tools/pythons.py test --suite sid --python 3.15 tests/sync   # pytest on any path
    python tools/pythons.py test --python ~/bin/python3.12 tests/unit   # a Python of this machine
    python tools/pythons.py run-tests --suite trixie                    # all of ./run-tests, in a Debian 13
    python tools/pythons.py first-steps                                 # README.md, block by block, by a new user
    python tools/pythons.py newest                                      # both in short, with the newest Python: what CI runs
    python tools/pythons.py python --suite sid --python 3.14 -c "..."   # that Python, with the package
    python tools/pythons.py shell --suite trixie                        # look around

A Debian is made by debootstrap (a minute and a half, 220 MB) and entered in mount, PID and IPC namespaces of its own:
its segments, its /dev/shm and its processes are apart from this machine's, nothing stays mounted, and with the command each of its
processes ends.  The kernel is this machine's.  What is inside does not touch what is outside: the checkout is copied.

Each command makes first what is missing.  ``test`` without paths runs tests/unit, tests/conformance, tests/sync and tests/drop_in.
Packages that the tests can do without, and that have no wheel for a new Python yet, are left out and named.

Needed: root, ``debootstrap`` (installed where apt is), and an apt and a pip that reach Debian and the package index.  How they do
is taken over from this machine each time.  Everything is kept below ``.pythons/`` (ignored by git), or below the folder named by
NAMEDSHM_PYTHONS_DIR:

    SUITE/bare/     as debootstrap makes it
    SUITE/tests/    a copy with compilers and Pythons; srv/namedshm is the checkout, srv/python3.14 an environment of that Python
    SUITE/steps/    a copy for the new user, made anew each time
    here/NAME/      the environment of a Python of this machine

Exit status: that of the command; 1 where namedshm does not build; 2 where something needed is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.common import (
    REPO,
    Missing,
    copy_checkout,
    copy_package,
    folder_for,
    locked,
    mirror,
    once,
    package_digest,
    paths_in,
    pip_settings,
    run,
    say,
    sources_list,
    timed,
)

HOME = folder_for("pythons")
DEFAULT_SUITE, NEWEST_SUITE = "trixie", "sid"
DEFAULT_TESTS = ("tests/unit", "tests/conformance", "tests/sync", "tests/drop_in")
#: Where another version of Python shows first: what is compiled for it, its multiprocessing, asyncio and the interpreter's end.
#: One after the other, for other parts of ./run-tests go on beside.
SELECTION = (
    *("tests/conformance", "tests/drop_in", "tests/sync/test_asyncio.py", "tests/sync/test_mutex.py", "tests/sync/test_several.py"),
    *(f"tests/unit/test_{name}.py" for name in ("closing", "failing", "import", "mapping", "subinterpreters", "threads")),
    *("-m", "not alone", "--durations=5"),
)
#: Debian packages for building the package and running its tests, and those of one Python.
DEBIAN_TOOLS = ("ca-certificates", "gcc", "g++", "libc6-dev", "procps", "util-linux", "strace")
DEBIAN_PYTHON = ("python{}", "python{}-venv", "python{}-dev", "libpython{}-testsuite")
#: What `./run-tests` needs there beforehand, as its head says; git, because tests ask what is in the checkout.
DEBIAN_RUN_TESTS = ("python3", "python3-venv", "python3-dev", "gcc", "git", "ca-certificates", "procps", "util-linux")
#: Distributions the tests cannot do without, and those without which a few are skipped; pyproject.toml says which versions.
NEEDED = ("setuptools", "cython", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
HELPFUL = ("numpy", "click", "rich", "pyarrow", "joblib", "gevent")
#: Variables that are handed on, beside pip's: which network, and what is asked of the tests.
HANDED_ON = re.compile(r"CI|TERM|NAMEDSHM_(?!\w*_DIR$)\w+|\w+_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|OPENBLAS_\w+", re.IGNORECASE)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NEWCOMER = "newcomer"
#: What the tests compare with, if it is there: beside the checkout, also inside.
REFERENCE = REPO.parent / "shared"

#: Run as the first process of new namespaces: what is mounted here is nobody else's, and ends with it.  $1: the system's folder;
#: then "FROM" and "TO" of what is shown inside, one after the other, up to "--"; then the command.
ENTER = r"""
set -e
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"; ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"; ln -s /proc/self/fd/1 "$root/dev/stdout"; ln -s /proc/self/fd/2 "$root/dev/stderr"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; [ -e "$root$2" ] || touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    shift 2
done
shift
cd "$root"
pivot_root . mnt # and not chroot, for the kernel makes no user namespaces for who was only moved
umount -l /mnt
set +e
"$@"
exit $?
"""


# ------------------------------------------------------------------------------------------------------------ a Debian
@dataclass(frozen=True)
class System:
    """A Debian in a folder."""

    suite: str
    name: str  # bare, tests, steps

    @property
    def folder(self) -> Path:
        return HOME / self.suite

    @property
    def root(self) -> Path:
        return self.folder / self.name

    def make(self) -> None:
        """As debootstrap leaves it, or a copy of that."""
        if self.root.exists():
            return
        part = self.folder / f"{self.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        if self.name == "bare":
            self._bootstrap(part)
        else:
            bare = System(self.suite, "bare")
            bare.make()
            run(["cp", "-a", bare.root, part])
        part.rename(self.root)  # last, and in one step

    def _bootstrap(self, into: Path) -> None:
        install_debootstrap()
        place = mirror()
        with timed(f"making a bare Debian {self.suite}"):
            command = ["debootstrap", "--variant=minbase", f"--keyring={place.key}", self.suite, into, place.uri]
            run(["nice", *command], self.folder / "debootstrap.log")
        (into / "etc/apt/sources.list").unlink(missing_ok=True)
        (into / "etc/apt/sources.list.d/debian.sources").write_text(sources_list(self.suite))
        (into / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # packages start no services
        (into / "usr/sbin/policy-rc.d").chmod(0o755)

    def _take_over(self) -> None:
        """How this machine's apt reaches Debian; asked each time, for it may have changed."""
        settings = run(["apt-config", "dump", "Acquire"])
        (self.root / "etc/apt/apt.conf.d/90taken-over").write_text(settings)
        for file in Path("/etc/apt/auth.conf.d").glob("*"):
            shutil.copy(file, self.root / "etc/apt/auth.conf.d")

    def install(self, *packages: str) -> None:
        """Debian packages; those that were installed before are not asked for again."""
        record = self.folder / f"{self.name}.packages"
        there = set(record.read_text().split()) if record.exists() else set()
        wanted = [package for package in packages if package not in there]
        if not wanted:
            return
        self._take_over()
        with timed(f"installing into {self.suite}: {' '.join(wanted)}"):
            quiet = ("-q", "-y", "-o", "Dpkg::Use-Pty=0", "-o", "APT::Sandbox::User=root")
            environment = {"DEBIAN_FRONTEND": "noninteractive"}
            self.checked("apt-get", *quiet, "update", environment=environment)
            self.checked("apt-get", *quiet, "install", "--no-install-recommends", *wanted, environment=environment)
        record.write_text("\n".join(sorted(there | set(wanted))))

    def newest_python(self) -> str:
        """The version: "3.15"."""
        bare = System(self.suite, "bare")
        bare.make()
        if not list((bare.root / "var/lib/apt/lists").glob("*_Packages*")):
            bare._take_over()
            bare.checked("apt-get", "-q", "-o", "APT::Sandbox::User=root", "update")
        names = bare.checked("apt-cache", "pkgnames", "python3.").split()
        versions = [int(match[1]) for name in names if (match := re.fullmatch(r"python3\.(\d+)-venv", name))]
        if not versions:
            raise Missing(f"Debian {self.suite} has no package of a Python with venv")
        return f"3.{max(versions)}"

    # -------------------------------------------------------------------------------------------- inside
    def command(
        self, *arguments: str | Path, cwd: str = "/", user: str = "root", environment: Mapping[str, str] | None = None
    ) -> list[str | Path]:
        """``unshare ...``: what runs a command inside."""
        # not for apt: what is mounted over a file of a package cannot be replaced by it
        pip = {} if arguments[0] == "apt-get" else pip_settings()
        shown = [Path(name) for name in ("/etc/resolv.conf", "/etc/hosts") if Path(name).exists()] + paths_in(pip)
        handed_on = {key: value for key, value in os.environ.items() if HANDED_ON.fullmatch(key)}
        home = "/root" if user == "root" else f"/home/{user}"
        inside = {
            "PATH": PATH,
            "HOME": home,
            "USER": user,
            "LANG": "C.UTF-8",
            **handed_on,
            **pip,
            **(environment or {}),
        }
        variables = [f"{key}={value}" for key, value in inside.items()]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs"]
        namespaces = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child=KILL"]
        doors = [part for path in shown for part in (path, path)]
        if REFERENCE.is_dir():
            doors += [REFERENCE, "/srv/shared"]
        enter = [*namespaces, "sh", "-c", ENTER, "enter", self.root, *doors, "--", "env", "-i", *variables, *become]
        return [*enter, "sh", "-c", 'cd "$0" && exec "$@"', cwd, *arguments]

    def checked(self, *arguments: str | Path, **how: Any) -> str:
        """Run to the end, with success; returns what it printed.  ``how``: see command()."""
        return run(self.command(*arguments, **how))

    def shown(self, *arguments: str | Path, **how: Any) -> int:
        """Run to the end, its output on this terminal; returns its status."""
        return subprocess.run(self.command(*arguments, **how), check=False).returncode


def install_debootstrap() -> None:
    if shutil.which("debootstrap"):
        return
    say("installing debootstrap")
    run(["apt-get", "update", "-qq"])
    options = ["-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "install", *options, "debootstrap", "debian-archive-keyring"], env=quiet)


def need_root() -> None:
    probe = ["unshare", "--mount", "--pid", "--ipc", "--fork", "true"]
    if os.geteuid() or not shutil.which(probe[0]) or subprocess.run(probe, capture_output=True, check=False).returncode:
        raise Missing("this needs root, and the right to make namespaces and to mount")


# ------------------------------------------------------------------------------------------------------------ a Python
def requirements(names: Sequence[str]) -> list[str]:
    """As pyproject.toml has them."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
    listed = project["build-system"]["requires"] + [
        line for group in project["dependency-groups"].values() for line in group if isinstance(line, str)
    ]
    known = {re.match(r"[\w-]+", line)[0].lower().replace("_", "-"): line for line in listed}  # type: ignore[index]
    return [known[name] for name in names]


class DoesNotBuild(Exception):
    """namedshm itself; the text is what its build printed."""


class Environment:
    """An environment (venv) of one Python, with the package and what its tests import.

    ``folder`` is where the environment and the copy of the checkout are on this machine, ``inside`` how the Python sees that.
    """

    def __init__(self, python: str, folder: Path, inside: PurePosixPath, system: System | None) -> None:
        self.system = system
        name = f"python{python}" if system else "environment"
        self.base, self.folder, self.inside = python, folder, inside
        self.venv, self.tree = inside / name, inside / "namedshm"
        self.outside = folder / name

    @classmethod
    def of_debian(cls, suite: str, version: str) -> Environment:
        system = System(suite, "tests")
        return cls(version, system.root / "srv", PurePosixPath("/srv"), system)

    @classmethod
    def of_this_machine(cls, program: Path) -> Environment:
        version = run([program, "-c", "import sys; print(sys.implementation.cache_tag + sys.abiflags)"]).strip()
        folder = HOME / "here" / version
        return cls(str(program), folder, PurePosixPath(folder), None)

    @property
    def python(self) -> PurePosixPath:
        return self.venv / "bin" / "python"

    def call(self, *arguments: str | Path, shown: bool = False, **environment: str) -> int:
        """Run in the copy of the checkout; what it prints is shown, or kept for the message of a failure."""
        own = {"PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment = {**own, "NAMEDSHM_REQUIRE_EXTRAS": "0", **environment}  # what has no wheel yet is not there, and that is told
        if self.system:  # its own programs first, as where it is activated: tests start ``python3``
            environment["PATH"] = f"{self.venv}/bin:{PATH}"
            command, more = self.system.command(*arguments, cwd=str(self.tree), environment=environment), dict(os.environ)
            where = None
        else:
            own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
            command, more, where = list(arguments), {**own, **environment}, self.folder / "namedshm"
        if shown:
            return subprocess.run(command, env=more, cwd=where, check=False).returncode
        run(command, self.folder / "log", env=more, cwd=where)
        return 0

    def make(self) -> None:
        if self.system:
            self.system.make()
            self.system.install(*DEBIAN_TOOLS, *(package.format(self.base) for package in DEBIAN_PYTHON))
        copy_checkout(self.folder / "namedshm")
        needed, helpful = requirements(NEEDED), requirements(HELPFUL)
        stamp, wanted = self.outside / "packages", "\n".join([*needed, *helpful])
        if once(stamp, wanted):
            shutil.rmtree(self.outside, ignore_errors=True)
            with timed(f"installing what the tests import, for {self.base}"):
                self.call(f"python{self.base}" if self.system else self.base, "-m", "venv", str(self.venv))
                self._pip("--upgrade", "pip")
                self._pip(*needed)
                self._helpful(helpful)
            stamp.write_text(wanted)
        self._package()

    def _pip(self, *arguments: str) -> None:
        self.call("nice", str(self.python), "-m", "pip", "install", "-q", *arguments)

    def _helpful(self, wanted: Sequence[str]) -> None:
        binary = ("--only-binary", ":all:")
        try:
            self._pip(*binary, *wanted)
        except Missing:
            for one in wanted:
                try:
                    self._pip(*binary, one)
                except Missing:
                    say(f"left out, for there is no wheel of it for this Python: {one}")

    def _package(self) -> None:
        stamp, digest = self.outside / "package", package_digest()
        if not once(stamp, digest):
            return
        with timed(f"building namedshm for {self.base}"):
            copy_package(self.folder / "package")
            own = ("--force-reinstall", "--no-deps", "--no-build-isolation", "--no-index")
            try:
                self._pip(*own, str(self.inside / "package"))
            except Missing as error:
                raise DoesNotBuild(str(error)) from None
        stamp.write_text(digest)

    def test(self, arguments: Sequence[str]) -> int:
        """pytest; without arguments the default suites: what may run beside others on all cores, then the rest."""
        pytest = (str(self.python), "-m", "pytest", "-p", "no:cacheprovider")
        if arguments:
            return self.call(*pytest, *arguments, shown=True)
        cores = len(os.sched_getaffinity(0))
        beside = self.call(*pytest, *DEFAULT_TESTS, "-q", "-m", "not alone", "-n", str(cores), "--dist", "worksteal", shown=True)
        alone = self.call(*pytest, *DEFAULT_TESTS, "-q", "-m", "alone", shown=True)
        return beside or alone

    def told(self) -> str:
        """Which Python it is: "3.14.2 (main, Nov  4 2026, 12:14:31) ", or with "free-threading build" in it."""
        code = "import sys; print(sys.version.partition('[')[0])"
        command: list[str | Path] = [str(self.python), "-c", code]
        return run(self.system.command(*command) if self.system else command).strip()


# ------------------------------------------------------------------------------------------------------------ the commands
def run_tests(suite: str, arguments: Sequence[str]) -> int:
    """./run-tests in a Debian that has what its head says is needed; as root it installs the rest there."""
    system = System(suite, "tests")
    system.make()
    system.install(*DEBIAN_RUN_TESTS)
    tree = system.root / "srv" / "run-tests"
    copy_checkout(tree)
    # a checkout also to git, of which tests ask what belongs to it
    system.checked("sh", "-c", "git init -q . && git add -A", cwd="/srv/run-tests")
    return system.shown("./run-tests", *arguments, cwd="/srv/run-tests", environment={"NAMEDSHM_ALONE": "1"})


def first_steps(suite: str) -> int:
    """README.md by a new user who has nothing but what it says one needs."""
    system = System(suite, "steps")
    shutil.rmtree(system.root, ignore_errors=True)
    (system.folder / "steps.packages").unlink(missing_ok=True)
    system.make()
    readme = (REPO / "README.md").read_text("utf-8")
    named = re.search(r"on Debian: `([\w .+-]+)`", readme)
    if not named:
        raise Missing("README.md does not say which Debian packages one needs")
    system.install(*named[1].split())
    home = system.root / "home" / NEWCOMER
    system.checked("useradd", "--create-home", "--shell", "/bin/bash", NEWCOMER)
    copy_checkout(home / "namedshm")
    system.checked("chown", "-R", f"{NEWCOMER}:", f"/home/{NEWCOMER}")
    environment = {"LANG": "C.UTF-8", "TERM": "xterm"}
    with timed("the first steps"):
        return system.shown(
            "python3", "tools/first_steps.py", cwd=f"/home/{NEWCOMER}/namedshm", user=NEWCOMER, environment=environment
        )


def newest(suite: str, arguments: Sequence[str]) -> int:
    """What continuous integration runs: a selection with the newest Python, then the first steps; each also if the other fails."""
    environment = Environment.of_debian(suite, System(suite, "tests").newest_python())
    environment.make()
    say(f"testing with Python {environment.told()}")
    with timed("a selection of the tests"):
        tested = environment.test(arguments or SELECTION)
    return first_steps(suite) or tested


def parser() -> argparse.ArgumentParser:
    description, _, rest = (__doc__ or "").partition("\n\n")
    made = argparse.ArgumentParser(
        prog="tools/pythons.py", description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "setup": "make the system and the environment, and build the package",
        "test": "pytest; what the options do not know is handed on to it",
        "python": "run that Python with the package; the rest is handed on to it",
        "run-tests": "./run-tests in a Debian; the rest is handed on to it",
        "newest": "a selection with the newest Python of Debian sid, then first-steps: what continuous integration runs",
        "first-steps": "README.md by a new user of a bare Debian",
        "shell": "a shell in a Debian, or a command",
    }
    for name, told in helps.items():
        command = commands.add_parser(name, help=told, allow_abbrev=False)
        command.add_argument("--suite", help=f"Debian's name of it: trixie, sid (default {DEFAULT_SUITE})")
        if name in ("setup", "test", "python"):
            command.add_argument("--python", required=True, help="a version of that Debian's Pythons, or a program of this machine")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    given, rest = parser().parse_known_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is inside is ended
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background Ctrl-C is ignored, and tests are about it
    if rest and given.command in ("setup", "first-steps"):
        parser().error(f"not known: {shlex.join(rest)}")
    here = given.command in ("setup", "test", "python") and "/" in given.python
    suite = given.suite or (NEWEST_SUITE if given.command == "newest" else DEFAULT_SUITE)
    try:
        if not here:
            need_root()
        with locked(HOME / ("here" if here else suite) / "lock"):
            return perform(given, suite, here, rest)
    except DoesNotBuild as error:
        print(f"tools/pythons.py: {error}", file=sys.stderr)
        return 1
    except Missing as error:
        print(f"tools/pythons.py: {error}", file=sys.stderr)
        return 2


def perform(given: argparse.Namespace, suite: str, here: bool, rest: Sequence[str]) -> int:
    if given.command == "run-tests":
        return run_tests(suite, rest)
    if given.command == "first-steps":
        return first_steps(suite)
    if given.command == "newest":
        return newest(suite, rest)
    if given.command == "shell":
        system = System(suite, "tests")
        system.make()
        return system.shown(*(["bash", "-c", shlex.join(rest)] if rest else ["bash", "-i"]))
    if here:
        environment = Environment.of_this_machine(Path(given.python).expanduser())
    else:
        environment = Environment.of_debian(suite, given.python)
    environment.make()
    if given.command == "python":
        return environment.call(str(environment.python), *rest, shown=True)
    if given.command == "test":
        say(f"testing with Python {environment.told()}")
        with timed(shlex.join(["pytest", *rest])):
            return environment.test(rest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
