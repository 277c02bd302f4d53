"""Copy-on-write by faults: writes are its business, pages keep the protection asked for, the rest goes to who was there before."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys

import pytest
from helpers.facts import on_linux

pytestmark = pytest.mark.skipif(not on_linux, reason="Windows copies on write itself")

HEAD = """
import ctypes, os, resource, signal, sys
import namedshm
from namedshm._backend.linux import native
native.set_kernel_copy(False)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
PROT_READ = 1
libc = ctypes.CDLL(None, use_errno=True)
section = namedshm.create(None, 3 * 4096, executable=True)
def call(address): return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
def protection(view):
    for line in open("/proc/self/maps"):
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= view.address < end: return line.split()[1]
"""

#: A function that returns 42.
CODE = {"x86_64": "b82a000000c3", "aarch64": "40058052c0035fd6"}.get(platform.machine())


def run(code: str) -> tuple[int, str]:
    """Exit status and output of a program; one that loops is a failure of the test after a while."""
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.mark.skipif(CODE is None, reason="no machine code for this machine here")
def test_an_executable_copy_stays_executable_where_it_was_written() -> None:
    assert run(
        f"""
code = bytes.fromhex("{CODE}")
section.map()[4096:4096 + len(code)] = code
copy = section.map(access="copy", executable=True)
copy[:len(code)] = code            # makes the first page private
print(call(copy.address), call(copy.address + 4096))
copy[4096 + 100] = 1               # and the second
print(call(copy.address + 4096), protection(copy))
"""
    ) == (0, "42 42\n42 rwxp")


@pytest.mark.skipif(CODE is None, reason="no machine code for this machine here")
@pytest.mark.parametrize("written", [False, True])
def test_a_jump_into_a_copy_that_is_not_executable_ends_the_process(written: bool) -> None:
    code, _ = run(
        f"""
code = bytes.fromhex("{CODE}")
section.map()[:len(code)] = code
copy = section.map(access="copy")
if {written}: copy[100] = 1
assert protection(copy) in ("rw-p", "r--s")
call(copy.address)
"""
    )
    assert code == -signal.SIGSEGV


def test_a_write_that_somebody_forbade_ends_the_process() -> None:
    code, _ = run(
        """
copy = section.map(access="copy")
copy[0] = 1
assert not libc.mprotect(ctypes.c_void_p(copy.address), 4096, PROT_READ)
ctypes.memset(copy.address, 1, 1)
"""
    )
    assert code == -signal.SIGSEGV


def test_a_signal_that_is_sent_does_what_it_did_before() -> None:
    map_one = "copy = section.map(access='copy'); copy[0] = 1\n"
    code, _ = run(map_one + "os.kill(os.getpid(), signal.SIGSEGV); signal.pause()")
    assert code == -signal.SIGSEGV
    code, text = run(
        "signal.signal(signal.SIGSEGV, signal.SIG_IGN)\n"
        + map_one
        + "for _ in range(3): os.kill(os.getpid(), signal.SIGSEGV)\ncopy[4096] = 1; print('ignored')"
    )
    assert (code, text) == (0, "ignored")
    code, text = run(
        "signal.signal(signal.SIGSEGV, lambda *_: print('seen', flush=True))\n"
        + map_one
        + "for _ in range(3): os.kill(os.getpid(), signal.SIGSEGV)\ncopy[4096] = 1; print(copy[4096])"
    )
    assert (code, text) == (0, "seen\nseen\nseen\n1")


def test_the_handler_before_is_called_as_the_kernel_would_call_it() -> None:
    """With what it blocks blocked, and the rest as it was; SA_RESETHAND once."""
    code, text = run(
        r"""
class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]
Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)
seen = []
def handler(number):
    seen.append(sorted(int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
c_handler = Handler(handler)
SA_RESETHAND = -0x80000000
def mask(signals): return (ctypes.c_ulong * 16)(sum(1 << s - 1 for s in signals))
def install(flags, *masked):
    action = Action(ctypes.cast(c_handler, ctypes.c_void_p).value, mask(masked), flags, None)
    assert not libc.sigaction(signal.SIGSEGV, ctypes.byref(action), None)
signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
install(SA_RESETHAND, signal.SIGUSR2)
copy = section.map(access="copy"); copy[0] = 1
os.kill(os.getpid(), signal.SIGSEGV)
print(seen == [[signal.SIGUSR1, signal.SIGSEGV, signal.SIGUSR2]], flush=True)
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())) == [signal.SIGUSR1], flush=True)
copy[4096] = 1
print(copy[4096], flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
print("not reached")
"""
    )
    assert (code, text) == (-signal.SIGSEGV, "True\nTrue\n1")


def test_a_fork_in_the_midst_of_faults_and_maps_leaves_a_child_that_can_copy() -> None:
    code, text = run(
        """
import threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # that is what is tested
stop = threading.Event()
def churn():
    while not stop.is_set():
        with section.map(access="copy") as copy:
            copy[0] = copy[4096] = 1
threads = [threading.Thread(target=churn) for _ in range(3)]
for t in threads: t.start()
codes = set()
for _ in range(60):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        copy = section.map(access="copy")
        copy[0] = copy[8192] = 5
        os._exit(copy[0] - copy[8192])
    codes.add(os.waitpid(pid, 0)[1])
stop.set()
for t in threads: t.join()
print(codes)
"""
    )
    assert (code, text) == (0, "{0}")
