"""A program of the standard library's kind runs the same when one line of it is changed, and says the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.facts import on_windows

LINES = (
    "from multiprocessing import shared_memory",
    "from multiprocessing.shared_memory import SharedMemory, ShareableList",
    "from multiprocessing.managers import SharedMemoryManager",
)

ONE_INTERPRETER = """
from multiprocessing import shared_memory

first = shared_memory.SharedMemory(create=True, size=10)
kind = type(first.buf)
buffer = first.buf
buffer[:4] = bytearray([22, 33, 44, 55])
buffer[4] = 100
second = shared_memory.SharedMemory(first.name)
import array
copied = array.array("b", second.buf[:5])
print(kind, len(copied), copied)
second.buf[:5] = b"howdy"
print(bytes(first.buf[:5]), first.size, second.name == first.name)
second.close()
first.close()
first.unlink()
print(first.buf, second.buf)
try:
    shared_memory.SharedMemory(first.name)
except FileNotFoundError:
    print("the name is free")
"""

NUMBERS = """
from multiprocessing.shared_memory import SharedMemory, ShareableList
import multiprocessing
import numpy as np

def add(name, shape, kind, amount):
    block = SharedMemory(name=name)
    array = np.ndarray(shape, dtype=kind, buffer=block.buf)
    array += amount
    del array
    block.close()

if __name__ == "__main__":
    original = np.array([1, 1, 2, 3, 5, 8])
    block = SharedMemory(create=True, size=original.nbytes)
    array = np.ndarray(original.shape, dtype=original.dtype, buffer=block.buf)
    array[:] = original[:]
    context = multiprocessing.get_context("spawn")
    for amount in (1, 10):
        worker = context.Process(target=add, args=(block.name, array.shape, array.dtype, amount))
        worker.start()
        worker.join()
    array[-1] = 888
    print(array, worker.exitcode, type(array))
    del array
    block.close()
    block.unlink()
"""

LIST = """
from multiprocessing.shared_memory import SharedMemory, ShareableList

items = ShareableList(["howdy", b"HoWdY", -273.154, 100, None, True, 42])
print([type(entry).__name__ for entry in items])
items[2] = -78.5
print(items[2], items.format)
items[2] = "dry ice"
print(items[2], items.format)
try:
    items[2] = "larger than the storage it has"
except ValueError:
    print("does not fit")
print(items[2], len(items), items.index(42), items.count(b"HoWdY"), items.count("x"))
same = ShareableList(name=items.shm.name)
same[-1] = 5
print(items[6], list(same) == list(items), 100 in items)
same.shm.close()
items.shm.close()
items.shm.unlink()
"""

MANAGER = """
from multiprocessing.managers import SharedMemoryManager
import multiprocessing

def double(items, start, stop):
    for position in range(start, stop):
        items[position] *= 2

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    with SharedMemoryManager() as manager:
        items = manager.ShareableList(range(200))
        halves = [multiprocessing.Process(target=double, args=(items, half * 100, half * 100 + 100)) for half in range(2)]
        for half in halves:
            half.start()
        for half in halves:
            half.join()
        print(sum(items), items[-1], [half.exitcode for half in halves])
        block = manager.SharedMemory(size=128)
        block.buf[0] = 1
        print(len(block.buf) >= 128, block.buf[0])
    manager = SharedMemoryManager()
    manager.start()
    manager.shutdown()
    try:
        manager.start()
    except multiprocessing.ProcessError:
        print("was shut down")
"""

ERRORS = """
from multiprocessing import shared_memory
import os

name = f"errors-{os.getpid()}"
block = shared_memory.SharedMemory(name=name, create=True, size=16)
for what, attempt in {
    "create twice": lambda: shared_memory.SharedMemory(name, create=True, size=16),
    "open what is not there": lambda: shared_memory.SharedMemory(name + "-missing"),
    "no size": lambda: shared_memory.SharedMemory(create=True),
    "no name": lambda: shared_memory.SharedMemory(),
    "a size below 0": lambda: shared_memory.SharedMemory(create=True, size=-1),
    "a list that is not there": lambda: shared_memory.ShareableList(name=name + "-missing"),
    "too many bytes": lambda: block.buf.__setitem__(slice(0, 2), b"abc"),
    "beyond the end": lambda: block.buf[1 << 40],
}.items():
    try:
        attempt()
    except FileExistsError:
        print(what, "FileExistsError")
    except FileNotFoundError:
        print(what, "FileNotFoundError")
    except (ValueError, IndexError) as error:
        print(what, "ValueError" if isinstance(error, ValueError) else "IndexError")
block.close()
block.unlink()
"""

PROGRAMS = {"one interpreter": ONE_INTERPRETER, "numbers": NUMBERS, "list": LIST, "manager": MANAGER, "errors": ERRORS}


@pytest.mark.parametrize("which", PROGRAMS)
def test_a_program_says_the_same_with_one_line_changed(program: Callable[..., str], which: str) -> None:
    if which == "numbers":
        pytest.importorskip("numpy")
    original = PROGRAMS[which]
    (line,) = [line for line in original.splitlines() if line in LINES]
    changed = original.replace(line, line.replace("multiprocessing", "namedshm"))
    assert sum(a != b for a, b in zip(original.splitlines(), changed.splitlines(), strict=True)) == 1
    if on_windows and which == "one interpreter":
        changed, original = changed.replace("first.size, ", ""), original.replace("first.size, ", "")  # theirs is of whole pages
    said = program(changed)
    assert said
    assert said == program(original)
