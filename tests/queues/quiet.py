"""Operations of a queue in a process that the kernel ends at the first system call that is none of memory: python quiet.py NAME."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.sandbox import ALLOW, JUMP_IF_EQUAL, LOAD_WORD, RETURN, Instruction, Program, install

import namedshm

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


def empty(q: namedshm.Queue) -> None:
    try:
        q.get_nowait()
    except namedshm.queue.Empty:
        pass
    else:
        raise AssertionError


def loan(q: namedshm.Queue) -> None:
    with q.loan(100) as window:
        window[:5] = b"hello"
    with q.take() as message:
        assert message[:5] == b"hello"


def full(q: namedshm.Queue) -> None:
    try:
        while True:
            q.put_nowait(b"x")
    except namedshm.queue.Full:
        pass


SEVERAL = [b"x" * 50] * 7
LONG = b"x" * 2000
BUFFER = bytearray(3000)
KINDS: dict[str, tuple[Callable[[namedshm.Queue], Any], dict[str, Any]]] = {
    "put and get": (lambda q: (q.put(b"hello"), q.get()), {}),
    "with a time": (lambda q: (q.put(b"hello", 5.0), q.get(5.0)), {}),
    "a bytearray": (lambda q: (q.put(bytearray(b"hello")), q.get_into(BUFFER)), {}),
    "long ones": (lambda q: (q.put(LONG), q.get()), {}),
    "several": (lambda q: (q.put_many(SEVERAL), q.get_many(7)), {}),
    "in place": (loan, {}),
    "acknowledged": (lambda q: (q.put(b"hello"), q.get()), {"ack": True}),
    "nothing there": (empty, {}),
    "no room": (full, {}),
    "drop the oldest": (lambda q: q.put(b"hello"), {"overflow": "drop_oldest"}),
    "look": (lambda q: (q.qsize(), q.full(), q.empty(), q.is_shut_down, q.statistics()), {}),
    "a system call": (lambda q: os.getppid(), {}),  # which is noticed
}


if __name__ == "__main__":
    operate, options = KINDS[sys.argv[1]]
    queue = namedshm.Queue.create(None, 64, 3000, **options)
    queue.put(b"x")  # takes part, and introduces this thread to the kernel
    queue.get()
    operate(queue)
    calls = HARMLESS.get(platform.machine())
    if calls is None:
        os._exit(NOT_HERE)
    try:
        only(calls)
    except OSError:
        os._exit(NOT_HERE)
    for _ in range(ROUNDS):
        operate(queue)
    os._exit(0)
