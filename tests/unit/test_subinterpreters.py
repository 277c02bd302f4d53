"""Interpreters of one process: one of them has namedshm, the others are told so; none crashes."""

from __future__ import annotations

import subprocess
import sys

import pytest

try:
    import _interpreters  # noqa: F401  (Python 3.13)
except ImportError:
    pytest.importorskip("_xxsubinterpreters")

USE = """
try:
    import namedshm
except ImportError as error:
    print("refused:", error)
else:
    with namedshm.create(None, 100) as section, section.map() as view:
        view[0] = 1
    print("works")
"""
PROGRAM = f"""
import sys
try:
    import _interpreters as interpreters
    new, run = interpreters.create, interpreters.exec
except ImportError:  # before Python 3.13 an isolated one shares the global lock, or there is no other kind
    import _xxsubinterpreters as interpreters
    new, run = (lambda config: interpreters.create(isolated=config == "isolated")), interpreters.run_string
use = {USE!r}
for who in sys.argv[1:]:
    sys.stdout.write(who + " ")
    sys.stdout.flush()
    if who == "main":
        exec(use)
    else:
        interpreter = new(who)
        run(interpreter, use + "import sys; sys.stdout.flush()")
        interpreters.destroy(interpreter)
    sys.stdout.flush()
"""


def results(*interpreters: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", PROGRAM, *interpreters], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("order", [("main", "legacy", "main"), ("legacy", "main", "legacy")])
def test_the_first_interpreter_has_it_and_others_are_refused(order: tuple[str, ...]) -> None:
    first, second, third = results(*order)
    assert first == f"{order[0]} works"
    assert second.startswith(f"{order[1]} refused:")
    assert "one interpreter per process" in second
    assert third.startswith("main works" if order[2] == "main" else "legacy refused:")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters have one global lock before Python 3.12")
def test_an_interpreter_with_its_own_lock_is_refused_and_harms_nobody() -> None:
    lines = results("isolated", "main", "isolated", "main")
    for line in (lines[0], lines[2]):
        assert line.startswith("isolated refused:")
        assert "subinterpreters" in line
    assert lines[1] == lines[3] == "main works"


MEMORY = """
import _interpreters, namedshm
with namedshm.create(None, 100) as section, section.map() as view:
    memory = memoryview(view)
    interpreter = _interpreters.create("isolated")
    _interpreters.exec(interpreter, "import _interpreters")
    _interpreters.set___main___attrs(interpreter, {"memory": memory})
    failure = _interpreters.exec(interpreter, "memory[0] = 7; del memory")
    _interpreters.destroy(interpreter)
    memory.release()
    print(failure, view[0])
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="memoryviews go to other interpreters from Python 3.13 on")
def test_another_interpreter_can_be_given_the_memory() -> None:
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "None 7\n"), run.stderr
