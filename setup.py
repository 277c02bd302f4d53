"""The compiled modules, chosen by platform; everything else is in pyproject.toml."""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

common = {"include_dirs": ["include", "src/namedshm"], "extra_compile_args": os.environ.get("NAMEDSHM_CFLAGS", "").split()}
link = os.environ.get("NAMEDSHM_LDFLAGS", "").split()
extensions = [
    Extension(f"namedshm.{module}", [f"src/namedshm/{module}.pyx"], extra_link_args=link, **common)
    for module in ("_core", "_copying")
]
system = {"linux": "linux", "win32": "windows"}.get(sys.platform)
if system:
    here = f"src/namedshm/_backend/{system}"
    patterns = (f"{here}/*.pxi", f"{here}/*.h", "src/namedshm/_backend/*.pxi", "src/namedshm/*.h", "include/**/*.h")
    extensions.append(
        Extension(
            f"namedshm._backend.{system}.native",
            [f"{here}/native.pyx"],
            depends=[part for pattern in patterns for part in glob(pattern, recursive=True)],
            libraries=["kernel32", "advapi32", "ntdll"] if system == "windows" else [],
            extra_link_args=link,
            **common,
        )
    )

setup(ext_modules=cythonize(extensions, language_level=3))
