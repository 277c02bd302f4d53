r"""Files behind sections of ``Global\``: nobody is led to open a file with his own rights that somebody else chose.

Anna is a member of the creating group and writes the registry; the victim is root, who may open everything.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.peer import Peer

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, AsUser

ROOT = 0
SECRET = b"secret " * 1000
HEADERS = Path(__file__).resolve().parents[2] / "include"
OBJ_READONLY, OBJ_EXECUTABLE, OBJ_FILE = 1, 2, 8


@pytest.fixture
def folder(public: Path, name: str) -> Path:
    """A folder in which everybody may make files, as /tmp is."""
    folder = public / name
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture
def secret(folder: Path) -> Path:
    path = folder / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def forger(public: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("needs a C compiler")
    program = public / "forge"
    source = Path(__file__).with_name("forge.c")
    subprocess.run([compiler, "-O1", f"-I{HEADERS}", "-o", str(program), str(source), "-pthread"], check=True, timeout=120)
    program.chmod(0o755)
    return program


Forge = Callable[..., None]


@pytest.fixture
def forge(forger: Path, session_name: str) -> Forge:
    """forge(anna, name, token=...) changes fields of a Global record, as that user."""

    def change(peer: Peer, name: str, **fields: int) -> None:
        command = [str(forger), session_name, str(CREW), name, *(f"{key}={value}" for key, value in fields.items())]
        code = "import subprocess\nsubprocess.run(command, capture_output=True, text=True, timeout=60).stderr"
        assert peer.do(code, command=command) == ""

    return change


MAKE = """
with open(path, 'w+b') as f:
    f.write(b'public ' * 1000); f.flush()
    s = namedshm.create(name, 0, file=f.fileno(), mode=0o666)
"""


def refused(peer: Peer, name: str, match: str, access: str = "write") -> None:
    """It cannot be opened, and the reason is that one."""
    with pytest.raises(namedshm.AccessDenied, match=match):
        peer.do("view = namedshm.open(name, access).map(); view[:4]", name=name, access=access)
    with pytest.raises(namedshm.AccessDenied, match=match):
        peer.do("namedshm.create(name, 100, exist_ok=True)", name=name)


def test_only_the_makers_user_opens_a_section_of_a_file(as_user: AsUser, folder: Path, name: str) -> None:
    anna = as_user(ANNA, CREW, granted=True)
    wanted = f"Global\\{name}"
    anna.do(MAKE, path=str(folder / "file"), name=wanted)
    twin = as_user(ANNA, CREW, granted=True)
    assert twin.do("namedshm.open(name).map()[:6]", name=wanted) == b"public"
    for uid, groups in ((ROOT, ()), (BERT, (CREW,)), (CARL, ())):
        other = as_user(uid, *groups, granted=True)
        for access in ("read", "write"):
            refused(other, wanted, "maps a file", access)
        assert other.do("namedshm.describe(name).size", name=wanted) == 7000


def test_root_is_not_led_to_a_file_of_its_own_by_a_member_who_writes_its_place(
    as_user: AsUser, folder: Path, secret: Path, name: str
) -> None:
    anna, root = as_user(ANNA, CREW, granted=True), as_user(ROOT, granted=True)
    wanted = f"Global\\{name}"
    anna.do(MAKE, path=str(folder / "file"), name=wanted)
    facts = secret.stat()
    # every field of the text, right for the secret: all that is wrong is who wrote it
    anna.do(
        """
