"""Where the headers for C and C++ programs are."""

from __future__ import annotations

import os

from . import errors

__all__ = ["get_include"]


def get_include() -> str:
    """The folder to give a C or C++ compiler as include path; it has ``namedshm.h`` and ``namedshm_sync.h`` (Linux).

        cc $(python -c "import namedshm; print('-I' + namedshm.get_include())") program.c -pthread

    Returns:
        An absolute path: the installed headers, or those of the source tree that this package is imported from.

    Raises:
        Unsupported: there are none.  They are for Linux; on Windows the objects are the system's own.
    """
    package = os.path.dirname(os.path.abspath(__file__))
    for folder in (os.path.join(package, "include"), os.path.join(package, "..", "..", "include")):
        if os.path.isfile(os.path.join(folder, "namedshm.h")):
            return os.path.abspath(folder)
    raise errors.Unsupported(
        "There are no C headers here: they are for Linux. On Windows use CreateFileMappingW: the objects are the same",
        call="get_include",
    )
