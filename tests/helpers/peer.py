"""Another process, steered step by step: the test says what it does and when, so no test ever sleeps to be second.

    with Peer() as peer:
        peer.do("section = namedshm.create(name, 100)", name=name)
        namedshm.open(name)
        peer.kill()                  # SIGKILL, TerminateProcess

The protocol is one JSON line each way (worker.py).  Errors of the peer are raised here as what they were there.
"""

from __future__ import annotations

import ast
import atexit
import base64
import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .facts import on_linux

WORKER = Path(__file__).with_name("worker.py")
PATIENCE = 60.0  # seconds; far more than any step takes, also under Wine on a busy machine

#: Every process made here, so that the check at the end of the run counts what is ours and nothing else.
born: set[int] = {os.getpid()}


class PeerDied(RuntimeError):
    """The other process ended before it answered."""


class _Line:
    """Lines of a pipe, read by a thread because Windows pipes cannot be waited for."""

    def __init__(self, pipe: IO[str]) -> None:
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._pump, args=(pipe,), daemon=True)
        self._thread.start()

    def _pump(self, pipe: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError), pipe:
            for line in pipe:
                self._queue.put(line)
        self._queue.put(None)

    def get(self, patience: float) -> str | None:
        return self._queue.get(timeout=patience)

    def drain(self) -> str:
        lines = []
        with contextlib.suppress(queue.Empty):
            while (line := self._queue.get_nowait()) is not None:
                lines.append(line)
        return "".join(lines)

    def end(self, patience: float = PATIENCE) -> None:
        """Wait until the other side is closed, by whatever end of the process."""
        self._thread.join(patience)


