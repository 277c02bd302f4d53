"""Sections of the Windows backend, and the companions that tell what Windows does not keep."""

from __future__ import annotations

import gc
import msvcrt
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.peer import Peer, run_python

import namedshm
from namedshm._backend import backend

from . import win

Peers = Callable[..., Peer]

SIZES = [1, 100, 4095, 4096, 4097, 65535, 65537, (1 << 20) + 1]


# ------------------------------------------------------------------------------------------------------------ facts
@pytest.mark.parametrize("size", SIZES)
def test_an_opener_sees_the_exact_size(name: str, size: int, peers: Peers) -> None:
    with namedshm.create(name, size):
        assert peers(name=name).do("namedshm.open(name).size") == size


@pytest.mark.parametrize("size", SIZES)
def test_windows_itself_sees_whole_pages_from_offset_0(name: str, size: int) -> None:
    with namedshm.create(name, size) as section:
        section.map()[:1] = b"x"
        handle = win.open(name)
        assert handle
        view = win.map(handle, length=-(-size // 4096) * 4096)
        assert view
        assert win.bytes_at(view, 1) == b"x"
        assert win.map(handle, length=-(-size // 4096) * 4096 + 1) is None
        win.unmap(view)
        win.close(handle)


@pytest.mark.parametrize("options", [{}, {"writable": False}, {"executable": True}, {"reserve": True}], ids=str)
def test_an_opener_knows_how_the_section_was_made(name: str, options: dict[str, bool], peers: Peers) -> None:
    with namedshm.create(name, 100, **options) as section:
        expected = section._handle.writable, section._handle.executable, section._handle.reserved, section.identity
        code = "h = namedshm.open(name, 'read')._handle; (h.writable, h.executable, h.reserved, h.identity)"
        assert peers(name=name).do(code) == expected
        assert expected == ("writable" not in options, "executable" in options, "reserve" in options, section.identity)


def test_size_and_identity_outlive_their_killed_creator(name: str, peers: Peers) -> None:
    creator, keeper, late = peers(name=name), peers(name=name), peers(name=name)
    identity = creator.do("s = namedshm.create(name, 4999); s.identity")
    keeper.do("s = namedshm.open(name)")
    creator.kill()
    assert late.do("s = namedshm.open(name); (s.size, s.identity)") == (4999, identity)
    keeper.kill()
    assert late.do("(s.size, s.identity, namedshm.open(name).size)") == (4999, identity, 4999)
    late.kill()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_every_object_of_a_name_has_an_identity_of_its_own(name: str) -> None:
    seen = set()
    for size in range(1, 101):
        with namedshm.create(name, size) as section, namedshm.open(name) as opened:
            assert (opened.size, opened.identity) == (size, section.identity)
            seen.add(section.identity)
    assert len(seen) == 100
    assert 0 not in seen


def test_a_duplicate_keeps_the_facts_alone(name: str, peers: Peers) -> None:
    section = namedshm.create(name, 4999)
    twin = section.duplicate("read")
    section.close()
    assert (twin.size, twin.access) == (4999, "read")
    assert peers(name=name).do("s = namedshm.open(name); (s.size, s.identity)") == (4999, twin.identity)


# ------------------------------------------------------------------------------------------------------------ companions
def _companion(name: str) -> str:
    return name + "|namedshm"


def test_the_companion_goes_with_the_last_handle(name: str) -> None:
    section = namedshm.create(name, 100)
    second = namedshm.open(name)
    section.close()
    handle = win.open(_companion(name), win.READ)
    assert handle
    win.close(handle)
    second.close()
    assert win.open(_companion(name), win.READ) is None


def test_a_companion_that_was_left_is_taken_over(name: str, peers: Peers) -> None:
    first = namedshm.create(name, 111)
    left = win.open(_companion(name), win.READ)
    assert left
    identity = first.identity
    first.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    with namedshm.create(name, 5555) as second:
        assert peers(name=name).do("s = namedshm.open(name); (s.size, s.identity)") == (5555, second.identity)
        assert second.identity != identity
    win.close(left)


def test_a_companion_without_content_hinders_nobody(name: str, peers: Peers) -> None:
    left = win.create(_companion(name), 4096)  # what a creator leaves that is killed at its first steps
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    with namedshm.create(name, 77):
        assert peers(name=name).do("namedshm.open(name).size") == 77
    win.close(left)


def test_a_companion_does_not_speak_for_a_plain_programs_section(name: str) -> None:
    ours = namedshm.create(name, 100)
    left = win.open(_companion(name), win.READ)
    assert left
    ours.close()
    plain = win.create(name, 10000)
    with namedshm.open(name) as opened:
        assert (opened.size, opened.identity) == (12288, 0)
    win.close(plain, left)


def test_a_creator_killed_with_the_lock_stops_nobody(name: str, peers: Peers) -> None:
    peer = peers(lock=name + "|namedshm-lock")
    peer.do("import ctypes; k = ctypes.WinDLL('kernel32'); h = k.CreateMutexW(None, True, ctypes.c_wchar_p(lock)); bool(h)")
    peer.kill()
    with namedshm.create(name, 100) as section:
        assert section.created


def test_a_creator_waits_for_the_one_in_front(name: str, peers: Peers) -> None:
    lock = win.kernel32.CreateMutexW(None, True, name + "|namedshm-lock")
    assert lock
    peer = peers(name=name)
    peer.start("s = namedshm.create(name, 100); s.created")
    with pytest.raises(namedshm.NotFound):  # still not made, however far the peer has come
        namedshm.open(name)
    assert win.kernel32.ReleaseMutex(lock)
    assert peer.result() is True
    win.close(lock)


# ------------------------------------------------------------------------------------------------------------ races
RACE = """
gate = namedshm.open(gate_name).map()
seen = []
for round_number in range(rounds):
    gate[number] = (round_number + 1) & 255               # here
    while gate[100] != (round_number + 1) & 255:          # all start when the test says so
        pass
    s = namedshm.create(f"{name}-{round_number}", 1001 + 4096 * number, exist_ok=True)
    o = namedshm.open(f"{name}-{round_number}")
    seen.append((s.created, s.size, s.identity, o.size, o.identity))
    gate[number + 10] = (round_number + 1) & 255          # done, and holding
    while gate[101] != (round_number + 1) & 255:
        pass
    s.close(), o.close()
seen
"""


def test_of_four_creators_one_makes_it_and_all_agree_on_the_facts(name: str, peers: Peers) -> None:
    rounds = 25
    with namedshm.create(name + "-gate", 4096) as gate_section:
        gate = gate_section.map()
        workers = [peers(name=name, gate_name=name + "-gate", number=number, rounds=rounds) for number in range(4)]
        for worker in workers:
            worker.start(RACE)
        for round_number in range(1, rounds + 1):
            for flags, go in ((slice(0, 4), 100), (slice(10, 14), 101)):
                while gate[flags] != bytes([round_number] * 4):
                    assert all(worker.alive for worker in workers)
                gate[go] = round_number
        results = [worker.result() for worker in workers]
    for by_process in zip(*results, strict=True):
        assert sum(created for created, *_ in by_process) == 1
        assert len({facts[1:] for facts in by_process}) == 1
        ((_, size, identity, seen_size, seen_identity),) = {(True, *facts[1:]) for facts in by_process}
        assert (size, identity) == (seen_size, seen_identity)
        assert identity
        assert size in (1001, 5097, 9193, 13289)


STORM = """
import random
dice = random.Random(number)
seen, held = [], []
for step in range(steps):
    try:
        if dice.random() < 0.5:
            held.append(namedshm.create(name, 1001 + 4096 * dice.randrange(4), exist_ok=True))
        else:
            held.append(namedshm.open(name))
        seen.append((held[-1].identity, held[-1].size))
    except namedshm.NotFound:
        pass
    while held and dice.random() < 0.7:
        held.pop(dice.randrange(len(held))).close()
    if beat is not None:
        beat[0] = 1
seen
"""


def test_no_opener_ever_sees_the_facts_of_another_object(name: str, peers: Peers) -> None:
    """Four processes create, open and close one name at random; one of them is killed in the middle."""
    with namedshm.create(name + "-beat", 1) as beat_section:
        beat = beat_section.map()
        victim = peers(name=name, number=9, steps=10**9)
        victim.do("beat = namedshm.open(name + '-beat').map()")
        victim.start(STORM)
        workers = [peers(name=name, number=number, steps=400, beat=None) for number in range(3)]
        for worker in workers:
            worker.start(STORM)
        while not beat[0]:
            assert victim.alive
        victim.kill()
        sizes: dict[int, set[int]] = {}
        for worker in workers:
            for identity, size in worker.result():
                sizes.setdefault(identity, set()).add(size)
    assert 0 not in sizes, "a section of ours was met without its companion"
    assert all(len(found) == 1 for found in sizes.values()), sizes
    assert set().union(*sizes.values()) <= {1001, 5097, 9193, 13289}
    assert len(sizes) > 10


# ------------------------------------------------------------------------------------------------------------ plain programs
def test_a_plain_programs_section_opens_with_its_rounded_size(name: str) -> None:
    plain = win.create(name, 100)
    with namedshm.open(name) as section:
        assert (section.size, section.identity, section.created) == (4096, 0, False)
        section.map()[:5] = b"hello"
    view = win.map(plain)
    assert view
    assert win.bytes_at(view, 5) == b"hello"
    win.unmap(view)
    win.close(plain)


def test_creating_over_a_plain_programs_section_opens_it_or_says_so(name: str) -> None:
    plain = win.create(name, 100)
    with pytest.raises(namedshm.AlreadyExists):
        namedshm.create(name, 100)
    with namedshm.create(name, 9999, exist_ok=True) as section:
        assert (section.created, section.size, section.identity) == (False, 4096, 0)
    assert win.open(_companion(name), win.READ) is None
    win.close(plain)


def test_a_plain_programs_reserved_section_is_known_as_one(name: str) -> None:
    plain = win.create(name, 200000, win.PAGE_READWRITE | win.SEC_RESERVE)
    with namedshm.open(name) as section:
        view = section.map()
        with pytest.raises(namedshm.AccessDenied):
            view[0]
        backend.commit_view(view, 0, 1)
        assert view[0] == 0
        view.close()
    win.close(plain)


@pytest.mark.parametrize("kind", ["CreateMutexW", "CreateEventW", "CreateSemaphoreW"])
def test_a_name_held_by_another_type_is_the_wrong_type(name: str, kind: str) -> None:
    arguments = {"CreateMutexW": (False,), "CreateEventW": (False, False), "CreateSemaphoreW": (0, 1)}[kind]
    handle = getattr(win.kernel32, kind)(None, *arguments, name)
    assert handle
    for call in (lambda: namedshm.open(name), lambda: namedshm.create(name, 1), lambda: namedshm.create(name, 1, exist_ok=True)):
        with pytest.raises(namedshm.WrongType, match="another type") as caught:
            call()
        assert caught.value.winerror == 6
    win.close(handle)
    assert win.open(_companion(name), win.READ) is None


# ------------------------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize("prefix", ["", "Local\\", "Global\\"])
@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600"], ids=["ascii", "bmp", "non-bmp"])
def test_names_of_259_characters_have_companions_of_their_own(name: str, prefix: str, letter: str, peers: Peers) -> None:
    base = prefix + name + letter * (258 - len(name))
    with namedshm.create(base + "1", 111) as one, namedshm.create(base + "2", 222) as two:
        code = "[(s.size, s.identity) for s in (namedshm.open(base + '1'), namedshm.open(base + '2'))]"
        assert peers(base=base).do(code) == [(111, one.identity), (222, two.identity)]


def test_local_and_global_are_apart(name: str) -> None:
    with namedshm.create(name, 1) as local, namedshm.create("Global\\" + name, 2) as machine:
        assert namedshm.open("Local\\" + name).identity == local.identity
        assert namedshm.open("Global\\" + name).identity == machine.identity


# ------------------------------------------------------------------------------------------------------------ views
def test_each_view_is_mapped_on_its_own(name: str) -> None:
    with namedshm.create(name, 100) as section:
        views = [section.map() for _ in range(5)]
    assert len({view.address for view in views}) == 5
    views[0][:3] = b"all"
    assert all(view[:3] == b"all" for view in views)


def test_a_buffer_keeps_the_memory_of_a_closed_view(name: str) -> None:
    with namedshm.create(name, 100) as section:
        view = section.map()
    address = view.address
    buffer = memoryview(view)
    view.close()
    buffer[:4] = b"kept"
    del view
    gc.collect()
    assert win.bytes_at(address, 4) == b"kept"
    assert bytes(buffer[:4]) == b"kept"
    buffer.release()


def test_a_read_handle_has_no_more_rights_than_it_says(name: str) -> None:
    with namedshm.create(name, 100) as section:
        for handle in (namedshm.open(name, "read")._handle, section.duplicate("read")._handle):
            assert win.map(handle.os_handle, win.WRITE) is None
            assert win.last_error() == 5


def test_a_read_only_section_is_never_mapped_for_writing(name: str, peers: Peers) -> None:
    with namedshm.create(name, 100, writable=False):
        with pytest.raises(namedshm.AccessDenied, match="read-only"):
            peers(name=name).do("namedshm.open(name).map()")
        assert peers(name=name).do("v = namedshm.open(name).map(access='copy'); v[0] = 1; v[0]") == 1


def test_committing_pages_is_seen_by_views_that_exist(name: str, peers: Peers) -> None:
    with namedshm.create(name, 1 << 20, reserve=True) as section:
        view = section.map()
        peer = peers(name=name)
        peer.do("from namedshm._backend import backend; v = namedshm.open(name).map()")
        with pytest.raises(namedshm.AccessDenied, match="committed"):
            view[0]
        with pytest.raises(namedshm.AccessDenied, match="committed"):
            memoryview(view)
        assert backend.reach(view) == 0
        peer.do("backend.commit_view(v, 0, 5000); v[0] = 7")
        assert view[0] == 7
        assert backend.reach(view) == 8192
        with pytest.raises(namedshm.AccessDenied):
            view[8192]
        last = (1 << 20) - 4096  # Wine 8 tells nobody of a commit that reaches the end of the view
        backend.commit_view(view, 8192, last - 8192)
        assert peer.do("v[last - 1]", last=last) == 0
        backend.commit_view(view, last, 4096)
        assert len(memoryview(view)) == 1 << 20


# ------------------------------------------------------------------------------------------------------------ files
def test_a_file_is_mapped_and_flushed(name: str, tmp_path: Path, peers: Peers) -> None:
    import msvcrt

    path = tmp_path / "data"
    path.write_bytes(b"0123456789" * 500)
    with open(path, "r+b") as file:
        section = namedshm.create(name, 0, file=msvcrt.get_osfhandle(file.fileno()))
    assert section.size == 5000
    view = section.map()
    assert view[:10] == b"0123456789"
    assert peers(name=name).do("v = namedshm.open(name).map(); v[:4] = b'file'; len(v)") == 5000
    view.flush()
    view.close()
    section.close()
    peers.lent[0].do("v.close()")  # type: ignore[attr-defined]
    assert path.read_bytes()[:10] == b"file456789"


def test_a_larger_size_extends_the_file(name: str, tmp_path: Path) -> None:
    import msvcrt

    path = tmp_path / "data"
    path.write_bytes(b"abc")
    with open(path, "r+b") as file:
        section = namedshm.create(name, 10000, file=msvcrt.get_osfhandle(file.fileno()))
    section.map()[9999] = 33
    section.close()
    assert path.stat().st_size == 10000


def test_a_files_last_page_can_be_asked_for_in_full(name: str, tmp_path: Path) -> None:
    import msvcrt

    path = tmp_path / "data"
    path.write_bytes(b"abc")
    with open(path, "r+b") as file:
        section = namedshm.create(name, 0, file=msvcrt.get_osfhandle(file.fileno()))
    for handle in (section, namedshm.open(name), section.duplicate()):
        view = handle._map_pages(0, 4096, "write", False)  # as MapViewOfFile does
        assert view[:] == b"abc" + bytes(4093)
        view.close()
        handle.close()


def test_an_empty_file_needs_a_size(name: str, tmp_path: Path) -> None:
    import msvcrt

    with open(tmp_path / "empty", "w+b") as file, pytest.raises(namedshm.InvalidArgument):
        namedshm.create(name, 0, file=msvcrt.get_osfhandle(file.fileno()))
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    assert win.open(_companion(name), win.READ) is None


# ------------------------------------------------------------------------------------------------------------ handles that travel
def test_a_handle_can_be_sent_to_another_process(name: str, peers: Peers) -> None:
    peer = peers()
    section = namedshm.create(name, 4999)
    section.map()[:4] = b"sent"
    number = backend.send_handle(section._handle, peer.pid, "read")
    code = (
        "from namedshm._backend import backend; h = backend.receive_handle(number);"
        "v = namedshm.Section(h).map(); (h.name, h.size, h.identity, h.access, v[:4])"
    )
    assert peer.do(code, number=number) == (name, 4999, section.identity, "read", b"sent")
    section.close()
    assert peer.do("namedshm.open(h.name).size") == 4999


def test_an_unnamed_section_can_be_sent_too(peers: Peers) -> None:
    peer = peers()
    section = namedshm.create(None, 100)
    section.map()[:4] = b"sent"
    number = backend.send_handle(section._handle, peer.pid, "write")
    code = "from namedshm._backend import backend; h = backend.receive_handle(number); (h.name, h.size, h.access)"
    assert peer.do(code, number=number) == (None, 4096, "write")
    assert peer.do("namedshm.Section(h).map()[:4]") == b"sent"


def test_what_is_no_handle_of_these_objects_cannot_be_received() -> None:
    for value in (0, -1, 0xFFFF0, 1 << 70):
        with pytest.raises(namedshm.ClosedHandle):
            backend.receive_handle(value)
    with open(__file__, "rb") as file, pytest.raises(namedshm.WrongType):
        backend.receive_handle(msvcrt.get_osfhandle(file.fileno()))


def test_a_child_inherits_what_is_inheritable(name: str) -> None:
    code = (
        "import sys; from namedshm._backend import backend; import namedshm;"
        "print(namedshm.Section(backend.receive_handle(int(sys.argv[1]))).map()[:5])"
    )
    for inheritable in (True, False):
        with namedshm.create(name, 100, inheritable=inheritable) as section:
            section.map()[:5] = b"child"
            child = subprocess.run(
                [sys.executable, "-c", code, str(section._handle.os_handle)],
                close_fds=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
            if inheritable:
                assert child.stdout.strip() == b"b'child'", child.stderr
            else:
                assert b"ClosedHandle" in child.stderr or b"WrongType" in child.stderr


# ------------------------------------------------------------------------------------------------------------ rights
def test_the_default_is_windows_default(name: str) -> None:
    plain = win.create(name + "-plain", 100)
    with namedshm.create(name, 100) as section:
        assert win.security(section._handle.os_handle) == win.security(plain)
    win.close(plain)


@pytest.mark.parametrize(
    ("mode", "rights"), [(0o604, {"WD": 0x20005}), (0o606, {"WD": 0x20007}), (0o640, {"S-1-5-32-545": 0x20005}), (0o660, {})]
)
def test_a_mode_becomes_an_access_list(name: str, mode: int, rights: dict[str, int]) -> None:
    group = "S-1-5-32-545" if mode == 0o640 else None
    with namedshm.create(name, 100, mode=mode, group=group) as section:
        text = win.security(section._handle.os_handle)
        for who, right in rights.items():
            assert _right_of(text, who) == right, text
        companion = win.open(_companion(name), 0x20000)  # READ_CONTROL
        assert companion
        companion_text = win.security(companion)
        win.close(companion)
        for who in rights:
            assert _right_of(companion_text, who) == 0x20005, companion_text
        assert namedshm.open(name).size == 100


def _right_of(sddl: str, who: str) -> int:
    names = {"RC": 0x20000, "CC": 1, "DC": 2, "LC": 4, "SW": 8}
    aliases = {who, {"S-1-5-32-545": "BU"}.get(who, who)}
    for entry in sddl.split("(")[1:]:
        kind, _, rights, _, _, sid = entry.rstrip(")").split(";")[:6]
        if kind == "A" and sid in aliases:
            if rights.startswith("0x"):
                return int(rights, 16)
            return sum(names[rights[i : i + 2]] for i in range(0, len(rights), 2))
    return 0


def test_a_companion_that_is_taken_over_gets_the_rights_of_its_new_section(name: str) -> None:
    first = namedshm.create(name, 111)
    left = win.open(_companion(name), win.READ | 0x20000)
    assert left
    first.close()
    with namedshm.create(name, 222, mode=0o604):
        assert _right_of(win.security(left), "WD") == 0x20005
    win.close(left)


def test_a_group_is_an_account_not_a_number(name: str) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="no numbers"):
        namedshm.create(name, 1, mode=0o660, group=100)
    with pytest.raises(namedshm.NamedShmError, match="no-such-group"):
        namedshm.create(name, 1, mode=0o660, group="no-such-group")


# ------------------------------------------------------------------------------------------------------------ looking around
def test_a_listing_tells_what_is_alive(name: str, peers: Peers) -> None:
    peer = peers(name=name)
    peer.do("s = namedshm.create(name, 4999, mode=0o644); t = namedshm.open(name)")
    info = namedshm.describe(name)
    assert (info.name, info.type, info.size, info.handles, info.creator_pid) == (name, "section", 4999, 2, peer.pid)
    assert (info.mode, info.identity) == (0o644, peer.do("s.identity"))
    assert info.created is not None
    assert abs(info.created - time.time()) < 600
    peer.kill()
    with pytest.raises(namedshm.NotFound):
        namedshm.describe(name)


def test_a_listing_has_all_types_and_no_companions(name: str) -> None:
    mutex = win.kernel32.CreateMutexW(None, False, name + "m")
    event = win.kernel32.CreateEventW(None, False, False, "Global\\" + name + "e")
    semaphore = win.kernel32.CreateSemaphoreW(None, 0, 1, name + "s")
    plain = win.create("Global\\" + name + "p", 100)
    with namedshm.create("Global\\" + name, 100):
        found = {info.name: (info.type, info.size) for info in namedshm.list_objects() if name in info.name}
    assert found == {
        name + "m": ("mutex", 0),
        "Global\\" + name + "e": ("event", 0),
        name + "s": ("semaphore", 0),
        "Global\\" + name + "p": ("section", 0),
        "Global\\" + name: ("section", 100),
    }
    win.close(mutex, event, semaphore, plain)


def test_the_state_of_the_backend_is_told() -> None:
    state: dict[str, Any] = backend.backend_state()
    assert state["granularity"] == 65536
    assert state["can_create_global"] in (True, False)
    assert state["scopes"]["Global"] == "\\BaseNamedObjects"


# ------------------------------------------------------------------------------------------------------------ cleanliness
def test_nothing_leaks(name: str) -> None:
    def everything() -> None:
        with namedshm.create(name, 100) as section, section.map(), namedshm.open(name, "read") as opened:
            opened.duplicate().close()
            with pytest.raises(namedshm.AlreadyExists):
                namedshm.create(name, 1)
            backend.receive_handle(backend.send_handle(section._handle, os.getpid(), "read")).close()
            namedshm.list_objects()
        with pytest.raises(namedshm.NotFound):
            namedshm.open(name)
        with pytest.raises(namedshm.OutOfResources):
            namedshm.create(name, 1 << 62)
        namedshm.create(name, 100)  # closed by the garbage collection
        namedshm.create(name, 100, mode=0o644).close()

    for _ in range(3):
        everything()
    gc.collect()
    before = win.handle_count()
    for _ in range(50):
        everything()
    gc.collect()
    assert win.handle_count() <= before + 2


def test_importing_stays_cheap() -> None:
    costly = ("ctypes", "typing", "enum", "dataclasses", "hashlib", "re", "inspect", "subprocess", "tempfile", "random")
    code = f"import sys; import namedshm; print([m for m in {costly!r} if m in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_errors_carry_number_call_and_remedy(name: str) -> None:
    with pytest.raises(namedshm.NotFound, match=r"OpenFileMappingW failed; nobody holds that name") as caught:
        namedshm.open(name)
    assert (caught.value.winerror, caught.value.call, caught.value.object_name) == (2, "OpenFileMappingW", name)
    with namedshm.create(name, 100), pytest.raises(namedshm.AlreadyExists, match="open it") as caught_:
        namedshm.create(name, 100)
    assert caught_.value.winerror == 183
