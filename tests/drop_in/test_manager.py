"""SharedMemoryManager: a process that holds names, started in each of the ways multiprocessing has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from helpers.facts import has_fork, on_linux, on_windows
from helpers.peer import Peer
from helpers.turns import until

import namedshm
from namedshm.shared_memory import ShareableList, SharedMemory

START = """
import multiprocessing, os, sys
from namedshm.shared_memory import ShareableList, SharedMemory, SharedMemoryManager

def gone(name):
    try:
        SharedMemory(name)
    except FileNotFoundError:
        return True
    return False
"""


def test_names_live_until_the_manager_is_shut_down_whoever_closes(program: Callable[..., str], method: str) -> None:
    code = f"""{START}
def work(name):
    SharedMemory(name).buf[0] = 5

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    with SharedMemoryManager() as manager:
        block = manager.SharedMemory(size=100)
        assert block.size == 100
        name, buf = block.name, block.buf
        block.close()
        assert not gone(name)
        worker = multiprocessing.Process(target=work, args=(name,))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
        assert buf[0] == 5
        items = manager.ShareableList([1, "two"])
        again = ShareableList(name=items.shm.name)
        again[0] = 3
        assert list(items) == [3, "two"]
        again.shm.close()
        del again
    assert gone(name)
    assert gone(items.shm.name)  # though we have the list still
    assert list(items) == [3, "two"]
    buf[1] = 6
    print("done")
"""
    assert program(code) == "done\n"


def test_the_name_goes_at_shutdown_also_where_somebody_has_the_block_open(program: Callable[..., str], method: str) -> None:
    code = f"""{START}
if __name__ == "__main__":
    with SharedMemoryManager(ctx=multiprocessing.get_context({method!r})) as manager:
        held = SharedMemory(manager.SharedMemory(10).name)
    print(gone(held.name))
    held.buf[0] = 1
    held.close()
    print(gone(held.name))
"""
    assert program(code) == f"{not on_windows}\nTrue\n"


@pytest.mark.skipif(on_windows, reason="there a name stays with its object")
def test_anybody_may_unlink_a_managers_block(program: Callable[..., str], method: str) -> None:
    code = f"""{START}
if __name__ == "__main__":
    with SharedMemoryManager(ctx=multiprocessing.get_context({method!r})) as manager:
        for number in range(3000):  # more than there can be at once: the manager lets go of what it held
            block = manager.SharedMemory(10)
            SharedMemory(block.name).unlink()
            assert gone(block.name)
    print("done")
"""
    assert program(code) == "done\n"


def test_blocks_and_lists_of_a_manager_may_have_names(program: Callable[..., str], name: str) -> None:
    code = f"""{START}
if __name__ == "__main__":
    with SharedMemoryManager() as manager:
        block = manager.SharedMemory(100, name={name!r})
        items = manager.ShareableList([1, "two"], name={name!r} + "-list")
        block.close()
        assert SharedMemory({name!r}).size == 100
        assert list(ShareableList(name={name!r} + "-list")) == [1, "two"]
        for make in (lambda: manager.SharedMemory(7, name={name!r}), lambda: manager.ShareableList([], name={name!r})):
            try:
                make()
            except FileExistsError as error:
                print(type(error).__name__)
    assert gone({name!r})
"""
    assert program(code) == "AlreadyExists\n" * 2


def test_no_resource_tracker_runs(program: Callable[..., str]) -> None:
    code = f"""{START}
from multiprocessing import resource_tracker
if __name__ == "__main__":
    with SharedMemoryManager(ctx=multiprocessing.get_context({"fork" if has_fork else "spawn"!r})) as manager:
        manager.SharedMemory(10), manager.ShareableList([1])
        tracker = getattr(resource_tracker, "_resource_tracker", None)
        assert tracker is None or tracker._fd is None
    print("done")
"""
    assert program(code) == "done\n"


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_manager_holds_no_name_of_its_parent(program: Callable[..., str]) -> None:
    code = f"""{START}
if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    block, items = SharedMemory("mine", create=True, size=10), ShareableList([1], name="list")
    with SharedMemoryManager():
        block.unlink()
        items.shm.unlink()
        assert gone("mine")
        assert gone("list")
    print("done")
"""
    assert program(code) == "done\n"


def test_the_manager_must_run(program: Callable[..., str]) -> None:
    code = f"""{START}
