"""namedshm_queue.h on Windows: compiled by mingw-w64 as C and as C++, run under Wine, with processes that end at every step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the programs are compiled on Linux", allow_module_level=True)

from .tool import REPO, tool

pytestmark = pytest.mark.timeout(900)  # the first test of all makes a Wine prefix and downloads a Python

SOURCES = REPO / "tests" / "crash_queue" / "windows"
FLAGS = ("-g", "-O2", "-Wall", "-Wextra", "-Werror", "-D_WIN32_WINNT=0x0A00", "-static")
LIBRARIES = ("-lntdll", "-ladvapi32")
NAMES = [
    "first_in_first_out",
    "every_length",
    "several_at_once",
    "loans_stand_in_nobodys_way",
    "a_full_queue_drops_its_oldest",
    "what_is_damaged_is_not_opened",
    "names_and_types",
    "names_of_every_length",
    "a_reader_looks",
    "modes_become_rights",
    "who_waits_is_woken",
    "an_event_ends_a_wait",
    "shut_down_tells_everybody",
    "shut_down_drains",
    "it_ends_with_its_producers",
    "what_a_dead_consumer_had_comes_again",
    "a_sleeper_gets_what_a_dead_consumer_had",
    "what_is_returned_comes_again",
    "a_dead_borrowers_chunks_are_lent_again",
    "the_dead_make_room_in_the_table",
    "nobody_is_taken_for_dead",
    "a_lock_that_is_held_is_waited_for",
    "a_dead_holders_lock_is_taken_over",
    "whoever_ends_at_any_step_is_no_burden",
]


@pytest.fixture(scope="module")
def program(wine: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """program("storm") compiles storm.c once and returns the executable."""
    folder = tmp_path_factory.mktemp("queue")

    def get(name: str) -> Path:
        target = folder / f"{name}.exe"
        if not target.exists():
            build(SOURCES / f"{name}.c", target)
        return target

    return get


def build(source: Path, target: Path, language: str = "gcc", include: Path = REPO / "include") -> None:
    compiler = tool.compiler(language)
    subprocess.run([compiler, *FLAGS, f"-I{include}", str(source), "-o", str(target), *LIBRARIES], check=True, timeout=120)


def test_all_promises_are_known_here(wine: Any, program: Callable[[str], Path]) -> None:
    assert wine.run(wine.command(program("operations"), "list")).stdout.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept(wine: Any, program: Callable[[str], Path], name: str) -> None:
    run = wine.run(wine.command(program("operations"), name), timeout=300)
    assert run.returncode == 0, run.stdout
