"""What messages between processes cost: one way, by two producers, there and back, and as work that is acknowledged.

Every measurement has processes of its own: one that receives, and one or two that send, all ready before a clock runs.  The clock
is the receiver's: it starts when a queue was filled twice, and counts what arrives in a tenth of a second.  Then the senders are
told to stop, and say how many messages they have sent.  So each queue is watched in the same state, and its losses are known.

Messages come from a few that are made before, filled with random bytes; the receiver knows them, and in which order they have to
come.  It compares small ones wholly; of large ones the number, and of some the ends and a piece somewhere.  A library that has
lost, doubled or torn any is marked.

Senders have the lower half of the processors, the receiver has the upper one: a library's own threads have room, and sender and
receiver never share a processor by accident.
"""

from __future__ import annotations

import itertools
import mmap
import operator
import os
import random
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, NoReturn

from . import _messengers as ways
from ._messengers import FORK, Line, Messenger, Receive, Send, SendMany
from ._runner import NS, US, GivesUp, Settings, Table, Unit, compiled

MILLISECONDS = 100  # of one measurement
PATIENCE = 20  # seconds until a measurement has failed
TRIP = 32  # bytes that go there and back
GROUP = 16  # trips, of which the time is taken together
BATCH = 64
END = 128  # first byte of the last message, with the sender's number; the others have the number alone
NOBODY = b"\0\xfe"  # like no message
OURS, MEMCPY, RING, C_QUEUE = "namedshm.Queue", "memcpy (C)", "bare ring (C)", "namedshm_queue.h (C)"

#: size of a message: how many are in a queue, how many different ones there are, and how their times are shown
SIZES: dict[int, tuple[int, int, Unit]] = {64: (1024, 128, NS), 1024: (1024, 128, NS), 65536: (64, 16, US), 1 << 20: (8, 4, US)}
NAMES = {64: "64 bytes", 1024: "1 KiB", 65536: "64 KiB", 1 << 20: "1 MiB"}

ONE_WAY: dict[str, type[Messenger]] = {
    OURS: ways.Named,
    "namedshm.Queue, get_into()": ways.NamedInto,
    "namedshm.Queue, take()": ways.NamedTake,
    "namedshm.Queue, loan() and take()": ways.NamedWindows,
    "multiprocessing.Pipe": ways.Pipe,
    "multiprocessing.SimpleQueue": ways.SimpleQueue,
    "multiprocessing.Queue": ways.StandardQueue,
    "faster-fifo": ways.FasterFifo,
    "pyzmq, ipc": ways.Zmq,
    "eclipse-zenoh": ways.Zenoh,
    "iceoryx2": ways.Iceoryx2,
    "kickmsg": ways.Kickmsg,
    "cloudtoid-interprocess": ways.Cloudtoid,
    "membridge": ways.Membridge,
    "subetha-ipc": ways.Subetha,
    "subetha-ipc, frames": ways.SubethaFrames,
}
LARGE_ONLY = ("namedshm.Queue, get_into()", "namedshm.Queue, take()", "namedshm.Queue, loan() and take()")
LONG_ONLY = ("subetha-ipc, frames",)
BLOCKING: dict[str, type[Messenger]] = {
    **{who: way for who, way in ONE_WAY.items() if way.waits and who not in LARGE_ONLY},
    "iceoryx2, events": ways.Iceoryx2Events,
    "subetha-ipc, Channel": ways.SubethaChannel,
}
SPINNING = {who: way for who, way in ONE_WAY.items() if way.spins and who not in LARGE_ONLY + LONG_ONLY}
WORK: dict[str, type[Messenger]] = {
    OURS: ways.NamedAck,
    "namedshm.Queue without acknowledgement": ways.NamedTake,
    "multiprocessing.JoinableQueue": ways.JoinableQueue,
}


# ------------------------------------------------------------------------------------------------------------ processes
Meet = Callable[[], None]
Job = Callable[[Meet], Any]


def take_side(*, upper: bool) -> None:
    if hasattr(os, "sched_setaffinity") and len(every := sorted(os.sched_getaffinity(0))) > 1:
        half = len(every) // 2
        os.sched_setaffinity(0, every[half:] if upper else every[:half])


