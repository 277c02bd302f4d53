"""``namedshm put`` and ``get``, and what ``list``, ``show`` and ``hold`` do with a queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.turns import until

from .conftest import IS_ROOT, SOURCE, TIMEOUT, Namespace, end

QUEUE = "q = namedshm.Queue.create('jobs', 8, 300_000{options})"
Hold = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
BYTES = bytes(range(256)).replace(b"\n", b"").replace(b"\0", b"")


@pytest.fixture
def queue(hold: Hold) -> Callable[..., subprocess.Popen[str]]:
    """queue(code, options): a process that holds the queue 'jobs', and ran the code with it as ``q``."""
    return lambda code="", options="": hold(f"{QUEUE.format(options=options)}\n{code}")


@pytest.fixture
def piped(namespace: Namespace) -> Callable[..., bytes]:
    """piped(data, *arguments): what the command writes when it reads the data."""

    def run(data: bytes, *arguments: str) -> bytes:
        environment = {**os.environ, "PYTHONPATH": SOURCE, **namespace.more}
        done = subprocess.run(
            [sys.executable, "-m", "namedshm.cli", *arguments],
            input=data, capture_output=True, timeout=TIMEOUT, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
        return done.stdout

    return run


# ------------------------------------------------------------------------------------------------------------ put and get
@pytest.mark.parametrize(
    ("data", "options", "messages"),
    [
        (b"", [], []),
        (b"\n", [], [b""]),
        (b"one\ntwo\n\nlast", [], [b"one", b"two", b"", b"last"]),
        (b"one\0two\nlines\0", ["--null"], [b"one", b"two\nlines"]),
        (b"one\ntwo\0", ["--whole"], [b"one\ntwo\0"]),
        (b"", ["--whole"], [b""]),
        (BYTES + b"\n" + BYTES, [], [BYTES, BYTES]),
        (b"x" * 200_000 + b"\n" + b"y" * 70_000 + b"\n", [], [b"x" * 200_000, b"y" * 70_000]),
    ],
    ids=range(8),
)
def test_lines_are_messages(
    piped: Callable[..., bytes], queue: Hold, data: bytes, options: list[str], messages: list[bytes]
) -> None:
    holder = queue("import atexit; atexit.register(lambda: print([q.get(0) for _ in range(q.qsize())]))")
    total = sum(map(len, messages))
    said = piped(data, "put", "jobs", *options).decode().split(" (")[0]
    assert said == f"jobs: {len(messages)} message{'' if len(messages) == 1 else 's'}, {total} bytes"
    assert end(holder) == f"{messages!r}\n"


@pytest.mark.parametrize(("options", "after"), [([], b"\n"), (["--null"], b"\0"), (["-0"], b"\0"), (["--whole"], b"")])
def test_messages_are_written_as_they_are(piped: Callable[..., bytes], queue: Hold, options: list[str], after: bytes) -> None:
    holder = queue("q.put_many([bytes(range(256)), b'', b'x' * 200_000, b'last'])")
    assert piped(b"", "get", "jobs", *options) == bytes(range(256)) + after
    assert piped(b"", "get", "jobs", "--count", "2", *options) == after + b"x" * 200_000 + after
    assert piped(b"", "get", "jobs", "--follow", "--timeout", "0", *options) == b"last" + after
    end(holder)


def test_a_file_is_put(piped: Callable[..., bytes], queue: Hold, run: Run, tmp_path: Path) -> None:
    holder = queue()
    (tmp_path / "jobs.txt").write_bytes(b"one\ntwo\n")
    piped(b"", "put", "jobs", str(tmp_path / "jobs.txt"))
    assert piped(b"", "get", "jobs", "--count", "2") == b"one\ntwo\n"
    missing = run("put", "jobs", str(tmp_path / "missing"))
    assert missing.returncode == 2
    assert "does not exist" in missing.stderr
    end(holder)


def test_it_follows_until_the_queue_is_shut_down(queue: Hold, namespace: Namespace, piped: Callable[..., bytes]) -> None:
    holder = queue()
    follower = namespace.start("-m", "namedshm.cli", "get", "jobs", "--follow")
    piped(b"one\n", "put", "jobs")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "one\n"
    piped(b"two\nthree\n", "put", "jobs", "--shutdown")
    output, errors = follower.communicate(timeout=TIMEOUT)
    assert (follower.returncode, output, errors) == (0, "two\nthree\n", "")
    end(holder)


def test_a_queue_that_put_makes_is_held_until_its_messages_are_taken(
    namespace: Namespace, piped: Callable[..., bytes], run: Run
) -> None:
    putter = namespace.start("-m", "namedshm.cli", "put", "jobs", "--create", "--ack", "--capacity", "5", "--max-size", "10KiB")
    putter.stdin.write("one\ntwo\n")  # type: ignore[union-attr]
    putter.stdin.close()  # type: ignore[union-attr]
    putter.stdin = None
    assert putter.stdout is not None
    assert "held until they are taken" in putter.stdout.readline()
    facts = json.loads(run("show", "jobs", "--json").stdout)["queue"]
    assert (facts["capacity"], facts["max_size"], facts["ack"], facts["waiting"]) == (8, 10240, True, 2)
    assert putter.poll() is None
    assert piped(b"", "get", "jobs", "--count", "2") == b"one\ntwo\n"
    assert putter.wait(TIMEOUT) == 0
    assert run("show", "jobs").returncode == 1


def test_get_may_come_first(namespace: Namespace, piped: Callable[..., bytes], run: Run) -> None:
    getter = namespace.start("-m", "namedshm.cli", "get", "jobs", "--create", "--count", "2")
    waiting = namespace.start("-m", "namedshm.cli", "get", "later", "--timeout", "60")
    until(lambda: run("show", "jobs").returncode == 0, "the queue")
    piped(b"one\ntwo\n", "put", "jobs")
    assert getter.communicate(timeout=TIMEOUT) == ("one\ntwo\n", "")
    assert piped(b"three\n", "put", "later", "--create").startswith(b"later: 1 message, 5 bytes")
    assert waiting.communicate(timeout=TIMEOUT) == ("three\n", "")


@pytest.mark.skipif(not on_linux, reason="ends it by signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_follower_is_no_failure_and_loses_nothing(
    queue: Hold, namespace: Namespace, piped: Callable[..., bytes], number: int
) -> None:
    holder = queue(options=", ack=True")
    follower = namespace.start("-m", "namedshm.cli", "get", "jobs", "--follow")
    piped(b"one\n", "put", "jobs")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "one\n"
    follower.send_signal(number)
    assert follower.communicate(timeout=TIMEOUT) == ("", "")
    assert follower.returncode == 0
    piped(b"two\n", "put", "jobs")
    assert piped(b"", "get", "jobs") == b"two\n"
    end(holder)


@pytest.mark.skipif(not on_linux, reason="/dev/full")
def test_with_acknowledgement_what_could_not_be_written_comes_again(
    queue: Hold, namespace: Namespace, piped: Callable[..., bytes]
) -> None:
    holder = queue("q.put(b'one')", ", ack=True")
    with open("/dev/full", "w") as full:
        getter = namespace.start("-m", "namedshm.cli", "get", "jobs", stdout=full.fileno())
        assert getter.wait(TIMEOUT) == 1
    assert piped(b"", "get", "jobs", "--timeout", "60") == b"one\n"
    end(holder)


# ------------------------------------------------------------------------------------------------------------ failures
def test_failures_are_told_and_counted(queue: Hold, run: Run, namespace: Namespace) -> None:
    nobody = run("get", "jobs")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr.startswith("Error: ")
    assert "jobs" in nobody.stderr
    holder = queue("[q.put(b'') for _ in range(8)]")
    full = run("put", "jobs", "--whole", "--timeout", "0")
    assert full.returncode == 1
    assert "no room" in full.stderr
    assert run("get", "jobs", "--count", "8").returncode == 0
    empty = run("get", "jobs", "--timeout", "0.01")
    assert empty.returncode == 1
    assert "no message" in empty.stderr
    assert run("put", "jobs", "--shutdown").returncode == 0
    for command in (["put", "jobs", "--whole"], ["get", "jobs"]):
        over = run(*command)
        assert over.returncode == 1
        assert "shut down" in over.stderr
    end(holder)


def test_a_line_that_is_too_long_is_told(queue: Hold, run: Run, tmp_path: Path) -> None:
    holder = queue()
    (tmp_path / "long").write_bytes(b"x" * 300_001)
    result = run("put", "jobs", str(tmp_path / "long"))
    assert result.returncode == 1
    assert "300000 bytes at most" in result.stderr
    end(holder)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("put", "jobs", "--null", "--whole"), "exclude"),
        (("get", "jobs", "--null", "--whole"), "exclude"),
        (("get", "jobs", "--follow", "--count", "3"), "exclude"),
        (("get", "jobs", "--count", "0"), "--count"),
        (("get", "jobs", "--timeout", "-1"), "--timeout"),
        (("put", "jobs", "--capacity", "8"), "--create"),
        (("put", "jobs", "--max-size", "8"), "--create"),
        (("get", "jobs", "--ack"), "--create"),
        (("get", "jobs", "--create", "--max-size", "big"), "is not like"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...], reason: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert reason in result.stderr


# ------------------------------------------------------------------------------------------------------------ looking
def test_show_tells_settings_what_went_through_and_who_takes_part(queue: Hold, run: Run, piped: Callable[..., bytes]) -> None:
    holder = queue(
        "q.put_many([b'one', b'two', b'three']); q.get(); m = q.take()",
        ", ack=True, end_with_producers=True, overflow='drop_oldest'",
    )
    shown = run("show", "jobs").stdout
    assert "type      queue\n" in shown
    assert "state     1 of 8 messages, 1 producer, 1 consumer\n" in shown
    assert "limits    messages of 300000 bytes (293.0 KiB), 70 of 72 chunks free\n" in shown
    assert "manner    acknowledges, ends with its producers, drops the oldest when it is full\n" in shown
    assert "put       3 messages, 11 bytes (11 B)\n" in shown
    assert "got       2 messages, 6 bytes (6 B); 1 being read or worked on\n" in shown
    assert f"\nboth      process {holder.pid}" in shown
    fact = json.loads(run("show", "jobs", "--json").stdout)
    assert fact["state"] == {"messages": 1, "capacity": 8, "producers": 1, "consumers": 1, "shut_down": False}
    facts = fact["queue"]
    assert (facts["waiting"], facts["held"], facts["put"], facts["got"], facts["dropped"]) == (1, 1, 3, 2, 0)
    assert facts["participants"] == [{"pid": holder.pid, "uid": None, "producer": True, "consumer": True, "alive": True}]
    assert "jobs  queue" in run("list").stdout
    holder.kill()
    holder.wait(TIMEOUT)


@pytest.mark.skipif(not on_linux, reason="a killed participant stays to be seen")
def test_a_killed_participant_is_told(queue: Hold, hold: Hold, run: Run) -> None:
    holder = queue()
    consumer = hold("q = namedshm.Queue.open('jobs'); q.take_part('consumer')")
    consumer.kill()
    consumer.wait(TIMEOUT)
    assert f"consumer  process {consumer.pid}, which has ended\n" in run("show", "jobs").stdout
    end(holder)


def test_a_queue_is_held(namespace: Namespace, queue: Hold, run: Run) -> None:
    maker = queue("q.put(b'one')")
    holder = namespace.start("-m", "namedshm.cli", "hold", "jobs")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "Holding queue jobs.\n"
    end(maker)
    assert run("get", "jobs").stdout == "one\n"


@pytest.mark.skipif(not IS_ROOT, reason="needs root to become somebody with less rights")
def test_who_may_only_look_sees_the_queue_and_who_may_not_is_told(namespace: Namespace, hold: Hold) -> None:
    maker = hold(
        "a = namedshm.Queue.create('Global\\\\seen', 4, 1000, mode=0o604); b = namedshm.Queue.create('Global\\\\hidden', 4, 1000)\n"
        "a.put(b'x')"
    )
    seen = namespace.run_as_nobody("show", "Global\\seen")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "1 of 4 messages" in seen.stdout
    refused = namespace.run_as_nobody("get", "Global\\seen")
    assert refused.returncode == 1
    assert "Error: " in refused.stderr
    hidden = namespace.run_as_nobody("show", "Global\\hidden")
    assert hidden.returncode == 0
    assert "What is in it cannot be shown" in hidden.stdout
    end(maker)
