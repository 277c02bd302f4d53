"""Pages made before they are touched, by as many threads as pay.  The work is done in ``_copying.pyx``."""

from __future__ import annotations

import errno
import os

from . import _copying, errors
from ._arguments import count
from ._backend import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import Mapping

__all__ = ["no_pages", "populate", "team"]

_SHARE = 2 << 20  # bytes a thread; with less, starting it costs more than it saves even where pages have to be made
_TEAM = 4  # threads; memory is busy with these, and the other cores are for others

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copying.forked)


def populate(view: Mapping, name: str | None, write: bool, offset: int, length: int | None, threads: int | None) -> None:
    """:meth:`namedshm.View.populate`.

    Args:
        name: of the section, for errors.
        write: make the pages as writing would; False: as reading would.
    """
    size = len(view)
    length = size - offset if length is None else length
    if not 0 <= offset <= size or not 0 <= length <= size - offset:
        raise errors.InvalidArgument(
            f"Cannot populate {length} bytes at {offset}: the view has {size} bytes", name=name, call="populate"
        )
    threads = None if threads is None else count(threads, "threads", "populate")
    failure = _copying.populate(view, offset, length, write, threads or team(length), backend.pager())
    if failure:
        label = "an unnamed section" if name is None else repr(name)
        raise no_pages(failure, f"Cannot populate {length} bytes at {offset} of a view of {label}", name, "populate")


def no_pages(failure: int, what: str, name: str | None, call: str) -> Exception:
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


def team(size: int) -> int:
    """How many threads pay for so many bytes, the calling one included."""
    return max(1, min(_TEAM, _cores(), size // _SHARE))


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
