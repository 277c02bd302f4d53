"""``namedshm list`` and ``namedshm show`` while another process holds objects."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys

import pytest

import namedshm

from .conftest import TIMEOUT, end


def test_an_empty_list_says_so_and_what_to_try(run):
    result = run("list")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Nothing is alive")
    assert "namedshm demo first" in result.stdout
    assert run("list", "--json").stdout == "[]\n"


def test_list_shows_one_line_an_object_in_order_of_names(hold, run):
    holder = hold("a = namedshm.create('frames', 300_000); v = a.map(); v[0] = 1; b = namedshm.create('config', 100)")
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "SIZE", "HANDLES", "MAPPINGS", "USED", "AGE", "USER", "CREATOR"]
    assert [line.split()[:2] for line in lines[1:]] == [["config", "section"], ["frames", "section"]]
    assert "293.0 KiB" in lines[2]
    assert f" {holder.pid} " in lines[2]
    end(holder)
    assert run("list").stdout.startswith("Nothing is alive")


def test_json_has_every_field_of_the_snapshot_and_the_creator(hold, run):
    holder = hold("a = namedshm.create('frames', 300_000); b = a.duplicate(); v = a.map(); v[0] = 1")
    (fact,) = json.loads(run("list", "--json").stdout)
    assert set(namedshm.ObjectInfo._fields) | {"creator_user", "creator_command"} == fact.keys()
    assert (fact["name"], fact["type"], fact["size"], fact["creator_pid"]) == ("frames", "section", 300_000, holder.pid)
    assert fact["handles"] == 2
    assert int(fact["identity"], 16) > 0, "text: many readers take numbers for floats of 53 bits"
    if sys.platform == "linux":
        assert fact["mappings"] == 2
        assert fact["resident"] == 4096
        assert fact["mode"] == "0600"
        assert fact["creator_command"].split()[1] == "-c"
    assert json.loads(run("show", "frames", "--json").stdout) == {**fact, "content": {"kind": "bytes"}}
    end(holder)


def test_names_into_a_pipe_are_never_cut_and_never_drive_the_terminal(hold, run):
    holder = hold(r"a = namedshm.create('x' * 259, 1); b = namedshm.create('red \x1b[31m', 1)")
    result = run("list")
    assert "x" * 259 in result.stdout
    assert "\x1b" not in result.stdout
    assert r"red \x1b[31m" in result.stdout
    assert len(result.stdout.splitlines()) == 3
    assert "\x1b" not in run("show", "red \x1b[31m").stdout
    end(holder)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the creator from /proc")
def test_a_creator_that_ended_is_told(hold, run):
    creator = hold("a = namedshm.create('frames', 1)")
    holder = hold("a = namedshm.open('frames')")
    creator.send_signal(signal.SIGKILL)
    creator.communicate(timeout=TIMEOUT)
    assert f"{creator.pid} (ended)" in run("list").stdout
    (fact,) = json.loads(run("list", "--json").stdout)
    assert (fact["creator_pid"], fact["creator_command"], fact["handles"]) == (creator.pid, None, 1)
    end(holder)


def test_show_tells_the_facts_and_the_first_bytes(hold, run):
    holder = hold("a = namedshm.create('frames', 70); v = a.map(); v[0:5] = b'hello'; v[64:70] = bytes(range(65, 71))")
    result = run("show", "frames")
    assert (result.returncode, result.stderr) == (0, "")
    facts = dict(line.split(None, 1) for line in result.stdout.split("\n\n")[0].splitlines())
    assert facts["name"] == "frames"
    assert facts["size"] == "70 bytes (70 B)"
    assert facts["handles"].startswith("1 ")
    assert facts["creator"].startswith(f"{holder.pid} ")
    assert result.stdout.split("\n\n")[1].splitlines() == [
        "first 70 bytes:",
        "00000000  68 65 6c 6c 6f 00 00 00  00 00 00 00 00 00 00 00  |hello...........|",
        "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|",
        "*",
        "00000040  41 42 43 44 45 46                                 |ABCDEF|",
    ]
    end(holder)


def test_show_previews_as_many_bytes_as_asked_for(hold, run):
    holder = hold("a = namedshm.create('frames', 10_000)")
    assert "first 128 bytes:" in run("show", "frames").stdout
    assert "first 10000 bytes:" in run("show", "frames", "--bytes", "20000").stdout
    assert "bytes:" not in run("show", "frames", "--bytes", "0").stdout
    end(holder)


def test_show_finds_an_object_by_either_spelling_and_keeps_nothing_alive(hold, run):
    holder = hold("a = namedshm.create('Local\\\\frames', 10)")
    for name in ("frames", "Local\\frames"):
        assert run("show", name).stdout.startswith("name      frames\n")
    end(holder)
    assert run("show", "frames").returncode == 1


def test_show_reads_no_byte_of_a_reserved_section_that_is_not_committed(hold, run):
    holder = hold(
        "from namedshm import win32\n"
        "a = namedshm.create('big', 1 << 20, reserve=True)\n"
        "b = namedshm.create('part', 1 << 20, reserve=True); v = b.map(); assert win32.view_commit(v, 0, 1)"
    )
    assert "No byte of this reserved section is committed yet." in run("show", "big").stdout
    assert "first 4096 bytes:" in run("show", "part", "--bytes", "5000").stdout
    end(holder)


def test_other_types_are_listed_and_shown_without_bytes(hold, run):
    holder = hold("a = namedshm.Mutex('m'); b = namedshm.Event('e'); c = namedshm.Semaphore('s')")
    lines = run("list").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["e", "event"], ["m", "mutex"], ["s", "semaphore"]]
    shown = run("show", "m")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "type      mutex" in shown.stdout
    assert "bytes:" not in shown.stdout
    end(holder)


def test_who_has_a_reader_writer_lock_is_shown(hold, run):
    holder = hold("from namedshm.sync import RWLock; a = RWLock('l'); a.reader.acquire()")
    shown = run("show", "l")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "state     1 thread reads\n" in shown.stdout
    assert shown.stdout.endswith("content   reader-writer lock\n")
    fact = json.loads(run("show", "l", "--json").stdout)
    assert (fact["content"], fact["state"]["readers"]) == ({"kind": "lock"}, 1)
    end(holder)
    holder = hold("from namedshm.sync import RWLock; a = RWLock('l'); a.writer.acquire()")
    assert "state     written" in run("show", "l").stdout
    end(holder)
    holder = hold("from namedshm.sync import RWLock; a = RWLock('l')")
    assert "state     free\n" in run("show", "l").stdout
    end(holder)


def test_how_many_wait_for_a_condition_is_shown(hold, run):
    holder = hold("from namedshm.sync import Condition; a = Condition('c')")
    shown = run("show", "c")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "state     0 threads wait\n" in shown.stdout
    assert shown.stdout.endswith("content   condition with the mutex c|mutex\n")
    fact = json.loads(run("show", "c", "--json").stdout)
    assert (fact["content"], fact["state"]) == ({"kind": "condition", "mutex": "c|mutex"}, {"waiting": 0})
    end(holder)


def test_a_pattern_chooses_by_name(hold, run):
    holder = hold("a = [namedshm.create(name, 1) for name in ('cam1', 'cam2', 'other')]")
    names = [line.split()[0] for line in run("list", "cam*").stdout.splitlines()]
    assert names == ["NAME", "cam1", "cam2"]
    assert [fact["name"] for fact in json.loads(run("list", "cam?", "o*", "--json").stdout)] == ["cam1", "cam2", "other"]
    assert run("list", "none*").stdout == "Nothing of such a name is alive.\n"
    end(holder)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [12, 30, 45, 60, 100])
def test_a_narrow_terminal_loses_no_name_type_and_size(hold, namespace, columns):
    holder = hold("a = namedshm.create('frames', 300_000); b = namedshm.Mutex('m'); c = namedshm.create('n' * 50, 1)")
    primary, secondary = os.openpty()
    with open(primary, "rb", buffering=0, closefd=True) as terminal:
        process = namespace.start("-c", f"import os; os.environ['COLUMNS'] = '{columns}'; from namedshm.cli import main; "
                                  "import sys; sys.argv = ['namedshm', 'list']; main()", stdout=secondary)  # fmt: skip
        os.close(secondary)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the last one who had it open has ended
            while piece := terminal.read(4096):
                shown += piece
    assert process.wait(60) == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["NAME", "TYPE", "SIZE"][: len(lines[0].split())]
    for words in (["frames", "section", "293.0"], ["m", "mutex", "0"]):
        assert any(line.split()[:3] == words for line in lines), text
    assert "".join(re.findall("n{2,}", text)) == "n" * 50
    end(holder)


@pytest.mark.skipif(sys.platform == "win32", reason="ended by a signal")
def test_watch_prints_anew_until_it_is_interrupted(hold, namespace):
    holder = hold("a = namedshm.create('frames', 1)")
    watching = namespace.start("-m", "namedshm", "list", "--watch")
    for _ in range(2):
        while "frames" not in watching.stdout.readline():
            pass
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 0
    end(holder)