at, size = mapped(s._handle.segments[0])
fields = ctypes.string_at(at).split(b":")
fields[0], fields[1] = b"%d" % device, b"%d" % inode
head, label = b":".join(fields[:7]), b":".join(fields[7:]).partition(b"/")[0]
ctypes.memmove(at, head + b":" + label + path.encode() + bytes(1), len(head + label) + len(path) + 2)
""",
        device=facts.st_dev,
        inode=facts.st_ino,
        path=str(secret),
    )
    refused(root, wanted, "maps a file")
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_root_is_not_led_by_what_its_own_memory_repeats(
    as_user: AsUser, folder: Path, secret: Path, name: str, forge: Forge, mode: int
) -> None:
    anna, root = as_user(ANNA, CREW, granted=True), as_user(ROOT, granted=True)
    wanted = f"Global\\{name}"
    anna.do(MAKE, path=str(folder / "file"), name=wanted)
    # A section of root's with bytes that others chose, which nobody but root writes.
    facts = secret.stat()
    text = f"{facts.st_dev}:{facts.st_ino}:7000:0:1:99:{len(wanted)}:{wanted}{secret}\0"
    root.do(
        "echo = namedshm.create('Global\\\\echo', 5000, mode=mode); echo.map()[:len(text)] = text.encode()", mode=mode, text=text
    )
    forge(anna, name, token=root.do("echo._handle.segments[1]"), token_size=5000, maker=ROOT)
    refused(root, wanted, "forged")
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize("private", ["Global\\private", "private"])
def test_root_is_not_led_to_the_file_of_another_section_of_its_own(
    as_user: AsUser, folder: Path, secret: Path, name: str, forge: Forge, private: str
) -> None:
    anna, root = as_user(ANNA, CREW, granted=True), as_user(ROOT, granted=True)
    wanted = f"Global\\{name}"
    anna.do(MAKE, path=str(folder / "file"), name=wanted)
    root.do(
        "with open(path, 'r+b') as f: mine = namedshm.create(name, 0, file=f.fileno())\ntoken = mine._handle.segments[0]",
        path=str(secret),
        name=private,
    )
    forge(anna, name, token=root.do("token"), token_size=root.do("segments()[token]['size']"), maker=ROOT)
    refused(root, wanted, "forged")
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize(
    "fields", [{"props": OBJ_FILE}, {"props": OBJ_FILE | OBJ_READONLY | OBJ_EXECUTABLE}, {"size": 7}, {"size": 1 << 20}]
)
def test_a_member_does_not_widen_a_section_that_root_made(
    as_user: AsUser, secret: Path, name: str, forge: Forge, fields: dict[str, int]
) -> None:
    anna, root = as_user(ANNA, CREW, granted=True), as_user(ROOT, granted=True)
    wanted = f"Global\\{name}"
    anna.do("first = namedshm.create('Global\\\\first', 1)")
    root.do(
        "with open(path, 'rb') as f: s = namedshm.create(name, 0, file=f.fileno(), writable=False)", path=str(secret), name=wanted
    )
    assert as_user(ROOT, granted=True).do("namedshm.open(name, 'read').map()[:6]", name=wanted) == b"secret"
    forge(anna, name, **fields)
    refused(root, wanted, "forged", "read")
    assert secret.read_bytes() == SECRET


def test_a_section_of_memory_is_not_turned_into_one_of_a_file(as_user: AsUser, name: str, forge: Forge) -> None:
    anna, root = as_user(ANNA, CREW, granted=True), as_user(ROOT, granted=True)
    anna.do("first = namedshm.create('Global\\\\first', 1)")
    root.do("s = namedshm.create('Global\\\\' + name, 7000)", name=name)
    forge(anna, name, props=OBJ_FILE, data=-1)
    refused(root, f"Global\\{name}", "forged")


# ------------------------------------------------------------------------------------------------------------ what is at the path
def _replace(path: Path, what: str, elsewhere: Path) -> None:
    path.rename(path.with_name("moved"))
    if what == "fifo":
        os.mkfifo(path)
    elif what == "symbolic link":
        path.symlink_to(elsewhere)
    elif what == "link to the same file":
        path.symlink_to(path.with_name("moved"))
    elif what == "device":
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    elif what == "folder":
        path.mkdir()
    elif what == "other file":
        path.write_bytes(bytes(7000))


@pytest.mark.parametrize("what", ["nothing", "fifo", "symbolic link", "link to the same file", "device", "folder", "other file"])
@pytest.mark.timeout(30)
def test_what_replaced_the_file_is_not_taken_for_it_and_nobody_waits(
    as_user: AsUser, folder: Path, secret: Path, name: str, what: str
) -> None:
    maker, heir, opener = as_user(ROOT), as_user(ROOT), as_user(ROOT)
    path = folder / "file"
    maker.do(MAKE, path=str(path), name=name)
    heir.do("s = namedshm.open(name)", name=name)
    maker.kill()  # and with it the way through its descriptor
    _replace(path, what, secret)
    with pytest.raises(namedshm.AccessDenied, match="keep the file where it was"):
        opener.do("namedshm.open(name)", name=name)
    assert heir.do("s.map()[:6]") == b"public"
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize("what", ["the file", "fifo", "other file"])
@pytest.mark.timeout(30)
def test_without_proc_the_path_is_followed_and_checked(
    as_user: AsUser, session_name: str, folder: Path, name: str, what: str
) -> None:
    maker, path = as_user(ROOT), folder / "file"
    maker.do(MAKE, path=str(path), name=name)
    script = 'mount -t tmpfs none /proc && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    with Peer(prefix=prefix, session=session_name) as opener:
        assert opener.do("os.path.exists('/proc/self')") is False
        if what == "the file":
            assert opener.do("s = namedshm.open(name); s.map()[:6]", name=name) == b"public"
        else:
            _replace(path, what, path)
            with pytest.raises(namedshm.AccessDenied, match="keep the file where it was"):
                opener.do("namedshm.open(name)", name=name)


@pytest.mark.timeout(30)
def test_a_file_that_was_cut_is_an_error_and_no_bus_error(as_user: AsUser, folder: Path, name: str) -> None:
    maker, opener = as_user(ROOT), as_user(ROOT)
    path = folder / "file"
    maker.do(MAKE, path=str(path), name=name)
    opener.do("s = namedshm.open(name)", name=name)
    os.truncate(path, 4096)
    for peer in (maker, opener):
        with pytest.raises(namedshm.NamedShmError, match="cut"):
            peer.do("s.map()[6999]")
        assert peer.do("s.map(0, 4096)[:6]") == b"public"
    with pytest.raises(namedshm.AccessDenied, match="cut shorter"):
        opener.do("namedshm.open(name)", name=name)


@pytest.mark.timeout(30)
def test_a_text_without_an_end_is_refused(as_user: AsUser, folder: Path, name: str) -> None:
    maker, opener = as_user(ROOT), as_user(ROOT)
    maker.do(MAKE, path=str(folder / "file"), name=name)
    maker.do("at, n = mapped(s._handle.segments[0]); ctypes.memset(at, 0x3A, n)")
    with pytest.raises(namedshm.AccessDenied):
        opener.do("namedshm.open(name)", name=name)
