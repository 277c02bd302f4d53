"""examples/ are run, the firsts and seconds in every combination of languages."""

from __future__ import annotations

import sys

import pytest

from .blocks import ROOT

EXAMPLES = ROOT / "examples"
FIRSTS = ["first.py", "win32_first.py", "cpp/linux_first.cpp"]
SECONDS = ["second.py", "win32_second.py", "cpp/linux_second.cpp"]
MESSAGE = "Message from first process.\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="run on Linux here; C++ for Windows has tests of its own")


def _command(place, example):
    path = EXAMPLES / example
    return [place.compile(path)] if path.suffix == ".cpp" else [sys.executable, path]


@pytest.mark.parametrize("first", FIRSTS)
def test_whoever_is_first_every_second_reads_its_message(place, first):
    process = place.first(*_command(place, first), ready="Press Return to close it.")
    for second in SECONDS:
        assert place.run(*_command(place, second)) == MESSAGE
    place.finish(process)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ("second.py", "NotFound"),
        ("win32_second.py", "Could not open file mapping object (2)."),
        ("cpp/linux_second.cpp", "Could not open the section: No such file or directory."),
    ],
)
def test_a_second_without_a_first_fails_and_says_why(place, second, text):
    command = " ".join(str(part) for part in _command(place, second))
    assert text in place.run("bash", "-c", f"! {command} 2>&1")


def test_numpy_python_and_cpp_share_one_array(place):
    pytest.importorskip("numpy")
    first = place.first(*_command(place, "numpy_first.py"), ready="Press Return")
    total = _command(place, "cpp/linux_sum.cpp")
    assert place.run(*total) == "C++ sums 1000000 numbers: 500000.0\n"
    assert place.run(*_command(place, "numpy_second.py")) == "Doubled 1000000 numbers of section 'numbers'.\n"
    assert place.run(*total) == "C++ sums 1000000 numbers: 1000000.0\n"
    assert place.finish(first).endswith("Now the sum is 1000000.0.\n")


def test_a_pool_works_on_one_section(place):
    assert place.run(*_command(place, "pool.py")).splitlines() == [
        *(f"filled part {part}" for part in range(4)),
        "sums: [65536, 131072, 196608, 262144]",
    ]


def test_a_job_of_a_worker_that_dies_is_done_by_another(place):
    assert place.run(*_command(place, "jobs.py")).splitlines() == [
        *(f"{n}.png is {n + 1}00 wide now{', at the second try' if n == 3 else ''}" for n in range(6)),
        "workers ended with [0, 0, 1]",
    ]


def test_market_data_arrives_in_order(place):
    assert place.run(*_command(place, "ticks.py")).splitlines() == [
        *(
            f"{name}: 10000 traded, last at {100 + number % 7:.2f}"
            for name, number in zip(("ABC", "DEF", "GHI"), range(29997, 30000), strict=True)
        ),
    ]


def test_frames_are_there_when_their_camera_has_gone(place):
    pytest.importorskip("numpy")
    assert place.run(*_command(place, "frames.py")).splitlines() == [
        *(f"(1080, 1920, 3) {10.0 * number}" for number in range(8)),
        "that was all",
    ]


def test_a_camera_has_three_readers_who_see_whole_frames_only(place):
    pytest.importorskip("numpy")
    said = place.run(*_command(place, "camera.py"), "40").splitlines()
    assert said[-1] == "published: 40 frames"
    told = {line.partition(":")[0]: line for line in said[:-1]}
    assert set(told) == {"copies", "views", "pins"}
    assert all(line.endswith("all whole: True") for line in told.values()), said
