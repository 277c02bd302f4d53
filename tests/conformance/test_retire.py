"""A name that is taken away from a living object, and given to another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import has_fork, on_windows
from helpers.peer import Peer

import namedshm
from namedshm.section import Replacement

kept = pytest.mark.skipif(on_windows, reason="there a name stays with its object")


@pytest.mark.skipif(not on_windows, reason="elsewhere it can be done")
def test_where_a_name_stays_with_its_object_the_error_says_what_to_do(name: str) -> None:
    with namedshm.create(name, 10) as section, pytest.raises(namedshm.Unsupported, match="new name"):
        section.retire()
    with pytest.raises(namedshm.Unsupported, match="new name"):
        Replacement(name, 10, 0o600, None, None)


@kept
@pytest.mark.parametrize("scope", ["", "Local\\", "Global\\"])
def test_a_retired_name_is_free_at_once_and_the_memory_stays_with_its_holders(
    scope: str, name: str, peers: Callable[[], Peer]
) -> None:
    name = scope + name
    maker, reader = peers(), peers()
    maker.do("import namedshm; s = namedshm.create(name, 10); v = s.map(); v[:3] = b'old'", name=name)
    reader.do("import namedshm; s = namedshm.open(name); v = s.map()", name=name)
    assert reader.do("s.retire(), s.retire()") == (True, False)
    assert maker.do("s.retire()") is False
    for peer in (maker, reader):
        with pytest.raises(namedshm.NotFound):
            peer.do("namedshm.open(name)")
    assert not [info for info in namedshm.list_objects() if info.name == name]
    with namedshm.create(name, 20) as again:
        assert bytes(again.map()) == bytes(20)
        assert maker.do("v[3] = 7; s.duplicate().map()[:4], s.size, s.closed") == (b"old\x07", 10, False)
        assert reader.do("v[:4]") == b"old\x07"
        maker.kill()
        reader.do("s.close(); del v")
        assert namedshm.open(name).size == 20  # whatever the holders of the old one do


@kept
@pytest.mark.parametrize("kind", ["reserve", "file", "read-only"])
def test_sections_of_every_kind_can_be_retired(kind: str, name: str, tmp_path: Path) -> None:
    if kind == "file":
        path = tmp_path / "file"
        path.write_bytes(b"content")
        with path.open("r+b") as file:
            section = namedshm.create(name, 7, file=file.fileno())
    else:
        section = namedshm.create(name, 10_000, **{"reserve": True} if kind == "reserve" else {"writable": False})
    assert section.retire()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    namedshm.create(name, 1).close()
    section.close()


@kept
def test_what_cannot_be_retired_is_refused_with_the_reason(name: str) -> None:
    with namedshm.create(name, 10) as section:
        with namedshm.open(name, "read") as reading, pytest.raises(namedshm.AccessDenied, match="access 'write'"):
            reading.retire()
        with namedshm.create(None, 10) as nameless, pytest.raises(namedshm.InvalidArgument, match="unnamed"):
            nameless.retire()
        assert namedshm.open(name).size == 10
    with pytest.raises(namedshm.ClosedHandle):
        section.retire()


@kept
def test_a_pickled_handle_of_a_retired_object_does_not_lead_to_its_successor(name: str) -> None:
    import pickle

    section = namedshm.create(name, 10)
    data = pickle.dumps(section)
    section.retire()
    with pytest.raises(namedshm.NotFound):
        pickle.loads(data).map()
    with namedshm.create(name, 10), pytest.raises(namedshm.StaleObject):
        pickle.loads(data).map()


@kept
@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_child_has_a_retired_object_like_any_other(name: str, peers: Callable[[], Peer], tmp_path: Path) -> None:
    parent = peers()
    parent.do("import namedshm; s = namedshm.create(name, 10); v = s.map(); v[0] = 5; s.retire()", name=name)
    with parent.fork(tmp_path) as child:
        parent.do("s.close()")
        assert child.do("s.map()[0], s.retire()") == (5, False)
        with namedshm.create(name, 20):
            child.do("s.close()")
            assert namedshm.open(name).size == 20


@kept
def test_retired_objects_are_no_more_than_what_is_held(name: str) -> None:
    """Tokens of retired objects are not kept for the next creation, and no slot is lost."""
    for number in range(20_000):  # the table has 16,384 places
        with namedshm.create(name, 10) as section:
            assert section.map()[0] == 0
            section.map()[0] = 1
            assert section.retire(), number
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


# ------------------------------------------------------------------------------------------------------------ replacing
def _replace(name: str, content: bytes) -> namedshm.Section:
    new = Replacement(name, len(content), 0o600, None, None)
    new.section.map()[:] = content
    new.commit()
    return new.section


@kept
def test_a_replaced_object_stays_with_its_holders_and_new_openers_find_the_new_one(name: str, peers: Callable[[], Peer]) -> None:
    reader = peers()
    first = _replace(name, b"first")  # nobody holds the name
    reader.do("import namedshm; v = namedshm.open(name).map()", name=name)
    second = _replace(name, b"the second")
    assert reader.do("bytes(v), bytes(namedshm.open(name).map())") == (b"first", b"the second")
    assert [info.size for info in namedshm.list_objects() if info.name == name] == [10]
    assert not first.retire()
    first.close()
    assert namedshm.open(name).identity == second.identity
    assert second.retire()


@kept
def test_before_it_is_committed_nobody_finds_it_and_then_whoever_was_there_is_replaced(
    name: str, peers: Callable[[], Peer]
) -> None:
    peer = peers()
    new = Replacement(name, 10, 0o600, None, None)
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    peer.do("import namedshm; s = namedshm.create(name, 5)", name=name)
    new.commit()
    assert namedshm.open(name).size == 10
    assert peer.do("s.size") == 5


@kept
def test_a_replacement_that_is_refused_changes_nothing(name: str) -> None:
    with namedshm.Mutex(name), pytest.raises(namedshm.WrongType):
        _replace(name, b"section")
    with namedshm.create(name, 5) as section:
        new = Replacement(name, 10, 0o600, None, None)
        new.section.close()
        with pytest.raises(namedshm.ClosedHandle):
            new.commit()
        assert namedshm.open(name).identity == section.identity


OPENER = """
import namedshm
def look(name, stop):
    seen, last = 0, 0
    while not stop.wait(0):
        for _ in range(50):
            with namedshm.open(name, "read") as section:
                content = bytes(section.map())
            assert content.count(content[:8]) * 8 == len(content), content
            version = int.from_bytes(content[:8], "little")
            assert version >= last, (version, last)
            last, seen = version, seen + 1
    return seen
"""


@kept
@pytest.mark.timeout(100)
def test_whoever_opens_while_a_name_is_replaced_finds_one_version_whole_and_never_an_older_one(
    name: str, peers: Callable[[], Peer]
) -> None:
    stop = namedshm.Event(name + "stop", manual=True)
    held = [_replace(name, (1).to_bytes(8, "little") * 3)]
    openers = [peers() for _ in range(3)]
    for opener in openers:
        opener.do(OPENER)
        opener.start("look(name, namedshm.Event(name + 'stop', manual=True))", name=name)
    fillers = []
    for version in range(2, 3000):
        if version % 3 == 0:  # so that the name goes to slots before and behind the one it had
            fillers.append(namedshm.create(f"{name}-{version}", 1))
        if version % 7 == 0:
            fillers.pop(0).close()
        held.append(_replace(name, version.to_bytes(8, "little") * (1 + version % 600)))
        held.pop(0).close()
    stop.set()
    for opener in openers:
        assert opener.result() > 50
