"""A queue in words and as JSON: its settings, what went through it, who takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from typing import Any

    from namedshm.queue import Queue

__all__ = ["details", "rows"]


def details(queue: Queue) -> dict[str, Any]:
    """All facts of about one moment, as JSON has them."""
    figures = queue.statistics()
    return {
        "capacity": queue.capacity,
        "max_size": queue.max_size,
        "chunks": queue.chunks,
        "ack": queue.ack,
        "end_with_producers": queue.end_with_producers,
        "overflow": queue.overflow,
        "shut_down": queue.is_shut_down,
        **{name: getattr(figures, name) for name in type(figures).__annotations__ if name != "awaited"},
        "participants": [
            {"pid": one.pid, "uid": one.uid, "producer": one.producer, "consumer": one.consumer, "alive": one.alive}
            for one in queue.participants()
        ],
    }


def rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as a label and a text each."""
    manner = [
        text
        for text, is_so in (
            ("acknowledges", facts["ack"]),
            ("ends with its producers", facts["end_with_producers"]),
            ("drops the oldest when it is full", facts["overflow"] == "drop_oldest"),
        )
        if is_so
    ]
    got = [f"{facts['got']} messages, {facts['got_bytes']} bytes ({words.size(facts['got_bytes'])})"]
    got += [f"{facts['held']} being read or worked on"] if facts["held"] else []
    got += [f"{facts['redelivered']} delivered again"] if facts["redelivered"] else []
    got += [f"{facts['dropped']} dropped"] if facts["dropped"] else []
    return [
        ("limits", f"messages of {facts['max_size']} bytes ({words.size(facts['max_size'])}), {facts['free_chunks']} of "
         f"{facts['chunks']} chunks free"),
        *([("manner", ", ".join(manner))] if manner else []),
        ("put", f"{facts['put']} messages, {facts['put_bytes']} bytes ({words.size(facts['put_bytes'])})"),
        ("got", "; ".join(got)),
        *((_role(one), _process(one)) for one in facts["participants"]),
    ]  # fmt: skip


def _role(one: dict[str, Any]) -> str:
    return "both" if one["producer"] and one["consumer"] else "producer" if one["producer"] else "consumer"


def _process(one: dict[str, Any]) -> str:
    if one["alive"] is False:
        return f"process {one['pid']}, which has ended"
    return words.process_of(one["pid"]).removeprefix(" of ") or f"process {one['pid']}"