def work(job: Job, upper: bool, parent: Connection) -> NoReturn:
    """A process's life: it says when it is ready, waits until it may go on, and gives its result."""

    def meet() -> None:
        parent.send(("ready", None))
        parent.recv()

    try:
        take_side(upper=upper)
        parent.send(("done", job(meet)))
    except BaseException:  # told to who started it
        parent.send(("failed", traceback.format_exc()))
    os._exit(0)  # what the libraries do at an orderly end is not measured, and some of them hang there


class Workers:
    """The processes of one measurement: one that receives, whose result counts, and those that send.

    Each is ready once before the start; a sender once more before it leaves its queue, which it may when the receiver is done: in
    some libraries messages that are on their way end with the sender.
    """

    def __init__(self, who: str, receiver: Job, senders: list[Job]) -> None:
        self.who, self.deadline = who, time.monotonic() + PATIENCE
        self.running: dict[Connection, ForkProcess] = {}
        try:
            for number, job in enumerate([receiver, *senders]):  # who is to be found is there first
                mine, theirs = FORK.Pipe()
                process = FORK.Process(target=work, args=(job, number == 0, theirs))
                process.start()
                theirs.close()
                self.running[mine] = process
                self.hear([mine])
            ends = list(self.running)
            for end in ends:
                end.send("start")
            waiting = set(ends)
            while ends[0] in waiting:
                end, self.result = self.hear([*waiting])
                waiting.remove(end)
            for end in waiting:
                self.hear([end])
            for end in ends[1:]:
                end.send("leave")
                self.hear([end])
        finally:
            for end, process in self.running.items():
                process.join(1)
                process.kill()
                process.join()
                process.close()
                end.close()

    def hear(self, ends: list[Connection]) -> tuple[Connection, Any]:
        """The next thing that one of them says."""
        found = connection.wait(ends, max(0, self.deadline - time.monotonic()))
        if not found:
            raise GivesUp(f"did not come to an end within {PATIENCE} seconds")
        end = found[0]
        assert isinstance(end, Connection)
        try:
            said, result = end.recv()
        except EOFError:
            raise GivesUp("a process of it ended by itself") from None
        if said == "failed":
            if self.who.startswith("namedshm"):
                raise RuntimeError(result)
            raise GivesUp(result.strip().splitlines()[-1])
        return end, result


# ------------------------------------------------------------------------------------------------------------ messages
def make_messages(line: Line, me: int) -> list[bytes]:
    """What one sender sends, again and again."""
    count = SIZES[line.size][1] if line.size in SIZES else 16
    return [bytes((me, number)) + random.randbytes(line.size - 2) for number in range(count)]


class Ended(Exception):
    """The last message of the last sender."""


class Ledger:
    """What a receiver expects, and what was otherwise."""

    def __init__(self, line: Line, sources: list[list[bytes]], *, whole: bool = True) -> None:
        self.sources = sources
        self.cycles: list[Iterator[bytes]] = [itertools.cycle([NOBODY])] * 256  # by the first byte of a message
        for me, source in enumerate(sources):
            self.cycles[me] = itertools.cycle(source)
        self.ended = self.sent = self.received = self.skipped = self.torn = 0
        self.place = 0
        self.differs: Callable[[Any, bytes], bool] = self.large_differs if line.large else operator.ne
        self.pieces = line.large and whole

    def large_differs(self, message: Any, expected: bytes) -> bool:
        """Its number; and of the first of a cycle the ends and a piece, another one each time."""
        if message[1] != expected[1]:
            return True
        if expected[1]:
            return False
        whole = memoryview(message)
        self.place = (self.place + 7919 * 64) % (len(expected) - 64)
        pieces = [slice(0, 16), slice(len(expected) - 16, None)]
        if self.pieces:
            pieces.append(slice(self.place, self.place + 64))
        return len(whole) != len(expected) or any(bytes(whole[piece]) != expected[piece] for piece in pieces)

    def unexpected(self, message: Any) -> Iterator[bytes]:
        """What to expect after this one."""
        message = bytes(message)
        me, number = message[0] % END, message[1]
        if me >= len(self.sources):
            self.torn += 1
            return self.cycles[0]
        source = self.sources[me]
        if message[0] >= END:
            self.ended += 1
            self.sent += int.from_bytes(message[8:16], "little")
            if self.ended == len(self.sources):
                raise Ended
        elif number < len(source) and message == source[number]:
            self.skipped += 1
            self.cycles[me] = itertools.islice(itertools.cycle(source), number + 1, None)
        else:
            self.torn += 1
        return self.cycles[me]

    def verdict(self) -> str:
        """What is wrong, or nothing."""
        found = []
        if self.received < self.sent:
            found.append(f"up to {100 * (self.sent - self.received) / self.sent:.2g} % of the messages were lost")
        if self.received > self.sent:
            found.append(f"{self.received - self.sent} messages came twice")
        if self.torn:
            found.append(f"{self.torn} messages were torn")
        if self.skipped and not found:
            found.append("messages were in disorder")
        return ", ".join(found)


