"""The compiled modules under AddressSanitizer and UBSan: python -m tests.crash.sanitized [ARGUMENTS OF PYTEST]

Copies the package, builds it with the sanitizers into a temporary folder and runs pytest with it, on the unit tests unless told
otherwise.  Leaks are not looked for: the interpreter itself keeps memory until the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .build import HERE, compiler

ROOT = HERE.parent.parent
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"

# not what measures memory or limits address space: the sanitizer keeps freed blocks for a while, and reserves terabytes
DEFAULT = [
    "tests/unit",
    "-q",
    "--deselect=tests/unit/test_endurance.py",
    "--deselect=tests/unit/test_exhaustion.py::test_too_little_address_space_is_out_of_resources",
]


def library(name: str) -> str:
    return subprocess.run([compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()


def build_into(directory: Path) -> dict[str, str]:
    """Build there; return the environment in which Python uses it."""
    for part in ("src", "include"):
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info"))
    for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / part).exists():
            shutil.copy(ROOT / part, directory)
    environment = {**os.environ, "NAMEDSHM_CFLAGS": FLAGS, "NAMEDSHM_LDFLAGS": "-fsanitize=address,undefined"}
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j2"], cwd=directory, env=environment, check=True)
    return {
        **os.environ,
        "PYTHONPATH": str(directory / "src"),
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees each object
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:allow_user_segv_handler=1:detect_odr_violation=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as directory:
        environment = build_into(Path(directory))
        check = "import namedshm, sys; sys.exit(not namedshm.__file__.startswith(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", check, directory], env=environment, check=True)
        command = [sys.executable, "-m", "pytest", *(arguments or DEFAULT)]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
