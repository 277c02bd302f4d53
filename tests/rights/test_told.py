"""What others' rights, configurations and user databases do to a call: it is told, with advice that can be followed, and "could not
be told" is never "nobody holds it"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.peer import Peer

import namedshm

from .conftest import ANNA, BERT, CARL, CREW, MOUNT, AsUser

ROOT = 0


# ------------------------------------------------------------------------------------------------------------ no right
@pytest.mark.parametrize("made", ["Mutex({name!r}, mode=0o644)", "Event({name!r}, mode=0o600)", "create({name!r}, 10)"])
def test_reading_is_not_advised_where_it_would_not_help(as_user: AsUser, name: str, made: str) -> None:
    root, carl = as_user(ROOT, granted=True), as_user(CARL, granted=True)
    wanted = f"Global\\{name}"
    root.do("thing = namedshm." + made.format(name=wanted))
    opener = {"M": "Mutex.open", "E": "Event.open", "c": "open"}[made[0]]
    with pytest.raises(namedshm.AccessDenied) as caught:
        carl.do(f"namedshm.{opener}({wanted!r})")
    text = str(caught.value)
    assert f"user {CARL}" in text
    assert "user 0 made it" in text
    assert "mode" in text
    assert "'read'" not in text


def test_reading_is_advised_where_others_may_read(as_user: AsUser, name: str) -> None:
    root, carl = as_user(ROOT, granted=True), as_user(CARL, granted=True)
    root.do("s = namedshm.create(name, 10, mode=0o644)", name=f"Global\\{name}")
    with pytest.raises(namedshm.AccessDenied, match="access 'read'"):
        carl.do("namedshm.open(name)", name=f"Global\\{name}")
    assert carl.do("namedshm.open(name, 'read').size", name=f"Global\\{name}") == 10


# ------------------------------------------------------------------------------------------------------------ the configuration
def test_a_configuration_that_cannot_be_read_is_not_no_configuration(as_user: AsUser, config: Path, name: str) -> None:
    anna, carl, member = as_user(ANNA, CREW, granted=True), as_user(CARL, granted=True), as_user(BERT, CREW, granted=True)
    anna.do("s = namedshm.create(name, 10, mode=0o666)", name=f"Global\\{name}")
    config.chmod(0o600)
    for peer in (carl, member):
        for call in (
            "namedshm.open(name)",
            "namedshm.create(name, 10)",
            "namedshm.create(name, 10, exist_ok=True)",
            "namedshm.Mutex.open(name)",
            "namedshm.describe(name)",
            "namedshm.list_objects()",
        ):
            with pytest.raises(namedshm.AccessDenied, match="cannot be read") as caught:
                peer.do(call, name=f"Global\\{name}")
            assert str(config) in str(caught.value)
        # Local has nothing to do with it
        assert peer.do("s = namedshm.create(name, 10); namedshm.describe(name).size", name=name) == 10
    config.chmod(0o644)  # repaired, it works in the same processes
    assert carl.do("namedshm.open(name).size", name=f"Global\\{name}") == 10
    member.do("s = namedshm.create(name, 10)", name=f"Global\\{name}-2")


def test_what_root_made_is_opened_without_a_readable_configuration(as_user: AsUser, config: Path, name: str) -> None:
    root, carl = as_user(ROOT, granted=True), as_user(CARL, granted=True)
    config.chmod(0o600)
    with pytest.raises(namedshm.NotFound):
        carl.do("namedshm.open(name)", name=f"Global\\{name}")
    root.do("s = namedshm.create(name, 10, mode=0o666)", name=f"Global\\{name}")
    assert carl.do("namedshm.open(name).size", name=f"Global\\{name}") == 10
    assert carl.do("namedshm.create(name, 10, exist_ok=True).created", name=f"Global\\{name}") is False
    with pytest.raises(namedshm.AlreadyExists):
        carl.do("namedshm.create(name, 10)", name=f"Global\\{name}")
    with pytest.raises(namedshm.AccessDenied, match="cannot be read"):
        carl.do("namedshm.create(name, 10)", name=f"Global\\{name}-2")


# ------------------------------------------------------------------------------------------------------------ the user database
@pytest.fixture
def with_database(
    session_name: str, config: Path, public: Path, database: tuple[Path, Path], name: str
) -> Iterator[Callable[[str], Peer]]:
    """with_database("passwd") is a process of Carl's for whom /etc/passwd cannot be read."""
    with ExitStack() as peers:

        def make(closed: str) -> Peer:
            files = {}
            for file in database:
                files[file.name] = copy = public / f"{name}-{file.name}"
                copy.write_text(file.read_text())
                copy.chmod(0o600 if file.name == closed else 0o644)
            prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh"]
            prefix += [str(files["passwd"]), str(files["group"])]
            prefix += ["setpriv", "--reuid", str(CARL), "--regid", str(CARL), "--clear-groups"]
            environment = {"NAMEDSHM_CONFIG": str(config)}
            return peers.enter_context(Peer(prefix=tuple(prefix), env=environment, session=session_name))

        yield make


CALLS = ("namedshm.open(name)", "namedshm.describe(name)", "namedshm.Mutex.open(name)", "namedshm.list_objects()")


@pytest.mark.parametrize("closed", ["passwd", "group"])
def test_a_maker_whom_the_user_database_cannot_judge_is_not_taken_for_a_stranger(
    as_user: AsUser, with_database: Callable[[str], Peer], config: Path, name: str, closed: str
) -> None:
    config.write_text(f"global-creators = {CREW}\n")
    bert = as_user(BERT, CREW, granted=True)
    bert.do("s = namedshm.create(name, 10, mode=0o666)", name=f"Global\\{name}")
    assert with_database("nothing").do("namedshm.open(name).size", name=f"Global\\{name}") == 10
    peer = with_database(closed)
    for call in CALLS:
        with pytest.raises(namedshm.AccessDenied, match="could not be told"):
            peer.do(call, name=f"Global\\{name}")


def test_without_a_descriptor_a_maker_is_not_taken_for_a_stranger(as_user: AsUser, name: str) -> None:
    bert, carl = as_user(BERT, CREW, granted=True), as_user(CARL, granted=True)
    with pytest.raises(namedshm.NotFound):
        carl.do("namedshm.list_objects(); namedshm.Mutex; namedshm.open(name)", name=f"Global\\{name}")  # it knows the group now
    bert.do("s = namedshm.create(name, 10, mode=0o666)", name=f"Global\\{name}")
    carl.do("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 1,) * 2)")
    for call in CALLS:
        with pytest.raises(namedshm.OutOfResources, match="ulimit -n"):
            carl.do(call, name=f"Global\\{name}")
