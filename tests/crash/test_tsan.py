"""ThreadSanitizer looks at the C headers; the long form is python -m tests.crash.tsan, and says what this can see."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import tsan
from .build import build, changed, numbers

SEEDS = ("1", "2")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tsan")
    if reason := tsan.missing(folder):
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def crowd(directory: Path) -> Path:
    return build("crowd", directory, flags=tsan.FLAGS)


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_doing_everything_at_once_do_not_race(crowd: Path, seed: str) -> None:
    status, output = tsan.run(crowd, ["4", seed, "6"], timeout=500)
    assert status == 0, output
    done = numbers(output)
    assert not {key for key, value in done.items() if value == 0 and key != "failures"}, output  # it was there, all of it


def test_threads_creating_opening_and_closing_do_not_race(directory: Path) -> None:
    status, output = tsan.run(build("threads", directory, flags=tsan.FLAGS), ["4000"], timeout=500)
    assert status == 0, output


#: Each takes one order away that a release or an acquisition rests on: text in the headers, what it becomes.
PLANTED = {
    "an event is set in no order": (
        "__atomic_compare_exchange_n(&w->state, &v, NSHM_SET, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)",
        "__atomic_compare_exchange_n(&w->state, &v, NSHM_SET, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)",
    ),
    "the registry's lock is released in no order": (
        "__atomic_exchange_n(&t->lock, 0, __ATOMIC_RELEASE)",
        "__atomic_exchange_n(&t->lock, 0, __ATOMIC_RELAXED)",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_missing_order_is_seen(directory: Path, tmp_path: Path, bug: str) -> None:
    """Else the silence above would mean nothing."""
    include = changed(tmp_path / "include", [PLANTED[bug]])
    program = build("crowd", directory, include=include, name="planted", flags=tsan.FLAGS)
    for seed in range(1, 9):
        status, output = tsan.run(program, ["3", str(seed), "6"], timeout=500)
        if status == tsan.FOUND:
            break
    assert "WARNING: ThreadSanitizer: data race" in output
