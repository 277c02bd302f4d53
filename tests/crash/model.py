"""The registry protocol of namedshm.h as small programs, and an explorer of all their interleavings.

What:   create, open, close, retire, replace and fork are written as in the header, one `yield` for each load, store and system
        call.  The explorer visits every state that any order of these steps can reach, with processes killed at any step, the
        lock given up by the kernel before it unmaps a dying process, segment ids that recur, and processes that see the kernel
        through another IPC namespace, or are refused by it.
Why:    storms find what is likely; this finds what is possible, in small.
Not:    a proof about the C code, and nothing about memory order: the steps are sequentially consistent, as the header's fences make
        them where it matters.  Who changes the protocol there changes it here, and plants the bug it avoids (`flaw`).

Checked in every state:
    LOST        the slot of an object that somebody holds is as it was published;
    DOUBLE      one name is held as one object, but for those it was taken from;
    SHARED      a token serves one object;
    RISEN       an object that nobody held any more is never opened again;
at the end of each operation:
    MISSED      a name that was held by somebody throughout is found, as the same object (who cannot tell may refuse, only that),
                or as one that replaced it meanwhile;
    RETURNED    an object whose name was taken away before the operation began is not found;
    MIXED       the segments and the identity of a handle belong together;
    UNFILLED    an object is found filled;
    INHERITED   a forked child has the attachments of its handles and no others;
    TORN        its spare token is one;
    KEPT        who does nothing has no other attachments either;
and in every state where nothing moves any more:
    STUCK       nobody waits for a lock;
    OUTLIVED    every name that is found is held by somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, NamedTuple

Request = tuple[Any, ...]
Steps = Generator[Request, Any, Any]

GONE, AGAIN, UNSURE, DENIED, EXISTS, FULL = "gone", "again", "unsure", "denied", "exists", "full"
REGISTRY = 0  # its segment's id
FREE = ("", 0, "", None, None, 0)  # a slot: hash, nonce, name, token, data, closing
HASH, NONCE, NAME, TOKEN, DATA, CLOSING = range(6)


class Segment(NamedTuple):
    """What a record says of a segment.  `size` stands for its size, which is random: no two have the same."""

    id: int
    size: str


class Handle(NamedTuple):
    name: str
    slot: int
    nonce: str
    token: Segment
    data: Segment | None
    created: bool


class Violation(Exception):
    """A property does not hold; carries the way there."""


class Process:
    """`view`: "home", "away" (another IPC namespace), or "denied" (a security module refuses everything by id)."""

    __slots__ = ("attached", "forking", "handles", "spare", "state", "view")

    def __init__(self) -> None:
        self.state, self.view = "alive", "home"
        self.attached: tuple[int, ...] = ()  # ids, sorted
        self.handles: tuple[str, ...] = ()  # nonces: what it holds between operations
        self.spare: tuple[Any, Any] = (False, None)  # as in nshm_spare: `at`, then what it is
        self.forking = -1  # the thread that has the process's fork lock

    def key(self) -> tuple[object, ...]:
        return (self.state, self.view, self.attached, self.handles, self.spare, self.forking)

    def copy(self) -> Process:
        new = Process.__new__(Process)
        new.state, new.view, new.attached, new.handles, new.spare, new.forking = self.key()  # type: ignore[assignment]
        return new


class Thread(NamedTuple):
    process: int
    local: int  # number of its local state, see Programs
    must: tuple[str, ...] = ()  # its operation has to find one of these: the name's object, and those that replaced it meanwhile
    past: tuple[str, ...] = ()  # and none of these: what had lost the name before
    asked: str = ""  # the name of that operation


class World:
    __slots__ = ("leaving", "lock", "moves", "objects", "processes", "retired", "segments", "slots", "threads", "used")

    def copy(self) -> World:
        new = World.__new__(World)
        new.lock, new.used, new.slots = self.lock, self.used, self.slots
        new.leaving, new.moves, new.retired = self.leaving, self.moves, self.retired
        new.segments, new.objects = self.segments.copy(), self.objects.copy()
        new.processes = [p.copy() for p in self.processes]
        new.threads = self.threads.copy()
        return new

    def key(self) -> tuple[object, ...]:
        return (
            self.lock,
            self.used,
            self.slots,
            (self.leaving, self.moves, self.retired),
            tuple(self.segments.items()),
            tuple(self.objects.items()),
            tuple(p.key() for p in self.processes),
            tuple(self.threads),
        )

    lock: int  # thread + 1, or 0
    used: int
    leaving: tuple[int, int] | None  # the slot whose name goes over, and the heir's
    moves: int
    retired: tuple[str, ...]  # nonces of objects whose name was taken away
    slots: tuple[tuple[Any, ...], ...]
    segments: dict[int, tuple[str, int]]  # id: size, attachments
    objects: dict[str, tuple[Any, ...]]  # nonce: name, token, slot, filled, gone, data
    processes: list[Process]
    threads: list[Thread]


# ---------------------------------------------------------------------------------------------------- programs as states
def frozen(steps: Any) -> tuple[object, ...]:
    """Where a generator stands, and in those it delegates to, with all its locals.  Not seen: loop iterators and half-made
    expressions; so programs loop by `while`, and a `yield` is the first thing that its expression evaluates."""
    frames: list[object] = []
    while isinstance(steps, GeneratorType):
        f = steps.gi_frame
        if f is None:
            break
        frames.append((f.f_code.co_name, f.f_lasti, tuple((k, v) for k, v in f.f_locals.items() if k != "self")))
        steps = steps.gi_yieldfrom
    return tuple(frames)


class Programs:
    """Local states by number: what a thread asks next, and where each answer leads.  Generators cannot be copied, so a state is
    reached by giving a new one the answers again, once; then its place and locals are known."""

    def __init__(self, start: Callable[[Any], Steps]) -> None:
        self.start = start
        self.known: dict[object, int] = {}
        self.requests: list[Request] = []
        self.histories: list[tuple[object, tuple[object, ...]]] = []
        self.next: dict[tuple[int, object], int] = {}

    def begin(self, script: object) -> int:
        return self.reach(script, ())

    def answer(self, local: int, answer: object) -> int:
        if (found := self.next.get((local, answer))) is None:
            script, answers = self.histories[local]
            found = self.next[local, answer] = self.reach(script, (*answers, answer))
        return found

    def reach(self, script: object, answers: tuple[object, ...]) -> int:
        steps = self.start(script)
        try:
            request = next(steps)
            for answer in answers:
                request = steps.send(answer)
            place: object = frozen(steps)
        except StopIteration:
            request, place = ("done",), "done"
        if (number := self.known.get(place)) is None:
            number = self.known[place] = len(self.requests)
            self.requests.append(request)
            self.histories.append((script, answers))
        return number


# ---------------------------------------------------------------------------------------------------- the protocol
class Protocol:
    """The header's functions.  A script is a tuple of operations: ("create", name), ("make", name) exclusively, ("open", name),
    ("close", name), ("retire", name), ("replace", name), ("fork", script, raw), ("view", "away"), ("foreign",) makes a segment of
    no object, ("die",)."""

    def __init__(
        self, *scripts: tuple[Any, ...], flaw: str = "", slots: int = 2, data: bool = False, threads: bool = False
    ) -> None:
        self.scripts, self.flaw, self.count, self.data, self.threads = scripts, flaw, slots, data, threads
        self.raw = "True" in repr(scripts)
        self.moving = "replace" in repr(scripts)  # else nobody looks at what only replacing changes

    def run(self, script: tuple[Any, ...]) -> Steps:
        who, operations, handles = script
        if who.endswith("child "):
            at = yield ("spare-at",)
            if at:
                token = yield ("spare",)
                yield ("spare-at!", False)
                yield ("detach", token.id)
                token = None
        at = 0
        while at < len(operations):
            operation, at = operations[at], at + 1
            kind = operation[0]
            if kind in ("create", "make", "open"):
                yield ("begin", operation[1])
                if kind == "open":
                    result = yield from self.open(operation[1])
                else:
                    result = yield from self.create(f"{who}{at}", operation[1], kind == "make")
                if isinstance(result, Handle):
                    handles = (*handles, result)
                yield ("end", kind, result)
                if self.threads and self.flaw != "no fork lock":
                    yield ("fork-unlock",)
                result = None
            elif kind == "replace":
                yield ("begin", operation[1])
                result = yield from self.replace(f"{who}{at}", operation[1])
                if isinstance(result, Handle):
                    handles = (*handles, result)
                yield ("end", kind, result)
                result = None
            elif kind == "retire":
                held = [h for h in handles if h.name == operation[1]][:1]
                if held:
                    handle, held = held[0], None
                    yield from self.retire(handle)
                    handle = None
            elif kind == "close":
                held = [h for h in handles if h.name == operation[1]][:1]
                if held:
                    handles = tuple(h for h in handles if h is not held[0])
                    handle, held = held[0], None
                    yield from self.close(handle)
                    handle = None
            elif kind == "fork":
                if self.threads and not operation[2] and self.flaw != "no fork lock":
                    yield ("fork-lock",)
                kind = "raw" if operation[2] else "child"
                yield ("fork", (f"{who}{at} {kind} ", operation[1], handles), operation[2])
                if self.threads and not operation[2] and self.flaw != "no fork lock":
                    yield ("fork-unlock",)
            else:
                yield operation
            operation = None

    # ------------------------------------------------------------------------------------------ the lock
    def take_lock(self) -> Steps:
        if self.flaw != "no lock":
            yield ("lock", True)
        if self.moving and self.flaw != "nobody ends a replacement":
            yield from self.settle()

    def try_lock(self) -> Steps:
        if self.flaw == "no lock":
            return True
        if not (yield ("lock", False)):
            return False
        if self.moving and self.flaw != "nobody ends a replacement":
            yield from self.settle()
        return True

    def unlock(self) -> Steps:
        if self.flaw != "no lock":
            yield ("unlock",)

    def guard(self) -> Steps:  # nshm__fork_lock
        if self.threads and self.flaw != "no fork lock":
            yield ("fork-lock",)

    def unguard(self) -> Steps:
        if self.threads and self.flaw != "no fork lock":
            yield ("fork-unlock",)

    # ------------------------------------------------------------------------------------------ slots
    def find(self, start: int, name: str) -> Steps:
        """slot, nonce, token, data of a name's record from `start` on, or None."""
        used = yield ("load-used",)
        i = start - 1
        while i + 1 < used:
            i += 1
            if (yield ("load", i, HASH)) != name:
                continue
            nonce = yield ("load", i, NONCE)
            if not nonce:
                continue
            token, data = yield ("load-ids", i)
            called = yield ("load", i, NAME)
            if (yield ("load", i, NONCE)) == nonce and called == name:
                return (i, nonce, token, data)
        return None

    def here(self) -> Steps:
        """Is the registry's own segment still this registry, as this process sees the kernel?"""
        if self.flaw == "the registry is not asked for":
            return True
        size = yield ("stat-size", REGISTRY)
        return size == "registry" or (size == "registry of another" and self.flaw == "the registry is told by its id")

    def gone(self, answer: str) -> Any:
        """What an error of the kernel means to who has seen that the registry is here."""
        return UNSURE if answer == DENIED and self.flaw != "refused is dead" else GONE

    def is_it(self, segment: Segment) -> Steps:
        """True, GONE or UNSURE, of what was attached."""
        if self.flaw == "the id alone":
            return True
        size = yield ("stat-size", segment.id)
        if size == segment.size:
            return True
        return self.gone(size)

    def dead(self, token: Segment) -> Steps:
        answer = yield from self.is_it(token)
        return answer == GONE

    def free(self, slot: int) -> Steps:
        yield ("store", slot, HASH, "")
        yield ("store", slot, NONCE, 0)
        yield from self.lower(slot)

    def lower(self, slot: int) -> Steps:
        used = yield ("load-used",)
        if self.flaw == "used is lowered past the living":
            if slot < used:
                yield ("store-used", slot)
            return
        while used:
            if (yield ("load", used - 1, HASH)):
                break
            used -= 1
        yield ("store-used", used)

    def slot(self) -> Steps:
        """A free one; the dead are collected when there is none."""
        used = yield ("load-used",)
        i, sweeping = 0, False
        while True:
            while i < used:
                if not (yield ("load", i, HASH)):
                    return i
                i += 1
            if used < self.count:
                return used
            if sweeping:
                return FULL
            while i:
                i -= 1
                token = (yield ("load-ids", i))[0]
                dead = True
                if self.flaw != "the sweep asks nobody":
                    dead = yield from self.dead(token)
                if dead:
                    yield from self.free(i)
            sweeping, i = True, 0
            used = yield ("load-used",)

    def tidy(self, slot: int, nonce: str) -> Steps:
        same = (yield ("load", slot, NONCE)) == nonce
        if not same and self.flaw != "tidied without comparing":
            return
        if self.flaw not in ("freed without the lock", "no lock"):
            locked = yield from self.try_lock()
            if not locked:
                return
        same = (yield ("load", slot, NONCE)) == nonce
        if self.flaw != "tidied without comparing" and same:
            same = yield from self.here()
            token = (yield ("load-ids", slot))[0]
            if same:
                same = yield from self.dead(token)
        if same or self.flaw == "tidied without comparing":
            yield from self.free(slot)
        if self.flaw not in ("freed without the lock", "no lock"):
            yield ("unlock",)

    # ------------------------------------------------------------------------------------------ names change hands
    def settle(self) -> Steps:
        """Under the lock: end a replacement, one's own or a killed process's."""
        leaving = yield ("leaving",)
        if not leaving:
            return
        old, heir = leaving
        published = (yield ("load", heir, HASH)) != ""
        if published:
            published = (yield ("load", heir, NONCE)) != 0
        if published:
            yield ("moved",)
            yield from self.free(old)
        yield ("store", old, CLOSING, 0)
        yield ("leaving!", None)

    def retire(self, h: Handle) -> Steps:
        yield from self.take_lock()
        same = (yield ("load", h.slot, NONCE)) == h.nonce
        if same:
            same = yield from self.here()
        if same:
            yield ("retired", h.nonce)
        if same or self.flaw == "retired without comparing":
            yield from self.free(h.slot)
        yield from self.unlock()

    def replace(self, nonce: str, name: str) -> Steps:
        here = yield from self.here()
        if not here:
            return UNSURE
        token = yield ("new", nonce)  # prepared and filled; nobody can find it
        yield from self.take_lock()
        old, stale = yield from self.lookup(name, True)
        slot = FULL
        if isinstance(old, Handle) or old == GONE:
            slot = stale[0] if old == GONE else -1
            if slot < 0:
                slot = yield from self.slot()
        if slot == FULL:
            yield from self.unlock()
            yield ("detach", token.id)
            if isinstance(old, Handle):
                yield from self.drop(old)
            return FULL if isinstance(old, Handle) or old == GONE else old
        handle = Handle(name, slot, nonce, token, None, True)
        yield ("object", handle)
        yield ("fill", nonce)
        if isinstance(old, Handle):
            if self.flaw == "the old one goes first":
                yield from self.free(old.slot)
            else:
                yield ("leaving!", (old.slot, slot))
                if self.flaw != "the old one is not marked":
                    yield ("store", old.slot, CLOSING, 1)
            yield from self.publish(handle, old.nonce)
            if self.flaw != "the old one goes first":
                yield from self.settle()
            yield from self.drop(old)
        else:
            yield from self.publish(handle, "none")
        yield from self.unlock()
        return handle

    # ------------------------------------------------------------------------------------------ handles
    def adopt(self, name: str, facts: tuple[Any, ...]) -> Steps:
        slot, nonce, token, data = facts
        if self.flaw != "the index is believed":
            got = yield ("attach", token.id)
            if isinstance(got, str):
                return self.gone(got)
            is_it = yield from self.is_it(token)
            if is_it is not True:
                yield ("detach", got)
                return is_it
            if self.flaw == "the nonce is looked at before the mark":
                changed = (yield ("load", slot, NONCE)) != nonce
                closing = yield ("load", slot, CLOSING)
            else:
                closing = yield ("load", slot, CLOSING)
                changed = (yield ("load", slot, NONCE)) != nonce
            if self.flaw == "the opener does not look at the mark":
                closing = 0
            if self.flaw == "the opener does not look at the nonce again":
                changed = False
            if closing or changed:
                if self.flaw != "a look in vain keeps the token":
                    yield ("detach", got)
                return AGAIN
            if data:
                at = yield ("attach", data.id)
                is_it = True
                if isinstance(at, str):
                    is_it = self.gone(at)
                else:
                    is_it = yield from self.is_it(data)
                    if is_it is not True:
                        yield ("detach", at)
                if is_it is not True:
                    yield ("detach", got)
                    return is_it
        return Handle(name, slot, nonce, token, data, False)

    def lookup(self, name: str, locked: bool) -> Steps:
        """(a handle, GONE, UNSURE or AGAIN), (slot, nonce) of a dead record."""
        slot, stale = -1, (-1, "")
        patience, moves = 3, 0
        looks_again = self.moving and not locked and self.flaw != "moves are not told"
        if looks_again:
            moves = yield ("moves",)
        while True:
            facts = yield from self.find(slot + 1, name)
            if not facts:
                if looks_again:
                    now = yield ("moves",)
                    if now != moves:
                        slot, stale, moves = -1, (-1, ""), now
                        continue
                return GONE, stale
            slot = facts[0]
            result = yield from self.adopt(name, facts)
            if result == AGAIN and locked:
                patience -= 1
                if not patience:
                    return UNSURE, stale
                if self.flaw != "the mark of a dead closer stays":
                    yield ("store", slot, CLOSING, 0)
                slot -= 1
            elif result == GONE:
                stale = (slot, facts[1])
            else:
                return result, stale

    def open(self, name: str) -> Steps:
        yield from self.guard()
        result, stale = yield from self.lookup(name, False)  # wherever this is: what is found, by its segments, is found
        if isinstance(result, Handle):
            return result
        if self.flaw != "missing elsewhere is dead":
            here = yield from self.here()
            if not here:
                return UNSURE
            result, stale = yield from self.lookup(name, False)
        if result == AGAIN:
            if self.flaw == "a change under way is an end":
                return GONE
            yield from self.take_lock()
            result, stale = yield from self.lookup(name, True)
            yield from self.unlock()
        if result == GONE and stale[0] >= 0:
            yield from self.tidy(*stale)
        return result

    def create(self, nonce: str, name: str, exclusive: bool) -> Steps:
        yield from self.guard()
        here = yield from self.here()
        if not here:
            return UNSURE
        stale, first = (-1, ""), (-1, "")
        if not exclusive:
            result, first = yield from self.lookup(name, False)
            if result not in (GONE, AGAIN):
                return result
        yield from self.take_lock()
        result = GONE
        if self.flaw == "no second look" and not exclusive:
            stale = first
        else:
            result, stale = yield from self.lookup(name, True)
        if self.flaw == "the slot of the first look" and first[0] >= 0:
            stale = first
        if result != GONE:
            if exclusive and isinstance(result, Handle):
                yield from self.drop(result)
                result = EXISTS
            yield from self.unlock()
            return result
        slot = stale[0]
        if slot < 0:
            slot = yield from self.slot()
        if slot == FULL:
            yield from self.unlock()
            return FULL
        token = yield from self.take_spare()
        if not token:
            token = yield ("new", nonce)
        data = None
        if self.data:
            data = yield ("new", nonce + "d")
        handle = Handle(name, slot, nonce, token, data, True)
        yield ("object", handle)
        if self.flaw == "published before it is filled":
            yield from self.publish(handle)
        yield ("fill", nonce)
        if self.flaw != "published before it is filled":
            yield from self.publish(handle)
        yield from self.unlock()
        return handle

    def publish(self, h: Handle, replaced: str = "") -> Steps:
        slot = h.slot
        if self.flaw != "refilled while it can be found":
            yield ("store", slot, HASH, "")
            yield ("store", slot, NONCE, 0)
        yield ("store", slot, TOKEN, h.token)
        if self.data:
            yield ("store", slot, DATA, h.data)
        yield ("store", slot, NAME, h.name)
        yield ("store", slot, CLOSING, 0)
        used = yield ("load-used",)
        if slot >= used and self.flaw != "used stays":
            yield ("store-used", slot + 1)
        if self.flaw == "the hash comes last":
            yield ("store", slot, NONCE, h.nonce)
            yield ("store", slot, HASH, h.name)
        else:
            yield ("store", slot, HASH, h.name)
            if replaced:
                yield ("replaced", replaced, h.nonce)
            yield ("store", slot, NONCE, h.nonce)

    def alone(self, token: Segment) -> Steps:
        """Is this process's attachment the only one?  Asked by a process that may have left the registry's namespace."""
        if self.flaw == "alone is asked by id":
            return (yield ("count", token.id)) == 1
        size = yield ("stat-size", token.id)
        if size != token.size:
            return False
        return (yield ("count", token.id)) == 1

    def take_spare(self) -> Steps:
        at = yield ("spare-at",)
        if not at:
            return None
        if self.flaw != "the spare is taken, what it is":
            yield ("spare-at!", False)
        token = yield ("spare",)
        if self.flaw != "a shared spare is taken":
            alone = yield from self.alone(token)
            if not alone:
                yield ("detach", token.id)
                return None
        return token

    def keep_spare(self, token: Segment) -> Steps:
        if self.flaw == "the spare's place first":
            yield ("spare-at!", True)
            yield ("spare!", token)
        else:
            yield ("spare!", token)
            yield ("spare-at!", True)

    def recycle(self, h: Handle) -> Steps:
        """Close by keeping the token: True if the name is gone."""
        if not h.created:
            return False
        at = yield ("spare-at",)
        if at or ((yield ("load", h.slot, NONCE)) != h.nonce and self.flaw != "a retired name is let go again"):
            return False
        here = True
        if self.flaw != "alone is asked by id":
            here = yield from self.here()
        if not here:
            return False
        locked = yield from self.try_lock()
        if not locked:
            return False
        kept = False
        same = (yield ("load", h.slot, NONCE)) == h.nonce
        if self.flaw == "a retired name is let go again":
            same = True
        if same and self.flaw == "it asks before it marks":
            same = yield from self.alone(h.token)
        if same:
            if self.flaw != "closing is not marked":
                yield ("store", h.slot, CLOSING, 1)
            kept = True
            if self.flaw not in ("kept though others hold", "it asks before it marks"):
                kept = yield from self.alone(h.token)
            if kept:
                if self.flaw == "the mark goes before the name":
                    yield ("store", h.slot, CLOSING, 0)
                if self.flaw != "kept, and the name stays":
                    yield from self.free(h.slot)
                yield from self.keep_spare(h.token)
            yield ("store", h.slot, CLOSING, 0)
        yield from self.unlock()
        return kept

    def drop(self, h: Handle) -> Steps:
        if self.flaw == "the index is believed" and not h.created:
            return
        yield ("detach", h.token.id)
        if h.data:
            yield ("detach", h.data.id)

    def close(self, h: Handle) -> Steps:
        yield from self.guard()
        yield ("closing", h.nonce)
        kept = yield from self.recycle(h)
        if kept:
            if h.data:
                yield ("detach", h.data.id)
        else:
            yield from self.drop(h)
            size = yield ("stat-size", h.token.id)
            if size == GONE:
                yield from self.tidy(h.slot, h.nonce)
        yield from self.unguard()


