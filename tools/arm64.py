#!/usr/bin/env python3
"""The test programs and the Python tests on ARM: Debian's arm64 kernel, booted under emulation.

    python tools/arm64.py                          # everything (see docs/testing.md for how long it takes)
    python tools/arm64.py --list                   # the cases, without running them
    python tools/arm64.py 'crash_sync/storm*'      # only cases whose names match
    python tools/arm64.py --no-python --storm 600 --stride 20 'crash*'

One command does all of it on a Debian machine.  As root it installs what it needs there (the emulator, a cross compiler);
otherwise it says what is missing.  The arm64 packages (kernel, C library, busybox, Python) are downloaded as packages of the
same Debian and unpacked; nothing of another architecture is installed.  The C programs of tests/crash, crash_sync and
crash_queue and the compiled modules are cross-compiled, all files go into an initramfs, and its /init runs one case after the
other and turns the machine off.  What the machine prints is kept in console.log.

Unlike qemu-user, which tests/crash/test_aarch64.py uses, this is a real kernel: robust lists, futexes, ptrace, namespaces and
System V shared memory are ARM Linux's own.  What it cannot show:

- the weak order of memory accesses.  The emulator turns each load and store into one of the host's; on x86-64 hosts these are
  ordered more strictly than on ARM, so a missing barrier does no harm here.  What can go wrong without one, only ARM hardware
  shows (./run-tests works there as it is).
- time.  Everything is five to fifty times slower than on the host, so no duration that is printed says anything about ARM.

Everything is kept below ``.arm64/`` (ignored by git), or below the folder named by NAMEDSHM_ARM64_DIR.  Removing it makes the
next run download all of it again.

Exit status: 0 when each case ended as it should, 1 when one failed, did not end, or was not reached, 2 when something needed is
missing.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash import build as crash_build
from tests.crash.mutants import MUTANTS
from tests.crash_queue import build as queue_build
from tests.crash_queue.storm import KINDS
from tests.crash_sync import build as sync_build
from tests.crash_sync.storm import WITHOUT_NAPS
from tools.common import REPO, Missing, folder_for, locked

SOURCE = REPO / "src"

TRIPLET = "aarch64-linux-gnu"
#: Programs of the host and the Debian packages they are in.
HOST_PROGRAMS = {
    "qemu-system-aarch64": "qemu-system-arm",
    f"{TRIPLET}-gcc": f"gcc-{TRIPLET} libc6-dev-arm64-cross",
    "gcc": "gcc libc6-dev",
    "nice": "coreutils",
}
KERNEL_PACKAGE = "linux-image-arm64"
SYSTEM_PACKAGES = ("busybox-static", "libc6", "libgcc-s1")
PYTHON_PACKAGES = ("python3", "libpython3-dev", "libstdc++6")
TEST_PACKAGES = ("pytest>=8", "pytest-timeout>=2.3", "numpy>=1.26", "hypothesis>=6")
#: Of the packages above, what nothing at run time needs.
NOT_ABOARD = ("usr/include", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl5", "usr/share/lintian", "var")
TOOLS = ("sh", "mount", "mkdir", "timeout", "taskset", "env", "poweroff", "uname")

#: pauth-impdef: pointer authentication by a simple hash; emulating the real one takes most of the time.
MACHINE = ("-machine", "virt", "-cpu", "max,pauth-impdef=on", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "3G")
COMMAND_LINE = "console=ttyAMA0 quiet panic=-1"
BEGIN, END, OVER = "@@ begin ", "@@ end ", "@@ over"
MARGIN = 120.0  # seconds: how long the machine may print nothing, beyond what its case may take


def home() -> Path:
    """The folder everything is kept in."""
    return folder_for("arm64")


def say(text: str) -> None:
    print(text, flush=True)


def _run(command: Sequence[str | Path], **more: str) -> str:
    """Run to the end and return what it printed; a failure is told with all of it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more}, timeout=1800)
    if done.returncode:
        raise Missing(f"{shlex.join(map(str, command))} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


# ------------------------------------------------------------------------------------------------------------ what it needs
def install_host_programs() -> None:
    packages = [package for program, package in HOST_PROGRAMS.items() if not shutil.which(program)]
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        packages.append("python3-venv")
    if not packages:
        return
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *" ".join(packages).split()]
    if os.geteuid() or not shutil.which("apt-get"):
        raise Missing(f"needed first: {shlex.join(command)}")
    say(f"installing {' '.join(packages)}")
    _run(["apt-get", "update", "-qq"])
    _run([*command[:1], "-o", "DPkg::Lock::Timeout=300", *command[1:]], DEBIAN_FRONTEND="noninteractive")


