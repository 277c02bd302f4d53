"""The Windows backend, on a Linux machine: compiled by mingw-w64, run by a Windows Python under Wine (tools/windows.py).

Skipped where the programs for it are missing; with CI=true that is a failure.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.extras import needs
from helpers.facts import required
from helpers.peer import born

if sys.platform != "linux":
    pytest.skip("on Windows its tests are run as they are: pytest tests/wine tests/conformance", allow_module_level=True)

from .tool import REPO, tool

pytestmark = pytest.mark.timeout(900)  # the first test of all makes a Wine prefix and downloads a Python

REPLAY = REPO.parent / "shared" / "conformance" / "replay.py"


def _popen(wine: Any, *command: str) -> subprocess.Popen[bytes]:
    process: subprocess.Popen[bytes] = wine.popen(wine.command(*command))
    born.add(process.pid)
    return process


# ------------------------------------------------------------------------------------------------------------ the suites
def test_the_windows_tests_pass(wine: Any) -> None:
    suites = ("tests/wine", "tests/sync/test_asyncio.py")
    result = wine.run(wine.python_command("-m", "pytest", "-p", "no:cacheprovider", *suites), timeout=600)
    assert result.returncode == 0, result.stdout
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed, result.stdout
    assert int(passed[1]) >= 60, result.stdout


def test_the_reference_scenarios_give_the_results_of_windows(wine: Any, tmp_path: Path) -> None:
    """As documented, not as Wine does it: where Wine is laxer than Windows the package is not."""
    if not REPLAY.exists():
        message = f"the reference scenarios are not here ({REPLAY.parents[1].name}/ beside the repository)"
        if required("NAMEDSHM_REQUIRE_SHARED"):
            pytest.fail(message)
        pytest.skip(message)
    out = tmp_path / "results.json"
    worker = shlex.join(wine.python_command(tool.windows_path(REPLAY)))
    command = [sys.executable, str(REPLAY), "--api", "namedshm.win32", "--profile", "docs"]
    process = subprocess.Popen(
        [*command, "--jobs", "2", "--timeout", "60", "--worker-cmd", worker, "--json", str(out)],
        env=wine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    born.add(process.pid)
    output, _ = process.communicate(timeout=600)
    results = {row["id"]: row for row in json.loads(out.read_text())["results"]}
    assert len(results) > 100, output
    wrong = [key for key, row in results.items() if row["status"] != "PASS"]
    assert not wrong, output


# ------------------------------------------------------------------------------------------------------------ formats
def test_arrays_are_the_same_bytes_on_both_systems_and_each_reads_the_others(wine: Any, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"

    def run(how: str, native: bool, folder: Path) -> str:
        program = REPO / "tests" / "arrays" / "formats.py"
        if native:
            done = subprocess.run([sys.executable, program, how, folder], capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
        else:
            done = wine.run(wine.python_command(tool.windows_path(program), how, tool.windows_path(folder)), timeout=120)
            assert done.returncode == 0, done.stdout
        return done.stdout

    for folder, native in ((here, True), (there, False)):
        folder.mkdir()
        assert run("write", native, folder) == f"{len(list(folder.iterdir()))} arrays\n"
    files = sorted(file.name for file in here.iterdir())
    assert len(files) > 300
    assert files == sorted(file.name for file in there.iterdir())
    for file in files:
        assert (here / file).read_bytes() == (there / file).read_bytes(), file
    assert run("read", True, there) == run("read", False, here) == f"{len(files)} arrays\n"


# ------------------------------------------------------------------------------------------------------------ other languages
@pytest.fixture(scope="module")
def programs(wine: Any) -> tuple[str, str]:
    """The page's two programs in C++."""
    first, second = (str(tool.build_program(REPO / "examples" / "cpp" / f"{name}.cpp")) for name in ("first", "second"))
    return first, second


MESSAGE = "Message from first process."


@pytest.fixture
def holding(wine: Any, programs: tuple[str, str], name: str) -> Iterator[str]:
    """A name that first.exe holds, with the message in it."""
    with _popen(wine, programs[0], name) as first:
        assert first.stdout is not None
        assert first.stdout.readline().strip() == b"Press a key to end."
        yield name
        first.communicate(b"\n", timeout=60)
        assert first.returncode == 0


def test_the_pages_two_programs_talk_to_each_other(wine: Any, programs: tuple[str, str], holding: str) -> None:
    assert wine.run(wine.command(programs[1], "--print", holding)).stdout == MESSAGE + "\n"


