"""Is there memory for a large section, and in huge pages?  The system's answers, before anything is made."""

from __future__ import annotations

import errno
import os
from _io import open  # the builtin of that name is gone when the interpreter ends, before the last __del__ runs

from namedshm import errors

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm.names import Name

    from ..contract import HugePages

HUGE_PAGE = 2 << 20  # bytes
_SETTINGS = "/sys/kernel/mm/transparent_hugepage"


def available_memory() -> tuple[int, str] | None:
    """Bytes that could be touched now, and what limits them: the machine or the tightest cgroup (v2, or v1's memory).

    None if the system does not tell, for example without /proc: then nobody is refused for it.
    """
    room = _machine_memory()
    best = None if room is None else (room, "the machine's memory and swap")
    for directory, maximum, current in _cgroup_files():
        try:
            text = _read(os.path.join(directory, maximum)).strip()
            if text == b"max":
                continue
            room = max(0, int(text) - int(_read(os.path.join(directory, current))) + _reclaimable(directory))
        except (OSError, ValueError):
            continue
        if best is None or room < best[0]:
            best = room, f"the memory limit of the cgroup {directory}"
    return best


def _read(path: str) -> bytes:
    # not as text: where nothing can be opened, the codec cannot be imported either
    with open(path, "rb") as file:
        return file.read()


def _machine_memory() -> int | None:
    """What is free or can be freed; where only the totals can be had (no /proc, no descriptor), those: an upper bound."""
    try:
        lines = _read("/proc/meminfo").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith((b"MemAvailable:", b"SwapFree:")))
    except (OSError, ValueError, IndexError):
        return native.memory()


def _cgroup_files() -> list[tuple[str, str, str]]:
    found = []
    try:
        lines = os.fsdecode(_read("/proc/self/cgroup")).splitlines()
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
    for line in _read(os.path.join(directory, "memory.stat")).splitlines():
        key, _, value = line.partition(b" ")
        if key in (b"inactive_file", b"total_inactive_file"):
            return int(value)
    return 0


def refuse_if_short(name: Name | None, size: int) -> None:
    # The kernel makes a segment of any size that its overcommit rule lets pass and kills somebody later; Windows refuses now.
    known = available_memory()
    if known is not None and size > known[0]:
        text = None if name is None else name.text
        label = "an unnamed section" if text is None else repr(text)
        room, cause = known
        raise errors.OutOfResources(
            f"Cannot create {label} of {size} bytes: {cause} has room for {room}; make it smaller, free memory, or set "
            "none aside (reserve), which takes it as it is used",
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
    try:
        everywhere = _chosen(f"{_SETTINGS}/shmem_enabled")
    except OSError as error:
        if error.errno == errno.ENOENT and os.path.isdir("/sys/kernel/mm"):
            return "this kernel has no transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE); use another kernel"
        return f"whether there are any cannot be told ({_SETTINGS}/shmem_enabled: {error.strerror}); make that file readable here"
    try:
        of_size = _chosen(f"{_SETTINGS}/hugepages-{HUGE_PAGE >> 10}kB/shmem_enabled")  # since Linux 6.11
    except OSError:
        of_size = "inherit"
    if everywhere == "force" or (everywhere != "deny" and of_size in ("always", "within_size", "advise")):
        return ""
    if of_size == "inherit" and everywhere in ("always", "within_size", "advise"):
        return ""
    return (
        f"they are off for shared memory; an administrator turns them on with 'echo advise > {_SETTINGS}/shmem_enabled' "
        f"(it is '{everywhere}'{'' if of_size == 'inherit' else f', and {of_size!r} for this size of page'})"
    )


def _chosen(path: str) -> str:
    """The word in brackets.  Raises OSError."""
    return os.fsdecode(_read(path)).partition("[")[2].partition("]")[0]
