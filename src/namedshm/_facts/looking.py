"""All facts about one object, of one moment; and those that a list of objects has in a row each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from namedshm import errors, inspection, section
from namedshm._backend import backend

from . import queues, states, words
from .content import Content, content

if TYPE_CHECKING:
    from collections.abc import Callable

    from namedshm.inspection import ObjectInfo

__all__ = ["COLUMNS", "Look", "look"]

_FEW = 128  # bytes to show of what has no better preview

#: Of a list: title, whether it is a number, text; the most important first.
COLUMNS: tuple[tuple[str, bool, Callable[[ObjectInfo], str]], ...] = (
    ("NAME", False, lambda info: words.printable(info.name)),
    ("TYPE", False, lambda info: info.type),
    ("SIZE", True, lambda info: words.size(info.size)),
    ("HANDLES", True, lambda info: words.count(info.handles)),
    ("MAPPINGS", True, lambda info: words.count(info.mappings)),
    ("USED", True, lambda info: words.size(info.resident)),
    ("AGE", True, lambda info: words.age(info.created)),
    ("USER", False, lambda info: words.user(info.creator_uid) or "-"),
    ("CREATOR", False, words.creator),
)


class Look(NamedTuple):
    """What there was to see.

    Attributes:
        info: the snapshot.
        state: of what threads wait for, as ``inspection.state`` gives it; empty where this user may not look.
        content: of a section; None where it could not be read.
        first: the first bytes of a section, where they are to be shown.
        denied: why a section or a queue could not be read.
        queue: of a queue, what ``queues.details`` gives.
    """

    info: ObjectInfo
    state: dict[str, Any]
    content: Content | None = None
    first: bytes | None = None
    denied: str = ""
    queue: dict[str, Any] | None = None

    def rows(self) -> list[tuple[str, str]]:
        """Every fact as a label and a text."""
        info = self.info
        command = words.command_of(info)
        if command is None:
            command = "(ended)" if info.creator_pid is not None else "-"
        rows = [
            ("name", words.printable(info.name)),
            ("type", info.type),
            ("size", f"{info.size} bytes ({words.size(info.size)})"),
            ("used", "-" if info.resident is None else f"{words.size(info.resident)} of memory"),
            ("handles", f"{words.count(info.handles)} (they keep the name)"),
            ("mappings", f"{words.count(info.mappings)} (with the handles they keep the memory)"),
            ("mode", words.mode_text(info)),
            ("user", words.user(info.creator_uid) or "-"),
            ("creator", f"{words.count(info.creator_pid)} {words.printable(command)}"),
            ("created", words.when(info.created)),
            ("identity", f"{info.identity:#018x}"),
        ]
        if self.state:
            rows.append(("state", states.in_words(self.state)))
        if self.queue is not None:
            rows += queues.rows(self.queue)
        return rows

    def as_json(self) -> dict[str, Any]:
        fact = words.as_json(self.info)
        if self.content is not None:
            fact["content"] = self.content.details
        if self.state:
            fact["state"] = self.state
        if self.queue is not None:
            fact["queue"] = self.queue
        return fact


def look(name: str, width: int, length: int | None = None) -> Look:
    """Look at an object; a section is open for reading meanwhile.

    Args:
        width: of the content's preview, characters.
        length: how many of the first bytes to show; None: as many as make sense for such content.

    Raises: NotFound; InvalidName.
    """
    info = inspection.describe(name)
    if info.type == "queue":
        return _look_at_queue(info)
    if info.type != "section":
        return Look(info, _state(name))
    try:
        with section.open(name, "read") as opened, opened.map() as view:
            reach = backend.reach(view)  # of a reserved section only what is committed may be read
            found = content(name, view, reach, width)
            if length is None:
                length = _FEW if found.kind == "bytes" else 0
            state = _state(name) if found.kind in ("lock", "condition") else {}
            return Look(info, state, found, view[: min(length, reach)] if length else None)
    except errors.AccessDenied as error:
        return Look(info, {}, denied=str(error))


def _look_at_queue(info: ObjectInfo) -> Look:
    from namedshm.queue import Queue  # most who look never need it

    try:
        with Queue.open(info.name, "read") as queue:
            facts = queues.details(queue)
    except (errors.AccessDenied, errors.NotFound, errors.WrongType) as error:
        return Look(info, {}, denied=str(error))
    return Look(info, _state(info.name), queue=facts)


def _state(name: str) -> dict[str, Any]:
    try:
        return inspection.state(name)
    except (errors.AccessDenied, errors.NotFound):  # it went meanwhile: the rest was true a moment ago
        return {}
