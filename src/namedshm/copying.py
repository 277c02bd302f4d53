"""Copying large data: into memory nobody has touched yet, by several threads, with progress.

What a view's slice assignment does is right for anything small.  Here is what pays above some megabytes: several threads, pages
made just ahead of the bytes that go there, signals and progress meanwhile.  How many threads is decided in ``_pages.py``, whether
they pay at all here; the work is done in ``_copying.pyx``.
"""

from __future__ import annotations

from . import _copying
from ._arguments import count
from ._backend import backend
from ._pages import no_pages, team

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sys
    from collections.abc import Callable

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

__all__ = ["copy"]

_ALONE = 2 << 20  # bytes; below, starting threads and looking at pages costs more than it saves


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
            failure = pair.move_by(threads or team(size), backend.pager(), progress)
            if failure:
                raise no_pages(failure, f"Cannot copy {size} bytes (a part of them is copied)", None, "copy")
    finally:
        pair.release()
    if progress is not None:
        progress(size, size)
    return size