class Stopwatch:
    def __init__(self, line: Line, seconds: float) -> None:
        self.warm, self.length = 2 * line.capacity * line.producers, int(seconds * 1e9)
        self.start = self.end = self.counted = 0

    def running(self, received: int) -> bool:
        if received < self.warm:
            return True
        now = time.perf_counter_ns()
        if not self.start:
            self.start, self.warm = now, received
        self.end, self.counted = now, received - self.warm
        return not self.counted or now - self.start < self.length


def send_all(send: Send, messages: list[bytes], stop: mmap.mmap, wait: Callable[[], object]) -> int:
    sent = 0
    while not stop[0]:
        for message in messages:
            while send(message) is False:
                wait()
        sent += len(messages)
    return sent


def send_batches(send: SendMany, messages: list[bytes], stop: mmap.mmap, wait: Callable[[], object]) -> int:
    batches = [messages[at : at + BATCH] for at in range(0, len(messages), BATCH)]
    sent = 0
    while not stop[0]:
        for batch in batches:
            done = send(batch)
            while done < len(batch):
                wait()
                done += send(batch[done:])
        sent += len(messages)
    return sent


def produce(messenger: Messenger, me: int, messages: list[bytes], stop: mmap.mmap, batch: bool, meet: Meet) -> None:
    wait: Callable[[], object] = os.sched_yield if messenger.line.producers > 1 else int  # int(): no time at all
    send: Callable[[Any], Any] = messenger.many_sender(me) if batch else messenger.sender(me)
    meet()
    sent = send_batches(send, messages, stop, wait) if batch else send_all(send, messages, stop, wait)
    last = bytes((END + me, 255, *([0] * 6))) + sent.to_bytes(8, "little") + bytes(messenger.line.size - 16)
    while not (send([last]) if batch else send(last) is not False):
        wait()
    meet()
    messenger.leave()


def receive_all(receive: Receive, ledger: Ledger, keep_on: Callable[[int], None]) -> None:
    often = max(4, len(ledger.sources[0]))
    differs, number = ledger.differs, 0
    expected = ledger.cycles[0]
    try:
        while True:
            for number in range(often):  # noqa: B007  # the last one counts
                while (message := receive()) is None:
                    pass
                if differs(message, next(expected)):
                    expected = ledger.unexpected(message)
            ledger.received += often
            keep_on(ledger.received)
    except Ended:
        ledger.received += number


def receive_mixed(receive: Receive, ledger: Ledger, keep_on: Callable[[int], None]) -> None:
    """The same for several senders."""
    often = max(4, len(ledger.sources[0]))
    differs, expected, number = ledger.differs, ledger.cycles, 0
    try:
        while True:
            for number in range(often):  # noqa: B007  # the last one counts
                while (message := receive()) is None:
                    pass
                if differs(message, next(expected[message[0]])):
                    ledger.unexpected(message)
            ledger.received += often
            keep_on(ledger.received)
    except Ended:
        ledger.received += number + 1 - len(ledger.sources)


