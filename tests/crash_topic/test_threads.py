"""Threads of one process through one handle, plainly and under ThreadSanitizer: see threads.c."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from crash import tsan

from .build import build, changed, numbers

VALUES = "2000"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tsan_topic")
    if reason := tsan.missing(folder):
        pytest.skip(reason)
    return folder


def test_threads_read_what_threads_publish(program: Callable[..., Path]) -> None:
    run = subprocess.run([program("threads"), "200000", "1"], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout + run.stderr
    seen = numbers(run.stdout)
    assert seen["published"] > 300000
    assert seen["reads"] > 0
    assert seen["pinned"] > 0


@pytest.mark.parametrize("seed", ["1", "2"])
def test_threads_do_not_race(directory: Path, seed: str) -> None:
    status, output = tsan.run(build("threads", directory, flags=tsan.FLAGS), [VALUES, seed], timeout=500)
    assert status == 0, output


#: Each takes one order away: text in the headers, what it becomes.  (Of two that guard the same, one alone would not be missed.)
PLANTED = {
    "a pin is given up in no order": (
        "    __atomic_fetch_and(&t->frame[f].pins, ~bit, __ATOMIC_RELEASE); /* release: what we read has been read */\n",
        "    __atomic_fetch_and(&t->frame[f].pins, ~bit, __ATOMIC_RELAXED);\n",
    ),
    "pins are looked at in no order": (
        "    if (!nshm__peek(&frame->pins, SEQ_CST)) {\n",
        "    if (!nshm__peek(&frame->pins, RELAXED)) {\n",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_missing_order_is_seen(directory: Path, tmp_path: Path, bug: str) -> None:
    """Else the silence above would mean nothing."""
    include = changed(tmp_path / "include", [PLANTED[bug]])
    planted = build("threads", directory, include=include, name="planted", flags=tsan.FLAGS)
    for seed in range(1, 7):
        status, output = tsan.run(planted, [VALUES, str(seed)], timeout=500)
        if status == tsan.FOUND:
            break
    assert "WARNING: ThreadSanitizer: data race" in output
