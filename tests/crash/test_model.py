"""Every interleaving of small cases of the registry protocol, and planted bugs that must be found: see model.py.

NAMEDSHM_MODEL=long explores the larger cases as well (some minutes).
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from .model import Election, Protocol, Violation, explore

Script = tuple[tuple[Any, ...], ...]
LONG = os.environ.get("NAMEDSHM_MODEL") == "long"


def program(text: str, *last: tuple[Any, ...]) -> Script:
    """program("create X, close X") and operations that are not made of words."""
    return (*(tuple(operation.split()) for operation in text.split(", ") if operation), *last)


CREATE = program("create X")
CREATE_CLOSE = program("create X, close X")
OPEN = program("open X")
OPEN_CLOSE = program("open X, close X")
TWICE = program("create X, close X, create Y, close Y")
FORK_CLOSE = program("create X", ("fork", program("close X"), False), ("close", "X"))
SHARED_SPARE = program("create X, close X", ("fork", program("create X, close X"), False), ("create", "Y"), ("close", "Y"))
RAW_SHARED_SPARE = program("create X, close X", ("fork", program("create X, close X"), True), ("create", "Y"), ("close", "Y"))
FORKS = program("", ("fork", (), False))
RAW_FORK = program("", ("fork", program("create Y"), True))
LEAVES = program("create X, view away, open X, close X")
COMES_AWAY = program("view away, open X, create X")
DENIED = program("view denied, open X, create X")
RETIRE_CLOSE = program("create X, retire X, close X")
REPLACE = program("replace X")
REPLACE_BEFORE = program("create Y, create X, close Y, replace X")  # its new slot comes before the old one


def case(*scripts: Any, kills: int = 1, **more: Any) -> tuple[Protocol, int]:
    return Protocol(*scripts, **more), kills


FIND = ("find",)
HOLDS: dict[str, tuple[Protocol | Election, int]] = {
    "two make the registry, killed at any step": (Election(FIND, FIND), 2),
    "two look for a registry whose holder is killed": (Election(("hold",), FIND, FIND), 1),
    "two create": case(CREATE_CLOSE, CREATE_CLOSE, kills=2),
    "one creates exclusively, one not": case(program("make X, close X"), CREATE_CLOSE),
    "one holds, one creates, one opens": case(CREATE, CREATE_CLOSE, OPEN),
    "one closes, one opens, its token is used again": case(TWICE, OPEN, kills=1),
    "one closes while another holds": case(CREATE_CLOSE, OPEN, OPEN, kills=1),
    "three create": case(CREATE, CREATE, CREATE, kills=1),
    "with data": case(CREATE_CLOSE, OPEN_CLOSE, data=True),
    "a sweep beside one who closes": case(CREATE_CLOSE, program("create Y, create Z"), slots=1),
    "a sweep of two": case(program("create X, close X"), program("create Y"), program("create Z"), slots=2, kills=0),
    "a fork holds as well": case(FORK_CLOSE, OPEN),
    "a fork shares the spare": case(SHARED_SPARE, kills=1),
    "a fork that calls no handlers shares the spare": case(RAW_SHARED_SPARE, kills=1),
    "a thread forks": case([TWICE, FORKS], OPEN, kills=0, threads=True),
    "a thread forks without handlers": case([TWICE, RAW_FORK], kills=0, threads=True),
    "numbers of segments recur": case(program("foreign"), CREATE, OPEN, kills=1),
    "one goes to another namespace": case(LEAVES, OPEN, CREATE, kills=0),
    "one comes from another namespace": case(CREATE, COMES_AWAY, OPEN),
    "one closes in another namespace": case(program("create X, view away, close X"), OPEN, CREATE, kills=0),
    "one is refused": case(CREATE, DENIED, OPEN, kills=1),
    "a name is retired and made again": case(RETIRE_CLOSE, CREATE_CLOSE),
    "a name is retired and made again, one opens": case(RETIRE_CLOSE, CREATE, OPEN, kills=0),
    "a name is retired by another": case(CREATE_CLOSE, program("open X, retire X, close X"), OPEN, kills=0),
    "a retired name is retired again": case(program("create X, retire X, retire X"), CREATE, OPEN, kills=0),
    "a name is replaced": case(CREATE, REPLACE, OPEN),
    "a name is replaced or made": case(REPLACE, CREATE_CLOSE, OPEN, kills=0),
    "a name moves to a slot before": case(REPLACE_BEFORE, OPEN, slots=3),
    "a name is replaced twice": case(CREATE, REPLACE, REPLACE, slots=3, kills=0),
    "a replaced one closes": case(CREATE_CLOSE, REPLACE, OPEN, kills=0),
    "one replaces in another namespace": case(CREATE, program("view away, replace X"), OPEN),
    "one sweeps, refused": case(CREATE, program("view denied, create Y"), OPEN, slots=1),
}
LARGER: dict[str, tuple[Protocol | Election, int]] = {
    "three make the registry": (Election(FIND, FIND, FIND, rounds=1), 0),
    "with data, two openers": case(CREATE_CLOSE, OPEN_CLOSE, OPEN, data=True),
    "a sweep of two": case(program("create X, close X"), program("create Y"), program("create Z"), slots=2),
    "numbers of segments recur, a token used again": case(program("create X, close X, foreign"), CREATE_CLOSE, OPEN),
    "one goes to another namespace, or is killed": case(LEAVES, OPEN, CREATE),
    "a fork without handlers shares the spare, one opens": case(RAW_SHARED_SPARE, OPEN),
    "three create and close": case(CREATE_CLOSE, CREATE_CLOSE, CREATE_CLOSE, kills=1),
    "two openers, a token used again, two kills": case(TWICE, OPEN_CLOSE, OPEN, kills=2),
    "two create, two open": case(CREATE, CREATE_CLOSE, OPEN, OPEN_CLOSE, kills=0),
    "two tokens used again": case(TWICE, TWICE, OPEN, kills=0),
    "a thread forks, somebody is killed": case([TWICE, FORKS], OPEN, kills=1, threads=True),
    "a name is retired and made again, one opens": case(RETIRE_CLOSE, CREATE_CLOSE, OPEN),
    "a name is replaced or made": case(REPLACE, CREATE_CLOSE, OPEN),
    "a name is replaced twice": case(CREATE, REPLACE, REPLACE, OPEN, slots=3),
    "a replaced one closes, its token is used again": case(TWICE, REPLACE, OPEN, slots=3),
    "a name is replaced, two look": case(CREATE, REPLACE, OPEN_CLOSE, OPEN, kills=1),
    "a name is replaced and moves, two look": case(REPLACE_BEFORE, OPEN_CLOSE, OPEN, slots=3, kills=1),
    "a name is replaced, retired and made": case(CREATE, REPLACE, program("open X, retire X"), CREATE, slots=3, kills=0),
    "a fork shares the spare, somebody is killed": case(SHARED_SPARE, OPEN, kills=1),
}


@pytest.mark.parametrize("name", HOLDS)
def test_no_interleaving_breaks_the_protocol(name: str) -> None:
    protocol, kills = HOLDS[name]
    assert explore(protocol, kills) > 100


@pytest.mark.skipif(not LONG, reason="takes minutes; NAMEDSHM_MODEL=long runs it")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LARGER)
def test_no_interleaving_of_larger_cases_breaks_the_protocol(name: str) -> None:
    protocol, kills = LARGER[name]
    assert explore(protocol, kills, limit=30_000_000) > 10_000


FLAWS: dict[str, tuple[str, tuple[Protocol | Election, int]]] = {
    flaw: (found, (Election(FIND, FIND, flaw=flaw), 1))
    for flaw, found in [
        ("no second scan", "DOUBLE"),
        ("the session is told before the mark", "KEPT"),
        ("the session is told when it is ripe", "DOUBLE"),
        ("the lowest does not wait", "DOUBLE"),
        ("an unripe one is taken", "MIXED"),
    ]
} | {
    flaw: (found, case(*scripts, flaw=flaw, **{"kills": 0, **more}))
    for flaw, found, scripts, more in [
        ("no lock", "DOUBLE|LOST|MISSED|MIXED", [CREATE, CREATE], {}),
        ("no second look", "DOUBLE|LOST|MISSED", [CREATE, CREATE], {}),
        ("the slot of the first look", "LOST", [CREATE, CREATE, program("create Y")], {"kills": 1, "slots": 1}),
        ("the sweep asks nobody", "LOST", [CREATE, program("create Y")], {"slots": 1}),
        ("used is lowered past the living", "LOST", [CREATE_CLOSE, program("create Y")], {}),
        ("used stays", "LOST", [CREATE], {}),
        ("tidied without comparing", "LOST", [CREATE, CREATE, OPEN], {"kills": 1}),
        ("freed without the lock", "LOST", [CREATE, CREATE, OPEN], {"kills": 1}),
        ("the index is believed", "MIXED|RISEN", [CREATE_CLOSE, OPEN], {"kills": 1}),
        ("the id alone", "MIXED|RISEN", [CREATE, program("create Y, foreign"), OPEN], {"kills": 1}),
        ("the hash comes last", "LOST", [CREATE, CREATE, OPEN], {"kills": 2}),
        ("refilled while it can be found", "MIXED|RISEN", [CREATE, CREATE, OPEN], {"kills": 1}),
        ("published before it is filled", "UNFILLED", [CREATE, OPEN], {}),
        ("closing is not marked", "RISEN|MIXED|LOST", [CREATE_CLOSE, OPEN], {}),
        ("the opener does not look at the mark", "RISEN|MIXED|LOST", [CREATE_CLOSE, OPEN], {}),
        ("the opener does not look at the nonce again", "RISEN|MIXED|LOST", [TWICE, OPEN], {}),
        ("the nonce is looked at before the mark", "RISEN|MIXED|LOST", [CREATE_CLOSE, OPEN], {}),
        ("the mark goes before the name", "RISEN|MIXED|LOST", [CREATE_CLOSE, OPEN], {}),
        ("it asks before it marks", "RISEN|MIXED|LOST", [CREATE_CLOSE, OPEN], {}),
        ("the mark of a dead closer stays", "MISSED", [CREATE_CLOSE, OPEN, OPEN], {"kills": 1}),
        ("a change under way is an end", "MISSED", [CREATE_CLOSE, OPEN, OPEN], {}),
        ("a look in vain keeps the token", "KEPT|OUTLIVED", [CREATE_CLOSE, OPEN], {}),
        ("kept though others hold", "LOST|RISEN", [CREATE_CLOSE, OPEN], {}),
        ("kept, and the name stays", "RISEN|OUTLIVED", [CREATE_CLOSE, OPEN], {}),
        ("a shared spare is taken", "SHARED|RISEN", [RAW_SHARED_SPARE], {}),
        ("the spare's place first", "TORN", [[TWICE, RAW_FORK]], {"threads": True}),
        ("no fork lock", "INHERITED", [[CREATE, FORKS]], {"threads": True}),
        ("the kernel is not told of the lock", "STUCK", [CREATE, CREATE], {"kills": 1}),
        ("refused is dead", "LOST|MISSED", [CREATE, DENIED], {}),
        ("the registry is not asked for", "LOST|MISSED", [CREATE, COMES_AWAY], {}),
        ("the registry is told by its id", "LOST|MISSED", [CREATE, COMES_AWAY], {}),
        ("missing elsewhere is dead", "LOST|MISSED", [CREATE, COMES_AWAY], {}),
        ("retired without comparing", "LOST", [program("create X, retire X, retire X"), CREATE], {}),
        ("a retired name is let go again", "LOST", [RETIRE_CLOSE, CREATE], {}),
        ("the old one goes first", "LOST|MISSED", [CREATE, REPLACE, OPEN], {}),
        ("moves are not told", "MISSED", [REPLACE_BEFORE, OPEN], {"slots": 3}),
        ("the old one is not marked", "RETURNED", [CREATE, REPLACE, OPEN], {}),
        ("nobody ends a replacement", "RETURNED", [CREATE, REPLACE, OPEN], {"kills": 1}),
        ("alone is asked by id", "LOST|MISSED", [program("create X, view away, close X"), OPEN], {}),
    ]
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_planted_bug_is_found(flaw: str) -> None:
    found, (protocol, kills) = FLAWS[flaw]
    with pytest.raises(Violation, match=f"^({found})"):
        explore(protocol, kills)
