"""Calls with arguments that are Python code: python -m tests.unit.hostile SEED SECONDS

Every public call of sections, views, mutexes, events, semaphores, waits, queues, topics, arrays, records and win32 gets, at random
places, objects whose __index__, __float__, __eq__, __le__, __hash__, __buffer__ or __iter__ closes what is being used, puts
something else in its place, forks, or collects garbage; and returns something sensible, nonsense, or an exception.  Whatever the
calls raise is fine.  The process must not die: it prints "survived" and the number of calls.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import random
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import namedshm
from namedshm import win32

PAGE = 4096
has_fork = hasattr(os, "fork")
on_linux = sys.platform == "linux"


class World:
    """What the calls are made on, and what arguments do to it."""

    def __init__(self, chance: random.Random, name: str) -> None:
        self.chance, self.name, self.count = chance, name, 0
        self.busy = False
        self.sections: list[namedshm.Section] = []
        self.views: list[namedshm.View] = []
        self.mutexes: list[namedshm.Mutex] = []
        self.events: list[namedshm.Event] = []
        self.semaphores: list[namedshm.Semaphore] = []
        self.queues: list[namedshm.Queue] = []
        self.topics: list[Any] = []
        self.windows: list[Any] = []
        self.handles: list[int] = []
        self.renew()

    def renew(self) -> None:
        self.count = (self.count + 1) % 4
        name = f"{self.name}-{self.count}"
        reserve = self.chance.random() < 0.3
        section = namedshm.create(name, 3 * PAGE - 5, exist_ok=True, reserve=reserve)
        self.sections = [section, section.duplicate("read")]
        self.views = [section.map(), section.map(access="read"), section.map(access="copy")]
        self.mutexes = [namedshm.Mutex(name + "m"), namedshm.Mutex()]
        self.events = [namedshm.Event(name + "e", manual=True, initial=True), namedshm.Event(initial=True)]
        self.semaphores = [namedshm.Semaphore(name + "s", initial=3, maximum=1000)]
        self.queues = [
            namedshm.Queue.create(name + "q", 8, 2 * PAGE, exist_ok=True, ack=self.chance.random() < 0.5),
            namedshm.Queue.create(None, 4, 100, overflow="drop_oldest"),
        ]
        if on_linux:
            self.topics = [
                namedshm.Topic.create(name + "t", max_size=2 * PAGE, history=2, pins=3, writers=3, exist_ok=True),
                namedshm.Topic.create(max_size=100),
            ]
        mapping = win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, win32.PAGE_READWRITE, 0, 2 * PAGE, name + "w")
        for handle in self.handles:
            win32.CloseHandle(handle)
        self.handles = [mapping, win32.CreateEvent(None, True, True, None), win32.CreateMutex(None, False, name + "wm")]

    def everything(self) -> list[Any]:
        return [*self.sections, *self.views, *self.mutexes, *self.events, *self.semaphores, *self.queues, *self.topics]

    def mischief(self) -> None:
        """What an argument does when it is looked at."""
        if self.busy:  # one is enough: it must not go on for ever
            return
        self.busy = True
        try:
            what = self.chance.randrange(9)
            if what == 0:
                for thing in self.everything():
                    thing.close()
            elif what == 1:
                self.chance.choice(self.everything()).close()
            elif what == 2:
                self.renew()
            elif what == 3:
                gc.collect()
            elif what == 4 and has_fork and self.chance.random() < 0.05:
                child = os.fork()
                if not child:
                    for thing in self.everything():
                        thing.close()
                    os._exit(0)
                os.waitpid(child, 0)
            elif what == 5:
                for handle in self.handles:
                    win32.CloseHandle(handle)
            elif what == 6:
                for view in self.views:
                    memoryview(view)
                    view.close()
            elif what == 7:
                while self.windows:
                    window = self.windows.pop()
                    window.abandon() if hasattr(window, "abandon") else window.release()
        except (OSError, ValueError, TypeError):
            pass
        finally:
            self.busy = False

    def value(self) -> int:
        return self.chance.choice([0, 1, 2, 3, 255, PAGE, 65536, -1, -PAGE, 1 << 31, 1 << 62, -(1 << 62), (1 << 63) - 1])


class Evil(int):
    """A number that is code."""

    world: World

    def _look(self) -> int:
        self.world.mischief()
        if self.world.chance.random() < 0.1:
            raise self.world.chance.choice([KeyError, OverflowError, MemoryError, OSError])("hostile")
        return self.world.value() if self.world.chance.random() < 0.3 else int.__int__(self)

    def __index__(self) -> int:
        return self._look()

    __int__ = __index__

    def __float__(self) -> float:
        return self.world.chance.choice([float(self._look()), 0.0, 0.001, float("nan"), -1.0])

    def _compare(self, other: object) -> bool:
        self._look()
        return self.world.chance.random() < 0.5

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare  # type: ignore[assignment]

    def __hash__(self) -> int:
        return self._look() & 0xFFFF

    def _arithmetic(self, other: object) -> int:
        return self._look()

    __add__ = __radd__ = __sub__ = __rsub__ = __mod__ = __and__ = __rand__ = __or__ = __lshift__ = __floordiv__ = _arithmetic  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return self._compare(self)


class EvilBytes(bytearray):
    """A buffer that is code (from Python 3.12 on)."""

    world: World

    def __buffer__(self, flags: int) -> memoryview:
        self.world.mischief()
        return super().__buffer__(flags)  # type: ignore[misc,no-any-return]

    def __len__(self) -> int:
        self.world.mischief()
        return bytearray.__len__(self)


class EvilFraction(Fraction):
    world: World

    def __float__(self) -> float:
        self.world.mischief()
        return super().__float__()


class EvilList(list[Any]):
    world: World

    def __iter__(self) -> Any:
        self.world.mischief()
        for item in list.__iter__(self):
            yield item
            self.world.mischief()

    def __len__(self) -> int:
        self.world.mischief()
        return list.__len__(self)

    def __getitem__(self, index: Any) -> Any:
        self.world.mischief()
        return list.__getitem__(self, index)


class EvilText(str):
    world: World

    def __eq__(self, other: object) -> bool:
        self.world.mischief()
        return self.world.chance.random() < 0.5

    def __ne__(self, other: object) -> bool:
        return self == other

    def __hash__(self) -> int:
        self.world.mischief()
        return self.world.chance.choice([hash(word) for word in ("read", "write", "copy", "raise", "tell", "full", "wait")])


class EvilView(namedshm.View):
    """A kind of view whose making is code, and may hand out one that there was before."""

    world: World

    def __new__(cls) -> Any:
        cls.world.mischief()
        return cls.world.chance.choice([None, 5, cls.world.views[0], super().__new__(cls), super().__new__(cls)])


class Calls:
    def __init__(self, world: World) -> None:
        self.world, self.pick = world, world.chance.choice
        Evil.world = EvilBytes.world = EvilFraction.world = EvilList.world = EvilText.world = EvilView.world = world

    # ---- arguments
    def number(self) -> Any:
        return Evil(self.world.value()) if self.world.chance.random() < 0.7 else self.world.value()

    def seconds(self) -> Any:
        return self.pick([0, 0.0005, Evil(0), Evil(1), EvilFraction(1, 2000), -1, float("nan"), "1"])

    def access(self) -> Any:
        return self.pick([None, "read", "write", "copy", EvilText("read"), EvilText("x"), Evil(1)])

    def part(self) -> Any:
        return slice(self.number(), self.number(), self.pick([None, Evil(1), Evil(2), Evil(-1), 1]))

    def content(self) -> Any:
        size = self.pick([0, 1, 2, 3, PAGE])
        return self.pick([EvilBytes(size), bytes(size), memoryview(EvilBytes(size)), self.view(), Evil(3)])

    def section(self) -> namedshm.Section:
        return self.pick(self.world.sections)

    def view(self) -> namedshm.View:
        return self.pick(self.world.views)

    def waitable(self) -> Any:
        return self.pick([*self.world.mutexes, *self.world.events, *self.world.semaphores])

    def several(self) -> Any:
        things = [self.waitable() for _ in range(self.pick([0, 1, 2, 3]))]
        return self.pick([things, EvilList(things), tuple(things), EvilList([*things, 5]), [None]])

    def handle(self) -> Any:
        return self.pick([*self.world.handles, Evil(self.world.handles[0]), 0, -1])

    # ---- calls
    def all(self) -> list[Callable[[], Any]]:
        n, pick = self.number, self.pick
        w = win32
        return [
            lambda: self.section().map(n(), n(), self.access(), kind=pick([namedshm.View, EvilView])),
            lambda: self.section().map(Evil(0), Evil(PAGE), self.access(), executable=n()),
            lambda: self.section().duplicate(self.access()),
            lambda: namedshm.create(self.world.name + "n", n(), exist_ok=n(), mode=n(), access=self.access() or "read"),
            lambda: namedshm.open(self.world.name + "-1", self.access() or "read"),
            lambda: self.view()[n()],
            lambda: self.view()[self.part()],
            lambda: self.view().__setitem__(n(), n()),
            lambda: self.view().__setitem__(self.part(), self.content()),
            lambda: self.view().flush(n(), n()),
            lambda: self.view().commit(n(), n()),
            lambda: self.view().populate(n(), n(), threads=pick([None, 1, Evil(2)])),
            lambda: namedshm.copy(self.content(), self.content()),
            lambda: namedshm.copy(self.view(), self.content(), threads=Evil(2), progress=lambda *_: self.world.mischief()),
            lambda: memoryview(self.view())[:].tobytes(),
            lambda: namedshm.Mutex.acquire(self.waitable(), self.seconds(), on_abandoned=pick(["raise", EvilText("raise"), n()])),
            lambda: pick(self.world.mutexes).release(),
            lambda: namedshm.Event.wait(self.waitable(), self.seconds(), spin=pick([0, 0.0001, Evil(0), EvilFraction(1, 9999)])),
            lambda: pick([namedshm.Event.set, namedshm.Event.clear, namedshm.Event.pulse])(self.waitable()),
            lambda: pick(self.world.semaphores).release(n()),
            lambda: self.waitable().duplicate(pick([None, "wait", EvilText("full"), n()])),
            lambda: namedshm.wait_any(self.several(), self.seconds()),
            lambda: namedshm.wait_all(self.several(), self.seconds(), spin=pick([0, Evil(0), float("nan"), float("inf")])),
            lambda: namedshm.Semaphore(None, initial=n(), maximum=n()),
            lambda: w.MapViewOfFile(self.handle(), n(), n(), n(), n()),
            lambda: w.CreateFileMapping(self.handle(), None, n(), n(), n(), self.world.name + "x"),
            lambda: w.WaitForSingleObject(self.handle(), pick([0, 1, Evil(0)])),
            lambda: w.WaitForMultipleObjects(EvilList([self.handle(), self.handle()]), n(), 0),
            lambda: w.DuplicateHandle(-1, self.handle(), -1, n(), n(), n()),
            lambda: w.OpenProcess(n(), n(), n()),
            lambda: w.ReleaseSemaphore(self.handle(), n()),
            lambda: w.CopyMemory(self.content(), self.content(), n()),
            lambda: w.view_commit(self.view(), n(), n()),
            lambda: w.view_read(self.view(), n(), n()),
            lambda: w.UnmapViewOfFile(self.view()),
            self.world.renew,
        ]

    def arrays(self) -> list[Callable[[], Any]]:
        try:
            import numpy as np

            from namedshm import arrays
        except ImportError:
            return []
        name = self.world.name + "-array"

        def use() -> None:
            array = arrays.create(name, (16, 8), "f8")
            array[Evil(3)] = 1
            array[:, Evil(2)].sum()
            arrays.close(array)

        return [
            use,
            lambda: arrays.create(name, (self.number(), self.number()), "u1"),
            lambda: arrays.publish(name, np.arange(8)),
        ]

    # ---- queues
    def moment(self) -> Any:
        """A short time: nobody else comes to help who waits."""
        return self.pick([0, 0.0005, EvilFraction(1, 2000), -1, float("nan"), "1"])

    def window(self) -> Any:
        if len(self.world.windows) > 6:
            del self.world.windows[: self.pick([1, 3, 7])]
        return self.pick(self.world.windows) if self.world.windows else self.take()

    def take(self) -> Any:
        window = self.queue().take(self.moment())
        self.world.windows.append(window)
        return window

    def loan(self) -> Any:
        window = self.queue().loan(self.pick([None, 0, 5, Evil(7), 100]), self.moment())
        self.world.windows.append(window)
        return window

    def queue(self) -> namedshm.Queue:
        return self.pick(self.world.queues)

    def queueing(self) -> list[Callable[[], Any]]:
        n, pick = self.number, self.pick

        def within() -> None:
            with pick([self.take, self.loan])() as window:
                window[n()]
                self.world.mischief()

        return [
            lambda: self.queue().put(self.content(), self.moment()),
            lambda: self.queue().put_nowait(self.content()),
            lambda: self.queue().put_many(EvilList([self.content() for _ in range(pick([0, 1, 5, 100]))]), self.moment()),
            lambda: self.queue().get(self.moment()),
            lambda: self.queue().get_many(n(), self.moment()),
            lambda: self.queue().get_into(EvilBytes(2 * PAGE), self.moment()),
            self.take,
            self.loan,
            within,
            lambda: self.window()[n()],
            lambda: self.window()[self.part()],
            lambda: self.window().__setitem__(self.part(), self.content()),
            lambda: setattr(self.window(), "length", n()),
            lambda: self.window().commit(self.moment()),
            lambda: pick([namedshm.queue.Message.release, namedshm.queue.Message.give_back])(self.window()),
            lambda: memoryview(self.window())[:].tobytes(),
            lambda: self.queue().put(self.window(), self.moment()),
            lambda: setattr(self.queue(), "spin", self.moment()),
            lambda: self.queue().take_part(pick(["producer", EvilText("consumer"), n()])),
            lambda: (self.queue().statistics(), self.queue().participants(), repr(self.queue())),
            lambda: self.world.chance.random() < 0.1 and self.queue().shutdown(n()),
            lambda: namedshm.Queue.create(None, n(), n(), chunks=n(), participants=n(), overflow=EvilText("wait")),
            lambda: namedshm.Queue.open(self.world.name + "-1q", self.access() or "read", wait=self.moment()),
        ]

    # ---- topics
    def topic(self) -> Any:
        return self.pick(self.world.topics)

    def kept(self, window: Any) -> Any:
        self.world.windows.append(window)
        return window

    def topical(self) -> list[Callable[[], Any]]:
        n, pick = self.number, self.pick

        def which() -> str:
            return pick(["latest", "new", "next", EvilText("next")])

        def within() -> None:
            made = pick([lambda: self.topic().view(self.moment()), lambda: self.topic().pin(self.moment()), self.topic().loan])
            with made() as window:
                window[n()]
                self.world.mischief()

        return [
            lambda: self.topic().publish(self.content(), self.moment()),
            lambda: self.topic().latest(self.moment(), new=Evil(pick([0, 1]))),
            lambda: self.topic().next(self.moment()),
            lambda: self.topic().latest_into(EvilBytes(2 * PAGE), self.moment()),
            lambda: self.kept(self.topic().view(self.moment(), which=which())),
            lambda: self.kept(self.topic().pin(self.moment(), which=which())),
            lambda: self.kept(self.topic().loan(self.moment(), size=pick([None, 0, 5, Evil(7), 100]))),
            within,
            lambda: self.topic().publish(self.window(), self.moment()),
            lambda: self.window().check(),
            lambda: setattr(self.topic(), "position", n()),
            lambda: (
                self.topic().lag,
                self.topic().missed,
                self.topic().statistics(),
                self.topic().participants(),
                repr(self.topic()),
            ),
            lambda: self.world.chance.random() < 0.1 and self.topic().shutdown(),
            lambda: namedshm.Topic.create(None, max_size=n(), history=n(), pins=n(), writers=n()),
            lambda: namedshm.Topic.open(self.world.name + "-1t", self.access() or "read", wait=self.moment()),
        ]

    def records(self) -> list[Callable[[], Any]]:
        from namedshm.records import Record

        class Settings(Record):
            exposure: float = 0.5
            count: int = 0

        def use() -> None:
            with Settings(self.world.name + "-record") as record:
                record.count = Evil(3)
                record.exposure = Evil(2)
                with record.edit() as draft:
                    draft.count = Evil(5)

        return [use]


def main(seed: int, seconds: float) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds + 60, exit=True)
    world = World(random.Random(seed), f"hostile{os.getpid()}")
    calls = Calls(world)
    ways = [*calls.all(), *calls.queueing(), *calls.arrays(), *calls.records()]
    if on_linux:
        ways += calls.topical()
    ends = time.monotonic() + seconds
    done = 0
    while time.monotonic() < ends:
        with contextlib.suppress(Exception):  # any answer is fine, as long as there is one
            world.chance.choice(ways)()
        if not world.chance.randrange(20):
            with contextlib.suppress(OSError):
                world.renew()
        done += 1
    print("survived", done, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
