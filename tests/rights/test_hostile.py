"""A hostile user on the same machine: plants segments that look like ours, sits on our keys, forges entries.  None of it helps.

The hostile user is Carl.  He knows the format, the victim's session, and every number that ipcs(1) shows.
"""

from __future__ import annotations

import pytest
from helpers.peer import Peer

import namedshm

from .conftest import ANNA, CARL, CREW, AsUser

ROOT = 0
#: struct nshm_registry of include/namedshm.h
HASHES, RECORDS, RECORD_SIZE = 8192, 8192 + 4 * 16384, 1152

#: A copy of Carl's own true registry, with a true living object "bait" in it, in a segment of another mode.
PLANT = """
bait = namedshm.create("bait", 100, mode=0o666)
view = bait.map()
view[:4] = b"carl"
address, size = mapped(registry())
size = segments()[registry()]["size"]
planted = []
for mode in modes:
    number, at = plant(size, mode)
    ctypes.memmove(at, address, hashes + 64 * 4)                # head and hashes
    ctypes.memmove(at + records, address + records, 4 * 1152)   # the first records
    planted.append(number)
"""


def plant(carl: Peer, *modes: int) -> list[int]:
    carl.do(PLANT, modes=modes, hashes=HASHES, records=RECORDS)
    return carl.do("planted")  # type: ignore[no-any-return]


def test_a_planted_registry_is_not_taken_for_the_users_own(as_user: AsUser, name: str) -> None:
    carl, anna = as_user(CARL), as_user(ANNA)
    planted = plant(carl, 0o700, 0o766, 0o722)
    with pytest.raises(namedshm.NotFound):
        anna.do("namedshm.open('bait')")
    assert anna.do("s = namedshm.create('bait', 50); s.created") is True
    assert anna.do("registry()") not in planted
    assert anna.do("s.map()[:4]") == bytes(4)


@pytest.mark.parametrize("victim", [ROOT, ANNA])
def test_a_planted_registry_is_not_taken_for_the_machines(as_user: AsUser, name: str, victim: int) -> None:
    carl = as_user(CARL)
    planted = plant(carl, 0o744, 0o766, 0o764)
    peer = as_user(victim, *((CREW,) if victim else ()), granted=True)
    with pytest.raises(namedshm.NotFound):
        peer.do("namedshm.open('Global\\\\bait')")
    assert peer.do("s = namedshm.create('Global\\\\bait', 50); (s.created, s.map()[:4])") == (True, bytes(4))
    assert peer.do("registry('global')") not in planted


def test_a_planted_registry_does_not_stop_another_user_from_opening_the_true_one(as_user: AsUser, name: str) -> None:
    root, carl, anna = as_user(ROOT), as_user(CARL), as_user(ANNA)
    planted = plant(carl, 0o744, 0o766)
    root.do("s = namedshm.create('Global\\\\bait', 100, mode=0o644); s.map()[:4] = b'root'")
    assert anna.do("namedshm.open('Global\\\\bait', 'read').map()[:4]") == b"root"
    assert anna.do("registry('global')") not in planted


def test_an_unripe_registry_of_a_stranger_stops_nobody(as_user: AsUser) -> None:
    # one that never gets its magic would be waited for if it were believed to be a rival
    carl, anna, root = as_user(CARL), as_user(ANNA), as_user(ROOT)
    carl.do("s = namedshm.create('x', 1); size = segments()[registry()]['size']")
    carl.do("for mode in (0o700, 0o766, 0o744): plant(size, mode); plant(size, mode, removed=False)")
    assert anna.do("s = namedshm.create('x', 1); s.created")
    assert root.do("s = namedshm.create('Global\\\\x', 1); s.created")
    carl.do(
        "for n, row in segments().items():\n"
        "    if row['cuid'] == os.getuid() and row['cpid'] == os.getpid() and n != registry(): control(n, RMID)"
    )


KEYS = """
def fnv(data):
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) & (2**64 - 1)
    return value

def key_of(uid, session, is_global):
    seed = b"".join(n.to_bytes(8, "little") for n in (uid, fnv(session.encode()) if session else 0, is_global))
    h = fnv(seed)
    return ((h ^ h >> 32) & 0xFFFFFFFF | 0x40000001)

taken = [plant(4096, 0o600, ctypes.c_int32(key_of(*victim) + 2 * n).value, removed=False) for n in range(10)]
"""


