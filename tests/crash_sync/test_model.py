"""Every interleaving of small cases of the futex protocols, and planted bugs that must be found: see model.py."""

from __future__ import annotations

from typing import Any

import pytest

from .model import Machine, Mutex, Signal, Violation, WaitAll, explore

HOLDS: dict[str, tuple[Machine, dict[str, int]]] = {
    "two threads, each killed or not": (Mutex(2, mortal=2), {"kills": 2, "disturbances": 2}),
    "two threads, twice": (Mutex(2, 2), {"kills": 1, "disturbances": 0}),
    "three threads, one killed": (Mutex(3), {"kills": 1, "disturbances": 0}),
    "an auto-reset event, its setter or a waiter killed": (Signal("auto", 1, 2), {"kills": 1}),
    "an auto-reset event, two setters": (Signal("auto", 2, 2), {"kills": 1, "disturbances": 0}),
    "an auto-reset event, setter and woken waiter killed, with naps": (Signal("auto", 1, 2, naps=True), {"kills": 2}),
    "a manual-reset event that stays set": (Signal("manual", 1, 2), {"kills": 0}),
    "a manual-reset event, reset at once, with naps": (Signal("manual", 1, 2, 1, naps=True), {"kills": 1}),
    "a semaphore": (Signal("semaphore", 2, 2), {"kills": 0}),
    "a semaphore, killed, with naps": (Signal("semaphore", 2, 2, naps=True), {"kills": 1}),
    "a wait-all, killed, beside one that wants the mutex alone": (WaitAll(1, 1), {"kills": 1}),
    "two wait-alls": (WaitAll(0, 2), {"kills": 0, "disturbances": 0}),
}


@pytest.mark.parametrize("case", HOLDS)
def test_no_interleaving_breaks_the_protocol(case: str) -> None:
    machine, limits = HOLDS[case]
    assert explore(machine, **limits) > 100


FLAWS: dict[str, tuple[Machine, int]] = {
    "a store instead of a swap": (Mutex(2, flaw="store instead of swap"), 0),
    "the kernel does not compare": (Mutex(2, flaw="no compare"), 0),
    "the wake-up comes before the store": (Mutex(2, flaw="wake before the store"), 0),
    "nothing is pending while a mutex is taken": (Mutex(2, flaw="nothing pending while it takes"), 1),
    "nothing is pending while it is released": (Mutex(2, flaw="nothing pending while it releases"), 1),
    "nothing is pending while it is slept on": (Mutex(3, flaw="nothing pending while it sleeps"), 1),
    "pending ends with the sleep": (Mutex(3, flaw="pending ends with the sleep"), 1),
    "who takes it does not mark that others sleep": (Mutex(3, flaw="no mark in the swap"), 1),
    "who sleeps does not mark it": (Mutex(2, flaw="no mark by the sleeper"), 1),
    "an event: the kernel does not compare": (Signal("auto", 1, 1, flaw="no compare"), 0),
    "an event: the wake-up comes before the store": (Signal("auto", 1, 1, flaw="wake before the store"), 0),
    "an event: looked at before the waiter is counted": (Signal("auto", 1, 1, flaw="compares before it raises"), 0),
    "an event: nothing is pending while it is set": (Signal("auto", 1, 2, flaw="nothing pending while it sets"), 1),
    "an event: one is woken, and killed": (Signal("auto", 1, 2, flaw="wakes one"), 1),
    "somebody sleeps on a reserved mutex": (WaitAll(1, 1, flaw="sleeps on a reservation"), 1),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_planted_bug_is_found(flaw: str) -> None:
    machine, kills = FLAWS[flaw]
    with pytest.raises(Violation):
        explore(machine, kills=kills)


#: What the documentation says: the kernel knows one pending word of a thread, and wakes one.  Sleepers look again by themselves.
NEED_NAPS: dict[str, tuple[Any, int]] = {
    "the setter of an event and the waiter woken for it are both killed": (("auto", 1, 2), 2),
    "a manual-reset event is set and reset between a waiter's look and its sleep": (("manual", 1, 2, 1), 0),
    "the releaser of a semaphore is killed before it wakes": (("semaphore", 2, 2), 1),
}


@pytest.mark.parametrize("case", NEED_NAPS)
def test_without_naps_these_wake_ups_would_be_lost(case: str) -> None:
    arguments, kills = NEED_NAPS[case]
    with pytest.raises(Violation, match="LOST"):
        explore(Signal(*arguments), kills=kills)
    explore(Signal(*arguments, naps=True), kills=kills)
