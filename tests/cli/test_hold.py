"""``namedshm hold``: objects outlive the programs that made them as long as it runs, and not a moment longer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from .conftest import IS_ROOT, TIMEOUT, end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ends it by signals")
ALL = "a = namedshm.create('frames', 300); b = namedshm.Mutex('m'); c = namedshm.Event('e'); d = namedshm.Semaphore('s')"
LIVING = ["e", "frames", "m", "s"]


@pytest.fixture
def holding(namespace):
    """holding(*arguments): the running command and the lines it began with."""

    def start(*arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
        process = namespace.start("-m", "namedshm.cli", "hold", *arguments)
        lines = []
        while not lines or not lines[-1].startswith("Ctrl-C ends it"):
            assert process.stdout is not None
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate(timeout=TIMEOUT)
        return process, lines

    return start


@pytest.fixture
def living(run):
    """living(): the names that are alive."""
    return lambda: [fact["name"] for fact in json.loads(run("list", "--json").stdout)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_objects_of_every_type_stay_until_it_is_interrupted(hold, holding, living, number):
    makers = hold(ALL)
    process, lines = holding("frames", "m", "e", "s")
    assert lines == [
        "Holding section frames of 300 bytes.\n",
        "Holding mutex m.\n",
        "Holding event e.\n",
        "Holding semaphore s.\n",
        "Ctrl-C ends it.\n",
    ]
    makers.kill()
    makers.wait(TIMEOUT)
    assert living() == LIVING
    process.send_signal(number)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, output, errors) == (0, "Interrupted: nothing is held here any more.\n", "")
    assert living() == []


def test_a_killed_holder_leaves_nothing(hold, holding, living):
    maker = hold(ALL)
    process, _ = holding("frames", "m")
    end(maker)
    assert living() == ["frames", "m"]
    process.kill()
    process.wait(TIMEOUT)
    assert living() == []


def test_the_bytes_stay_too(hold, holding, namespace):
    maker = hold("a = namedshm.create('frames', 300); a.map()[:5] = b'hello'")
    holding("frames")
    end(maker)
    code = "import namedshm; print(namedshm.open('frames').map()[:5])"
    assert namespace.python("-c", code).stdout == "b'hello'\n"


def test_it_ends_when_the_time_is_up(hold, run, living):
    maker = hold("a = namedshm.create('frames', 300)")
    result = run("hold", "frames", "--for", "0.01s")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "Holding section frames of 300 bytes.",
        "Ctrl-C ends it, or 0.01 s from now.",
        "The time is up: nothing is held here any more.",
    ]
    assert living() == ["frames"]
    end(maker)
    assert living() == []


@pytest.mark.parametrize(
    ("text", "words"), [("1.5h", "90 min"), ("10 min", "10 min"), ("7d", "7 d"), ("90", "90 s"), ("2M", "2 min")]
)
def test_durations_have_units(holding, hold, text, words):
    hold(ALL)
    process, lines = holding("m", "--for", text)
    assert lines[-1] == f"Ctrl-C ends it, or {words} from now.\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("4096", 4096), ("64KiB", 65536), ("1.5k", 1536), ("2 MiB", 2 << 20), ("1g", 1 << 30)]
)
def test_it_creates_a_section_that_nobody_holds(run, text, size):
    result = run("hold", "new", "--create", text, "--for", "0.01")
    assert result.stdout.splitlines()[0] == f"Holding new section new of {size} bytes."
    assert result.returncode == 0


def test_what_is_there_is_held_as_it_is_and_the_rest_is_created(hold, holding, living):
    maker = hold("a = namedshm.create('frames', 300); b = namedshm.Mutex('m')")
    _, lines = holding("frames", "m", "new", "--create", "64KiB")
    assert lines[:3] == [
        "Holding section frames of 300 bytes.\n",
        "Holding mutex m.\n",
        "Holding new section new of 65536 bytes.\n",
    ]
    end(maker)
    assert living() == ["frames", "m", "new"]


def test_all_or_none(hold, run, living):
    maker = hold("a = namedshm.create('frames', 300)")
    result = run("hold", "frames", "missing")
    assert result.returncode == 1
    assert "missing" in result.stderr
    assert result.stderr.endswith("[error 2]\n")
    end(maker)
    assert living() == []


@pytest.mark.parametrize(
    "arguments",
    [("frames", option, value) for option, values in {
        "--for": ("0", "-1s", "soon", "5x", "", "nan", "inf"), "--create": ("0", "-5", "1XB", "big", "1e400")
    }.items() for value in values],
    ids=" ".join,
)  # fmt: skip
def test_what_is_no_duration_and_no_size_is_wrong_usage(run, arguments):
    result = run("hold", *arguments)
    assert result.returncode == 2
    reason = "is nothing: give more than 0" if arguments[2] in ("0", "-1s", "-5") else "is not like "
    assert f"Invalid value for '{arguments[1]}': {arguments[2]!r} {reason}" in result.stderr


@pytest.mark.parametrize(("text", "size"), [("3", 3), ("1.5k", 1536), ("1KiB", 1024), ("10MB", 10_000_000), ("2 kb", 2000)])
def test_a_size_is_written_with_any_usual_unit(namespace, living, text, size):
    holder = namespace.start("-m", "namedshm.cli", "hold", "new", "--create", text)
    assert holder.stdout.readline() == f"Holding new section new of {size} bytes.\n"
    holder.send_signal(signal.SIGINT)
    assert holder.wait(60) == 0


def test_a_size_beyond_the_machine_is_refused_by_the_system_and_not_for_its_unit(run):
    result = run("hold", "new", "--create", "1PiB")
    assert result.returncode == 1
    assert "memory" in result.stderr


def test_a_reserved_section_may_be_larger_than_the_machine(namespace, living):
    holder = namespace.start("-m", "namedshm.cli", "hold", "new", "--create", "16TiB", "--reserve")
    assert holder.stdout.readline() == f"Holding new section new of {16 << 40} bytes.\n"
    holder.send_signal(signal.SIGINT)
    assert holder.wait(60) == 0


def test_reserve_is_for_what_is_created(run):
    result = run("hold", "new", "--reserve")
    assert result.returncode == 2
    assert "--create" in result.stderr


def test_a_size_no_system_has_is_an_error(run):
    result = run("hold", "new", "--create", "1e15GiB")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_ctrl_c_does_not_end_a_background_job_of_a_script(hold, namespace):
    maker = hold("a = namedshm.create('frames', 300)")
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'namedshm.cli', 'hold', 'frames'])"
    )
    process = namespace.start("-c", code)
    while not process.stdout.readline().startswith("Ctrl-C ends it"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    end(maker)
    assert namespace.run("show", "frames").returncode == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


def test_names_never_drive_the_terminal(run):
    result = run("hold", "red \x1b[31m {name}", "--create", "1", "--for", "0.01")
    assert r"red \x1b[31m {name}" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.skipif(not IS_ROOT, reason="needs root to become somebody with less rights")
def test_who_may_only_read_can_hold(hold, namespace):
    maker = hold("a = namedshm.create('Global\\\\frames', 300, mode=0o604)")
    refused = namespace.nobody("namedshm.open('Global\\\\frames')")
    assert "AccessDenied" in refused.stderr
    result = namespace.run_as_nobody("hold", "Global\\frames", "--for", "0.01")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Holding section Global\\frames of 300 bytes.\n")
    end(maker)
