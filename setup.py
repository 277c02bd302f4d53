"""The compiled modules, chosen by platform; everything else is in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

common = {"include_dirs": ["include", "src/namedshm"], "extra_compile_args": os.environ.get("NAMEDSHM_CFLAGS", "").split()}
link = os.environ.get("NAMEDSHM_LDFLAGS", "").split()
extensions = [
    Extension(f"namedshm.{module}", [f"src/namedshm/{module}.pyx"], extra_link_args=link, **common)
    for module in ("_core", "_copying")
]
if sys.platform == "linux":
    extensions.append(
        Extension(
            "namedshm._backend._linux",
            ["src/namedshm/_backend/_linux.pyx"],
            depends=[
                "include/namedshm.h",
                "include/namedshm_sync.h",
                "src/namedshm/_backend/_cow.h",
                "src/namedshm/_backend/_parcels.h",
                "src/namedshm/_gate.h",
                "src/namedshm/_backend/_members.h",
                "src/namedshm/_backend/_linux_facts.pxi",
                "src/namedshm/_backend/_linux_pages.pxi",
                "src/namedshm/_backend/_linux_sync.pxi",
                "src/namedshm/_backend/_spin.pxi",
            ],
            extra_link_args=link,
            **common,
        )
    )
elif sys.platform == "win32":
    extensions.append(
        Extension(
            "namedshm._backend._windows",
            ["src/namedshm/_backend/_windows.pyx"],
            depends=[
                "src/namedshm/_backend/_windows_pages.pxi",
                "src/namedshm/_backend/_windows_sync.pxi",
                "src/namedshm/_backend/_spin.pxi",
                "src/namedshm/_backend/_windows_watch.pxi",
            ],
            libraries=["kernel32", "advapi32", "ntdll"],
            **common,
        )
    )

setup(ext_modules=cythonize(extensions, language_level=3))