def refused(kind, use, *arguments):
    try:
        use(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError("was not refused")

if __name__ == "__main__":
    manager = SharedMemoryManager()
    assert "start()" in refused(ValueError, manager.SharedMemory, 10)
    assert "start()" in refused(ValueError, manager.ShareableList, [1])
    manager.start()
    refused(multiprocessing.ProcessError, manager.start)
    refused(multiprocessing.ProcessError, manager.get_server)
    refused(ValueError, manager.SharedMemory, 0)
    refused(TypeError, manager.ShareableList, [[]])
    manager.SharedMemory(10)
    manager.shutdown()
    assert "start()" in refused(ValueError, manager.SharedMemory, 10)
    print("done")
"""
    assert program(code) == "done\n"


def test_a_manager_is_reached_by_its_address(program: Callable[..., str]) -> None:
    code = f"""{START}
def client(address, key, writer):
    manager = SharedMemoryManager(address, authkey=key)
    manager.connect()
    block = manager.SharedMemory(10)
    block.buf[0] = 8
    writer.send(block.name)

if __name__ == "__main__":
    import threading
    context = multiprocessing.get_context("spawn")
    server = SharedMemoryManager(("127.0.0.1", 0), authkey=b"key").get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reader, writer = context.Pipe(duplex=False)
    worker = context.Process(target=client, args=(server.address, b"key", writer))
    worker.start()
    name = reader.recv()
    worker.join()
    assert worker.exitcode == 0
    assert SharedMemory(name).buf[0] == 8  # the client has ended
    print("done")
"""
    assert program(code) == "done\n"


def test_segments_are_listed_and_released(program: Callable[..., str]) -> None:
    code = f"""{START}
from multiprocessing.managers import RemoteError, dispatch
if __name__ == "__main__":
    with SharedMemoryManager() as manager:
        first, second = manager.SharedMemory(10), manager.ShareableList([1]).shm
        def ask(*request):
            with manager._Client(manager.address, authkey=manager._authkey) as connection:
                return dispatch(connection, None, *request)
        assert ask("list_segments") == [first.name, second.name]
        ask("release_segment", (first.name,))
        assert gone(first.name)
        assert ask("list_segments") == [second.name]
        try:
            ask("release_segment", (first.name,))
        except RemoteError as error:
            assert "ValueError: This manager does not hold " + repr(first.name) in str(error)
            print("done")
"""
    assert program(code) == "done\n"


def test_a_subclass_shares_other_objects_too(program: Callable[..., str], method: str) -> None:
    code = f"""{START}
class Manager(SharedMemoryManager):
    pass

Manager.register("dict", dict)

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    with Manager() as manager:
        table = manager.dict()
        table.update(block=manager.SharedMemory(10).name)
        print(SharedMemory(table.get("block")).size)
"""
    assert program(code) == "10\n"


# ------------------------------------------------------------------------------------------------------------ kills
KEEPER = """
import multiprocessing
from namedshm.shared_memory import SharedMemory, SharedMemoryManager
manager = SharedMemoryManager(ctx=multiprocessing.get_context(method))
manager.start()
block, items = manager.SharedMemory(100), manager.ShareableList([1, 2])
(block.name, items.shm.name, manager._process.pid)
"""


@pytest.mark.skipif(on_windows, reason="looks for the process in /proc")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_the_manager_ends_with_a_killed_parent_and_its_names_with_it(
    start: str, peers: Callable[[], Peer], gone: Callable[[str], bool]
) -> None:
    peer = peers()
    block, items, server = peer.do(KEEPER, method=start)
    assert not gone(block)
    peer.kill()
    until(lambda: gone(block) and gone(items), "the end of the manager")
    until(lambda: not _runs(server), "the end of its process")


@pytest.mark.skipif(not has_fork, reason="the peer starts it by fork")
def test_of_a_killed_manager_the_names_go_and_the_memory_stays(peers: Callable[[], Peer], gone: Callable[[str], bool]) -> None:
    peer = peers()
    block, items, server = peer.do(KEEPER, method="fork")
    os.kill(server, signal.SIGKILL)
    until(lambda: gone(block) and gone(items), "the end of the manager")
    assert peer.do("block.buf[0] = 1; block.buf[0], list(items)") == (1, [1, 2])
    # a block that cannot be handed over is not made
    before = len(namedshm.list_objects())
    with pytest.raises((ConnectionError, FileNotFoundError)):
        peer.do("manager.SharedMemory(10)")
    assert len(namedshm.list_objects()) == before
    peer.do("manager.shutdown()")


@pytest.mark.skipif(not on_linux, reason="Ctrl-C reaches a process group on POSIX")
def test_the_manager_ignores_ctrl_c(peers: Callable[[], Peer], gone: Callable[[str], bool]) -> None:
    peer = peers()
    block, _, server = peer.do(KEEPER, method="fork")
    for _ in range(3):
        os.kill(server, signal.SIGINT)
        assert peer.do("manager.SharedMemory(10).size") == 10
    assert not gone(block)
    peer.do("manager.shutdown()")
    assert gone(block)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_classes_are_those_of_shared_memory() -> None:
    from namedshm import managers, shared_memory

    assert shared_memory.SharedMemoryManager is managers.SharedMemoryManager
    returned = managers.SharedMemoryManager.SharedMemory.__annotations__["return"]
    assert eval(returned, vars(managers)) is SharedMemory
    assert (SharedMemory, ShareableList) == (shared_memory.SharedMemory, shared_memory.ShareableList)
