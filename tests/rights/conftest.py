"""Processes of other users, made by root: as_user(64101) is one.

Users and groups exist in a private copy of the user database, mounted over /etc/passwd and /etc/group for those processes alone,
so nothing on the machine changes.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from helpers.facts import is_root, on_linux, required
from helpers.peer import ForkedPeer, Peer

HERE = Path(__file__).resolve().parent
ANNA, BERT, CARL = 64101, 64102, 64103  # members of the group CREW in the user database: Anna and Bert
CREW = 64200
_numbers = itertools.count()


def _why_not() -> str | None:
    if not on_linux:
        return "real second users are made on Linux only"
    if not is_root:
        return "needs root to become other users"
    if not (shutil.which("setpriv") and shutil.which("unshare")):
        return "needs setpriv and unshare (util-linux)"
    probe = subprocess.run(
        ["setpriv", "--reuid", str(CARL), "--regid", str(CARL), "--clear-groups", sys.executable, "-c", "import namedshm"],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        return f"another user cannot import the package here: {probe.stderr.strip()[-200:]}"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    reason = _why_not() if mine else None
    for item in mine:
        if reason and not required("NAMEDSHM_REQUIRE_ROOT"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _required_rights() -> None:
    reason = _why_not() if required("NAMEDSHM_REQUIRE_ROOT") else None
    if reason:
        pytest.fail(f"NAMEDSHM_REQUIRE_ROOT is set, but: {reason}")


class AsUser(Protocol):
    def __call__(
        self, uid: int, *groups: int, granted: bool = False, session: str | None = None, own: int | None = None
    ) -> Peer: ...


@pytest.fixture(scope="session")
def public() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="namedshm-rights-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def database(public: Path) -> tuple[Path, Path]:
    """passwd and group files: this machine's, and the test's users."""
    passwd, group = public / "passwd", public / "group"
    users = {"nshm-anna": ANNA, "nshm-bert": BERT, "nshm-carl": CARL}
    lines = [f"{user}:x:{uid}:{uid}::/nonexistent:/bin/false\n" for user, uid in users.items()]
    passwd.write_text(Path("/etc/passwd").read_text() + "".join(lines))
    group.write_text(Path("/etc/group").read_text() + f"nshm-crew:x:{CREW}:nshm-anna,nshm-bert\n")
    for file in (passwd, group):
        file.chmod(0o644)
    return passwd, group


@pytest.fixture
def config(public: Path) -> Path:
    """The file that grants creation in Global to the crew."""
    path = public / f"{next(_numbers)}.conf"
    path.write_text("# who may create\nglobal-creators = nshm-crew\n")
    path.chmod(0o644)
    return path


@pytest.fixture
def session_name() -> str:
    """A Global namespace of the test's own: what was granted when a registry was made stays so while it lives."""
    return f"rights-{os.getpid()}-{next(_numbers)}"


MOUNT = 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"'


@pytest.fixture
def as_user(database: tuple[Path, Path], config: Path, session_name: str) -> Iterator[AsUser]:
    made: list[Peer] = []

    def make(uid: int, *groups: int, granted: bool = False, session: str | None = None, own: int | None = None) -> Peer:
        own = uid if own is None else own  # the group in effect
        prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh", *map(str, database)]
        prefix += ["setpriv", "--reuid", str(uid), "--regid", str(own)]
        prefix += ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        env = {"NAMEDSHM_CONFIG": str(config) if granted else "/nonexistent"}
        peer = Peer(prefix=tuple(prefix), env=env, session=session_name if session is None else session)
        made.append(peer)
        assert peer.do("os.geteuid(), os.getegid(), sorted(os.getgroups())") == (uid, own, sorted(groups))
        peer.do(TOOLS)
        return peer

    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def fork(public: Path) -> Iterator[Callable[[Peer], ForkedPeer]]:
    children: list[ForkedPeer] = []

    def make(peer: Peer) -> ForkedPeer:
        children.append(peer.fork(public, owner=peer.do("os.geteuid()")))
        return children[-1]

    yield make
    for child in children:
        child.close()


#: What a user finds who goes around the package: the system calls themselves.
TOOLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
libc.shmctl.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
RDONLY, CREAT, EXCL, RMID, SET, STAT = 0o10000, 0o1000, 0o2000, 0, 1, 2

def attach(number, flags=0):
    "Address, or the name of the error."
    address = libc.shmat(number, None, flags)
    return errno.errorcode[ctypes.get_errno()] if address == 2**64 - 1 else address

def control(number, command):
    buffer = ctypes.create_string_buffer(256)
    if command == SET:
        libc.shmctl(number, STAT, buffer)
    return errno.errorcode[ctypes.get_errno()] if libc.shmctl(number, command, buffer) < 0 else "done"

def plant(size, mode, key=0, removed=True):
    "A segment, attached, marked for removal: (id, address)."
    number = libc.shmget(key, size, CREAT | EXCL | mode)
    if number < 0:
        return errno.errorcode[ctypes.get_errno()]
    address = libc.shmat(number, None, 0)
    if removed:
        libc.shmctl(number, RMID, None)
    return number, address

def mapped(number):
    "Where this process has a segment attached, and its size."
    with open("/proc/self/maps") as file:
        for line in file:
            fields = line.split()
            if "/SYSV" in line and int(fields[4]) == number:
                start, end = (int(part, 16) for part in fields[0].split("-"))
                return start, end - start

def registry(scope="local"):
    from namedshm._backend import backend
    return backend.backend_state()[scope]["registry"]

def segments():
    with open("/proc/sysvipc/shm") as file:
        columns = file.readline().split()
        return {row["shmid"]: row for row in (dict(zip(columns, map(int, line.split()))) for line in file)}
"""
