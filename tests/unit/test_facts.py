"""What is told of an object is told of every type, from one place (``_facts``)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, get_args

import pytest
from helpers.extras import needs

import namedshm
from namedshm import inspection, sync
from namedshm._backend.contract import Kind
from namedshm._facts.content import Content
from namedshm._facts.looking import COLUMNS, Look, look
from namedshm._sync import objects
from namedshm.records import Record

#: By type: how one is made, and what is told of it as it is then.
OBJECTS: dict[str, tuple[Callable[[str], Any], dict[str, Any], str]] = {
    "mutex": (namedshm.Mutex, {"locked": False, "owner": None}, "free"),
    "event": (lambda name: namedshm.Event(name, initial=True), {"set": True}, "set"),
    "semaphore": (lambda name: namedshm.Semaphore(name, initial=3), {"value": 3}, "3 can be taken"),
}


class Settings(Record):
    gain: float = 0.5


def _array(name: str) -> Any:
    needs("numpy")
    from namedshm import arrays

    return arrays.create(name, (2, 3), "u1")


def _table(name: str) -> Any:
    pa = needs("pyarrow")
    needs("rich")
    from namedshm import arrow

    return arrow.publish(name, pa.table({"price": [1, 2, 3]}))


#: By kind of content: how a section of it is made, and what is told.
CONTENTS: dict[str, tuple[Callable[[str], Any], str]] = {
    "bytes": (lambda name: namedshm.create(name, 200), "bytes"),
    "array": (_array, "array of shape (2, 3), dtype uint8, order C"),
    "record": (Settings.create, "record, version 1"),
    "lock": (sync.RWLock, "reader-writer lock"),
    "condition": (lambda name: sync.Condition(name), "condition with the mutex {name}|mutex"),
    "table": (_table, "Arrow table of 3 rows and 1 columns"),
}


def test_no_type_and_no_content_is_left_out() -> None:
    assert set(OBJECTS) == set(get_args(Kind)) == set(objects.BY_TYPE) == set(inspection._STATES)
    assert set(CONTENTS) == set(get_args(_literal(Content, "kind")))


def _literal(cls: type, field: str) -> Any:
    from typing import get_type_hints

    return get_type_hints(cls)[field]


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_state_is_told_in_words_and_as_json(kind: str, name: str) -> None:
    make, state, words = OBJECTS[kind]
    held = make(name)
    seen = look(name, 80)
    assert seen.info.type == kind
    assert seen.state == state
    assert dict(seen.rows())["state"] == words
    assert json.loads(json.dumps(seen.as_json()))["state"] == state
    held.close()


def test_the_state_of_a_queue_is_told(name: str) -> None:
    with namedshm.Queue.create(name, 4) as queue:
        queue.put(b"x")
        seen = look(name, 80)
        assert dict(seen.rows())["state"] == "1 of 4 messages, 1 producer, no consumers"
        told = {"messages": 1, "capacity": 4, "producers": 1, "consumers": 0, "shut_down": False}
        assert json.loads(json.dumps(seen.as_json()))["state"] == told


def test_the_owner_of_a_mutex_is_told(name: str) -> None:
    mutex = namedshm.Mutex(name, owned=True)
    if mutex.owner is None:
        pytest.skip("this system does not tell")
    assert dict(look(name, 80).rows())["state"].startswith(f"owned by thread {mutex.owner}")
    mutex.release()


@pytest.mark.parametrize("kind", CONTENTS)
def test_the_content_is_told(kind: str, name: str) -> None:
    make, summary = CONTENTS[kind]
    held = make(name)
    seen = look(name, 80)
    assert seen.content is not None
    assert (seen.content.kind, seen.content.summary) == (kind, summary.format(name=name))
    assert seen.as_json()["content"]["kind"] == kind
    assert (seen.first is not None) == (kind == "bytes")
    assert dict(seen.rows()).get("state") == {"lock": "free", "condition": "0 threads wait"}.get(kind)
    held.close()


def test_as_many_bytes_as_are_asked_for(name: str) -> None:
    with namedshm.create(name, 300) as section:
        section.map()[:3] = b"abc"
        assert look(name, 80, 5).first == b"abc\0\0"
        assert look(name, 80, 0).first is None
        assert len(look(name, 80, 1000).first or b"") == 300


def test_a_list_has_a_column_for_each_fact(name: str) -> None:
    with namedshm.create(name, 1024):
        info = namedshm.describe(name)
        told = {title: text(info) for title, _, text in COLUMNS}
        assert (told["NAME"], told["TYPE"], told["SIZE"]) == (name, "section", "1.0 KiB")
        assert str(os.getpid()) in told["CREATOR"] or info.creator_pid is None


def test_names_of_others_cannot_drive_the_terminal(name: str) -> None:
    hostile = f"{name}\x1b[31m"
    with namedshm.create(hostile, 1):
        seen = look(hostile, 80)
        assert isinstance(seen, Look)
        assert "\x1b" not in "".join(text for _, text in seen.rows())
