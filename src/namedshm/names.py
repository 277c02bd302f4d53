r"""Names of objects: ``x`` and ``Local\x`` (this user or session), ``Global\x`` (the machine).

The rules are those of Windows kernel object names, the same on every system: case matters, also in the prefix; anything but a
backslash may follow; up to 259 characters after the prefix.  This module knows nothing of how a backend stores a name.
"""

from __future__ import annotations

from . import errors

__all__ = ["MAX_LENGTH", "Name"]

#: Longest name, in characters, without its prefix (Windows: MAX_PATH less the terminator).
MAX_LENGTH = 259

_BARE_PREFIXES = ("Global", "Local", "Session")


class Name:
    r"""A valid name, split into scope and bare name.

    Attributes:
        text: as the caller wrote it, for messages and ``repr``.
        bare: without prefix, what is compared.
        is_global: whether it lives in ``Global\``.
    """

    __slots__ = ("bare", "is_global", "text")

    text: str
    bare: str
    is_global: bool

    def __init__(self, text: str) -> None:
        if type(text) is not str and not isinstance(text, str):
            raise TypeError(f"a name is a string, not {type(text).__name__}")
        self.text = text
        if "\\" not in text and text not in _BARE_PREFIXES:
            self.bare = text
            self.is_global = False
        else:
            self.is_global, self.bare = _split(text)
        if not text or len(self.bare) > MAX_LENGTH or "\0" in text:
            raise _unusable(text, self.bare)

    @property
    def canonical(self) -> str:
        r"""``Global\x`` or plain ``x``: one spelling per object."""
        return f"Global\\{self.bare}" if self.is_global else self.bare

    def __repr__(self) -> str:
        return f"Name({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Name):
            return NotImplemented
        return self.bare == other.bare and self.is_global == other.is_global

    def __hash__(self) -> int:
        return hash((self.bare, self.is_global))


def _split(text: str) -> tuple[bool, str]:
    if text in _BARE_PREFIXES:
        raise errors.InvalidName(
            f"{text!r} is a namespace, not an object: add a name, as in '{text}\\frames'",
            winerror=errors.ERROR_INVALID_HANDLE,
            name=text,
        )
    if text.startswith("\\"):
        raise errors.InvalidName(
            f"The name {text!r} starts with a backslash: leave it out",
            winerror=errors.ERROR_BAD_PATHNAME,
            name=text,
        )
    prefix, _, bare = text.partition("\\")
    if prefix not in ("Global", "Local") or "\\" in bare:
        raise errors.InvalidName(
            f"The name {text!r} contains a backslash that is not part of 'Global\\' or 'Local\\' (case matters): "
            "use another separator, for example '/'",
            winerror=errors.ERROR_PATH_NOT_FOUND,
            name=text,
        )
    if not bare:
        raise errors.InvalidName(
            f"{text!r} is a prefix without a name: add one, as in '{text}frames'",
            winerror=errors.ERROR_INVALID_NAME,
            name=text,
        )
    return prefix == "Global", bare


def _unusable(text: str, bare: str) -> errors.InvalidName:
    if not text:
        return errors.InvalidName(
            "An empty string is not a name: pass None for an unnamed section",
            winerror=errors.ERROR_INVALID_HANDLE,
            name=text,
        )
    if "\0" in text:
        return errors.InvalidName(f"The name {text!r} contains a NUL character: leave it out", name=text)
    return errors.InvalidName(
        f"The name {text[:40]!r}... has {len(bare)} characters, at most {MAX_LENGTH} are allowed: shorten it",
        winerror=errors.ERROR_FILENAME_EXCED_RANGE,
        name=text,
    )
