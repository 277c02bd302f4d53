"""Lifetime: the heart of the contract.  The name goes with the last handle, the memory with the last view, however it ends."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable

import pytest
from helpers.facts import on_linux, on_wine
from helpers.peer import ForkedPeer, Peer
from helpers.spelling import Pythonic, Win32, refused
from helpers.turns import until

import namedshm
from namedshm import win32 as w

Api = Pythonic | Win32
Fork = Callable[[Peer], ForkedPeer]
HOLD = "h = api.create(name, 5000); v = api.map(h); v[:5] = b'hello'"


# ------------------------------------------------------------------------------------ last handle closed, a view still mapped
def test_closing_the_last_handle_frees_the_name_at_once_though_a_view_is_mapped(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    view = api.map(handle)
    view[:5] = b"hello"
    api.close(handle)
    with refused(2):
        api.open(name)
    assert view[:5] == b"hello"
    view[:5] = b"still"
    assert view[:5] == b"still"


def test_a_name_freed_so_can_be_made_anew_zeroed_and_the_old_view_keeps_its_data(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    old = api.map(handle)
    old[:3] = b"old"
    api.close(handle)
    again = api.create(name, 70000)
    assert not api.existed(again)
    new = api.map(again)
    assert new[:3] == bytes(3)
    new[:3] = b"new"
    assert old[:3] == b"old"
    old[3:6] = b"yes"
    assert new[3:6] == bytes(3)


def test_the_name_goes_also_when_the_view_is_in_another_process(api: Api, name: str, other: Peer) -> None:
    handle = api.create(name, 100)
    api.map(handle)[:3] = b"abc"
    other.do("h = api.open(name); v = api.map(h); api.close(h)")
    api.close(handle)
    with refused(2):
        api.open(name)
    with refused(2):
        other.do("api.open(name)")
    assert other.do("bytes(v[:3])") == b"abc"


def test_two_views_of_a_nameless_object_in_two_processes_stay_coherent(api: Api, name: str, other: Peer) -> None:
    handle = api.create(name, 100)
    view = api.map(handle)
    other.do("h = api.open(name); v = api.map(h); api.close(h)")
    api.close(handle)
    for number in range(5):
        view[0] = number
        assert other.do("v[0]") == number
        other.do("v[1] = n", n=number + 100)
        assert view[1] == number + 100


def test_two_generations_of_one_name_do_not_see_each_other_across_processes(api: Api, name: str, other: Peer) -> None:
    other.do(HOLD + "; api.close(h)")
    view = api.map(api.create(name, 100))
    assert view[:5] == bytes(5)
    view[:5] = b"newer"
    assert other.do("bytes(v[:5])") == b"hello"
    assert other.do("bytes(api.map(api.open(name))[:5])") == b"newer"


# ------------------------------------------------------------------------------------ any handle left, no view, creator dead
def test_a_handle_alone_keeps_name_size_and_data(api: Api, name: str, other: Peer) -> None:
    handle = api.create(name, 5000)
    view = api.map(handle)
    view[:5] = b"hello"
    view[4999] = 7
    api.unmap(view)
    del view
    assert other.do("h = api.open(name); v = api.map(h); (bytes(v[:5]), v[4999])") == (b"hello", 7)


@pytest.mark.parametrize("end", ["kill", "close"])
def test_a_handle_anywhere_keeps_name_size_and_data_when_the_creator_is_dead(
    api: Api, name: str, others: Callable[[], Peer], end: str
) -> None:
    creator, third = others(), others()
    creator.do(HOLD)
    handle = api.open(name)
    getattr(creator, end)()
    assert third.do("h = api.open(name); v = api.map(h); bytes(v[:5])") == b"hello"
    if isinstance(handle, namedshm.Section):
        assert handle.size == 5000
    assert api.existed(api.create(name, 100))
    assert api.map(handle)[:5] == b"hello"


def test_the_name_stays_until_the_second_handle_of_the_same_process_is_closed(api: Api, name: str, other: Peer) -> None:
    first, second = api.create(name, 100), api.open(name)
    api.close(first)
    other.do("api.close(api.open(name))")
    api.close(second)
    with refused(2):
        other.do("api.open(name)")


def test_a_duplicate_is_a_handle_like_any_other(api: Api, name: str, other: Peer) -> None:
    first = api.create(name, 100)
    second = api.duplicate(first)
    api.close(first)
    other.do("api.close(api.open(name))")
    api.map(second)[:3] = b"abc"
    api.close(second)
    with refused(2):
        other.do("api.open(name)")


def test_handles_may_be_closed_in_any_order_by_any_process(api: Api, name: str, others: Callable[[], Peer]) -> None:
    handle = api.create(name, 100)
    holders = [others() for _ in range(3)]
    for peer in holders:
        peer.do("h = api.open(name)")
    api.close(handle)
    for peer in holders:
        api.close(api.open(name))
        peer.do("api.close(h)")
    with refused(2):
        api.open(name)


# ------------------------------------------------------------------------------------ all gone
def test_when_all_is_closed_the_object_is_gone_and_a_new_one_is_zero_and_may_have_another_size(
    api: Api, name: str, other: Peer
) -> None:
    for size in (100, 70000, 1):
        handle = api.create(name, size)
        assert not api.existed(handle)
        view = api.map(handle)
        assert bytes(memoryview(view)) == bytes(len(view))
        view[0] = 255
        other.do("h = api.open(name); v = api.map(h)")
        api.unmap(view)
        api.close(handle)
        api.close(api.open(name))
        other.do("api.unmap(v); api.close(h); del v, h")
        with refused(2):
            api.open(name)


@pytest.mark.parametrize("first", ["view", "handle"])
def test_view_and_handle_may_be_let_go_in_either_order(api: Api, name: str, first: str) -> None:
    handle = api.create(name, 100)
    view = api.map(handle)
    if first == "view":
        api.unmap(view)
        api.close(api.open(name))
        api.close(handle)
    else:
        api.close(handle)
        assert view[:3] == bytes(3)
        api.unmap(view)
    with refused(2):
        api.open(name)


# ------------------------------------------------------------------------------------ the holder ends
@pytest.mark.parametrize("end", ["kill", "close"])
def test_the_object_goes_with_its_only_holder(api: Api, name: str, others: Callable[[], Peer], end: str) -> None:
    holder = others()
    holder.do(HOLD)
    api.close(api.open(name))
    getattr(holder, end)()
    with refused(2):
        api.open(name)
    handle = api.create(name, 5000)
    assert not api.existed(handle)
    assert api.map(handle)[:5] == bytes(5)


@pytest.mark.parametrize("code", ["os._exit(3)", "os.abort()", "sys.exit()"])
def test_the_object_goes_however_its_holder_ends_itself(api: Api, name: str, others: Callable[[], Peer], code: str) -> None:
    if code == "os.abort()" and on_wine:
        pytest.skip("Wine starts a debugger for an aborted process")
    holder = others()
    holder.do(HOLD)
    if code == "sys.exit()":
        holder.close()  # the end of input: the process leaves its loop and ends
    else:
        if code == "os.abort()" and hasattr(__import__("os"), "fork"):
            holder.do("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))")
        holder.start(code)
        with pytest.raises(RuntimeError):
            holder.result()
        holder.close()
    with refused(2):
        api.open(name)


def test_the_name_goes_but_the_view_stays_when_the_only_handles_process_is_killed(
    api: Api, name: str, others: Callable[[], Peer]
) -> None:
    creator = others()
    creator.do(HOLD)
    handle = api.open(name)
    view = api.map(handle)
    api.close(handle)
    creator.kill()
    with refused(2):
        api.open(name)
    assert view[:5] == b"hello"
    view[:5] = b"mine!"
    assert view[:5] == b"mine!"


def test_a_killed_opener_leaves_the_creators_object_untouched(api: Api, name: str, others: Callable[[], Peer]) -> None:
    handle = api.create(name, 100)
    view = api.map(handle)
    opener = others()
    opener.do("h = api.open(name); v = api.map(h); v[:5] = b'hello'")
    opener.kill()
    assert view[:5] == b"hello"
    assert api.existed(api.create(name, 100))


def test_everybody_killed_leaves_nothing(api: Api, name: str, others: Callable[[], Peer]) -> None:
    crowd = [others() for _ in range(3)]
    crowd[0].do(HOLD)
    for peer in crowd[1:]:
        peer.do("h = api.open(name); v = api.map(h)")
    for peer in crowd:
        peer.kill()
    with refused(2):
        api.open(name)
    assert not api.existed(api.create(name, 100))


def test_one_process_after_another_hands_the_object_on(api: Api, name: str, others: Callable[[], Peer]) -> None:
    first = others()
    first.do(HOLD)
    for _ in range(4):
        second = others()
        second.do("h = api.open(name)")
        first.kill()
        first = second
    assert first.do("v = api.map(h); bytes(v[:5])") == b"hello"
    first.do("api.close(h)")
    with refused(2):
        api.open(name)


def test_an_object_in_the_middle_of_being_written_by_a_killed_process_stays_usable(
    api: Api, name: str, others: Callable[[], Peer]
) -> None:
    view = api.map(api.create(name, 1 << 20))
    writer = others()
    writer.do("v = api.map(api.open(name)); pattern = bytes(range(256)) * (len(v) // 256)")
    writer.start("while True: v[:] = pattern")
    until(lambda: view[255] == 255, "the writer has begun")
    writer.kill()
    assert view[256:512] in (bytes(range(256)), bytes(256))
    view[:4] = b"mine"
    assert view[:4] == b"mine"


def test_a_handle_belongs_to_the_process_and_not_to_the_thread_that_made_it(api: Api, name: str, other: Peer) -> None:
    other.do(
        "import threading; t = threading.Thread(target=lambda: globals().update(h=api.create(name, 100))); t.start(); t.join()"
    )
    api.close(api.open(name))
    other.do("api.close(h)")
    with refused(2):
        api.open(name)


def test_a_program_started_by_the_holder_inherits_nothing(api: Api, name: str, others: Callable[[], Peer]) -> None:
    holder = others()
    holder.do(HOLD)
    code = "import sys; sys.stdin.read()"  # lives until its input ends
    holder.do("import subprocess; p = subprocess.Popen([sys.executable, '-c', program], stdin=subprocess.PIPE)", program=code)
    holder.do("api.close(h)")
    with refused(2):
        api.open(name)
    assert holder.do("p.poll() is None and p.communicate() is not None")


@pytest.mark.skipif(not on_linux, reason="Windows has no exec")
def test_exec_closes_everything(api: Api, name: str, others: Callable[[], Peer]) -> None:
    holder = others()
    holder.do(HOLD)
    view = api.map(api.open(name), "read")
    with namedshm.create(name + "-here", 1) as flag:
        flag_view = flag.map()
        code = "import namedshm; namedshm.open(%r).map()[0] = 1; input()" % (name + "-here")
        holder.start("os.execv(sys.executable, [sys.executable, '-c', program])", program=code)
        until(lambda: flag_view[0], "the program after exec")
    api.close_all()
    with refused(2):
        api.open(name)
    assert view[:5] == b"hello"
    holder.kill()


@pytest.mark.skipif(not on_linux, reason="SIGSTOP")
def test_a_stopped_holder_keeps_its_name_and_is_in_nobodys_way(api: Api, name: str, others: Callable[[], Peer]) -> None:
    holder = others()
    holder.do(HOLD)
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        handle = api.open(name)
        assert api.map(handle)[:5] == b"hello"
        api.close(api.create(name + "-other", 100))
        assert api.existed(api.create(name, 100))
    finally:
        os.kill(holder.pid, signal.SIGCONT)


# ------------------------------------------------------------------------------------ misuse
def test_closing_a_handle_twice_is_refused_with_6_in_win32(name: str) -> None:
    handle = w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, 100, name)
    assert w.CloseHandle(handle)
    assert not w.CloseHandle(handle)
    assert w.GetLastError() == 6


def test_closing_null_is_refused_with_6_in_win32() -> None:
    w.SetLastError(0)
    assert not w.CloseHandle(0)
    assert w.GetLastError() == 6


def test_closing_a_section_twice_is_nothing(name: str) -> None:
    section = namedshm.create(name, 100)
    section.close()
    section.close()
    assert section.closed


def test_using_a_closed_handle_is_refused_with_6(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    api.close(handle)
    with refused(6):
        api.map(handle)
    with refused(6):
        api.duplicate(handle)


def test_a_closed_section_still_says_what_it_was(name: str) -> None:
    section = namedshm.create(name, 100)
    identity = section.identity
    section.close()
    assert (section.name, section.size, section.access, section.identity, section.created) == (name, 100, "write", identity, True)
    with pytest.raises(namedshm.ClosedHandle, match=name):
        section.map()
    with pytest.raises(ValueError, match=name):
        section.duplicate()


def test_unmapping_twice_is_refused_with_487_in_win32(name: str) -> None:
    handle = w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, 100, name)
    view = w.MapViewOfFile(handle, w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert w.UnmapViewOfFile(view)
    assert not w.UnmapViewOfFile(view)
    assert w.GetLastError() == 487


@pytest.mark.parametrize("address", [0x1000, 12345, None, "x"])
def test_unmapping_what_is_no_view_is_refused_with_487(address: object) -> None:
    w.SetLastError(0)
    assert not w.UnmapViewOfFile(address)  # type: ignore[arg-type]
    assert w.GetLastError() == 487


def test_closing_a_view_twice_is_nothing(name: str) -> None:
    with namedshm.create(name, 100) as section:
        view = section.map()
        view.close()
        view.close()
        assert view.closed
        with pytest.raises(namedshm.ClosedHandle):
            view[0]


# ------------------------------------------------------------------------------------ Python's ways of letting go
def test_garbage_collection_closes_a_handle(name: str) -> None:
    section = namedshm.create(name, 100)
    del section
    gc.collect()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_with_closes_a_handle_also_after_an_exception(name: str) -> None:
    with pytest.raises(ZeroDivisionError), namedshm.create(name, 100):
        raise ZeroDivisionError
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_an_object_in_a_reference_cycle_is_freed_by_the_collector(name: str) -> None:
    cycle: list[object] = [namedshm.create(name, 100)]
    cycle.append(cycle)
    namedshm.open(name).close()
    del cycle
    gc.collect()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


# ------------------------------------------------------------------------------------ fork: a child has handles and views too
def test_a_forked_childs_handles_keep_the_name_when_the_parent_closes_its_own(api: Api, name: str, other: Peer, fork: Fork) -> None:
    other.do(HOLD)
    child = fork(other)
    other.do("api.close(h); api.unmap(v)")
    handle = api.open(name)
    assert api.map(handle)[:5] == b"hello"
    api.close(handle)
    assert child.do("bytes(v[:5])") == b"hello"
    child.do("api.close(h)")
    with refused(2):
        api.open(name)
    assert child.do("v[:5] = b'child'; bytes(v[:5])") == b"child"


def test_a_parents_handles_keep_the_name_when_the_forked_child_closes_its_own(api: Api, name: str, other: Peer, fork: Fork) -> None:
    other.do(HOLD)
    child = fork(other)
    child.do("api.close(h); api.unmap(v)")
    assert other.do("bytes(v[:5])") == b"hello"
    api.close(api.open(name))
    other.do("api.close(h)")
    with refused(2):
        api.open(name)


def test_a_forked_child_lives_on_when_its_parent_is_killed(api: Api, name: str, others: Callable[[], Peer], fork: Fork) -> None:
    parent = others()
    parent.do(HOLD)
    child = fork(parent)
    parent.kill()
    view = api.map(api.open(name))
    assert view[:5] == b"hello"
    child.do("v[:5] = b'child'")
    assert view[:5] == b"child"
    child.kill()


def test_the_object_goes_when_forked_child_and_parent_are_killed(
    api: Api, name: str, others: Callable[[], Peer], fork: Fork
) -> None:
    parent = others()
    parent.do(HOLD)
    child = fork(parent)
    child.kill()
    api.close(api.open(name))
    parent.kill()
    with refused(2):
        api.open(name)


def test_what_a_forked_child_makes_is_its_own(api: Api, name: str, other: Peer, fork: Fork) -> None:
    other.do("h = api.create(name + 'parent', 100)")
    child = fork(other)
    child.do("mine = api.create(name + 'child', 100)")
    other.do("mine = api.create(name + 'parent2', 100)")
    other.do("api.close(api.open(name + 'child'))")
    child.do("api.close(api.open(name + 'parent2'))")
    child.kill()
    with refused(2):
        other.do("api.open(name + 'child')")
    other.do("api.close(api.open(name + 'parent2'))")


def test_parent_and_forked_child_create_and_close_the_same_names_without_mixing_them_up(
    name: str, peers: Callable[[], Peer], fork: Fork
) -> None:
    # the parent's kept token must not serve two objects
    parent = peers()
    parent.do("namedshm.create('spare' + name, 10).close()", name=name)
    child = fork(parent)
    for peer, text in ((parent, "one"), (child, "two")):
        peer.do("s = namedshm.create(name + text, 10); v = s.map(); v[:3] = text.encode()", text=text)
    with namedshm.open(name + "one") as one, namedshm.open(name + "two") as two:
        assert one.map()[:3] == b"one"
        assert two.map()[:3] == b"two"
        assert one.identity != two.identity
    parent.do("s.close()")
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name + "one")
    namedshm.open(name + "two").close()


def test_a_grandchild_by_fork_keeps_the_object_alone(api: Api, name: str, others: Callable[[], Peer], fork: Fork) -> None:
    parent = others()
    parent.do(HOLD)
    child = fork(parent)
    grandchild = fork(child)  # type: ignore[arg-type]
    parent.kill()
    child.kill()
    handle = api.open(name)
    assert api.map(handle)[:5] == b"hello"
    api.close(handle)
    grandchild.kill()
    with refused(2):
        api.open(name)