# ---------------------------------------------------------------------------------------------------- the machine
BLOCKED = object()
#: no access to anything shared: done together with the step before, or after
FIRST = ("begin", "closing", "retired", "replaced")
LAST = ("end", "object", "fork-unlock", "spare", "has")


class Machine:
    def __init__(self, protocol: Any) -> None:
        self.protocol, self.flaw = protocol, protocol.flaw
        self.programs = Programs(protocol.run)

    def begin(self) -> World:
        w = World()
        w.lock, w.used, w.slots = 0, 0, (FREE,) * self.protocol.count
        w.leaving, w.moves, w.retired = None, 0, ()
        w.segments, w.objects, w.processes, w.threads = {}, {}, [], []
        for number, script in enumerate(self.protocol.scripts):
            together = [script] if not isinstance(script, list) else script  # a list: threads of one process
            w.processes.append(Process())
            for more, operations in enumerate(together):
                local = self.programs.begin((f"{'abcdef'[number]}{more or ''} ", operations, ()))
                w.threads.append(Thread(number, local))
        return w

    # ------------------------------------------------------------------------------------------ one step
    def step(self, w: World, i: int) -> bool:
        """The next request of thread i, and those that nobody can see; False if it cannot move."""
        moved = False
        while True:
            t = w.threads[i]
            request = self.programs.requests[t.local]
            kind = request[0]
            if kind == "done" or w.processes[t.process].state != "alive":
                return moved
            if moved and kind not in LAST:
                return True
            answer = getattr(self, "do_" + kind.replace("-", "_").replace("!", "_set"))(w, i, *request[1:])
            if answer is BLOCKED:
                return moved
            w.threads[i] = w.threads[i]._replace(local=self.programs.answer(t.local, answer))
            moved = kind not in FIRST

    def label(self, w: World, i: int) -> str:
        return f"{i}:{'/'.join(str(part) for part in self.programs.requests[w.threads[i].local][:4])}"

    # the registry's memory
    def do_load_used(self, w: World, i: int) -> int:
        return w.used

    def do_store_used(self, w: World, i: int, used: int) -> None:
        w.used = used

    def do_load(self, w: World, i: int, slot: int, field: int) -> Any:
        return w.slots[slot][field]

    def do_load_ids(self, w: World, i: int, slot: int) -> Any:
        return w.slots[slot][TOKEN], w.slots[slot][DATA]

    def do_store(self, w: World, i: int, slot: int, field: int, value: Any) -> None:
        record = w.slots[slot]
        w.slots = (*w.slots[:slot], (*record[:field], value, *record[field + 1 :]), *w.slots[slot + 1 :])

    def do_lock(self, w: World, i: int, wait: bool) -> Any:
        if w.lock:
            return BLOCKED if wait else False
        w.lock = i + 1
        return True

    def do_unlock(self, w: World, i: int) -> None:
        w.lock = 0

    def do_leaving(self, w: World, i: int) -> Any:
        return w.leaving

    def do_leaving_set(self, w: World, i: int, leaving: Any) -> None:
        w.leaving = leaving

    def do_moves(self, w: World, i: int) -> int:
        return w.moves

    def do_moved(self, w: World, i: int) -> None:
        w.moves += 1

    # the process's memory
    def do_spare_at(self, w: World, i: int) -> bool:
        return bool(w.processes[w.threads[i].process].spare[0])

    def do_spare(self, w: World, i: int) -> Any:
        return w.processes[w.threads[i].process].spare[1]

    def do_spare_at_set(self, w: World, i: int, at: bool) -> None:
        p = w.processes[w.threads[i].process]
        p.spare = (at, p.spare[1])

    def do_spare_set(self, w: World, i: int, token: Segment) -> None:
        p = w.processes[w.threads[i].process]
        p.spare = (p.spare[0], token)

    def do_fork_lock(self, w: World, i: int) -> Any:
        p = w.processes[w.threads[i].process]
        if p.forking == i:
            return None
        if p.forking >= 0:
            return BLOCKED
        p.forking = i
        return None

    def do_fork_unlock(self, w: World, i: int) -> None:
        p = w.processes[w.threads[i].process]
        if p.forking == i:
            p.forking = -1

    # the kernel
    def seen(self, w: World, i: int, number: int) -> Any:
        """size and attachments of a segment, as the thread sees the kernel."""
        view = w.processes[w.threads[i].process].view
        if view == "denied" and number != REGISTRY:
            return DENIED
        if view == "away":  # a registry like ours, made first there as well; and every other number is somebody's
            return ("registry of another" if number == REGISTRY else "away", 1)
        if number == REGISTRY:
            return ("registry", 1)
        return w.segments.get(number, GONE)

    def do_stat_size(self, w: World, i: int, number: int) -> Any:
        found = self.seen(w, i, number)
        return found if isinstance(found, str) else found[0]

    def do_count(self, w: World, i: int, number: int) -> Any:
        found = self.seen(w, i, number)
        return found if isinstance(found, str) else found[1]

    def do_new(self, w: World, i: int, size: str) -> Segment:
        number = 1
        while number in w.segments:
            number += 1  # the lowest free: numbers recur at once
        if w.processes[w.threads[i].process].view == "away":
            number = 9
        w.segments[number] = (size, 0)
        w.segments = dict(sorted(w.segments.items()))
        self.attach(w, w.processes[w.threads[i].process], number)
        return Segment(number, size)

    def do_attach(self, w: World, i: int, number: int) -> Any:
        p = w.processes[w.threads[i].process]
        if p.view == "denied":
            return DENIED
        if p.view == "away":
            number += 100  # there every number is somebody's
            w.segments.setdefault(number, ("away", 1))
        if number not in w.segments:
            return GONE
        self.attach(w, p, number)
        return number

    def attach(self, w: World, p: Process, number: int) -> None:
        p.attached = tuple(sorted((*p.attached, number)))
        size, n = w.segments[number]
        w.segments[number] = (size, n + 1)

    def do_detach(self, w: World, i: int, number: int) -> None:
        p = w.processes[w.threads[i].process]
        self.detach(w, p, number)

    def detach(self, w: World, p: Process, number: int) -> None:
        if number not in p.attached:
            raise Violation(f"UNMAPPED: {number} is not attached")
        at = p.attached.index(number)
        p.attached = p.attached[:at] + p.attached[at + 1 :]
        size, n = w.segments[number]
        if n > 1:
            w.segments[number] = (size, n - 1)
        else:
            del w.segments[number]

    def do_view(self, w: World, i: int, view: str) -> None:
        w.processes[w.threads[i].process].view = view

    def do_foreign(self, w: World, i: int) -> None:
        """Somebody else's segment, which gets a number that was an object's."""
        self.do_new(w, i, "foreign")

    def do_fork(self, w: World, i: int, script: Any, raw: bool) -> None:
        parent = w.processes[w.threads[i].process]
        child = Process()
        child.view, child.spare = parent.view, parent.spare
        for number in parent.attached:
            self.attach(w, child, number)
        if child.spare[0] and (not child.spare[1] or w.segments[child.spare[1].id][0] != child.spare[1].size):
            raise Violation(f"TORN: the child's spare is {child.spare}")
        nonces = {h.nonce for h in script[2]}
        child.handles = parent.handles if not self.protocol.threads else tuple(n for n in parent.handles if n in nonces)
        w.processes.append(child)
        w.threads.append(Thread(len(w.processes) - 1, self.programs.begin(script)))
        if self.protocol.threads and not raw:
            explained = self.explained(w, parent)
            if [n for n in child.attached if n not in explained]:
                raise Violation(f"INHERITED: {child.attached}, of which handles and spare explain {explained}")
            child.handles = parent.handles

    def do_die(self, w: World, i: int) -> None:
        self.kill(w, w.threads[i].process)

    # what is only for the checks
    def holders(self, w: World) -> set[str]:
        return {nonce for p in w.processes if p.state == "alive" for nonce in p.handles}

    def named(self, w: World) -> list[str]:
        return sorted(self.holders(w).difference(w.retired))

    def do_begin(self, w: World, i: int, name: str) -> None:
        held = tuple(nonce for nonce in self.named(w) if w.objects[nonce][0] == name)
        w.threads[i] = w.threads[i]._replace(must=held[:1], past=w.retired, asked=name)

    def do_retired(self, w: World, i: int, nonce: str) -> None:
        """It has no name from the next step on."""
        w.retired = (*w.retired, nonce)
        for k, t in enumerate(w.threads):
            if nonce in t.must:
                w.threads[k] = t._replace(must=())

    def do_replaced(self, w: World, i: int, old: str, new: str) -> None:
        """The one's name is the other's from the next step on; the process holds it from there."""
        p = w.processes[w.threads[i].process]
        p.handles = tuple(sorted((*p.handles, new)))
        if old in w.objects:
            w.retired = (*w.retired, old)
        for k, t in enumerate(w.threads):
            if t.must and t.must[-1] == old:
                w.threads[k] = t._replace(must=(*t.must, new))

    def do_object(self, w: World, i: int, h: Handle) -> None:
        w.objects[h.nonce] = (h.name, h.token, h.slot, False, False, h.data)
        w.objects = dict(sorted(w.objects.items()))

    def do_fill(self, w: World, i: int, nonce: str) -> None:
        name, token, slot, _, gone, data = w.objects[nonce]
        w.objects[nonce] = (name, token, slot, True, gone, data)

    def do_end(self, w: World, i: int, kind: str, result: Any) -> None:
        t = w.threads[i]
        p = w.processes[t.process]
        w.threads[i] = t._replace(must=(), past=(), asked="")
        if isinstance(result, Handle):
            name, token, _, filled, gone, _ = w.objects[result.nonce]
            if gone:
                raise Violation(f"RISEN: {result.nonce} was opened though nobody held it any more")
            if result.nonce in t.past:
                raise Violation(f"RETURNED: {result.nonce} was found, and had lost its name before")
            if t.must and result.nonce not in t.must:
                raise Violation(f"MISSED: {t.asked} is {t.must}, and {result.nonce} was found or made")
            if name != t.asked or token != result.token or result.token.id not in p.attached:
                raise Violation(f"MIXED: {result} is not {w.objects[result.nonce]}")
            if result.data and (result.data.size != result.nonce + "d" or w.segments[result.data.id][0] != result.data.size):
                raise Violation(f"MIXED: {result} has the data of another")
            if not filled:
                raise Violation(f"UNFILLED: {result.nonce}")
            if kind != "replace":
                p.handles = tuple(sorted((*p.handles, result.nonce)))
        elif (
            t.must
            and (kind, result) not in (("make", EXISTS), ("replace", FULL))
            and not (p.view != "home" and result in (UNSURE, FULL))
        ):
            raise Violation(f"MISSED: {t.asked} is held as {t.must}, and the answer was {result}")

    def do_closing(self, w: World, i: int, nonce: str) -> None:
        p = w.processes[w.threads[i].process]
        at = p.handles.index(nonce)
        p.handles = p.handles[:at] + p.handles[at + 1 :]

    # ------------------------------------------------------------------------------------------ death
    def kill(self, w: World, process: int) -> None:
        p = w.processes[process]
        p.state, p.handles, p.spare, p.forking = "dying", (), (False, None), -1

    def die(self, w: World, process: int, drop: int) -> None:
        """The kernel gives the lock up first, then unmaps."""
        p = w.processes[process]
        if p.state == "dying":
            if w.lock and w.threads[w.lock - 1].process == process and self.flaw != "the kernel is not told of the lock":
                w.lock = 0
            p.state = "unmapping" if p.attached else "dead"
        else:
            self.detach(w, p, p.attached[drop])
            if not p.attached:
                p.state = "dead"

    # ------------------------------------------------------------------------------------------ properties
    def check(self, w: World) -> None:
        held = self.holders(w)
        names: dict[str, str] = {}
        tokens: dict[Segment, str] = {}
        for nonce in held:
            name, token, slot, *_ = w.objects[nonce]
            if nonce not in w.retired and names.setdefault(name, nonce) != nonce:
                raise Violation(f"DOUBLE: {name} is held as {nonce} and as {names[name]}")
            if tokens.setdefault(token, nonce) != nonce:
                raise Violation(f"SHARED: {token} serves {nonce} and {tokens[token]}")
            record = w.slots[slot]
            if nonce in w.retired:
                pass
            elif slot >= w.used or (record[HASH], record[NONCE], record[NAME], record[TOKEN]) != (name, nonce, name, token):
                raise Violation(f"LOST: {nonce} is held, and its slot is {record}, {w.used} used")
            if w.segments.get(token.id, GONE)[0] != token.size:
                raise Violation(f"LOST: {nonce} is held, and its token is {w.segments.get(token.id)}")
        for i, t in enumerate(w.threads):
            if t.must and t.must[-1] not in held:
                w.threads[i] = t._replace(must=())
        kept = {p.spare[1] for p in w.processes if p.state == "alive" and p.spare[0]}
        for nonce, (name, token, slot, filled, gone, data) in w.objects.items():
            if gone or nonce in held or not filled:
                continue
            alive = w.segments.get(token.id, GONE)[0] == token.size
            if not alive or token in kept:
                w.objects[nonce] = (name, token, slot, filled, True, data)

    def check_still(self, w: World) -> None:
        for i, t in enumerate(w.threads):
            if w.processes[t.process].state == "alive" and self.programs.requests[t.local][0] != "done":
                raise Violation(f"STUCK: thread {i} at {self.label(w, i)}")
        held = self.holders(w)
        raw = self.protocol.raw  # a child made so keeps what another thread was about to have
        for hash_, nonce, name, token, _, _ in () if raw else w.slots[: w.used]:
            if hash_ and nonce and nonce not in held and w.segments.get(token.id, GONE)[0] == token.size:
                raise Violation(f"OUTLIVED: {name} is still found, and nobody holds it")
        for i, p in enumerate(w.processes):
            explained = self.explained(w, p)
            if p.state == "alive" and not raw and [n for n in p.attached if n not in explained and w.segments[n][0] != "foreign"]:
                raise Violation(f"KEPT: process {i} has {p.attached} attached, and handles and spare of {explained}")

    def explained(self, w: World, p: Process) -> list[int]:
        """The segments that its handles and its spare have attached."""
        handles = [w.objects[nonce] for nonce in p.handles]
        return [part.id for o in handles for part in (o[1], o[5]) if part] + ([p.spare[1].id] if p.spare[0] else [])


