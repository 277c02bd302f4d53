"""namedshm_queue.h on Windows: compiled by mingw-w64 as C and as C++, run under Wine, with processes that end at every step."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_queue.storm import KINDS
from helpers.headers import changed
from helpers.peer import born
from helpers.turns import until

if sys.platform != "linux":
    pytest.skip("the programs are compiled on Linux", allow_module_level=True)

from .tool import REPO, tool

pytestmark = pytest.mark.timeout(900)  # the first test of all makes a Wine prefix and downloads a Python

SOURCES = REPO / "tests" / "crash_queue" / "windows"
FLAGS = ("-g", "-O2", "-Wall", "-Wextra", "-Werror", "-D_WIN32_WINNT=0x0A00", "-static")
LIBRARIES = ("-lntdll", "-ladvapi32")
BROKEN, KILLED = 2, 9  # a test that could not go on; what a process that ends itself says
NAMES = [
    "first_in_first_out",
    "every_length",
    "several_at_once",
    "loans_stand_in_nobodys_way",
    "a_full_queue_drops_its_oldest",
    "what_is_damaged_is_not_opened",
    "names_and_types",
    "names_of_every_length",
    "a_reader_looks",
    "modes_become_rights",
    "who_waits_is_woken",
    "an_event_ends_a_wait",
    "shut_down_tells_everybody",
    "shut_down_drains",
    "it_ends_with_its_producers",
    "what_a_dead_consumer_had_comes_again",
    "a_sleeper_gets_what_a_dead_consumer_had",
    "what_is_returned_comes_again",
    "a_dead_borrowers_chunks_are_lent_again",
    "the_dead_make_room_in_the_table",
    "nobody_is_taken_for_dead",
    "a_lock_that_is_held_is_waited_for",
    "a_dead_holders_lock_is_taken_over",
    "whoever_ends_at_any_step_is_no_burden",
]


@pytest.fixture(scope="module")
def program(wine: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """program("storm") compiles storm.c once and returns the executable."""
    folder = tmp_path_factory.mktemp("queue")

    def get(name: str) -> Path:
        target = folder / f"{name}.exe"
        if not target.exists():
            build(SOURCES / f"{name}.c", target)
        return target

    return get


def build(source: Path, target: Path, language: str = "gcc", include: Path = REPO / "include") -> None:
    compiler = tool.compiler(language)
    subprocess.run([compiler, *FLAGS, f"-I{include}", str(source), "-o", str(target), *LIBRARIES], check=True, timeout=120)


def test_all_promises_are_known_here(wine: Any, program: Callable[[str], Path]) -> None:
    assert wine.run(wine.command(program("operations"), "list")).stdout.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept(wine: Any, program: Callable[[str], Path], name: str) -> None:
    run = wine.run(wine.command(program("operations"), name), timeout=300)
    assert run.returncode == 0, run.stdout


def test_cpp_and_python_share_a_queue(wine: Any, tmp_path: Path, name: str) -> None:
    """Also under a name so long that what stands beside it has a digest in its name."""
    build(SOURCES / "talk.cpp", tmp_path / "talk.exe", "g++")
    asked, answered = name, name + "-" + "x" * 200
    code = (
        f"import namedshm; asked, answered = namedshm.Queue.open({asked!r}), namedshm.Queue.open({answered!r});"
        "print(asked.ack, asked.max_size, [o.type for o in namedshm.list_objects() if o.name == asked.name]);"
        "answered.put(asked.get(60) + b' and Python')"
    )
    with wine.popen(wine.command(tmp_path / "talk.exe", asked, answered)) as talk:
        born.add(talk.pid)
        assert talk.stdout.readline().strip() == b"ready"
        assert wine.run(wine.python_command("-c", code)).stdout == "True 100000 ['queue']\n"
        output, _ = talk.communicate(timeout=60)
        assert (talk.returncode, output.strip()) == (0, b"from C++ and Python")


# ------------------------------------------------------------------------------------------------------------ planted bugs
#: what is changed, into what, which promise is broken then; those of wake-ups are also in bells.c
MUTANTS: dict[str, tuple[str, str, str]] = {
    "a dead holder's lock is waited for": (
        "    return h && holder != nshm__number && !nshm__life_of(h->place->global, holder);",
        "    return !h || holder == 0;",
        "a_dead_holders_lock_is_taken_over",
    ),
    "a lock is taken over from who lives": (
        "    return h && holder != nshm__number && !nshm__life_of(h->place->global, holder);",
        "    return h && holder != nshm__number;",
        "a_lock_that_is_held_is_waited_for",
    ),
    "whatever else Windows says means dead": (
        "    return error == ERROR_FILE_NOT_FOUND ? 0 : error == ERROR_ACCESS_DENIED ? 1 : nshm__unsure((int)error);",
        "    return error == ERROR_ACCESS_DENIED;",
        "nobody_is_taken_for_dead",
    ),
    "an unlock rings no bell": (
        "            if (v & NSHM__SLEEPERS) nshm__queue_wake(lock, n < 1 ? 1 : n);\n",
        "            if (v & NSHM__SLEEPERS && n < 0) nshm__queue_wake(lock, n);\n",
        "who_waits_is_woken",
    ),
    "of the end nobody is told": (
        "        nshm__queue_ring(nshm__queue_bell(lock), n);\n        return;\n",
        "        return;\n",
        "shut_down_tells_everybody",
    ),
    "a section is taken for a queue": (
        "        if (!facts.magic) r = -EAGAIN;\n",
        "        if (!facts.magic) r = nshm__view(h), h->size = 4096;\n",
        "names_and_types",
    ),
    "who only looks does not keep the bells": (
        "        if (!h->bell[i]) return nshm__failed();\n",
        "        if (h->readonly) CloseHandle(h->bell[i]), h->bell[i] = NULL;\n"
        "        else if (!h->bell[i]) return nshm__failed();\n",
        "a_reader_looks",
    ),
    "a long name is cut": (
        "    if (!plain && !(beside = nshm__digest(name, n, beside))) return -EIO;\n",
        "    if (!plain && 0) return -EIO;\n",
        "names_of_every_length",
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_bug_is_caught(wine: Any, tmp_path: Path, mutant: str) -> None:
    old, new, promise = MUTANTS[mutant]
    include = changed(tmp_path / "include", [(old, new)])
    build(SOURCES / "operations.c", tmp_path / "operations.exe", include=include)
    run = wine.run(wine.command(tmp_path / "operations.exe", promise), timeout=120)
    assert run.returncode not in (0, BROKEN), run.stdout


# ------------------------------------------------------------------------------------------------------------ the storm
KILLS = int(os.environ.get("NSHM_WINDOWS_KILLS", "24"))
HANDS = 4  # producers, and consumers


class Storm:
    """Processes of one storm.  They are killed from outside of Wine: its own TerminateProcess lets them run on for a moment."""

    def __init__(self, wine: Any, program: Path, kind: str, name: str, seed: int) -> None:
        self.wine, self.program, self.kind, self.name = wine, program, kind, name
        self.dice = random.Random(seed)
        self.incarnations = self.dead_consumers = self.kills = 0
        self.keeper = self.start("keep")
        self.hands: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, role: str, *arguments: object) -> subprocess.Popen[bytes]:
        for _ in range(3):
            process = self.wine.popen(self.wine.command(self.program, role, self.kind, self.name, *map(str, arguments)))
            born.add(process.pid)
            first = process.stdout.readline()
            if first.strip() == b"ready":
                break
            end(process)
            assert not first, first  # else it is the start that silently fails: see tools/windows.py
        return process

    def ask(self, text: str) -> bytes:
        self.keeper.stdin.write(text.encode() + b"\n")
        self.keeper.stdin.flush()
        return self.keeper.stdout.readline()

    def hire(self, role: str, mortal: bool) -> None:
        steps = self.dice.randrange(1, 8 << self.dice.randrange(14)) if mortal else 0
        arguments: list[object] = [self.dice.getrandbits(32), steps]
        if role == "put":
            self.incarnations += 1
            arguments.append(self.incarnations)
        self.hands.append((role, self.start(role, *arguments)))

    def bury(self, again: bool) -> None:
        for hand in self.hands[:]:
            role, process = hand
            status = process.poll()
            if status is None:
                continue
            self.hands.remove(hand)
            output = end(process)
            assert status in (0, KILLED, -signal.SIGKILL), output
            assert not output, output
            died = status != 0
            self.kills += died
            self.dead_consumers += died and role == "take"
            if again or (died and role == "take"):
                self.hire(role, again and self.dice.random() < 0.5)

    def rage(self, kills: int) -> None:
        for role in ["put", "take"] * HANDS:
            self.hire(role, self.dice.random() < 0.5)
        moved = 0
        while self.kills < kills:
            time.sleep(self.dice.random() * 0.01)  # the moment of a kill is a random one
            if self.dice.random() < 0.3:
                self.dice.choice(self.hands)[1].kill()
            self.bury(again=True)
            now = int(self.ask("look").split()[0])
            if now > moved:
                moved, since = now, time.monotonic()
            assert time.monotonic() - since < 30, f"nothing moves at {now}"
            if now > 6_000_000:  # the journal ends at 8 million
                return

    def calm_down(self) -> None:
        self.ask("stop")
        until(lambda: self.bury(again=False) or not self.hands, "the end of all", 60)

    def judged(self) -> dict[str, int]:
        output, _ = self.keeper.communicate(f"judge {self.incarnations} {self.dead_consumers}\n".encode(), 60)
        assert self.keeper.returncode == 0, output
        return {key: int(value) for key, _, value in (pair.partition("=") for pair in output.decode().split())}


def end(process: subprocess.Popen[bytes]) -> bytes:
    output, _ = process.communicate(timeout=30)
    return output


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_with_kills_loses_doubles_tears_and_reorders_nothing(
    wine: Any, program: Callable[[str], Path], name: str, kind: str
) -> None:
    storm = Storm(wine, program("storm"), kind, name, seed=1)
    try:
        storm.rage(KILLS)
        storm.calm_down()
        seen = storm.judged()
    finally:
        for process in (storm.keeper, *(process for _, process in storm.hands)):
            process.kill()
            process.wait()
    assert storm.kills >= KILLS
    assert seen["messages"] > 1000
    assert seen["selfkills"] > 0
