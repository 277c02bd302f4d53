r"""Processes that see the kernel through other namespaces: user, IPC, PID, before and after the library was first used.

The holder is an ordinary process with one object of each type.  A visitor, the same user, goes elsewhere and does everything that
can be done to a name.  Afterwards the holder's objects are what they were: found by everybody at home, with the same identity.  The
visitor has met them, or was refused with a reason, or was apart by construction; he was never told that a living name is free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.peer import ForkedPeer, Peer

from .conftest import ANNA, CREW, AsUser

ROOT = 0
Fork = Callable[[Peer], ForkedPeer]

HOLD = """
section = namedshm.create(prefix + "section", 100, mode=0o644)
view = section.map()
view[:4] = b"mine"
mutex = namedshm.Mutex(prefix + "mutex")
mutex.acquire()
event = namedshm.Event(prefix + "event", manual=True)
event.set()
semaphore = namedshm.Semaphore(prefix + "semaphore", initial=3, maximum=7)
"""

#: One of each, as (identity or what was raised).
KINDS = ("section", "mutex", "event", "semaphore")
TOOLS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWIPC, NEWPID = 0x10000000, 0x08000000, 0x20000000

def unshare(flags):
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")

def map_as(number):
    "This user is NUMBER from now on, and nobody else has a number."
    uid, gid = outside
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/gid_map", "w") as file:
        file.write(f"{number} {gid} 1")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"{number} {uid} 1")

outside = os.geteuid(), os.getegid()
KINDS = ("section", "mutex", "event", "semaphore")

def opened(kind):
    opener = {"section": lambda name: namedshm.open(name, "read"), "mutex": namedshm.Mutex.open, "event": namedshm.Event.open,
              "semaphore": namedshm.Semaphore.open}[kind]
    return opener(prefix + kind)

def created(kind, exist_ok):
    make = {"section": lambda name: namedshm.create(name, 100, exist_ok=exist_ok), "mutex": namedshm.Mutex,
            "event": namedshm.Event, "semaphore": namedshm.Semaphore}[kind]
    if kind != "section":
        return make(prefix + kind, exist_ok=exist_ok)
    return make(prefix + kind)

def answer(call, *args):
    "What it is, or the error's class."
    try:
        found = call(*args)
        return getattr(found, "_handle", found).identity
    except namedshm.NamedShmError as error:
        assert str(error), error
        return type(error).__name__

def listed():
    try:
        return sorted(o.identity for o in namedshm.list_objects() if o.name.startswith(prefix))
    except namedshm.NamedShmError as error:
        return type(error).__name__

def everything():
    "All operations, twice: what the first did must not change what the second finds."
    report = []
    for _ in range(2):
        report.append({kind: answer(opened, kind) for kind in KINDS})
        report.append({kind: answer(created, kind, True) for kind in KINDS})
        report.append({kind: answer(created, kind, False) for kind in KINDS})
    return report

def sweep(number):
    "Enough names that dead entries are collected, and each of them taken over or freed."
    made = []
    try:
        for n in range(number):
            made.append(namedshm.create(f"{prefix}sweep{n}", 1))
    except namedshm.NamedShmError as error:
        return type(error).__name__
    return len(made)
"""

#: How to get there.  Each runs in a child of a process of the user; some need root for it.
WORLDS = {
    "the same": "pass",
    "a user namespace, as root": "unshare(NEWUSER); map_as(0)",
    "a user namespace, under its own number": "unshare(NEWUSER); map_as(outside[0])",
    "a user namespace, under another number": "unshare(NEWUSER); map_as(5)",
    "a user namespace, under the number of nobody": "unshare(NEWUSER); map_as(65534)",
    "a user namespace, without a number": "unshare(NEWUSER)",
    "two user namespaces, one in the other": "unshare(NEWUSER); map_as(0); outside = 0, 0; unshare(NEWUSER); map_as(7)",
    "an IPC namespace": "unshare(NEWUSER | NEWIPC); map_as(0)",
    "an IPC namespace, without a number": "unshare(NEWUSER | NEWIPC)",
}
MEETS = {
    "the same",
    "a user namespace, as root",
    "a user namespace, under its own number",
    "a user namespace, under another number",
    "two user namespaces, one in the other",
}
APART = {"an IPC namespace"}


def identities(holder: Peer) -> dict[str, int]:
    return holder.do("{kind: getattr(globals()[kind], '_handle', globals()[kind]).identity for kind in KINDS}")  # type: ignore[no-any-return]


def still_there(home: Peer, known: dict[str, int]) -> None:
    """Found at home, by who looks anew, as it was; and nobody can make it a second time."""
    assert home.do("{kind: answer(opened, kind) for kind in KINDS}") == known
    assert set(home.do("{answer(created, kind, False) for kind in KINDS}")) == {"AlreadyExists"}
    assert set(known.values()) <= set(home.do("listed()"))


