"""Bytes by topic: the newest, the next, what is missed; and everything that is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import namedshm
from namedshm.topic import Empty, Overrun, ShutDown, Topic

Make = Callable[..., Topic]
Reader = Callable[..., Topic]

SIZES = (0, 1, 200, 1000, 5000, 100_000)


@pytest.mark.parametrize("most", [1000, 100_000])
def test_a_value_comes_out_as_it_went_in(make: Make, reader: Reader, most: int) -> None:
    t = make(max_size=most)
    r = reader(t)
    for number, size in enumerate(size for size in SIZES if size <= most):
        data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
        t.publish(data)
        assert r.latest() == data
        t.publish(bytearray(data))
        assert r.next() == data
        t.publish(memoryview(data))
        assert r.latest(new=True) == data
        assert (r.position, r.lag, r.missed) == (3 * number + 3, 0, 0)


def test_the_newest_is_there_for_all_and_stays(make: Make, reader: Reader) -> None:
    t = make()
    r, s = reader(t), reader(t)
    for one in (r, s):
        with pytest.raises(Empty, match="no new value"):
            one.latest(0)
    t.publish(b"one")
    t.publish(b"two")
    assert [r.latest(), r.latest(), s.latest(0), t.latest()] == [b"two"] * 4
    with pytest.raises(Empty):
        r.latest(0, new=True)
    with pytest.raises(Empty):
        r.latest(0.01, new=True)
    assert (r.position, r.missed, s.missed) == (2, 1, 1)


def test_all_that_is_of_the_history_comes_in_order_and_what_is_missed_is_told(make: Make, reader: Reader) -> None:
    t = make(history=4)
    r = reader(t)
    for number in range(3):
        t.publish(b"%d" % number)
    assert [r.next(0) for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(Empty):
        r.next(0)
    for number in range(3, 13):
        t.publish(b"%d" % number)
    assert (r.lag, r.position, r.missed) == (10, 3, 0)
    assert [r.next(0) for _ in range(4)] == [b"9", b"10", b"11", b"12"]
    assert (r.lag, r.position, r.missed) == (0, 13, 6)


def test_who_comes_late_gets_the_newest_at_once_and_then_all(make: Make, reader: Reader) -> None:
    t = make()
    for number in range(20):
        t.publish(b"%d" % number)
    late, later = reader(t), reader(t)
    assert (late.position, late.lag, late.missed) == (19, 1, 0)
    t.publish(b"20")
    assert [late.next(0), late.next(0)] == [b"19", b"20"]
    assert later.latest(0) == b"20"
    assert (late.missed, later.missed) == (0, 1)


def test_the_position_can_be_set(make: Make, reader: Reader) -> None:
    t = make(history=4)
    for number in range(1, 11):
        t.publish(b"%d" % number)
    r = reader(t)
    r.position = 0
    assert r.next() == b"7"
    r.position = 8
    assert r.next() == b"9"
    r.position = 10
    with pytest.raises(Empty):
        r.next(0)
    for wrong in (11, -1, 1 << 70):
        with pytest.raises(namedshm.InvalidArgument):
            r.position = wrong
    for no_number in ("5", 5.0, None, True):
        with pytest.raises(TypeError):
            r.position = no_number  # type: ignore[assignment]


def test_it_is_read_into_a_buffer(make: Make, reader: Reader) -> None:
    t = make(max_size=5000)
    r = reader(t)
    out = bytearray(b"." * 5000)
    for data in (b"hello", b"x" * 5000, b""):
        t.publish(data)
        assert r.latest_into(out) == len(data)
        assert out[: len(data)] == data
    t.publish(b"y" * 11)
    for call in (r.latest_into, r.next_into):
        with pytest.raises(namedshm.InvalidArgument, match="11"):
            call(bytearray(10))
    assert r.position == 3  # it does not count as read
    assert r.next_into(memoryview(bytearray(11))) == 11
    for wrong in (b"bytes", "text", None, 5):
        with pytest.raises(TypeError):
            r.latest_into(wrong)


@pytest.mark.parametrize("wrong", ["text", 5, None, [1], memoryview(b"123456")[::2], object()])
def test_what_is_no_buffer_is_refused(make: Make, wrong: Any) -> None:
    t = make()
    with pytest.raises(TypeError):
        t.publish(wrong)
    assert t.statistics().published == 0


@pytest.mark.parametrize("most", [10, 2000])
def test_what_is_too_long_is_refused(make: Make, most: int) -> None:
    t = make(max_size=most)
    t.publish(bytes(most))
    with pytest.raises(namedshm.InvalidArgument, match=f"{most} bytes at most"):
        t.publish(bytes(most + 1))
    with pytest.raises(namedshm.InvalidArgument):
        t.loan(size=most + 1)
    assert t.statistics().published == 1


@pytest.mark.parametrize(
    "options",
    [
        {"history": 0}, {"history": 65537}, {"max_size": 0}, {"max_size": (1 << 40) + 1}, {"pins": -1}, {"pins": 65},
        {"writers": 0}, {"writers": 65}, {"mode": 0o777}, {"mode": "rw"}, {"shape": (3,)}, {"dtype": "f4", "max_size": 3},
        {"dtype": "O"}, {"dtype": "f4", "shape": (-1,)}, {"dtype": "no such type"}, {"dtype": "f8", "shape": (1 << 38,)},
        {"dtype": "f4", "schema": 5},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(names: Callable[[], str], options: dict[str, Any]) -> None:
    name = names()
    with pytest.raises(namedshm.InvalidArgument):
        Topic.create(name, **options)
    with pytest.raises(namedshm.NotFound):
        Topic.open(name)


@pytest.mark.parametrize("what", ["history", "max_size", "pins", "writers"])
@pytest.mark.parametrize("value", ["5", 5.0, True, b"5"])
def test_numbers_are_numbers(what: str, value: Any) -> None:
    with pytest.raises(TypeError):
        Topic.create(**{what: value})


@pytest.mark.parametrize("timeout", ["5", b"", [], float("nan")])
def test_a_time_is_a_number(make: Make, timeout: Any) -> None:
    t = make()
    t.publish(b"x")
    for call in (t.latest, t.next, t.view, t.pin, t.loan, lambda s: t.publish(b"x", s), lambda s: t.latest_into(bytearray(9), s)):
        with pytest.raises((TypeError, namedshm.InvalidArgument)):
            call(timeout)


def test_names_are_held_and_given_away_as_all_names(make: Make, name: str) -> None:
    t = make(name=name)
    with pytest.raises(namedshm.AlreadyExists):
        Topic.create(name)
    with Topic.create(name, exist_ok=True, history=3) as same:
        assert (same.created, same.history, same.identity) == (False, 8, t.identity)
        t.publish(b"hello")
        assert same.latest(0) == b"hello"
    for wrong in (namedshm.open, namedshm.Queue.open, namedshm.Mutex.open):
        with pytest.raises(namedshm.WrongType):
            wrong(name)
    with namedshm.Queue.create(f"{name}-q") as queue, pytest.raises(namedshm.WrongType):
        Topic.open(str(queue.name))
    t.close()
    with pytest.raises(namedshm.NotFound):
        Topic.open(name)
    for wrong_access in ("rw", None, "copy"):
        with pytest.raises(namedshm.InvalidArgument):
            Topic.open(name, wrong_access)  # type: ignore[arg-type]
    with pytest.raises(namedshm.InvalidArgument):
        Topic.open(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="made by"):
        Topic()


def test_a_closed_handle_is_told_apart(make: Make) -> None:
    t = make()
    t.publish(b"x")
    t.close()
    t.close()
    assert t.closed
    for call in (
        t.latest, t.next, t.view, t.pin, t.loan, t.shutdown, t.take_part, t.statistics, t.participants, lambda: t.lag,
        lambda: t.publish(b"x"), lambda: t.latest_into(bytearray(9)), lambda: t.is_shut_down,
    ):  # fmt: skip
        with pytest.raises(namedshm.ClosedHandle):
            call()
    assert "closed" in repr(t)
    with pytest.raises(namedshm.ClosedHandle):
        pickle.dumps(t)


def test_the_end_is_told_and_the_last_values_can_be_read_on(make: Make, reader: Reader) -> None:
    t = make()
    r = reader(t)
    t.publish(b"one")
    t.publish(b"two")
    assert not t.is_shut_down
    with pytest.raises(namedshm.AccessDenied):
        r.shutdown()
    t.shutdown()
    t.shutdown()
    assert r.is_shut_down
    for call in (lambda: t.publish(b"x"), lambda: t.publish(bytes(60000))):
        with pytest.raises(ShutDown, match="shut down"):
            call()
    with pytest.raises(ShutDown), t.loan():
        pass
    assert list(r) == [b"one", b"two"]
    assert r.latest() == b"two"
    for call in (r.next, lambda: r.latest(new=True), lambda: r.view(which="next"), lambda: r.view(which="new")):
        with pytest.raises(ShutDown, match="Nothing comes any more"):
            call()
    assert t.statistics().loaned == 0


def test_the_end_of_one_that_never_had_a_value(make: Make) -> None:
    t = make()
    t.shutdown()
    for call in (t.latest, t.next, t.view, t.pin):
        with pytest.raises(ShutDown):
            call()


def test_a_handle_for_reading_reads_and_changes_nothing(make: Make, reader: Reader) -> None:
    t = make()
    r = reader(t)
    t.publish(b"x" * 9000)
    assert (r.access, r.latest()) == ("read", b"x" * 9000)
    with r.view() as window:
        assert len(window) == 9000
    for call in (r.pin, r.loan, r.shutdown, r.take_part, lambda: r.publish(b"x"), lambda: r.publish(bytes(9000))):
        with pytest.raises(namedshm.AccessDenied, match="'write'"):
            call()
    assert t.statistics().published == 1


def test_with_as_many_writers_as_there_is_room_for(make: Make, reader: Reader) -> None:
    t = make(writers=2)
    second, third = reader(t, "write"), reader(t, "write")
    t.publish(b"1")
    second.publish(b"2")
    with pytest.raises(namedshm.OutOfResources, match="2 writers"):
        third.publish(b"3")
    second.close()
    third.publish(b"3")
    assert t.latest() == b"3"


def test_only_its_name_and_identity_are_pickled(make: Make) -> None:
    t = make(dtype="f4", shape=(2,))
    t.publish([1, 2])
    with pickle.loads(pickle.dumps(t)) as same:
        assert (type(same), same.name, same.identity, same.access) == (Topic, t.name, t.identity, "write")
        assert same.latest(0).tolist() == [1, 2]
    sent = pickle.dumps(t)
    t.close()
    gone = pickle.loads(sent)
    with pytest.raises(namedshm.NotFound):
        gone.latest()
    with Topic.create(t.name):
        stale = pickle.loads(sent)
        with pytest.raises(namedshm.StaleObject):
            stale.latest()
    with Topic.create() as unnamed, pytest.raises(TypeError):
        pickle.dumps(unnamed)


def test_its_errors_can_be_pickled(make: Make) -> None:
    t = make(history=1, max_size=5000)
    t.publish(bytes(5000))
    view = t.view()
    for _ in range(60):
        t.publish(bytes(5000))
    with pytest.raises(Overrun) as caught:
        view.release()
    same = pickle.loads(pickle.dumps(caught.value))
    assert (type(same), str(same), same.missed, same.object_name) == (Overrun, str(caught.value), 60, t.name)


def test_a_subclass_makes_its_own_kind(name: str) -> None:
    class Words(Topic):
        def say(self, text: str) -> None:
            self.publish(text.encode())

    with Words.create(name) as words, Words.open(name) as same:
        assert (type(words), type(same)) == (Words, Words)
        words.say("hello")
        assert same.latest() == b"hello"
