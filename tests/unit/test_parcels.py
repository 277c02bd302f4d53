"""Handles on their way to other processes: kept until the receiver has them or is gone, without a Python thread, and refused early.

A parcel holds the object's name, so what is asked is whether the name is alive.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from helpers.facts import is_root, on_linux
from helpers.peer import Peer
from helpers.turns import until

import namedshm
from namedshm._backend import backend

pytestmark = pytest.mark.skipif(not on_linux, reason="Windows puts a handle into the other process itself")


@contextmanager
def receiver() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def alive(name: str) -> bool:
    try:
        namedshm.open(name).close()
    except namedshm.NotFound:
        return False
    return True


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def send(section: namedshm.Section, pid: int) -> int:
    return backend.send_handle(section._handle, pid, "write")


@pytest.mark.parametrize("reaped", [True, False])
def test_a_parcel_goes_when_its_receiver_ends_without_taking_it(name: str, reaped: bool) -> None:
    with receiver() as process:
        with namedshm.create(name, 100) as section:
            for _ in range(5):
                send(section, process.pid)
        assert alive(name)
        process.kill()
        if reaped:
            process.wait()
        until(lambda: not alive(name), "the end of the parcels of a dead receiver")


def test_many_parcels_go_too_and_so_does_their_thread(name: str) -> None:
    before = threads()
    with receiver() as process:
        with namedshm.create(name, 100) as section:
            for _ in range(300):
                send(section, process.pid)
        assert threads() == before + 1
        process.kill()
        until(lambda: not alive(name), "the end of the parcels of a dead receiver")
    until(lambda: threads() == before, "the end of the thread that waits for parcels")


def test_a_taken_parcel_goes_at_once_and_others_stay(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    with receiver() as idle, namedshm.create(name + "-other", 100) as other:
        send(other, idle.pid)
        with namedshm.create(name, 100) as section:
            number = send(section, peer.pid)
        peer.do("from namedshm._backend import backend; h = backend.receive_handle(number)", number=number)
        assert alive(name)
        peer.do("h.close()")
        until(lambda: not alive(name), "the end of a name whose parcel was taken")
        other.close()
        assert alive(name + "-other")


@pytest.mark.parametrize("pid", [0, -1, -2, 1 << 31, 1 << 40])
def test_what_is_no_process_is_refused(name: str, pid: int) -> None:
    with namedshm.create(name, 100) as section:
        with pytest.raises(namedshm.InvalidArgument):
            backend.check_process(pid)
        if -(1 << 31) <= pid < 1 << 31:
            with pytest.raises(namedshm.InvalidArgument):
                send(section, pid)
    assert not alive(name)


@pytest.mark.parametrize("state", ["zombie", "reaped", "thread"])
def test_a_process_that_cannot_take_it_is_refused(name: str, state: str) -> None:
    with namedshm.create(name, 100) as section, receiver() as process:
        pid = process.pid
        process.kill()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if state == "reaped":
            process.wait()
        elif state == "thread":
            busy = subprocess.Popen(
                [sys.executable, "-c", "import threading, sys; threading.Thread(target=sys.stdin.read).start(); print(flush=True)"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert busy.stdout is not None
            busy.stdout.readline()
            pid = max(int(task) for task in os.listdir(f"/proc/{busy.pid}/task"))
        try:
            with pytest.raises(namedshm.InvalidArgument):
                backend.check_process(pid)
            with pytest.raises(namedshm.InvalidArgument):
                send(section, pid)
        finally:
            if state == "thread":
                busy.communicate(b"")
    assert not alive(name)


@pytest.mark.skipif(not is_root, reason="another user's process is root's to make")
def test_another_users_process_is_refused(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    code = "os.setuid(65533)\ntry: backend.check_process(pid)\nexcept namedshm.AccessDenied as error: got = 'AccessDenied'\ngot"
    with receiver() as process:
        peer.do("from namedshm._backend import backend")
        assert peer.do(code, pid=process.pid) == "AccessDenied"
        peer.kill()


def test_a_forked_child_keeps_no_parcel_and_sends_its_own(name: str, peers: Callable[[], Peer]) -> None:
    sender = peers()
    with receiver() as process:
        child = sender.do(
            """
import signal
from namedshm._backend import backend
s = namedshm.create(name, 100)
backend.send_handle(s._handle, pid, "write")
ready, told = os.pipe()
child = os.fork()
if not child:
    s.close()
    own = namedshm.create(name + "-child", 100)
    backend.send_handle(own._handle, pid, "write")
    own.close()
    os.write(told, b"x")
    signal.pause()
os.read(ready, 1)
s.close()
child
""",
            name=name,
            pid=process.pid,
        )
        try:
            assert alive(name)
            assert alive(name + "-child")
            sender.kill()
            until(lambda: not alive(name), "the end of a name whose parcel a forked child could have kept")
            assert alive(name + "-child")
        finally:
            os.kill(child, signal.SIGKILL)
        until(lambda: not alive(name + "-child"), "the end of the child's parcel with the child")


@pytest.mark.parametrize("what", ["a storm of signals", "no threading module"])
def test_a_parcel_waits_whatever_happens_to_the_interpreter(name: str, peers: Callable[[], Peer], what: str) -> None:
    sender = peers()
    with receiver() as process:
        sender.do(
            """
import signal, time
from namedshm._backend import backend
threading = sys.modules.get("threading")
if what == "no threading module":
    sys.modules["threading"] = None
else:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
s = namedshm.create(name, 100)
number = backend.send_handle(s._handle, pid, "write")
s.close()
ends = time.monotonic() + 0.3
while time.monotonic() < ends: pass
signal.setitimer(signal.ITIMER_REAL, 0, 0)
if threading is None: sys.modules.pop("threading", None)  # this process serves other tests after us
else: sys.modules["threading"] = threading
""",
            name=name,
            pid=process.pid,
            what=what,
        )
        assert alive(name)
        process.kill()
        until(lambda: not alive(name), "the end of the parcel of a dead receiver")


@pytest.mark.parametrize("named", [True, False])
def test_what_was_sent_has_the_objects_identity(name: str, peers: Callable[[], Peer], named: bool) -> None:
    peer = peers()
    with namedshm.create(name if named else None, 100) as section:
        section.map()[:2] = b"ok"
        number = send(section, peer.pid)
        peer.do("from namedshm._backend import backend")
        got = peer.do("h = backend.receive_handle(number); s = namedshm.Section(h); (h.identity, s.map()[:2])", number=number)
        assert got == (section.identity, b"ok")


def test_the_file_of_a_section_comes_along(name: str, peers: Callable[[], Peer], tmp_path: object) -> None:
    peer = peers()
    with open(f"{tmp_path}/file", "w+b") as file:
        file.write(b"content")
        file.flush()
        with namedshm.create(name, 0, file=file.fileno()) as section:
            number = send(section, peer.pid)
            peer.do("from namedshm._backend import backend")
            assert peer.do("namedshm.Section(backend.receive_handle(number)).map()[:7]", number=number) == b"content"
