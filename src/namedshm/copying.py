"""Copying large data: into memory nobody has touched yet, by several threads, with progress.

What a view's slice assignment does is right for anything small.  Here is what pays above some megabytes: several threads, pages
made just ahead of the bytes that go there, signals and progress meanwhile.  Which threads and pages is decided here; the work is
done in ``_copying.pyx``.
"""

from __future__ import annotations

import errno
import os

from . import _copying, errors
from ._arguments import count
from ._backend import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sys
    from collections.abc import Callable

    from .section import View

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

__all__ = ["copy"]

_ALONE = 2 << 20  # bytes; below, starting threads and looking at pages costs more than it saves
_SHARE = 2 << 20  # bytes a thread; with less, starting it costs more than it saves even where pages have to be made
_TEAM = 4  # threads; memory is busy with these, and the other cores are for others

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copying.forked)


def copy(
    target: Buffer,
    source: Buffer,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Copy all bytes of ``source`` into ``target``, as quickly as this machine can; other threads run meanwhile.

    Both are borrowed until the call returns: a view may be closed meanwhile, its memory stays.  Where they overlap the result is
    as if all of the source had been read first.  Overlapping is a matter of addresses: two views of one section are two places.

    Args:
        target: a writable buffer in one piece: a View, memoryview, array, bytearray.
        source: a buffer of as many bytes, in one piece (C order).
        threads: how many take part, the calling one included; None: as many as pay, by size and cores, at most 4.
        progress: called as ``progress(done, total)``, in bytes, in this thread: about 20 times a second and once at the end.
            What it raises ends the copy, as KeyboardInterrupt does; then a part of the bytes has been copied.

    Returns: the number of bytes.

    Raises:
        AccessDenied: the target is read-only.
        InvalidArgument: lengths differ, bytes are not in one piece, or ``threads`` is less than 1.
        ClosedHandle: a view was closed before.
        OutOfResources: the system has no memory for the target's pages (Linux; where it tells).
    """
    threads = None if threads is None else count(threads, "threads", "copy")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, not {type(progress).__name__}")
    pair = _copying.Pair(target, source)
    try:
        size = pair.size
        if size < _ALONE:
            pair.move()
        else:
            failure = pair.move_by(threads or _pays(size), backend.pager(), progress)
            if failure:
                raise _no_pages(failure, f"Cannot copy {size} bytes (a part of them is copied)", None, "copy")
    finally:
        pair.release()
    if progress is not None:
        progress(size, size)
    return size


def populate(view: View, offset: int, length: int | None, threads: int | None) -> None:
    """:meth:`namedshm.View.populate`."""
    size = len(view)
    length = size - offset if length is None else length
    name = view._handle_facts[0]
    if not 0 <= offset <= size or not 0 <= length <= size - offset:
        raise errors.InvalidArgument(
            f"Cannot populate {length} bytes at {offset}: the view has {size} bytes", name=name, call="populate"
        )
    threads = None if threads is None else count(threads, "threads", "populate")
    failure = _copying.populate(view, offset, length, view.access == "write", threads or _pays(length), backend.pager())
    if failure:
        label = "an unnamed section" if name is None else repr(name)
        raise _no_pages(failure, f"Cannot populate {length} bytes at {offset} of a view of {label}", name, "populate")


def _no_pages(failure: int, what: str, name: str | None, call: str) -> Exception:
    """The exception for a positive errno of populating."""
    if failure == errno.ENOMEM:
        return errors.OutOfResources(
            f"{what}: the system has no memory for the pages (see 'free', and the memory limit of the cgroup); use less",
            errno=failure,
            name=name,
            call=call,
        )
    if failure == errno.EFAULT:
        return errors.NamedShmError(
            f"{what}: there is nothing behind some pages; the mapped file was cut shorter, or the reserved huge pages are used up",
            errno=failure,
            name=name,
            call=call,
        )
    return errors.NamedShmError(f"{what}: {os.strerror(failure)}", errno=failure, name=name, call=call)


def _pays(size: int) -> int:
    return max(1, min(_TEAM, _cores(), size // _SHARE))


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
