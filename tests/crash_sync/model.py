"""The futex protocols of namedshm_sync.h as small machines, and an explorer of all their interleavings.

What:   each thread is a machine whose steps are what the header does atomically: one load, one compare-and-swap, one system call.
        The explorer visits every state that any order of steps can reach, with threads killed at any step, sleepers disturbed
        (EINTR, a timeout), and the kernel doing what futex(2) and set_robust_list(2) promise.
Why:    storms find what is likely; this finds what is possible, in small.
Not:    a proof about the C code.  Who changes the protocol there changes it here, and plants the bug it avoids (`flaw`).

Checked in every state:
    at most one living thread is inside the critical section;
    who enters after a death inside is told, and nobody else is;
    a semaphore's count plus what is held and was lost is constant; an event's token is taken once;
and in every state where nothing moves any more: nobody sleeps on an object that is signaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WAITERS, DIED, RESERVED, OWNER = 16, 32, 64, 15  # of a mutex: bits outside of the owner's number
SET, TAKEN = 1, 2  # of an event: set, and reserved by a wait-all

Thread = dict[str, Any]


class Violation(Exception):
    """A property does not hold; carries the way there."""


class World:
    """Words, sleepers and threads.  `asleep` is in the order of falling asleep: the kernel wakes the first."""

    __slots__ = ("asleep", "mem", "threads")

    def __init__(self, mem: dict[str, int], threads: list[Thread], asleep: tuple[int, ...] = ()) -> None:
        self.mem, self.threads, self.asleep = mem, threads, asleep

    def copy(self) -> World:
        return World(self.mem.copy(), [t.copy() for t in self.threads], self.asleep)

    def key(self) -> tuple[object, ...]:
        return (tuple(self.mem.values()), tuple(tuple(t.values()) for t in self.threads), self.asleep)

    def wake(self, word: str, n: int) -> None:  # FUTEX_WAKE
        for i in self.asleep:
            if n and word in self.threads[i]["on"]:
                n -= 1
                self.rouse(i)

    def rouse(self, i: int) -> None:
        self.asleep = tuple(k for k in self.asleep if k != i)
        self.threads[i].update(pc=self.threads[i]["back"], on=())

    def wait(self, i: int, pairs: tuple[tuple[str, int], ...], back: str, compare: bool = True) -> None:  # FUTEX_WAIT, waitv
        if compare and any(self.mem[word] != value for word, value in pairs):
            self.threads[i]["pc"] = back
        else:
            self.threads[i].update(pc="asleep", back=back, on=tuple(word for word, _ in pairs))
            self.asleep += (i,)


def owner_of(value: int) -> int:
    return value & (OWNER | RESERVED)


class Machine:
    """A protocol: `begin()` makes its world, `steps[pc](world, thread, i)` does one step."""

    mutexes: tuple[str, ...] = ()
    #: without it nobody looks by himself: every wake-up must come
    naps = False

    def __init__(self, flaw: str = "") -> None:
        self.flaw = flaw

    def begin(self) -> World:
        raise NotImplementedError

    def thread(self, pc: str, **more: object) -> Thread:
        return {"pc": pc, "v": 0, "got": 0, "pend": "", "list": (), "on": (), "back": "", "left": 0, **more}

    def check(self, world: World) -> None:
        pass

    def key(self, world: World) -> tuple[object, ...]:
        """What tells states apart."""
        return world.key()

    def lost(self, world: World, i: int) -> bool:
        """Nothing moves any more, and thread i sleeps: should it not?"""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------ death
    def kill(self, w: World, i: int) -> None:
        t = w.threads[i]
        w.asleep = tuple(k for k in w.asleep if k != i)
        if t["pc"] == "inside":
            w.mem["dirty"] = 1
        t.update(pc="dying", on=())

    def dying(self, w: World, t: Thread, i: int) -> None:
        """exit_robust_list: the list, without what is pending, then that; a wake-up is a step of its own."""
        words = [word for word in t["list"] if word != t["pend"]]
        if words:
            t["list"] = tuple(word for word in t["list"] if word != words[0])
            self.give_up(w, t, i, words[0], False)
        elif t["pend"]:
            word, t["pend"], t["list"] = t["pend"], "", ()
            self.give_up(w, t, i, word, True)
        else:
            t["pc"] = "dead"

    def give_up(self, w: World, t: Thread, i: int, word: str, pending: bool) -> None:  # handle_futex_death
        value = w.mem[word]
        if word == "lock":
            if value == i + 1:
                w.mem[word] = 0
        elif word not in self.mutexes or not owner_of(value):
            if pending:
                t.update(pc="dying-wakes", v=word)
        elif owner_of(value) == i + 1:
            w.mem[word] = value & WAITERS | DIED
            if value & WAITERS:
                t.update(pc="dying-wakes", v=word)

    def dying_wakes(self, w: World, t: Thread, i: int) -> None:
        w.wake(t["v"], 1)
        t.update(pc="dying", v=0)

    def step(self, w: World, i: int) -> bool:
        """One step of thread i; False if it cannot move."""
        t = w.threads[i]
        if t["pc"] in ("asleep", "dead", "done"):
            return False
        getattr(self, t["pc"].replace("-", "_"))(w, t, i)
        return True


def explore(machine: Machine, kills: int = 1, disturbances: int = 1, limit: int = 1_000_000) -> int:
    """Visit every reachable state; returns how many there are.  Raises Violation."""
    start = machine.begin()
    first = (machine.key(start), kills, disturbances)
    ways: dict[object, tuple[object, str]] = {first: (None, "")}
    queue = [(start, kills, disturbances, first)]

    def way(key: object) -> str:
        steps = []
        while ways[key][0] is not None:
            key, step = ways[key]
            steps.append(step)
        return " > ".join(reversed(steps))

    def followers(w: World, own: object, kills: int, disturbances: int) -> Iterator[tuple[World, int, int, str, bool]]:
        for i, t in enumerate(w.threads):
            pc = t["pc"]
            n = w.copy()
            if machine.step(n, i) and machine.key(n) != own:  # who waits in a loop does not move
                yield n, kills, disturbances, f"{i}:{pc}", True
            if kills and pc not in ("dead", "done", "dying", "dying-wakes") and not t.get("immortal"):
                n = w.copy()
                machine.kill(n, i)
                yield n, kills - 1, disturbances, f"KILL {i} at {pc}", False
            if pc == "asleep" and (disturbances or machine.naps):
                n = w.copy()
                n.rouse(i)
                yield n, kills, disturbances - (not machine.naps), f"DISTURB {i}", machine.naps

    while queue:
        w, k, d, key = queue.pop()
        moves = False
        for n, k2, d2, step, counts in followers(w, key[0], k, d):
            moves |= counts
            new = (machine.key(n), k2, d2)
            if new in ways:
                continue
            ways[new] = (key, step)
            if len(ways) > limit:
                raise AssertionError(f"more than {limit} states")
            try:
                machine.check(n)
            except Violation as violation:
                raise Violation(f"{violation}: {way(new)}") from None
            queue.append((n, k2, d2, new))
        if not moves:
            for i in w.asleep:
                if machine.lost(w, i):
                    raise Violation(f"LOST: thread {i} sleeps for ever: {way(key)}")
    return len(ways)


# ---------------------------------------------------------------------------------------------------- mutex
class Mutex(Machine):
    """nshm__try_mutex, nshm__sleep, nshm__leave, nshm_mutex_release of one mutex."""

    mutexes = ("M",)

    def __init__(self, threads: int = 2, rounds: int = 1, mortal: int = 1, flaw: str = "") -> None:
        super().__init__(flaw)
        self.count, self.rounds, self.mortal = threads, rounds, mortal  # threads are alike: any `mortal` of them can be killed

    def begin(self) -> World:
        mem = {"M": 0, "waiters": 0, "dirty": 0}
        more = {"rounds": self.rounds, "slept": 0, "told": 0, "keep": ""}
        return World(mem, [self.thread("load", immortal=int(i >= self.mortal), **more) for i in range(self.count)])

    def check(self, w: World) -> None:
        inside = [i for i, t in enumerate(w.threads) if t["pc"] == "inside"]
        if len(inside) > 1:
            raise Violation("DOUBLE: two are inside")

    def lost(self, w: World, i: int) -> bool:
        return True  # everybody releases: in the end a mutex is free

    # try
    def load(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="look", v=w.mem["M"])

    def look(self, w: World, t: Thread, i: int) -> None:
        if owner_of(t["v"]):
            t["pc"] = "leave" if t["slept"] else "raise"
            return
        t["left"] = WAITERS if w.mem["waiters"] and self.flaw != "no mark in the swap" else 0  # what is marked in the swap
        t["pc"] = "pend"

    def pend(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="swap", pend="" if self.flaw == "nothing pending while it takes" else "M")

    def swap(self, w: World, t: Thread, i: int) -> None:
        if w.mem["M"] != t["v"] and self.flaw != "store instead of swap":
            t.update(pc="look", v=w.mem["M"], pend=t["keep"])
            return
        w.mem["M"] = i + 1 | t["v"] & WAITERS | t["left"]
        t.update(pc="link", told=int(t["v"] & DIED != 0), v=0)

    def link(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="mark", list=("M",))

    def mark(self, w: World, t: Thread, i: int) -> None:
        if w.mem["waiters"]:
            w.mem["M"] |= WAITERS
        t.update(pc="leave" if t["slept"] else "enter", got=1, pend=t["keep"])

    def enter(self, w: World, t: Thread, i: int) -> None:
        if w.mem["dirty"] and not t["told"]:
            raise Violation("UNTOLD: the last owner died inside")
        w.mem["dirty"] = 0
        t.update(pc="inside", told=0)

    # sleep
    def raise_(self, w: World, t: Thread, i: int) -> None:
        w.mem["waiters"] += 1
        t.update(pc="arm", slept=1)

    def arm(self, w: World, t: Thread, i: int) -> None:
        v = w.mem["M"]
        t["v"] = v
        t["pc"] = "load" if not owner_of(v) else "keep" if v & WAITERS or self.flaw == "no mark by the sleeper" else "arm-swap"

    def arm_swap(self, w: World, t: Thread, i: int) -> None:
        if w.mem["M"] == t["v"]:
            w.mem["M"] = t["v"] = t["v"] | WAITERS
            t["pc"] = "keep"
        else:
            t["pc"] = "arm"

    def keep(self, w: World, t: Thread, i: int) -> None:
        if self.flaw != "nothing pending while it sleeps":
            t["keep"] = t["pend"] = "M"
        t["pc"] = "sleep"

    def sleep(self, w: World, t: Thread, i: int) -> None:
        v, t["v"] = t["v"], 0
        w.wait(i, (("M", v),), "woken", compare=self.flaw != "no compare")

    def woken(self, w: World, t: Thread, i: int) -> None:
        if self.flaw == "pending ends with the sleep":
            t["keep"] = t["pend"] = ""
        t["pc"] = "load"

    def leave(self, w: World, t: Thread, i: int) -> None:
        w.mem["waiters"] -= 1
        left = w.mem["waiters"] and self.flaw != "nothing passed on"
        t.update(pc="pass-on" if left else "left", v=0)

    def pass_on(self, w: World, t: Thread, i: int) -> None:
        v = w.mem["M"]
        if not owner_of(v):
            w.wake("M", 1)
        elif not v & WAITERS:
            w.mem["M"] = v | WAITERS  # a swap that is tried again
        t["pc"] = "left"

    def left(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="enter" if t["got"] else "raise", keep="", pend="", slept=0)

    # release
    def inside(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="unlink", pend="" if self.flaw == "nothing pending while it releases" else "M")

    def unlink(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="wake-early" if self.flaw == "wake before the store" else "store", list=())

    def wake_early(self, w: World, t: Thread, i: int) -> None:
        w.wake("M", 1)
        t["pc"] = "store"

    def store(self, w: World, t: Thread, i: int) -> None:
        t["v"], w.mem["M"] = w.mem["M"], 0
        t["pc"] = "released" if self.flaw == "wake before the store" else "wake"

    def wake(self, w: World, t: Thread, i: int) -> None:
        if t["v"] & WAITERS or w.mem["waiters"]:
            w.wake("M", 1)
        t["pc"] = "released"

    def released(self, w: World, t: Thread, i: int) -> None:
        rounds = t["rounds"] - 1
        t.update(pc="load" if rounds else "done", pend="", v=0, got=0, left=0, rounds=rounds)

    def step(self, w: World, i: int) -> bool:
        if w.threads[i]["pc"] == "raise":
            self.raise_(w, w.threads[i], i)
            return True
        return super().step(w, i)


# ---------------------------------------------------------------------------------------------------- events, semaphores
class Signal(Machine):
    """An event or a semaphore X: setters (nshm_event_set, nshm_semaphore_release of `units`), resetters, waiters.

    X is what a semaphore has, or 0 and 1; what the kernel compares is whether it is 0.  `several`: so many of the waiters wait for
    other objects as well: nothing is pending while they sleep, and once woken they take another object.
    """

    def __init__(
        self,
        kind: str = "auto",
        setters: int = 1,
        waiters: int = 2,
        resetters: int = 0,
        units: int = 1,
        several: int = 0,
        naps: bool = False,
        flaw: str = "",
    ) -> None:
        super().__init__(flaw)
        self.kind, self.setters, self.waiters, self.resetters, self.naps = kind, setters, waiters, resetters, naps
        self.units, self.several = units, several

    def begin(self) -> World:
        threads = [self.thread("pend") for _ in range(self.setters)] + [self.thread("reset") for _ in range(self.resetters)]
        first = "begin-wait" if self.kind == "manual" else "try"
        threads += [self.thread(first, pulse=0, seen=0, several=int(k < self.several)) for k in range(self.waiters)]
        return World({"X": 0, "waiters": 0, "pulse": 0, "given": 0, "taken": 0, "cleared": 0}, threads)

    def check(self, w: World) -> None:
        if self.kind != "manual" and w.mem["taken"] + w.mem["X"] + w.mem["cleared"] != w.mem["given"]:
            raise Violation(f"COUNT: {w.mem}")

    def key(self, w: World) -> tuple[object, ...]:
        """Waiters are alike, and so are setters: states that differ in who is who are the same."""
        rank = {i: position for position, i in enumerate(w.asleep)}
        threads = [(*t.values(), rank.get(i, -1)) for i, t in enumerate(w.threads)]
        first = len(threads) - self.waiters
        return (tuple(w.mem.values()), *sorted(threads[:first], key=hash), None, *sorted(threads[first:], key=hash))

    def lost(self, w: World, i: int) -> bool:
        return w.mem["X"] > 0 or self.pulsed(w, w.threads[i])

    def pulsed(self, w: World, t: Thread) -> bool:
        """A manual event was set while it waited."""
        return self.kind == "manual" and w.mem["pulse"] != t["pulse"]

    # set
    def pend(self, w: World, t: Thread, i: int) -> None:
        if self.kind == "manual":
            w.mem["pulse"] += 1
        t.update(pc="store", pend="" if self.flaw == "nothing pending while it sets" else "X")

    def store(self, w: World, t: Thread, i: int) -> None:
        if self.flaw == "wake before the store" and not t["v"]:
            w.wake("X", 9) if w.mem["waiters"] else None
            t["v"] = 1
            return
        if self.kind == "semaphore" or not w.mem["X"]:
            w.mem["X"] += self.units
            w.mem["given"] += self.units
            t["pc"] = "look"
        else:
            t["pc"] = "set" if self.flaw == "set already: no wake" else "look"

    def look(self, w: World, t: Thread, i: int) -> None:
        t["pc"] = "wake" if w.mem["waiters"] and self.flaw != "wake before the store" else "set"

    def wake(self, w: World, t: Thread, i: int) -> None:
        w.wake("X", 9 if self.kind == "manual" else self.units)
        t["pc"] = "set"

    def set(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="done", pend="", v=0)

    def reset(self, w: World, t: Thread, i: int) -> None:
        w.mem["cleared"] += w.mem["X"]
        w.mem["X"] = 0
        t["pc"] = "done"

    # wait
    def begin_wait(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="try", pulse=w.mem["pulse"])

    def take(self, w: World, t: Thread) -> bool:
        if self.kind == "manual":
            return w.mem["X"] > 0 or self.pulsed(w, t)
        if w.mem["X"]:
            w.mem["X"] -= 1
            w.mem["taken"] += 1
            return True
        return False

    def try_(self, w: World, t: Thread, i: int) -> None:
        t["pc"] = "done" if self.take(w, t) else "arm" if self.flaw == "compares before it raises" else "raise"

    def raise_(self, w: World, t: Thread, i: int) -> None:
        w.mem["waiters"] += 1
        t["pc"] = "sleep" if self.flaw == "compares before it raises" else "arm"

    def arm(self, w: World, t: Thread, i: int) -> None:
        if self.flaw == "compares before it raises":
            t["pc"] = "try" if w.mem["X"] else "raise"
            return
        t["seen"] = w.mem["pulse"]
        t["pc"] = "again" if w.mem["X"] or self.pulsed(w, t) else "keep"

    def keep(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="sleep", pend="" if t["several"] or self.flaw == "nothing pending while it sleeps" else "X")

    def sleep(self, w: World, t: Thread, i: int) -> None:
        words: tuple[tuple[str, int], ...] = (("X", 0),)
        if self.kind == "manual" and self.flaw != "sleeps on the state alone":
            words += (("pulse", t["seen"]),)
        w.wait(i, words, "again", compare=self.flaw not in ("no compare", "compares before it raises"))

    def again(self, w: World, t: Thread, i: int) -> None:
        t.update(got=int(t["several"] or self.take(w, t)), pc="leave")

    def leave(self, w: World, t: Thread, i: int) -> None:
        w.mem["waiters"] -= 1
        t["pc"] = "pass-on" if w.mem["waiters"] and self.flaw != "nothing passed on" else "left"

    def pass_on(self, w: World, t: Thread, i: int) -> None:
        if w.mem["X"] or self.pulsed(w, t):
            w.wake("X", 9 if self.kind == "manual" else 1)
        t["pc"] = "left"

    def left(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="done" if t["got"] else "raise", pend="", seen=0)

    def step(self, w: World, i: int) -> bool:
        pc = w.threads[i]["pc"]
        if pc in ("raise", "try"):
            (self.raise_ if pc == "raise" else self.try_)(w, w.threads[i], i)
            return True
        return super().step(w, i)


# ---------------------------------------------------------------------------------------------------- wait-all
class WaitAll(Machine):
    """Wait-alls on a mutex M and an event E, an owner that releases M, a setter that sets E for each of them (or not: `sets`), and
    one that wants M alone.

    The mutex is reserved by a bit that reads like an owner, the event by a bit of its own; both under the registry's lock.
    """

    mutexes = ("M",)

    def __init__(self, alone: int = 1, alls: int = 1, naps: bool = False, sets: bool = True, flaw: str = "") -> None:
        super().__init__(flaw)
        self.lone, self.alls, self.naps, self.sets = alone, alls, naps, sets

    def begin(self) -> World:
        alls = [self.thread("all", keep="") for _ in range(self.alls)]
        owner = self.thread("release", immortal=1)
        owner["list"] = ("M",)
        setter = self.thread("set" if self.sets else "done", immortal=1, rounds=self.alls)
        alone = [self.thread("alone", keep="") for _ in range(self.lone)]
        mem = {"M": self.alls + 1, "E": 0, "lock": 0, "m_waiters": 0, "e_waiters": 0, "dirty": 0}
        return World(mem, [*alls, owner, setter, *alone])

    def check(self, w: World) -> None:
        inside = [i for i, t in enumerate(w.threads) if t["pc"] == "inside"]
        if len(inside) > 1:
            raise Violation("DOUBLE: two have the mutex")

    def lost(self, w: World, i: int) -> bool:
        t = w.threads[i]
        if t["back"] == "alone-woken":
            return True
        return bool(w.mem["E"] & SET) and not owner_of(w.mem["M"]) & ~RESERVED

    # the owner, the setter
    def release(self, w: World, t: Thread, i: int) -> None:
        t.update(pc="release-store", pend="M", list=())

    def release_store(self, w: World, t: Thread, i: int) -> None:
        t["v"], w.mem["M"] = w.mem["M"], 0
        t["pc"] = "release-wake"

    def release_wake(self, w: World, t: Thread, i: int) -> None:
        if t["v"] & WAITERS or w.mem["m_waiters"]:
            w.wake("M", 1)
        t.update(pc="done", pend="", v=0)

    def set(self, w: World, t: Thread, i: int) -> None:
        if w.mem["E"] & TAKEN:
            t["pc"] = "set-settle"
        elif w.mem["E"]:
            pass  # both wait-alls are to get one: set again when it was taken
        else:
            w.mem["E"] = SET
            t["pc"] = "set-wake"

    def set_settle(self, w: World, t: Thread, i: int) -> None:
        if not w.mem["E"] & TAKEN:
            t["pc"] = "set"
        elif not w.mem["lock"]:  # with the lock in hand a reservation is a dead process's
            w.mem["E"] &= ~TAKEN
            w.wake("E", 9)
            t["pc"] = "set"

    def set_wake(self, w: World, t: Thread, i: int) -> None:
        if w.mem["e_waiters"]:
            w.wake("E", 1)
        t["rounds"] -= 1
        t["pc"] = "set" if t["rounds"] else "done"

    # who wants the mutex alone
    def alone(self, w: World, t: Thread, i: int) -> None:
        v = w.mem["M"]
        if v & RESERVED:
            t["pc"] = "alone-settle"
        elif owner_of(v):
            t["pc"] = "alone-leave" if t["got"] else "alone-raise"
        else:
            w.mem["M"] = i + 1 | v & WAITERS | (WAITERS if w.mem["m_waiters"] else 0)
            t.update(list=("M",), pc="inside")
            if t["got"]:
                w.mem["m_waiters"] -= 1
            t["keep"] = t["pend"] = ""

    def alone_settle(self, w: World, t: Thread, i: int) -> None:
        if not w.mem["M"] & RESERVED:
            t["pc"] = "alone"
        elif not w.mem["lock"]:
            w.mem["M"] &= ~RESERVED
            w.wake("M", 9)
            t["pc"] = "alone"

    def alone_raise(self, w: World, t: Thread, i: int) -> None:
        w.mem["m_waiters"] += 1
        t.update(pc="alone-arm", got=1)

    def alone_arm(self, w: World, t: Thread, i: int) -> None:
        v = w.mem["M"]
        if not owner_of(v) or (v & RESERVED and self.flaw != "sleeps on a reservation"):
            t["pc"] = "alone"
            return
        w.mem["M"] = v | WAITERS
        t.update(pc="alone-sleep", v=v | WAITERS, keep="M", pend="M")

    def alone_sleep(self, w: World, t: Thread, i: int) -> None:
        v, t["v"] = t["v"], 0
        w.wait(i, (("M", v),), "alone-woken")

    def alone_woken(self, w: World, t: Thread, i: int) -> None:
        t["pc"] = "alone"

    def alone_leave(self, w: World, t: Thread, i: int) -> None:
        w.mem["m_waiters"] -= 1
        v = w.mem["M"]
        if w.mem["m_waiters"]:
            if not owner_of(v):
                w.wake("M", 1)
            else:
                w.mem["M"] = v | WAITERS
        t.update(pc="alone-raise", got=0, keep="", pend="")

    def inside(self, w: World, t: Thread, i: int) -> None:
        t["pc"] = "release"

    # the wait-all
    def missing(self, w: World) -> tuple[str, ...]:
        hide = RESERVED if self.flaw != "a reservation is not there" else 0
        m = bool(owner_of(w.mem["M"]) & ~hide)
        e = not w.mem["E"] & SET or (self.flaw == "a reservation is not there" and w.mem["E"] & TAKEN)
        return ("M",) * m + ("E",) * bool(e)

    def all(self, w: World, t: Thread, i: int) -> None:
        t["pc"] = ("all-leave" if t["got"] else "all-raise") if self.missing(w) else "lock"

    def lock(self, w: World, t: Thread, i: int) -> None:
        if not w.mem["lock"]:  # the lock's own protocol is that of the mutex; here it is had or not
            w.mem["lock"] = i + 1
            t.update(pc="reserve-m", pend="lock")

    def reserve_m(self, w: World, t: Thread, i: int) -> None:
        v = w.mem["M"]
        if owner_of(v) & ~RESERVED:
            t["pc"] = "unlock"
        else:
            w.mem["M"] = v | RESERVED
            t["pc"] = "reserve-e"

    def reserve_e(self, w: World, t: Thread, i: int) -> None:
        if w.mem["E"] & SET:
            w.mem["E"] |= TAKEN
            t["pc"] = "commit-link"
        else:
            t["pc"] = "roll-back"

    def roll_back(self, w: World, t: Thread, i: int) -> None:
        w.mem["M"] &= ~RESERVED
        t["pc"] = "roll-back-wake"

    def roll_back_wake(self, w: World, t: Thread, i: int) -> None:
        if w.mem["m_waiters"] and self.flaw not in ("no wake when it rolls back", "sleeps on a reservation"):
            w.wake("M", 9)
        t["pc"] = "unlock"

    def commit_link(self, w: World, t: Thread, i: int) -> None:
        t.update(list=("M",), pc="commit-m")

    def commit_m(self, w: World, t: Thread, i: int) -> None:
        w.mem["M"] = i + 1 | WAITERS
        t["pc"] = "commit-e"

    def commit_e(self, w: World, t: Thread, i: int) -> None:
        w.mem["E"] = 0
        t.update(pc="unlock", v=1)

    def unlock(self, w: World, t: Thread, i: int) -> None:
        w.mem["lock"] = 0
        t["pend"] = t["keep"]
        if not t["v"]:
            t["pc"] = "all-leave" if t["got"] else "all-raise"
            return
        if t["got"]:
            w.mem["m_waiters"] -= 1
            w.mem["e_waiters"] -= 1
        t.update(v=0, got=0, pc="inside", keep="", pend="")

    def all_raise(self, w: World, t: Thread, i: int) -> None:
        w.mem["m_waiters"] += 1
        w.mem["e_waiters"] += 1
        t.update(pc="all-arm", got=1)

    def all_arm(self, w: World, t: Thread, i: int) -> None:
        missing = self.missing(w)
        v = w.mem["M"]
        reserved = v & RESERVED or w.mem["E"] & TAKEN
        if not missing or (reserved and self.flaw not in ("sleeps on a reservation", "a reservation is not there")):
            t["pc"] = "all"
            return
        if "M" in missing:
            w.mem["M"] = v | WAITERS
        t.update(pc="all-sleep", v=tuple((word, w.mem[word]) for word in missing))

    def all_sleep(self, w: World, t: Thread, i: int) -> None:
        pairs, t["v"] = t["v"], 0
        w.wait(i, pairs, "all")

    def all_leave(self, w: World, t: Thread, i: int) -> None:
        w.mem["m_waiters"] -= 1
        w.mem["e_waiters"] -= 1
        v = w.mem["M"]
        if w.mem["m_waiters"] and self.flaw != "nothing passed on":
            if not owner_of(v):
                w.wake("M", 1)
            else:
                w.mem["M"] = v | WAITERS
        if w.mem["e_waiters"] and w.mem["E"] and self.flaw != "nothing passed on":
            w.wake("E", 1)
        t.update(pc="all-raise", got=0, keep="", pend="")


# ---------------------------------------------------------------------------------------------------- the page behind a mutex
class Page(Machine):
    """One attachment of a mutex M, used by threads of one process, which may end; one closes the handle; a stranger writes over M.

    nshm__try_mutex, nshm__claim, nshm_mutex_release, nshm_sync_keep.  Checked: the page's node is in one list at most, and the page
    is mapped while it is in one.  `scribbles`: how often somebody makes the word say that it is free.
    """

    mutexes = ("M",)

    def __init__(self, threads: int = 2, rounds: int = 1, scribbles: int = 0, closes: bool = False, flaw: str = "") -> None:
        super().__init__(flaw)
        self.count, self.rounds, self.scribbles, self.closes = threads, rounds, scribbles, closes

    def begin(self) -> World:
        mem = {"M": 0, "holder": 0, "claiming": 0, "kept": 0, "mapped": 1, "open": 1}
        threads = [self.thread("load", rounds=self.rounds, has_list=1) for _ in range(self.count)]
        if self.scribbles:
            threads.append(self.thread("scribble", immortal=1, rounds=self.scribbles, has_list=0))
        if self.closes:
            threads.append(self.thread("close", immortal=1, rounds=0, has_list=0))
        return World(mem, threads)

    def check(self, w: World) -> None:
        linked = [i for i, t in enumerate(w.threads) if "M" in t["list"]]
        if len(linked) > 1:
            raise Violation("TORN: one node in two lists")
        if linked and not w.mem["mapped"]:
            raise Violation("UNMAPPED: a list goes through a page that is gone")

    def lost(self, w: World, i: int) -> bool:
        return False  # nobody sleeps here

    def in_use(self, w: World, holder: int) -> bool:
        return bool(holder) and (bool(w.mem["claiming"]) or bool(w.threads[holder - 1]["has_list"]))

    def dying(self, w: World, t: Thread, i: int) -> None:
        super().dying(w, t, i)
        if t["pc"] == "dead":
            t["has_list"] = 0

    def kill(self, w: World, i: int) -> None:
        """A thread ends by itself: not in the middle of an operation."""
        if w.threads[i]["pc"] == "inside":
            super().kill(w, i)

    def scribble(self, w: World, t: Thread, i: int) -> None:
        w.mem["M"] = 0
        rounds = t["rounds"] - 1
        t.update(pc="scribble" if rounds else "done", rounds=rounds)

    # acquire
    def load(self, w: World, t: Thread, i: int) -> None:
        if not w.mem["open"] or not t["rounds"]:
            t["pc"] = "done"
        elif not owner_of(w.mem["M"]):
            t.update(pc="swap", v=w.mem["M"])

    def swap(self, w: World, t: Thread, i: int) -> None:
        if w.mem["M"] != t["v"]:
            t["pc"] = "load"
            return
        w.mem["M"] = i + 1
        t["pc"] = "link" if self.flaw == "nothing claimed" else "claim"

    def claim(self, w: World, t: Thread, i: int) -> None:
        holder = w.mem["holder"]
        if self.flaw != "claimed without looking" and self.in_use(w, holder):
            t["pc"] = "give-back"
        else:
            t.update(pc="claim-swap", left=(holder, w.mem["claiming"]))

    def claim_swap(self, w: World, t: Thread, i: int) -> None:
        if (w.mem["holder"], w.mem["claiming"]) != t["left"] and self.flaw != "claimed without looking":
            t.update(pc="claim", left=0)
            return
        w.mem.update(holder=i + 1, claiming=1)
        t.update(pc="claimed", left=0)

    def claimed(self, w: World, t: Thread, i: int) -> None:
        w.mem["claiming"] = 0
        t["pc"] = "link"

    def give_back(self, w: World, t: Thread, i: int) -> None:
        w.mem["M"] = t["v"] & DIED
        t.update(pc="load", v=0, rounds=t["rounds"] - 1)

    def link(self, w: World, t: Thread, i: int) -> None:
        t.update(list=("M",), pc="inside", v=0)

    # release: unlink, unclaim, and only then the word
    def inside(self, w: World, t: Thread, i: int) -> None:
        t.update(list=() if self.flaw != "unclaimed before it is unlinked" else t["list"], pc="unclaim")
        if self.flaw == "the word before the claim" and w.mem["M"] == i + 1:
            w.mem["M"] = 0

    def unclaim(self, w: World, t: Thread, i: int) -> None:
        kept, w.mem["holder"], w.mem["kept"] = w.mem["kept"], 0, 0
        t["pc"] = "store"
        if kept:
            w.mem["mapped"] = 0

    def store(self, w: World, t: Thread, i: int) -> None:
        t["list"] = ()
        if w.mem["M"] == i + 1:
            w.mem["M"] = 0
        t.update(pc="load", rounds=t["rounds"] - 1)

    # close: no operation is under way on the page; who is inside may release through another handle meanwhile
    def close(self, w: World, t: Thread, i: int) -> None:
        if all(
            other["pc"] in ("load", "inside", "unclaim", "store", "done", "dying", "dying-wakes", "dead")
            for other in w.threads[: self.count]
        ):
            w.mem["open"] = 0
            t["pc"] = "keep"

    def keep(self, w: World, t: Thread, i: int) -> None:
        holder = w.mem["holder"]
        if self.in_use(w, holder) and self.flaw != "unmapped whoever has it":
            t.update(pc="keep-swap", v=holder)
        else:
            w.mem["mapped"] = 0
            t["pc"] = "done"

    def keep_swap(self, w: World, t: Thread, i: int) -> None:
        if w.mem["holder"] == t["v"]:
            w.mem["kept"] = 1
            t["pc"] = "done"
        else:
            t["pc"] = "keep"
        t["v"] = 0
