"""Forks, signal handlers and the collector in the midst of calls: nothing hangs, and nothing is lost.

Each is a program of its own, which is killed when it hangs.
"""

from __future__ import annotations

import signal

import pytest
from helpers.facts import has_fork, has_global_lock, on_linux
from helpers.peer import _Lender, run_python
from helpers.threads import InThread

import namedshm
from namedshm import win32 as w

needs_fork = pytest.mark.skipif(not has_fork, reason="needs fork")
needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals by a timer")


def program(code: str, **variables: object) -> str:
    """Output of a program that ends within a minute."""
    start = "".join(f"{key} = {value!r}\n" for key, value in variables.items())
    return run_python(start + code, start_new_session=on_linux)


#: `child(work)` forks and gives the child's status: 0 if `work()` ended well, -9 if it hung, be it in fork() itself.
CHILD = """
import gc, os, select, signal, sys, threading, time, traceback, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # that is what is tested

def child(work):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    end = os.pidfd_open(pid)
    if not select.select([end], [], [], 20)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(end)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


# ------------------------------------------------------------------------------------------------------------ win32
@needs_fork
@pytest.mark.parametrize(
    "busy",
    [
        "w.SetEvent(0x12345678)",
        "w.CloseHandle(w.CreateEvent(None, True, False, None))",
        "w.CloseHandle(w.OpenEvent(w.EVENT_ALL_ACCESS, False, name))",
        "w.WaitForSingleObject(0x1234567C, 0)",
    ],
    ids=["bad handle", "create", "open", "wait"],
)
def test_a_child_forked_amidst_calls_of_win32_goes_on(name: str, busy: str) -> None:
    assert (
        program(
            CHILD
            + f"""
from namedshm import win32 as w
keep = w.CreateEvent(None, True, False, name)
stop = False

def loop():
    while not stop:
        {busy}

def work():
    assert w.SetEvent(keep)
    made = w.CreateEvent(None, True, True, None)
    assert made and w.WaitForSingleObject(made, 0) == w.WAIT_OBJECT_0
    assert not w.SetEvent(0x12345678) and w.GetLastError() == 6
    assert w.CloseHandle(made)

threads = [threading.Thread(target=loop) for _ in range(2)]
[thread.start() for thread in threads]
print({{child(work) for _ in range(60)}})
stop = True
""",
            name=name,
        )
        == "{0}\n"
    )


@needs_fork
@pytest.mark.skipif(has_global_lock, reason="with a global lock, dictionaries have none of their own")
@pytest.mark.parametrize("dictionary", ["_handles", "_receiving"])
def test_a_child_does_not_need_a_lock_that_a_thread_was_given_at_the_fork(name: str, dictionary: str) -> None:
    """CPython gives the lock of a dictionary to a thread that has waited for it for a millisecond.

    The main thread keeps it that long, by a slow comparison, lets it go and forks at once: before the eight others have woken up
    one after another, in some rounds at least.
    """
    assert (
        program(
            CHILD
            + """
from namedshm import win32 as w
keep = w.CreateEvent(None, True, False, name)
dictionary = getattr(w._handles, dictionary)
dictionary.setdefault(keep, (0,))

class Slow:
    def __hash__(self):
        return hash(keep)
    def __eq__(self, other):
        for start in starts:
            start.release()
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
        return False

def wait(start):
    start.acquire()
    dictionary.pop(0, None)

def work():
    assert w.SetEvent(keep)

statuses = set()
for _ in range(20):
    starts = [threading.Lock() for _ in range(8)]
    [start.acquire() for start in starts]
    threads = [threading.Thread(target=wait, args=(start,), daemon=True) for start in starts]
    [thread.start() for thread in threads]
    assert dictionary.pop(Slow(), None) is None
    statuses.add(child(work))
    [thread.join() for thread in threads]
    if statuses != {0}:
        break
print(statuses)
""",
            name=name,
            dictionary=dictionary,
        )
        == "{0}\n"
    )


@needs_alarm
def test_a_signal_handler_makes_and_closes_handles_while_the_program_does(name: str) -> None:
    assert (
        program(
            """
import signal, time
from namedshm import win32 as w

calls = 0
def turn():
    made = w.CreateEvent(None, True, True, None)
    assert made and w.WaitForSingleObject(made, 0) == w.WAIT_OBJECT_0
    assert w.CloseHandle(made)
    assert not w.SetEvent(made)
    assert not w.SetEvent(0x12345678)
    return made

def handler(number, frame):
    global calls
    calls += 1
    turn()

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
end = time.monotonic() + 3
numbers = set()
while time.monotonic() < end:
    numbers.add(turn())
signal.setitimer(signal.ITIMER_REAL, 0)
print(calls > 100 and len(numbers) > 100)
"""
        )
        == "True\n"
    )


def test_the_collector_closes_handles_in_the_midst_of_calls(name: str) -> None:
    assert (
        program(
            """
import gc
from namedshm import win32 as w

class Handle:
    def __init__(self):
        self.number = w.CreateEvent(None, True, False, None)
        self.me = self  # garbage for the collector alone
    def __del__(self):
        assert w.CloseHandle(self.number)
        w.SetEvent(0x12345678)

