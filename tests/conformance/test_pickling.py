"""Handing sections and views to other processes: by pickling (name and identity travel), by spawn, by DuplicateHandle."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from helpers.facts import on_linux
from helpers.peer import Peer

import namedshm
from namedshm import win32 as w


# ------------------------------------------------------------------------------------------------------------ pickling
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_section_opens_the_same_object_elsewhere(name: str, peers: Callable[[], Peer], protocol: int) -> None:
    with namedshm.create(name, 100) as section:
        section.map()[:5] = b"hello"
        data = pickle.dumps(section, protocol)
        assert b"hello" not in data  # the name travels, not the bytes
        peer = peers()
        got = peer.do(
            "import pickle; s = pickle.loads(data); (s.name, s.size, s.identity, s.access, s.created, s.map()[:5])", data=data
        )
        assert got == (name, 100, section.identity, "write", False, b"hello")


def test_an_unpickled_section_is_a_handle_of_its_own(name: str) -> None:
    section = namedshm.create(name, 100)
    twin = pickle.loads(pickle.dumps(section))
    section.close()
    namedshm.open(name).close()
    twin.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_a_read_only_handle_is_pickled_as_such(name: str) -> None:
    with namedshm.create(name, 100), namedshm.open(name, "read") as section, pickle.loads(pickle.dumps(section)) as twin:
        assert twin.access == "read"


def test_a_pickled_view_maps_the_same_range(name: str, peers: Callable[[], Peer]) -> None:
    with namedshm.create(name, 200_000) as section:
        view = section.map(65536, 1000)
        view[:5] = b"hello"
        peer = peers()
        got = peer.do("import pickle; v = pickle.loads(data); (len(v), v.offset, v.access, v[:5])", data=pickle.dumps(view))
        assert got == (1000, 65536, "write", b"hello")
        peer.do("v[:5] = b'there'")
        assert view[:5] == b"there"
        reading = section.map(access="read")
        assert pickle.loads(pickle.dumps(reading)).readonly


def test_a_pickled_copy_view_is_a_fresh_copy(name: str) -> None:
    with namedshm.create(name, 100) as section:
        copy = section.map(access="copy")
        copy[:4] = b"mine"
        twin = pickle.loads(pickle.dumps(copy))
        assert twin.access == "copy"
        assert twin[:4] == bytes(4)  # private means private
        twin[:4] = b"twin"
        assert copy[:4] == b"mine"
        assert section.map()[:4] == bytes(4)


def test_unpickling_finds_no_object_when_it_is_gone(name: str) -> None:
    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        view_data = pickle.dumps(section.map())
    for lost in (data, view_data):
        with pytest.raises(namedshm.NotFound, match=name):
            pickle.loads(lost).close()


def test_unpickling_refuses_another_object_of_the_same_name(name: str) -> None:
    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        view_data = pickle.dumps(section.map())
    with namedshm.create(name, 100):
        for stale in (data, view_data):
            with pytest.raises(namedshm.StaleObject, match=name):
                pickle.loads(stale).close()
    # and the refusal left no handle behind
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_an_unnamed_section_cannot_be_pickled() -> None:
    with namedshm.create(None, 100) as section:
        for thing in (section, section.map()):
            with pytest.raises(TypeError, match="unnamed"):
                pickle.dumps(thing)


def test_a_closed_section_cannot_be_pickled(name: str) -> None:
    section = namedshm.create(name, 100)
    section.close()
    with pytest.raises(namedshm.ClosedHandle, match=name):
        pickle.dumps(section)


def test_a_global_section_is_pickled_with_its_prefix(name: str, peers: Callable[[], Peer]) -> None:
    with namedshm.create(f"Global\\{name}", 100) as section:
        section.map()[0] = 9
        assert peers().do("import pickle; pickle.loads(data).map()[0]", data=pickle.dumps(section)) == 9


# ------------------------------------------------------------------------------------------------------------ multiprocessing
TASKS = """
import multiprocessing
def fill(section, queue):
    view = section.map()
    view[:5] = b"child"
    queue.put((section.size, section.created))
