"""Every interleaving of small cases of the futex protocols, and planted bugs that must be found: see model.py."""

from __future__ import annotations

import pytest

from .model import Machine, Mutex, Page, Signal, Violation, WaitAll, explore

HOLDS: dict[str, tuple[Machine, dict[str, int]]] = {
    "two threads, each killed or not": (Mutex(2, mortal=2), {"kills": 2, "disturbances": 2}),
    "two threads, twice": (Mutex(2, 2), {"kills": 1, "disturbances": 0}),
    "three threads, one killed": (Mutex(3), {"kills": 1, "disturbances": 0}),
    "an auto-reset event, its setter or a waiter killed": (Signal("auto", 1, 2), {"kills": 1}),
    "an auto-reset event, two setters": (Signal("auto", 2, 2), {"kills": 1, "disturbances": 0}),
    "an auto-reset event, setter and woken waiters killed": (Signal("auto", 1, 3), {"kills": 3, "disturbances": 0}),
    "a manual-reset event, setter and woken waiters killed": (Signal("manual", 1, 2), {"kills": 2, "disturbances": 0}),
    "a manual-reset event, reset at once": (Signal("manual", 1, 2, 1), {"kills": 1, "disturbances": 0}),
    "a semaphore, released and waited for by two": (Signal("semaphore", 2, 2), {"kills": 2, "disturbances": 0}),
    "a semaphore, released by two at once, one or two killed": (
        Signal("semaphore", 1, 3, units=2),
        {"kills": 2, "disturbances": 0},
    ),
    "an auto-reset event, one of its waiters takes another object": (Signal("auto", 1, 3, several=1), {"kills": 0}),
    "a semaphore, two of its waiters take other objects": (Signal("semaphore", 1, 3, units=2, several=2), {"kills": 0}),
    "a manual event, one of its waiters takes another object": (
        Signal("manual", 1, 2, 1, several=1),
        {"kills": 0, "disturbances": 0},
    ),
    "a wait-all beside one that wants the mutex alone": (WaitAll(1, 1), {"kills": 0}),
    "a wait-all that never gets all, beside one that wants the mutex alone": (WaitAll(1, 1, sets=False), {"kills": 0}),
    "a wait-all, killed, beside one that wants the mutex alone": (WaitAll(1, 1, naps=True), {"kills": 1}),
    "two wait-alls": (WaitAll(0, 2), {"kills": 0, "disturbances": 0}),
    "an attachment used by three threads that end": (Page(3, 2), {"kills": 2, "disturbances": 0}),
    "an attachment used by two threads, a third closes the handle": (Page(2, 2, closes=True), {"kills": 1, "disturbances": 0}),
    "an attachment used by two threads while somebody writes over the word": (
        Page(2, 2, scribbles=2, closes=True),
        {"kills": 1, "disturbances": 0},
    ),
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
    "a semaphore: nothing is pending while it is released": (Signal("semaphore", 1, 1, flaw="nothing pending while it sets"), 1),
    "a semaphore: nothing is pending while it is slept on": (Signal("semaphore", 1, 2, flaw="nothing pending while it sleeps"), 2),
    "a semaphore: who takes one does not wake the next": (Signal("semaphore", 1, 2, units=2, flaw="nothing passed on"), 1),
    "a manual event: who saw it does not wake the others": (Signal("manual", 1, 2, flaw="nothing passed on"), 1),
    "a manual event: it is set and reset between look and sleep": (Signal("manual", 1, 2, 1, flaw="sleeps on the state alone"), 0),
    "an event: who takes another object instead does not wake the next": (
        Signal("auto", 1, 3, several=1, flaw="nothing passed on"),
        0,
    ),
    "a wait-all that did not get all does not wake the next": (WaitAll(1, 1, sets=False, flaw="nothing passed on"), 0),
    "a page is used without a claim, and the word was written over": (Page(2, 1, scribbles=1, flaw="nothing claimed"), 0),
    "a page is claimed from a living thread": (Page(2, 1, scribbles=1, flaw="claimed without looking"), 0),
    "a page is given up before its node has left the list": (
        Page(2, 1, scribbles=1, flaw="unclaimed before it is unlinked"),
        0,
    ),
    "a page is unmapped though a list goes through it": (Page(1, 1, closes=True, flaw="unmapped whoever has it"), 0),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_planted_bug_is_found(flaw: str) -> None:
    machine, kills = FLAWS[flaw]
    with pytest.raises(Violation):
        explore(machine, kills=kills)


def test_without_naps_a_wake_up_would_be_lost_to_a_wait_for_several() -> None:
    """What the documentation says: who waits for several has nothing pending, so when it is killed with a wake-up the next finds
    out by himself."""
    with pytest.raises(Violation, match="LOST"):
        explore(Signal("auto", 1, 2, several=1), kills=1)
    explore(Signal("auto", 1, 2, several=1, naps=True), kills=2)