@pytest.fixture
def home(as_user: AsUser, name: str) -> Callable[..., Peer]:
    def make(uid: int, prefix: str = "", granted: bool = False) -> Peer:
        peer = as_user(uid, *((CREW,) if granted and uid else ()), granted=granted)
        peer.do(TOOLS, prefix=f"{prefix}{name}-")
        return peer

    return make


@pytest.mark.parametrize("used", ["never used before", "used before", "with handles of its own"])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("uid", [ROOT, ANNA])
def test_a_visitor_from_another_namespace_takes_no_name_away(
    home: Callable[..., Peer], fork: Fork, uid: int, world: str, used: str
) -> None:
    holder, witness, host = home(uid), home(uid), home(uid)
    holder.do(HOLD)
    known = identities(holder)
    host.do("tools_ready = True")
    visitor = fork(host)  # one that has no other threads, as unshare(2) wants
    if used != "never used before":
        visitor.do("answer(opened, 'section')")
    if used == "with handles of its own":
        visitor.do("own = [opened(kind) for kind in KINDS]; mine = namedshm.create(prefix + 'visitor', 10)")
    visitor.do(WORLDS[world])
    report: list[dict[str, Any]] = visitor.do("everything()")
    listed = visitor.do("listed()")
    if world in MEETS:
        for k, found in enumerate(report):
            assert found == known if k % 3 < 2 else set(found.values()) == {"AlreadyExists"}, (k, found)
        assert set(known.values()) <= set(listed)
    elif world in APART:
        assert set(report[0].values()) == {"NotFound"}
        assert not set(known.values()) & set(report[1].values())
        assert not set(known.values()) & set(listed)
    else:
        assert {value for found in report for value in found.values()} == {"Unsupported"}
        assert listed in ("Unsupported", []), "nothing of Local; of Global only what is there"
    visitor.do("sweep(300)")
    still_there(witness, known)
    if used == "with handles of its own":  # closing them there harms nobody; ours, held there alone, may live on as an entry only
        visitor.do("for handle in own: handle.close()")
        visitor.do("mine.close(); del own, mine")
        still_there(witness, known)
        assert witness.do("answer(lambda: namedshm.open(prefix + 'visitor'))") == "NotFound"
        assert witness.do("namedshm.create(prefix + 'visitor', 10).created") is True
    visitor.kill()
    still_there(home(uid), known)
    assert holder.do("view[:4]") == b"mine"
    holder.kill()
    assert witness.do("{answer(opened, kind) for kind in KINDS}") == {"NotFound"}


@pytest.mark.parametrize("world", [world for world in WORLDS if world != "the same"])
@pytest.mark.parametrize("uid", [ROOT, ANNA])
def test_a_dead_name_is_taken_over_by_one_alone_whoever_looks_at_it_from_elsewhere(
    home: Callable[..., Peer], fork: Fork, uid: int, world: str
) -> None:
    dead, keeper, host = home(uid), home(uid), home(uid)
    keeper.do("other = namedshm.create(prefix + 'other', 1)")  # the registry lives on
    dead.do(HOLD)
    dead.kill()
    visitor = fork(host)
    visitor.do(WORLDS[world])
    made = visitor.do("kept = {kind: answer(created, kind, True) for kind in KINDS}; kept")
    if world in MEETS or world in APART:
        assert all(isinstance(identity, int) for identity in made.values()), made
    else:
        assert set(made.values()) == {"Unsupported"}
    keeper.do(HOLD)
    known = identities(keeper)
    assert not set(known.values()) & set(made.values()), "answer() let go of what it made: these are new"
    visitor.do("everything()")
    still_there(home(uid), known)


@pytest.mark.parametrize("uid", [ROOT, ANNA])
def test_a_process_that_goes_and_comes_back_finds_its_names_again(home: Callable[..., Peer], fork: Fork, uid: int) -> None:
    """By setns(2), which needs root; another user's process is moved by a thread that root has left to it."""
    if uid != ROOT:
        pytest.skip("setns into an IPC namespace needs CAP_SYS_ADMIN over it")
    holder, host = home(uid), home(uid)
    holder.do(HOLD)
    known = identities(holder)
    visitor = fork(host)
    visitor.do("""
first = {kind: answer(opened, kind) for kind in KINDS}
way_home = os.open("/proc/self/ns/ipc", os.O_RDONLY)
unshare(NEWIPC)
away = {kind: answer(opened, kind) for kind in KINDS}
made = namedshm.create(prefix + "section", 50)
way_there = os.open("/proc/self/ns/ipc", os.O_RDONLY)
def go(where):
    if libc.setns(where, 0):
        raise OSError(ctypes.get_errno(), "setns")
""")
    assert visitor.do("first") == known
    assert set(visitor.do("away").values()) == {"NotFound"}
    for _ in range(3):
        visitor.do("go(way_home)")
        assert visitor.do("{kind: answer(opened, kind) for kind in KINDS}") == known
        visitor.do("go(way_there)")
        assert visitor.do("namedshm.open(prefix + 'section').size") == 50
    visitor.do("go(way_home); made.close()")  # closed where its number means nothing, or something else
    still_there(home(uid), known)
    visitor.do("go(way_there)")
    assert visitor.do("answer(opened, 'section')") == "NotFound"
    assert visitor.do("backend_state = __import__('namedshm')._backend.backend.backend_state()['local']['registry']; True")


