r"""Who may create in ``Global\``."""

from __future__ import annotations

import grp
import os
import pwd

from namedshm import errors

CONFIG = "/etc/namedshm.conf"


class GlobalPolicy:
    r"""Who may create in ``Global\``: root, and one group the administrator named in the configuration file.

    The environment variable NAMEDSHM_CONFIG names another file; it changes what this process believes, not what it may do.
    """

    def path(self) -> str:
        return os.environ.get("NAMEDSHM_CONFIG", CONFIG)

    def group(self) -> int:
        """Number of the group that may create, or -1: also where the file cannot be read or names no group that exists.

        Opening needs no grant, so a broken file must not stop it; creating then fails with what to do.
        """
        try:
            with open(self.path(), encoding="utf-8") as file:
                lines = file.readlines()
        except (OSError, ValueError):
            return -1
        for line in lines:
            key, _, value = line.partition("#")[0].partition("=")
            if key.strip() == "global-creators":
                try:
                    return group_number(value.strip())
                except errors.InvalidArgument:
                    return -1
        return -1

    def may_create(self) -> bool:
        group = self.group()
        return os.geteuid() == 0 or (group >= 0 and (group == os.getegid() or group in os.getgroups()))

    def trusts(self, uid: int, group: int) -> bool:
        """Whether a registry made by this user may be believed: root's, or a member's of the granted group."""
        if uid == 0:
            return True
        if group < 0:
            return False
        if uid == os.geteuid():
            return self.may_create()
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            return False
        return group in os.getgrouplist(user.pw_name, user.pw_gid)


def group_number(group: str | int) -> int:
    """Number of a group given by name or number.  Raises InvalidArgument."""
    if isinstance(group, str) and group.isascii() and group.isdigit():
        group = int(group)
    if isinstance(group, int) and not isinstance(group, bool):
        if not 0 <= group < 0xFFFFFFFF:
            raise errors.InvalidArgument(f"{group} is not the number of a group")
        return group
    if not isinstance(group, str):
        raise TypeError(f"a group is a name or a number, not {type(group).__name__}")
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise errors.InvalidArgument(f"There is no group {group!r}: use a name or number from getent group") from None
