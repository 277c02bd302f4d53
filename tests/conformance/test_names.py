r"""Names: the table "Names" of the contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.facts import on_linux, on_windows
from helpers.ids import plain
from helpers.peer import Peer, born
from helpers.spelling import Pythonic, Win32, refused

import namedshm
from namedshm import win32 as w

Api = Pythonic | Win32
ODD = [
    "a b", " leading and trailing ", "a:*?\"<>|", "a/b", "Global/x", "Local/x", "a\nb", "a\tb", "\x01\x1f", "-", "'", "%s%n",
    "ü", "名前", "e\u0301", "\u00e9", "😀", "\U0010ffff", "\u202egnp", "\ufeff", "CON", "nul", "x.", "~", "$(id)",
    "Global ", "global", "local", "session", "GLOBAL",
]  # fmt: skip


def test_open_of_a_name_nobody_holds_is_refused_with_2(api: Api, name: str) -> None:
    with refused(2):
        api.open(name)
    with refused(2):
        api.open(name, "read")


def test_not_found_is_a_file_not_found_error_that_says_which_name(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name) as caught:
        namedshm.open(name)
    assert isinstance(caught.value, namedshm.NotFound)
    assert caught.value.object_name == name


def test_open_without_a_name_is_refused_with_87(api: Api) -> None:
    with refused(87):
        api.open(None)


def test_open_of_an_empty_name_is_refused_with_6(api: Api) -> None:
    with refused(6):
        api.open("")


def test_names_are_case_sensitive(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    assert name != name.upper()
    with refused(2):
        api.open(name.upper())
    other = api.create(name.upper(), 100)
    assert not api.existed(other)
    api.close(handle)
    api.close(other)


@pytest.mark.parametrize(("made", "opened"), [("{}", "Local\\{}"), ("Local\\{}", "{}"), ("Local\\{}", "Local\\{}")])
def test_a_plain_name_and_the_same_in_local_are_one_object(api: Api, name: str, other: Peer, made: str, opened: str) -> None:
    view = api.map(api.create(made.format(name), 100))
    view[:3] = b"one"
    assert other.do("bytes(api.map(api.open(text))[:3])", text=opened.format(name)) == b"one"
    handle = api.create(opened.format(name), 100)
    assert api.existed(handle)


def test_the_same_name_in_global_is_another_object(api: Api, name: str, other: Peer) -> None:
    local = api.create(name, 100)
    machine = api.create(f"Global\\{name}", 200)
    assert not api.existed(machine)
    api.map(local)[:5] = b"local"
    api.map(machine)[:5] = b"glob\0"
    assert other.do("bytes(api.map(api.open('Global\\\\' + name))[:5])") == b"glob\0"
    assert other.do("bytes(api.map(api.open(name))[:5])") == b"local"


BACKSLASHES = ["global\\x", "GLOBAL\\x", "local\\x", "LOCAL\\x", "Wrong\\x", "a\\b", "Global\\a\\b", "Local\\a\\b", "a\\"]


@pytest.mark.parametrize("text", BACKSLASHES)
def test_a_backslash_that_ends_no_known_prefix_is_refused_with_3(api: Api, text: str) -> None:
    with refused(3):
        api.create(text, 100)
    with refused(3):
        api.open(text)


@pytest.mark.parametrize("text", ["\\a", "\\"])
def test_a_leading_backslash_is_refused_with_161(api: Api, text: str) -> None:
    with refused(161):
        api.create(text, 100)
    with refused(161):
        api.open(text)


@pytest.mark.parametrize("text", ["Global\\", "Local\\"])
def test_a_prefix_with_nothing_after_it_is_refused_with_123(api: Api, text: str) -> None:
    with refused(123):
        api.create(text, 100)
    with refused(123):
        api.open(text)


@pytest.mark.parametrize("text", ["Global", "Local", "Session"])
def test_the_name_of_a_namespace_alone_is_refused_with_6(api: Api, text: str) -> None:
    with refused(6):
        api.create(text, 100)
    with refused(6):
        api.open(text)


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_any_character_but_the_backslash_makes_an_ordinary_name(api: Api, name: str, odd: str, other: Peer) -> None:
    # alone where nobody else can mean it, and as a part of a name
    for text in (f"{odd}{name}", f"{name}{odd}"):
        handle = api.create(text, 100)
        assert not api.existed(handle), text
        api.map(handle)[:2] = b"ok"
        assert other.do("bytes(api.map(api.open(text))[:2])", text=text) == b"ok"


@pytest.mark.parametrize("text", [".", "..", "...", "*", "/", "//", "/dev/shm", "C:", "😀"])
def test_names_that_mean_something_to_file_systems_are_ordinary(api: Api, text: str) -> None:
    # short ones: the run's session keeps them from anybody else's
    handle = api.create(text, 100)
    assert not api.existed(handle)
    api.close(api.open(text))


def test_names_that_look_the_same_but_are_not_normalised_alike_are_two(api: Api, name: str) -> None:
    one, two = api.create(f"{name}\u00e9", 100), api.create(f"{name}e\u0301", 100)
    assert not api.existed(one)
    assert not api.existed(two)


@pytest.mark.parametrize("prefix", ["", "Local\\", "Global\\"])
@pytest.mark.parametrize("letter", ["n", "ü", "名"])
def test_259_characters_are_fine_everywhere(api: Api, name: str, other: Peer, prefix: str, letter: str) -> None:
    text = prefix + name.ljust(259, letter)
    api.map(api.create(text, 100))[:2] = b"ok"
    assert other.do("bytes(api.map(api.open(text))[:2])", text=text) == b"ok"


def test_long_names_differ_in_their_last_character(api: Api, name: str) -> None:
    one, two = api.create(name.ljust(258, "n") + "1", 100), api.create(name.ljust(258, "n") + "2", 100)
    assert not api.existed(one)
    assert not api.existed(two)


@pytest.mark.skipif(on_windows, reason="259 is what this package promises everywhere; Windows takes more after a prefix")
@pytest.mark.parametrize("prefix", ["", "Local\\", "Global\\"])
def test_260_characters_are_refused_with_206(api: Api, name: str, prefix: str) -> None:
    with refused(206):
        api.create(prefix + name.ljust(260, "n"), 100)
    with refused(206):
        api.open(prefix + name.ljust(260, "n"))


@pytest.mark.parametrize("text", ["\0", "a\0b", "a\0", "Global\\a\0"])
def test_a_nul_character_is_refused(text: str) -> None:
    with pytest.raises(namedshm.InvalidName, match="NUL"):
        namedshm.create(text, 100)
    with pytest.raises(namedshm.InvalidName, match="NUL"):
        namedshm.open(text)


def test_a_lone_surrogate_is_an_ordinary_character(api: Api, name: str, other: Peer) -> None:
    # names are UTF-16 on Windows and nobody checks them
    text = name + "\ud800"
    api.map(api.create(text, 100))[:2] = b"ok"
    assert other.do("bytes(api.map(api.open(name + chr(0xd800)))[:2])") == b"ok"


@pytest.mark.parametrize("text", [b"bytes", 5, 1.5, [], object()], ids=plain)
def test_what_is_not_a_string_is_no_name(text: object) -> None:
    with pytest.raises(TypeError):
        namedshm.create(text, 100)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        namedshm.open(text)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ other types
HOLDER = r"""
#include "namedshm.h"
#include <stdio.h>
/* holds a mutex by the name in argv[1] until standard input ends */
int main(int argc, char **argv) {
    nshm_scope scope;
    nshm_handle handle;
    nshm_scope_init(&scope, 0, getenv("NAMEDSHM_SESSION"), -1, 1);
    size_t size = NSHM_WORDS_SIZE;
    int r = nshm_create(&scope, NSHM_MUTEX, argv[1], strlen(argv[1]), size, 0600, -1, 0, NSHM_EXCLUSIVE, 0, NULL, NULL, &handle);
    if (argc != 2 || r) return 2;
    printf("held\n");
    fflush(stdout);
    while (getchar() != EOF) {}
    nshm_close(&handle, 0);
    return 0;
}
"""


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A program that holds a name as a mutex, where Python cannot yet."""
    if not on_linux:
        return None
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("needs a C compiler to make an object of another type")
    directory = tmp_path_factory.mktemp("holder")
    (directory / "holder.c").write_text(HOLDER)
    include = Path(__file__).resolve().parents[2] / "include"
    subprocess.run([compiler, "-I", include, "-o", directory / "holder", directory / "holder.c"], check=True)
    return directory / "holder"