@pytest.mark.parametrize(("uid", "prefix"), [(ANNA, ""), (ROOT, ""), (ROOT, "Global\\")])
def test_squatted_keys_do_not_stop_creation(as_user: AsUser, session_name: str, name: str, uid: int, prefix: str) -> None:
    carl, victim = as_user(CARL), as_user(uid)
    carl.do(KEYS, victim=(uid, session_name, int(bool(prefix))))
    taken = carl.do("taken")
    try:
        assert all(isinstance(row, tuple) for row in taken), taken
        # that the formula is the header's: an honest process of the victim leaves the keys alone and works
        victim.do("made = [namedshm.create(prefix + name + str(n), 100) for n in range(5)]", name=name, prefix=prefix)
        assert victim.do("[s.created for s in made]") == [True] * 5
        assert victim.do("namedshm.open(prefix + name + '3').size") == 100
        numbers = {number for number, _ in taken}
        assert numbers <= carl.do("set(segments())"), "somebody removed a stranger's segments"
    finally:
        carl.do("for number, _ in taken: control(number, RMID)")


def test_the_squatted_keys_are_the_ones_that_would_be_used(as_user: AsUser, session_name: str, name: str) -> None:
    # the test above proves nothing if it computes other keys than the header does
    carl, anna = as_user(CARL), as_user(ANNA)
    carl.do(KEYS.replace("taken = ", "taken_by_formula = lambda: "), victim=(ANNA, session_name, 0))
    key = carl.do("ctypes.c_int32(key_of(*victim)).value")
    anna.do("made = [namedshm.create(name + str(n), 100) for n in range(3)]", name=name)
    number = anna.do("made[2]._handle.segments[0]")
    # a segment marked for removal loses its key in the kernel's table, but not in its name in the maps file
    shown = anna.do(
        "[line.split()[5] for line in open('/proc/self/maps') if '/SYSV' in line and int(line.split()[4]) == number]", number=number
    )
    assert shown
    assert int(shown[0].removeprefix("/SYSV"), 16) == key & 0xFFFFFFFF


FORGE = """
import struct
address, _ = mapped(registry())
def record(wanted):
    for slot in range(64):
        at = address + records + 1152 * slot
        nonce, size, token, data, token_size, maker, mode = struct.unpack("<QQiiIII", ctypes.string_at(at, 36))
        if nonce and token == wanted:
            return at, token_size, size
at, token_size, size = record(s._handle.segments[0])
"""


@pytest.mark.parametrize("what", ["token", "data", "both"])
def test_segments_of_a_stranger_under_recurring_numbers_are_refused(as_user: AsUser, name: str, what: str) -> None:
    """An entry whose numbers lead to another user's segments (of the right sizes) is a dead entry."""
    carl, anna, second = as_user(CARL), as_user(ANNA), as_user(ANNA)
    anna.do("s = namedshm.create(name, 100); v = s.map(); v[:4] = b'anna'", name=name)
    anna.do(FORGE, records=RECORDS)
    token = carl.do("plant(size, 0o666)[0]", size=anna.do("token_size"))
    data = carl.do("number, at = plant(100, 0o666); ctypes.memmove(at, b'carl', 4); number")
    if what in ("token", "both"):
        anna.do("ctypes.c_int32.from_address(at + 16).value = number", number=token)
    if what in ("data", "both"):
        anna.do("ctypes.c_int32.from_address(at + 20).value = number", number=data)
    with pytest.raises(namedshm.NotFound):
        second.do("namedshm.open(name)", name=name)
    fresh = second.do("t = namedshm.create(name, 100, exist_ok=True); (t.created, t.map()[:4])")
    assert fresh == (True, bytes(4))
    assert second.do("[line for line in open('/proc/self/maps') if '/SYSV' in line and line.split()[4] in theirs]",
                     theirs=[str(token), str(data)]) == []  # fmt: skip


def test_segments_of_the_right_user_but_another_size_are_refused(as_user: AsUser, name: str) -> None:
    anna, second = as_user(ANNA), as_user(ANNA)
    anna.do("s = namedshm.create(name, 100)", name=name)
    anna.do(FORGE, records=RECORDS)
    anna.do("number, _ = plant(token_size + 1, 0o600); ctypes.c_int32.from_address(at + 16).value = number")
    with pytest.raises(namedshm.NotFound):
        second.do("namedshm.open(name)", name=name)


def test_a_segment_not_marked_for_removal_is_no_object(as_user: AsUser, name: str) -> None:
    anna, second = as_user(ANNA), as_user(ANNA)
    anna.do("s = namedshm.create(name, 100)", name=name)
    anna.do(FORGE, records=RECORDS)
    anna.do("number, _ = plant(token_size, 0o600, removed=False); ctypes.c_int32.from_address(at + 16).value = number")
    with pytest.raises(namedshm.NotFound):
        second.do("namedshm.open(name)", name=name)
    anna.do("control(number, RMID)")