class Packages:
    """Debian's packages for arm64, of the releases this machine uses, by an apt with a state of its own: what is installed here
    and its architectures stay as they are."""

    def __init__(self) -> None:
        if not shutil.which("apt-get"):
            raise Missing("apt-get is needed to get Debian's arm64 packages")
        self.folder = home() / "apt"
        (self.folder / "state" / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        self.archives = self.folder / "cache" / "archives"
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "state" / "status").touch()
        self.configuration = self.folder / "apt.conf"
        self.configuration.write_text(
            f'APT::Architecture "arm64";\nAPT::Architectures {{"arm64";}};\nAPT::Sandbox::User "root";\n'
            f'Dir::State "{self.folder}/state";\nDir::State::status "{self.folder}/state/status";\n'
            f'Dir::Cache "{self.folder}/cache";\nAcquire::Languages "none";\n'
        )

    def _apt(self, *command: str) -> str:
        return _run(command, APT_CONFIG=str(self.configuration))

    def update(self) -> None:
        self._apt("apt-get", "update", "-q")

    def kernel(self) -> str:
        """The package that the newest kernel is in."""
        depends = re.findall(r"Depends: (linux-image-\S+)", self._apt("apt-cache", "depends", KERNEL_PACKAGE))
        if not depends:
            raise Missing(f"apt knows no package {KERNEL_PACKAGE}")
        return str(depends[0])

    def closure(self, names: Sequence[str]) -> list[Path]:
        """Download packages with all they depend on."""
        for old in self.archives.glob("*.deb"):
            old.unlink()
        self._apt("apt-get", "install", "-q", "-y", "--download-only", "--no-install-recommends", *names)
        return sorted(self.archives.glob("*.deb"))

    def alone(self, name: str) -> Path:
        """Download one package."""
        for old in self.archives.glob(f"{name}_*.deb"):
            old.unlink()
        subprocess.run(
            ["apt-get", "download", "-q", name],
            cwd=self.archives,
            env={**os.environ, "APT_CONFIG": str(self.configuration)},
            check=True,
            capture_output=True,
            timeout=1800,
        )
        return next(self.archives.glob(f"{name}_*.deb"))


