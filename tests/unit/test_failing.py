"""What failing needs is there before it fails: no failure imports a module or opens a file, so each is told also when the
interpreter ends, when no descriptor is left, and when the package cannot be read any more (chroot, setuid).

Every failure below is met in each of these situations.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.facts import is_root, on_linux
from helpers.peer import born

import namedshm

PACKAGE = Path(namedshm.__file__).resolve().parent

#: `failures()` meets all of them; what is imported here is what a program that does the same imports.
FAILURES = f"""
import os, pickle, sys
import namedshm
from namedshm import inspection, managers, records, shared_memory, sync, win32
arrays = arrow = None
if {bool(importlib.util.find_spec("numpy"))}:
    from namedshm import arrays
    import numpy
if {bool(importlib.util.find_spec("pyarrow"))}:
    from namedshm import arrow
    import pyarrow

class Camera(records.Record):
    frame: int = 0

class Other(records.Record):
    exposure: float = 0

def start():
    global keep, lost, mutex, semaphore, camera, reading, unnamed, old
    keep = namedshm.create("keep", 100)
    unnamed = namedshm.create(None, 100)
    reading = namedshm.open("keep", "read")
    mutex, semaphore = namedshm.Mutex("mutex"), namedshm.Semaphore("semaphore", initial=1, maximum=1)
    camera = Camera.create("camera")
    old = []
    with namedshm.create("lost", 100) as section, namedshm.Event("lost-event") as event, Camera.create("lost-camera") as gone:
        block = shared_memory.SharedMemory("lost-block", create=True, size=10)
        old = [pickle.dumps(thing) for thing in (section, section.map(), event, gone, block)]
        block.close()
        block.unlink()
    keep.map().populate()
    namedshm.copy, namedshm.Event, namedshm.list_objects  # first used here: the modules are imported

def failing():
    yield "NotFound", lambda: namedshm.open("missing")
    yield "NotFound", lambda: namedshm.Event.open("missing")
    yield "NotFound", lambda: shared_memory.SharedMemory("missing")
    yield "NotFound", lambda: shared_memory.ShareableList(name="missing")
    yield "NotFound", lambda: Camera.open("missing")
    yield "AlreadyExists", lambda: namedshm.create("keep", 100)
    yield "AlreadyExists", lambda: namedshm.Mutex("mutex", exist_ok=False)
    yield "AlreadyExists", lambda: shared_memory.SharedMemory("keep", create=True, size=1)
    yield "WrongType", lambda: namedshm.open("mutex")
    yield "WrongType", lambda: namedshm.Mutex("keep")
    yield "AccessDenied", lambda: reading.map(access="write")
    yield "AccessDenied", lambda: reading.map().__setitem__(0, 1)
    yield "AccessDenied", lambda: namedshm.copy(reading.map(), b"x" * 100)
    yield "AccessDenied", lambda: namedshm.Mutex.open("mutex", "wait").duplicate("full")
    yield "ClosedHandle", lambda: closed().map()
    yield "ClosedHandle", lambda: pickle.dumps(closed())
    yield "ClosedHandle", lambda: closed_view()[0]
    yield "InvalidName", lambda: namedshm.open("a\\\\b")
    yield "InvalidName", lambda: namedshm.create("x" * 300, 1)
    yield "InvalidArgument", lambda: namedshm.create("x", 0)
    yield "InvalidArgument", lambda: keep.map(1)
    yield "InvalidArgument", lambda: namedshm.create("x", 1, mode=0o777)
    yield "InvalidArgument", lambda: mutex.acquire(float("nan"))
    yield "InvalidArgument", lambda: namedshm.wait_any([mutex] * 65)
    yield "InvalidArgument", lambda: namedshm.wait_all([mutex, mutex])
    yield "InvalidArgument", lambda: keep.map().populate(200)
    yield "InvalidArgument", lambda: namedshm.copy(bytearray(3), b"xx")
    yield "OutOfResources", lambda: namedshm.create("x", 1 << 63)
    yield "OutOfResources", lambda: namedshm.create("x", 1 << 60, reserve=True)
    if sys.platform == "linux":
        yield "InvalidArgument or OutOfResources", lambda: namedshm.create("Global\\\\x", 1, mode=0o660, group="no such group")
        yield "NamedShmError", lambda: namedshm.create("x", 10, file=999)
        yield "Unsupported", lambda: namedshm.create("x", 10, huge_pages="require")
    yield "NotOwned", lambda: mutex.release()
    yield "LimitExceeded", lambda: semaphore.release()
    yield "AttributeError", lambda: camera.__setattr__("typo", 1)
    yield "TypeError", lambda: camera.update(typo=1)
    yield "TypeError", lambda: pickle.dumps(unnamed)
    yield "InvalidContent", lambda: Other.open("camera")
    yield "NotReady", lambda: Camera.open("keep", timeout=0)
    for data in old if sys.meta_path else ():  # pickle imports
        yield "NotFound", lambda data=data: bool(pickle.loads(data))
    if arrays:
        yield "NotFound", lambda: arrays.open("missing")
        yield "NotReady", lambda: arrays.open("keep", timeout=0)
        yield "InvalidContent", lambda: arrays.open("content")
        yield "InvalidArgument", lambda: arrays.create("x", -1)
    if arrow:
        yield "NotFound", lambda: arrow.open("missing")
        yield "NotReady", lambda: arrow.open("keep", timeout=0)
        yield "InvalidContent", lambda: arrow.open("content")
    yield 2, lambda: win32.OpenFileMapping(win32.FILE_MAP_READ, False, "missing")
    yield 6, lambda: win32.SetEvent(0x12345678)
    yield 6, lambda: win32.CreateMutex(None, False, "keep")
    yield 87, lambda: win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, 0, 0, 1, None)
    yield 123, lambda: win32.CreateEvent(None, True, True, "x" * 300) or win32.SetLastError(123)

