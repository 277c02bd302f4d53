"""Runs CPython's own tests of shared memory on namedshm; see test_cpython_suite.py.

    python cpython_suite.py fork|spawn|forkserver

The tests are those installed with the interpreter (``test._test_multiprocessing._TestSharedMemory``), unchanged, made into test
cases by the function the interpreter's own test modules use.  What they find under the names of the standard library is ours: the
module, the manager, and in programs they start the import line.  Prints one line of JSON: the outcome of each test.

Everything is at module level because processes by spawn import this module again, to find the test cases.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.managers
import multiprocessing.shared_memory
import re
import subprocess
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import test._test_multiprocessing as suite
import test.support.script_helper as script_helper
from cpython_outcomes import tell

import namedshm
from namedshm import managers, shared_memory

METHOD = sys.argv[1]
SOURCE = str(Path(namedshm.__file__).resolve().parents[1])


def changed_import_line(program: str) -> str:
    """The program with its import lines changed; its interpreter may be told to ignore PYTHONPATH."""
    changed, count = re.subn(r"\bfrom multiprocessing(?=(\.managers|\.shared_memory)? import)", "from namedshm", program)
    assert count, program
    return f"import sys; sys.path.insert(0, {SOURCE!r})\n{changed}"


def changed_popen(real: Any, command: list[str], **options: Any) -> Any:
    return real([*command[:-1], changed_import_line(command[-1])], **options)


def changed_assert_python_ok(real: Any, option: str, program: str, *arguments: str, **variables: str) -> Any:
    return real(option, changed_import_line(program), *arguments, **variables)


# The tests look the module up in their globals, and patch it by its place in the package; the manager by its place alone.
suite.shared_memory = multiprocessing.shared_memory = sys.modules["multiprocessing.shared_memory"] = shared_memory
multiprocessing.managers.SharedMemoryManager = managers.SharedMemoryManager
suite.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": partial(changed_popen, subprocess.Popen)})
script_helper.assert_python_ok = partial(changed_assert_python_ok, script_helper.assert_python_ok)
# Some tests tell the tracker that a block is gone; ours it never heard of.  Some choose how it is spoken to, which is all the same.
suite.resource_tracker = types.SimpleNamespace(
    unregister=lambda name, kind: None, _resource_tracker=types.SimpleNamespace(_use_simple_format=False)
)

found: dict[str, Any] = {"__name__": __name__}
suite.install_tests_in_module_dict(found, METHOD, only_type="processes")
case = WithProcessesTestSharedMemory = found["WithProcessesTestSharedMemory"]


if __name__ == "__main__":
    tell(case, found)