def receive_batches(receive: Receive, ledger: Ledger, keep_on: Callable[[int], None]) -> None:
    alone, expected, looked = len(ledger.sources) == 1, ledger.cycles, 0
    try:
        while True:
            batch = receive()
            if alone:
                if batch != (wanted := list(itertools.islice(expected[0], len(batch)))):
                    expected[0] = itertools.chain(wanted, expected[0])  # which one is it?
                    check(batch, ledger)
            else:
                check(batch, ledger)
            ledger.received += len(batch)
            if ledger.received - looked >= BATCH:
                looked = ledger.received
                keep_on(looked)
    except Ended:
        ledger.received += len(batch) - len(ledger.sources)


def check(batch: list[bytes], ledger: Ledger) -> None:
    expected = ledger.cycles
    for message in batch:
        if message != next(expected[message[0]]):
            ledger.unexpected(message)


@dataclass(frozen=True)
class Result:
    nanoseconds: float  # for each message
    verdict: str
    lost: float  # share of the messages


def consume(messenger: Messenger, ledger: Ledger, stop: mmap.mmap, batch: bool, seconds: float, meet: Meet) -> Result:
    watch = Stopwatch(messenger.line, seconds)

    def keep_on(received: int) -> None:
        if not stop[0] and not watch.running(received):
            stop[0] = 1

    receive = messenger.many_receiver() if batch else messenger.receiver()
    meet()
    way = receive_batches if batch else receive_all if len(ledger.sources) == 1 else receive_mixed
    way(receive, ledger, keep_on)
    messenger.leave()
    return Result(
        (watch.end - watch.start) / watch.counted, ledger.verdict(), max(0, ledger.sent - ledger.received) / max(1, ledger.sent)
    )


@dataclass
class OneWay:
    """A contender: called, it measures once, and gives nanoseconds for each message."""

    table: Table
    who: str
    way: type[Messenger]
    line: Line
    batch: bool
    seconds: float
    worst: float = 0  # share of the messages that were lost, in any measurement

    def __call__(self) -> float:
        messenger = self.way(self.line)
        try:
            stop = mmap.mmap(-1, 1)
            sources = [make_messages(self.line, me) for me in range(self.line.producers)]
            ledger = Ledger(self.line, sources, whole=messenger.whole)
            receiver = partial(consume, messenger, ledger, stop, self.batch, self.seconds)
            senders = [partial(produce, messenger, me, source, stop, self.batch) for me, source in enumerate(sources)]
            result: Result = Workers(self.who, receiver, [*senders]).result
        finally:
            messenger.close()
        if result.verdict:
            if self.who.startswith("namedshm"):
                raise RuntimeError(f"{self.who}: {result.verdict}")
            if self.who not in self.table.remarks or result.lost > self.worst:
                self.table.remarks[self.who], self.worst = result.verdict, result.lost
        return result.nanoseconds


# ------------------------------------------------------------------------------------------------------------ there and back
def ask(there: Messenger, back: Messenger, stop: mmap.mmap, spinning: bool, seconds: float, meet: Meet) -> float:
    """Nanoseconds for a trip, the median over groups of them: somebody else may have the processor for a while."""
    messages = make_messages(there.line, 0)
    receive = back.spinner() if spinning else back.receiver()
    meet()
    send = there.sender(0)
    differs = operator.ne if back.carries else lambda reply, message: False
    times: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while len(times) < 2 or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        for message in messages[:GROUP]:
            while send(message) is False:
                pass
            while (reply := receive()) is None:
                pass
            if differs(reply, message):
                raise RuntimeError("another message came back")
        times.append(time.perf_counter_ns() - start)
    stop[0] = 1
    while send(messages[0]) is False:
        pass
    back.leave()
    there.leave()
    return statistics.median(times[1:]) / GROUP


def answer(there: Messenger, back: Messenger, stop: mmap.mmap, spinning: bool, meet: Meet) -> None:
    receive = there.spinner() if spinning else there.receiver()
    meet()
    send = back.sender(0)
    while True:
        while (message := receive()) is None:
            pass
        if stop[0]:
            break
        while send(message) is False:
            pass
    meet()
    there.leave()
    back.leave()


def round_trip(who: str, way: type[Messenger], line: Line, spinning: bool, seconds: float) -> float:
    there, back, stop = way(line), way(line), mmap.mmap(-1, 1)
    try:
        asking = partial(ask, there, back, stop, spinning, seconds)
        result: float = Workers(who, asking, [partial(answer, there, back, stop, spinning)]).result
        return result
    finally:
        there.close()
        back.close()


