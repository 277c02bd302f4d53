"""What pyproject.toml cannot say: the compiled modules and C headers, by platform, and the README for the package index."""

import os
import re
import sys
import tomllib
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

common = {"include_dirs": ["include", "src/namedshm"], "extra_compile_args": os.environ.get("NAMEDSHM_CFLAGS", "").split()}
# Python's own flags give debugging information, five sixths of each module.  Whoever sets flags of his own (sanitizers) keeps it.
link = os.environ.get("NAMEDSHM_LDFLAGS", "-Wl,-s" if sys.platform == "linux" else "").split()
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


def forget_what_was_moved() -> None:
    """setuptools packs all that is in build/, where earlier builds may have left modules that the sources do not have any more."""
    for built in Path("build").glob("lib*/namedshm/**/*.py"):
        if not Path("src", *built.parts[2:]).exists():
            built.unlink()


def long_description() -> str:
    """README.md for readers without a checkout: links into it become absolute, or plain text while it has no public address."""
    repository = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"].get("urls", {}).get("Repository")

    def elsewhere(link: re.Match[str]) -> str:
        text, target = link.groups()
        if re.match(r"\w+:", target):
            return link[0]
        return f"[{text}]({repository.rstrip('/')}/blob/HEAD/{target})" if repository else text

    parts = re.split(r"(^```.*?^```$)", Path("README.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", elsewhere, prose) for prose in parts[::2]]  # between them are blocks of code
    return "".join(parts)


forget_what_was_moved()

# The headers stand in include/ and are installed as a folder of the package: see namedshm.get_include().
headers = ["namedshm.include"] if system == "linux" else []
setup(
    packages=[*find_packages("src"), *headers],
    package_dir={"": "src", "namedshm.include": "include"},
    package_data={"namedshm": ["py.typed", "*.pyi", "_backend/*/*.pyi"], "namedshm.include": ["*.h", "namedshm/*.h"]},
    ext_modules=cythonize(extensions, language_level=3),
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
