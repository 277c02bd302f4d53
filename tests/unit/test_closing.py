"""Closing in the midst: by another thread, by an argument, by a signal handler.  The name goes at once, nothing dangles.

Turns are taken by pipes and events, or by the argument itself, which is the midst.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import Peer
from helpers.turns import until

import namedshm

STORM = Path(__file__).with_name("storm.py")


def alive(name: str) -> bool:
    return any(info.name == name for info in namedshm.list_objects())


def mapped() -> int:
    """Lines of this process's map that are segments."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        return sum("/SYSV" in line for line in file)


class Closing(Fraction):
    """A number of seconds that closes something when it is looked at."""

    thing: namedshm.Mutex | namedshm.Event | namedshm.Semaphore

    def __float__(self) -> float:
        self.thing.close()
        return 0.001


@pytest.mark.parametrize("kind", [namedshm.Mutex, namedshm.Event, namedshm.Semaphore])
@pytest.mark.parametrize("what", ["one", "any", "all"])
def test_a_timeout_that_closes_the_object_is_refused_like_any_closed_handle(name: str, kind: type, what: str) -> None:
    thing, other = kind(name), namedshm.Event(initial=True)
    seconds = Closing(1)
    seconds.thing = thing
    with pytest.raises(namedshm.ClosedHandle):  # noqa: PT012
        if what != "one":
            (namedshm.wait_any if what == "any" else namedshm.wait_all)([thing, other], seconds)  # type: ignore[arg-type]
        elif kind is namedshm.Event:
            thing.wait(seconds)
        else:
            thing.acquire(seconds)
    assert other.wait(0)  # nothing was taken


@pytest.mark.parametrize("timeout", ["1", None, b"x", [], object()])
def test_what_is_no_number_of_seconds_is_refused_also_when_nobody_has_to_wait(timeout: object) -> None:
    mutex = namedshm.Mutex()
    if timeout is None:
        assert mutex.acquire(None)
        return
    with pytest.raises(TypeError):
        mutex.acquire(timeout)  # type: ignore[arg-type]
    with pytest.raises(namedshm.NotOwned):
        mutex.release()
    with pytest.raises(namedshm.InvalidArgument):
        mutex.acquire(float("nan"))
    with pytest.raises(namedshm.NotOwned):
        mutex.release()


class Agreeable:
    """on_abandoned that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __ne__ = __eq__


def test_an_argument_that_raises_leaves_nothing_acquired() -> None:
    mutex = namedshm.Mutex()
    with pytest.raises(ZeroDivisionError):
        mutex.acquire(on_abandoned=Agreeable())  # type: ignore[arg-type]
    with pytest.raises(namedshm.NotOwned):
        mutex.release()


def test_an_operation_of_another_kind_of_object_is_refused() -> None:
    mutex, event, semaphore = namedshm.Mutex(), namedshm.Event(), namedshm.Semaphore()
    for call in (namedshm.Event.set, namedshm.Event.clear, namedshm.Event.pulse):
        for thing in (mutex, semaphore):
            with pytest.raises((TypeError, namedshm.NamedShmError)):
                call(thing)  # type: ignore[arg-type]
    for thing in (mutex, event):
        with pytest.raises((TypeError, namedshm.NamedShmError)):
            namedshm.Semaphore.release(thing)  # type: ignore[arg-type]
    assert mutex.acquire(0)
    mutex.release()


@pytest.mark.skipif(not on_linux, reason="Windows keeps the name until the wait is over")
def test_the_name_goes_when_the_handle_is_closed_under_a_waiter(name: str) -> None:
    event = namedshm.Event(name)
    started = threading.Event()

    def wait() -> None:
        started.set()
        with pytest.raises(namedshm.ClosedHandle):  # noqa: PT012
            while True:
                event.wait(0.2)

    waiter = threading.Thread(target=wait)
    waiter.start()
    started.wait()
    event.close()
    assert not alive(name)
    waiter.join(20)
    assert not waiter.is_alive()


@pytest.mark.skipif(not on_linux, reason="looks at /proc")
def test_the_page_goes_with_the_last_wait_on_it(name: str) -> None:
    gc.collect()
    namedshm.Event(name).close()  # the registry is there, and a spare
    before = mapped()
    event, second = namedshm.Event(name), namedshm.Event(name)
    waiting = threading.Thread(target=event.wait)
    waiting.start()
    until(lambda: threading.active_count() > 1, "the waiter")
    event.close()
    second.set()
    waiting.join(20)
    assert not waiting.is_alive()
    second.close()
    assert mapped() <= before


@pytest.mark.skipif(not on_linux, reason="sends itself a signal")
def test_a_signal_handler_may_close_what_its_thread_waits_for(name: str) -> None:
    semaphore = namedshm.Semaphore(name, initial=0)
    before = signal.signal(signal.SIGALRM, lambda *_: semaphore.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert not semaphore.acquire(1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert semaphore.closed
    assert not alive(name)


@pytest.mark.skipif(not on_linux, reason="looks at /proc")
@pytest.mark.parametrize("reserve", [False, True])
@pytest.mark.parametrize("access", ["write", "read", "copy"])
def test_a_closed_view_is_unmapped_if_no_buffer_was_taken(name: str, reserve: bool, access: str) -> None:
    with namedshm.create(name, 300_000, reserve=reserve) as section:
        if reserve:
            section.map().commit()
        before = mapped()
        view = section.map(access=access, executable=False)  # type: ignore[arg-type]
        assert view[5] == 0
        section.close()
        view.close()
        assert mapped() < before


class Kind(namedshm.View):
    """A view that is made twice."""

    made: ClassVar[list[namedshm.View]] = []

    def __new__(cls) -> namedshm.View:  # type: ignore[misc]
        if not cls.made:
            cls.made.append(super().__new__(cls))
        return cls.made[0]


def test_a_view_that_is_mapped_cannot_be_mapped_again(name: str) -> None:
    Kind.made.clear()
    with namedshm.create(name, 100) as section:
        view = section.map(kind=Kind)
        buffer = memoryview(view)
        with pytest.raises(TypeError):
            section.map(kind=Kind)
        view.close()
        with pytest.raises(TypeError):
            section.map(kind=Kind)
        buffer[0] = 1


@pytest.mark.parametrize("kind", [lambda: None, dict, namedshm.View.__mro__[-1]])
def test_a_kind_that_makes_no_view_is_refused(name: str, kind: object) -> None:
    class Wrong(namedshm.View):
        def __new__(cls) -> object:  # type: ignore[misc]
            return kind() if kind is not object else object()  # type: ignore[operator]

    with namedshm.create(name, 100) as section, pytest.raises(TypeError):
        section.map(kind=Wrong)


class Lying(int):
    """Compares as small, and is not."""

    def __mod__(self, other: object) -> int:
        return 0

    def __le__(self, other: object) -> bool:
        return True

    __lt__ = __ge__ = __le__

    def __gt__(self, other: object) -> bool:
        return False

    def __add__(self, other: object) -> int:
        return 1

    __radd__ = __add__

    def __rsub__(self, other: object) -> int:
        return 1 << 40


@pytest.mark.parametrize("access", ["write", "copy"])
def test_a_range_that_lies_is_refused(name: str, access: str) -> None:
    with namedshm.create(name, 100_000, reserve=access == "write") as section:
        for offset, length in ((1 << 40, 10), (0, 1 << 40), (65536, 1 << 40), (-65536, 10), (0, -5)):
            with pytest.raises(namedshm.NamedShmError):
                section.map(Lying(offset), Lying(length), access)  # type: ignore[arg-type]
        view = section.map(0, 100_000, access)  # type: ignore[arg-type]
        for call in (view.populate, view.flush, view.commit):
            for offset, length in ((1 << 40, 4096), (4096, 1 << 40), (-4096, 4096)):
                with contextlib.suppress(namedshm.NamedShmError):
                    call(Lying(offset), Lying(length))


def test_a_storm_of_threads_that_use_and_close_everything(name: str) -> None:
    done = subprocess.run([sys.executable, STORM, "4"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "survived" in done.stdout


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_children_forked_in_the_midst_of_creating_opening_and_closing_keep_no_name(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    children, whole = peer.do(
        """