# ---------------------------------------------------------------------------------------------------- finding the registry
UNMARKED, MARKED = "made", "marked"


class Election:
    """nshm__scan, nshm__candidate and nshm__registry: processes look for the scope's registry and make it if there is none.

    A script is ("find",), or ("hold",) for who has made one before; both keep what they have until they are killed.
    """

    threads = data = raw = False
    count = 1

    def __init__(self, *scripts: Any, flaw: str = "", rounds: int = 2) -> None:
        self.scripts, self.flaw, self.rounds = scripts, flaw, rounds

    def run(self, script: tuple[Any, ...]) -> Steps:
        _, operations, _ = script
        if operations[0] == "find":
            found = yield from self.registry()
            if found >= 0:
                yield ("has", found)

    def scan(self, own: int) -> Steps:
        """(the ripe one, attached, or -1; how many rivals; the lowest of them and one's own)."""
        rivals, lowest, i = 0, own, -1
        last = yield ("last",)  # of the table
        while i < last:
            i += 1
            seen = yield ("look", i)  # number, marked, attachments, whether its maker lives
            if not seen or seen[0] == own:
                continue
            if seen[1] == UNMARKED:
                if not seen[2] and not seen[3]:
                    yield ("remove", seen[0])
                continue
            if not seen[2]:
                continue
            got = yield ("attach", seen[0])
            if not got:
                continue
            ripe = yield ("magic", seen[0])
            session = yield ("session", seen[0])
            if session and (ripe or self.flaw == "an unripe one is taken"):
                return seen[0], rivals, lowest
            if session:
                rivals += 1
                lowest = seen[0] if lowest < 0 else min(lowest, seen[0])
            yield ("detach", seen[0])
        return -1, rivals, lowest

    def registry(self) -> Steps:
        rounds = self.rounds  # candidates that it makes before it gives up
        while True:
            found, rivals, lowest = yield from self.scan(-1)
            if found >= 0:
                return found
            if rivals:
                continue
            if not rounds:
                return -1
            rounds -= 1
            own = yield ("make",)
            got = yield ("attach", own)
            if not got:
                continue
            if self.flaw == "the session is told before the mark":
                yield ("session!", own)
            yield ("mark", own)
            if self.flaw not in ("the session is told when it is ripe", "the session is told before the mark"):
                yield ("session!", own)
            while True:
                found, rivals, lowest = yield from self.scan(own)
                if self.flaw == "no second scan":
                    if found >= 0:
                        yield ("detach", found)
                    found, rivals = -1, 0
                if found >= 0:
                    break
                if not rivals or (self.flaw == "the lowest does not wait" and lowest == own):
                    if self.flaw == "the session is told when it is ripe":
                        yield ("session!", own)
                    yield ("ripe", own)
                    return own
                if lowest != own:
                    break
            yield ("detach", own)
            if found >= 0:
                return found


