"""What namedshm_topic.h promises, one promise after the other: see operations.c.  Also under AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

NAMES = [
    "the_newest_is_read",
    "the_next_is_read_and_what_was_missed_is_told",
    "every_length",
    "a_window_is_valid_until_it_is_overtaken",
    "the_schema_travels_with_it",
    "wrong_arguments",
    "names_and_types",
    "handles_can_be_duplicated_and_sent",
    "what_is_damaged_is_not_opened",
    "what_is_written_over_is_told",
    "a_reader_writes_nothing",
    "it_can_be_looked_at_without_a_right",
    "what_is_filled_is_published_when_it_is_committed",
    "what_is_pinned_stays",
    "who_closes_gives_back_what_it_holds",
    "who_is_stopped_stands_in_nobodys_way",
    "all_who_wait_are_woken",
    "each_value_wakes_who_waits",
    "who_lies_down_between_a_change_and_its_wake_up_is_woken",
    "a_signal_ends_a_wait",
    "a_signal_handler_is_told_what_it_interrupted",
    "what_is_ended_is_told",
    "it_ends_with_its_writers",
    "who_sleeps_finds_that_all_writers_were_killed",
    "participants_are_told",
    "the_dead_keep_nothing",
    "frames_of_values_that_never_were_come_back",
    "a_forked_child_takes_part_as_itself",
    "others_read_in_global_and_are_woken",
    "nobody_is_taken_for_dead_from_elsewhere",
]
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def test_all_of_them_are_known_here(program: Callable[..., Path]) -> None:
    assert subprocess.run([program("operations"), "list"], capture_output=True, text=True, check=True).stdout.split() == NAMES


@pytest.mark.parametrize("flags", [(), SANITIZED], ids=["", "sanitized"])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept(program: Callable[..., Path], name: str, flags: tuple[str, ...]) -> None:
    run = subprocess.run([program("operations", *flags), name], capture_output=True, text=True, timeout=500, env=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