def test_a_member_who_forges_an_entry_in_global_gives_nobody_more_rights(as_user: AsUser, name: str) -> None:
    """Members write the Global registry; the kernel's rights on the segments stand above what it says."""
    root, anna, carl = as_user(ROOT, granted=True), as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    root.do("s = namedshm.create(name, 100); v = s.map(); v[:4] = b'root'", name=f"Global\\{name}")
    anna.do("s = namedshm.create(name + 'a', 100, mode=0o666)", name=f"Global\\{name}")
    anna.do(FORGE.replace("registry()", "registry('global')"), records=RECORDS)
    token, data = root.do("s._handle.segments")
    token_size = anna.do("segments()[number]['size']", number=token)
    # her entry now leads to root's private segments, with everything consistent
    anna.do("ctypes.memmove(at + 16, struct.pack('<iiIII', token, data, token_size, 0, 0o666), 20)",
            token=token, data=data, token_size=token_size)  # fmt: skip
    for peer in (anna, carl):
        with pytest.raises((namedshm.AccessDenied, namedshm.NotFound)):
            peer.do("namedshm.open(name + 'a')", name=f"Global\\{name}")
        with pytest.raises((namedshm.AccessDenied, namedshm.NotFound)):
            peer.do("namedshm.open(name + 'a', 'read')", name=f"Global\\{name}")
    assert root.do("v[:4]") == b"root"


def test_garbage_in_the_global_registry_crashes_no_reader(as_user: AsUser, name: str) -> None:
    root, anna, carl = as_user(ROOT, granted=True), as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    anna.do("made = [namedshm.create(name + str(n), 100, mode=0o644) for n in range(8)]", name=f"Global\\{name}")
    anna.do("""
import random
random.seed(1)
address, _ = mapped(registry('global'))
ctypes.memmove(address + records, random.randbytes(1152 * 8), 1152 * 8)
ctypes.c_uint32.from_address(address + 36).value = 0xFFFFFFFF
""", records=RECORDS)  # fmt: skip
    for peer in (root, carl):
        for number in range(8):
            with pytest.raises(OSError):  # noqa: PT011 - any refusal will do
                peer.do("namedshm.open(name + str(n))", name=f"Global\\{name}", n=number)
        peer.do("namedshm.list_objects() and None")
    anna.kill()


def test_a_stranger_cannot_attach_the_registries(as_user: AsUser, name: str) -> None:
    root, anna, carl = as_user(ROOT), as_user(ANNA), as_user(CARL)
    local = anna.do("s = namedshm.create(name, 100); registry()", name=name)
    machine = root.do("s = namedshm.create(name, 100); registry('global')", name=f"Global\\{name}")
    assert carl.do("attach(n, RDONLY)", n=local) == "EACCES"
    assert carl.do("attach(n)", n=machine) == "EACCES"
    assert isinstance(carl.do("attach(n, RDONLY)", n=machine), int)
    for number in (local, machine):
        assert carl.do("control(n, RMID), control(n, SET)", n=number) == ("EPERM", "EPERM")


def test_a_stranger_with_attachments_of_his_own_keeps_no_memory_he_was_not_given(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    _, data = root.do("s = namedshm.create(name, 1 << 20, mode=0o600); s._handle.segments", name=f"Global\\{name}")
    assert carl.do("attach(n, RDONLY)", n=data) == "EACCES"
    root.do("s.close()")
    assert data not in carl.do("set(segments())")


def test_a_registry_given_to_the_victim_is_not_taken_for_the_victims_own(as_user: AsUser, name: str) -> None:
    """IPC_SET gives a segment to any user (shm_perm.uid); who made it (cuid) stays."""
    carl, anna = as_user(CARL), as_user(ANNA)
    planted = plant(carl, 0o700)
    carl.do(
        """
facts = ctypes.create_string_buffer(256)
for number in planted:
    libc.shmctl(number, STAT, facts)
    ctypes.c_uint32.from_buffer(facts, 4).value = anna   # struct ipc64_perm: key, uid, gid, cuid, cgid, mode
    assert libc.shmctl(number, SET, facts) == 0
""",
        anna=ANNA,
    )
    assert isinstance(anna.do("attach(n)", n=planted[0]), int), "the kernel lets her in: it is hers now"
    with pytest.raises(namedshm.NotFound):
        anna.do("namedshm.open('bait')")
    assert anna.do("s = namedshm.create('bait', 50); s.created") is True
    assert anna.do("registry()") not in planted