class ElectionMachine(Machine):
    """segments: number: (place in the table, marked, session, ripe, attachments, who made it)."""

    def begin(self) -> World:
        w = super().begin()
        w.used = 1  # the next number
        for i, script in enumerate(self.protocol.scripts):
            if script == ("hold",):
                number = self.do_make(w, i)
                self.do_attach(w, i, number)
                w.segments[number] = (w.segments[number][0], MARKED, True, True, *w.segments[number][4:])
                self.do_has(w, i, number)
        return w

    def change(self, w: World, number: int, field: int, value: Any) -> None:
        segment = w.segments[number]
        w.segments[number] = (*segment[:field], value, *segment[field + 1 :])  # type: ignore[assignment]

    def do_last(self, w: World, i: int) -> int:
        return max((segment[0] for segment in w.segments.values()), default=-1)

    def do_look(self, w: World, i: int, place: int) -> Any:
        for number, segment in w.segments.items():
            if segment[0] == place:
                return number, segment[1], segment[4], w.processes[segment[5]].state != "dead"
        return None

    def do_make(self, w: World, i: int) -> int:
        places = {segment[0] for segment in w.segments.values()}
        place = next(n for n in range(99) if n not in places)
        number, w.used = w.used, w.used + 1
        w.segments[number] = (place, UNMARKED, False, False, 0, w.threads[i].process)  # type: ignore[assignment]
        return number

    def do_attach(self, w: World, i: int, number: int) -> Any:
        if number not in w.segments:
            return False
        p = w.processes[w.threads[i].process]
        p.attached = tuple(sorted((*p.attached, number)))
        self.change(w, number, 4, w.segments[number][4] + 1)
        return True

    def detach(self, w: World, p: Process, number: int) -> None:
        at = p.attached.index(number)
        p.attached = p.attached[:at] + p.attached[at + 1 :]
        self.change(w, number, 4, w.segments[number][4] - 1)
        if not w.segments[number][4] and w.segments[number][1] == MARKED:
            del w.segments[number]

    def do_magic(self, w: World, i: int, number: int) -> Any:
        return w.segments[number][3]

    def do_session(self, w: World, i: int, number: int) -> Any:
        return w.segments[number][2]

    def do_session_set(self, w: World, i: int, number: int) -> None:
        if w.segments[number][1] == UNMARKED:
            raise Violation(f"KEPT: {number} has a page, and would stay if its maker were killed now")
        self.change(w, number, 2, True)

    def do_mark(self, w: World, i: int, number: int) -> None:
        self.change(w, number, 1, MARKED)

    def do_remove(self, w: World, i: int, number: int) -> None:
        if number in w.segments and not w.segments[number][4]:
            del w.segments[number]

    def do_ripe(self, w: World, i: int, number: int) -> None:
        self.change(w, number, 3, True)

    def do_has(self, w: World, i: int, number: int) -> None:
        if not w.segments[number][3]:
            raise Violation(f"MIXED: {number} is not a registry yet")
        w.processes[w.threads[i].process].handles = (str(number),)

    def check(self, w: World) -> None:
        has = {handle for p in w.processes if p.state == "alive" for handle in p.handles}
        if len(has) > 1:
            raise Violation(f"DOUBLE: registries {sorted(has)} at once")

    def check_still(self, w: World) -> None:
        for i, t in enumerate(w.threads):
            p = w.processes[t.process]
            if p.state == "alive" and p.attached != tuple(int(handle) for handle in p.handles):
                raise Violation(f"KEPT: process {i} has {p.attached} attached, and the registry {p.handles}")


