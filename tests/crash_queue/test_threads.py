"""Threads of one process through one handle, plainly and under ThreadSanitizer: see threads.c."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from crash import tsan

from .build import build, changed, numbers

MESSAGES = "2000"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tsan_queue")
    if reason := tsan.missing(folder):
        pytest.skip(reason)
    return folder


def test_what_threads_put_is_what_threads_take(program: Callable[..., Path]) -> None:
    run = subprocess.run([program("threads"), "20000", "1"], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout + run.stderr
    assert numbers(run.stdout)["taken"] > 60000


@pytest.mark.parametrize("seed", ["1", "2"])
def test_threads_do_not_race(directory: Path, seed: str) -> None:
    status, output = tsan.run(build("threads", directory, flags=tsan.FLAGS), [MESSAGES, seed], timeout=500)
    assert status == 0, output


#: Each takes one order away: text in the headers, what it becomes.  (Of two that guard the same, one alone would not be missed.)
PLANTED = {
    "a message is published in no order": (
        "<< 32 | length, RELEASE); /* it exists from here on */",
        "<< 32 | length, RELAXED);",
    ),
    "a message is given back in no order": (
        "    nshm__poke(&q->head->get.cursor, position, RELEASE);",
        "    nshm__poke(&q->head->get.cursor, position, RELAXED);",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_missing_order_is_seen(directory: Path, tmp_path: Path, bug: str) -> None:
    """Else the silence above would mean nothing."""
    include = changed(tmp_path / "include", [PLANTED[bug]])
    planted = build("threads", directory, include=include, name="planted", flags=tsan.FLAGS)
    for seed in range(1, 7):
        status, output = tsan.run(planted, [MESSAGES, str(seed)], timeout=500)
        if status == tsan.FOUND:
            break
    assert "WARNING: ThreadSanitizer: data race" in output
