"""Who may do what: security descriptors from permission bits."""

from __future__ import annotations

from namedshm import errors

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..contract import Kind

__all__ = ["of_bell", "of_lock", "of_section", "of_sync"]

#: Lets every user wait for and release a creation lock; without it, a creator of another user would meet "access denied".
_LOCK_SDDL = "D:(A;;0x1F0001;;;SY)(A;;0x100001;;;WD)(A;;0x1F0001;;;{user})"

# Rights of a section: query, map for reading, read the descriptor; map for writing; map for executing.
_READ_RIGHTS = 0x20005
_WRITE_RIGHTS = 0x2
_EXECUTE_RIGHTS = 0x8
# Rights of the other objects: wait, read the descriptor; change the state, and look at it, which waiting in asyncio needs.
_WAIT_RIGHTS = 0x120000
_LOOK_RIGHTS = 0x20000
_MODIFY_RIGHTS: dict[Kind, int] = {"mutex": 0x1, "event": 0x3, "semaphore": 0x3}

_lock_security: native.Descriptor | None = None


def of_lock() -> native.Descriptor:
    global _lock_security
    if _lock_security is None:
        _lock_security = native.Descriptor(_LOCK_SDDL.format(user=native.user_sid()))
    return _lock_security


def of_section(mode: int, group: str | int | None, executable: bool) -> tuple[native.Descriptor, native.Descriptor]:
    """Security of a section and of its companion, from permission bits.

    Others may read the companion if they have any right to the section, and write it never.
    """
    execute = _EXECUTE_RIGHTS if executable else 0
    section = _access_list(mode, group, _READ_RIGHTS | execute, _WRITE_RIGHTS | execute)
    companion = _access_list(mode, group, _READ_RIGHTS, _READ_RIGHTS)
    return native.Descriptor(section), native.Descriptor(companion)


def of_sync(kind: Kind, mode: int, group: str | int | None) -> native.Descriptor:
    """Who may read may wait; who may write may release, set and reset."""
    return native.Descriptor(_access_list(mode, group, _WAIT_RIGHTS, _MODIFY_RIGHTS[kind]))


def of_bell(mode: int, group: str | int | None) -> native.Descriptor:
    """Who may write a queue sleeps on its events and sets them; who may only read it must not take a wake-up away."""
    return native.Descriptor(_access_list(mode, group, _LOOK_RIGHTS, _WAIT_RIGHTS | _MODIFY_RIGHTS["event"]))


def _access_list(mode: int, group: str | int | None, read: int, write: int) -> str:
    """The user and the system may do everything, group and others what the mode says."""
    text = f"D:(A;;GA;;;SY)(A;;GA;;;{native.user_sid()})"
    for shift, others in ((3, False), (0, True)):
        bits = mode >> shift & 6
        if bits:
            rights = (read if bits & 4 else 0) | (write if bits & 2 else 0)
            text += f"(A;;{rights:#x};;;{'WD' if others else _group_sid(group)})"
    return text


def _group_sid(group: str | int | None) -> str:
    if group is None:
        return native.group_sid()
    if isinstance(group, int):
        raise errors.InvalidArgument(
            f"group {group}: groups have no numbers on Windows, give the name, for example 'Users', or a SID as text",
            call="create",
        )
    return group if group.startswith("S-1-") else native.account_sid(group)
