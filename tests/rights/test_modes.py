r"""Global objects and their modes: who may open what, and that nobody gets more than that."""

from __future__ import annotations

import pytest
from helpers.peer import Peer

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, AsUser

ROOT = 0


def may(peer: Peer, name: str) -> str:
    """What a user can do with an object: "", "r" or "rw"; tried in earnest, by opening and touching."""
    return peer.do(  # type: ignore[no-any-return]
        """
got = ""
for access in ("read", "write"):
    try:
        with namedshm.open(name, access) as s:
            v = s.map()
            v[0]
            if access == "write":
                v[1] = 1
            got += access[0]
    except namedshm.AccessDenied as error:
        assert error.winerror == 5
        assert name.split("\\\\")[-1] in str(error), str(error)
got
""",
        name=name,
    )


@pytest.mark.parametrize(
    ("mode", "stranger", "member"),
    [
        (0o600, "", ""),
        (0o604, "r", ""),
        (0o640, "", "r"),
        (0o644, "r", "r"),
        (0o660, "", "rw"),
        (0o664, "r", "rw"),
        (0o606, "rw", ""),
        (0o666, "rw", "rw"),
    ],
    ids=lambda value: oct(value) if isinstance(value, int) else None,
)
def test_the_mode_says_who_may_open_a_global_object(as_user: AsUser, name: str, mode: int, stranger: str, member: str) -> None:
    creator = as_user(ROOT)
    creator.do("s = namedshm.create(name, 100, mode=mode, group=group)", name=f"Global\\{name}", mode=mode, group=CREW)
    assert may(as_user(CARL), f"Global\\{name}") == stranger
    assert may(as_user(ANNA, CREW), f"Global\\{name}") == member
    assert may(as_user(ROOT), f"Global\\{name}") == "rw"


def test_an_object_is_its_users_alone_unless_said_otherwise(as_user: AsUser, name: str) -> None:
    as_root = as_user(ROOT)
    as_root.do("s = namedshm.create(name, 100)", name=f"Global\\{name}")
    assert may(as_user(ANNA), f"Global\\{name}") == ""


def test_the_group_may_be_given_by_name(as_user: AsUser, name: str) -> None:
    as_user(ROOT).do("s = namedshm.create(name, 100, mode=0o660, group='nshm-crew')", name=f"Global\\{name}")
    assert may(as_user(BERT, CREW), f"Global\\{name}") == "rw"
    assert may(as_user(CARL), f"Global\\{name}") == ""


def test_an_unknown_group_is_refused(as_user: AsUser, name: str) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="no-such-group"):
        as_user(ROOT).do("namedshm.create(name, 100, mode=0o660, group='no-such-group')", name=f"Global\\{name}")


def test_without_a_group_the_group_bits_mean_the_creators_own(as_user: AsUser, name: str) -> None:
    as_user(ANNA, CREW, granted=True).do("s = namedshm.create(name, 100, mode=0o640)", name=f"Global\\{name}")
    assert may(as_user(CARL, ANNA, granted=True), f"Global\\{name}") == "r"
    assert may(as_user(CARL, granted=True), f"Global\\{name}") == ""


