r"""Creating in Global: root may, members of the group the administrator named may, others are told whom to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, AsUser

ROOT = 0


def test_creating_without_the_right_is_refused_with_5_and_the_remedy(as_user: AsUser, name: str) -> None:
    carl = as_user(CARL)
    with pytest.raises(namedshm.AccessDenied, match="namedshm grant") as caught:
        carl.do("namedshm.create(name, 100)", name=f"Global\\{name}")
    assert caught.value.winerror == 5
    assert isinstance(caught.value, PermissionError)
    assert carl.do("win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 100, name)") == 0
    assert carl.do("win32.GetLastError()") == 5


def test_the_refusal_is_the_same_when_somebody_has_global_objects(as_user: AsUser, name: str) -> None:
    as_user(ROOT).do("s = namedshm.create(name, 100)", name=f"Global\\{name}-other")
    carl = as_user(CARL)
    for exist_ok in (False, True):
        with pytest.raises(namedshm.AccessDenied, match="namedshm grant"):
            carl.do("namedshm.create(name, 100, exist_ok=exist_ok)", name=f"Global\\{name}", exist_ok=exist_ok)


def test_a_refused_creation_makes_nothing(as_user: AsUser, name: str) -> None:
    carl = as_user(CARL)
    before = carl.do("sorted(n for n, row in segments().items() if row['cuid'] == os.getuid())")
    with pytest.raises(namedshm.AccessDenied):
        carl.do("namedshm.create(name, 100)", name=f"Global\\{name}")
    assert carl.do("sorted(n for n, row in segments().items() if row['cuid'] == os.getuid())") == before
    with pytest.raises(namedshm.NotFound):
        as_user(ROOT).do("namedshm.open(name)", name=f"Global\\{name}")


def test_opening_needs_no_right_to_create(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT), as_user(CARL)
    root.do("s = namedshm.create(name, 100, mode=0o666); v = s.map()", name=f"Global\\{name}")
    carl.do("v = namedshm.open(name).map(); v[:4] = b'carl'", name=f"Global\\{name}")
    assert root.do("v[:4]") == b"carl"


def test_opening_what_nobody_holds_is_not_found_for_everybody(as_user: AsUser, name: str) -> None:
    for uid in (ROOT, CARL):
        with pytest.raises(namedshm.NotFound):
            as_user(uid).do("namedshm.open(name)", name=f"Global\\{name}")


def test_a_member_of_the_granted_group_creates_and_everybody_opens(as_user: AsUser, name: str) -> None:
    anna = as_user(ANNA, CREW, granted=True)
    anna.do("s = namedshm.create(name, 100, mode=0o666); v = s.map(); v[:4] = b'anna'", name=f"Global\\{name}")
    for uid, groups in ((ROOT, ()), (BERT, (CREW,)), (CARL, ())):
        other = as_user(uid, *groups, granted=True)
        assert other.do("v = namedshm.open(name).map(); v[:4]", name=f"Global\\{name}") == b"anna"


def test_another_member_creates_where_the_first_one_began(as_user: AsUser, name: str) -> None:
    anna, bert, root = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True), as_user(ROOT, granted=True)
    anna.do("s = namedshm.create(name + 'a', 100, mode=0o644)", name=f"Global\\{name}")
    bert.do("s = namedshm.create(name + 'b', 100, mode=0o644)", name=f"Global\\{name}")
    root.do("s = namedshm.create(name + 'r', 100, mode=0o644)", name=f"Global\\{name}")
    everything = [f"Global\\{name}{who}" for who in "abr"]
    for peer in (anna, bert, root, as_user(CARL, granted=True)):
        assert peer.do("[i.name for i in namedshm.list_objects()]") == everything
        assert peer.do("[namedshm.open(n, 'read').size for n in names]", names=everything) == [100] * 3


def test_a_member_creates_where_root_began_after_the_grant(as_user: AsUser, name: str) -> None:
    as_user(ROOT, granted=True).do("s = namedshm.create(name + 'r', 100)", name=f"Global\\{name}")
    as_user(ANNA, CREW, granted=True).do("s = namedshm.create(name + 'a', 100)", name=f"Global\\{name}")


def test_a_namespace_begun_before_the_grant_tells_members_so(as_user: AsUser, name: str) -> None:
    # the grant shows in a namespace when all who used it before have ended
    root = as_user(ROOT)
    root.do("s = namedshm.create(name + 'r', 100)", name=f"Global\\{name}")
    anna = as_user(ANNA, CREW, granted=True)
    with pytest.raises(namedshm.AccessDenied, match="restart"):
        anna.do("namedshm.create(name + 'a', 100)", name=f"Global\\{name}")
    root.kill()
    anna = as_user(ANNA, CREW, granted=True)
    anna.do("s = namedshm.create(name + 'a', 100)", name=f"Global\\{name}")


def test_a_stranger_may_not_create_though_members_do(as_user: AsUser, name: str) -> None:
    as_user(ANNA, CREW, granted=True).do("s = namedshm.create(name, 100)", name=f"Global\\{name}")
    carl = as_user(CARL, granted=True)
    with pytest.raises(namedshm.AccessDenied, match="namedshm grant"):
        carl.do("namedshm.create(name + 'c', 100)", name=f"Global\\{name}")


def test_a_stranger_who_claims_a_grant_of_his_own_gets_nowhere(as_user: AsUser, name: str) -> None:
    # NAMEDSHM_CONFIG changes what his process believes, not what others do
    carl = as_user(CARL)
    own = f"/tmp/{name}.conf"
    carl.do("open(path, 'w').write('global-creators = 64103'); os.environ['NAMEDSHM_CONFIG'] = path", path=own)
    try:
        carl.do("s = namedshm.create(name, 100, mode=0o666); v = s.map(); v[0] = 66", name=f"Global\\{name}")
        for uid, groups, granted in ((ROOT, (), False), (ANNA, (CREW,), True), (BERT, (), False)):
            other = as_user(uid, *groups, granted=granted)
            with pytest.raises(namedshm.NotFound):
                other.do("namedshm.open(name)", name=f"Global\\{name}")
        root = as_user(ROOT)
        assert root.do("s = namedshm.create(name, 100, mode=0o644); (s.created, s.map()[0])", name=f"Global\\{name}") == (True, 0)
        assert as_user(BERT).do("namedshm.open(name, 'read').map()[0]", name=f"Global\\{name}") == 0
    finally:
        carl.do("os.unlink(path)", path=own)


def test_a_group_may_be_granted_by_number(as_user: AsUser, name: str, config: Path) -> None:
    config.write_text(f"global-creators={CREW}\n")
    anna = as_user(ANNA, CREW, granted=True)
    assert anna.do("s = namedshm.create(name, 100); s.created", name=f"Global\\{name}")


def test_a_member_may_not_touch_what_another_member_keeps_private(as_user: AsUser, name: str) -> None:
    anna, bert = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True)
    _, data = anna.do("s = namedshm.create(name, 100); s._handle.segments", name=f"Global\\{name}")
    for access in ("read", "write"):
        with pytest.raises(namedshm.AccessDenied):
            bert.do("namedshm.open(name, access)", name=f"Global\\{name}", access=access)
    assert bert.do("attach(n, RDONLY)", n=data) == "EACCES"


def test_a_name_held_by_another_user_cannot_be_created_over(as_user: AsUser, name: str) -> None:
    anna, bert = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True)
    anna.do("s = namedshm.create(name, 100)", name=f"Global\\{name}")
    with pytest.raises((namedshm.AlreadyExists, namedshm.AccessDenied)):
        bert.do("namedshm.create(name, 100)", name=f"Global\\{name}")
    with pytest.raises(namedshm.AccessDenied):
        bert.do("namedshm.create(name, 100, exist_ok=True)")
    anna.kill()
    assert bert.do("s = namedshm.create(name, 100); s.created")


def test_root_creates_over_what_a_killed_member_left(as_user: AsUser, name: str) -> None:
    anna, root = as_user(ANNA, CREW, granted=True), as_user(ROOT, granted=True)
    keep = as_user(BERT, CREW, granted=True)
    keep.do("s = namedshm.create(name + 'keep', 100)", name=f"Global\\{name}")  # the namespace lives on
    anna.do("s = namedshm.create(name, 100); v = s.map(); v[0] = 1", name=f"Global\\{name}")
    anna.kill()
    assert root.do("s = namedshm.create(name, 50); (s.created, s.size, s.map()[0])", name=f"Global\\{name}") == (True, 50, 0)


@pytest.mark.parametrize("damage", ["unreadable", "unknown group", "not text", "a folder", "no value"])
def test_a_configuration_that_says_nothing_usable_grants_nothing_and_stops_no_opener(
    as_user: AsUser, name: str, config: Path, damage: str
) -> None:
    match damage:
        case "unreadable":
            config.chmod(0o600)
        case "unknown group":
            config.write_text("global-creators = no-such-group\n")
        case "not text":
            config.write_bytes(b"global-creators = \xff\xfe\n")
        case "a folder":
            config.unlink()
            config.mkdir()
        case "no value":
            config.write_text("global-creators\nglobal-creators =\n")
    root, anna = as_user(ROOT, granted=True), as_user(ANNA, CREW, granted=True)
    root.do("s = namedshm.create(name, 100, mode=0o644)", name=f"Global\\{name}")
    assert anna.do("namedshm.open(name, 'read').size", name=f"Global\\{name}") == 100
    with pytest.raises(namedshm.AccessDenied, match="namedshm grant"):
        anna.do("namedshm.create(name + '2', 100)")


def test_global_objects_of_another_session_are_in_nobodys_way(as_user: AsUser, name: str, session_name: str) -> None:
    # made before the grant, and of another namespace: a member must not take it for the one he may not write
    elsewhere = as_user(ROOT, session=session_name + "-else")
    elsewhere.do("s = namedshm.create(name, 100, mode=0o666)", name=f"Global\\{name}")
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL)
    for peer in (anna, carl):
        with pytest.raises(namedshm.NotFound):
            peer.do("namedshm.open(name)", name=f"Global\\{name}")
    assert anna.do("s = namedshm.create(name, 50); (s.created, s.size)") == (True, 50)
    assert elsewhere.do("namedshm.open(name).size") == 100


def test_who_may_not_create_in_global_takes_no_name_away_there(as_user: AsUser, name: str) -> None:
    """Also not that of an object he may write: the name is the registry's, and that is for those who may create."""
    anna, bert, carl = as_user(ANNA, CREW, granted=True), as_user(BERT, CREW, granted=True), as_user(CARL, granted=True)
    name = f"Global\\{name}"
    anna.do("s = namedshm.create(name, 100, mode=0o666)", name=name)
    anna.do("t = namedshm.create(name, 100, mode=0o644)", name=name + "-readable")
    for peer in (bert, carl):
        peer.do("from namedshm.section import Replacement\nr = namedshm.open(name + '-readable', 'read')", name=name)
        with pytest.raises(namedshm.AccessDenied, match="retire"):
            peer.do("r.retire()")
    with pytest.raises(namedshm.AccessDenied, match=r"retire.*right to create"):
        carl.do("namedshm.open(name).retire()")
    with pytest.raises(namedshm.AccessDenied):
        carl.do("Replacement(name, 10, 0o666, None, None)")
    with pytest.raises(namedshm.AccessDenied):
        bert.do("Replacement(name + '-readable', 10, 0o666, None, None).commit()", name=name)
    assert carl.do("namedshm.open(name).size, r.size, namedshm.open(name + '-readable', 'read').size") == (100, 100, 100)
    anna.do("u = namedshm.create(name, 100, mode=0o666, writable=False)", name=name + "-frozen")
    with pytest.raises(namedshm.AccessDenied, match=r"maker's user"):
        bert.do("namedshm.open(name, 'read').retire()", name=name + "-frozen")
    with pytest.raises(namedshm.AccessDenied, match=r"maker's user"):
        bert.do("Replacement(name, 10, 0o666, None, None).commit()", name=name + "-frozen")
    assert anna.do("u.retire()") is True
    assert bert.do("namedshm.open(name).retire()", name=name) is True  # a member who may write it
    for peer in (anna, carl):
        with pytest.raises(namedshm.NotFound):
            peer.do("namedshm.open(name)", name=name)


def test_a_user_without_the_right_to_create_in_global_finds_a_version_at_any_time(as_user: AsUser, name: str) -> None:
    """He cannot take the registry's lock, where others who meet a change under way wait for its end."""
    anna, carl = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True)
    name = f"Global\\{name}"
    code = """
from namedshm.section import Replacement
def replace(version):
    new = Replacement(name, 8, 0o644, None, None)
    new.section.map()[:] = version.to_bytes(8, "little")
    new.commit()
    return new.section
held = replace(1)
"""
    anna.do(code, name=name)
    carl.start(
        """
last = 0
while last < 2000:
    with namedshm.open(name, 'read') as section:
        version = int.from_bytes(bytes(section.map()), 'little')
    assert version >= last
    last = version
last""",
        name=name,
    )
    anna.do("for version in range(2, 2001): held = replace(version)")
    assert carl.result() == 2000
