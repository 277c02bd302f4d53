"""Where no file can be had: no /proc (chroot), a /proc of processes alone, no free descriptor.

What is known by system calls works; the rest is an error of this package that tells the truth, and never "nobody holds it".
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.facts import is_root, on_linux
from helpers.peer import Peer

import namedshm

pytestmark = pytest.mark.skipif(not on_linux, reason="files of Linux")

#: What each call may end in where files are missing; "" means that it works.  ``file`` is a descriptor open since before.
CALLS = {
    "namedshm.create('small', 100)": "",
    "namedshm.create(None, 100)": "",
    "namedshm.create('large', 40 << 20)": "",
    "namedshm.create(None, 40 << 20)": "",
    "namedshm.create('reserved', 1 << 30, reserve=True)": "",
    "namedshm.create('huge', 40 << 20, huge_pages='try')": "",
    "namedshm.create('huge', 40 << 20, huge_pages='require')": "Unsupported",
    "namedshm.create('held', 100)": "AlreadyExists",
    "namedshm.create('held', 100, exist_ok=True)": "",
    "namedshm.create('held-file', 100, exist_ok=True)": "AccessDenied OutOfResources",
    "namedshm.create('file', 100, file=file)": "OutOfResources",
    "namedshm.create(None, 100, file=file)": "OutOfResources",
    "namedshm.open('held')": "",
    "namedshm.open('held', 'read').map()[0]": "",
    "namedshm.open('held').map(access='copy')[0]": "",
    "namedshm.open('held').duplicate('read')": "",
    "namedshm.open('held').map().populate()": "",
    "namedshm.open('held-file')": "AccessDenied OutOfResources",
    "namedshm.open('held-event')": "WrongType",
    "namedshm.open('missing')": "NotFound",
    "namedshm.Mutex.open('missing')": "NotFound",
    "namedshm.describe('missing')": "NotFound",
    "namedshm.describe('held').handles >= 1 or 1 / 0": "",
    "namedshm.describe('held').resident is None or 1 / 0": "",
    "len(namedshm.list_objects()) >= 2 or 1 / 0": "OutOfResources",
    "pickle.loads(pickled)": "",
    "namedshm.Mutex('mutex').acquire(1)": "",
    "namedshm.Event('event', initial=True).wait(1)": "",
    "namedshm.Semaphore('semaphore', initial=1, maximum=2).acquire(1)": "",
    "namedshm.Event.open('held-event').set()": "",
    "namedshm.wait_any([namedshm.Event.open('held-event')], timeout=1)": "",
    "namedshm.wait_all([namedshm.Event.open('held-event')], timeout=1)": "",
    "namedshm.create('Global\\\\new', 100)": "OutOfResources",
    "namedshm.open('Global\\\\held')": "OutOfResources",
    "namedshm.open('Global\\\\missing')": "NotFound OutOfResources",
    "namedshm.describe('Global\\\\held')": "OutOfResources",
    "namedshm.create('group', 100, group='root')": "",
    "backend.backend_state()": "OutOfResources",
    "backend.receive_handle(0x12345678)": "ClosedHandle",
    "win32.CreateFileMapping(-1, None, 4, 0, 40 << 20, 'large32') or 1 / 0": "",
    "win32.OpenFileMapping(win32.FILE_MAP_READ, False, 'held') or 1 / 0": "",
}

ALWAYS = ("AlreadyExists", "ClosedHandle", "NotFound", "WrongType")  # what has nothing to do with files

OUTCOME = """
def outcome(code):
    try:
        eval(code)
    except namedshm.NamedShmError as error:
        return type(error).__name__, str(error)
    except Exception as error:
        return 'BUILTIN ' + type(error).__name__, str(error)
    return '', ''
import pickle
from namedshm._backend import backend
[getattr(namedshm, name) for name in namedshm.__all__]   # functions are loaded when first used
import namedshm.copying
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """What this process holds: a section, a section of a file, an event, a Global section."""
    import pickle

    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    with (
        path.open("r+b") as file,
        namedshm.create("held", 100) as section,
        namedshm.create("held-file", 100, file=file.fileno()),
        namedshm.Event("held-event", manual=True),
        namedshm.create("Global\\held", 100),
    ):
        yield str(path), pickle.dumps(section)


@pytest.fixture(params=["chroot", "a proc of processes alone", "no descriptor"])
def place(request: pytest.FixtureRequest, held: tuple[str, bytes], tmp_path: Path) -> Iterator[Peer]:
    prefix: tuple[str, ...] = ()
    if request.param == "a proc of processes alone":
        script = 'mount -t proc -o subset=pid proc /proc && exec "$@"'
        prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
        if not is_root or not shutil.which("unshare"):
            pytest.skip("needs root and unshare")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
            pytest.skip("proc cannot be mounted so here")
    if request.param == "chroot" and not is_root:
        pytest.skip("only root changes its root directory")
    with Peer(prefix=prefix) as peer:
        peer.do(OUTCOME)
        peer.do("file = os.open(path, os.O_RDWR)", path=held[0])
        if request.param == "chroot":
            empty = tmp_path / "empty"
            empty.mkdir()
            peer.do("os.chroot(path); os.chdir('/')", path=str(empty))
        if request.param == "no descriptor":
            peer.do("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 1,) * 2)")
            with pytest.raises(OSError, match="Too many open files"):
                peer.do("os.dup(0)")
        yield peer


def test_every_call_works_or_says_truly_why_not(place: Peer, held: tuple[str, bytes], request: pytest.FixtureRequest) -> None:
    where = request.node.callspec.params["place"]
    wrong = {}
    for call, allowed in CALLS.items():
        kind, text = place.do("outcome(code)", code=call, pickled=held[1])
        expected = {"", *allowed.split()} if where == "no descriptor" else {"", *allowed.split()} - {"OutOfResources"}
        if allowed in ALWAYS:
            expected = {allowed}
        if kind not in expected or (kind == "OutOfResources" and "ulimit -n" not in text):
            wrong[call] = kind, text
    assert not wrong


def test_more_than_the_machine_ever_has_is_refused_all_the_same(place: Peer) -> None:
    with pytest.raises(namedshm.OutOfResources, match="the machine's memory and swap has room for"):
        place.do("namedshm.create('x', 1 << 50)")


def test_the_command_line_works_without_the_files_of_proc(name: str) -> None:
    script = 'mount -t proc -o subset=pid proc /proc && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    if not is_root or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("proc cannot be mounted so here")
    pytest.importorskip("click")

    def run(*arguments: str) -> str:
        command = [*prefix, sys.executable, "-m", "namedshm.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    with namedshm.create(name, 100):
        assert name in run("list")
        assert '"resident": null' in run("list", "--json")
        assert "100" in run("show", name)
        assert f"Holding section {name}" in run("hold", name, "--for", "0.1s")
        assert "new section" in run("hold", f"{name}-large", "--create", "40MiB", "--for", "0.1s")
