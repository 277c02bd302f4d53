"""At the limits of the system: a clear error, nothing half made, and everything works again afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.facts import is_root, on_linux
from helpers.peer import Peer

import namedshm

pytestmark = pytest.mark.skipif(not on_linux, reason="limits of Linux")


@pytest.fixture
def small_table() -> Iterator[Callable[[int], Peer]]:
    """small_table(20) is a process in an IPC namespace of its own whose segment table has 20 places."""
    if not is_root or not shutil.which("unshare"):
        pytest.skip("needs root and unshare to have a segment table of its own")
    made: list[Peer] = []

    def make(places: int) -> Peer:
        script = f'echo {places} > /proc/sys/kernel/shmmni && exec "$@"'
        probe = subprocess.run(["unshare", "--ipc", "sh", "-c", script, "sh", "true"], capture_output=True, check=False)
        if probe.returncode:
            pytest.skip(f"the segment table cannot be made small here: {probe.stderr.decode(errors='replace').strip()}")
        peer = Peer(prefix=("unshare", "--ipc", "sh", "-c", script, "sh"))
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.close()


COUNT = "used = lambda: sum(1 for _ in open('/proc/sysvipc/shm')) - 1"


def test_a_full_segment_table_is_out_of_resources_1450_and_says_what_to_raise(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(20)
    peer.do("held = []")
    with pytest.raises(namedshm.OutOfResources, match=r"kernel\.shmmni") as caught:
        peer.do("while True: held.append(namedshm.create('n%d' % len(held), 100))")
    assert caught.value.winerror == 1450
    assert isinstance(caught.value, MemoryError)
    assert "sysctl" in str(caught.value)
    assert peer.do("len(held)") == 9  # one place for the registry, two a section


@pytest.mark.parametrize("places", range(2, 8))
def test_nothing_is_half_made_wherever_the_table_is_full(small_table: Callable[[int], Peer], places: int) -> None:
    peer = small_table(places)
    peer.do(COUNT + "\nheld = []")
    with pytest.raises(namedshm.OutOfResources):
        peer.do("while True: held.append(namedshm.create('n%d' % len(held), 100))")
    made = peer.do("len(held)")
    # an odd place is left over: it holds no half of a section
    assert peer.do("used()") <= 1 + 2 * made
    assert peer.do("[i.name for i in namedshm.list_objects()]") == [f"n{n}" for n in range(made)]
    with pytest.raises(namedshm.NotFound):
        peer.do("namedshm.open('n%d' % len(held))")
    if made:
        peer.do("held.pop().close(); s = namedshm.create('again', 100); s.map()[0] = 1")


def test_a_table_with_no_place_at_all_is_the_same_error(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(1)
    with pytest.raises(namedshm.OutOfResources, match=r"kernel\.shmmni"):
        peer.do("namedshm.create('x', 100)")
    peer.do(COUNT)
    assert peer.do("used()") <= 1  # the registry of this process, which stays with it
    with pytest.raises(namedshm.NotFound):
        peer.do("namedshm.open('x')")


def test_unnamed_sections_fill_the_table_with_the_same_error(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(5)
    peer.do("held = []")
    with pytest.raises(namedshm.OutOfResources, match=r"kernel\.shmmni"):
        peer.do("while True: held.append(namedshm.create(None, 100))")
    assert peer.do("len(held)") == 5


def test_opening_works_while_the_table_is_full(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(3)
    peer.do("s = namedshm.create('x', 100)")
    with pytest.raises(namedshm.OutOfResources):
        peer.do("namedshm.create('y', 100)")
    assert peer.do("namedshm.open('x').size") == 100
    assert peer.do("namedshm.create('x', 100, exist_ok=True).created") is False
    peer.do("v = s.map(access='read'); c = s.map(access='copy'); d = s.duplicate()")


def test_the_win32_spelling_reports_1450(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(1)
    assert peer.do("win32.CreateFileMapping(-1, None, 4, 0, 100, 'x')") == 0
    assert peer.do("win32.GetLastError()") == 1450


def test_namespaces_of_ipc_are_machines_of_their_own(small_table: Callable[[int], Peer], name: str) -> None:
    peer = small_table(100)
    with namedshm.create(name, 100), namedshm.create(f"Global\\{name}", 100):
        for text in (name, f"Global\\{name}"):
            with pytest.raises(namedshm.NotFound):
                peer.do("namedshm.open(text)", text=text)


# ------------------------------------------------------------------------------------------------------------ memory
def test_the_limit_of_all_shared_memory_is_named_in_the_error(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(50)
    peer.do("open('/proc/sys/kernel/shmall', 'w').write('6000')")  # pages: the registry is large, but not reserved
    with pytest.raises(namedshm.OutOfResources, match=r"kernel\.shmall"):
        peer.do("held = [namedshm.create('n%d' % n, 4 << 20) for n in range(20)]")


def test_the_largest_segment_allowed_is_named_in_the_error(small_table: Callable[[int], Peer]) -> None:
    peer = small_table(50)
    peer.do("s = namedshm.create('first', 1); open('/proc/sys/kernel/shmmax', 'w').write('1000000')")
    with pytest.raises(namedshm.OutOfResources, match=r"kernel\.shmmax"):
        peer.do("namedshm.create('x', 2000000)")
    with pytest.raises(namedshm.NotFound):
        peer.do("namedshm.open('x')")


def test_too_little_address_space_is_out_of_resources(name: str) -> None:
    with Peer() as peer:
        # on top of what it has: a free-threaded Python reserves a GiB for itself
        peer.do("import resource; has = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()")
        peer.do("resource.setrlimit(resource.RLIMIT_AS, (has + (1 << 30),) * 2)")
        with pytest.raises(namedshm.OutOfResources, match=name):
            peer.do("namedshm.create(name, 2 << 30)", name=name)
        with pytest.raises(namedshm.NotFound):
            peer.do("namedshm.open(name)")
        peer.do("s = namedshm.create(name, 100 << 20)")
        with pytest.raises(namedshm.OutOfResources):
            peer.do("views = [s.map(access='read') for _ in range(20)]")
        assert peer.do("s.map()[0]") == 0
        peer.do("s.close()")
        with pytest.raises(namedshm.NotFound):
            namedshm.open(name)


def test_more_than_the_machine_has_is_refused_before_anything_is_made(name: str) -> None:
    with open("/proc/meminfo", encoding="ascii") as file:
        total = sum(int(line.split()[1]) for line in file if line.startswith(("MemTotal:", "SwapTotal:"))) * 1024
    with pytest.raises(namedshm.OutOfResources, match=name) as caught:
        namedshm.create(name, total + (1 << 20))
    assert caught.value.winerror == 1455
    assert "reserve" in str(caught.value)
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


@pytest.fixture
def cgroup(name: str) -> Iterator[Path]:
    """A folder of the memory controller with a limit of 64 MiB."""
    for root, maximum in ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"), (Path("/sys/fs/cgroup"), "memory.max")):
        folder = root / f"namedshm-{name}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / maximum).write_text(str(64 << 20))
        except OSError:
            folder.rmdir()
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("no cgroup with a memory limit can be made here")


def test_more_than_the_cgroup_allows_is_refused_and_the_group_named(cgroup: Path, name: str) -> None:
    with Peer() as peer:
        (cgroup / "cgroup.procs").write_text(str(peer.pid))
        with pytest.raises(namedshm.OutOfResources, match="cgroup") as caught:
            peer.do("namedshm.create(name, 100 << 20)", name=name)
        assert caught.value.winerror == 1455
        assert cgroup.name in str(caught.value)
        with pytest.raises(namedshm.NotFound):
            namedshm.open(name)
        peer.do("s = namedshm.create(name, 20 << 20); v = s.map(); v[:] = bytes(len(v))")


# ------------------------------------------------------------------------------------------------------------ forbidden calls
SECCOMP = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
# a filter that answers shmget (29 on x86-64) with ENOSYS and lets everything else pass
program = b"".join(struct.pack("HBBI", *row) for row in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 29), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)))
buffer = ctypes.create_string_buffer(program)
head = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, head, 0, 0) == 0, ctypes.get_errno()
"""


