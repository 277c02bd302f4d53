"""The tests of this directory find what they are for: each planted bug in a copy of the headers is caught.

Some wake-ups are lost only where certain turns meet: those flaws are planted in the model (test_model.py).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .build import build, changed

CAUGHT, NOT_HERE = 1, 77

#: what is changed, into what, who has to see it
MUTANTS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "what is acknowledged stays its consumer's": (
        [
            (
                "    return nshm__trade(&q->chunk[c].owner, &mine, q->id | NSHM_PRODUCER, RELEASE)",
                "    return nshm__trade(&q->chunk[c].owner, &mine, mine, RELEASE)",
            )
        ],
        ["operations", "what_is_acknowledged_does_not_come_again_and_can_be_read"],
    ),
    "what is acknowledged is free though it is still read": (
        [
            (
                "    return nshm__trade(&q->chunk[c].owner, &mine, q->id | NSHM_PRODUCER, RELEASE)",
                "    return nshm__trade(&q->chunk[c].owner, &mine, 0, RELEASE)",
            )
        ],
        ["operations", "what_is_acknowledged_does_not_come_again_and_can_be_read"],
    ),
    "the lock is not pending while it is taken and held": (
        [("    nshm__pending(lock); /* until the end of the unlock */\n", "    nshm__pending(NULL);\n")],
        ["step", "put", "5"],
    ),
    "the lock is pending no more when the wake-up comes": (
        [
            (
                '    int sleepers = nshm__queue_give_up(lock, v), woken;\n    NSHM_STEP("unlocked");\n',
                '    int sleepers = nshm__queue_give_up(lock, v), woken;\n    nshm__pending(NULL);\n    NSHM_STEP("unlocked");\n',
            )
        ],
        ["step", "put_to_a_sleeper", "2"],
    ),
    "an unlock wakes nobody": (
        [("    if (sleepers && nshm__queue_wake(lock, n) <= 0) {", "    if (sleepers && n < 0) {")],
        ["step", "put_to_a_sleeper", "50"],
    ),
    "what a sleeper waits for is looked for before its word is armed": (
        [
            ("    return !nothing(q) || nshm__peek(&q->head->shut, RELAXED);\n", "    return 0 && nothing(q);\n"),
            (
                "    uint32_t armed;\n    nshm__queue_answerable(q, word);\n",
                "    uint32_t armed;\n    if (!nothing(q)) return 1;\n    nshm__queue_answerable(q, word);\n",
            ),
        ],
        ["turns", "4000", "1"],
    ),
    "giving a lock up does not change the word": (
        [("v & NSHM__SLEEPERS ? NSHM__FLAGS : 0, ACQ_REL)", "v & NSHM__SLEEPERS ? NSHM__SLEEPERS : 0, ACQ_REL)")],
        ["turns", "4000", "1"],
    ),
    "the unlock that wakes forgets that others sleep": (
        [("v & NSHM__SLEEPERS ? NSHM__FLAGS : 0, ACQ_REL)", "0, ACQ_REL)")],
        ["turns", "4000", "1"],
    ),
    "a put cursor that was left behind stays there": (
        [
            (
                "    for (uint32_t i = 0; nshm__queue_published(nshm__peek(nshm__queue_slot(q, h), RELAXED), h); h++)\n"
                "        if (++i > q->capacity) return -EUCLEAN;\n",
                "",
            )
        ],
        ["step", "put", "1"],
    ),
    "the put cursor moves before the message is published": (
        [
            (
                '    NSHM_STEP("publishing");\n    nshm__poke(nshm__queue_slot',
                "    nshm__poke(&q->head->put.cursor, position + 1, RELAXED);\n    nshm__poke(nshm__queue_slot",
            )
        ],
        ["step", "put", "1"],
    ),
    "a message is published before it is written": (
        [
            (
                "        if (length[k]) memcpy(nshm__queue_slot(q, position) + 1, data[k], length[k]);\n"
                "        nshm__queue_publish(q, position, (uint32_t)length[k]);\n",
                "        nshm__queue_publish(q, position, (uint32_t)length[k]);\n        sched_yield();\n"
                "        if (length[k]) memcpy(nshm__queue_slot(q, position) + 1, data[k], length[k]);\n",
            )
        ],
        ["storm", "40", "1", "60", "inline"],
    ),
    "the get cursor moves before the message is copied": (
        [
            (
                "        if (w[k].length) memcpy((char *)buffer + used, w[k].data, w[k].length);\n",
                "        nshm__poke(&e->cursor, t + (uint64_t)k + 1, RELEASE);\n        sched_yield();\n"
                "        if (w[k].length) memcpy((char *)buffer + used, w[k].data, w[k].length);\n",
            )
        ],
        ["storm", "40", "1", "60", "tiny"],
    ),
    "a chunk is its consumer's after the cursor has moved": (
        [
            (
                "    if (!nshm__trade(&q->chunk[c].owner, &owner, q->id | NSHM_CONSUMER, ACQ_REL)) return -EUCLEAN;\n",
                "    nshm__poke(&q->head->get.cursor, position + 1, RELEASE);\n"
                "    if (!nshm__trade(&q->chunk[c].owner, &owner, q->id | NSHM_CONSUMER, ACQ_REL)) return -EUCLEAN;\n",
            )
        ],
        ["step", "take_and_acknowledge", "1"],
    ),
    "what the dead left is looked for without looking at the ring": (
        [("        if (!owner || s->ring[c] || !", "        if (!owner || !")],
        ["step", "sweep", "50"],
    ),
    "the entries of the dead are not freed": (
        [("        if (s.dead[i] && nshm__peek(&q->entries[i].word, RELAXED) == s.seen[i])", "        if (0)")],
        ["step", "put", "50"],
    ),
    "what a dead consumer had is freed": (
        [("        if ((q->mode & NSHM_QUEUE_ACK) && (owner & 0xff) == NSHM_CONSUMER) {", "        if (0) {")],
        ["operations", "what_a_dead_consumer_had_comes_again"],
    ),
    "what a dead consumer had is not looked for": (
        [("        if (!nshm__queue_held(q)) return 0;\n", "        if (q) return 0;\n")],
        ["operations", "what_a_dead_consumer_had_comes_again"],
    ),
    "the dead are believed to be dead in another IPC namespace": (
        [
            ("    if (!nshm__queue_may_tell(q) || !nshm__queue_find_dead(q, &s)", "    if (!nshm__queue_find_dead(q, &s)"),
        ],
        ["operations", "nobody_is_taken_for_dead_from_elsewhere"],
    ),
    "one's own number in a lock is taken for one's own lock": (
        [
            (
                "        if (tries < 100) {\n            nshm__pause();\n            continue;\n        }\n",
                "        if ((v & FUTEX_TID_MASK) == me) return -EDEADLK;\n"
                "        if (tries < 100) {\n            nshm__pause();\n            continue;\n        }\n",
            )
        ],
        ["operations", "threads_of_equal_numbers_are_told_apart"],
    ),
    "a forked child goes on as its parent": (
        [("    if (nshm__peek(&q->forks, ACQUIRE) == nshm__peek(&nshm__forks, RELAXED) && ", "    if (")],
        ["operations", "a_forked_child_takes_part_as_itself"],
    ),
    "a forked child keeps its parent's proof of life": (
        [("    if (!r && madvise(l->at, nshm_page_round(l->size), MADV_DONTFORK)) r = -errno;\n", "")],
        ["operations", "a_proof_of_life_is_not_inherited"],
    ),
    "a length is believed": (
        [
            (
                "    if (!(header & NSHM__IN_CHUNK)) return w->length > q->inline_max ? -EUCLEAN : 0;",
                "    if (!(header & NSHM__IN_CHUNK)) return 0;",
            )
        ],
        ["operations", "what_is_written_over_is_told"],
    ),
    "the number of a chunk is believed": (
        [("    if (c >= q->chunks) return -EUCLEAN;\n    owner", "    owner")],
        ["hostile", "20", "1"],
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_bug_is_caught(mutant: str, tmp_path: Path) -> None:
    changes, (program, *arguments) = MUTANTS[mutant]
    include = changed(tmp_path / "include", changes)
    flags = ["-O2", "-DPATIENCE=1"] if program == "step" else ["-O2"]
    built = build(program, tmp_path, include=include, flags=flags)
    run = subprocess.run([built, *arguments], capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_HERE:
        pytest.skip("ptrace is not permitted here")
    assert run.returncode == CAUGHT, run.stdout + run.stderr
