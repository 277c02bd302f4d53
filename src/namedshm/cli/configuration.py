r"""The line ``global-creators = GROUP`` in /etc/namedshm.conf, or in the file NAMEDSHM_CONFIG names.  Linux only.

Reading it is ``_backend/linux/rights.py``; here it is written, in one step, and other lines are kept.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import sys

from namedshm._backend.linux.rights import GlobalPolicy

assert sys.platform == "linux"

__all__ = ["group_name", "members", "path", "write"]

_COMMENT = "# Who may create objects in Global\\ besides root; written by 'namedshm grant'.\n"
_KEY = "global-creators"


def path() -> str:
    return os.path.realpath(GlobalPolicy().path())


def write(group: str | None) -> None:
    """Name the group that may create, or with None nobody; a file that would be empty is removed.  Raises: OSError."""
    target = path()
    try:
        with open(target, encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines(keepends=True) if line != _COMMENT and not _is_ours(line)]
    except FileNotFoundError:
        lines = []
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if group is not None:
        lines += [_COMMENT, f"{_KEY} = {group}\n"]
    elif not any(line.strip() for line in lines):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        return
    new = f"{target}.{os.getpid()}.new"  # replaced in one step: nobody reads half a file
    try:
        with open(new, "x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, target)
    except OSError:
        if os.path.exists(new):
            os.unlink(new)
        raise


def _is_ours(line: str) -> bool:
    return line.partition("#")[0].partition("=")[0].strip() == _KEY


def group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def members(group: str) -> list[str]:
    """Users of this machine's database that are in the group."""
    try:
        entry = grp.getgrgid(int(group)) if group.isdigit() else grp.getgrnam(group)
    except KeyError:
        return []
    return sorted({*entry.gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == entry.gr_gid)})