def fetch_system() -> Path:
    """The unpacked packages; downloaded when the folder has none of this list."""
    root, stamp = home() / "root", home() / "root.stamp"
    wanted = " ".join((KERNEL_PACKAGE, *SYSTEM_PACKAGES, *PYTHON_PACKAGES))
    if stamp.exists() and stamp.read_text() == wanted:
        return root
    say(f"downloading Debian packages for arm64: {wanted}")
    shutil.rmtree(root, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    root.mkdir(parents=True)
    packages = Packages()
    packages.update()
    for file in packages.closure((*SYSTEM_PACKAGES, *PYTHON_PACKAGES)):
        _run(["dpkg-deb", "-x", file, root])
    kernel = packages.alone(packages.kernel())
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", kernel], stdout=subprocess.PIPE) as content:
        # modules and documentation are four fifths of it, and not needed
        subprocess.run(["tar", "-x", "-C", root, "--wildcards", "./boot/vmlinuz-*"], stdin=content.stdout, check=True, timeout=600)
    shutil.rmtree(packages.archives)
    stamp.write_text(wanted)
    return root


def kernel_of(root: Path) -> Path:
    return next((root / "boot").glob("vmlinuz-*"))


def python_of(root: Path) -> str:
    """Version of the Python there: "3.11"."""
    return next((root / "usr" / "include").glob("python3.*/Python.h")).parent.name.removeprefix("python")


# ------------------------------------------------------------------------------------------------------------ cross-compiling
OUTLINE = ()  # as compilers do it by default: the instruction if the processor has it (ARMv8.1), else a loop
LOOPS = ("-mno-outline-atomics",)  # as for the first ARMv8: each atomic operation is a loop of exclusive loads and stores
#: Steppers ask the kernel for the time.  The C library's way, in the memory the kernel shows it for that, begins anew whenever the
#: kernel's timer ticks meanwhile, and step by step under emulation it always does: a thousand steps that lead nowhere.
CLOCK = "clock.c"
CLOCK_SOURCE = """\
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) { return (int)syscall(SYS_clock_gettime, clock, now); }
time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"""
#: A bug that has to be caught, or else the machine shows nothing: the kernel is not told what the dead held.
PLANTED = "lock_not_announced"
#: name in the initramfs: suite, source, flags.  The steppers wait for what is due; here that comes later than on hardware.
PROGRAMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "storm": ("crash", "storm", OUTLINE),
    "storm-loops": ("crash", "storm", LOOPS),
    "step": ("crash", "step", (CLOCK,)),
    "step-planted": ("crash", "step", (CLOCK, "-w", "-DNSHM_LOCK_PATIENCE=1")),
    "faults": ("crash", "faults", OUTLINE),
    "garbage": ("crash", "garbage", ("-DNSHM_LOCK_PATIENCE=0",)),
    "race": ("crash", "race", OUTLINE),
    "stopped": ("crash", "stopped", ("-DNSHM_LOCK_PATIENCE=0", "-DNSHM_REGISTRY_ROUNDS=200")),
    "threads": ("crash", "threads", OUTLINE),
    "sync-storm": ("crash_sync", "storm", OUTLINE),
    "sync-storm-loops": ("crash_sync", "storm", LOOPS),
    "sync-storm-without-naps": ("crash_sync", "storm", (WITHOUT_NAPS,)),
    "sync-step": ("crash_sync", "step", (CLOCK, "-DPATIENCE=20")),
    "namespaces": ("crash_sync", "namespaces", ("-DPATIENCE=60",)),
    "takeover": ("crash_sync", "takeover", OUTLINE),
    "away": ("crash", "away", OUTLINE),
    "crowd": ("crash", "crowd", OUTLINE),
    "forks": ("crash", "forks", OUTLINE),
    "observed": ("crash", "observed", ("-DNSHM_REGISTRY_ROUNDS=100", "-DNSHM_LOCK_PATIENCE=0", *OUTLINE)),
    "strangers": ("crash", "strangers", OUTLINE),
    "sync-crowd": ("crash_sync", "crowd", OUTLINE),
    "hostile": ("crash_sync", "hostile", OUTLINE),
    "neighbours": ("crash_sync", "neighbours", OUTLINE),
    "queue-storm": ("crash_queue", "storm", OUTLINE),
    "queue-storm-loops": ("crash_queue", "storm", LOOPS),
    "queue-step": ("crash_queue", "step", (CLOCK, "-DPATIENCE=20")),
    "queue-operations": ("crash_queue", "operations", OUTLINE),
    "queue-turns": ("crash_queue", "turns", ("-DPATIENCE=20",)),
    "queue-hostile": ("crash_queue", "hostile", OUTLINE),
    "queue-threads": ("crash_queue", "threads", OUTLINE),
    "queue-quiet": ("crash_queue", "quiet", OUTLINE),
}
#: Sources that are not run there: a library put before the C library, what is linked or built by tests of their own, and models.
NOT_PROGRAMS = {"crash": ("faultshim", "version"), "crash_sync": (), "crash_queue": ("bells", "chunks", "wakes")}
BUILDERS = {"crash": crash_build.build, "crash_sync": sync_build.build, "crash_queue": queue_build.build}


def build_programs(into: Path, names: Iterable[str]) -> None:
    """Cross-compile the test programs; the conventions (warnings, libraries) are those of the suites."""
    into.mkdir(parents=True, exist_ok=True)
    clock = home() / "host" / CLOCK
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.write_text(CLOCK_SOURCE)
    before = os.environ.get("CC")
    os.environ["CC"] = f"{TRIPLET}-gcc"
    try:
        for name in names:
            suite, source, flags = PROGRAMS[name]
            include = planted_headers() if name == "step-planted" else crash_build.INCLUDE
            flags = tuple(str(clock) if flag == CLOCK else flag for flag in flags)
            BUILDERS[suite](source, into, name=name, flags=("-O2", *flags), include=include)
    finally:
        os.environ.pop("CC")
        if before is not None:
            os.environ["CC"] = before


def planted_headers() -> Path:
    return next(mutant for mutant in MUTANTS if mutant.name == PLANTED).write(home() / "host" / "planted")


def listed(suite: str, program: str) -> list[str]:
    """What a suite's program knows to do, asked of one compiled for this machine."""
    return _run([BUILDERS[suite](program, home() / "host", name=f"{program}-of-{suite}"), "list"]).split()