# ------------------------------------------------------------------------------------------------------------ the tables
def contenders(table: Table, found: dict[str, type[Messenger]], line: Line, seconds: float, *, batch: bool = False) -> None:
    for who, way in found.items():
        if who in (() if line.large else LARGE_ONLY) or (line.size <= 64 and who in LONG_ONLY):
            continue
        if reason := way.why_not(line, batch=batch):
            table.left_out[who] = reason
        else:
            table.contenders[who] = OneWay(table, who, way, line, batch, seconds)


def one_way_table(floor: Callable[..., float], size: int, producers: int, batch: bool, seconds: float) -> Table:
    capacity, _, unit = SIZES[size]
    line = Line(size, capacity, producers)
    title = f"one way, {NAMES[size]}{f', {BATCH} at a time' if batch else ''}{', two producers' if producers > 1 else ''}"
    table = Table(title, unit, floor=RING, ours=OURS, rounds=9)
    in_c = {MEMCPY: ("memcpy", 1), RING: ("ring", 1), C_QUEUE: ("queue", 1)}
    if line.large:
        in_c.update({"bare ring, read in place (C)": ("ring", 0), "namedshm_queue.h, read in place (C)": ("queue", 0)})
    for who, (how, copied) in in_c.items():
        table.contenders[who] = partial(floor, "one-way", how, size, capacity, BATCH if batch else 1, producers, copied, seconds)
    contenders(table, ONE_WAY, line, seconds, batch=batch)
    return table


def round_trip_table(floor: Callable[..., float], spinning: bool, seconds: float) -> Table:
    line = Line(TRIP, 64, spin=None if spinning else 0)
    how, reference = ("spinning", "ring") if spinning else ("sleeping", "futex")
    first = {"ring": "two bare rings (C)", "futex": "two bare futexes (C)"}[reference]
    table = Table(f"round trip of {TRIP} bytes, {how}", NS if spinning else US, floor=first, ours=OURS, rounds=9)
    spin = 1_000_000_000 if spinning else 0
    if spinning:
        table.contenders["two words (C)"] = partial(floor, "round-trip", "spin", TRIP, spin, seconds)
    table.contenders[first] = partial(floor, "round-trip", reference, TRIP, spin, seconds)
    table.contenders[C_QUEUE] = partial(floor, "round-trip", "queue", TRIP, spin, seconds)
    found: dict[str, type[Messenger]] = (
        SPINNING if spinning else {"two posix_ipc.Semaphores, no message": ways.PosixSemaphore, **BLOCKING}
    )
    for who, way in found.items():
        if reason := way.why_not(line):
            table.left_out[who] = reason
        else:
            table.contenders[who] = partial(round_trip, who, way, line, spinning, seconds)
    if not spinning:
        usual = Line(TRIP, 64)
        table.contenders["namedshm.Queue, spin as it is"] = partial(round_trip, OURS, ways.Named, usual, False, seconds)
    return table


def work_table(floor: Callable[..., float], size: int, seconds: float) -> Table:
    capacity, _, unit = SIZES[size]
    line = Line(size, capacity)
    title = f"work with acknowledgement, {NAMES[size]}{', read in place' if line.large else ''}"
    table = Table(title, unit, floor=RING, ours=OURS, rounds=9)
    for who, how in ((RING, "ring"), (C_QUEUE, "ack")):
        table.contenders[who] = partial(floor, "one-way", how, size, capacity, 1, 1, int(not line.large), seconds)
    contenders(table, WORK, line, seconds)
    return table


def tables(settings: Settings) -> Iterator[Table]:
    seconds = settings.count(MILLISECONDS) / 1000
    with compiled("messaging_floor.c", "-pthread") as floor:
        for producers in (1, 2):
            for size in SIZES:
                yield one_way_table(floor, size, producers, False, seconds)
                if size == min(SIZES):
                    yield one_way_table(floor, size, producers, True, seconds)
        yield round_trip_table(floor, True, seconds)
        yield round_trip_table(floor, False, seconds)
        for size in (64, 65536):
            yield work_table(floor, size, seconds)