gc.set_threshold(1)
for _ in range(3000):
    Handle()
    made = w.CreateEvent(None, True, False, None)
    w.SetEvent(0x12345678)
    assert w.CloseHandle(made)
gc.collect()
print(len(w._handles._handles))
"""
        )
        == "0\n"
    )


def test_threads_that_use_a_sent_handle_for_the_first_time_all_get_it(name: str, peers: _Lender, in_thread: type[InThread]) -> None:
    import os
    import threading

    sender = peers(name=name, pid=os.getpid())
    sender.do(
        "from namedshm import win32 as w; made = w.CreateEvent(None, True, False, name); to = w.OpenProcess(0x40, False, pid)"
    )
    for _ in range(20):
        number = sender.do("w.DuplicateHandle(w.GetCurrentProcess(), made, to, 0, False, w.DUPLICATE_SAME_ACCESS)")
        barrier = threading.Barrier(4)

        def use(number: int = number, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return w.SetEvent(number)

        assert [thread.join() for thread in [in_thread(use) for _ in range(4)]] == [True] * 4
        if not on_linux:  # a number that was closed may be another object's at once, here as in any Windows program
            assert w.CloseHandle(number)
            continue
        closed = [thread.join() for thread in [in_thread(lambda number=number: w.CloseHandle(number)) for _ in range(3)]]
        assert sorted(closed) == [False, False, True]  # one handle is closed once
    assert not w._handles._receiving


# ------------------------------------------------------------------------------------------------------------ asyncio
@needs_fork
def test_a_child_forked_beside_the_watcher_ends_what_it_inherited_and_waits_itself(name: str) -> None:
    assert (
        program(
            CHILD
            + """
import asyncio, random
import namedshm

event = namedshm.Event(name)
stop = False

def loop():
    async def visit():
        while not stop:
            await event.wait_async(random.random() * 0.002)
    async def main():
        await asyncio.gather(*(visit() for _ in range(20)))
    asyncio.run(main())

def work():
    gc.collect()  # the loop and its tasks were the thread's, which is not here
    mine = namedshm.Event()
    async def main():
        mine.set()
        assert await mine.wait_async(5)
        assert not await mine.wait_async(0.01)
        asyncio.get_running_loop().call_later(0.01, mine.set)
        assert await mine.wait_async(10)
    asyncio.run(main())
    for thread in threads:
        thread.__dict__.clear()
    gc.collect()

threads = [threading.Thread(target=loop) for _ in range(2)]
[thread.start() for thread in threads]
print({child(work) for _ in range(100)})
stop = True
""",
            name=name,
        )
        == "{0}\n"
    )


@needs_alarm
def test_a_signal_handler_ends_and_begins_waits_in_the_midst_of_others(name: str) -> None:
    assert (
        program(
            """
import asyncio, signal
import namedshm
from namedshm import aio
from namedshm._backend import backend

event = namedshm.Event()
calls = 0

def handler(number, frame):
    global calls
    calls += 1
    polled = backend.begin_wait([event], False)
    thread = aio._pool().add(polled, loop, loop.create_future())
    thread.discard(polled)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    end = loop.time() + 3
    while loop.time() < end:
        await asyncio.gather(*(event.wait_async(0.001) for _ in range(5)))
    signal.setitimer(signal.ITIMER_REAL, 0)

asyncio.run(main())
threads = aio._pool().threads  # two if the first signal came while the first was made
print(calls > 100, len(threads) <= 2, {len(thread.waits) for thread in threads})
"""
        )
        == "True True {0}\n"
    )


@pytest.mark.skipif(not on_linux, reason="that watcher is Linux's")
def test_a_wait_that_goes_while_another_is_added_is_no_error(name: str) -> None:
    """What the collector does: it ends a wait while the watcher counts how many there are."""
    from namedshm._backend.linux import native, watch

    watcher = watch.FutexWatcher()
    event = namedshm.Event(name)

    class Ending(native.Wait):  # type: ignore[misc]
        def __len__(self) -> int:
            for other in others:
                watcher.remove(other)
            return 1

    others = [native.Wait([event], False) for _ in range(20)]
    ending = Ending([event], False)
    for wait in (others[0], ending, *others[1:]):
        assert watcher.add(wait)
    event.set()
    assert set(watcher.ready()) <= {ending, others[-1]}
    assert watcher.add(ending)
    watcher.remove(ending)
    watcher.remove(ending)


@pytest.mark.skipif(not on_linux, reason="that watcher is Linux's")
def test_no_more_is_watched_than_one_thread_can(name: str, in_thread: type[InThread]) -> None:
    from namedshm._backend.linux import native, watch

    watcher = watch.FutexWatcher()
    events = [namedshm.Event() for _ in range(7)]
    waits = [native.Wait(events, False) for _ in range(100)]
    threads = [in_thread(lambda part=part: [watcher.add(wait) for wait in waits[part::4]]) for part in range(4)]
    added = sum(sum(thread.join()) for thread in threads)
    assert added <= native.WATCH_MAX // 7
    assert added >= native.WATCH_MAX // 7 - 4  # several that enter at the same time may all be refused
    events[3].set()
    assert len(watcher.ready()) == added