def build_python(root: Path) -> Path:
    """Cross-compile the package's modules and install what its tests import; returns the folder for PYTHONPATH."""
    version, site, generated = python_of(root), home() / "site", home() / "generated"
    host = home() / "host" / "venv"
    wanted = " ".join((version, *TEST_PACKAGES))
    stamp = home() / "site.stamp"
    if not (stamp.exists() and stamp.read_text() == wanted):
        say(f"installing for Python {version}: {', '.join(TEST_PACKAGES)}")
        shutil.rmtree(site, ignore_errors=True)
        shutil.rmtree(host, ignore_errors=True)
        _run([sys.executable, "-m", "venv", host])
        _run([host / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "cython>=3.1"])
        platforms = [f"--platform={tag}_aarch64" for tag in ("manylinux2014", "manylinux_2_27", "manylinux_2_28")]
        options = ["-q", "--disable-pip-version-check", "--only-binary", ":all:", "--implementation", "cp"]
        target = ["--python-version", version, "--target", str(site)]
        _run([host / "bin" / "python", "-m", "pip", "install", *options, *platforms, *target, *TEST_PACKAGES])
        stamp.write_text(wanted)
    say(f"cross-compiling namedshm for Python {version}")
    package = site / "namedshm"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(SOURCE / "namedshm", package, ignore=shutil.ignore_patterns("__pycache__", "*.c", "*.so", "*.pyd"))
    generated.mkdir(exist_ok=True)
    suffix = f".cpython-{version.replace('.', '')}-{TRIPLET}.so"
    include = root / "usr" / "include"
    for module in ("_core", "_copying", "_backend/linux/native"):
        c = generated / f"{module.replace('/', '.')}.c"
        cython: list[str | Path] = [
            host / "bin" / "python",
            "-m",
            "cython",
            "-3",
            "--module-name",
            f"namedshm.{module.replace('/', '.')}",
        ]
        _run([*cython, "-I", str(SOURCE), "-o", c, SOURCE / "namedshm" / f"{module}.pyx"])
        # -idirafter: the cross compiler's own C library comes first; from Debian's arm64 headers Python's are wanted
        folders = [
            f"-I{REPO / 'include'}",
            f"-I{SOURCE / 'namedshm'}",
            f"-I{(SOURCE / 'namedshm' / module).parent}",
            f"-I{include / f'python{version}'}",
            f"-idirafter{include}",
        ]
        compiler: list[str | Path] = [f"{TRIPLET}-gcc", "-O2", "-g", "-shared", "-fPIC", "-fwrapv", "-DNDEBUG"]
        _run([*compiler, *folders, c, "-o", package / f"{module}{suffix}", "-lpthread"])
    return site


# ------------------------------------------------------------------------------------------------------------ the cases
@dataclass(frozen=True)
class Case:
    """One program to run there.

    Attributes:
        limit: seconds (of the emulated machine) after which it is killed.
        status: the exit status with which all is well.
        counts: values of its report that must be above zero, for otherwise nothing was tested.
    """

    name: str
    command: tuple[str, ...]
    limit: int
    status: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[str, ...] = ()

    @property
    def program(self) -> str | None:
        """The name in PROGRAMS, if it is one of these."""
        name = next((word for word in self.command if word.startswith("/t/")), "")[3:]
        return name or None

    def line(self) -> str:
        """How /init runs it."""
        words = ["env", *(f"{key}={value}" for key, value in self.environment.items()), *self.command]
        return shlex.join(["run", self.name, str(self.limit), *words])


