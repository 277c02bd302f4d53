"""What people report about ``multiprocessing.shared_memory`` again and again does not happen here.

Numbers after "gh" are issues of CPython, after "numpy" of NumPy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from helpers.facts import on_linux, on_windows
from helpers.peer import Peer
from helpers.turns import until

import namedshm
from namedshm.shared_memory import ShareableList, SharedMemory

IMPORT = "from namedshm.shared_memory import SharedMemory, ShareableList, SharedMemoryManager\n"


def test_gh_82300_a_process_that_only_opened_a_block_does_not_destroy_it_when_it_ends(
    program: Callable[..., str], name: str
) -> None:
    block = SharedMemory(name, create=True, size=10)
    block.buf[0] = 5
    for _ in range(2):
        assert program(f"{IMPORT}block = SharedMemory({name!r})\nprint(block.buf[0])") == "5\n"
    assert SharedMemory(name).buf[0] == 5


def test_gh_85619_unlinking_in_several_processes_is_no_key_error_of_a_tracker(program: Callable[..., str], name: str) -> None:
    code = f"""{IMPORT}
import multiprocessing
def use(name, all_have_it):
    block = SharedMemory(name)
    all_have_it.wait(60)
    block.close()
    block.unlink()
if __name__ == "__main__":
    block = SharedMemory({name!r}, create=True, size=10)
    all_have_it = multiprocessing.Barrier(4)
    workers = [multiprocessing.Process(target=use, args=(block.name, all_have_it)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    block.close()
    block.unlink()
    print([worker.exitcode for worker in workers])
"""
    assert program(code) == "[0, 0, 0, 0]\n"  # and nothing on stderr, which the fixture checks


def test_gh_116849_no_warning_of_leaked_objects_when_nobody_unlinks(
    program: Callable[..., str], name: str, gone: Callable[[str], bool]
) -> None:
    assert program(f"{IMPORT}block = SharedMemory({name!r}, True, 10); items = ShareableList([1]); print(1)") == "1\n"
    assert gone(name)


def test_nothing_is_left_after_a_kill(name: str, gone: Callable[[str], bool], peers: Callable[[], Peer]) -> None:
    peer = peers()
    peer.do(f"{IMPORT}block = SharedMemory(name, True, 1 << 20); block.buf[:] = bytes([1]) * (1 << 20)", name=name)
    peer.kill()
    assert gone(name)
    assert not [info for info in namedshm.list_objects() if info.name == name]
    assert SharedMemory(name, True, 1 << 20).buf[5] == 0


def test_ctrl_c_leaves_nothing_and_says_nothing_of_it(name: str, gone: Callable[[str], bool]) -> None:
    if on_windows:
        pytest.skip("sends SIGINT")
    code = f"{IMPORT}import signal\nblock = SharedMemory({name!r}, True, 10)\nprint('ready', flush=True)\nsignal.pause()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert complaints.rstrip().endswith("KeyboardInterrupt")
    assert "leaked" not in complaints
    assert "resource_tracker" not in complaints
    assert gone(name)


def test_gh_155003_no_buffer_error_on_close_or_at_exit_with_an_array_alive(program: Callable[..., str]) -> None:
    pytest.importorskip("numpy")
    code = f"""{IMPORT}
import numpy
block = SharedMemory(create=True, size=800)
array = numpy.frombuffer(block.buf, dtype=numpy.float64)
other = SharedMemory(block.name)
alive = numpy.frombuffer(other.buf, dtype=numpy.float64)  # at exit, in what order ever
block.close()
block.unlink()
array[99] = 1.5
print(alive[99])
"""
    assert program(code) == "1.5\n"  # nothing like "Exception ignored in SharedMemory.__del__" on stderr


def test_gh_102349_no_crash_when_an_array_outlives_its_block(program: Callable[..., str]) -> None:
    pytest.importorskip("numpy")
    code = f"""{IMPORT}
import numpy
def make():
    block = SharedMemory(create=True, size=1 << 20)
    return numpy.ndarray((1 << 20,), numpy.uint8, buffer=block.buf)  # the block goes with this frame
array = make()
array[:] = 7
print(array.sum())
"""
    assert program(code) == f"{7 << 20}\n"


def test_gh_92408_an_opener_never_meets_a_half_made_block(name: str, peers: Callable[[], Peer]) -> None:
    """With the standard library it can find a block before that has its size: ValueError, cannot mmap an empty file."""
    stop = namedshm.Event(name + "stop")
    peer = peers()
    peer.start(
        f"""{IMPORT}
stop, made = namedshm.Event(name + "stop"), 0
while not stop.wait(0):
    try:
        SharedMemory(name, create=True, size=5000).unlink()
        made += 1
    except FileExistsError:  # the test holds it at this moment
        pass
made""",
        name=name,
    )
    met = 0

    def meets_it() -> bool:
        nonlocal met
        with contextlib.suppress(FileNotFoundError):
            block = SharedMemory(name)
            assert (block.size, len(block.buf), block.buf[4999]) == (5000, 5000, 0)
            met += 1
        return met == 100

    until(meets_it, "a block to be met a hundred times while it comes and goes")
    stop.set()
    assert peer.result() > 0


@pytest.mark.skipif(not on_linux, reason="limits address space")
def test_gh_153279_opening_in_vain_does_not_destroy_the_block(name: str, program: Callable[..., str]) -> None:
    size = 256 << 20
    block = SharedMemory(name, create=True, size=size)
    block.buf[size - 1] = 7
    code = f"""{IMPORT}
import resource
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + {size // 2},) * 2)
try:
    SharedMemory({name!r})
except MemoryError as error:
    print(isinstance(error, OSError))
"""
    assert program(code) == "True\n"
    assert SharedMemory(name).buf[size - 1] == 7


def test_sizes_are_not_rounded_on_any_system(name: str) -> None:
    block = SharedMemory(name, create=True, size=5)
    assert [SharedMemory(name).size, block.size, len(block.buf), len(SharedMemory(name).buf)] == [5] * 4


def test_gh_106939_a_list_keeps_nul_at_the_end() -> None:
    assert list(ShareableList(["?\0", b"\x03\x02\x01\0\0\0"])) == ["?\0", b"\x03\x02\x01\0\0\0"]


def test_numpy_22190_an_array_may_take_the_variable_of_its_block(program: Callable[..., str]) -> None:
    pytest.importorskip("numpy")
    code = f"""{IMPORT}
import numpy
block = SharedMemory(create=True, size=8)
block = numpy.ndarray((1,), dtype=numpy.int64, buffer=block.buf)
block[0] = 5
print(block)
"""
    assert program(code) == "[5]\n"


def test_numbers_of_numpy_may_be_in_a_list() -> None:
    numpy = pytest.importorskip("numpy")
    assert list(ShareableList([numpy.float64(1.5)])) == [1.5]  # KeyError: <class 'numpy.float64'>


def test_names_may_be_long(name: str) -> None:
    long = name.ljust(255, "x")  # 31 characters on macOS
    assert SharedMemory(long, create=True, size=1).name == long


@pytest.mark.skipif(not on_linux, reason="there is no /dev/shm")
def test_the_size_of_dev_shm_does_not_matter() -> None:
    """Docker gives it 64 MB, and a write beyond that is a SIGBUS."""

    def used() -> int:
        state = os.statvfs("/dev/shm")
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    size = 32 << 20
    before = used()
    block = SharedMemory(create=True, size=size)
    block.buf[:] = bytes(size)
    assert used() - before < size // 2


@pytest.mark.skipif(not on_linux, reason="the standard library has no tracker elsewhere")
def test_no_tracker_process_is_started(program: Callable[..., str]) -> None:
    code = f"""{IMPORT}
import os
block, items = SharedMemory(create=True, size=10), ShareableList([1])
with open("/proc/self/task/%d/children" % os.getpid()) as file:
    print(file.read().split())
"""
    assert program(code) == "[]\n"


def test_what_programs_do_about_the_tracker_does_no_harm(
    program: Callable[..., str], name: str, gone: Callable[[str], bool]
) -> None:
    """Many replace its register() for a moment, or pass track=False where there is that."""
    code = f"""{IMPORT}
from multiprocessing import resource_tracker
register, resource_tracker.register = resource_tracker.register, lambda *arguments, **options: None
block = SharedMemory({name!r}, create=True, size=10, track=False)
resource_tracker.register = register
print(block._name)
"""
    if on_windows:
        pytest.skip("there is no tracker to import")
    assert program(code) == f"{name}\n"
    assert gone(name)
