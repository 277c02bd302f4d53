"""namedshm.copy: what arrives, what is refused, and what happens when something happens in the midst of it."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import has_fork, is_root, on_linux
from helpers.peer import Peer
from helpers.turns import until

import namedshm

from .conftest import UNIT, pattern

Fresh = Callable[[int], namedshm.View]
LARGE = 32 * UNIT


def tasks() -> set[str]:
    """Threads of this process, also those Python does not know."""
    return set(os.listdir("/proc/self/task"))


# ---------------------------------------------------------------------------------------------------- what arrives
@pytest.mark.parametrize("threads", [None, 1, 2, 5, 1000])
@pytest.mark.parametrize("size", [1, 4095, 4097, 65536, UNIT - 1, UNIT, UNIT + 1, 3 * UNIT + 5, 9 * UNIT])
def test_every_byte_arrives_whatever_the_size_and_the_threads(fresh: Fresh, size: int, threads: int | None) -> None:
    view, source = fresh(size), pattern(size)
    assert namedshm.copy(view, source, threads=threads) == size
    assert view[:] == source


@pytest.mark.parametrize("start", [0, 1, 4096, UNIT - 3, UNIT])
@pytest.mark.parametrize("threads", [1, 3])
def test_no_byte_beside_the_target_changes(fresh: Fresh, start: int, threads: int) -> None:
    size = 2 * UNIT + 4095
    view, source = fresh(start + size + 5000), pattern(size)
    with memoryview(view) as whole, whole[start : start + size] as target:
        namedshm.copy(target, source, threads=threads)
    assert view[start : start + size] == source
    assert view[:start] == bytes(start)
    assert view[start + size :] == bytes(5000)


def test_any_buffers_are_copied_in_both_directions(fresh: Fresh) -> None:
    size = 3 * UNIT
    view, source = fresh(size), bytearray(pattern(size))
    namedshm.copy(view, source)
    back = bytearray(size)
    assert namedshm.copy(back, view) == size
    assert back == source
    with memoryview(bytearray(size)) as memory:
        namedshm.copy(memory, memoryview(view))
        assert memory == source


def test_no_bytes_are_a_copy_too() -> None:
    seen: list[tuple[int, int]] = []
    assert namedshm.copy(bytearray(), b"", progress=lambda *now: seen.append(now)) == 0
    assert seen == [(0, 0)]


def test_another_process_sees_what_was_copied(name: str, peers: Callable[[], Peer]) -> None:
    size = 4 * UNIT
    with namedshm.create(name, size) as section, section.map() as view:
        source = pattern(size)
        peer = peers()
        peer.do("v = namedshm.open(name).map()", name=name)
        namedshm.copy(view, source, threads=2)
        assert peer.do("v[0:16], v[-16:]") == (source[:16], source[-16:])
        peer.do("namedshm.copy(v, bytes(len(v)))")  # its pages are here, but not yet mapped there
        assert view[:] == bytes(size)


@pytest.mark.parametrize("size", [5000, 2 * UNIT + 12345, 5 * UNIT])
@pytest.mark.parametrize("shift", [-UNIT - 1, -4096, -1, 0, 1, 4096, UNIT + 1])
@pytest.mark.parametrize("threads", [None, 4])
def test_overlapping_memory_is_copied_as_if_all_were_read_first(size: int, shift: int, threads: int | None) -> None:
    room = size + abs(shift)
    memory = bytearray(pattern(room))
    expected = bytearray(memory)
    source, target = (0, shift) if shift >= 0 else (-shift, 0)
    expected[target : target + size] = memory[source : source + size]
    with memoryview(memory) as whole:
        namedshm.copy(whole[target : target + size], whole[source : source + size], threads=threads)
    assert memory == expected


# ---------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    "target", [b"12345", memoryview(bytearray(5)).toreadonly()], ids=["bytes", "a read-only memoryview of a bytearray"]
)
def test_a_read_only_target_is_refused(target: object) -> None:
    with pytest.raises(namedshm.AccessDenied, match="read-only") as caught:
        namedshm.copy(target, b"abcde")
    assert caught.value.call == "copy"


def test_a_read_only_view_is_refused_as_target_and_fine_as_source(name: str) -> None:
    with namedshm.create(name, 5) as section, section.map(access="read") as view:
        with pytest.raises(namedshm.AccessDenied, match="'write'"):
            namedshm.copy(view, b"abcde")
        assert namedshm.copy(bytearray(5), view) == 5


@pytest.mark.parametrize("sizes", [(4, 5), (5, 4), (0, 1), (3 * UNIT, 3 * UNIT - 1)])
def test_lengths_that_differ_are_refused_and_nothing_is_copied(sizes: tuple[int, int]) -> None:
    target = bytearray(sizes[0])
    with pytest.raises(namedshm.InvalidArgument, match=f"{sizes[1]} bytes into {sizes[0]}"):
        namedshm.copy(target, b"x" * sizes[1])
    assert target == bytes(sizes[0])


def test_bytes_that_are_not_in_one_piece_are_refused() -> None:
    with pytest.raises(namedshm.InvalidArgument, match="one piece"):
        namedshm.copy(bytearray(3), memoryview(b"abcdef")[::2])
    with pytest.raises(namedshm.InvalidArgument, match="one piece"):
        namedshm.copy(memoryview(bytearray(6))[::2], b"abc")


@pytest.mark.parametrize("pair", [(bytearray(1), "a"), (3, b"a"), (None, b"a"), (bytearray(1), None)])
def test_what_has_no_bytes_is_a_type_error(pair: tuple[object, object]) -> None:
    with pytest.raises(TypeError):
        namedshm.copy(*pair)


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_threads_than_one_are_refused(threads: int) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="at least 1"):
        namedshm.copy(bytearray(1), b"a", threads=threads)


def test_threads_and_progress_of_wrong_types_are_type_errors_before_anything_is_copied() -> None:
    target = bytearray(1)
    with pytest.raises(TypeError):
        namedshm.copy(target, b"a", threads="2")
    with pytest.raises(TypeError):
        namedshm.copy(target, b"a", progress=True)
    assert target == b"\0"


def test_a_closed_view_is_refused(fresh: Fresh) -> None:
    view = fresh(5)
    view.close()
    with pytest.raises(namedshm.ClosedHandle):
        namedshm.copy(view, b"abcde")
    with pytest.raises(namedshm.ClosedHandle):
        namedshm.copy(bytearray(5), view)


def test_pages_not_committed_are_refused_and_committed_ones_are_not(name: str) -> None:
    with namedshm.create(name, 4 * UNIT, reserve=True) as section, section.map() as view:
        with pytest.raises(namedshm.AccessDenied, match="commit"):
            namedshm.copy(view, bytes(4 * UNIT))
        view.commit()
        source = pattern(4 * UNIT)
        namedshm.copy(view, source)
        assert view[:] == source


def test_a_refusal_keeps_no_buffer() -> None:
    target, source = bytearray(3), bytearray(4)
    with pytest.raises(namedshm.InvalidArgument):
        namedshm.copy(target, source)
    target.append(1)  # BufferError if it were still borrowed
    source.append(1)


# ---------------------------------------------------------------------------------------------------- progress
@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("threads", [1, 3])
def test_progress_rises_to_the_total_and_comes_in_the_calling_thread(fresh: Fresh, threads: int) -> None:
    view = fresh(LARGE)
    seen: list[tuple[int, int, int]] = []
    namedshm.copy(view, bytes(LARGE), threads=threads, progress=lambda done, of: seen.append((done, of, threading.get_ident())))
    amounts = [done for done, _, _ in seen]
    assert amounts == sorted(set(amounts)), "it stood still or fell"
    assert amounts[-1] == LARGE
    assert all(done > 0 for done in amounts)
    assert {of for _, of, _ in seen} == {LARGE}
    assert {thread for _, _, thread in seen} == {threading.get_ident()}
    if threads == 1:
        assert len(seen) >= LARGE // UNIT


@pytest.mark.usefixtures("attentive")
def test_what_progress_has_been_told_has_been_copied(fresh: Fresh) -> None:
    view, source = fresh(LARGE), b"x" * LARGE
    namedshm.copy(view, source, threads=1, progress=lambda done, of: (view[done - 1] == ord("x")) or pytest.fail(f"at {done}"))


def test_progress_of_a_small_copy_is_its_end(fresh: Fresh) -> None:
    seen: list[tuple[int, int]] = []
    namedshm.copy(fresh(10), bytes(10), progress=lambda *now: seen.append(now))
    assert seen == [(10, 10)]


class Enough(Exception):
    pass


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("error", [Enough, KeyboardInterrupt, SystemExit])
def test_what_progress_raises_ends_the_copy_and_nothing_is_written_afterwards(
    fresh: Fresh, threads: int, error: type[BaseException]
) -> None:
    target, source = bytearray(LARGE), bytearray(pattern(LARGE))
    before = tasks() if on_linux else set()
    calls = 0

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(error) as caught:
        namedshm.copy(target, source, threads=threads, progress=stop)
    assert calls == 1
    assert caught.tb  # whoever keeps the exception keeps copy()'s frame, but not the buffers
    target[:] = bytes(LARGE)  # a helper still in its unit would be seen below
    target.append(0)  # and the buffers are given back
    source.append(0)
    if on_linux:
        until(lambda: tasks() <= before, "the end of every helper")
    assert target == bytes(LARGE + 1)


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_stopped_copy_stops_where_it_is(threads: int) -> None:
    def stop(done: int, total: int) -> None:
        raise Enough

    for _ in range(20):  # while this thread is about to say so, a helper may come to the end
        target = bytearray(LARGE)
        with pytest.raises(Enough):
            namedshm.copy(target, b"x" * LARGE, threads=threads, progress=stop)
        if not target.endswith(b"x"):
            break
    assert target.count(b"x") < LARGE


@pytest.mark.usefixtures("attentive")
def test_after_a_stopped_copy_the_next_one_is_whole(fresh: Fresh) -> None:
    view, source = fresh(LARGE), pattern(LARGE)

    def stop(done: int, total: int) -> None:
        raise Enough

    for _ in range(5):
        with pytest.raises(Enough):
            namedshm.copy(view, source, threads=3, progress=stop)
    namedshm.copy(view, source, threads=3)
    assert view[:] == source


@pytest.mark.skipif(not on_linux, reason="counts threads in /proc")
@pytest.mark.usefixtures("attentive")
def test_so_many_threads_take_part_and_then_no_more(fresh: Fresh) -> None:
    before = tasks()
    most = 0

    def count(done: int, total: int) -> None:
        nonlocal most
        most = max(most, len(tasks() - before))

    for _ in range(20):  # a helper that started late may find nothing left to do
        namedshm.copy(fresh(LARGE), bytes(LARGE), threads=3, progress=count)
        until(lambda: tasks() <= before, "the end of every helper")
        if most == 2:
            break
    assert most == 2
    most = 0
    namedshm.copy(fresh(LARGE), bytes(LARGE), threads=1, progress=count)
    assert most == 0


# ---------------------------------------------------------------------------------------------------- in the midst of it
@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_view_closed_by_another_thread_in_the_midst_keeps_its_memory_until_the_end(name: str, threads: int) -> None:
    source = pattern(LARGE)
    with namedshm.create(name, LARGE) as section:
        view, other = section.map(), section.map(access="read")

        def close(done: int, total: int) -> None:
            closer = threading.Thread(target=lambda: (view.close(), section.close()))
            closer.start()
            closer.join()

        assert namedshm.copy(view, source, threads=threads, progress=close) == LARGE
        assert view.closed
        with pytest.raises(namedshm.ClosedHandle):
            view[0]
        assert other[:] == source
        other.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


@pytest.mark.skipif(not on_linux, reason="asks Linux what is mapped")
def test_a_view_copied_into_or_from_is_unmapped_when_it_is_closed(fresh: Fresh) -> None:
    def mapped(address: int) -> bool:
        with open("/proc/self/maps") as file:
            return any(line.startswith(f"{address:x}-") for line in file)

    for size in (100, 2 * UNIT):
        view = fresh(size)
        address = view.address
        namedshm.copy(view, bytes(size))
        namedshm.copy(bytearray(size), view)
        view.populate()
        assert mapped(address)
        view.close()
        assert not mapped(address)


@pytest.mark.usefixtures("attentive")
def test_a_progress_that_drops_every_reference_to_the_buffers_is_survived(fresh: Fresh) -> None:
    held = [bytearray(LARGE), pattern(LARGE)]
    assert namedshm.copy(held[0], held[1], threads=2, progress=lambda *_: held.clear()) == LARGE


@pytest.mark.usefixtures("attentive")
def test_a_signal_handler_runs_in_the_midst_and_what_it_raises_ends_the_copy(fresh: Fresh) -> None:
    # no progress callback here, so nothing but the copy itself looks at signals
    source = b"x" * LARGE

    def interrupt() -> None:
        until(lambda: view[0], "the first byte")
        _thread.interrupt_main()

    for _ in range(20):
        view = fresh(LARGE)
        other = threading.Thread(target=interrupt)
        other.start()
        try:
            namedshm.copy(view, source, threads=1)
            other.join()
        except KeyboardInterrupt:
            other.join()
            if not view[LARGE - 1]:
                break  # in the midst, as seen
        view.close()
    else:
        pytest.fail("in 20 copies no interruption came before the end")


@pytest.mark.skipif(not on_linux, reason="SIGINT to one process alone")
def test_ctrl_c_ends_a_copy_and_the_process_goes_on(name: str) -> None:
    size = 256 << 20
    with namedshm.create(name, size) as section, section.map() as view, Peer() as peer:
        code = "s = namedshm.open(name); v = s.map(); source = b'x' * 2**28\nwhile True: namedshm.copy(v, source, threads=2)"
        before = set(os.listdir(f"/proc/{peer.pid}/task"))
        peer.start(code, name=name)
        until(lambda: view[0], "the beginning")
        os.kill(peer.pid, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            peer.result()
        view[:] = bytes(size)
        until(lambda: set(os.listdir(f"/proc/{peer.pid}/task")) <= before, "the end of its helper")
        assert view[:] == bytes(size)
        assert peer.do("6 * 7") == 42


@pytest.mark.skipif(not has_fork, reason="fork")
@pytest.mark.usefixtures("attentive")
def test_a_fork_by_another_thread_in_the_midst_harms_neither(fresh: Fresh) -> None:
    view, source, children = fresh(LARGE), pattern(LARGE), []

    def fork() -> None:
        child = os.fork()
        if not child:
            target = bytearray(3 * UNIT)
            well = namedshm.copy(target, source[: 3 * UNIT], threads=2) == 3 * UNIT and target == source[: 3 * UNIT]
            os._exit(0 if well else 1)
        children.append(child)

    def once(done: int, total: int) -> None:
        if not children:
            other = threading.Thread(target=fork)
            other.start()
            other.join()

    assert namedshm.copy(view, source, threads=3, progress=once) == LARGE
    assert view[:] == source
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


@pytest.mark.skipif(not has_fork, reason="fork")
@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_child_forked_by_progress_is_told_and_the_parent_goes_on(fresh: Fresh, threads: int) -> None:
    view, source = fresh(LARGE), pattern(LARGE)
    child = -1

    def fork(done: int, total: int) -> None:
        nonlocal child
        if child < 0:
            child = os.fork()

    try:
        namedshm.copy(view, source, threads=threads, progress=fork)
    except RuntimeError as error:
        if child:
            raise
        os._exit(0 if "forked" in str(error) else 1)
    finally:
        if child == 0:
            os._exit(2)
    assert view[:] == source
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not (on_linux and is_root), reason="needs root to become a user that may start no thread")
def test_where_the_system_gives_no_thread_the_copy_is_made_by_one(fresh: Fresh) -> None:
    import resource

    view, source = fresh(LARGE), pattern(LARGE)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setresuid(65534, 65534, 65534)
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            with pytest.raises(RuntimeError):
                threading.Thread(target=int).start()
            namedshm.copy(view, source, threads=4)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert view[:] == source


@pytest.mark.skipif(not on_linux, reason="reads /proc")
def test_no_descriptor_thread_or_memory_is_kept(fresh: Fresh) -> None:
    view, source = fresh(3 * UNIT), bytes(3 * UNIT)
    namedshm.copy(view, source, threads=2)
    threads, files = tasks(), len(os.listdir("/proc/self/fd"))
    size = int(Path("/proc/self/statm").read_text().split()[0])
    for _ in range(1000):
        namedshm.copy(view, source, threads=2)
    until(lambda: tasks() <= threads, "the end of every helper")
    assert len(os.listdir("/proc/self/fd")) == files
    assert int(Path("/proc/self/statm").read_text().split()[0]) - size < 50_000  # pages; a thread's stack is 2,048
