"""What C does with the pointer itself has no function in Win32; these stand for it (VirtualQuery, VirtualAlloc, dereferencing)."""

from __future__ import annotations

from namedshm._backend import backend

from ._constants import PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY
from ._last_error import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedshm.section import View

_PAGE = backend.page_size


def view_read(view: View, offset: int, length: int) -> bytes:
    """Bytes of a view; OSError where C would fault."""
    return view[offset : offset + length]


def view_write(view: View, offset: int, data: bytes) -> None:
    """Write bytes into a view; OSError where C would fault."""
    view[offset : offset + len(data)] = data


def view_size(view: View) -> int:
    """Bytes accessible from the view's start (VirtualQuery: RegionSize), whole pages."""
    size = backend.reach(view)
    return -(-size // _PAGE) * _PAGE


def view_protect(view: View) -> int:
    """PAGE_* of the view (VirtualQuery: Protect)."""
    protect = {"read": PAGE_READONLY, "write": PAGE_READWRITE, "copy": PAGE_WRITECOPY}[view.access]
    return protect << 4 if view.executable else protect


def view_commit(view: View, offset: int, length: int) -> bool:
    """Commit pages of a view of a SEC_RESERVE object (VirtualAlloc with MEM_COMMIT)."""
    try:
        backend.commit_view(view, offset, length)
    except OSError as error:
        refuse(error)
        return False
    return True


def view_offset(view: View, length: int) -> int:
    """The address ``length`` bytes inside the view."""
    return view.address + length
