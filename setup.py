"""What depends on the platform: the compiled modules, and the headers for C and C++; everything else is in pyproject.toml."""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

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

# The headers stand in include/ and are installed as a folder of the package: see namedshm.get_include().
headers = ["namedshm.include"] if system == "linux" else []
setup(
    ext_modules=cythonize(extensions, language_level=3),
    packages=[*find_packages("src"), *headers],
    package_dir={"": "src", "namedshm.include": "include"},
    package_data={"namedshm": ["py.typed", "*.pyi", "_backend/*/*.pyi"], "namedshm.include": ["*.h", "namedshm/*.h"]},
)
