"""What threads wait for, and what is in a queue or a topic, at this moment (``inspection.state``), in words."""

from __future__ import annotations

from . import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["in_words"]


def in_words(state: dict[str, Any]) -> str:
    match state:
        case {"messages": int(messages), "capacity": int(capacity), "producers": int(producers), "consumers": int(consumers)}:
            return (
                f"{messages} of {capacity} messages, {_several(producers, 'producer')}, {_several(consumers, 'consumer')}"
                f"{', shut down' if state['shut_down'] else ''}"
            )
        case {"values": str(values), "published": int(published), "writers": int(writers), "waiting": int(waiting)}:
            facts = [f"{words.printable(values)}: {_several(published, 'value')}"]
            if state["age"] is not None:
                facts.append(f"the last {state['age']:.1f} s ago")
            facts.append(_several(writers, "writer"))
            if waiting:
                facts.append(f"{_several(waiting, 'thread')} waiting")
            return ", ".join([*facts, "shut down"] if state["shut_down"] else facts)
        case {"readers": int(readers), "writing": False}:
            return f"{readers} thread{'s read' if readers > 1 else ' reads'}" if readers else "free"
        case {"waiting": int(waiting)}:
            return f"{waiting} thread{'s wait' if waiting != 1 else ' waits'}"
        case {"writing": True, "owner": int(owner)}:
            return f"written by thread {owner}{words.process_of(owner)}"
        case {"writing": True}:
            return "written"
        case {"locked": False}:
            return "free"
        case {"owner": int(owner)}:
            return f"owned by thread {owner}{words.process_of(owner)}"
        case {"locked": True}:
            return "owned"
        case {"set": is_set}:
            return "set" if is_set else "not set"
        case _:
            return f"{state['value']} can be taken"


def _several(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