def closed():
    twin = keep.duplicate()
    twin.close()
    return twin

def closed_view():
    view = keep.map()
    view.close()
    return view

def failures():
    content = namedshm.create("content", 100)
    content.map()[:8] = b"nonsense"
    met = 0
    for expected, call in failing():
        try:
            result = call()
        except Exception as error:
            text = str(error)
            got = type(error).__name__
        else:
            got, text = win32.GetLastError(), str(result)
        if got != expected and str(got) not in str(expected).split(" or "):  # without a descriptor nobody knows groups
            tell(f"{{expected}}: {{got}} {{text}}\\n")
        met += 1
    content.close()
    tell(f"met {{met}}\\n")

def tell(text):
    os.write(1, text.encode())
"""

#: Each ends in the situation in which `failures()` are met.
SITUATIONS = {
    "as ever": "start(); failures()",
    "importing nothing": """
start()
before = set(sys.modules)
failures()
tell(f"{sorted(set(sys.modules) - before)}\\n")
""",
    "the end of the interpreter": """
class Late:
    def __del__(self, failures=failures):
        failures()
start()
late = Late()
""",
    "the end, by the collector": """
class Late:
    def __del__(self, failures=failures):
        failures()
start()
late = Late()
late.me = late
""",
    "atexit": "import atexit; start(); atexit.register(failures)",
    "no descriptor left": """
start()
try:
    while True:
        os.dup(1)
except OSError:
    pass
failures()
""",
    "chroot": """
start()
os.mkdir(sys.argv[1] + "/root")
os.chroot(sys.argv[1] + "/root")
os.chdir("/")
failures()
""",
    "another user who cannot read the package": """
os.setegid(65534); os.seteuid(65534)
start()
os.seteuid(0)
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
try:
    open(namedshm.__file__)
except PermissionError:
    failures()
""",
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_failure_is_told(situation: str, tmp_path: Path, name: str) -> None:
    if not on_linux and situation not in ("as ever", "importing nothing", "atexit", "the end of the interpreter"):
        pytest.skip("a situation of Linux")
    if situation in ("chroot", "another user who cannot read the package") and not is_root:
        pytest.skip("needs root")
    root = PACKAGE.parent
    if situation.startswith("another user"):
        root = tmp_path / "private"
        root.mkdir(mode=0o700)
        shutil.copytree(PACKAGE, root / "namedshm")  # readable by its owner alone
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n" + (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n" if situation == "no descriptor left" else ""
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code + FAILURES + SITUATIONS[situation], str(tmp_path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "NAMEDSHM_SESSION": f"{os.environ['NAMEDSHM_SESSION']}-{name}"},
    )  # fmt: skip
    born.add(process.pid)
    output, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints[-4000:]
    assert not complaints
    lines = output.splitlines()
    assert lines[0].startswith("met "), output
    assert int(lines[0].split()[1]) > 40
    assert lines[1:] == (["[]"] if situation == "importing nothing" else [])
