"""Nothing grows: memory, segments, descriptors and mappings after 100,000 rounds are what they were after the first ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer

pytestmark = pytest.mark.skipif(not on_linux, reason="counts what Linux shows in /proc")

MEASURE = """
import gc
def measure():
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * 4096
    with open("/proc/self/maps") as file:
        lines = file.readlines()
    with open("/proc/sysvipc/shm") as file:
        columns = file.readline().split()
        mine = [row for row in (dict(zip(columns, line.split())) for line in file) if int(row["cpid"]) == os.getpid()]
    return {
        "resident": resident,
        "mappings": len(lines),
        "attached": sum("/SYSV" in line for line in lines),
        "segments": len(mine),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }
"""

ROUNDS = {
    "create and close a queue": """
for n in range(count // 10):
    with namedshm.Queue.create(name, 16, 3000) as q:
        q.put(b"x")
        q.get()
""",
    "messages of a queue": """
q = namedshm.Queue.create(name, 16, 3000)
for n in range(count):
    q.put(bytes(n % 3000))
    with q.loan(10) as window:
        window[:5] = b"hello"
    with q.take() as message:
        len(message)
    q.put_many([b"x", bytes(2000)])
    q.get_many(10)
    try:
        q.get(0)
    except namedshm.queue.Empty:
        pass
q.close()
""",
    "create and close a name": """
for n in range(count):
    s = namedshm.create(name, 100)
    s.close()
""",
    "create, map, write and drop": """
for n in range(count):
    s = namedshm.create(name, 5000)
    v = s.map()
    v[0] = 1
    del s, v
""",
    "create under many names": """
for n in range(count):
    namedshm.create(name + str(n % 1000), 100 + n % 5000).close()
""",
    "open and close": """
s = namedshm.create(name, 100)
for n in range(count):
    namedshm.open(name).close()
s.close()
""",
    "map and close": """
s = namedshm.create(name, 5000)
for n in range(count):
    with s.map() as v:
        v[0] = 1
s.close()
""",
    "map for reading and close": """
s = namedshm.create(name, 5000)
for n in range(count):
    s.map(access="read").close()
s.close()
""",
    "buffers that outlive their view": """
s = namedshm.create(name, 5000)
for n in range(count):
    v = s.map(access="read")
    b = memoryview(v)
    v.close()
    b.release()
s.close()
del s, v, b
""",
    "duplicate and close": """
s = namedshm.create(name, 100)
for n in range(count):
    s.duplicate("read").close()
s.close()
""",
    "refusals": """
s = namedshm.create(name, 100)
for n in range(count):
    for call in (lambda: namedshm.create(name, 5), lambda: namedshm.open("missing"), lambda: s.map(0, 99999), lambda: s.map(1)):
        try: call()
        except OSError: pass
s.close()
""",
    "unnamed": """
for n in range(count):
    namedshm.create(None, 100).close()
""",
    "copies": """
s = namedshm.create(name, 5000)
for n in range(count):
    with s.map(access="copy") as v:
        v[0] = 1
s.close()
""",
    "copies by faults": """
from namedshm._backend.linux import native
native.set_kernel_copy(False)
s = namedshm.create(name, 5000)
for n in range(count):
    with s.map(access="copy") as v:
        v[0] = 1
s.close()
native.set_kernel_copy(True)
""",
    "reserved": """
for n in range(count):
    h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, 0, 1 << 20, name)
    v = win32.MapViewOfFile(h, win32.FILE_MAP_WRITE, 0, 0, 0)
    win32.view_commit(v, 0, 4096)
    win32.view_write(v, 0, b"x")
    win32.UnmapViewOfFile(v)
    win32.CloseHandle(h)
del v
""",
    "files": """
with open("/tmp/" + name, "w+b") as f:
    f.truncate(10000)
    for n in range(count):
        s = namedshm.create(name, 0, file=f.fileno())
        v = s.map()
        v[0] = 1
        s.close()
    del v
