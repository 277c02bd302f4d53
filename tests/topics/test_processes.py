"""Several processes: they wait for each other, are killed and stopped in the midst, fork, and read each other's values."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.peer import PeerDied, _Lender
from helpers.threads import InThread
from helpers.turns import until

import namedshm
from namedshm.topic import Empty, ShutDown, Topic

Make = Callable[..., Topic]

LONG = 5000

#: value(number) is as long as its number says, and can be told from all others; check(data) is its number, or it was torn.
VALUES = f"""
import zlib
def value(number):
    body = number.to_bytes(8, "little") * (1 + number * 41 % {LONG // 8 - 1})
    return zlib.crc32(body).to_bytes(4, "little") + body
def check(data):
    assert zlib.crc32(data[4:]).to_bytes(4, "little") == data[:4], "torn"
    return int.from_bytes(data[4:12], "little")
"""
exec(VALUES)  # here, too


@pytest.mark.parametrize("how", ["latest", "next", "view", "pin"])
@pytest.mark.parametrize("size", [5, LONG])
def test_a_value_wakes_all_who_wait_for_one(make: Make, peers: _Lender, how: str, size: int) -> None:
    t = make()
    waiting = [peers(name=t.name) for _ in range(3)]
    for peer in waiting:
        peer.start(f"t = namedshm.Topic.open(name); bytes(t.{how}(60))")
    until(lambda: t.statistics().waiting == 3, "who waits")
    t.publish(b"x" * size)
    assert [peer.result() for peer in waiting] == [b"x" * size] * 3


def test_it_is_opened_as_soon_as_it_is_there(names: Callable[[], str], peers: _Lender) -> None:
    name, peer = names(), peers()
    with pytest.raises(namedshm.NotFound):
        Topic.open(name, wait=0.01)
    peer.start("t = namedshm.Topic.open(name, 'read', wait=60); t.latest(60)", name=name)
    with Topic.create(name) as t:
        t.publish(b"hello")
        assert peer.result() == b"hello"


def test_the_name_and_the_values_go_with_the_last_handle(make: Make, peers: _Lender) -> None:
    t = make()
    name, peer = t.name, peers(name=t.name)
    peer.do("t = namedshm.Topic.open(name)")
    t.publish(b"kept by the other")
    t.close()
    assert peer.do("t.latest(0)") == b"kept by the other"
    peer.do("t.close()")
    with pytest.raises(namedshm.NotFound):
        Topic.open(str(name))


def test_shutting_down_is_told_to_all_who_wait(make: Make, peers: _Lender) -> None:
    t = make()
    waiting = [peers(name=t.name) for _ in range(2)]
    for peer in waiting:
        peer.start("list(namedshm.Topic.open(name, 'read'))")
    until(lambda: t.statistics().waiting == 2, "who waits")
    t.shutdown()
    assert [peer.result() for peer in waiting] == [[], []]


@pytest.mark.parametrize("killed", [True, False])
def test_with_end_with_writers_it_is_over_when_all_are_gone(make: Make, peers: _Lender, killed: bool) -> None:
    t = make(end_with_writers=True)
    with pytest.raises(Empty):
        t.next(0)
    writer = peers(name=t.name)
    writer.do("t = namedshm.Topic.open(name); t.publish(b'one'); t.publish(b'two')")
    waiting = InThread(lambda: list(t))
    until(lambda: t.statistics().waiting, "who waits")
    if killed:
        writer.kill()
    else:
        writer.do("t.close()")
    assert waiting.join() == [b"one", b"two"]
    assert t.latest(0) == b"two"
    with pytest.raises(ShutDown):
        t.next()


def test_one_who_takes_part_keeps_it_from_ending(make: Make, peers: _Lender) -> None:
    t = make(end_with_writers=True)
    other = peers(name=t.name)
    other.do("t = namedshm.Topic.open(name); t.take_part()")
    with pytest.raises(Empty):
        t.next(0.01)
    other.do("t.close()")
    with pytest.raises(ShutDown):
        t.next()


# ------------------------------------------------------------------------------------------------------------ kills
@pytest.mark.parametrize("call", ["publish", "loan"])
def test_a_killed_writer_leaves_whole_values_and_hinders_nobody(make: Make, peers: _Lender, call: str) -> None:
    calls = {
        "publish": "t.publish(value(number))",
        "loan": """with t.loan() as w:
        data = value(number)
        w.length = len(data); w[: w.length] = data""",
    }
    t = make(max_size=LONG + 100, history=4, writers=3)
    for turn in range(5):
        peer = peers(name=t.name)
        peer.start(f"{VALUES}\nt, number = namedshm.Topic.open(name), 0\nwhile True:\n    {calls[call]}\n    number += 1\n")
        seen = -1
        while seen < 100 + 73 * turn:
            number = check(t.next(30))  # type: ignore[name-defined]  # noqa: F821
            assert number > seen
            seen = number
        peer.kill()
        with pytest.raises(PeerDied):
            peer.result()
        while t.lag:
            number = check(t.next(30))  # type: ignore[name-defined]  # noqa: F821
            assert number > seen
            seen = number
        assert check(t.latest()) == seen  # type: ignore[name-defined]  # noqa: F821
        t.publish(b"it goes on" * 30, 30)
        assert t.next() == b"it goes on" * 30
    assert t.statistics().loaned <= 1


def test_a_loan_and_a_pin_of_the_dead_are_given_back(make: Make, peers: _Lender) -> None:
    t = make(writers=2, pins=2, history=1)
    t.publish(b"x" * LONG)
    for _ in range(6):
        peer = peers(name=t.name)
        peer.do("t = namedshm.Topic.open(name); kept = t.loan(), t.pin()")
        peer.kill()
        with t.loan(30) as loan, t.pin() as seen:
            assert seen[0] == ord("x")
            loan.abandon()


def test_what_a_killed_reader_pinned_stays_for_the_other_who_pins_it(make: Make, peers: _Lender) -> None:
    t = make(history=1)
    t.publish(b"x" * LONG)
    peer = peers(name=t.name)
    peer.do("t = namedshm.Topic.open(name); kept = t.pin()")
    with t.pin() as seen:
        peer.kill()
        for _ in range(80):
            t.publish(bytes(LONG), 30)
        assert seen[:] == b"x" * LONG


def test_a_killed_sleeper_takes_no_wakeup_along(make: Make, peers: _Lender) -> None:
    t = make()
    killed, other = peers(name=t.name), peers(name=t.name)
    for peer in (killed, other):
        peer.start("namedshm.Topic.open(name).latest(60)")
    until(lambda: t.statistics().waiting == 2, "both")
    killed.kill()
    t.publish(b"hello")
    assert other.result() == b"hello"


def test_a_stopped_reader_hinders_nobody_and_goes_on_with_what_is_there(make: Make, peers: _Lender) -> None:
    t = make(history=2)
    t.publish(bytes([1]) * LONG)
    peer = peers(name=t.name)
    peer.do("t = namedshm.Topic.open(name, 'read')")
    peer.start(
        "try:\n    with t.view() as w:\n        os.kill(os.getpid(), signal.SIGSTOP)\n        whole = bytes(w)\n    got = 'good'\n"
        "except namedshm.topic.Overrun as error:\n    got = error.missed\ngot, t.next(0)[0], t.missed"
    ) if peer.do("import os, signal") is None else None
    until(lambda: stopped(peer.pid), "its stop")
    for number in range(2, 100):
        t.publish(bytes([number]) * LONG, 30)
    os.kill(peer.pid, signal.SIGCONT)
    assert peer.result() == (98, 98, 96)


def test_a_stopped_writer_with_a_loan_hinders_nobody(make: Make, peers: _Lender) -> None:
    t = make(writers=2)
    peer = peers(name=t.name)
    peer.do("import os, signal; t = namedshm.Topic.open(name)")
    peer.start("with t.loan(size=3) as w:\n    os.kill(os.getpid(), signal.SIGSTOP)\n    w[:] = b'abc'\n")
    until(lambda: stopped(peer.pid), "its stop")
    for _ in range(60):
        t.publish(b"x" * LONG, 30)
    os.kill(peer.pid, signal.SIGCONT)
    peer.result()
    assert t.latest() == b"abc"


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# ------------------------------------------------------------------------------------------------------------ overtaking
@pytest.mark.parametrize("access", ["read", "write"])
def test_slow_readers_of_a_fast_writer_in_another_process_get_whole_values(make: Make, peers: _Lender, access: str) -> None:
    t = make(max_size=LONG + 100, history=2)
    writer = peers(name=t.name)
    writer.start(
        f"{VALUES}\nt = namedshm.Topic.open(name)\nfor number in range(30000):\n    t.publish(value(number))\nt.shutdown()"
    )
    readers = [peers(name=t.name, access=access) for _ in range(2)]
    for peer in readers:
        peer.start(f"""{VALUES}
t = namedshm.Topic.open(name, access)
seen, count, torn = -1, 0, 0
while True:
    try:
        kind = count % 3
        if kind == 0:
            number = check(t.next())
        elif kind == 1:
            number = check(t.latest(new=True))
        else:
            with (t.pin if access == "write" else t.view)(which="new") as window:
                data = bytes(window)
            number = check(data)
    except namedshm.topic.ShutDown:
        break
    except namedshm.topic.Overrun:
        torn += 1
        continue
    assert number > seen
    seen, count = number, count + 1
seen, count, t.position, count + torn + t.missed""")
    writer.result()
    for peer in readers:
        seen, count, position, total = peer.result()
        assert seen == 29999
        assert position == 30000
        assert count > 0
        assert total <= 30000


# ------------------------------------------------------------------------------------------------------------ fork
class TestFork:
    def test_a_child_uses_what_it_inherited_as_itself(self, make: Make, peers: _Lender, tmp_path: Path) -> None:
        t = make(writers=3)
        peer = peers(name=t.name)
        peer.do("t = namedshm.Topic.open(name); t.publish(b'parent' * 100)")
        with peer.fork(tmp_path) as child:
            child.do("t.publish(b'child' * 100)")
            assert peer.do("t.latest()") == b"child" * 100
            child.do("pin = t.pin()")
            assert {one.pid for one in t.participants()} == {peer.pid, child.pid}
            peer.kill()
            child.do("t.publish(b'it goes on')")
            assert t.latest() == b"it goes on"
            child.kill()
        t.publish(bytes(LONG), 30)
        until(lambda: not any(one.alive for one in t.participants() if one.pid != os.getpid()), "the end of both")

    def test_an_unnamed_topic_goes_to_children(self, peers: _Lender, tmp_path: Path) -> None:
        peer = peers()
        peer.do("t = namedshm.Topic.create()")
        with peer.fork(tmp_path) as child:
            child.start("t.latest(60)")
            peer.do("t.publish(b'hello')")
            assert child.result() == b"hello"

    def test_what_the_parent_holds_is_not_the_child_s(self, make: Make, peers: _Lender, tmp_path: Path) -> None:
        t = make(history=1)
        t.publish(b"x" * LONG)
        peer = peers(name=t.name)
        peer.do("t = namedshm.Topic.open(name); pin, loan, view = t.pin(), t.loan(size=3), t.view()")
        with peer.fork(tmp_path) as child:
            for wrong in ("bytes(pin)", "loan.commit()", "loan[:] = b'abc'"):
                with pytest.raises(namedshm.InvalidArgument, match="forked"):
                    child.do(wrong)
            assert child.do("len(bytes(view))") == LONG
            child.do("pin.release(); loan.abandon(); view.release(); pin = loan = view = None")
            child.do("t.publish(b'of the child' * 100)")
        for _ in range(60):
            t.publish(bytes(LONG))
        assert peer.do("bytes(pin) == b'x' * 5000")
        assert t.statistics().loaned == 1
        peer.do("loan[:] = b'abc'; loan.commit(); pin.release()")
        assert t.latest() == b"abc"
        assert (t.statistics().loaned, t.statistics().pinned) == (0, 0)