@pytest.fixture
def mutex(name: str, holder: Path | None) -> Iterator[Callable[[], None]]:
    """The name is held by a mutex until the fixture's value is called."""
    if sys.platform == "win32":
        import ctypes

        kernel32 = ctypes.WinDLL("kernel32")
        kernel32.CreateMutexW.restype = ctypes.c_void_p
        kernel32.CloseHandle.argtypes = [ctypes.c_void_p]
        handles = [kernel32.CreateMutexW(None, False, name)]

        def release() -> None:
            while handles:
                kernel32.CloseHandle(handles.pop())
    else:
        process = subprocess.Popen([str(holder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        born.add(process.pid)
        assert process.stdout
        assert process.stdout.readline() == b"held\n"

        def release() -> None:
            if process.poll() is None:
                process.communicate()

    yield release
    release()


def test_a_name_held_by_another_type_is_refused_with_6(api: Api, name: str, mutex: Callable[[], None], other: Peer) -> None:
    with refused(6):
        api.create(name, 100)
    with refused(6):
        api.open(name)
    with refused(6):
        other.do("api.open(name)")


def test_the_clash_of_types_ends_with_the_last_handle(api: Api, name: str, mutex: Callable[[], None]) -> None:
    with refused(6):
        api.create(name, 100)
    mutex()
    assert not api.existed(api.create(name, 100))


def test_a_clash_of_types_is_a_wrong_type_error(name: str, mutex: Callable[[], None]) -> None:
    with pytest.raises(namedshm.WrongType, match=name):
        namedshm.create(name, 100)
    with pytest.raises(namedshm.WrongType, match=name):
        namedshm.create(name, 100, exist_ok=True)
    with pytest.raises(namedshm.WrongType, match=name):
        namedshm.open(name)


def test_there_is_no_clash_between_global_and_local(api: Api, name: str, mutex: Callable[[], None]) -> None:
    assert not api.existed(api.create(f"Global\\{name}", 100))


def test_a_section_keeps_other_types_from_its_name(name: str, holder: Path | None) -> None:
    with namedshm.create(name, 100):
        if sys.platform == "win32":
            import ctypes

            kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
            assert not kernel32.CreateMutexW(None, False, name)
            assert ctypes.get_last_error() == 6
        else:
            status = subprocess.run([str(holder), name], stdin=subprocess.DEVNULL, timeout=30, check=False).returncode
            assert status == 2


def test_the_win32_functions_number_the_clash_6_in_the_last_error(name: str, mutex: Callable[[], None]) -> None:
    assert not w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, 100, name)
    assert w.GetLastError() == 6
    assert not w.OpenFileMapping(w.FILE_MAP_READ, False, name)
    assert w.GetLastError() == 6