def test_segments_elsewhere_that_have_the_numbers_and_sizes_of_ours_are_not_ours(home: Callable[..., Peer], fork: Fork) -> None:
    """Numbers begin anew in each namespace, and a size can be met by chance.  When they were made tells them apart."""
    holder, host = home(ROOT), home(ROOT)
    holder.do(HOLD)
    visitor = fork(host)
    visitor.do("""
import time
handle = opened("section")
with open("/proc/self/maps") as maps:
    numbers = {int(line.split()[4]) for line in maps if "/SYSV" in line}
with open("/proc/sysvipc/shm") as table:
    next(table)
    rows = [[int(field) for field in line.split()[1:4]] for line in table]
ours = [(number, size) for number, mode, size in rows if number in numbers and size < 1 << 20]
born = time.time()
handle.close()
unshare(NEWIPC)
time.sleep(max(0, born + 2.1 - time.time()))  # what is compared are seconds
libc.shmat.restype = ctypes.c_void_p
for number, size in ours:
    with open("/proc/sys/kernel/shm_next_id", "w") as file:
        file.write(str(number))
    made = libc.shmget(0, ctypes.c_size_t(size), 0o1700)
    assert made == number, (made, number)
    assert libc.shmat(made, None, 0) != ctypes.c_void_p(-1).value
    libc.shmctl(made, 0, None)
""")
    assert len(visitor.do("ours")) == 2, "the token and the data"
    assert visitor.do("answer(opened, 'section')") == "NotFound"
    assert visitor.do("answer(created, 'section', True)") not in identities(holder).values()


@pytest.mark.parametrize("uid", [ROOT, ANNA])
def test_another_pid_namespace_is_the_same_world(as_user: AsUser, home: Callable[..., Peer], uid: int, name: str) -> None:
    holder = home(uid)
    holder.do(HOLD)
    known = identities(holder)
    there = Peer(prefix=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "setpriv", "--reuid", str(uid), "--regid",
                         str(uid), "--clear-groups"), session=holder.do("os.environ['NAMEDSHM_SESSION']"))  # fmt: skip
    with there:
        there.do(TOOLS, prefix=f"{name}-")
        assert there.do("os.getpid()") < 10
        assert there.do("{kind: answer(opened, kind) for kind in KINDS}") == known
        assert there.do("bool(opened('mutex').acquire(0))") is False
        there.do("sweep(300)")
        still_there(home(uid), known)
        holder.kill()
        assert there.do("found = namedshm.Mutex(prefix + 'mutex'); found.created") is True


# ------------------------------------------------------------------------------------------------------------------ Global\
@pytest.mark.parametrize("used", ["never used before", "used before"])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("uid", [ROOT, ANNA])
def test_global_is_for_the_user_namespace_that_owns_the_ipc_namespace(
    home: Callable[..., Peer], fork: Fork, uid: int, world: str, used: str
) -> None:
    holder, witness, host = (home(uid, "Global\\", granted=True) for _ in range(3))
    holder.do(HOLD)
    known = identities(holder)
    visitor = fork(host)
    if used == "used before":
        visitor.do("answer(opened, 'section')")
    visitor.do(WORLDS[world])
    report: list[dict[str, Any]] = visitor.do("everything()")
    values = {value for found in report for value in found.values()}
    if world == "the same":
        assert report[0] == known
    elif world.startswith("an IPC namespace"):
        assert not values & set(known.values()), "another world"
    elif used == "never used before":
        assert values <= {"Unsupported"}, values
    else:  # what it has attached already it may go on using, but not write in numbers that mean others there
        assert report[0] == known or set(report[0].values()) == {"Unsupported"}
        assert not {v for found in report[2::3] for v in found.values()} - {"Unsupported", "AlreadyExists"}
    visitor.do("sweep(300)")
    still_there(witness, known)
    visitor.kill()
    still_there(home(uid, "Global\\", granted=True), known)
    assert holder.do("view[:4]") == b"mine"


def test_who_has_no_number_is_told_so_and_not_that_nobody_holds_it(home: Callable[..., Peer], fork: Fork) -> None:
    host = home(ANNA)
    visitor = fork(host)
    visitor.do("unshare(NEWUSER)")
    local = visitor.do("try: namedshm.open('x')\nexcept namedshm.NamedShmError as error: text = str(error)\ntext")
    assert "Local" in local or "number" in local, local
    assert "Global" not in local.split("use ")[0], local
    machine = visitor.do("try: namedshm.open('Global\\\\x')\nexcept namedshm.NamedShmError as error: text = str(error)\ntext")
    assert "user namespace" in machine, machine


def test_the_real_user_nobody_is_served_where_everybody_has_a_number(home: Callable[..., Peer]) -> None:
    one, other = home(65534), home(65534)
    one.do(HOLD)
    known = identities(one)
    still_there(other, known)
