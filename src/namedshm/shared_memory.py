r"""``multiprocessing.shared_memory`` that leaves nothing behind: change the import line.

    from namedshm import shared_memory                  # instead of: from multiprocessing import shared_memory
    block = shared_memory.SharedMemory("frames", create=True, size=1024)

A facade; the classes are in ``_drop_in/``, over sections.  What differs from the standard library is the subject of
docs/migration.md.  The sentences to know are: the process that made a block keeps its name until anybody calls ``unlink()`` or
that process ends, in whatever way; who has the block open holds the name as well; and the memory goes with the last buffer.  So
nobody has to call ``unlink()`` for what may last as long as its maker, there is no resource tracker, and ``close()`` never raises.
On Windows a name goes with its last handle, as with the standard library.

``SharedMemoryManager`` is here too; it is in managers.py and loaded when it is asked for, because it needs multiprocessing.
"""

from __future__ import annotations

import sys

from ._backend import backend
from ._drop_in import blocks
from ._drop_in.blocks import SharedMemory
from ._drop_in.lists import ShareableList

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing import resource_tracker as resource_tracker

    from .managers import SharedMemoryManager as SharedMemoryManager

__all__ = ["ShareableList", "SharedMemory", "install"]

# The test suite of CPython looks at these three, and puts another function in the place of the last.  Not POSIX: the kernel's
# lifetime, as the standard library has it on Windows.
_USE_POSIX = False
_SHM_NAME_PREFIX = blocks.NAME_PREFIX
_make_filename = blocks.made_up

blocks.names_by(lambda: _make_filename())


def install() -> None:
    """Let libraries that import ``multiprocessing.shared_memory`` get this module, and this package's ``SharedMemoryManager``, in
    this process and in those that multiprocessing starts from here on, by whatever method.

    Call it before they are imported: what they have got by then stays with them.  From then on the resource tracker ignores
    requests to forget blocks it never heard of.  Twice is a no-op.
    """
    from ._drop_in.installing import substitute
    from .managers import SharedMemoryManager

    substitute(sys.modules[__name__], SharedMemoryManager)


if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "SharedMemoryManager":
            from .managers import SharedMemoryManager

            globals()[name] = SharedMemoryManager
            return SharedMemoryManager
        # Libraries reach for it here; the standard module has it on POSIX alone.
        if name == "resource_tracker" and backend.names_can_go:
            from multiprocessing import resource_tracker

            globals()[name] = resource_tracker
            return resource_tracker
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
