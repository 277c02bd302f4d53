"""Is there memory for a large section?  The machine's and the cgroup's answer, before anything is made."""

from __future__ import annotations

import os

from namedshm import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm.names import Name


def available_memory() -> tuple[int, str]:
    """Bytes that could be touched now, and what limits them: the machine or the tightest cgroup (v2, or v1's memory)."""
    limit, cause = _machine_memory(), "the machine's memory and swap"
    for directory, maximum, current in _cgroup_files():
        try:
            with open(os.path.join(directory, maximum), encoding="ascii") as file:
                text = file.read().strip()
            if text == "max":
                continue
            with open(os.path.join(directory, current), encoding="ascii") as file:
                used = int(file.read())
            room = max(0, int(text) - used + _reclaimable(directory))
        except (OSError, ValueError):
            continue
        if room < limit:
            limit, cause = room, f"the memory limit of the cgroup {directory}"
    return limit, cause


def _machine_memory() -> int:
    total = 0
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith(("MemAvailable:", "SwapFree:")):
                total += int(line.split()[1]) * 1024
    return total


def _cgroup_files() -> list[tuple[str, str, str]]:
    found = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, files = "/sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, files = "/sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        while True:
            found.append((root + path.rstrip("/"), *files))
            if path in ("", "/"):
                break
            path = os.path.dirname(path)
    return found


def _reclaimable(directory: str) -> int:
    """Page cache the kernel would give up before it refuses memory."""
    with open(os.path.join(directory, "memory.stat"), encoding="ascii") as file:
        for line in file:
            key, _, value = line.partition(" ")
            if key in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def refuse_if_short(name: Name | None, size: int) -> None:
    # The kernel makes a segment of any size that its overcommit rule lets pass and kills somebody later; Windows refuses now.
    room, cause = available_memory()
    if size > room:
        text = None if name is None else name.text
        label = "an unnamed section" if text is None else repr(text)
        raise errors.OutOfResources(
            f"Cannot create {label} of {size} bytes: {cause} has room for {room}; make it smaller, or reserve=True and commit "
            "what you use",
            name=text,
            call="create",
        )
