"""The fuzzers for some seconds each, from the seeds of the repository; `python -m tests.fuzz --hours N` goes on from there.

So that they are known to look: planted bugs, which they must find from the same seeds.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from helpers.headers import changed

from .build import NO_NAMESPACE, TARGETS, Fuzzer, compiler

SECONDS = int(os.environ.get("NAMEDSHM_FUZZ_SECONDS", "5"))

if sys.platform != "linux":
    pytest.skip("the format under test is that of Linux", allow_module_level=True)
if compiler() is None:
    pytest.skip("needs clang with libFuzzer", allow_module_level=True)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_that_others_can_write_crashes_or_misleads(target: str, tmp_path: Path) -> None:
    run = Fuzzer(target, tmp_path).run(SECONDS, tmp_path / "corpus")
    if run.returncode == NO_NAMESPACE:
        pytest.skip("needs an IPC namespace of its own")
    assert run.returncode == 0, run.stderr[-5000:]
    executed = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    assert executed, run.stderr[-2000:]
    assert int(executed[1]) > 20 * SECONDS


PLANTED: dict[str, tuple[str, str, str]] = {
    "records are believed": (
        "record",
        "        if (!nshm__sound(&facts)) return -EUCLEAN;\n",
        "",
    ),
    "the number of slots is believed": (
        "registry",
        "    return n <= NSHM_CAPACITY ? n : NSHM_CAPACITY;",
        "    return n;",
    ),
    "a segment of any size will do": (
        "registry",
        "    if (d.shm_segsz != size || !(d.shm_perm.mode & SHM_DEST)) return 0;\n",
        "    if (!size) return 0;\n",
    ),
    "a mutex that was written over is owned for ever": (
        "words",
        "    if (k < 0) return -EPERM;\n",
        "    if (k < 0 || lost) return -EPERM;\n",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_bug_is_found(planted: str, tmp_path: Path) -> None:
    target, old, new = PLANTED[planted]
    include = changed(tmp_path / "include", [(old, new)])
    run = Fuzzer(target, tmp_path, include).run(40, tmp_path / "corpus", seed=1)
    if run.returncode == NO_NAMESPACE:
        pytest.skip("needs an IPC namespace of its own")
    assert run.returncode != 0, "not found in 40 s"
