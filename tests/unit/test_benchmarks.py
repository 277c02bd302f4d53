"""The runner of benchmarks, with one of known numbers.  Nothing here depends on how long anything takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Send = Callable[[bytes], object]

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("there are no benchmarks here", allow_module_level=True)

TINY = '''
"""Known numbers."""

from ._runner import MS, PER_SECOND, Table, child, missing, printed

asked = []


def contender(name, *values):
    values = iter(values)

    def measure():
        asked.append(name)
        return next(values)

    return measure


def tables(settings):
    table = Table("turns", MS, floor="bare", ours="namedshm", rounds=4, warm_up=1)
    table.contenders["bare"] = contender("bare", 99e6, 1e6, 2e6, 4e6, 8e6)
    table.contenders["namedshm"] = contender("namedshm", 99e6, 2e6, 4e6, 16e6, 8e6)
    table.left_out["nobody"] = missing("a_library_that_is_not_there")
    yield table
    print("asked", *asked)
    yield Table("rates", PER_SECOND, floor=None, ours=None, rounds=2, contenders={"queue": lambda: printed(*child("queue"))})
'''
QUEUE = '''
"""Its name is one of the standard library's."""

from queue import Queue

from ._runner import LeftOut

Queue()


def tables(settings):
    raise LeftOut(f"rounds {settings.rounds}, quick {settings.quick}, {settings.size(64) >> 20} MiB, {settings.count(50)} times")
    yield


if __name__ == "__main__":
    print(5000)
'''
FALTERING = '''
"""Some do not do what they are asked."""

from ._runner import MS, GivesUp, Table


def tables(settings):
    def falters():
        table.remarks["lossy"] = "half of it was lost"
        if len(table.values["bare"]) == 2:
            raise GivesUp("tired")
        return 1e6

    def fails():
        raise GivesUp("never began")

    table = Table("faltering", MS, floor="bare", ours=None, rounds=3)
    table.contenders.update({"bare": lambda: 2e6, "falters": falters, "lossy": lambda: 1e6})
    yield table
    yield Table("floor", MS, floor="bare", ours=None, contenders={"bare": fails})