import gc, signal, threading
from namedshm._backend.linux import native
kept = namedshm.create(name + "-kept", 100)
stop = threading.Event()
def churn(number):
    while not stop.is_set():
        namedshm.create(f"{name}-{number}", 100, writable=bool(number % 2)).close()
        namedshm.Mutex(f"{name}-m{number}").close()
        namedshm.open(f"{name}-kept").close()
threads = [threading.Thread(target=churn, args=(n,)) for n in range(2)]
for t in threads: t.start()
children, whole = [], set()
def handles():  # what is whole when the fork comes is the child's, as everything it inherits
    return {o.name for o in gc.get_objects() if isinstance(o, native.Handle | native.SyncHandle) and not o.closed}
for _ in range(60):
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(tell, repr(handles()).encode())
        os.close(tell)
        signal.pause()
        os._exit(0)
    os.close(tell)
    with open(told) as file: whole |= eval(file.read())
    children.append(pid)
stop.set()
for t in threads: t.join()
children, whole
""",
        name=name,
    )
    try:
        assert {info.name for info in namedshm.list_objects() if info.name.startswith(name)} == whole
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    peer.do("kept.close()")
    until(lambda: not alive(name + "-kept"), "the end of the children")


def test_closing_twice_from_many_threads_closes_once(name: str) -> None:
    for _ in range(50):
        section = namedshm.create(name, 100)
        barrier = threading.Barrier(4)

        def close(section: namedshm.Section = section, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            section.close()

        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert section.closed
        assert not alive(name)


@pytest.mark.skipif(not on_linux, reason="stops a process")
def test_other_threads_run_while_one_waits_for_the_registry(name: str, peers: Callable[[], Peer]) -> None:
    """Of a process whose peer is stopped with the registry's lock: sending, receiving and listing give the GIL away."""
    peer = peers()
    peer.do(
        """
import ctypes
section = namedshm.create(name, 100)
""",
        name=name,
    )
    with namedshm.create(name + "-mine", 100) as section:
        from namedshm._backend import backend

        state = backend.backend_state()["local"]
        libc = ctypes_libc()
        libc.shmat.restype = libc_pointer()
        base = libc.shmat(state["registry"], None, 0)
        assert base
        try:
            lock = lock_word(base)
            ticks = 0
            done = threading.Event()

            def send() -> None:
                with contextlib.suppress(namedshm.NamedShmError):
                    backend.send_handle(section._handle, peer.pid, "write")
                done.set()

            lock.value = 0x3FFFFFF0  # a thread that does not exist holds it: nobody gives it up
            sender = threading.Thread(target=send)
            sender.start()
            ends = time.monotonic() + 1
            while time.monotonic() < ends and not done.is_set():
                ticks += 1
            assert ticks > 10_000
            assert not done.is_set()
        finally:
            lock.value = 0
            sender.join(20)
            libc.shmdt(base)
    peer.kill()


def ctypes_libc():  # type: ignore[no-untyped-def]
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    libc.shmdt.argtypes = [ctypes.c_void_p]
    return libc


def libc_pointer():  # type: ignore[no-untyped-def]
    import ctypes

    return ctypes.c_void_p


def lock_word(base: int):  # type: ignore[no-untyped-def]
    import ctypes

    return ctypes.c_uint32.from_address(base + 4088)