@pytest.mark.skipif(os.uname().machine != "x86_64" if on_linux else True, reason="the filter is written for x86-64")
def test_a_sandbox_without_system_v_memory_is_unsupported_and_says_what_to_allow(name: str) -> None:
    with Peer(session=f"seccomp-{name}") as peer:
        peer.do(SECCOMP)
        with pytest.raises(namedshm.Unsupported, match="shmget") as caught:
            peer.do("namedshm.create(name, 100)", name=name)
        assert caught.value.winerror in (50, 120)
        assert isinstance(caught.value, NotImplementedError)
        with pytest.raises(namedshm.Unsupported):
            peer.do("namedshm.create(None, 100)")


# ------------------------------------------------------------------------------------------------------------ many
def test_a_thousand_names_are_made_opened_listed_and_let_go(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    made = [namedshm.create(f"{name}-{number}", 100 + number) for number in range(1000)]
    for number, section in enumerate(made):
        section.map()[:4] = b"%4d" % number
    got = peer.do(
        """
opened = [namedshm.open(f"{name}-{n}") for n in range(1000)]
all(s.size == 100 + n and s.map()[:4] == b"%4d" % n for n, s in enumerate(opened))
""",
        name=name,
    )
    assert got
    listed = {info.name for info in namedshm.list_objects()}
    assert {section.name for section in made} <= listed
    for section in made:
        section.close()
    peer.do("for s in opened: s.close()")
    assert not {info.name for info in namedshm.list_objects() if info.name.startswith(name)}
    with namedshm.create(f"{name}-500", 7) as section:
        assert section.created