#: One traced process and one that traces it take turns; on one processor that is ten times as fast.
ONE_PROCESSOR = ("taskset", "1")
#: Scenarios of tests/crash that repeat themselves: one point in so many.
LONG = {"create_with_a_sweep": 40, "create_behind_a_lock": 4}
CROSSED = ("close_keeping_the_view", "create_with_a_spare_token", "open_a_dead_entry", "create_over_a_dead_entry")
TAKE_THE_LOCK = ("create", "close", "open_a_dead_entry")
#: What the documentation says is lost: see tests/crash_sync/test_namespaces.py.  The program has to see it (status 1).
KNOWN_LIMITS = ("killed_while_taking", "killed_while_releasing")
NAMESAKES = ("ownership", "abandonment", "a_namesake_that_does_not_own_it_dies", "a_sleeper_dies_when_its_namesake_has_it")
SECTION_COUNTS = ("rounds", "creates", "opens", "forks", "kills", "selfkills")
SYNC_COUNTS = ("rounds", "taken", "kills", "selfkills", "abandoned", "sleepers")
QUEUE_COUNTS = ("rounds", "messages", "kills", "selfkills")
#: Many repetitions that look for leaks; a test that runs others within a limit for hardware (see sync-without-waitv for these);
#: and signals that come faster than their handlers run here.
TOO_LONG = (
    "--ignore=tests/unit/test_endurance.py",
    "--ignore=tests/unit/test_exhaustion.py",
    "--deselect=tests/sync/test_without_waitv.py::test_all_scenarios_pass_without_waitv",
    "--deselect=tests/sync/test_interrupted.py::test_a_signal_handler_makes_and_closes_handles_while_the_program_does",
    "--deselect=tests/sync/test_interrupted.py::test_a_signal_handler_ends_and_begins_waits_in_the_midst_of_others",
)
#: What they test is the checkout, of which only tests and the built package are aboard.
OF_THE_CHECKOUT = tuple(
    f"--ignore=tests/unit/test_{name}.py" for name in ("benchmarks", "layers", "packaging", "pythons", "test_command")
)
PYTHON_SUITES = ("unit", "sync", "conformance", "records")


def storm_cases(storm: int, seed: int) -> Iterator[Case]:
    def storming(name: str, program: str, counts: tuple[str, ...], **environment: str) -> Case:
        command = (f"/t/{program}", "1000000", str(seed), str(storm))
        return Case(name, command, 3 * storm + 120, environment=environment, counts=counts)

    yield storming("crash/storm", "storm", SECTION_COUNTS)
    yield storming("crash/storm-loops", "storm-loops", SECTION_COUNTS)
    yield storming("crash/storm-among-others", "storm", SECTION_COUNTS, NSHM_TEST_NO_NAMESPACE="1")
    yield storming("crash_sync/storm", "sync-storm", (*SYNC_COUNTS, "anys", "alls"))
    yield storming("crash_sync/storm-loops", "sync-storm-loops", (*SYNC_COUNTS, "anys", "alls"))
    yield storming("crash_sync/storm-without-naps", "sync-storm-without-naps", SYNC_COUNTS, NSHM_STORM_SINGLE="1")
    yield storming("crash_sync/storm-among-others", "sync-storm", SYNC_COUNTS, NSHM_TEST_NO_NAMESPACE="1")
    for name, program, kinds in (("storm", "queue-storm", KINDS), ("storm-loops", "queue-storm-loops", ("mixed", "ack"))):
        for kind in kinds:
            command = (f"/t/{program}", "1000000", str(seed), str(storm), kind)
            yield Case(f"crash_queue/{name}/{kind}", command, 3 * storm + 120, counts=QUEUE_COUNTS)


def single_cases(seed: int) -> Iterator[Case]:
    for kind in ("kill", "exit", "thread", "release"):
        yield Case(f"crash_sync/takeover/{kind}", ("/t/takeover", "100", kind), 200, counts=("rounds",))
    for name in (*NAMESAKES, *KNOWN_LIMITS):
        yield Case(f"crash_sync/namespaces/{name}", ("/t/namespaces", name), 200, status=int(name in KNOWN_LIMITS))
    yield Case("crash/race", ("/t/race", "200", str(seed)), 300, counts=("survivors", "selfkills"))
    yield Case("crash/threads", ("/t/threads", "5000"), 300, counts=("creates", "opens"))
    yield Case("crash/garbage", ("/t/garbage", "100", str(seed)), 600, counts=("rounds", "found"))
    yield Case("crash/stopped", ("/t/stopped",), 200, counts=("reached",))
    yield Case("crash/faults", ("/t/faults",), 600, counts=("faults",))
    yield Case("crash/observed", ("/t/observed", "16"), 1200, counts=("faults",))
    yield Case("crash/away", ("/t/away",), 300, counts=("visits",))
    yield Case("crash/strangers", ("/t/strangers",), 600, counts=("steps",))
    yield Case("crash/forks", ("/t/forks", "100"), 600, counts=("created",))
    yield Case("crash/crowd", ("/t/crowd", "30", str(seed), "4"), 300, counts=("rounds",))
    yield Case("crash_sync/crowd", ("/t/sync-crowd", "50"), 600, counts=("rounds", "taken"))
    yield Case("crash_sync/hostile", ("/t/hostile", "30", str(seed)), 300, counts=("taken", "damaged", "kept", "kills"))
    yield Case("crash_sync/neighbours", ("/t/neighbours",), 900, counts=("plans",))
    for what in ("layouts", "limit"):
        yield Case(f"crash_sync/neighbours/{what}", ("/t/neighbours", what), 600)
    for program in ("operations", "quiet"):
        for name in listed("crash_queue", program):
            yield Case(f"crash_queue/{program}/{name}", (f"/t/queue-{program}", name), 300)
    yield Case("crash_queue/turns", ("/t/queue-turns", "100", str(seed)), 600, counts=("kills", "selfkills"))
    yield Case("crash_queue/turns/chunk", ("/t/queue-turns", "100", str(seed), "chunk"), 600, counts=("kills", "selfkills"))
    yield Case("crash_queue/hostile", ("/t/queue-hostile", "30", str(seed)), 300)
    yield Case("crash_queue/threads", ("/t/queue-threads", "2000", str(seed)), 300)


