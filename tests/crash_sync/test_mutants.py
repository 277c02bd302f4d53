"""The tests of this directory find what they are for: each planted bug in a copy of the headers is caught."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .build import build, changed
from .storm import WITHOUT_NAPS

CAUGHT, NOT_HERE = 1, 77
EVERY_CALL = "25"

#: what is changed, into what, who has to see it
MUTANTS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "a release wakes nobody": (
        [("may have it at once */\n            nshm__wake(&w->state, 1);", "may have it at once */")],
        ["step", "release", EVERY_CALL],
    ),
    "nothing is pending while a mutex is taken": (
        [('        nshm__pending(&w->state);\n        NSHM_STEP("taking");', '        NSHM_STEP("taking");')],
        ["step", "acquire", "5"],
    ),
    "nothing is pending while it is released": (
        [("    nshm__pending(&w->state);\n    nshm__unlink(&linked", "    nshm__unlink(&linked")],
        ["step", "release", "3"],
    ),
    "nothing is pending while it is slept on": (
        [("nshm__me.keep = &only->words->state;", "(void)0;")],
        ["step", "be_woken", "15"],
    ),
    "nothing is pending while a semaphore is slept on": (
        [("nshm__me.keep = &only->words->state;", "nshm__me.keep = only->type == NSHM_MUTEX ? &only->words->state : NULL;")],
        ["step", "be_woken_by_a_dying_releaser", "15"],
    ),
    "nothing is pending while a semaphore is released (as it was in version 1)": (
        [("    nshm__pending(&w->state);\n    counter = ", "    counter = ")],
        ["step", "release_semaphore", "5"],
    ),
    "who takes one of several does not wake the next": (
        [("    } else if (v) {\n        nshm__wake(&w->state, 1);\n    }", "    }")],
        ["step", "release_semaphore", "5"],
    ),
    "who saw a manual event does not wake the others": (
        [("        if (v || nshm__pulsed(o)) nshm__wake(&w->state, INT_MAX);", "        (void)0;")],
        ["step", "set_manual", "5"],
    ),
    "who takes it does not name the waiters": (
        [("| (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST) ? FUTEX_WAITERS : 0)", "")],
        ["step", "be_woken", "15"],
    ),
    "an owned mutex is not in the robust list": (
        [
            (
                "    nshm__link(&o->words->state);\n",
                "    nshm__links *ours = nshm__links_of(&o->words->state);\n    ours->prev = ours->next = &nshm__me.head->list;\n",
            )
        ],
        ["step", "acquire_again", EVERY_CALL],
    ),
    "a death is not told": (
        [("return v & FUTEX_OWNER_DIED ? NSHM_ABANDONED : 0;", "return 0;")],
        ["step", "acquire_again", EVERY_CALL],
    ),
    "nothing is pending while an event is set": (
        [("    nshm__pending(&w->state);\n    if (o->manual)", "    if (o->manual)")],
        ["step", "set", "3"],
    ),
    "a mutex used from several PID namespaces is kept pending": (
        [("return space == nshm__me.space && space != NSHM_MIXED;", "return space || 1;")],
        ["namespaces", "a_sleeper_dies_when_its_namesake_has_it"],
    ),
    "who owns it is the thread id alone": (
        [
            (
                "    if (k >= 0) return nshm__deepen(o, k);",
                "    (void)k, (void)nshm__deepen;\n    if ((v & FUTEX_TID_MASK) == nshm__me.tid) return 0;",
            )
        ],
        ["namespaces", "ownership"],
    ),
    "a set wakes everybody": (
        [("o->manual ? INT_MAX : 1);", "INT_MAX);")],
        ["crowd", "200"],
    ),
    "a page is used though another thread's list goes through it": (
        [("        if (nshm__in_use(p, holder)) return 0;\n", "        (void)0;\n")],
        ["hostile", "20", "1"],
    ),
    "a page is unmapped though a thread owns through it": (
        [("    while (nshm__in_use(p, holder))\n", "    while (0)\n")],
        ["hostile", "20", "1"],
    ),
    "a node leaves the list, and the next does not learn it": (
        [("    if (next != &nshm__me.head->list) nshm__links_at(next)->prev = prev;\n", "")],
        ["neighbours"],
    ),
    "a mutex is taken by a store": (
        [
            (
                "if (__atomic_compare_exchange_n(&w->state, &v, mine, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {",
                "sched_yield();\n        __atomic_store_n(&w->state, mine, __ATOMIC_SEQ_CST);\n        if (1) {",
            )
        ],
        ["storm", "300", "1", "40"],
    ),
    "a semaphore is taken by a store": (
        [
            (
                "if (__atomic_compare_exchange_n(&o->words->counter, &v, nshm__counter(n ? n - 1 : 0), 0,",
                "sched_yield();\n        __atomic_store_n(&o->words->counter, nshm__counter(n - 1), __ATOMIC_SEQ_CST);\n"
                "        if (nshm__nothing(0,",
            ),
            ("static inline int nshm__try_semaphore(", "#define nshm__nothing(...) 1\nstatic inline int nshm__try_semaphore("),
        ],
        ["storm", "300", "1", "40"],
    ),
    "a wait-all takes what it finds, and gives up at what is missing": (
        [
            ("if (!nshm__signaled(o)) return -EAGAIN;", "if (!nshm__signaled(o)) break;"),
            (
                "                r = -EAGAIN;\n                break;\n            }\n            if",
                "                break;\n            }\n            if",
            ),
        ],
        ["storm", "300", "1", "40"],
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_bug_is_caught(mutant: str, tmp_path: Path) -> None:
    changes, (program, *arguments) = MUTANTS[mutant]
    include = changed(tmp_path / "include", changes)
    flags = ["-O2", *([WITHOUT_NAPS] if program == "storm" else ["-DPATIENCE=1"])]
    built = build(program, tmp_path, include=include, flags=flags)
    run = subprocess.run([built, *arguments], capture_output=True, text=True, timeout=500)
    if run.returncode == NOT_HERE:
        pytest.skip("ptrace or PID namespaces are not permitted here")
    assert run.returncode == CAUGHT, run.stdout + run.stderr
