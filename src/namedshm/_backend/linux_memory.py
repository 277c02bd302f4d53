"""Is there memory for a large section, and in huge pages?  The system's answers, before anything is made."""

from __future__ import annotations

import os

from namedshm import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm.names import Name

    from .contract import HugePages

HUGE_PAGE = 2 << 20  # bytes
_SETTINGS = "/sys/kernel/mm/transparent_hugepage"


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


# Transparent huge pages by advice, not SHM_HUGETLB: they need no reservation that is lost for everything else, no privilege and no
# size in whole huge pages; copy-on-write works; and where none is free right now the memory is there all the same.
def huge_pages(name: Name | None, size: int, wish: HugePages) -> bool:
    """Whether a new section should ask for huge pages; raises for ``"require"`` where the system would not give any."""
    if size < HUGE_PAGE:
        reason = f"it has {size} bytes and a huge page {HUGE_PAGE}; make it larger"
    else:
        reason = _why_no_huge_pages()
    if wish == "require" and reason:
        text = None if name is None else name.text
        label = "an unnamed section" if text is None else repr(text)
        raise errors.Unsupported(
            f"Cannot create {label} in huge pages: {reason}, or pass huge_pages='try'", name=text, call="create"
        )
    return size >= HUGE_PAGE  # also where they are off now: they may be turned on while the section lives


def _why_no_huge_pages() -> str:
    """Why shared memory gets no huge pages even on advice; empty if it does."""
    everywhere = _chosen(f"{_SETTINGS}/shmem_enabled")
    if everywhere is None:
        return "this kernel has no transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE); use another kernel"
    of_size = _chosen(f"{_SETTINGS}/hugepages-{HUGE_PAGE >> 10}kB/shmem_enabled") or "inherit"  # since Linux 6.11
    if everywhere == "force" or (everywhere != "deny" and of_size in ("always", "within_size", "advise")):
        return ""
    if of_size == "inherit" and everywhere in ("always", "within_size", "advise"):
        return ""
    return (
        f"they are off for shared memory; an administrator turns them on with 'echo advise > {_SETTINGS}/shmem_enabled' "
        f"(it is '{everywhere}'{'' if of_size == 'inherit' else f', and {of_size!r} for this size of page'})"
    )


def _chosen(path: str) -> str | None:
    """The word in brackets."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read()
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0]
