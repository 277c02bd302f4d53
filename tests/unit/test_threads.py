"""Threads: large copies let others run, one Section may be used by all, and fork in one of them is fine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from helpers.facts import has_fork
from helpers.peer import Peer
from helpers.turns import until

import namedshm

LARGE = 64 << 20
EARLY, LATE = LARGE // 4, LARGE // 4 * 3


@pytest.fixture
def large(name: str) -> Iterator[namedshm.View]:
    with namedshm.create(name, LARGE) as section, section.map() as view:
        view[:] = bytes(LARGE)  # touched once, so that a copy later is quick
        yield view


def test_other_threads_run_in_the_midst_of_a_large_write(large: namedshm.View) -> None:
    # they see it half done, which nobody could if the copying thread kept the GIL
    seen = 0
    stop = False

    def watch() -> None:
        nonlocal seen
        while not stop:
            seen += large[EARLY] != large[LATE]

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for value in range(1, 100):
            large[:] = bytes([value]) * LARGE
            if seen:
                break
    finally:
        stop = True
        watcher.join()
    assert seen


def test_other_threads_run_in_the_midst_of_a_large_read(large: namedshm.View) -> None:
    # a writer changes an early byte, then a late one; a copy with the old early and the new late one was going on meanwhile
    stop = False

    def write() -> None:
        value = 0
        while not stop:
            value = (value + 1) % 256
            large[EARLY] = value
            large[LATE] = value

    writer = threading.Thread(target=write)
    writer.start()
    try:
        mixed = any(0 < (copy[LATE] - copy[EARLY]) % 256 < 255 for copy in (large[:] for _ in range(100)))
    finally:
        stop = True
        writer.join()
    assert mixed


def test_threads_may_hammer_one_section(name: str, peers: Callable[[], Peer]) -> None:
    # in another process: what would go wrong here is a crash
    peer = peers()
    assert (
        peer.do(
            """
import threading
s = namedshm.create(name, 300000)
failures = []
def hammer(number):
    try:
        for turn in range(300):
            with s.map() as v:
                v[number] = turn % 256
                v[100 + number * 2:102 + number * 2] = b"ab"
                if v[number] != turn % 256: failures.append((number, turn))
            s.map(65536, 5, "read")[0]
            d = s.duplicate("read")
            m = memoryview(d.map())
            d.close()
            m[number]
            with namedshm.open(name, "read") as o: o.map()[:100000]
            try: namedshm.create(name, 5)
            except namedshm.AlreadyExists: pass
            namedshm.create(name + str(number), 5).close()
    except BaseException as error:
        failures.append(repr(error))
threads = [threading.Thread(target=hammer, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
failures
""",
            name=name,
        )
        == []
    )


def test_threads_may_close_one_section_at_once(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    assert (
        peer.do(
            """
import threading
failures = []
for turn in range(200):
    s = namedshm.create(name, 100000)
    v = s.map(access="read")
    barrier = threading.Barrier(4)
    def use(number):
        barrier.wait()
        try:
            if number == 0: s.close()
            elif number == 1: s.close()
            elif number == 2: v[:]; v.close()
            else: s.map()[0]; s.duplicate().close()
        except namedshm.ClosedHandle: pass
        except BaseException as error: failures.append(repr(error))
    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
failures
""",
            name=name,
        )
        == []
    )


def test_a_view_may_be_closed_while_another_thread_copies_from_it(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    assert peer.do(
        """
import threading
s = namedshm.create(name, 32 << 20)
s.map()[:] = b"x" * (32 << 20)
got = []
for turn in range(10):
    v = s.map(access="read")
    ready = threading.Event()
    def read():
        ready.set()
        try: got.append(v[:] == b"x" * len(v))
        except namedshm.ClosedHandle: got.append(True)
    t = threading.Thread(target=read)
    t.start()
    ready.wait()
    v.close()
    t.join()
all(got)
""",
        name=name,
    )


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_fork_in_a_thread_while_others_create_and_close_leaves_a_working_child(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    codes = peer.do(
        """
import threading
stop = threading.Event()
def churn(number):
    while not stop.is_set():
        with namedshm.create(f"{name}-{number}", 100) as s: s.map()[0] = 1
threads = [threading.Thread(target=churn, args=(n,)) for n in range(3)]
for t in threads: t.start()
codes = []
def forker():
    for turn in range(40):
        pid = os.fork()
        if not pid:
            try:
                with namedshm.create(f"{name}-child", 100) as s:
                    s.map()[0] = 2
                    with namedshm.open(f"{name}-child") as o: ok = o.map()[0] == 2
                os._exit(0 if ok else 1)
            except BaseException:
                os._exit(2)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
f = threading.Thread(target=forker)
f.start(); f.join()
stop.set()
for t in threads: t.join()
codes
""",
        name=name,
    )
    assert codes == [0] * 40
    # the forked children are gone, and so must be every name of theirs and of the threads
    until(lambda: not [i for i in namedshm.list_objects() if i.name.startswith(name)], "the end of all names", 5)


def test_waiting_for_a_byte_of_another_process_needs_no_sleep(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    with namedshm.create(name, 1) as section:
        view = section.map()
        peer.start("v = namedshm.open(name).map()\nwhile not v[0]: pass\nv[0] = 2", name=name)
        started = time.monotonic()
        view[0] = 1
        until(lambda: view[0] == 2, "the other's byte")
        peer.result()
        assert time.monotonic() - started < 20