os.unlink("/tmp/" + name)
""",
    "records": """
from records.declared import Camera
from namedshm.records import Record
with Camera.create(name) as c:
    for n in range(count // 4):
        with Camera.open(name) as o, Record.open(name, "read") as r:
            o.frame = n
            assert r.frame == n
""",
    "win32": """
for n in range(count):
    h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 100, name)
    v = win32.MapViewOfFile(h, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    win32.UnmapViewOfFile(v)
    win32.CloseHandle(h)
del v
""",
    "the standard library's face": """
import pickle
from namedshm.shared_memory import ShareableList, SharedMemory
for n in range(count):
    block = SharedMemory(name, create=True, size=5000)
    twin = pickle.loads(pickle.dumps(block))
    part = twin.buf[5:]
    twin.close(), block.unlink(), block.close()
    items = ShareableList([n, "text", None], name=name)
    again = ShareableList(name=name)
    again[1] = n
    try: ShareableList(name="missing")
    except FileNotFoundError: pass
    items.shm.unlink(), items.shm.close()
    del items, again
del block, twin, part
""",
    "looking around": """
s = namedshm.create(name, 100)
for n in range(count // 10):
    namedshm.list_objects()
s.close()
""",
}
COUNTS = {
    "create and close a name": 100_000,
    "map and close": 100_000,
    "copies": 3000,
    "copies by faults": 5000,
    "reserved": 5000,
    "files": 5000,
    "refusals": 5000,
    "create under many names": 10_000,
    "the standard library's face": 10_000,
}


@pytest.mark.parametrize("what", ROUNDS)
def test_nothing_grows(what: str, name: str, peers: Callable[[], Peer]) -> None:
    count = COUNTS.get(what, 20_000)
    peer = peers()
    peer.do(MEASURE + ROUNDS[what], name=name, count=max(200, count // 50))
    before = peer.do("measure()")
    peer.do(ROUNDS[what], count=count)
    after = peer.do("measure()")
    # a few hundred KiB is what the allocator moves about; a leak of 10 bytes a round would be a MiB in 100,000 rounds
    assert after.pop("resident") - before.pop("resident") < (1 << 19)
    assert after.pop("mappings") - before.pop("mappings") <= 3  # arenas of the allocator come and go; a leak would make thousands
    assert after == before
    peer.close()  # measured on a fresh process each time


def test_names_that_come_and_go_do_not_fill_the_registry(name: str, peers: Callable[[], Peer]) -> None:
    # more names than it has places
    peer = peers()
    peer.do("for n in range(20000): namedshm.create(name + str(n), 10).close()", name=name)
    peer.do("keep = [namedshm.create(name + 'keep' + str(n), 10) for n in range(100)]")
    peer.do("for n in range(2000): namedshm.create(name + 'again' + str(n), 10).close()")
    assert peer.do("all(namedshm.open(name + 'keep' + str(n)).identity == s.identity for n, s in enumerate(keep))")


@pytest.mark.skipif(not on_linux or not shutil.which("strace"), reason="counts the system calls of Linux with strace")
@pytest.mark.parametrize("held", [255, 256, 512])
def test_what_a_creator_costs_does_not_depend_on_how_many_names_live(tmp_path: Path, held: int) -> None:
    """Dead entries are collected when the table has doubled, not by each creator that comes to a certain number."""

    def calls(rounds: int) -> int:
        code = f"import namedshm; held = [namedshm.create(f'n{{k}}', 1) for k in range({held})]\n"
        code += f"for k in range({rounds}): namedshm.create(f'm{{k % 3}}', 1).close()"
        log = tmp_path / f"{rounds}"
        command = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=shmctl", sys.executable, "-c", code]
        subprocess.run(command, check=True, timeout=100, env={**os.environ, "NAMEDSHM_SESSION": f"sweep-{os.getpid()}-{held}"})
        return log.read_text().count("shmctl(")

    assert (calls(60) - calls(20)) / 40 < 16
