"""Run by test_faults.py under LD_PRELOAD of faultshim.c: what Python sees when a system call fails.

Each run is a forked child: the operation while the n-th such call fails, then checks, then the operation again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
import traceback
from collections.abc import Callable

import namedshm

# in the order of faultshim.h
FAULTS: list[tuple[str, list[int]]] = [
    ("shmget", [errno.ENOMEM, errno.ENOSPC, errno.EINVAL, errno.ENFILE, errno.EACCES, errno.ENOSYS]),
    ("shmat", [errno.EACCES, errno.ENOMEM, errno.ENFILE]),
    ("IPC_STAT", [errno.EACCES, errno.EOVERFLOW]),
    ("IPC_RMID", [errno.EPERM]),
    ("SHM_STAT", [errno.EACCES]),
    ("IPC_SET", [errno.EPERM]),
    ("munmap", [errno.ENOMEM]),
    ("getrandom", [errno.EINTR, errno.ENOSYS]),
    ("futex", [errno.EINTR]),
    ("robust list", [errno.ENOSYS]),
]
NOT_REACHED = 10
shim = ctypes.CDLL(sys.argv[1])


def attachments() -> int:
    with open("/proc/self/maps") as maps:
        return sum("/SYSV" in line for line in maps)


def write_and_read(section: namedshm.Section) -> None:
    with section, section.map() as view:
        view[:5] = b"hello"
        assert bytes(view[:5]) == b"hello"


def create() -> None:
    write_and_read(namedshm.create("fault", 100))


def create_or_open() -> None:
    write_and_read(namedshm.create("fault", 100, exist_ok=True))


def create_and_open() -> None:
    with namedshm.create("fault", 100):
        write_and_read(namedshm.open("fault"))


def unnamed() -> None:
    write_and_read(namedshm.create(None, 100))


def listed() -> None:
    with namedshm.create("fault", 100):
        assert [found.name for found in namedshm.list_objects() if found.name.endswith("fault")]


def reserved() -> None:
    namedshm.create("fault", 100000, reserve=True).close()


OPERATIONS: list[Callable[[], None]] = [create, create_or_open, create_and_open, unnamed, listed, reserved]


def run(operation: Callable[[], None], newcomer: bool, call: int, number: int, error: int) -> int:
    if not newcomer:
        namedshm.create("warm", 1).close()
        operation()
    before = attachments()
    shim.fault_arm(call, number, error)
    problem: BaseException | None = None
    try:
        operation()
    except BaseException as caught:
        problem = caught
    if not shim.fault_disarm():
        return NOT_REACHED
    if problem is not None:
        assert isinstance(problem, namedshm.NamedShmError), f"raised {type(problem).__name__}"
        assert problem.call, "the error names no call"
        assert isinstance(problem.winerror, int), "the error has no Windows number"
        assert operation is unnamed or problem.object_name in ("fault", None), "the error names another object"
        if operation is not listed and operation is not unnamed:
            assert "fault" in str(problem), f"the text does not name the object: {problem}"
        assert len(problem.strerror or "") > 20, f"the text says too little: {problem}"
        problem = None  # its traceback keeps what the operation had
    if FAULTS[call][0] == "munmap":
        with contextlib.suppress(namedshm.AlreadyExists):  # what could not be unmapped is held until the process ends
            operation()
        return 0
    # a registry and a token kept for the next creation may have come
    assert attachments() <= before + (3 if newcomer else 0), f"{attachments() - before} more attachments"
    operation()
    return 0


def remove_refused(children: set[int]) -> None:
    """An unnamed section whose removal was refused stays, for nobody could find it again."""
    with open("/proc/sysvipc/shm") as table:
        for line in table.readlines()[1:]:
            field = line.split()
            identifier, mode, creator, attached = int(field[1]), int(field[2], 8), int(field[4]), int(field[6])
            if creator in children and not attached and mode & 0o100:
                shim.shmctl(identifier, 0, None)  # IPC_RMID


def main() -> int:
    runs = faults = bad = 0
    children: set[int] = set()
    for operation in OPERATIONS:
        for newcomer in (False, True):
            for call, (call_name, numbers) in enumerate(FAULTS):
                for error in numbers:
                    for number in range(1, 200):
                        runs += 1
                        child = os.fork()
                        if not child:
                            status = 1
                            try:
                                status = run(operation, newcomer, call, number, error)
                            except BaseException:
                                fault = f"{call_name} number {number} fails with {errno.errorcode[error]}"
                                print(f"{operation.__name__} (newcomer {newcomer}), {fault}")
                                traceback.print_exc(limit=-3, file=sys.stdout)
                                sys.stdout.flush()
                            os._exit(status)
                        children.add(child)
                        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                        if status == NOT_REACHED:
                            break
                        faults += 1
                        bad += status != 0
                        if status < 0:
                            print(f"{operation.__name__}, {call_name} number {number}: died of signal {-status}")
    create()  # heals what a refused removal of a named one left
    remove_refused(children)
    print(f"runs={runs} faults={faults} bad={bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
