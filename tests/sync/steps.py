"""A process that is killed before each line of the package's Python code, one after the other.

What is below a line, the C code of a mutex or of a record's update, is killed elsewhere (tests/crash_sync, tests/records).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

from helpers.facts import has_fork
from helpers.peer import Peer, PeerDied

STRIDE = 1 if has_fork else 89  # lines from one kill to the next; where a process must be started for each, a sample

STEPPER = '''
import signal

def killed_at(line, call, after=None):
    """Call it, and kill this process before so many lines of the package; they are counted from the second call of the function
    named `after` on."""
    calls = 2 if after else 0
    def local(frame, event, argument):
        nonlocal line
        if event == "line" and calls <= 0:
            if not line:
                os.kill(os.getpid(), 9)
            line -= 1
        return local
    package = os.path.dirname(namedshm.__file__)
    def trace(frame, event, argument):
        nonlocal calls
        calls -= frame.f_code.co_name == after
        return local if frame.f_code.co_filename.startswith(package) else None
    sys.settrace(trace)
    call()
    sys.settrace(None)

def child_killed_at(line, call, after=None):
    """The same in a forked child; whether it came to its end."""
    child = os.fork()
    if not child:
        try:
            killed_at(line, call, after)
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitpid(child, 0)[1]
    assert ended in (0, 9), ended
    return ended == 0
'''


def killed_before_each_line(peers: Callable[[], Peer], code: str, *, stride: int = STRIDE, **variables: object) -> Iterator[int]:
    """Yields after each kill; ends when the code came to its end.

    Args:
        code: defines ``call``, a function without arguments, in a new process.
        stride: lines from one kill to the next.
    """
    for line, start, died in victims(peers, code, stride=stride, **variables):
        start()
        if not died():
            assert line > 20, "nearly no line was traced"
            return
        yield line


def victims(
    peers: Callable[[], Peer], code: str, *, after: str | None = None, stride: int = STRIDE, **variables: object
) -> Iterator[tuple[int, Callable[[], None], Callable[[], bool]]]:
    """Processes to be killed, one after the other, each some lines later: the line, what starts it, and what waits for its end and
    tells whether it was killed.

    Args:
        after: lines are counted from the second call of the function of this name on.
    """
    if has_fork:
        peer = peers()
        peer.do(STEPPER + code, **variables)
        for line in itertools.count(0, stride):
            start = partial(peer.start, "child_killed_at(line, call, after)", line=line, after=after)
            yield line, start, lambda: peer.result() is False
    for line in itertools.count(0, stride):
        with Peer() as peer:
            peer.do(STEPPER + code, **variables)
            start = partial(peer.start, "killed_at(line, call, after)", line=line, after=after)
            yield line, start, partial(_died, peer)


def _died(peer: Peer) -> bool:
    try:
        peer.result()
    except PeerDied:
        return True
    return False
