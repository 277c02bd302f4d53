"""The exceptions for numbers of GetLastError(): what failed, the call, and what to do about it."""

from __future__ import annotations

from namedshm import errors

__all__ = ["failure"]

_REMEDIES: dict[int, tuple[type[errors.NamedShmError], str]] = {
    2: (errors.NotFound, "nobody holds that name; create it first, and keep a handle open"),
    3: (errors.InvalidName, "use no backslash but that of 'Global\\' or 'Local\\'"),
    5: (
        errors.AccessDenied,
        "the object's rights do not let this user in; ask its creator for a wider mode",
    ),
    8: (errors.OutOfResources, "not enough memory or address space; free some or ask for less"),
    14: (errors.OutOfResources, "not enough memory; free some or ask for less"),
    50: (errors.Unsupported, "this system cannot do it"),
    87: (errors.InvalidArgument, "Windows does not accept this combination of size, range and access"),
    112: (errors.OutOfResources, "the disk is full; free some space"),
    120: (errors.Unsupported, "this system does not have the call"),
    123: (errors.InvalidName, "choose another name"),
    161: (errors.InvalidName, "leave out the leading backslash"),
    183: (errors.AlreadyExists, "somebody holds it; open it, or choose another name"),
    206: (errors.InvalidName, "choose a shorter name"),
    487: (errors.InvalidArgument, "that range is not mapped"),
    288: (errors.NotOwned, "this thread does not own it; the thread that acquired it releases it, as often as it acquired it"),
    298: (errors.LimitExceeded, "its count would exceed its maximum, and stays as it was; release as often as was acquired"),
    1006: (errors.InvalidArgument, "the file is empty; give a size"),
    1132: (errors.InvalidArgument, "offsets are multiples of 65,536"),
    1332: (errors.InvalidArgument, "there is no account of that name"),
    1450: (errors.OutOfResources, "the system has no resources left; close something"),
    1455: (errors.OutOfResources, "the paging file is too small; close something, enlarge it or ask for less"),
    1460: (errors.NamedShmError, "another process was stopped while creating it; let it continue, or end it"),
}


def failure(code: int, call: str, name: str | None, doing: str, what: str = "section") -> errors.NamedShmError:
    """The exception for GetLastError ``code``: what failed, the call, and what to do about it.

    ``doing`` is a verb and what belongs to it; ``{}`` in it stands for the object, a ``what``.
    """
    kind, remedy = _REMEDIES.get(code, (errors.NamedShmError, "see the error number in Microsoft's list of system error codes"))
    creating = doing.startswith("create")
    if code == 6:
        if creating or doing == "open {}":
            kind, remedy = errors.WrongType, "an object of another type holds that name; choose another"
        else:
            kind, remedy = errors.ClosedHandle, "the handle is not open in this process"
    elif code == 5 and creating and name is not None and name.startswith("Global\\"):
        remedy = (
            "creating in Global\\ needs the privilege SeCreateGlobalPrivilege, which services and administrators have "
            "(Local Security Policy, User Rights Assignment, 'Create global objects'); opening needs no privilege"
        )
    elif code == 5 and what == "section" and doing == "open {}":
        remedy += ", or ask for access 'read' if that is allowed and enough"
    elif code == 8 and creating and what == "section":
        remedy = "not enough memory or address space, or a file that is shorter and cannot grow; ask for less"
    elif code == 87 and creating and what == "section":
        kind, remedy = errors.OutOfResources, "the size is more than this system can have; ask for less"
    elif code == 87 and call == "OpenProcess":
        remedy = "there is no such process"
    text = doing.replace("{}", f"an unnamed {what}" if name is None else f"{what} {name!r}")
    return kind(f"Cannot {text}: {call} failed; {remedy}", winerror=code, name=name, call=call)
