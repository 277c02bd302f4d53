"""SECURITY_ATTRIBUTES: who else may use an object, and whether children inherit the handle."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SECURITY_ATTRIBUTES:
    """Who else may use the object.  ``mode`` and ``group`` stand for a security descriptor: see :func:`namedshm.create`."""

    __module__ = "namedshm.win32"

    def __init__(self, bInheritHandle: bool = False, *, mode: int = 0o600, group: str | int | None = None) -> None:
        self.bInheritHandle: bool = bInheritHandle
        self.mode: int = mode
        self.group: str | int | None = group


def security(attributes: SECURITY_ATTRIBUTES | dict[str, Any] | None) -> tuple[int, str | int | None, bool]:
    """Mode, group and inheritance: of a SECURITY_ATTRIBUTES, of a dict with its fields, or the defaults."""
    facts = attributes if isinstance(attributes, dict) else vars(attributes) if attributes else {}
    return facts.get("mode", 0o600), facts.get("group"), bool(facts.get("inherit", facts.get("bInheritHandle", False)))