def test_the_second_program_shows_the_message_in_a_box(wine: Any, programs: tuple[str, str], holding: str) -> None:
    with _popen(wine, programs[1], holding) as second:
        pressed = wine.run(wine.python_command("tests/wine/press.py", "Process2"), timeout=120)
        assert (pressed.returncode, pressed.stdout) == (0, MESSAGE + "\n")
        second.communicate(timeout=60)
        assert second.returncode == 0


def test_python_reads_what_the_first_program_wrote(wine: Any, holding: str) -> None:
    code = f"import namedshm; s = namedshm.open({holding!r}); print(s.size, s.identity, s.map()[:54].decode('utf-16-le'))"
    assert wine.run(wine.python_command("-c", code)).stdout == f"4096 0 {MESSAGE}\n"


def test_the_second_program_reads_what_python_wrote(wine: Any, programs: tuple[str, str], name: str) -> None:
    code = (
        f"import sys, namedshm; s = namedshm.create({name!r}, 256); v = s.map();"
        "v[:22] = 'from Python'.encode('utf-16-le'); print('ready', flush=True); sys.stdin.readline()"
    )
    with wine.popen(wine.python_command("-c", code)) as python:
        born.add(python.pid)
        assert python.stdout.readline().strip() == b"ready"
        assert wine.run(wine.command(programs[1], "--print", name)).stdout == "from Python\n"
        python.communicate(b"\n", timeout=60)
    gone = wine.run(wine.command(programs[1], "--print", name))
    assert (gone.returncode, gone.stdout) == (1, "Could not open file mapping object (2).\n")


def test_a_killed_program_leaves_no_name(wine: Any, programs: tuple[str, str], name: str) -> None:
    with _popen(wine, programs[0], name) as first:
        assert first.stdout is not None
        assert first.stdout.readline()
        first.kill()
    code = f"import namedshm\ntry:\n    namedshm.open({name!r})\nexcept namedshm.NotFound: print('gone')"
    # The host process is gone when kill() is waited for; Wine's server notices by the end of a socket, a moment later.
    deadline = time.monotonic() + 30
    while (result := wine.run(wine.python_command("-c", code))).stdout != "gone\n":
        assert time.monotonic() < deadline, result.stdout


# ------------------------------------------------------------------------------------------------------------ the tool itself
def test_building_again_compiles_nothing(wine: Any) -> None:
    tool.build(verbose=False)
    modules = {path: path.stat().st_mtime_ns for path in tool.site().rglob("*.pyd")}
    assert len(modules) == len(tool.EXTENSIONS)
    tool.build(verbose=False)
    assert {path: path.stat().st_mtime_ns for path in tool.site().rglob("*.pyd")} == modules


def test_the_status_and_output_of_the_windows_python_come_back(wine: Any) -> None:
    command = [sys.executable, str(REPO / "tools" / "windows.py"), "python", "-c", "import sys; print(sys.platform); sys.exit(7)"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False)
    assert (result.returncode, result.stdout) == (7, "win32\n"), result.stderr


def test_standard_input_may_be_a_file(wine: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import namedshm; print(namedshm.__name__)\n")
    with script.open() as file:
        command = [sys.executable, str(REPO / "tools" / "windows.py"), "python", "-"]
        result = subprocess.run(command, capture_output=True, text=True, stdin=file, timeout=300, check=False)
    assert (result.returncode, result.stdout) == (0, "namedshm\n"), result.stderr


# ------------------------------------------------------------------------------------------------------------ tables
def test_tables_mean_the_same_on_both_systems(wine: Any, tmp_path: Path, names: Any) -> None:
    """Any tables at all, published here, opened there, published there, opened here."""
    pa = needs("pyarrow")
    from arrow.strategies import tables
    from hypothesis import HealthCheck, given, settings

    import namedshm
    from namedshm import arrow

    given_tables = []

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(table=tables())
    def collect(table: Any) -> None:
        with arrow.publish(names(), table) as handle, handle.section.map() as view:
            (tmp_path / f"{len(given_tables)}.in").write_bytes(view[:])
        given_tables.append(table)

    collect()
    script = tool.windows_path(REPO / "tests" / "arrow" / "republish.py")
    result = wine.run(wine.python_command(script, tool.windows_path(tmp_path)), timeout=600)
    assert result.returncode == 0, result.stdout
    system, version = result.stdout.split()
    assert system == "win32"
    for number, table in enumerate(given_tables):
        data = (tmp_path / f"{number}.out").read_bytes()
        if version == pa.__version__:
            assert data == (tmp_path / f"{number}.in").read_bytes()
        name = names()
        with namedshm.create(name, len(data)) as section, section.map() as view:
            view[:] = data
            with arrow.open(name, validate="full") as opened:
                assert opened.schema.equals(table.schema, check_metadata=True)
                assert opened.table.equals(table)
