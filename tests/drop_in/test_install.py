"""``shared_memory.install()``: what imports the standard library's module gets ours, in this process and in its children."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import has_fork, on_linux, on_windows

LIBRARY = '''
"""A library nobody can edit."""
from multiprocessing import managers, shared_memory
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import ShareableList, SharedMemory

kinds = [SharedMemory, ShareableList, SharedMemoryManager, shared_memory.SharedMemory, managers.SharedMemoryManager]

def answers(depth, method):
    """Where the classes come from here, and in children of children."""
    import multiprocessing
    found = [kind.__module__ for kind in kinds]
    if depth:
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        child = context.Process(target=send_answers, args=(queue, depth - 1, method))
        child.start()
        found += queue.get()
        child.join()
    return found

def send_answers(queue, depth, method):
    queue.put(answers(depth, method))
'''
OURS = ["namedshm.shared_memory", "namedshm.shared_memory", "namedshm.managers", "namedshm.shared_memory", "namedshm.managers"]


@pytest.fixture
def library(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(LIBRARY, encoding="utf-8")


def test_a_library_gets_ours_here_in_children_and_in_their_children(
    library: None, program: Callable[..., str], method: str
) -> None:
    code = f"""
if __name__ == "__main__":  # the main module is imported in the children too, and does not install there
    from namedshm import shared_memory
    shared_memory.install()
    shared_memory.install()
    import library
    print(library.answers(2, {method!r}))
"""
    assert program(code) == f"{OURS * 3}\n"


@pytest.mark.skipif(not has_fork, reason="this system has one method")
def test_children_of_different_methods_have_it_too(library: None, program: Callable[..., str]) -> None:
    code = """
import multiprocessing
def spawned(queue):
    import library
    queue.put(library.answers(1, "fork") + library.answers(1, "forkserver"))

if __name__ == "__main__":
    from namedshm.shared_memory import install
    install()
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    child = context.Process(target=spawned, args=(queue,))
    child.start()
    print(queue.get())
    child.join()
"""
    assert program(code) == f"{OURS * 4}\n"


def test_blocks_made_through_the_library_are_ours_and_pools_pass_them_on(
    library: None, program: Callable[..., str], method: str
) -> None:
    code = f"""
import multiprocessing
kept = []

def fill(block):
    from multiprocessing.shared_memory import SharedMemory
    assert type(block) is SharedMemory, type(block)
    block.buf[0] = 5
    made = SharedMemory(create=True, size=4)
    opened = SharedMemory(made.name)
    made.close()
    kept.append(opened)  # on Windows the name goes with the last handle
    return opened

if __name__ == "__main__":
    from namedshm import shared_memory
    shared_memory.install()
    import library
    block = library.SharedMemory(create=True, size=10)
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        back = pool.apply(fill, (block,))
        print(block.buf[0], type(back) is library.SharedMemory is shared_memory.SharedMemory, back.size)
        back.unlink()
    with library.SharedMemoryManager() as manager:
        print(type(manager.SharedMemory(1)) is shared_memory.SharedMemory)
"""
    assert program(code) == "5 True 4\nTrue\n"


@pytest.mark.skipif(on_windows, reason="there is no tracker")
def test_the_tracker_is_not_asked_to_forget_what_it_never_had(program: Callable[..., str]) -> None:
    code = """
from namedshm import shared_memory
shared_memory.install()
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory, resource_tracker as same
assert same is resource_tracker
block = SharedMemory(create=True, size=10)
resource_tracker.unregister(block._name, "shared_memory")
resource_tracker.unregister("/" + block._name, "shared_memory")
resource_tracker._resource_tracker.unregister(block._name, "shared_memory")
print(resource_tracker._resource_tracker._fd)
resource_tracker.register("/known", "shared_memory")  # what somebody told it, it forgets, once
resource_tracker.unregister("/known", "shared_memory")
resource_tracker.unregister("/known", "shared_memory")
import multiprocessing
lock = multiprocessing.Lock()  # it tracks semaphores as before
print("done")
"""
    assert program(code) == "None\ndone\n"


@pytest.mark.skipif(not on_linux, reason="sends a signal")
def test_nothing_is_left_of_a_library_that_was_killed(program: Callable[..., str]) -> None:
    code = """
import os, signal, subprocess, sys
child = subprocess.run([sys.executable, "-c", '''
from namedshm.shared_memory import install
install()
import os, signal
from multiprocessing.shared_memory import SharedMemory
block = SharedMemory("installed-and-killed", create=True, size=10)
block.close()
print(SharedMemory("installed-and-killed").size, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
'''], stdout=subprocess.PIPE)
print(child.stdout, child.returncode)
from namedshm.shared_memory import SharedMemory
try:
    SharedMemory("installed-and-killed")
except FileNotFoundError:
    print("gone")
"""
    assert program(code) == "b'10\\n' -9\ngone\n"