def step_cases(stride: int) -> Iterator[Case]:
    yield Case(
        "crash/planted-bug", (*ONE_PROCESSOR, "/t/step-planted", "kill", "create", "1000"), 600, status=1, counts=("violations",)
    )
    for suite, program in (("crash_sync", "sync-step"), ("crash_queue", "queue-step")):
        for scenario in listed(suite, "step"):
            stepped = (*ONE_PROCESSOR, f"/t/{program}", scenario, str(stride))
            yield Case(f"{suite}/step/{scenario}", stepped, 900, counts=("runs",))
    for mode, coarser, of_changes in (("kill", 1, 1), ("waiter", 2, 2), ("pause", 8, 4), ("cross", 4, 12)):
        for scenario in CROSSED if mode == "cross" else listed("crash", "step"):
            if mode == "waiter" and not scenario.startswith(TAKE_THE_LOCK):
                continue
            every = LONG.get(scenario, 1)
            command = (*ONE_PROCESSOR, "/t/step", mode, scenario, str(stride * coarser * every), str(of_changes * every))
            # some never have the lock while others could wait for it
            yield Case(f"crash/step/{mode}/{scenario}", command, 900, counts=("runs",) if mode != "waiter" else ("positions",))


def python_cases() -> Iterator[Case]:
    # no limit for a single test: they are made for hardware
    pytest = (
        "python3",
        "-m",
        "pytest",
        "-v",
        "--color=no",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=0",
        "--durations=5",
    )
    for suite in PYTHON_SUITES:
        yield Case(f"python/{suite}", (*pytest, *TOO_LONG, *OF_THE_CHECKOUT, f"tests/{suite}"), 3000)
    without = [f"--ignore=tests/sync/{file}.py" for file in ("test_without_waitv", "test_killed_waiters")]
    sandbox = ("python3", "tests/helpers/sandbox.py", "ENOSYS")
    yield Case("python/sync-without-waitv", (*sandbox, *pytest, *without, "tests/sync"), 3000)


def matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


# ------------------------------------------------------------------------------------------------------------ the initramfs
class Archive:
    """A cpio archive of the "newc" form, which the kernel unpacks as its first file system.  Everything in it is root's."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._names: set[str] = set()

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """``mode`` with the file type; a symbolic link's data is where it leads.  Folders above it are added first."""
        folder = name.rpartition("/")[0]
        if folder and folder not in self._names:
            self.add(folder, stat.S_IFDIR | 0o755)
        if name in self._names:
            return
        self._names.add(name)
        self._append(name, mode, data, device)

    def _append(self, name: str, mode: int, data: bytes, device: tuple[int, int]) -> None:
        text = name.encode() + b"\0"
        numbers = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(text), 0)
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + text
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def add_tree(self, folder: Path, where: str = "", without: Sequence[str] = ()) -> None:
        """A folder with all that is in it, but for the paths in ``without`` (relative to it), static libraries and caches."""
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder).as_posix()
            if any(relative == one or relative.startswith(one + "/") for one in without):
                continue
            if "__pycache__" in path.parts or path.suffix == ".a":
                continue
            name = f"{where}/{relative}" if where else relative
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                self.add(name, mode, os.readlink(path).encode())
            elif stat.S_ISREG(mode):
                self.add(name, mode, path.read_bytes())
            elif stat.S_ISDIR(mode):
                self.add(name, stat.S_IFDIR | 0o755)

    def write(self, file: Path) -> None:
        self._append("TRAILER!!!", 0, b"", (0, 0))
        with open(file, "wb") as out:
            out.writelines(self._parts)


