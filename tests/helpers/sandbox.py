"""Run a command where the kernel has no futex_waitv(2): python sandbox.py ENOSYS|EPERM COMMAND ...

ENOSYS is what kernels before 5.16 say and container filters that do not know the call; EPERM is what older filters say.  A seccomp
filter stays with everything the command starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

FUTEX_WAITV = 449  # on every architecture
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF
ALLOW, FAIL = 0x7FFF0000, 0x00050000


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("then", ctypes.c_uint8), ("otherwise", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]


def forbid(call: int, number: int) -> None:
    """From now on the system call fails with this errno, in this process and its children."""
    instructions = (Instruction * 4)(
        Instruction(LOAD_WORD, 0, 0, 0),  # the number of the call
        Instruction(JUMP_IF_EQUAL, 0, 1, call),
        Instruction(RETURN, 0, 0, FAIL | number),
        Instruction(RETURN, 0, 0, ALLOW),
    )
    install(Program(4, instructions))


def install(program: Program) -> None:
    """Let the kernel look at each system call of this process and its children from now on.  Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter here")


if __name__ == "__main__":
    forbid(FUTEX_WAITV, getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
