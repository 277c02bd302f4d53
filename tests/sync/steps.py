"""A process that is killed before each line of the package's Python code, one after the other.

What is below a line, the C code of a mutex or of a record's update, is killed elsewhere (tests/crash_sync, tests/records).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from helpers.facts import has_fork
from helpers.peer import Peer

STRIDE = 1 if has_fork else 17  # lines from one kill to the next; where a process must be started for each, a sample

STEPPER = '''
import signal

def killed_at(line, call):
    """Call it, and kill this process before so many lines of the package."""
    def local(frame, event, argument):
        nonlocal line
        if event == "line":
            if not line:
                os.kill(os.getpid(), 9)
            line -= 1
        return local
    package = os.path.dirname(namedshm.__file__)
    sys.settrace(lambda frame, event, argument: local if frame.f_code.co_filename.startswith(package) else None)
    call()
    sys.settrace(None)

def child_killed_at(line, call):
    """The same in a forked child; whether it came to its end."""
    child = os.fork()
    if not child:
        try:
            killed_at(line, call)
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitpid(child, 0)[1]
    assert ended in (0, 9), ended
    return ended == 0
'''


def killed_before_each_line(peers: Callable[[], Peer], code: str, **variables: object) -> Iterator[int]:
    """Yields after each kill; ends when the code came to its end.

    Args:
        code: defines ``call``, a function without arguments, in a new process.
    """
    line = 0
    if has_fork:
        peer = peers()
        peer.do(STEPPER + code, **variables)
        for line in itertools.count():
            if peer.do("child_killed_at(line, call)", line=line):
                break
            yield line
        assert line > 20, "nearly no line was traced"
        return
    for line in itertools.count(0, STRIDE):
        with Peer() as peer:
            peer.do(STEPPER + code, **variables)
            peer.start("killed_at(line, call)", line=line)
            try:
                peer.result()
                break
            except RuntimeError:  # it died
                pass
        yield line
    assert line > 20, "nearly no line was traced"
