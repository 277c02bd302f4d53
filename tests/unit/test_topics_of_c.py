"""A topic that a C program has made (namedshm_topic.h) is seen as one, and is not taken for a section."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import on_linux
from helpers.headers import INCLUDE

import namedshm
from namedshm import inspection

PROGRAM = """
#include "namedshm_topic.h"
#include <stdio.h>
int main(int argc, char **argv) {
    nshm_scope local;
    nshm_topic t;
    nshm_topic_start start = {4, 64, 4, 2, 0, 10000, NSHM_TOPIC_RAW, 6, "schema"};
    (void)argc;
    nshm_scope_init(&local, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
    int r = nshm_topic_create(&local, argv[1], strlen(argv[1]), 0600, -1, NSHM_EXCLUSIVE, &start, &t);
    if (!r) r = nshm_topic_publish(&t, "hello", 5, 0, NULL);
    printf("%d %llu\\n", -r, r ? 0 : (unsigned long long)t.handle.size);
    fflush(stdout);
    if (!r) getchar(), nshm_topic_close(&t);
    return 0;
}
"""

pytestmark = [
    pytest.mark.skipif(not on_linux, reason="the headers are for Linux"),
    pytest.mark.skipif(not INCLUDE.is_dir(), reason="the tests were taken elsewhere without the headers"),
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """make(name) is a process with a topic of that name, which it closes when it reads a line; or it could not make it."""
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    command = ["gcc", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", source, "-o", program, "-pthread"]
    subprocess.run(command, check=True, timeout=100)
    return lambda name: subprocess.Popen([program, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_topic_is_listed_as_one_and_opened_as_nothing_else(make: Callable[[str], subprocess.Popen[str]], name: str) -> None:
    with make(name) as process:
        assert process.stdout is not None
        error, size = map(int, process.stdout.readline().split())
        assert error == 0
        info = inspection.describe(name)
        assert (info.type, info.size, info.handles, info.mappings, info.creator_pid) == ("topic", size, 1, 1, process.pid)
        assert info in inspection.list_objects()
        told = inspection.state(name)
        assert (told["values"], told["published"], told["writers"]) == ("values of 10000 bytes at most", 1, 1)
        with pytest.raises(namedshm.WrongType):
            namedshm.open(name)
        with pytest.raises(namedshm.WrongType):
            namedshm.Mutex.open(name)
        process.communicate("\n", timeout=30)
    assert process.returncode == 0
    with pytest.raises(namedshm.NotFound):
        inspection.describe(name)


def test_the_name_of_a_section_is_no_topics(make: Callable[[str], subprocess.Popen[str]], name: str) -> None:
    with namedshm.create(name, 100), make(name) as process:
        output, _ = process.communicate(timeout=30)
        assert int(output.split()[0]) != 0
