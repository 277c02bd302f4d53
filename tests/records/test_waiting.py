"""Waiting for a record's next version: nothing is missed, whoever is killed, and nobody polls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer
from helpers.turns import until

import namedshm
from namedshm._core import write_slots
from namedshm.records import Record
from records.declared import Camera, Equal, bump

OPENED = "from records.declared import *; r = Camera.open(name, access)"
WAITED = "s = r.wait(newer_than=seen, timeout=60); (s.version, s.frame)"


def waited_for(name: str, version: int) -> bool:
    """Whether somebody sleeps until there is a version after this one."""
    return any(info.name == f"{name}|{version:x}" for info in namedshm.list_objects())


# ------------------------------------------------------------------------------------------------------------ what it gives
def test_a_snapshot_has_its_version_which_is_no_field(name: str) -> None:
    with Camera.create(name) as camera:
        assert camera.snapshot().version == 1
        camera.frame = 8
        found = camera.snapshot()
        assert found.version == camera.version == 2
        assert len(found) == len(camera.fields)
        assert "version" not in found._asdict()


def test_what_was_written_before_the_wait_is_returned_at_once(name: str) -> None:
    with Camera.create(name) as camera:
        seen = camera.snapshot()
        camera.frame = 8
        camera.frame = 9
        found = camera.wait(newer_than=seen.version)
        assert (found.version, found.frame) == (3, 9)
        assert camera.wait(newer_than=0).version == 3


def test_without_a_version_it_waits_for_the_next(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        camera.frame = 8
        assert camera.wait(timeout=0) is None
        peer = peers()
        peer.do(OPENED, name=name, access="write")
        peer.start("r.wait(timeout=60).frame")
        until(lambda: waited_for(name, 2), "the wait")
        camera.frame = 9
        assert peer.result() == 9


def test_when_the_time_is_up_there_is_nothing(name: str) -> None:
    with Camera.create(name) as camera:
        assert camera.wait(newer_than=1, timeout=0) is None
        assert camera.wait(newer_than=1, timeout=0.05) is None
        assert camera.wait(newer_than=10, timeout=0.05) is None
        assert asyncio.run(camera.wait_async(newer_than=1, timeout=0.05)) is None
        assert not waited_for(name, 1)


def test_a_record_without_fields_can_be_waited_for(name: str) -> None:
    class Empty(Record):
        pass

    with Empty.create(name) as record:
        assert record.wait(timeout=0) is None
        record.update()
        assert record.wait(newer_than=1) == ()


@pytest.mark.parametrize("access", ["write", "read"])
def test_all_who_wait_are_woken(name: str, peers: Callable[[], Peer], access: str) -> None:
    with Camera.create(name) as camera:
        crew = [peers() for _ in range(3)]
        for peer in crew:
            peer.do(OPENED, name=name, access=access)
            peer.start(WAITED, seen=1)
        until(lambda: waited_for(name, 1), "the first wait")
        camera.frame = 8
        for peer in crew:
            assert peer.result() == (2, 8)
        assert not waited_for(name, 1)


@pytest.mark.parametrize("access", ["write", "read"])
@pytest.mark.parametrize("loop", [False, True], ids=["thread", "asyncio"])
def test_one_that_follows_sees_every_time_a_newer_version_and_the_last(
    name: str, peers: Callable[[], Peer], access: str, loop: bool
) -> None:
    rounds = 600 if on_linux else 60
    with Equal.create(name) as record:
        peer = peers()
        peer.do(
            "import asyncio\n"
            "from records.declared import *\n"
            "r = Equal.open(name, access)\n"
            "def follow(last):\n"
            "    seen = [0]\n"
            "    while seen[-1] < last: seen.append(r.wait(newer_than=seen[-1], timeout=60).version)\n"
            "    return seen == sorted(set(seen)), seen[-1]\n"
            "async def follow_async(last):\n"
            "    seen = [0]\n"
            "    while seen[-1] < last: seen.append((await r.wait_async(newer_than=seen[-1], timeout=60)).version)\n"
            "    return seen == sorted(set(seen)), seen[-1]\n",
            name=name,
            access=access,
        )
        peer.start("asyncio.run(follow_async(last))" if loop else "follow(last)", last=rounds + 1)
        bump(record, rounds)
        assert peer.result() == (True, rounds + 1)


def test_two_take_turns_each_waking_the_other(name: str, peers: Callable[[], Peer]) -> None:
    rounds = 200 if on_linux else 30
    with Equal.create(name) as record:
        peer = peers()
        peer.do("from records.declared import *; r = Equal.open(name)", name=name)
        peer.start(
            "for turn in range(rounds):\n"
            "    while (s := r.snapshot()).a % 2 == 0: assert r.wait(newer_than=s.version, timeout=60) is not None\n"
            "    bump(r, 1)\n"
            "r.a",
            rounds=rounds,
        )
        for _ in range(rounds):
            while (seen := record.snapshot()).a % 2:
                assert record.wait(newer_than=seen.version, timeout=60) is not None
            bump(record, 1)
        assert peer.result() == 2 * rounds


def test_threads_wait_on_one_handle(name: str) -> None:
    with Camera.create(name) as camera:
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(camera.wait(newer_than=1, timeout=60).frame)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: waited_for(name, 1), "a wait")
        camera.frame = 8
        for thread in threads:
            thread.join()
        assert found == [8, 8, 8]


def test_in_asyncio_it_waits_and_can_be_cancelled(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        peer = peers()
        peer.do(OPENED, name=name, access="write")

        async def main() -> int:
            cancelled = asyncio.create_task(camera.wait_async(newer_than=1))
            waits = [asyncio.create_task(camera.wait_async(newer_than=1, timeout=60)) for _ in range(3)]
            while not waited_for(name, 1):
                await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            peer.start("r.frame = 8")
            return sum([(await wait).frame for wait in waits])

        assert asyncio.run(main()) == 24
        peer.result()
        assert not waited_for(name, 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"newer_than": "1"}, TypeError),
        ({"newer_than": 1.0}, TypeError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": float("nan")}, namedshm.InvalidArgument),
    ],
    ids=str,
)
def test_what_is_no_version_and_no_time_is_refused(name: str, arguments: dict[str, object], error: type[Exception]) -> None:
    with Camera.create(name) as camera:
        with pytest.raises(error):
            camera.wait(**arguments)  # type: ignore[arg-type]
        with pytest.raises(error):
            asyncio.run(camera.wait_async(**arguments))  # type: ignore[arg-type]


def test_a_handle_that_is_closed_meanwhile_says_so(name: str) -> None:
    camera = Camera.create(name)
    with Camera.open(name):
        failure: list[BaseException] = []

        def wait() -> None:
            try:
                camera.wait()
            except namedshm.ClosedHandle as error:
                failure.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: waited_for(name, 1), "the wait")
        camera.close()
        thread.join()
        assert len(failure) == 1
        with pytest.raises(namedshm.ClosedHandle):
            camera.wait()


# ------------------------------------------------------------------------------------------------------------ kills
def test_a_killed_waiter_keeps_nothing_and_the_others_are_woken(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        killed, other = peers(), peers()
        killed.do(OPENED, name=name, access="write")
        killed.start(WAITED, seen=1)
        until(lambda: waited_for(name, 1), "the first wait")
        killed.kill()
        until(lambda: not waited_for(name, 1), "the end of its event")
        camera.frame = 8  # tells nobody: the word of the dead is still there
        other.do(OPENED, name=name, access="write")
        other.start(WAITED, seen=2)
        until(lambda: waited_for(name, 2), "the other's wait")
        camera.frame = 9
        assert other.result() == (3, 9)


def test_a_writer_killed_in_mid_edit_wakes_nobody_and_the_next_does(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        writer, reader = peers(), peers()
        for peer in (writer, reader):
            peer.do(OPENED, name=name, access="write")
        reader.start(WAITED, seen=1)
        until(lambda: waited_for(name, 1), "the wait")
        writer.do("e = r.edit(); d = e.__enter__(); d.frame = 100")
        writer.kill()
        assert camera.wait(newer_than=1, timeout=0.2) is None
        camera.frame = 8
        assert reader.result() == (2, 8)


def test_a_version_whose_writer_was_killed_before_it_could_tell_is_found_all_the_same(name: str, peers: Callable[[], Peer]) -> None:
    with Camera.create(name) as camera:
        reader = peers()
        reader.do(OPENED, name=name, access="write")
        reader.start(WAITED, seen=1)
        until(lambda: waited_for(name, 1), "the wait")
        data = camera._joined(camera._packed({"frame": 8}), camera._read(8, camera._slot - 16))
        write_slots(camera._view, camera._base, camera._slot, data)  # and no word to anybody
        assert reader.result() == (2, 8)


def test_followers_and_writers_killed_at_any_moment_do_not_stop_a_follower(name: str, peers: Callable[[], Peer]) -> None:
    with Equal.create(name) as record:
        follower = peers()
        follower.do("from records.declared import *; r = Equal.open(name)", name=name)
        follower.start(
            "seen = r.snapshot()\n"
            "while seen.a < 10 ** 6: seen = r.wait(newer_than=seen.version, timeout=60)\n"
            "seen.a"
        )  # fmt: skip
        for _ in range(12 if on_linux else 3):
            with Peer() as writer, Peer() as other:
                for peer in (writer, other):
                    peer.do("from records.declared import *; r = Equal.open(name)", name=name)
                before = record.snapshot()
                other.start("seen = 0\nwhile True: seen = r.wait(newer_than=seen).version")
                writer.start("bump(r, 10 ** 5)")
                for _ in range(5):
                    before = record.wait(newer_than=before.version, timeout=60)
                    assert before.a == before.b
                writer.kill()
                other.kill()
        with record.edit() as draft:
            draft.a = draft.b = 10**6
        assert follower.result() == 10**6


# ------------------------------------------------------------------------------------------------------------ where it cannot sleep
@pytest.mark.parametrize("kind", ["mutex", "event"])
def test_somebody_who_holds_the_event_s_name_delays_nobody_for_long(name: str, kind: str) -> None:
    """Of another type, or set before its time: then who waits looks from time to time."""
    with Camera.create(name) as camera:
        in_the_way = namedshm.Mutex(f"{name}|1") if kind == "mutex" else namedshm.Event(f"{name}|1", manual=True, initial=True)
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(camera.wait(newer_than=1, timeout=60).frame))
        thread.start()
        assert camera.wait(newer_than=1, timeout=0.05) is None
        camera.frame = 8
        thread.join()
        assert found == [8]
        in_the_way.close()


# ------------------------------------------------------------------------------------------------------------ what it costs
@pytest.mark.skipif(not on_linux, reason="counts in /proc")
@pytest.mark.parametrize("access", ["write", "read"])
def test_who_waits_sleeps(name: str, peers: Callable[[], Peer], access: str) -> None:
    with Camera.create(name):
        peer = peers()
        peer.do(OPENED, name=name, access=access)
        peer.do(
            "def switches():\n"
            "    with open('/proc/thread-self/status') as file:\n"
            "        return next(int(line.split()[1]) for line in file if line.startswith('voluntary'))"
        )
        # Naps of half a second; one who looks every 5 ms would be awake 300 times.
        assert peer.do("before = switches(); r.wait(newer_than=1, timeout=1.5); switches() - before") < 30


def test_an_update_that_nobody_waits_for_looks_for_nobody(name: str) -> None:
    """An event of the right name stays as it is: nobody said by the record's word that he waits."""
    with Camera.create(name) as camera, namedshm.Event(f"{name}|1", manual=True) as event:
        camera.frame = 8
        assert not event.is_set()
