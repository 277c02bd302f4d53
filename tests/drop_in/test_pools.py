"""Blocks and lists as arguments and results of worker processes, by each start method; both libraries where that works in both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.facts import on_wine

#: Processes and managers work there, test_manager.py has them.
pools_work = pytest.mark.skipif(on_wine, reason="concurrent.futures hangs now and then under Wine, also without shared memory")

POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from {package} import shared_memory

def fill(block, start, stop):
    for position in range(start, stop):
        block.buf[position] = position % 251
    return block.name

def double(items, position):
    items[position] = items[position] * 2
    return items

if __name__ == "__main__":
    block = shared_memory.SharedMemory(create=True, size=1000)
    items = shared_memory.ShareableList([1, 2.5, "text", b"bytes", None])
    with ProcessPoolExecutor(3, multiprocessing.get_context({method!r})) as pool:
        parts = [pool.submit(fill, block, part * 100, (part + 1) * 100) for part in range(10)]
        assert {{part.result() for part in parts}} == {{block.name}}
        print(bytes(block.buf[:1000]) == bytes(i % 251 for i in range(1000)))
        results = [pool.submit(double, items, position).result() for position in range(3)]
        print(list(items), [list(result) == list(items) for result in results])
        for result in results:
            result.shm.close()
    block.close()
    block.unlink()
    items.shm.close()
    items.shm.unlink()
"""
EXPECTED = "True\n[2, 5.0, 'texttext', b'bytes', None] [True, True, True]\n"


@pools_work
@pytest.mark.parametrize("package", ["namedshm", "multiprocessing"])
def test_a_pool_works_on_a_block_and_a_list(program: Callable[..., str], method: str, package: str) -> None:
    assert program(POOL.format(package=package, method=method)) == EXPECTED


@pools_work
def test_a_block_a_worker_made_reaches_the_parent_if_somebody_holds_it(program: Callable[..., str], method: str) -> None:
    code = f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from namedshm.shared_memory import SharedMemory, SharedMemoryManager

kept = []

def make(number):
    block = SharedMemory(create=True, size=10)
    block.buf[0] = number
    kept.append(block)  # until this worker ends
    return block

def make_by(manager, number):
    block = manager.SharedMemory(10)
    block.buf[0] = number
    return block  # the manager holds it

def connect(address, key):
    global manager
    manager = SharedMemoryManager(address, authkey=key)
    manager.connect()

def make_by_manager(number):
    return make_by(manager, number)

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with ProcessPoolExecutor(2, context) as pool:
        print([block.buf[0] for block in pool.map(make, range(5))])
    with SharedMemoryManager(authkey=b"key", ctx=context) as manager:
        with ProcessPoolExecutor(2, context, connect, (manager.address, b"key")) as pool:
            names = [block.name for block in pool.map(make_by_manager, range(5))]
        print([SharedMemory(name).buf[0] for name in names])  # the workers have ended
"""
    assert program(code) == "[0, 1, 2, 3, 4]\n" * 2


def test_a_block_is_an_argument_of_a_process(program: Callable[..., str], method: str) -> None:
    code = f"""
import multiprocessing
from namedshm.shared_memory import SharedMemory, ShareableList

def work(block, items):
    block.buf[:5] = b"child"
    items[0] = len(items)
    block.close()
    items.shm.close()
    items.shm.unlink()  # by who did not make it, and has closed it

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    block, items = SharedMemory("block", create=True, size=10), ShareableList([0, 1, 2], name="items")
    process = context.Process(target=work, args=(block, items))
    process.start()
    process.join()
    print(process.exitcode, bytes(block.buf[:5]), items[0])
    block.unlink()
    for name in ("block", "items"):
        try:
            SharedMemory(name)
        except FileNotFoundError:
            print("gone")
        items.shm.unlink()
        block.close()
"""
    output = program(code).splitlines()
    assert output[0] == "0 b'child' 3"
    assert output[1:] == ["gone", "gone"]