"""

SPAWNED = """
import sys
sys.path.insert(0, {directory!r})
import multiprocessing
import tasks
import namedshm
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with namedshm.create({name!r}, 100) as section:
        queue = context.SimpleQueue()
        process = context.Process(target=tasks.fill, args=(section, queue))
        process.start()
        print(queue.get())
        process.join()
        assert process.exitcode == 0, process.exitcode
        print(section.map()[:5])
    try:
        namedshm.open({name!r})
    except namedshm.NotFound:
        print("gone")
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"] if on_linux else ["spawn"])
def test_a_section_is_an_argument_of_a_multiprocessing_process(name: str, tmp_path: object, method: str) -> None:
    import subprocess
    import sys
    from pathlib import Path

    directory = Path(str(tmp_path))
    (directory / "tasks.py").write_text(TASKS)
    (directory / "main.py").write_text(SPAWNED.format(directory=str(directory), name=name, method=method))
    done = subprocess.run(
        [sys.executable, str(directory / "main.py")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["(100, False)" if method != "fork" else "(100, True)", "b'child'", "gone"]
    assert "leaked" not in done.stderr  # no tracker has anything to say about it


# ------------------------------------------------------------------------------------------------------------ DuplicateHandle
def _create(name: str | None, size: int = 100) -> int:
    return w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, w.PAGE_READWRITE, 0, size, name)


def _duplicate(handle: int, rights: int, options: int = 0) -> int:
    me = w.GetCurrentProcess()
    return w.DuplicateHandle(me, handle, me, rights, False, options)


def test_a_duplicate_with_fewer_rights_cannot_do_more(name: str) -> None:
    handle = _create(name)
    weak = _duplicate(handle, w.FILE_MAP_READ)
    assert weak
    assert w.MapViewOfFile(weak, w.FILE_MAP_WRITE, 0, 0, 0) is None
    assert w.GetLastError() == 5
    assert w.MapViewOfFile(weak, w.FILE_MAP_READ, 0, 0, 0) is not None
    assert w.MapViewOfFile(handle, w.FILE_MAP_WRITE, 0, 0, 0) is not None


def test_a_duplicate_cannot_get_more_rights_than_its_source_where_the_source_was_opened_for_reading(name: str) -> None:
    keep = _create(name)
    weak = w.OpenFileMapping(w.FILE_MAP_READ, False, name)
    strong = _duplicate(weak, w.FILE_MAP_WRITE)
    # Windows checks a handle's own access here; Wine grants what the object allows
    from helpers.facts import on_wine

    if on_wine and strong:
        pytest.xfail("Wine lets a duplicate have more access than its source")
    assert not strong
    assert w.GetLastError() == 5
    assert keep


def test_same_access_copies_the_rights(name: str) -> None:
    handle = _create(name)
    assert w.MapViewOfFile(_duplicate(handle, 0, w.DUPLICATE_SAME_ACCESS), w.FILE_MAP_WRITE, 0, 0, 0) is not None
    weak = w.OpenFileMapping(w.FILE_MAP_READ, False, name)
    assert w.MapViewOfFile(_duplicate(weak, 0, w.DUPLICATE_SAME_ACCESS), w.FILE_MAP_WRITE, 0, 0, 0) is None
    assert w.GetLastError() == 5


def test_close_source_closes_the_source(name: str) -> None:
    handle = _create(name)
    twin = _duplicate(handle, 0, w.DUPLICATE_SAME_ACCESS | w.DUPLICATE_CLOSE_SOURCE)
    assert twin
    assert not w.CloseHandle(handle) or twin == handle
    if twin != handle:
        assert w.GetLastError() == 6
        assert w.CloseHandle(twin)
    assert not w.OpenFileMapping(w.FILE_MAP_READ, False, name)


def test_duplicating_what_is_no_handle_is_refused_with_6() -> None:
    assert not _duplicate(0x7FFFFFF0, w.FILE_MAP_READ)
    assert w.GetLastError() == 6


@pytest.mark.parametrize("named", [True, False])
def test_a_handle_is_duplicated_into_another_process(name: str, named: bool, peers: Callable[[], Peer]) -> None:
    peer = peers()
    handle = _create(name if named else None)
    view = w.MapViewOfFile(handle, w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    assert view is not None
    view[:5] = b"hello"
    process = w.OpenProcess(w.PROCESS_DUP_HANDLE, False, peer.do("os.getpid()"))
    sent = w.DuplicateHandle(w.GetCurrentProcess(), handle, process, 0, False, w.DUPLICATE_SAME_ACCESS)
    assert sent
    assert peer.do("v = win32.MapViewOfFile(sent, win32.FILE_MAP_WRITE, 0, 0, 0); bytes(v[:5])", sent=sent) == b"hello"
    peer.do("v[:5] = b'there'")
    assert view[:5] == b"there"
    w.CloseHandle(handle)
    if named:
        w.CloseHandle(w.OpenFileMapping(w.FILE_MAP_READ, False, name))  # the other's handle keeps the name
    assert peer.do("win32.CloseHandle(sent)")
    assert not w.OpenFileMapping(w.FILE_MAP_READ, False, name)
    w.CloseHandle(process)


def test_a_handle_sent_with_fewer_rights_cannot_do_more_there(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    handle = _create(name)
    process = w.OpenProcess(w.PROCESS_DUP_HANDLE, False, peer.do("os.getpid()"))
    sent = w.DuplicateHandle(w.GetCurrentProcess(), handle, process, w.FILE_MAP_READ, False, 0)
    assert peer.do("win32.MapViewOfFile(sent, win32.FILE_MAP_WRITE, 0, 0, 0) is None", sent=sent)
    assert peer.do("win32.GetLastError()") == 5
    assert peer.do("win32.MapViewOfFile(sent, win32.FILE_MAP_READ, 0, 0, 0) is not None")
    w.CloseHandle(process)


def test_a_handle_means_nothing_in_a_process_it_was_not_sent_to(name: str, peers: Callable[[], Peer]) -> None:
    handle = _create(name)
    peer = peers()
    # a number nobody has there: handles are of a process
    far = handle + 0x10000
    assert peer.do("win32.MapViewOfFile(far, win32.FILE_MAP_READ, 0, 0, 0) is None", far=far)
    assert peer.do("win32.GetLastError()") == 6


def test_there_is_no_process_of_a_number_nobody_has() -> None:
    # not that of a process that has ended: on Windows it stays valid while its parent has it open
    assert not w.OpenProcess(w.PROCESS_DUP_HANDLE, False, 0x7FFFFFF0)
    assert w.GetLastError() == 87
