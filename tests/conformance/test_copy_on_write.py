"""Copy-on-write views: own writes are private page by page, others' writes are seen until then.

On Linux there are two ways (the kernel's, for processes that may; faults, for everybody else), and each test runs with both.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from helpers.facts import GRANULARITY, PAGE, on_linux
from helpers.peer import ForkedPeer, Peer
from helpers.spelling import Pythonic, Win32

import namedshm
from namedshm import win32 as w

Api = Pythonic | Win32
FORCE_FAULTS = "from namedshm._backend.linux import native; native.set_kernel_copy(False)"


@pytest.fixture(params=["kernel", "fault"] if on_linux else ["kernel"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    if not on_linux:
        yield request.param
        return
    from namedshm._backend.linux import native

    native.set_kernel_copy(request.param == "kernel")
    yield request.param
    native.set_kernel_copy(True)


def test_own_writes_are_private(api: Api, name: str, other: Peer) -> None:
    handle = api.create(name, 2 * PAGE)
    shared, copy = api.map(handle), api.map(handle, "copy")
    shared[:6] = b"shared"
    copy[:4] = b"mine"
    assert copy[:6] == b"mineed"
    assert shared[:6] == b"shared"
    assert other.do("bytes(api.map(api.open(name))[:6])") == b"shared"


def test_others_writes_are_seen_until_ones_own_write_to_that_page(api: Api, name: str, other: Peer) -> None:
    other.do("h = api.create(name, 2 * 4096); v = api.map(h)")
    copy = api.map(api.open(name, "copy"), "copy")
    other.do("v[:5] = b'first'; v[4096:4101] = b'first'")
    assert copy[:5] == b"first"
    copy[100] = 1  # the first page is private from here on
    other.do("v[:5] = b'later'; v[4096:4101] = b'later'")
    assert copy[:5] == b"first"
    assert copy[PAGE : PAGE + 5] == b"later"
    copy[PAGE + 100] = 1
    other.do("v[4096:4101] = b'again'")
    assert copy[PAGE : PAGE + 5] == b"later"
    assert other.do("v[100] + v[4196]") == 0


def test_a_write_across_a_page_border_makes_both_pages_private(api: Api, name: str) -> None:
    handle = api.create(name, 3 * PAGE)
    shared, copy = api.map(handle), api.map(handle, "copy")
    copy[PAGE - 2 : PAGE + 2] = b"abcd"
    shared[:] = b"s" * len(shared)
    assert copy[PAGE - 2 : PAGE + 2] == b"abcd"
    assert copy[0] == 0
    assert copy[2 * PAGE - 1] == 0
    assert copy[2 * PAGE] == ord("s")


def test_a_copy_of_everything_leaves_the_object_alone(api: Api, name: str) -> None:
    handle = api.create(name, 1 << 20)
    shared, copy = api.map(handle), api.map(handle, "copy")
    shared[:] = b"s" * len(shared)
    copy[:] = b"c" * len(copy)
    assert shared[:] == b"s" * len(shared)
    assert copy[:] == b"c" * len(copy)


def test_two_copies_do_not_see_each_other(api: Api, name: str, other: Peer) -> None:
    handle = api.create(name, PAGE)
    one, two = api.map(handle, "copy"), api.map(handle, "copy")
    if on_linux:
        other.do(FORCE_FAULTS)
    other.do("c = api.map(api.open(name, 'copy'), 'copy'); c[:5] = b'three'")
    one[:3] = b"one"
    two[:3] = b"two"
    assert one[:5] == b"one\0\0"
    assert two[:5] == b"two\0\0"
    assert other.do("bytes(c[:5])") == b"three"
    assert api.map(handle)[:5] == bytes(5)
    if on_linux:
        other.do("native.set_kernel_copy(True)")


@pytest.mark.parametrize("offset", [GRANULARITY, 2 * GRANULARITY])
def test_a_copy_may_begin_at_an_offset(api: Api, name: str, offset: int) -> None:
    handle = api.create(name, 3 * GRANULARITY)
    shared = api.map(handle)
    shared[offset : offset + 4] = b"here"
    copy = api.map(handle, "copy", offset, 100)
    assert copy[:4] == b"here"
    copy[:4] = b"mine"
    assert shared[offset : offset + 4] == b"here"
    assert copy[:4] == b"mine"


def test_a_copy_needs_no_more_than_reading(api: Api, name: str, other: Peer) -> None:
    other.do("h = api.create(name, 100); v = api.map(h); v[:2] = b'ok'")
    copy = api.map(api.open(name, "read"), "copy")
    copy[2] = ord("!")
    assert copy[:3] == b"ok!"


def test_a_copy_of_a_read_only_object_is_writable(name: str) -> None:
    with namedshm.create(name, 100, writable=False) as section:
        copy = section.map(access="copy")
        copy[:4] = b"mine"
        assert copy[:4] == b"mine"
        assert section.map()[:4] == bytes(4)


def test_a_copy_outlives_its_handle_like_any_view(api: Api, name: str) -> None:
    handle = api.create(name, 2 * PAGE)
    api.map(handle)[:6] = b"shared"
    copy = api.map(handle, "copy")
    copy[PAGE] = 9
    api.close(handle)
    assert copy[:6] == b"shared"
    copy[0] = ord("S")
    assert copy[:6] == b"Shared"
    assert copy[PAGE] == 9


def test_a_copy_keeps_the_memory_but_not_the_name(name: str) -> None:
    section = namedshm.create(name, 100)
    buffer = memoryview(section.map(access="copy"))
    section.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    buffer[0] = 5
    assert buffer[0] == 5


def test_a_buffer_of_a_copy_is_writable_and_private(name: str) -> None:
    with namedshm.create(name, 2 * PAGE) as section:
        shared, copy = section.map(), section.map(access="copy")
        assert not copy.readonly
        buffer = memoryview(copy)
        buffer[0:4] = b"mine"
        buffer[PAGE] = 1
        copy.close()
        assert bytes(buffer[:4]) == b"mine"
        assert shared[:4] == bytes(4)


def test_the_object_lives_on_unchanged_after_the_process_with_the_copy_was_killed(
    api: Api, name: str, others: Callable[[], Peer], way: str
) -> None:
    handle = api.create(name, PAGE)
    victim = others()
    if way == "fault":
        victim.do(FORCE_FAULTS)
    victim.do("c = api.map(api.open(name), 'copy'); c[:4] = b'mine'")
    victim.kill()
    assert api.map(handle)[:4] == bytes(4)


def test_threads_writing_one_page_at_once_all_succeed(name: str) -> None:
    # each writes its own bytes of every page without the GIL; a second copying of a page would undo the first thread's
    pages, count = 64, 4
    with namedshm.create(name, pages * PAGE) as section:
        shared = section.map()
        for _ in range(5):
            copy = memoryview(section.map(access="copy"))
            barrier = threading.Barrier(count)

            def write(number: int, copy: memoryview = copy, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                for page in range(pages):
                    copy[page * PAGE + number] = number + 1

            threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for page in range(pages):
                assert bytes(copy[page * PAGE : page * PAGE + count]) == b"\1\2\3\4"
        assert shared[:] == bytes(pages * PAGE)


def test_a_forked_childs_writes_to_an_inherited_copy_are_its_own(
    name: str, peers: Callable[[], Peer], way: str, fork: Callable[[Peer], ForkedPeer]
) -> None:
    parent = peers()
    if way == "fault":
        parent.do(FORCE_FAULTS)
    parent.do("s = namedshm.create(name, 8192); v = s.map(); c = s.map(access='copy'); c[0] = 1", name=name)
    child = fork(parent)
    child.do("c[1] = 2; c[4096] = 2")
    assert parent.do("bytes(c[:2]), c[4096]") == (b"\1\0", 0)
    parent.do("c[1] = 3; c[4096] = 3")
    assert child.do("bytes(c[:2]), c[4096]") == (b"\1\2", 2)
    assert parent.do("bytes(v[:2]), v[4096]") == (b"\0\0", 0)
    if way == "fault":
        parent.do("native.set_kernel_copy(True)")


def test_many_copies_come_and_go(name: str) -> None:
    with namedshm.create(name, 10 * PAGE) as section:
        for number in range(300):
            with section.map(access="copy") as copy:
                copy[0] = number % 256
                copy[9 * PAGE] = number % 256
                assert copy[0] == copy[9 * PAGE] == number % 256
        assert section.map()[0] == 0


def test_a_copied_page_stays_copied_when_handles_and_other_views_come_and_go(api: Api, name: str) -> None:
    handle = api.create(name, PAGE)
    copy = api.map(handle, "copy")
    copy[:4] = b"mine"
    for _ in range(10):
        api.unmap(api.map(handle, "copy"))
        api.unmap(api.map(handle))
    api.map(handle)[:4] = b"them"
    assert copy[:4] == b"mine"


def test_a_write_copy_view_is_reported_as_such(name: str) -> None:
    handle = w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, 100, name)
    view = w.MapViewOfFile(handle, w.FILE_MAP_COPY, 0, 0, 0)
    assert view is not None
    assert w.view_protect(view) == w.PAGE_WRITECOPY


@pytest.mark.skipif(not on_linux, reason="the fault-driven way exists on Linux only")
def test_a_real_segmentation_fault_still_ends_the_process_after_a_copy_was_mapped(
    name: str, peers: Callable[[], Peer], way: str
) -> None:
    peer = peers()
    peer.do("import faulthandler, ctypes, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))")
    if way == "fault":
        peer.do(FORCE_FAULTS)
    peer.do("s = namedshm.create(name, 100); c = s.map(access='copy'); c[0] = 1", name=name)
    peer.start("ctypes.memset(16, 1, 1)")
    with pytest.raises(RuntimeError):
        peer.result()
    peer.close()
    assert peer._process.returncode == -11


@pytest.mark.skipif(sys.platform == "win32", reason="the fault-driven way exists on Linux only")
@pytest.mark.parametrize("order", ["before", "after"])
def test_faulthandler_and_copies_get_along(
    name: str, peers: Callable[[], Peer], way: str, order: str, request: pytest.FixtureRequest
) -> None:
    if way == "fault" and order == "after":
        reason = "a SIGSEGV handler installed after map() takes the faults away: it would have to chain"
        request.applymarker(pytest.mark.xfail(reason=reason, raises=RuntimeError, strict=True))
    peer = peers()
    if way == "fault":
        peer.do(FORCE_FAULTS)
    peer.do("import faulthandler; s = namedshm.create(name, 8192)", name=name)
    if order == "before":
        peer.do("faulthandler.enable(open(os.devnull, 'w')); c = s.map(access='copy')")
    else:
        peer.do("c = s.map(access='copy'); faulthandler.enable(open(os.devnull, 'w'))")
    assert peer.do("c[0] = 7; c[4096] = 8; c[0] + c[4096]") == 15
    peer.kill()
