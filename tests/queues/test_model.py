"""A queue of bytes does what queue.Queue does, whatever is done in which order; Hypothesis chooses."""

from __future__ import annotations

import itertools
import queue as standard
import sys
from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from namedshm.queue import Empty, Full, Loan, Message, Queue, ShutDown

_numbers = itertools.count()

SIZES = st.one_of(st.integers(0, 20), st.integers(240, 260), st.integers(900, 3000))


class Standard:
    """queue.Queue of the standard library, which shuts down since Python 3.13; before, what its documentation says."""

    def __init__(self, capacity: int) -> None:
        self.queue: standard.Queue[bytes] = standard.Queue(capacity)
        self.shut = self.over = False

    def put(self, data: bytes) -> None:
        if self.shut:
            raise ShutDown("shut")
        self.queue.put_nowait(data)

    def get(self) -> bytes:
        if self.over or (self.shut and self.queue.empty()):
            raise ShutDown("shut")
        return self.queue.get_nowait()

    def shutdown(self, immediate: bool) -> None:
        self.shut = True
        self.over |= immediate


def outcome(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (standard.Full, standard.Empty, ShutDown) as error:
        return next(kind for kind in (standard.Full, standard.Empty, ShutDown) if isinstance(error, kind))


class Comparison(RuleBasedStateMachine):
    ack = False

    @initialize(exponent=st.integers(0, 3), max_size=st.sampled_from([1000, 3000]))
    def begin(self, exponent: int, max_size: int) -> None:
        self.name = f"model-{next(_numbers)}"
        self.ours = Queue.create(self.name, 1 << exponent, max_size, ack=self.ack)
        self.other = Queue.open(self.name)
        self.theirs = Standard(1 << exponent)
        self.loans: deque[Loan] = deque()
        self.messages: deque[tuple[Message, bytes]] = deque()
        self.again: deque[bytes] = deque()  # given back, the oldest first
        self.max_size = max_size
        self.counted = 0

    def data(self, size: int) -> bytes:
        self.counted += 1
        return (b"%d," % self.counted * (size // 2 + 1))[: min(size, self.max_size)]

    def taken(self) -> Any:
        """What the model says comes next."""
        if self.again and not self.theirs.over:
            return self.again.popleft()
        return outcome(self.theirs.get)

    @rule(size=SIZES, which=st.booleans())
    def put(self, size: int, which: bool) -> None:
        data = self.data(size)
        assert outcome((self.ours if which else self.other).put_nowait, data) == outcome(self.theirs.put, data)

    @rule(sizes=st.lists(SIZES, max_size=12))
    def put_many(self, sizes: list[int]) -> None:
        some = [self.data(size) for size in sizes]
        want = [outcome(self.theirs.put, data) for data in some]
        done = sum(one is None for one in want)
        try:
            assert self.ours.put_many(some, 0) == done == len(some)
        except (Full, ShutDown) as error:
            assert error.done == done < len(some)  # noqa: PT017
            assert isinstance(error, want[done])  # noqa: PT017

    @rule(which=st.booleans())
    def get(self, which: bool) -> None:
        assert outcome((self.ours if which else self.other).get_nowait) == self.taken()

    @precondition(lambda self: not self.again)
    @rule(most=st.integers(1, 100))
    def get_many(self, most: int) -> None:
        got = outcome(self.ours.get_many, most, 0)
        first = self.taken()
        if not isinstance(first, bytes):
            assert got == first
            return
        want = [first]
        while len(want) < most and isinstance(following := self.taken(), bytes):
            want.append(following)
        assert got == want

    @rule()
    def take(self) -> None:
        want = self.taken()
        try:
            message = self.ours.take(0)
        except (Empty, ShutDown) as error:
            assert isinstance(error, want)  # noqa: PT017
            return
        assert bytes(message) == want
        self.messages.append((message, want))

    @precondition(lambda self: self.messages)
    @rule()
    def release(self) -> None:
        message, want = self.messages.popleft()
        assert bytes(message) == want
        message.release()

    @precondition(lambda self: self.ack and self.messages and not self.again)
    @rule()
    def give_back(self) -> None:
        message, want = self.messages.popleft()
        message.give_back()
        self.again.append(want)

    @precondition(lambda self: len(self.loans) < 4)
    @rule(size=SIZES)
    def loan(self, size: int) -> None:
        data = self.data(size)
        if self.theirs.shut:
            assert outcome(self.ours.loan, 1, 0) is ShutDown
            return
        loan = self.ours.loan(len(data), 0)
        loan[:] = data
        self.loans.append(loan)

    @precondition(lambda self: self.loans)
    @rule(put=st.booleans())
    def end_a_loan(self, put: bool) -> None:
        loan = self.loans.popleft()
        if put:
            data = bytes(loan)
            if outcome(loan.commit, 0) is None:
                assert outcome(self.theirs.put, data) is None
                return
            assert outcome(self.theirs.put, data) is not None
        loan.abandon()

    @precondition(lambda self: not self.theirs.over)
    @rule()
    def look(self) -> None:
        size = self.theirs.queue.qsize() + len(self.again)
        assert (self.ours.qsize(), self.other.empty(), self.ours.full()) == (size, size == 0, self.theirs.queue.full())

    @precondition(lambda self: self.counted > 20)
    @rule(immediate=st.booleans())
    def shutdown(self, immediate: bool) -> None:
        self.ours.shutdown(immediate)
        self.theirs.shutdown(immediate)

    def teardown(self) -> None:
        if not hasattr(self, "ours"):
            return
        for loan in self.loans:
            loan.abandon()
        for message, want in self.messages:
            assert bytes(message) == want
            message.release()
        seen = self.ours.statistics()
        assert (seen.held, seen.loaned + seen.free_chunks) == (len(self.again), self.ours.chunks - len(self.again))
        self.other.close()
        self.ours.close()


class Acknowledged(Comparison):
    ack = True


TestPlain = Comparison.TestCase
TestAcknowledged = Acknowledged.TestCase
for _case in (TestPlain, TestAcknowledged):
    _case.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
del _case


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queue.Queue shuts down since Python 3.13")
@pytest.mark.parametrize("immediate", [False, True])
def test_the_model_shuts_down_as_the_standard_library_does(immediate: bool) -> None:
    model, theirs = Standard(4), standard.Queue[bytes](4)
    for data in (b"one", b"two"):
        model.put(data)
        theirs.put(data)
    model.shutdown(immediate)
    theirs.shutdown(immediate)
    for _ in range(3):
        try:
            want: Any = theirs.get_nowait()
        except standard.ShutDown:
            want = ShutDown
        assert outcome(model.get) == want
