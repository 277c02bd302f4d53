"""What madvise and /proc do not give: then pages come by touching, or the error says why there are none."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer

import namedshm

from .test_populate import lost_while

pytestmark = pytest.mark.skipif(not on_linux, reason="system calls of Linux")

MADVISE = 10  # in faultshim.h
START = """
import ctypes, errno
shim = ctypes.CDLL(shim_path)
section = namedshm.create(None, 2**23)
view = section.map()
source = bytes(range(1, 256)) * 2**15
source += bytes(2**23 - len(source))
def mapped():
    with open('/proc/self/pagemap', 'rb', buffering=0) as file:
        file.seek(view.address // 4096 * 8)
        entries = file.read(len(view) // 4096 * 8)
    return sum(entries[n * 8 + 7] >> 7 for n in range(len(view) // 4096))
"""


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Callable[[str], Peer]]:
    """A process in which madvise fails when shim.fault_arm says so."""
    from crash.build import build

    shim = build("faultshim", tmp_path, name="faultshim.so", flags=("-O2", "-shared", "-fPIC"))
    with Peer(prefix=("env", f"LD_PRELOAD={shim}")) as peer:
        peer.do(START, shim_path=str(shim))
        yield peer


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EAGAIN])
def test_where_madvise_cannot_pages_are_touched(faulty: Peer, number: int) -> None:
    faulty.do("view[5] = 9; shim.fault_arm(madvise, 0, number); view.populate(threads=2)", madvise=MADVISE, number=number)
    assert faulty.do("shim.fault_disarm()") == 1
    assert faulty.do("mapped()") == 2**23 // 4096
    assert faulty.do("view[:] == bytes(5) + bytes([9]) + bytes(2**23 - 6)")


def test_touching_loses_nothing_that_others_write_meanwhile(faulty: Peer, name: str) -> None:
    with namedshm.create(name, 2) as section, section.map() as view:
        faulty.do("view = namedshm.open(name).map(); shim.fault_arm(madvise, 0, errno.EINVAL)", name=name, madvise=MADVISE)
        assert lost_while(faulty, view) == 0
        assert faulty.do("shim.fault_disarm()") == 1


def test_read_only_views_are_looked_at(faulty: Peer) -> None:
    faulty.do("view = section.map(access='read'); shim.fault_arm(madvise, 0, errno.EINVAL); view.populate()", madvise=MADVISE)
    assert faulty.do("shim.fault_disarm()") == 1
    assert faulty.do("mapped()") == 2**23 // 4096


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_where_madvise_cannot_a_copy_is_whole_all_the_same(faulty: Peer, number: int) -> None:
    faulty.do("shim.fault_arm(madvise, 0, number); namedshm.copy(view, source, threads=2)", madvise=MADVISE, number=number)
    assert faulty.do("shim.fault_disarm()") == 1
    assert faulty.do("view[:] == source")


@pytest.mark.parametrize("call", ["view.populate(threads=3)", "namedshm.copy(view, source, threads=3)"])
@pytest.mark.parametrize("nth", [1, 3])
def test_no_memory_is_an_error_that_says_so_and_the_next_call_works(faulty: Peer, call: str, nth: int) -> None:
    with pytest.raises(namedshm.OutOfResources, match="no memory for the pages") as caught:
        faulty.do(f"shim.fault_arm(madvise, nth, errno.ENOMEM)\n{call}", madvise=MADVISE, nth=nth)
    assert caught.value.errno == errno.ENOMEM
    assert caught.value.call in call
    faulty.do("shim.fault_disarm()")
    faulty.do(call)
    assert faulty.do("mapped()") == 2**23 // 4096


@pytest.mark.parametrize("call", ["view.populate()", "namedshm.copy(view, source)"])
@pytest.mark.parametrize("number", [errno.EFAULT, 133])  # EHWPOISON
def test_pages_that_cannot_be_are_an_error(faulty: Peer, call: str, number: int) -> None:
    with pytest.raises(namedshm.NamedShmError) as caught:
        faulty.do(f"shim.fault_arm(madvise, 2, number)\n{call}", madvise=MADVISE, number=number)
    assert caught.value.errno == number
    assert len(caught.value.strerror or "") > 40


def test_without_a_descriptor_left_a_copy_is_made_by_faults(faulty: Peer) -> None:
    faulty.do("namedshm.copy(bytearray(2**22), bytes(2**22))\nimport resource")  # what is imported later is there
    faulty.do("limits = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))")
    faulty.do("shim.fault_arm(madvise, 1, errno.ENOMEM); namedshm.copy(view, source)", madvise=MADVISE)
    assert faulty.do("shim.fault_disarm()") == 0
    faulty.do("resource.setrlimit(resource.RLIMIT_NOFILE, limits)")
    assert faulty.do("view[:] == source")