def test_create_or_open_needs_the_same_rights_as_open(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    root.do(
        "s = namedshm.create(name + '1', 100, mode=0o604); t = namedshm.create(name + '2', 100, mode=0o606)", name=f"Global\\{name}"
    )
    with pytest.raises(namedshm.AccessDenied):
        carl.do("namedshm.create(name + '1', 100, exist_ok=True)", name=f"Global\\{name}")
    assert carl.do("namedshm.create(name + '1', 100, exist_ok=True, access='read').created") is False
    assert carl.do("s = namedshm.create(name + '2', 100, exist_ok=True); s.map()[0] = 1; s.created") is False
    with pytest.raises((namedshm.AccessDenied, namedshm.AlreadyExists)):
        carl.do("namedshm.create(name + '2', 100)")


def test_the_win32_spelling_takes_the_mode_in_its_security_attributes(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    root.do(
        "h = win32.CreateFileMapping(-1, win32.SECURITY_ATTRIBUTES(mode=0o604), win32.PAGE_READWRITE, 0, 100, name); assert h",
        name=f"Global\\{name}",
    )
    assert carl.do("win32.OpenFileMapping(win32.FILE_MAP_WRITE, False, name)", name=f"Global\\{name}") == 0
    assert carl.do("win32.GetLastError()") == 5
    assert carl.do("win32.OpenFileMapping(win32.FILE_MAP_READ, False, name)") != 0


# ------------------------------------------------------------------------------------------------------------ no widening
READER = "r = namedshm.open(name, 'read'); v = r.map(); token, data = r._handle.segments"


@pytest.fixture
def reader(as_user: AsUser, name: str) -> Peer:
    """Carl, who may read what root made and has it open."""
    root, carl = as_user(ROOT), as_user(CARL)
    root.do("s = namedshm.create(name, 100, mode=0o644); v = s.map(); v[:4] = b'root'", name=f"Global\\{name}")
    carl.do(READER, name=f"Global\\{name}")
    carl.owner = root  # type: ignore[attr-defined]
    return carl


def untouched(carl: Peer) -> bool:
    return carl.owner.do("bytes(v[:4])") == b"root"  # type: ignore[attr-defined,no-any-return]


def test_a_reader_sees_the_bytes(reader: Peer) -> None:
    assert reader.do("v[:4]") == b"root"
    reader.owner.do("v[:4] = b'ROOT'")  # type: ignore[attr-defined]
    assert reader.do("v[:4]") == b"ROOT"


def test_a_reader_cannot_map_for_writing(reader: Peer) -> None:
    with pytest.raises(namedshm.AccessDenied):
        reader.do("r.map(access='write')")


def test_a_reader_cannot_duplicate_for_writing(reader: Peer) -> None:
    with pytest.raises(namedshm.AccessDenied):
        reader.do("r.duplicate('write')")
    reader.do("d = r.duplicate()")
    with pytest.raises(namedshm.AccessDenied):
        reader.do("d.map(access='write')")


def test_a_reader_cannot_make_its_pages_writable(reader: Peer) -> None:
    assert reader.do("libc.mprotect(v.address, 4096, 3), errno.errorcode[ctypes.get_errno()]") == (-1, "EACCES")
    assert untouched(reader)


def test_a_reader_cannot_attach_the_data_for_writing(reader: Peer) -> None:
    assert reader.do("attach(data)") == "EACCES"
    assert reader.do("attach(token)") == "EACCES"
    assert isinstance(reader.do("attach(data, RDONLY)"), int)
    assert untouched(reader)


def test_a_reader_cannot_change_or_remove_the_segments(reader: Peer) -> None:
    assert {reader.do("control(number, command)", number=number, command=command)
            for number in reader.do("token, data") for command in (0, 1)} == {"EPERM"}  # fmt: skip
    assert untouched(reader)


def test_a_reader_that_writes_through_a_pointer_dies_and_changes_nothing(reader: Peer) -> None:
    reader.do("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))")
    reader.start("ctypes.memset(v.address, 0, 4)")
    with pytest.raises(RuntimeError):
        reader.result()
    assert untouched(reader)


def test_a_reader_may_have_a_private_copy_of_its_own(reader: Peer) -> None:
    assert reader.do("c = r.map(access='copy'); c[:4] = b'mine'; c[:4]") == b"mine"
    assert untouched(reader)


def test_whoever_may_read_an_executable_object_may_execute_it(as_user: AsUser, name: str) -> None:
    root, carl, bert = as_user(ROOT), as_user(CARL), as_user(BERT, CREW)
    name = f"Global\\{name}"
    root.do("s = namedshm.create(name, 8192, mode=0o644, executable=True); s.map()[:2] = b'ok'", name=name)
    for user in (carl, bert):
        user.do("s = namedshm.open(name, 'read')", name=name)
        for access in ("read", "copy"):
            assert user.do("bytes(s.map(access=access, executable=True)[:2])", access=access) == b"ok"
    root.do("t = namedshm.create(name, 8192, mode=0o600, executable=True)", name=name + "-closed")
    with pytest.raises(namedshm.AccessDenied):
        carl.do("namedshm.open(name, 'read')", name=name + "-closed")


def test_a_read_only_handle_of_the_owner_cannot_be_widened_either(as_user: AsUser, name: str) -> None:
    anna = as_user(ANNA)
    anna.do("s = namedshm.create(name, 100); r = namedshm.open(name, 'read'); v = r.map()", name=name)
    assert anna.do("libc.mprotect(v.address, 4096, 3), errno.errorcode[ctypes.get_errno()]") == (-1, "EACCES")
    with pytest.raises(namedshm.AccessDenied):
        anna.do("r.map(access='write')")


def test_a_user_without_any_right_cannot_attach_anything(as_user: AsUser, name: str) -> None:
    anna, carl = as_user(ANNA), as_user(CARL)
    token, data = anna.do("s = namedshm.create(name, 100, mode=0o666); s._handle.segments", name=name)
    for number in (token, anna.do("registry()")):
        assert carl.do("attach(n, RDONLY)", n=number) == "EACCES", "a Local object's token and registry are its user's alone"
        assert carl.do("control(n, RMID)", n=number) == "EPERM"
    assert carl.do("control(n, RMID)", n=data) == "EPERM"


def test_a_local_object_of_a_wide_mode_is_still_out_of_others_reach(as_user: AsUser, name: str) -> None:
    # mode is about Global; nobody else's process should be able to attach a Local object's memory by guessing its number
    anna, carl = as_user(ANNA), as_user(CARL)
    _, data = anna.do("s = namedshm.create(name, 100); s._handle.segments", name=name)
    assert carl.do("attach(n, RDONLY)", n=data) == "EACCES"
    assert carl.do("attach(n)", n=data) == "EACCES"


# ------------------------------------------------------------------------------------------------------------ what others can do
def test_anybody_sees_the_names_in_global_but_not_the_contents(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    root.do("s = namedshm.create(name, 100)", name=f"Global\\{name}")
    assert carl.do("[i.name for i in namedshm.list_objects()]") == [f"Global\\{name}"]
    assert carl.do("namedshm.describe(name).size", name=f"Global\\{name}") == 100
    assert may(carl, f"Global\\{name}") == ""


def test_whoever_may_read_an_object_keeps_its_name_alive_with_a_handle(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    root.do("s = namedshm.create(name, 100, mode=0o604)", name=f"Global\\{name}")
    carl.do(READER, name=f"Global\\{name}")
    root.do("s.close()")
    assert root.do("namedshm.open(name).created") is False
    carl.kill()
    with pytest.raises(namedshm.NotFound):
        root.do("namedshm.open(name)")


def test_whoever_may_not_read_an_object_cannot_keep_its_name(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    token, _ = root.do("s = namedshm.create(name, 100); s._handle.segments", name=f"Global\\{name}")
    assert carl.do("attach(n, RDONLY)", n=token) == "EACCES"
    root.do("s.close()")
    with pytest.raises(namedshm.NotFound):
        root.do("namedshm.open(name)")


# ------------------------------------------------------------------------------------------------------------ Local
def test_local_names_of_two_users_do_not_see_each_other(as_user: AsUser, name: str) -> None:
    anna, bert, root = as_user(ANNA), as_user(BERT), as_user(ROOT)
    anna.do("s = namedshm.create(name, 100, mode=0o666); v = s.map(); v[0] = 1", name=name)
    with pytest.raises(namedshm.NotFound):
        bert.do("namedshm.open(name)", name=name)
    with pytest.raises(namedshm.NotFound):
        root.do("namedshm.open(name)", name=name)
    assert bert.do("s = namedshm.create(name, 200); v = s.map(); (s.created, v[0])") == (True, 0)
    assert anna.do("namedshm.open(name).size") == 100
    assert anna.do("[i.name for i in namedshm.list_objects()]") == [name]
    assert root.do("[i.name for i in namedshm.list_objects()]") == []


def test_local_names_of_two_sessions_of_one_user_do_not_see_each_other(as_user: AsUser, name: str, session_name: str) -> None:
    one, two = as_user(ANNA), as_user(ANNA, session=session_name + "-two")
    one.do("s = namedshm.create(name, 100)", name=name)
    with pytest.raises(namedshm.NotFound):
        two.do("namedshm.open(name)", name=name)
    assert as_user(ANNA).do("namedshm.open(name).size", name=name) == 100


def test_a_process_that_changes_its_user_works_in_the_new_users_namespace(as_user: AsUser, name: str) -> None:
    root, anna = as_user(ROOT), as_user(ANNA)
    root.do("mine = namedshm.create(name, 100)", name=name)
    root.do("os.seteuid(uid); theirs = namedshm.create(name, 200)", uid=ANNA)
    assert anna.do("namedshm.open(name).size", name=name) == 200
    assert root.do("namedshm.open(name).size") == 200
    root.do("os.seteuid(0)")
    assert root.do("namedshm.open(name).size") == 100
    root.do("theirs.close()")
    with pytest.raises(namedshm.NotFound):
        anna.do("namedshm.open(name)")


def test_a_handle_sent_to_another_users_process_does_not_arrive(as_user: AsUser, name: str) -> None:
    anna, bert = as_user(ANNA), as_user(BERT)
    anna.do("h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 100, name)", name=name)
    assert anna.do("win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid)", pid=bert.do("os.getpid()")) == 0
    assert anna.do("win32.GetLastError()") == 5


# ------------------------------------------------------------------------------- group bits: the maker's own group counts as well
OWN = """
libc.syscall.restype = ctypes.c_long
def tried(number):
    "What attaching for writing and for reading says."
    return tuple(a if isinstance(a, str) else "attached" for a in (attach(number), attach(number, RDONLY)))
"""


@pytest.mark.parametrize("maker", [ROOT, ANNA])
def test_group_bits_let_nobody_in_of_the_group_that_the_maker_happens_to_be_in(as_user: AsUser, name: str, maker: int) -> None:
    """ipcperms() takes a segment's group bits for its maker's effective group too; Carl and the maker share the group CARL."""
    root_or_anna = as_user(maker, CREW, granted=True)
    root_or_anna.do("os.setegid(own)" if maker == ROOT else "pass", own=CARL)
    carl = as_user(CARL, granted=True)
    carl.do(OWN)
    root_or_anna.do("s = namedshm.create(name, 100, mode=0o660, group=crew)", name=f"Global\\{name}", crew=CREW)
    token, data = root_or_anna.do("s._handle.segments")
    for number in (token, data):
        assert carl.do("tried(n)", n=number) == ("EACCES", "EACCES")
    assert carl.do("tried(n)", n=root_or_anna.do("registry('global')")) == ("EACCES", "attached")
    bert = as_user(BERT, CREW, granted=True)
    assert bert.do("namedshm.open(name).access", name=f"Global\\{name}") == "write"
    if maker == ROOT:
        assert root_or_anna.do("os.getegid()") == CARL, "the thread is back in its group"


def test_a_maker_whose_own_group_has_others_is_told_how_to_create_for_a_group(as_user: AsUser, name: str) -> None:
    anna, bert = as_user(ANNA, CREW, granted=True, own=CARL), as_user(BERT, CREW, granted=True, own=CREW)
    with pytest.raises(namedshm.AccessDenied, match="sg GROUP"):
        anna.do("namedshm.create(name, 100, mode=0o644)", name=f"Global\\{name}")  # the registry would be writable for Carl's group
    bert.do("s = namedshm.create(name, 100, mode=0o660, group=crew)", name=f"Global\\{name}", crew=CREW)  # as sg(1) runs him
    assert anna.do("namedshm.open(name).access", name=f"Global\\{name}") == "write"
    with pytest.raises(namedshm.AccessDenied, match="sg GROUP"):
        anna.do("namedshm.create(name + 'a', 100, mode=0o660, group=crew)", name=f"Global\\{name}", crew=CREW)
    assert anna.do("namedshm.create(name + 'b', 100, mode=0o606).created", name=f"Global\\{name}") is True, "no group bits"


def test_what_nobody_may_write_a_stranger_cannot_attach_for_writing_either(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    root.do("s = namedshm.create(name, 100, mode=0o666, writable=False)", name=f"Global\\{name}")
    _, data = root.do("s._handle.segments")
    assert carl.do("attach(n)", n=data) == "EACCES"
    assert isinstance(carl.do("attach(n, RDONLY)", n=data), int)
    assert carl.do("namedshm.open(name, 'read').map()[:4]", name=f"Global\\{name}") == bytes(4)


def test_a_server_that_changes_its_user_for_each_request_does_not_grow(as_user: AsUser, name: str) -> None:
    server = as_user(ROOT)
    server.do("""
def attached():
    with open("/proc/self/maps") as file:
        return sum("/SYSV" in line for line in file)

def request(uid):
    os.seteuid(uid)
    try:
        with namedshm.create(name, 100) as section, section.map() as view:
            view[:4] = b"mine"
            assert namedshm.open(name).map()[:4] == b"mine"
    finally:
        os.seteuid(0)
    namedshm.create(name + "root", 1).close()

for uid in users: request(uid)
before = attached()
for _ in range(20):
    for uid in users: request(uid)
""", name=name, users=list(range(64301, 64311)))  # fmt: skip
    assert server.do("attached() <= before"), server.do("before, attached()")
    assert server.do("before") < 16, "the registry in use, and what root keeps for its next section"
    kept = server.do("os.seteuid(64301); kept = namedshm.create(name + 'kept', 1); os.seteuid(0); request(64302); True")
    assert kept is True
    assert server.do("os.seteuid(64301); found = namedshm.open(name + 'kept').identity == kept.identity; os.seteuid(0); found")
