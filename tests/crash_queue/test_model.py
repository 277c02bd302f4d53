"""Every interleaving of small queues, with kills, and planted flaws that must be found: see wakes.c, chunks.c
and, for Windows, bells.c.

NAMEDSHM_MODEL=long adds the cases that take minutes and gigabytes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .build import numbers

LONG = os.environ.get("NAMEDSHM_MODEL") == "long"
WAKES = [
    "one_to_one",
    "one_to_two",
    "one_to_two_a_kill",
    "one_to_two_two_kills",
    "two_to_one_a_kill",
    "batches_to_two_a_kill",
    "batches_to_three",
    "batches_consumers_leave_after_one",
    "consumers_leave_after_two",
    *(("two_to_one", "two_to_one_twice_a_kill", "one_to_two_twice_two_kills", "two_to_two_consumers_leave") if LONG else ()),
    "flaw_header_before_the_message",
    "flaw_header_before_the_message_a_kill",
    "flaw_cursor_before_the_copy",
    "flaw_no_catching_up_with_the_dead",
    "flaw_put_cursor_before_the_header",
    "flaw_the_unlock_that_wakes_forgets_sleepers",
    "flaw_wake_up_not_passed_on",
    "flaw_passed_on_without_stale",
    "flaw_sleeps_with_nothing_pending",
    "flaw_sleepers_forgotten_without_the_lock",
    "flaw_an_unlock_does_not_change_the_word",
    "flaw_looks_before_it_arms",
    "flaw_nothing_pending_while_it_wakes",
    "flaw_a_death_looks_like_an_armed_word",
]
CHUNKS = [
    "nobody_dies",
    "one_dies",
    "one_dies_three_want_two_entries",
    "one_dies_three_want_two_entries_two_chunks",
    "two_die",
    "one_of_two_consumers_dies",
    "acknowledge_one_dies",
    "acknowledge_one_returns_one_dies",
    "acknowledge_two_return",
    "acknowledge_three_want_two_entries",
    "acknowledge_two_producers",
    "acknowledge_two_die",
    *(
        (
            "acknowledge_two_die_three_want_two_entries",
            "two_producers_twice",
            "four_want_three_entries",
            "acknowledge_four_want_three_entries",
        )
        if LONG
        else ()
    ),
    "flaw_who_is_dead_asked_after_the_ring",
    "flaw_cursor_before_the_owner",
    "flaw_cursor_before_the_owner_acknowledge",
    "flaw_the_ring_is_not_looked_at",
    "flaw_an_owner_is_known_by_its_entry_alone",
    "flaw_written_after_it_was_sent",
    "flaw_a_consumer_does_not_own_what_it_takes",
    "flaw_what_is_in_the_ring_is_adopted",
    "flaw_what_is_returned_is_free",
]
BELLS = [
    "one_to_one",
    "one_to_three",
    "two_to_two",
    "two_to_two_times_are_up",
    "two_to_three_consumers_leave_after_one",
    "batches_to_three",
    "three_are_told_of_the_end",
    "two_to_two_and_the_end",
    "one_to_two_a_kill",
    "two_to_two_a_kill",
    "two_to_two_two_kills",
    "two_are_told_of_the_end_a_kill",
    "flaw_who_is_woken_does_not_set_sleepers",
    "flaw_who_rings_does_not_set_sleepers",
    "flaw_looks_before_it_arms",
    "flaw_nothing_is_passed_on",
    "flaw_the_end_is_not_passed_on",
    "flaw_sleepers_is_taken_off_after_ringing",
    "flaw_an_unlock_rings_not",
]
MODELS = {"wakes": WAKES, "chunks": CHUNKS, "bells": BELLS}
CASES = [(model, case) for model, cases in MODELS.items() for case in cases]


@pytest.mark.parametrize(("model", "cases"), MODELS.items(), ids=MODELS)
def test_all_cases_are_known_here(program: Callable[..., Path], model: str, cases: list[str]) -> None:
    command = [program(model), "list", *(["long"] if LONG else [])]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == cases


@pytest.mark.timeout(3600 if LONG else 540)
@pytest.mark.parametrize(("model", "case"), CASES, ids=[f"{model}-{case}" for model, case in CASES])
def test_no_interleaving_breaks_it_and_each_flaw_is_found(program: Callable[..., Path], model: str, case: str) -> None:
    run = subprocess.run([program(model), case], capture_output=True, text=True, timeout=3500 if LONG else 500)
    assert run.returncode == 0, run.stderr + run.stdout
    assert run.stdout.startswith("holds") != case.startswith("flaw_")
    assert numbers(run.stdout)["states"] > (400 if not case.startswith("flaw_") else 10)
