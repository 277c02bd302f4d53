"""The tests of this directory find what they are for: each planted bug in a copy of the headers is caught.

Some wake-ups are lost, and some frames torn, only where certain turns meet: those flaws are planted in the models (test_model.py).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .build import build, changed

CAUGHT, CRASHED, NOT_HERE = 1, 2, 77

#: of these a process dies, which is as good
DEADLY = {"the number of a frame is believed", "a handle that is duplicated cannot say that it sleeps"}
#: what is changed, into what, who has to see it
MUTANTS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "a value exists before it is written": (
        [
            (
                "    nshm_topic_value *v = nshm__topic_value(t, number);\n    nshm__poke(&v->number, 0, RELEASE);",
                "    nshm_topic_value *v = nshm__topic_value(t, number);\n    nshm__poke(&h->latest, number << 1, RELEASE);\n"
                "    nshm__poke(&v->number, 0, RELEASE);",
            )
        ],
        ["step", "publish", "5"],
    ),
    "a number stands while its value is written over": (
        [
            (
                "    nshm__poke(&v->number, 0, RELEASE); /* release: who sees it sees that the old value has gone */\n",
                "",
            ),
            (
                "    if (frame == NSHM_TOPIC_NONE && length) nshm__topic_copy_in(v + 1, data, length);\n",
                "    if (frame == NSHM_TOPIC_NONE) nshm__topic_copy_in(v + 1, data, length);\n    sched_yield();\n",
            ),
        ],
        ["storm", "40", "1", "60", "ring"],
    ),
    "a reader does not look whether he was overtaken": (
        [
            (
                "    return w->frame < t->frames && nshm__peek(&t->frame[w->frame].state, RELAXED) == w->number << 1;\n",
                "    return 1;\n",
            )
        ],
        ["storm", "40", "1", "60", "frames"],
    ),
    "a frame is lent though it is pinned": (
        [
            (" || nshm__peek(&frame->pins, RELAXED)) return 0;\n", ") return 0;\n"),
            ("    if (!nshm__peek(&frame->pins, SEQ_CST)) {\n", "    if (1) {\n"),
        ],
        ["operations", "what_is_pinned_stays"],
    ),
    "a pin is not checked": (
        [
            (
                "    if (nshm__peek(&frame->state, SEQ_CST) == number << 1) return 1; /* who claims it later sees the bit */\n",
                "    if (number) return 1;\n",
            ),
            ('    NSHM_STEP("pinning");\n', '    sched_yield();\n    NSHM_STEP("pinning");\n'),
        ],
        ["storm", "60", "1", "60", "tight"],
    ),
    "a frame is written while it is of the history": (
        [("(was && (was >> 1) + t->history > latest)", "(was && (was >> 1) + t->history > latest + 1)")],
        ["operations", "what_is_filled_is_published_when_it_is_committed"],
    ),
    "the ring has no more room than the history": (
        [("o->ring_size <= p->history; o->ring_size *= 2", "o->ring_size < p->history; o->ring_size *= 2")],
        ["step", "publish", "3"],
    ),
    "frames of values that never were are kept": (
        [("    freed += nshm__topic_clear_unnamed(t);\n", "")],
        ["operations", "frames_of_values_that_never_were_come_back"],
    ),
    "frames of values that never were are kept while the number is of the history": (
        [
            (
                "        if (number <= latest && nshm__peek(&nshm__topic_value(t, number)->frame, RELAXED) == f) continue;\n",
                "        if (number <= latest) continue;\n",
            )
        ],
        ["operations", "frames_of_values_that_never_were_come_back"],
    ),
    "the frame of a value is freed": (
        [
            (
                "        if (number <= latest && nshm__peek(&nshm__topic_value(t, number)->frame, RELAXED) == f) continue;\n",
                "        if (number < latest && nshm__peek(&nshm__topic_value(t, number)->frame, RELAXED) == f) continue;\n",
            )
        ],
        ["step", "sweep", "100"],
    ),
    "the pins of the dead stay": (
        [("        __atomic_fetch_and(&t->frame[f].pins, ~bits, __ATOMIC_ACQ_REL);\n", "")],
        ["operations", "the_dead_keep_nothing"],
    ),
    "the frames of the dead stay": (
        [("        if ((state & 1) && nshm__topic_orphaned(t, c, state)) freed", "        if (0) freed")],
        ["operations", "the_dead_keep_nothing"],
    ),
    "the places of the dead stay": (
        [("            nshm__poke(&t->places[i].word, 0, RELEASE);\n            freed++;\n", "            freed++;\n")],
        ["operations", "the_dead_keep_nothing"],
    ),
    "who closes keeps its pins": (
        [
            (
                "        if (nshm__peek(&t->frame[f].pins, RELAXED) & pins) nshm__topic_let_go(t, f, pins);\n",
                "        (void)pins;\n",
            )
        ],
        ["operations", "who_closes_gives_back_what_it_holds"],
    ),
    "a writer wakes nobody": (
        [
            (
                "    if (nshm__peek(t->wishes, RELAXED) == nshm__peek(&t->head->served, RELAXED)) return;\n",
                "    if (before || !before) return;\n",
            )
        ],
        ["step", "publish_to_a_sleeper", "200"],
    ),
    "a vain wake-up serves wishes that came after the change": (
        [
            (
                "        nshm__poke(&t->head->served, before, RELAXED);\n",
                "        nshm__poke(&t->head->served, *t->wishes + before * 0, RELAXED);\n",
            )
        ],
        ["operations", "who_lies_down_between_a_change_and_its_wake_up_is_woken"],
    ),
    "nobody says that he is about to sleep": (
        [
            (
                "    if (word & 1) return -EPIPE;\n    __atomic_fetch_add(t->wishes, 1, __ATOMIC_SEQ_CST);\n",
                "    if (word & 1) return -EPIPE;\n",
            )
        ],
        ["step", "publish_to_a_sleeper", "200"],
    ),
    "a wake-up is not passed on": (
        [("        nshm__topic_wake(t, NSHM_TOPIC_PASSES, others);\n", "        (void)others;\n")],
        ["step", "be_woken", "200"],
    ),
    "the end is told to nobody": (
        [('    NSHM_STEP("ended");\n    nshm__topic_wake(t, INT_MAX, NSHM__EVERYBODY);\n', '    NSHM_STEP("ended");\n')],
        ["step", "end", "50"],
    ),
    "the dead are believed to be dead in another IPC namespace": (
        [("    if (!nshm__topic_may_tell(t)) return 0;\n    nshm__topic_find_dead", "    nshm__topic_find_dead")],
        ["operations", "nobody_is_taken_for_dead_from_elsewhere"],
    ),
    "a forked child goes on as its parent": (
        [
            (
                "    if (nshm__peek(&t->forks, ACQUIRE) == nshm__peek(&nshm__forks, RELAXED) && nshm__peek(&t->mine",
                "    if (nshm__peek(&t->mine",
            ),
            (
                "i >= NSHM_TOPIC_PLACES_MAX || nshm__peek(&t->forks, ACQUIRE) != nshm__peek(&nshm__forks, RELAXED)) return -1;",
                "i >= NSHM_TOPIC_PLACES_MAX) return -1;",
            ),
        ],
        ["operations", "a_forked_child_takes_part_as_itself"],
    ),
    "a signal handler takes away what its thread has pending": (
        [
            (
                "nshm__me.head->list_op_pending ? -EDEADLK : 0;\n}\n\nstatic inline uint32_t *nshm__topic_bed",
                "0;\n}\n\nstatic inline uint32_t *nshm__topic_bed",
            )
        ],
        ["operations", "a_signal_handler_is_told_what_it_interrupted"],
    ),
    "a length is believed": (
        [("    if (w->length > t->value_max) return -EUCLEAN;\n", "")],
        ["operations", "what_is_written_over_is_told"],
    ),
    "the number of a frame is believed": (
        [("    if (w->frame >= t->frames) return -EUCLEAN;\n", "")],
        ["operations", "what_is_written_over_is_told"],
    ),
    "a value that is of the history and gone is looked for for ever": (
        [("        if (nshm__topic_latest(t) - number < t->history) return -EUCLEAN;", "        if (0) return -EUCLEAN;")],
        ["operations", "what_is_written_over_is_told"],
    ),
    "readers may not write the token": (
        [("type == NSHM_TOPIC ? readers << 1 : 0", "0 ? readers << 1 : 0")],
        ["operations", "others_read_in_global_and_are_woken"],
    ),
    "a handle that is duplicated cannot say that it sleeps": (
        [("nshm__attach_token(h->type, h->token_id)", "nshm__attach_token(NSHM_SECTION, h->token_id)")],
        ["operations", "handles_can_be_duplicated_and_sent"],
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_bug_is_caught(mutant: str, tmp_path: Path) -> None:
    changes, (program, *arguments) = MUTANTS[mutant]
    if "others_read_in_global_and_are_woken" in arguments and os.geteuid():
        pytest.skip("needs another user")
    include = changed(tmp_path / "include", changes)
    flags = ["-O2", "-DPATIENCE=1"] if program == "step" else ["-O2"]
    built = build(program, tmp_path, include=include, flags=flags)
    run = subprocess.run([built, *arguments], capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_HERE:
        pytest.skip("ptrace is not permitted here")
    crashed = mutant in DEADLY and run.returncode == CRASHED
    assert run.returncode == CAUGHT or crashed, run.stdout + run.stderr
