"""Limits of the system and other programs' doings are told with the numbers, and with advice that works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.facts import is_root, on_linux
from helpers.headers import of_version
from helpers.peer import Peer

import namedshm

pytestmark = pytest.mark.skipif(not on_linux, reason="limits of Linux")

#: Holds Local objects of the names given, as hexadecimal bytes, until its input ends.
HOLDER = r"""
#include "namedshm.h"
#include <stdio.h>
int main(int argc, char **argv) {
    static nshm_scope scope;
    static nshm_handle handles[16];
    nshm_scope_init(&scope, NSHM_LOCAL, argv[1], -1, 1);
    for (int i = 2; i < argc; i++) {
        char name[256];
        size_t n = strlen(argv[i]) / 2;
        for (size_t k = 0; k < n; k++) sscanf(argv[i] + 2 * k, "%2hhx", (unsigned char *)name + k);
        int r = nshm_create(&scope, NSHM_SECTION, name, n, 100, 0600, -1, 0, 0, 0, NULL, NULL, &handles[i]);
        if (r) return printf("%s\n", strerror(-r)), 1;
    }
    puts("holding");
    fflush(stdout);
    getchar();
    return 0;
}
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """holder(session, b"name"...) is a program in C that holds objects; version=1: of the next version of the format."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("needs a C compiler")
    running = []

    def start(session: str, *names: bytes, version: int = 0) -> subprocess.Popen[str]:
        source, program = tmp_path / "holder.c", tmp_path / f"holder{version}"
        source.write_text(HOLDER)
        include = of_version(tmp_path / f"include{version}", version)
        command = [compiler, "-O1", f"-I{include}", "-o", str(program), str(source), "-pthread"]
        subprocess.run(command, check=True, timeout=120)
        process = subprocess.Popen(
            [str(program), session, *(name.hex() for name in names)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout
        assert process.stdout.readline() == "holding\n"
        return process

    yield start
    for process in running:
        process.communicate("\n", timeout=60)


# ------------------------------------------------------------------------------------------------------------ other programs
def test_names_that_are_no_text_are_listed_for_what_they_are(holder: Callable[..., subprocess.Popen[str]], name: str) -> None:
    session = f"told-{name}"
    names = [b"caf\xe9", b"caf\\xe9", b"\xff\xfe", "ü".encode(), b"a\\b", b"Global\\x"]
    holder(session, *names)
    with Peer(session=session) as peer:
        peer.do("s = namedshm.create('mine', 10)")
        found = peer.do("[info.name for info in namedshm.list_objects()]")
        assert sorted(found) == sorted(["caf\\xe9", "caf\\\\xe9", "\\xff\\xfe", "ü", "a\\\\b", "Global\\\\x", "mine"])
        assert peer.do("namedshm.describe('mine').size") == 10
        assert peer.do("namedshm.describe('ü').size") == 100


def test_who_has_the_other_version_is_told(holder: Callable[..., subprocess.Popen[str]], name: str) -> None:
    session = f"told-{name}"
    other = holder(session, b"x", version=1)
    with Peer(session=session) as peer:
        for call in ("namedshm.create('y', 10)", "namedshm.open('x')", "namedshm.list_objects()"):
            with pytest.raises(namedshm.Unsupported) as caught:
                peer.do(call)
            for words in ("another version", f"made by user {os.geteuid()}", f"held by process {other.pid};"):
                assert words in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ the segment table
@pytest.fixture
def table() -> Iterator[Callable[[int], Peer]]:
    if not is_root or not shutil.which("unshare"):
        pytest.skip("needs root and unshare to have a segment table of its own")
    made: list[Peer] = []

    def make(places: int) -> Peer:
        script = f'echo {places} > /proc/sys/kernel/shmmni && exec "$@"'
        prefix = ("unshare", "--ipc", "sh", "-c", script, "sh")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
            pytest.skip("the segment table cannot be given a size here")
        made.append(Peer(prefix=prefix))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


FILL = "held = []\nwhile True: held.append(namedshm.create(None, 1))"


@pytest.mark.parametrize("places", [10, 4096, 20000])
def test_the_size_of_table_that_is_advised_is_one_the_kernel_takes(table: Callable[[int], Peer], places: int) -> None:
    peer = table(places)
    with pytest.raises(namedshm.OutOfResources, match="segments is full") as caught:
        peer.do(FILL)
    advised = int(re.findall(r"sysctl kernel\.shmmni=(\d+)", str(caught.value))[0])
    assert advised > places
    peer.do("open('/proc/sys/kernel/shmmni', 'w').write(str(advised))", advised=advised)
    peer.do("more = namedshm.create('more', 100)")


def test_the_largest_table_is_not_advised_to_grow(table: Callable[[int], Peer]) -> None:
    peer = table(32768)
    if peer.do("open('/proc/cmdline').read()").find("ipcmni_extend") >= 0:
        pytest.skip("this kernel takes more")
    with pytest.raises(namedshm.OutOfResources, match="is the most this kernel takes") as caught:
        peer.do(FILL)
    assert "sysctl" not in str(caught.value)
    assert "close" in str(caught.value)


def test_the_table_is_told_without_a_file(table: Callable[[int], Peer]) -> None:
    peer = table(10)
    peer.do("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 1,) * 2)")
    with pytest.raises(namedshm.OutOfResources, match="table of 10 shared memory segments is full"):
        peer.do(FILL)


# ------------------------------------------------------------------------------------------------------------ mappings
def test_too_many_mappings_are_told_and_counted(name: str) -> None:
    with Peer() as peer:
        most = int(Path("/proc/sys/vm/max_map_count").read_text())
        if most > 1 << 20:
            pytest.skip("this system allows so many mappings that trying takes too long")
        peer.do("s = namedshm.create(name, 10); views = []", name=name)
        with pytest.raises(namedshm.OutOfResources) as caught:
            peer.do("while True: views.append(s.map(access='read'))")
        text = str(caught.value)
        assert f"{most} is the most (vm.max_map_count)" in text
        assert "smaller" not in text
        peer.do("views.clear(); namedshm.open(name).close()", name=name)


# ------------------------------------------------------------------------------------------------------------ advice
def test_no_advice_names_an_argument_that_the_call_may_not_have(name: str) -> None:
    with namedshm.create(name, 10), pytest.raises(namedshm.AlreadyExists) as held:
        namedshm.create(name, 10)
    with pytest.raises(namedshm.OutOfResources) as large:
        namedshm.create(name, 1 << 50)
    for caught in (held, large):
        assert "exist_ok" not in str(caught.value)
        assert "reserve=" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ namespaces
def _unshared(*arguments: str) -> Peer:
    prefix = ("unshare", "--user", *arguments)
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    return Peer(prefix=prefix)


def test_a_process_of_another_user_namespace_is_told_that_global_is_not_for_it(name: str) -> None:
    with _unshared("--map-root-user") as peer, namedshm.create(name, 10), namedshm.create(f"Global\\{name}", 10):
        for call in ("namedshm.open(name)", "namedshm.create(name, 10)", "namedshm.describe(name)", "namedshm.Mutex(name)"):
            with pytest.raises(namedshm.Unsupported, match="user namespace") as caught:
                peer.do(call, name=f"Global\\{name}")
            assert "Local\\" in str(caught.value)
        if os.geteuid() == 0:
            assert name in peer.do("[info.name for info in namedshm.list_objects()]")
        peer.do("mine = namedshm.create(name + 'x', 10); assert namedshm.describe(name + 'x').size == 10", name=name)


def test_a_user_without_a_number_is_told_that_local_is_not_for_it(name: str) -> None:
    with _unshared() as peer, namedshm.create(name, 10):
        for call in ("namedshm.open(name)", "namedshm.create(name, 10)", "namedshm.describe(name)", "namedshm.list_objects()"):
            with pytest.raises(namedshm.Unsupported, match="no number of its own") as caught:
                peer.do(call, name=name)
            assert "Global" not in str(caught.value)