class _Steps:
    """What a peer can do, however its process came to be."""

    pid: int
    _out: IO[str]
    _in: _Line
    _waiting: bool

    def _complaints(self) -> str:
        return ""

    def _send(self, request: dict[str, Any]) -> None:
        assert not self._waiting, "the peer has not answered the step before: call result() first"
        try:
            self._out.write(json.dumps(request) + "\n")
            self._out.flush()
        except OSError as error:
            raise PeerDied(f"peer {self.pid} is gone: {self._complaints()}") from error
        self._waiting = True

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._in.get(PATIENCE)
        except queue.Empty:
            self.kill()
            raise PeerDied(f"peer {self.pid} did not answer in {PATIENCE:g} s: {self._complaints()}") from None
        self._waiting = False
        if line is None:
            raise PeerDied(f"peer {self.pid} ended instead of answering: {self._complaints()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def start(self, code: str, /, **variables: object) -> None:
        """Begin a step and return at once; result() waits for it."""
        self._send({"code": code, "variables": repr(variables)})

    def result(self) -> Any:
        """The value of the step under way, or its exception."""
        answer = self._receive()
        if "error" in answer:
            error = pickle.loads(base64.b64decode(answer["error"]))
            error.add_note(f"in peer {self.pid}:\n{answer['trace']}")
            raise error
        return None if answer.get("value") is None else ast.literal_eval(answer["value"])

    def do(self, code: str, /, **variables: object) -> Any:
        """Run statements with these variables; returns the value of a last expression if it is a plain one."""
        self.start(code, **variables)
        return self.result()

    def reset(self) -> list[str]:
        """Forget everything for the next test; returns what is still mapped though nothing refers to it."""
        self._send({"reset": True})
        left: list[str] = self.result()
        return left

    def kill(self) -> None:
        raise NotImplementedError

    def fork(self, directory: Path, owner: int | None = None) -> ForkedPeer:
        """A child by fork(2) of this peer: it has the variables, handles and views this one has now.

        ``owner``: the user of the peer, where it is another.
        """
        _become_reaper()
        names = [str(directory / f"{self.pid}-{len(born)}-{end}") for end in ("to", "from")]
        for name in names:
            os.mkfifo(name)
            if owner is not None:
                os.chown(name, owner, -1)
        self._send({"fork": names})
        pid = self.result()
        return ForkedPeer(pid, *names)


class Peer(_Steps):
    """A process of the same Python.

    Args:
        env: variables on top of this process's.
        user, group, groups: numbers of a real other user (Linux, root only).
        session: NAMEDSHM_SESSION of the process; None: the run's.
        cwd: working directory.
        prefix: command line put in front of Python, for example unshare.
    """

    def __init__(
        self,
        *,
        env: dict[str, str] | None = None,
        session: str | None = None,
        user: int | None = None,
        group: int | None = None,
        groups: tuple[int, ...] = (),
        prefix: tuple[str, ...] = (),
    ) -> None:
        self._waiting = False
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        if session is not None:
            environment["NAMEDSHM_SESSION"] = session
        who: dict[str, Any] = {} if user is None else {"user": user, "group": group or user, "extra_groups": list(groups)}
        for attempt in range(3):
            self._process = subprocess.Popen(
                [*prefix, sys.executable, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,  # not inherited: a regular file there stops some Pythons under Wine
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                **who,
            )
            assert self._process.stdin
            assert self._process.stdout
            assert self._process.stderr
            self.pid = self._process.pid
            born.add(self.pid)
            self._out = self._process.stdin
            self._errors = _Line(self._process.stderr)
            self._in = _Line(self._process.stdout)
            try:
                self.pid = self._receive()["pid"]  # not Popen's where a prefix forks
                break
            except PeerDied:
                # Wine ends about one start in two thousand without a word; such a start is repeated
                if attempt == 2 or self._errors.drain():
                    raise
        born.add(self.pid)

    def _complaints(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._errors.end(5)
        return f"status {self._process.poll()}, {self._errors.drain()[-4000:] or 'no message'}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL or TerminateProcess; the process is gone when this returns."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def close(self) -> None:
        """Let it end without closing anything, and wait for that."""
        with contextlib.suppress(OSError):
            self._out.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        if on_linux:  # under Wine a service started by the first process may keep the pipes open
            self._in.end()
            self._errors.end()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ForkedPeer(_Steps):
    def __init__(self, pid: int, to_child: str, from_child: str) -> None:
        self._waiting = False
        self.pid = pid
        born.add(pid)
        self._out = open(to_child, "w", encoding="ascii")  # noqa: SIM115
        self._in = _Line(open(from_child, encoding="ascii"))  # noqa: SIM115
        self._receive()

    def _reap(self) -> None:
        # the pipe's end comes after the memory's: the kernel lets go of a process's memory before its descriptors
        self._in.end()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._out.close()
        self._reap()

    def __enter__(self) -> ForkedPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _become_reaper() -> None:
    """Orphaned grandchildren become this process's children, so that none is left without being seen."""
    import ctypes

    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


class Pool:
    """Peers used again: starting one costs 0.1 s here and half a second under Wine, and most tests do not kill theirs."""

    def __init__(self) -> None:
        self._idle: list[Peer] = []
        atexit.register(self.close)

    @contextlib.contextmanager
    def several(self) -> Iterator[_Lender]:
        lender = _Lender(self)
        try:
            yield lender
        finally:
            left = [line for peer in lender.lent for line in self._give_back(peer)]
            assert not left, f"attachments that nothing refers to stayed mapped in a peer: {left}"

    def _take(self) -> Peer:
        return self._idle.pop() if self._idle else Peer()

    def _give_back(self, peer: Peer) -> list[str]:
        if not peer.alive or peer._waiting:
            peer.close()
            return []
        left = peer.reset()
        if left:
            peer.close()
        else:
            self._idle.append(peer)
        return left

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _Lender:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.lent: list[Peer] = []

    def __call__(self, **variables: object) -> Peer:
        """One more peer, with these variables set."""
        peer = self._pool._take()
        self.lent.append(peer)
        if variables:
            peer.do("", **variables)
        return peer


def run_python(code: str, *, env: dict[str, str] | None = None, **options: Any) -> str:
    """Output of a fresh Python running ``code``; raises with its messages if it fails."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        **options,
    )
    born.add(process.pid)
    try:
        output, complaints = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        output, complaints = process.communicate()
        raise AssertionError(f"the program hangs; it had printed {output!r} and {complaints[-2000:]!r}") from None
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, f"status {process.returncode}: {complaints}"
    return output
