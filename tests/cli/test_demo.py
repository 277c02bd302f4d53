"""``namedshm demo``: two real processes, and the two programs in two terminals."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest

from .conftest import IS_ROOT, TIMEOUT, end

READY = "Now the second process can open the name."


def _until_ready(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if READY in line:
            return lines
    raise AssertionError(f"first ended early: {lines} {process.communicate(timeout=TIMEOUT)}")


def test_demo_makes_the_pages_calls_in_two_processes_and_ends_with_the_name_gone(run):
    result = run("demo")
    assert (result.returncode, result.stderr) == (0, "")
    steps = re.findall(r"^(first|second|demo) +(\d+)  (.*)$", result.stdout, re.MULTILINE)
    assert [(who, text.split("  -> ")[0]) for who, _, text in steps] == [
        ("first", 'CreateFileMapping(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 256, "MyFileMappingObject")'),
        ("first", "MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, 256)"),
        ("first", 'CopyMemory(view, "Message from first process.", 27)'),
        ("first", READY),
        ("second", 'OpenFileMapping(FILE_MAP_ALL_ACCESS, FALSE, "MyFileMappingObject")'),
        ("second", "MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, 256)"),
        ("second", 'the view contains "Message from first process."'),
        ("second", "UnmapViewOfFile(view)"),
        ("second", "CloseHandle(handle)"),
        ("first", "UnmapViewOfFile(view)"),
        ("first", "CloseHandle(handle)"),
        ("demo", 'OpenFileMapping(FILE_MAP_READ, FALSE, "MyFileMappingObject")'),
    ]
    assert steps[-1][2].endswith("-> NULL, GetLastError() is 2")
    assert len({pid for _, pid, _ in steps}) == 3


def test_demo_takes_another_name(run):
    result = run("demo", "--name", "Wünsche 1")
    assert result.returncode == 0
    assert 'OpenFileMapping(FILE_MAP_ALL_ACCESS, FALSE, "Wünsche 1")' in result.stdout


def test_first_waits_and_second_reads(namespace, run):
    first = namespace.start("-m", "namedshm.cli", "demo", "first")
    _until_ready(first)
    second = run("demo", "second")
    assert (second.returncode, second.stderr) == (0, "")
    assert 'the view contains "Message from first process."' in second.stdout
    assert "MyFileMappingObject" in run("list").stdout
    assert "CloseHandle(handle)" in end(first)
    assert run("demo", "second").returncode == 1


def test_second_without_first_fails_with_the_pages_message_and_the_number_2(run):
    result = run("demo", "second")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Could not open file mapping object (2). Nobody holds the name")


def test_a_first_that_finds_the_name_held_does_not_write_into_it(hold, run):
    holder = hold("s = namedshm.create('MyFileMappingObject', 300); v = s.map(); v[:4] = b'mine'")
    for arguments in (["demo", "first"], ["demo"]):
        result = run(*arguments)
        assert result.returncode == 1
        assert "The name exists already (183)" in result.stderr
    assert "|mine............|" in run("show", "MyFileMappingObject").stdout
    end(holder)


def test_a_name_held_by_another_type_is_error_6(hold, run):
    holder = hold("a = namedshm.Mutex('MyFileMappingObject')")
    for part, doing in (("first", "create"), ("second", "open")):
        result = run("demo", part)
        assert result.returncode == 1
        assert f"Could not {doing} file mapping object (6). An object of another type has that name" in result.stderr
    end(holder)


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_a_killed_first_leaves_nothing(namespace, run):
    first = namespace.start("-m", "namedshm.cli", "demo", "first")
    _until_ready(first)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=TIMEOUT)
    assert run("demo", "second").returncode == 1
    assert run("list", "--json").stdout == "[]\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("key", "status"), [(b"x", 0), (b"\x03", 1)], ids=["any key", "Ctrl-C"])
def test_on_a_terminal_one_key_without_return_ends_first_and_the_terminal_is_as_before(namespace, run, key, status):
    import pty
    import termios

    ours, theirs = pty.openpty()
    try:
        before = termios.tcgetattr(theirs)
        code = (  # the terminal must be the controlling one, so that Ctrl-C is a signal
            "import os, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
            "import sys; sys.argv = ['namedshm', 'demo', 'first']\n"
            "from namedshm.cli import main; main()"
        )
        first = namespace.start("-c", code, stdin=theirs)
        _until_ready(first)
        assert first.stdout.readline() == "Press any key to close it.\n"
        while termios.tcgetattr(theirs)[3] & termios.ICANON:  # until it listens for single keys
            assert first.poll() is None
            os.sched_yield()
        os.write(ours, key)
        output, errors = first.communicate(timeout=TIMEOUT)
        assert first.returncode == status, errors
        assert "CloseHandle(handle)" in output
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)
    assert run("list", "--json").stdout == "[]\n"


@pytest.mark.skipif(not IS_ROOT, reason="needs root to become somebody without the right")
def test_global_without_the_right_is_error_5_and_tells_the_remedy(namespace):
    result = namespace.run_as_nobody("demo", "first", "--global", NAMEDSHM_CONFIG="/nonexistent")
    assert result.returncode == 1
    assert "Could not create file mapping object (5)" in result.stderr
    assert "namedshm grant" in result.stderr


@pytest.mark.skipif(not IS_ROOT, reason="creating in Global\\ needs root here")
def test_global_with_the_right(run):
    result = run("demo", "--global")
    assert (result.returncode, result.stderr) == (0, "")
    assert '"Global\\MyFileMappingObject"' in result.stdout
