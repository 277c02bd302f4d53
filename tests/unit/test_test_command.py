"""The test command itself: what it installs, when a part is well, and that what is left behind is noticed beside others too."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import on_linux
from helpers.turns import until

pytestmark = pytest.mark.skipif(not on_linux, reason="the test command runs on Linux")

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """tools/run_tests.py, as a module that keeps its stamps in a folder of the test's own."""
    spec = importlib.util.spec_from_file_location("test_command", ROOT / "tools" / "run_tests.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "test_command", module)  # dataclasses look there
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STAMPS", tmp_path / "stamps.json")
    return module


def _pytest(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "NAMEDSHM_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments, str(folder)]
    return subprocess.run(command, cwd=folder, env={**own, **environment}, capture_output=True, text=True, timeout=110, check=False)


# ------------------------------------------------------------------------------------------------------------ help, arguments
def test_help_needs_nothing_installed_and_names_every_folder_that_quick_leaves_out(command: Any) -> None:
    shown = subprocess.run([ROOT / "run-tests", "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    folders = {path.parent.name for path in TESTS.glob("*/__init__.py")} - {"helpers"}
    chosen = {Path(argument).name for argument in command.QUICK if not argument.startswith("-")}
    left_out = set(re.findall(r"\w+", shown.partition("and the folders")[2].partition(" of tests.")[0])) - {"and"}
    assert chosen | left_out == folders
    assert not chosen & left_out
    assert all(f"tests/{folder}" in shown for folder in chosen)


def test_folders_and_files_that_must_run_alone_are_there() -> None:
    listed = re.findall(r'^    "([\w./]+)": "', (TESTS / "conftest.py").read_text().partition("ALONE = {")[2], re.MULTILINE)
    assert len(listed) >= 5
    assert [name for name in listed if not (TESTS / name).exists()] == []


def test_no_tool_has_the_name_of_a_package_of_the_checkout() -> None:
    """A tool's folder is first on its path: tools/tests.py hid the package of that name from tools/arm64.py and its tests."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert [tool.name for tool in (ROOT / "tools").glob("*.py") if tool.stem in folders] == []


# ------------------------------------------------------------------------------------------------------------ installing
def test_a_thing_is_made_once_again_when_its_inputs_change_and_again_after_a_failure(command: Any) -> None:
    made: list[str] = []

    def fail() -> None:
        raise RuntimeError("no network")

    for inputs in ("a", "a", "b", "b"):
        command.once("x", inputs, lambda inputs=inputs: made.append(inputs))
    assert made == ["a", "b"]
    with pytest.raises(RuntimeError, match="no network"):
        command.once("x", "c", fail)
    command.once("y", "of another", lambda: made.append("y"))
    command.once("x", "b", lambda: made.append("again"))
    assert made == ["a", "b", "y", "again"]


def test_a_thing_that_somebody_else_replaced_is_made_again(command: Any) -> None:
    there: list[str] = []

    def once() -> None:
        command.once("x", "same", lambda: there.append("ours"), lambda: there[-1] if there else "nothing")

    once()
    once()
    assert there == ["ours"]
    there.append("another's")
    once()
    once()
    assert there == ["ours", "another's", "ours"]


@pytest.mark.parametrize("file", ["src/namedshm/section.py", "src/namedshm/_core.pyx", "include/namedshm.h", "setup.py"])
def test_the_package_is_made_again_when_a_source_changes_and_not_for_a_test(
    command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    tree = tmp_path / "tree"
    for folder in ("src", "include"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "MANIFEST.in", "README.md"):
        shutil.copy(ROOT / name, tree)
    monkeypatch.setattr(command, "ROOT", tree)
    project: dict[str, Any] = {"build-system": {"requires": ["setuptools"]}, "project": {"name": "namedshm"}, "tool": {}}

    def state() -> str:
        value: str = command.digest(*command.sources(project))
        return value

    before = state()
    (tree / "README.md").write_text("other words")
    (tree / "src" / "namedshm" / "_core.c").write_text("generated")
    project["tool"]["pytest"] = {}
    assert state() == before
    project["tool"]["setuptools"] = {"include-package-data": True}
    assert state() != before
    del project["tool"]["setuptools"]
    with (tree / file).open("a") as source:
        source.write("\n")
    assert state() != before


def test_what_is_installed_is_known_by_its_files(command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = command.installed()
    assert ours
    another = tmp_path / "namedshm-0.dist-info"
    another.mkdir()
    (another / "METADATA").write_text("Metadata-Version: 2.1\nName: namedshm\nVersion: 0\n")
    (another / "RECORD").write_text("namedshm/__init__.py,sha256=another,1\n")
    monkeypatch.syspath_prepend(tmp_path)  # the first on the path is what Python finds
    assert command.installed() not in ("", ours)


# ------------------------------------------------------------------------------------------------------------ parts
@pytest.mark.parametrize(
    ("tests", "arguments", "outcome", "told"),
    [
        ("def test_a(): pass", (), "ok", "1 passed"),
        ("def test_a(): pass\ndef test_b(): assert 0", (), "FAILED", "1 failed, 1 passed"),
        ("def test_a(): pass", ("-k", "nothing"), "FAILED", "1 deselected"),
        ("import pytest\ndef test_a(): pytest.skip('no')", (), "FAILED", "1 skipped"),
        ("import os\ndef test_a(): os._exit(0)", (), "FAILED", "pytest did not end as it should"),
        ("import os\ndef test_a(): os._exit(0)\ndef test_b(): pass", ("-n", "1"), "FAILED", "1 failed, 1 passed"),
    ],
    ids=["passed", "failed", "none chosen", "all skipped", "pytest gone", "worker gone"],
)
def test_a_part_is_well_only_if_pytest_is_and_a_test_passed(
    command: Any, tmp_path: Path, tests: str, arguments: tuple[str, ...], outcome: str, told: str
) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "test_x.py").write_text(tests)
    done = _pytest(folder, *arguments)
    part = command.Timed("x").tested(done.returncode, done.stdout)
    assert (part.outcome, part.told) == (outcome, told), done.stdout


def test_one_part_that_is_not_well_fails_the_command(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = command.Part("good", True, 61.0, "5 passed"), command.Part("bad", False)
    unable = command.Part("wine", True, ran=False)
    assert command.report([good, unable]) == 0
    assert command.report([good, bad]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "good       ok           61 s  5 passed" in lines
    assert any(re.match(r"wine +skipped", line) for line in lines)
    assert lines[-1].split() == ["together", "FAILED"]


@pytest.mark.parametrize(("required", "outcome"), [(False, "skipped"), (True, "FAILED")])
def test_what_cannot_run_here_fails_in_continuous_integration_only(
    command: Any, monkeypatch: pytest.MonkeyPatch, required: bool, outcome: str
) -> None:
    monkeypatch.setattr(command, "CI", required)
    assert command.unable("windows", "no Wine").outcome == outcome


# ------------------------------------------------------------------------------------------------------------ left behind
LEAK = """
import ctypes
def test_one():
    number = ctypes.CDLL(None).shmget(0, 4096, 0o600)
    assert number >= 0
    print("left", number)
    with open({told!r}, "w") as file:
        file.write(str(number))
def test_other():
    pass
"""


@pytest.fixture
def leaking(tmp_path: Path) -> Iterator[Path]:
    """A suite with this project's conftest whose one test leaves a segment; it is removed in the end."""
    folder = tmp_path / "suite"
    folder.mkdir()
    shutil.copytree(TESTS / "helpers", folder / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TESTS / "conftest.py", folder)
    told = tmp_path / "segment"
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    (folder / "test_leak.py").write_text(LEAK.format(told=str(told)))
    yield folder
    if told.exists():
        assert ctypes.CDLL(None).shmctl(int(told.read_text()), 0, None) == 0  # IPC_RMID


@pytest.mark.parametrize("arguments", [("-n", "0"), ("-n", "2")], ids=["alone", "beside others"])
def test_a_segment_that_a_test_leaves_fails_its_run(leaking: Path, arguments: tuple[str, ...]) -> None:
    done = _pytest(leaking, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "segments of this run are left" in done.stdout
    assert "2 passed, 1 error" in done.stdout


BESIDE = """
import ctypes, pathlib, time
FOLDER = pathlib.Path({folder!r})
def until(event):
    deadline = time.monotonic() + 60
    while not (FOLDER / event).exists():
        assert time.monotonic() < deadline, event
        time.sleep(0.01)
def test_holds_while_the_other_worker_ends():
    until("begun")  # the other worker has noted what was there
    libc = ctypes.CDLL(None)
    number = libc.shmget(0, 4096, 0o600)
    (FOLDER / "held").touch()
    try:
        until("ended")
    finally:
        libc.shmctl(number, 0, None)
def test_ends_while_the_other_worker_holds():
    (FOLDER / "begun").touch()
    until("held")
"""
#: By the end of a worker's session its fixtures are torn down, the one that looks for leftovers among them.
SAYS_ENDED = """
import os, pathlib
def pytest_sessionfinish():
    if "PYTEST_XDIST_WORKER" in os.environ:
        (pathlib.Path({folder!r}) / "ended").touch()
"""


def test_segments_of_another_worker_are_not_taken_for_leftovers_of_this_one(command: Any, tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    shutil.copytree(TESTS / "helpers", folder / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "plugin_of_test.py").write_text(SAYS_ENDED.format(folder=str(tmp_path)))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    (folder / "test_beside.py").write_text(BESIDE.format(folder=str(tmp_path)))
    arguments = ("-n", "2", "--dist", "load", "-p", "plugin_of_test")
    done = _pytest(folder, *arguments, NAMEDSHM_ALONE="1", PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_segment_that_is_left_is_seen_on_the_whole_machine(command: Any) -> None:
    before = command.shared_things()
    libc = ctypes.CDLL(None)
    number = libc.shmget(0, 4096, 0o600)
    assert number >= 0
    try:
        assert f"segment {number}" in command.shared_things() - before
    finally:
        assert libc.shmctl(number, 0, None) == 0
    assert f"segment {number}" not in command.shared_things()


# ------------------------------------------------------------------------------------------------------------ the newest Python
CLOSING = "===== 3 passed in 1.00s =====\n"


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        (f"print({CLOSING!r} + '6 passed, 0 failed')", "ok"),
        (f"print({CLOSING!r} + '5 passed, 1 failed'); raise SystemExit(1)", "FAILED"),
        (f"print({CLOSING!r})", "FAILED"),  # no first steps
        ("print('6 passed, 0 failed')", "FAILED"),  # no tests
        ("print('does not build'); raise SystemExit(1)", "FAILED"),
        ("print('no network'); raise SystemExit(2)", "skipped"),
    ],
    ids=["both", "a step fails", "no steps", "no tests", "no build", "no Debian"],
)
def test_the_newest_python_is_well_if_its_tests_and_the_first_steps_are(
    command: Any, monkeypatch: pytest.MonkeyPatch, program: str, outcome: str
) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(command.subprocess, "Popen", lambda whole, **more: real([sys.executable, "-c", program], **more))
    with command.Newest() as newest:
        part = newest.tested()
    assert part.outcome == outcome
    assert outcome != "skipped" or "no network" in part.told


# ------------------------------------------------------------------------------------------------------------ beside other parts
def test_what_comes_after_another_begins_when_that_has_ended(command: Any, tmp_path: Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    os.mkfifo(gate)
    first = f"open({str(gate)!r}).read(); open({str(mark)!r}, 'x').close()"
    with command.Beside("first", "first", "-c", first) as one:
        second = f"import os; print('mark' if os.path.exists({str(mark)!r}) else 'too early')"
        with command.Beside("second", "second", "-c", second, after=one) as two:
            gate.write_text("go on")
            assert two.finish() == (0, "mark\n")


def test_what_is_left_before_its_turn_never_begins(command: Any, tmp_path: Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    os.mkfifo(gate)
    with command.Beside("first", "first", "-c", f"open({str(gate)!r}).read()") as one:
        two = command.Beside("second", "second", "-c", f"open({str(mark)!r}, 'x').close()", after=one)
        leaving = threading.Thread(target=two.__exit__)
        leaving.start()
        until(lambda: two._left, "the second to be left")
        gate.write_text("go on")
        leaving.join()
    assert not mark.exists()