INIT = f"""#!/bin/sh
export PATH=/bin:/usr/bin HOME=/tmp LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts /tmp
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
cd /src 2>/dev/null || cd /tmp

run() {{ # NAME LIMIT COMMAND...
    name=$1 limit=$2
    shift 2
    read -r from rest </proc/uptime
    echo "{BEGIN}$name"
    timeout -s KILL "$limit" "$@" </dev/null 2>&1
    status=$?
    read -r to rest </proc/uptime
    echo
    echo "{END}$name $status $from $to"
    kill -9 -1 2>/dev/null # whatever a killed case has left; not this shell
}}

uname -srvm
"""


def make_initramfs(root: Path, programs: Path, cases: Sequence[Case], site: Path | None, file: Path) -> None:
    """``programs``: folder of the compiled ones.  ``site``: Python modules; without it there is no Python aboard."""
    archive = Archive()
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    for folder in ("proc", "sys", "tmp"):
        archive.add(folder, stat.S_IFDIR | (0o1777 if folder == "tmp" else 0o755))
    for tool in TOOLS:
        archive.add(f"bin/{tool}", stat.S_IFLNK | 0o777, b"busybox")
    lines = [*(case.line() for case in cases), f"echo '{OVER}'", "poweroff -f"]
    archive.add("init", stat.S_IFREG | 0o755, (INIT + "\n".join(lines) + "\n").encode())
    for program in sorted(programs.iterdir()):
        archive.add(f"t/{program.name}", stat.S_IFREG | 0o755, program.read_bytes())
    if site:
        archive.add_tree(root, without=(*NOT_ABOARD, "boot"))
        archive.add_tree(site, "usr/lib/python3/dist-packages")
        archive.add_tree(REPO / "tests", "src/tests")
        archive.add("src/pyproject.toml", stat.S_IFREG | 0o644, (REPO / "pyproject.toml").read_bytes())
    else:
        for name in ("bin/busybox", "lib"):
            path = root / name
            if path.is_dir():
                archive.add_tree(path, name)
            else:
                archive.add(name, path.lstat().st_mode, path.read_bytes())
    archive.write(file)


# ------------------------------------------------------------------------------------------------------------ running
@dataclass
class Result:
    case: Case
    begun: bool = False
    status: int | None = None
    seconds: float = 0
    lines: list[str] = field(default_factory=list)

    @property
    def report(self) -> str:
        """The last line it printed."""
        return next((line for line in reversed(self.lines) if line), "")

    def complaint(self) -> str | None:
        """What is wrong with it, or None."""
        if self.status is None:
            return "did not end" if self.begun else "was not reached"
        if self.status == 137:
            return f"did not end within {self.case.limit} s, or was killed"
        if self.status != self.case.status:
            return f"exit status {self.status}, not {self.case.status}"
        numbers = crash_build.numbers("\n".join(self.lines)) if self.case.counts else {}
        idle = [name for name in self.case.counts if not numbers.get(name)]
        return f"tested nothing: {', '.join(idle)}" if idle else None


