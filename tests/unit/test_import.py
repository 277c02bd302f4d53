"""Importing the package is quick, because it imports nearly nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.extras import LIBRARIES, needs
from helpers.facts import on_linux

import namedshm

ROOT = Path(namedshm.__file__).resolve().parent.parent
#: Modules that cost milliseconds; create, map and close need none of them.
SLOW = {
    "typing", "enum", "dataclasses", "ctypes", "re", "inspect", "collections", "functools", "threading", "subprocess",
    "socket", "logging", "json", "pickle", "contextlib", "pathlib", "multiprocessing", "struct", "mmap", "tempfile", "ast",
    "asyncio", "numpy", "click", "rich", "argparse", "importlib.metadata", "random", "hashlib", "warnings", "traceback",
}  # fmt: skip


def _modules(code: str) -> set[str]:
    """sys.modules after running code in an interpreter without site-packages, less what it starts with."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)"
    script = f"{start}\n{code}\nprint(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stdout.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import namedshm",
        "import namedshm\nwith namedshm.create('x', 100) as s, s.map() as v: v[:5] = b'hello'",
        "import namedshm\ntry: namedshm.open('missing')\nexcept namedshm.NotFound: pass",
        "from namedshm import win32\nh = win32.CreateFileMapping(-1, None, 4, 0, 256, 'x'); win32.CloseHandle(h)",
    ],
    ids=["import", "use", "refusal", "win32"],
)
@pytest.mark.skipif(not on_linux, reason="the Windows build of Python starts with other modules")
def test_no_slow_module_is_imported(code: str) -> None:
    assert not _modules(code) & SLOW


@pytest.mark.skipif(not on_linux, reason="the Windows build of Python starts with other modules")
def test_looking_around_is_what_may_import_more() -> None:
    assert "namedshm.inspection" not in _modules("import namedshm")
    assert "namedshm.inspection" in _modules("import namedshm; namedshm.list_objects()")


def test_a_star_import_gives_what_all_says() -> None:
    space: dict[str, object] = {}
    exec("from namedshm import *", space)
    assert set(namedshm.__all__) <= set(space)
    assert not {"open", "copy"} & set(space), "a builtin and a module everybody uses"
    exec("from namedshm.win32 import *", space)
    assert "CreateFileMapping" in space


def test_importing_makes_nothing() -> None:
    if not on_linux:
        pytest.skip("counts segments of Linux")
    code = (
        "n = lambda: sum('/SYSV' in line for line in open('/proc/self/maps'))\nimport namedshm, namedshm.win32\nassert n() == 0\n"
        "try: namedshm.open('missing')\nexcept namedshm.NotFound: pass\nassert n() == 0, 'looking for a name made a registry'"
    )
    _modules(f"import os; os.environ['NAMEDSHM_SESSION'] = 'empty-' + str(os.getpid())\n{code}")


MODULES = ["arrays", "arrow", "copying", "inspection", "managers", "records", "shared_memory", "sync", "win32"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_there_when_it_is_first_used(module: str) -> None:
    if module in LIBRARIES:
        needs(LIBRARIES[module])
    look = f"import namedshm\nassert {module!r} in dir(namedshm)\nfound = namedshm.{module}"
    code = f"{look}\nimport namedshm.{module} as same\nassert found is same"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("module", "library", "extra"), [("arrays", "numpy", "numpy"), ("arrow", "pyarrow", "arrow")])
@pytest.mark.parametrize("way", ["import namedshm.{}", "import namedshm; namedshm.{}"])
def test_a_missing_library_is_named_with_its_extra(module: str, library: str, extra: str, way: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None\n{way.format(module)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(f"pip install 'namedshm[{extra}]'\n"), done.stderr