'''
LACKING = "import a_library_that_is_not_there\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with the runner and benchmarks of this test alone."""
    (tmp_path / "benchmarks").mkdir()
    for part in ("__init__.py", "__main__.py", "_runner.py"):
        shutil.copy(ROOT / "benchmarks" / part, tmp_path / "benchmarks")
    for name, source in (("tiny", TINY), ("queue", QUEUE), ("lacking", LACKING)):
        (tmp_path / "benchmarks" / f"{name}.py").write_text(source, "utf-8")
    return tmp_path


def _benchmarks(folder: Path, *arguments: str, expected: int = 0) -> str:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    assert run.returncode == expected, run.stdout
    return run.stdout


def test_contenders_take_turns_and_ratios_are_made_within_a_round(folder: Path) -> None:
    output = _benchmarks(folder, "tiny", "--json", "facts.json")
    assert "\nasked " + " ".join(["bare", "namedshm"] * 5) + "\n" in output
    turns, rates = json.loads((folder / "facts.json").read_text("utf-8"))["tables"]
    assert turns["contenders"]["namedshm"]["values"] == [2, 4, 16, 8]
    assert turns["contenders"]["namedshm"]["to_floor"] == {"median": 2, "low": 1.75, "high": 2.5}  # of 2, 2, 4, 1
    assert turns["contenders"]["bare"]["to_namedshm"]["median"] == 0.5
    assert turns["floor"] == "bare"
    assert turns["left_out"] == {"nobody": "not installed"}
    assert "left out: nobody: not installed\n" in output
    assert rates["contenders"] == {"queue": {"values": [5, 5]}}


def test_the_lines_of_a_table(folder: Path) -> None:
    lines = [line.split() for line in _benchmarks(folder, "tiny").splitlines()]
    assert ["best", "median", "/", "floor", "/", "namedshm"] in lines
    assert ["bare", "1.00", "ms", "3.00", "ms", "1", "0.50", "(0.44..0.62)"] in lines
    assert ["namedshm", "2.00", "ms", "6.00", "ms", "2.00", "(1.75..2.50)", "1"] in lines
    assert ["queue", "5.00", "k/s", "5.00", "k/s"] in lines


def test_all_are_run_and_what_cannot_be_is_said(folder: Path) -> None:
    output = _benchmarks(folder)
    assert "\nleft out: lacking: a_library_that_is_not_there is not installed\n" in output
    assert "\nleft out: queue: rounds None, quick False, 64 MiB, 50 times\n" in output
    assert "\ntiny: turns\n" in output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rounds", "3"), "rounds 3, quick False, 64 MiB, 50 times"),
        (("--quick",), "rounds None, quick True, 8 MiB, 5 times"),
        (("--quick", "--mib", "3"), "rounds None, quick True, 3 MiB, 5 times"),
    ],
)
def test_the_options_reach_the_benchmark(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    assert f"\nleft out: queue: {told}\n" in _benchmarks(folder, "queue", *arguments)


def test_fewer_rounds_are_measured_when_they_are_asked_for(folder: Path) -> None:
    _benchmarks(folder, "tiny", "--rounds", "1", "--json", "facts.json")
    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    assert facts["tables"][0]["contenders"]["namedshm"]["to_floor"] == {"median": 2, "low": 2, "high": 2}
    assert facts["machine"]["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert {"kernel", "cpu", "cores", "versions"} <= set(facts["machine"])
    assert "namedshm" in facts["machine"]["versions"]


def test_a_benchmark_that_fails_ends_the_run_with_its_error(folder: Path) -> None:
    (folder / "benchmarks" / "broken.py").write_text("def tables(settings):\n    raise RuntimeError('no turn for me')\n    yield\n")
    assert "RuntimeError: no turn for me" in _benchmarks(folder, "broken", expected=1)


def test_a_contender_that_gives_up_is_left_out_unless_others_are_compared_with_it(folder: Path) -> None:
    (folder / "benchmarks" / "faltering.py").write_text(FALTERING, "utf-8")
    output = _benchmarks(folder, "faltering", expected=1)
    lines = [line.split() for line in output.splitlines()]
    assert ["bare", "2.00", "ms", "2.00", "ms", "1"] in lines
    assert ["lossy", "*", "1.00", "ms", "1.00", "ms", "0.50", "(0.50..0.50)"] in lines
    assert "\n* lossy: half of it was lost\nleft out: falters: tired\n" in output
    assert "GivesUp: never began" in output


@pytest.mark.parametrize(
    ("arguments", "told"), [(("nosuch",), "no benchmark 'nosuch', but lacking, queue, tiny"), (("--rounds", "0"), "1")]
)
def test_wrong_arguments_are_refused(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    assert told in _benchmarks(folder, *arguments, expected=2)


def test_help_names_every_benchmark_with_its_first_sentence() -> None:
    output = _benchmarks(ROOT, "--help")
    for name in ("arrays", "copying", "lifecycle", "messaging", "sync", "tables"):
        assert f"\n  {name:12}What " in output
    assert "_contenders" not in output


@pytest.mark.skipif(sys.platform != "linux", reason="benchmarks compare with libraries of Linux")
@pytest.mark.parametrize("name", ["arrays", "copying", "lifecycle", "messaging", "sync", "tables"])
def test_each_benchmark_runs(tmp_path: Path, name: str) -> None:
    """With little data and one round; whatever the figures are."""
    file = tmp_path / "facts.json"
    output = _benchmarks(ROOT, name, "--quick", "--rounds", "1", "--mib", "1", "--json", str(file))
    tables = json.loads(file.read_text("utf-8"))["tables"]
    if not tables:
        pytest.skip(output.splitlines()[-1])
    for table in tables:
        assert all(len(found["values"]) == 1 and found["values"][0] > 0 for found in table["contenders"].values()), table
        assert {table[column] for column in ("floor", "namedshm") if column in table} <= set(table["contenders"]), table


# ---------------------------------------------------------------------------------------------------- messages that are checked
def _every(number: int, change: Callable[[Send, bytes], object]) -> Callable[[Send], Send]:
    """A sender that does something else with every so many messages."""

    def change_some(send: Send) -> Send:
        sent = 0

        def send_or_change(message: bytes) -> object:
            nonlocal sent
            sent += 1
            return send(message) if sent % number or message[0] >= 128 else change(send, message)  # 128: the last one

        return send_or_change

    return change_some


@pytest.mark.skipif(sys.platform != "linux", reason="benchmarks compare with libraries of Linux")
@pytest.mark.parametrize("size", [64, 65536])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda send, message: send(message), ""),
        (lambda send, message: None, "of the messages were lost"),
        (lambda send, message: (send(message), send(message)), "came twice"),
        (lambda send, message: send(message[:20] + bytes(len(message) - 20)), "torn"),
        (lambda send, message: send(bytes((message[0], (message[1] + 2) % 16)) + message[2:]), "torn"),
    ],
    ids=["whole", "lost", "doubled", "torn", "misnumbered"],
)
def test_a_library_whose_messages_do_not_arrive_as_they_were_sent_is_marked(
    monkeypatch: pytest.MonkeyPatch, size: int, change: Callable[[Send, bytes], object], told: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import _messengers, _runner, messaging

    class Changing(_messengers.Pipe):
        def sender(self, me: int) -> Send:
            return _every(17, change)(super().sender(me))

    table = _runner.Table("changed", _runner.NS, floor=None, ours=None)
    taken = messaging.OneWay(table, "changing", Changing, _messengers.Line(size, 16), batch=False, seconds=0.02)()
    assert taken > 0
    assert table.remarks.get("changing", "").find(told) >= 0
    assert bool(table.remarks) == bool(told)
