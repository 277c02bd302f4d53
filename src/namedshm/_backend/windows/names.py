r"""Names of kernel objects: of what stands beside a section, and how the kernel's paths are written by users."""

from __future__ import annotations

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from namedshm.names import Name

    from ..contract import Kind

__all__ = ["beside", "companion", "folders", "hidden", "is_own", "kind_of", "name_of"]

_SUFFIX = "|namedshm"
_LOCK_SUFFIX = _SUFFIX + "-lock"
#: Of a queue's events, of a process's proof of life, and of a queue without a name: include/namedshm/queue_*_windows.h.
_OTHERS = tuple(_SUFFIX + more for more in ("-bell", "-life", "-life-global", "-unnamed"))
#: A companion's name must itself be a name: longer ones end in a digest instead.
_PLAIN_LENGTH = 120

_TYPES: dict[str, Kind | Literal["section"]] = {
    "Section": "section",
    "Mutant": "mutex",
    "Event": "event",
    "Semaphore": "semaphore",
}


def _base(bare: str) -> str:
    if len(bare) <= _PLAIN_LENGTH:
        return bare
    from hashlib import sha256  # late: it costs more than the rest of this module, and names are rarely this long

    return bare[:40] + sha256(bare.encode("utf-8", "surrogatepass")).hexdigest()


def beside(name: Name) -> tuple[str, str]:
    """The names of a section's companion and creation lock."""
    base = ("Global\\" if name.is_global else "") + _base(name.bare)
    return base + _SUFFIX, base + _LOCK_SUFFIX


def hidden() -> tuple[str, str, str]:
    """Names of section, companion and creation lock for a queue that has no name, which nobody else chooses."""
    import os

    bare = os.urandom(16).hex() + _SUFFIX + "-unnamed"
    return bare, bare + _SUFFIX, bare + _LOCK_SUFFIX


def companion(name: str) -> str:
    """The name of a section's companion, from its own as :func:`name_of` gives it."""
    prefix = "Global\\" if name.startswith("Global\\") else ""
    return prefix + _base(name[len(prefix) :]) + _SUFFIX


def is_own(bare: str) -> bool:
    """Whether an object of that name is one that this package keeps beside others."""
    return bare.endswith((_SUFFIX, _LOCK_SUFFIX, *_OTHERS))


def kind_of(type: str) -> Kind | Literal["section"] | None:
    """What this package calls the kernel's type of an object; None for those that it does not have."""
    return _TYPES.get(type)


def folders() -> list[tuple[str, str]]:
    r"""The object directories where names live, with the prefix their names have here.  In session 0 the two are one."""
    session = native.session_id()
    machine = "\\BaseNamedObjects"
    return [("", f"\\Sessions\\{session}{machine}"), ("Global\\", machine)] if session else [("", machine)]


def name_of(path: str) -> str | None:
    r"""A name as users write it from an object's full path; None for an unnamed object."""
    folder, _, bare = path.rpartition("\\")
    for prefix, known in folders():
        if folder == known:
            return prefix + bare
    return path or None
