"""What namedshm_queue.h promises, one promise after the other: see operations.c.  Also under AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

NAMES = [
    "first_in_first_out",
    "every_length",
    "several_at_once",
    "wrong_arguments",
    "names_and_types",
    "what_is_damaged_is_not_opened",
    "what_is_written_over_is_told",
    "who_waits_is_woken",
    "a_signal_ends_a_wait",
    "a_signal_handler_is_told_what_it_interrupted",
    "loans_stand_in_nobodys_way",
    "a_stopped_process_stands_in_nobodys_way",
    "a_full_queue_leaves_the_loan_to_its_borrower",
    "what_a_dead_consumer_had_comes_again",
    "a_sleeper_gets_what_a_dead_consumer_had",
    "what_is_returned_comes_again_at_once",
    "what_is_acknowledged_does_not_come_again_and_can_be_read",
    "who_closes_gives_back_what_it_holds",
    "shut_down_drains",
    "stop_ends_at_once",
    "it_ends_with_its_producers",
    "a_full_queue_drops_its_oldest",
    "participants_are_told",
    "the_dead_make_room_in_the_table",
    "a_forked_child_takes_part_as_itself",
    "another_user_takes_part_in_global",
    "threads_of_equal_numbers_are_told_apart",
    "a_proof_of_life_is_not_inherited",
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
