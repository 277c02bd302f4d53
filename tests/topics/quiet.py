"""Operations of a topic in a process that the kernel ends at the first system call that is none of memory: python quiet.py NAME."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.sandbox import ALLOW, JUMP_IF_EQUAL, LOAD_WORD, RETURN, Instruction, Program, install

from namedshm.topic import Topic

KILL = 0x80000000  # the process, by SIGSYS
#: brk, mmap, munmap, madvise, mremap and exit_group.
HARMLESS = {"x86_64": (12, 9, 11, 28, 25, 231), "aarch64": (214, 222, 215, 233, 216, 94)}
ROUNDS = 3000
NOT_HERE = 77


def only(calls: tuple[int, ...]) -> None:
    """From now on these system calls alone, in this process."""
    tests = [Instruction(JUMP_IF_EQUAL, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    steps = [Instruction(LOAD_WORD, 0, 0, 0), *tests, Instruction(RETURN, 0, 0, KILL), Instruction(RETURN, 0, 0, ALLOW)]
    install(Program(len(steps), (Instruction * len(steps))(*steps)))


def windows(t: Topic) -> None:
    with t.loan() as window:
        window[:5] = b"hello"
    with t.view() as window:
        assert window[:5] == b"hello"
    with t.pin() as window:
        assert window[:5] == b"hello"


def arrays(t: Topic) -> None:
    t.publish(ARRAY)
    with t.view() as frame:
        assert frame[0] == 1
    del frame
    with t.loan() as frame:
        frame[:] = 1
    t.latest()
    t.latest_into(ARRAY)


ARRAY: Any = None
LONG = b"x" * 2000
BUFFER = bytearray(3000)
KINDS: dict[str, tuple[Callable[[Topic], Any], dict[str, Any]]] = {
    "publish and read": (lambda t: (t.publish(b"hello"), t.latest(), t.next() if t.lag else None), {}),
    "with a time": (lambda t: (t.publish(b"hello", 5.0), t.latest(5.0)), {}),
    "all": (lambda t: (t.publish(b"hello"), t.next(0)), {}),
    "long ones": (lambda t: (t.publish(LONG), t.latest()), {}),
    "into a buffer": (lambda t: (t.publish(LONG), t.latest_into(BUFFER)), {}),
    "in place": (windows, {}),
    "look": (lambda t: (t.lag, t.position, t.missed, t.is_shut_down), {}),
    "arrays": (arrays, {"dtype": "f4", "shape": (1000,)}),
    "a system call": (lambda t: os.getppid(), {}),  # which is noticed
}


if __name__ == "__main__":
    operate, options = KINDS[sys.argv[1]]
    if options:
        import numpy as np

        ARRAY = np.ones(1000, "f4")
    topic = Topic.create(None, **(options or {"max_size": 3000}))
    operate(topic)  # takes part, and introduces this thread to the kernel
    operate(topic)
    calls = HARMLESS.get(platform.machine())
    if calls is None:
        os._exit(NOT_HERE)
    for _ in range(200):  # every frame has its pages
        topic.publish(LONG if not options else ARRAY)
    try:
        only(calls)
    except OSError:
        os._exit(NOT_HERE)
    for _ in range(ROUNDS):
        operate(topic)
    os._exit(0)