def explore(protocol: Protocol | Election, kills: int = 1, limit: int = 3_000_000) -> int:
    """Visit every reachable state; returns how many there are.  Raises Violation."""
    machine = ElectionMachine(protocol) if isinstance(protocol, Election) else Machine(protocol)
    start = machine.begin()
    first = (start.key(), kills)
    ways: dict[object, tuple[object, str]] = {first: (None, "")}
    queue = [(start, kills, first)]

    def way(key: object) -> str:
        steps = []
        while ways[key][0] is not None:
            key, step = ways[key]
            steps.append(step)
        return " > ".join(reversed(steps))

    def visit(new: World, left: int, step: str, came: object) -> None:
        key = (new.key(), left)
        if key not in ways:
            ways[key] = (came, step)
            queue.append((new, left, key))
            if len(ways) > limit:
                raise AssertionError(f"more than {limit} states")

    while queue:
        w, left, key = queue.pop()
        moves = False
        step = ""
        try:
            for i, t in enumerate(w.threads):
                if w.processes[t.process].state != "alive":
                    continue
                n = w.copy()
                step = machine.label(w, i)
                if machine.step(n, i):
                    moves = True
                    machine.check(n)
                    visit(n, left, step, key)
            for number, p in enumerate(w.processes):
                if p.state in ("dying", "unmapping"):
                    moves = True
                    drops = range(len(set(p.attached))) if p.state == "unmapping" else (0,)
                    for drop in drops:
                        n = w.copy()
                        step = f"end of process {number}"
                        machine.die(n, number, p.attached.index(sorted(set(p.attached))[drop]) if p.attached else 0)
                        machine.check(n)
                        visit(n, left, step, key)
                elif p.state == "alive" and left:
                    n = w.copy()
                    step = f"KILL process {number}"
                    machine.kill(n, number)
                    machine.check(n)
                    visit(n, left - 1, step, key)
            if not moves:
                machine.check_still(w)
        except Violation as violation:
            raise Violation(f"{violation}: {way(key)} > {step}") from None
    return len(ways)