class Console:
    """Reads what the machine prints, line by line."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.results = {case.name: Result(case) for case in cases}
        self.current: Result | None = None
        self.over = False
        self.outside: list[str] = []  # lines that no case printed

    def feed(self, line: str) -> Result | None:
        """Returns the result that this line completes."""
        if line.startswith(BEGIN):
            self.current = self.results[line.removeprefix(BEGIN)]
            self.current.begun = True
        elif line.startswith(END) and self.current:
            _, status, start, end = line.removeprefix(END).rsplit(" ", 3)
            done, self.current = self.current, None
            done.status, done.seconds = int(status), float(end) - float(start)
            return done
        elif line == OVER:
            self.over = True
        elif self.current:
            self.current.lines.append(line)
        elif line:
            self.outside.append(line)
        return None


def emulate(kernel: Path, initramfs: Path, console: Console, limit: float) -> None:
    """Boot, and read the console until the machine is off, or says nothing for too long, or the limit (seconds) is over."""
    machine = ["nice", "-n", "5", "qemu-system-aarch64", *MACHINE, "-nodefaults", "-display", "none", "-serial", "stdio"]
    machine += ["-no-reboot", "-kernel", str(kernel), "-initrd", str(initramfs), "-append", COMMAND_LINE]
    # timeout(1): it ends the emulator also if this process is killed
    command = ["timeout", "--signal=KILL", str(int(limit) + 30), *machine]
    end = time.monotonic() + limit
    with (
        open(home() / "console.log", "wb") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
        selectors.DefaultSelector() as selector,
    ):
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        rest = b""
        try:
            while True:
                patience = MARGIN + (2 * console.current.case.limit if console.current else 0)
                left = min(patience, end - time.monotonic())
                if left <= 0 or not selector.select(left):
                    say(f"the machine is turned off: {'the time is over' if left < patience else 'it says nothing any more'}")
                    return
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    return
                log.write(chunk)
                log.flush()
                *lines, rest = (rest + chunk).replace(b"\r", b"").split(b"\n")
                for line in lines:
                    if done := console.feed(line.decode("utf-8", "backslashreplace")):
                        tell(done)
        finally:
            process.terminate()  # timeout(1) passes it on


def tell(result: Result) -> None:
    complaint = result.complaint()
    say(f"{result.case.name:58} {'ok' if not complaint else 'FAILED':6} {result.seconds:7.1f} s  {result.report}")
    if complaint:
        say("\n".join(f"    | {line}" for line in result.lines[-60:]) + f"\n    {complaint}")


def run_cases(cases: Sequence[Case], minutes: float) -> int:
    root = fetch_system()
    programs = home() / "programs"
    shutil.rmtree(programs, ignore_errors=True)
    needed = sorted({case.program for case in cases if case.program})
    say(f"cross-compiling {len(needed)} programs")
    build_programs(programs, needed)
    site = build_python(root) if any(case.name.startswith("python/") for case in cases) else None
    initramfs = home() / "initramfs.cpio"
    make_initramfs(root, programs, cases, site, initramfs)
    kernel = kernel_of(root)
    say(f"booting {kernel.name} with {initramfs.stat().st_size / 2**20:.0f} MiB of files for {len(cases)} cases")
    console = Console(cases)
    emulate(kernel, initramfs, console, minutes * 60)
    for line in console.outside:
        say(f"  {line}")
    bad = [result for result in console.results.values() if result.complaint()]
    if not console.over:
        say(f"the machine did not come to the end of its cases; what it printed is in {home() / 'console.log'}")
    for result in bad:
        say(f"{result.case.name}: {result.complaint()}")
    say(f"{len(cases) - len(bad)} passed, {len(bad)} failed")
    return int(bool(bad) or not console.over)


# ------------------------------------------------------------------------------------------------------------ command line
def parser() -> argparse.ArgumentParser:
    description, _, rest = (__doc__ or "").partition("\n\n")
    made = argparse.ArgumentParser(
        prog="tools/arm64.py", description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("patterns", nargs="*", metavar="PATTERN", help="cases to run, by name, as in a shell: 'crash/step/kill/*'")
    made.add_argument("--list", action="store_true", help="name the cases, run none")
    made.add_argument("--no-python", action="store_true", help="the C programs only")
    made.add_argument("--storm", type=int, default=60, metavar="SECONDS", help="how long each storm lasts (default 60)")
    made.add_argument("--stride", type=int, default=100, help="steppers stop at one plain instruction in so many (default 100)")
    made.add_argument("--seed", type=int, default=1, help="of the storms (default 1)")
    made.add_argument("--minutes", type=float, default=120, help="turn the machine off after so long (default 120)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the emulator is ended properly
    began = time.monotonic()
    try:
        with locked(home() / "lock"):
            (home() / "host").mkdir(exist_ok=True)
            install_host_programs()
            cases = [*storm_cases(given.storm, given.seed), *single_cases(given.seed), *step_cases(given.stride)]
            cases += [] if given.no_python else python_cases()
            cases = [case for case in cases if matches(case.name, given.patterns)]
            if not cases:
                raise Missing("no case has such a name; --list shows them")
            if given.list:
                print("\n".join(case.name for case in cases))
                return 0
            return run_cases(cases, given.minutes)
    except Missing as error:
        print(f"tools/arm64.py: {error}", file=sys.stderr)
        return 2
    finally:
        if not given.list:
            say(f"took {(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
