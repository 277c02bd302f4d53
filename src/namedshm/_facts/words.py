"""Snapshots (ObjectInfo) in words: who made an object, how old it is, how big.  Reads /proc; opens no object."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from namedshm.inspection import ObjectInfo

__all__ = ["age", "as_json", "command_of", "count", "creator", "mode_text", "printable", "process_of", "size", "user", "when"]


def printable(text: str) -> str:
    """The text with control characters escaped: a name of another user must not be able to drive this terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def size(number: int | None) -> str:
    if number is None:
        return "-"
    if number < 1024:
        return f"{number} B"
    value = float(number)
    units = ["TiB", "GiB", "MiB", "KiB"]
    value /= 1024
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop()
    return f"{value:.1f} {units[-1]}"


def count(number: int | None) -> str:
    return "-" if number is None else str(number)


def age(created: float | None, now: float | None = None) -> str:
    if created is None:
        return "-"
    seconds = max(0, int((time.time() if now is None else now) - created))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def when(created: float | None) -> str:
    """A moment, and how long ago it was."""
    if created is None:
        return "-"
    from datetime import datetime

    return f"{datetime.fromtimestamp(created).astimezone().isoformat(sep=' ', timespec='seconds')} ({age(created)} ago)"


def user(uid: int | None) -> str | None:
    """Name of a user, or the number as text; None if the system does not tell."""
    if uid is None:
        return None
    if sys.platform != "win32":
        import pwd

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            pass
    return str(uid)


def command_of(info: ObjectInfo) -> str | None:
    """Command line of the creator; None if it ended, or if its number now belongs to another process."""
    pid = info.creator_pid
    if sys.platform != "linux" or pid is None or info.created is None:
        return None
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        with open("/proc/uptime", encoding="ascii") as file:
            running_since = time.time() - (float(file.read().split()[0]) - started)
        if running_since > info.created + 2 or os.stat(f"/proc/{pid}").st_uid != info.creator_uid:
            return None
        with open(f"/proc/{pid}/cmdline", "rb") as raw:
            words = raw.read().rstrip(b"\0").split(b"\0")
    except (OSError, ValueError, IndexError):
        return None
    words[0] = words[0].rpartition(b"/")[2]
    return b" ".join(words).decode("utf-8", "backslashreplace") or None


def process_of(thread: int) -> str:
    """`` of process 4711 python3 camera.py`` where the system tells (Linux), else nothing."""
    try:
        with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as file:
            group = next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
        with open(f"/proc/{group}/cmdline", "rb") as raw:
            words = raw.read().rstrip(b"\0").split(b"\0")
    except (OSError, ValueError, StopIteration):
        return ""
    words[0] = words[0].rpartition(b"/")[2]
    return f" of process {group} {printable(b' '.join(words).decode('utf-8', 'backslashreplace'))}"


def creator(info: ObjectInfo) -> str:
    """``4711 python3 camera.py``, shortened for a table."""
    if info.creator_pid is None:
        return "-"
    text = command_of(info)
    if text is None:
        return f"{info.creator_pid} (ended)" if sys.platform == "linux" else str(info.creator_pid)
    text = printable(text)
    return f"{info.creator_pid} {text if len(text) <= 40 else text[:37] + '...'}"


def mode_text(info: ObjectInfo) -> str:
    return "-" if info.mode is None else f"{info.mode:04o}"


def as_json(info: ObjectInfo) -> dict[str, Any]:
    """All fields of the snapshot, and the creator's command and user."""
    return {
        "name": info.name,
        "type": info.type,
        "size": info.size,
        "handles": info.handles,
        "mappings": info.mappings,
        "resident": info.resident,
        "mode": None if info.mode is None else f"{info.mode:04o}",
        "created": info.created,
        "identity": f"{info.identity:#018x}",  # as text: readers of JSON make floats of numbers, which have 53 bits
        "creator_pid": info.creator_pid,
        "creator_uid": info.creator_uid,
        "creator_user": user(info.creator_uid),
        "creator_command": command_of(info),
    }
