"""What a mutex, event or semaphore is at this moment (``inspection.state``), in words."""

from __future__ import annotations

from . import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["in_words"]


def in_words(state: dict[str, Any]) -> str:
    match state:
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
