"""Every interleaving of small topics, with kills, and planted flaws that must be found: see frames.c and wishes.c.

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
FRAMES = [
    "nobody_dies",
    "a_longer_history",
    "one_pins_one_dies",
    "one_reads_one_pins",
    "two_writers_one_dies",
    "two_writers_one_pins_one_dies",
    "two_pin_one_dies",
    "three_writers_two_die",
    "one_dies_and_is_followed",
    "two_writers_die_and_are_followed",
    "in_the_ring_two_write_one_dies",
    "in_the_ring_a_longer_history",
    *(
        (
            "two_writers_one_pins_two_die",
            "three_writers_two_die_and_are_followed",
        )
        if LONG
        else ()
    ),
    "flaw_pins_are_seen_before_the_claim_only",
    "flaw_a_frame_is_written_without_a_claim",
    "flaw_a_frame_is_written_before_the_claim",
    "flaw_latest_before_the_frame",
    "flaw_a_claim_is_not_undone",
    "flaw_a_reader_does_not_look_again",
    "flaw_a_pin_is_not_checked",
    "flaw_pins_of_the_dead_stay",
    "flaw_frames_of_what_never_was_stay",
    "flaw_frames_of_what_never_was_stay_in_the_history",
    "flaw_a_reader_of_the_ring_does_not_look_again",
    "flaw_the_ring_is_as_large_as_the_history",
    "flaw_places_are_free_before_their_pins_are_off",
    "flaw_a_number_stays_while_the_rest_changes",
]
WISHES = [
    "one_reader",
    "two_readers",
    "three_readers",
    "three_readers_as_it_is",
    "two_writers",
    "one_waits_for_a_later_value",
    "one_reader_a_kill",
    "two_readers_a_kill",
    "two_readers_two_writers_a_kill",
    "three_readers_two_kills",
    *(
        (
            "two_writers_twice",
            "four_readers",
        )
        if LONG
        else ()
    ),
    "flaw_wishes_read_afterwards_are_served",
    "flaw_a_wish_is_raised_before_latest_is_read",
    "flaw_it_sleeps_on_what_it_read_after_its_wish",
    "flaw_a_wake_up_is_not_passed_on",
    "flaw_a_wake_up_is_passed_on_by_who_got_something_only",
    "flaw_a_wake_up_is_passed_to_anybody",
    "flaw_anybody_is_woken",
    "flaw_wishes_are_looked_at_before_latest_changes",
    "flaw_wishes_are_served_though_somebody_was_woken",
    "flaw_nobody_wishes",
]
CASES = [*(("frames", case) for case in FRAMES), *(("wishes", case) for case in WISHES)]


@pytest.mark.parametrize(("model", "cases"), [("frames", FRAMES), ("wishes", WISHES)], ids=["frames", "wishes"])
def test_all_cases_are_known_here(program: Callable[..., Path], model: str, cases: list[str]) -> None:
    command = [program(model), "list", *(["long"] if LONG else [])]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == cases


@pytest.mark.timeout(3600 if LONG else 540)
@pytest.mark.parametrize(("model", "case"), CASES, ids=[f"{model}-{case}" for model, case in CASES])
def test_no_interleaving_breaks_it_and_each_flaw_is_found(program: Callable[..., Path], model: str, case: str) -> None:
    run = subprocess.run([program(model), case], capture_output=True, text=True, timeout=3500 if LONG else 500)
    assert run.returncode == 0, run.stderr + run.stdout
    assert run.stdout.startswith("holds") != case.startswith("flaw_")
    assert numbers(run.stdout)["states"] > (400 if not case.startswith("flaw_") else 5)
