"""Sections that map a file instead of memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import GRANULARITY, on_linux, on_windows
from helpers.peer import Peer

import namedshm
from namedshm import win32 as w


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 40)  # 10,240 bytes
    return path


def os_file(file: object) -> int:
    """What create() takes as a file: a descriptor, on Windows the handle behind it."""
    descriptor = file.fileno()  # type: ignore[attr-defined]
    if on_windows:
        import msvcrt

        return msvcrt.get_osfhandle(descriptor)  # type: ignore[attr-defined, no-any-return]
    return descriptor  # type: ignore[no-any-return]


@pytest.mark.parametrize("named", [True, False])
def test_a_section_of_a_file_shows_its_bytes(name: str, named: bool, path: Path) -> None:
    with path.open("r+b") as file, namedshm.create(name if named else None, 0, file=os_file(file)) as section:
        assert section.size == 10240
        view = section.map()
        assert view[:] == path.read_bytes()


@pytest.mark.parametrize("named", [True, False])
def test_what_is_written_to_the_view_reaches_the_file(name: str, named: bool, path: Path) -> None:
    with path.open("r+b") as file, namedshm.create(name if named else None, 0, file=os_file(file)) as section:
        view = section.map()
        view[:5] = b"hello"
        view.flush()
        view.flush(0, 5)
        view.close()
    assert path.read_bytes()[:5] == b"hello"


def test_the_section_lives_on_when_the_file_object_is_closed(name: str, path: Path) -> None:
    with path.open("r+b") as file:
        section = namedshm.create(name, 0, file=os_file(file))
    with section:
        view = section.map()
        view[:5] = b"hello"
        view.flush()
        assert path.read_bytes()[:5] == b"hello"


def test_another_process_opens_the_section_by_name_and_sees_the_file(name: str, path: Path, peers: Callable[[], Peer]) -> None:
    peer = peers(name=name)  # type: ignore[call-arg]
    with path.open("r+b") as file, namedshm.create(name, 0, file=os_file(file)) as section:
        view = section.map()
        assert peer.do("s = namedshm.open(name); v = s.map(); (s.size, v[100])") == (10240, 100)
        peer.do("v[:5] = b'there'")
        assert view[:5] == b"there"
        peer.do("v.close(); s.close()")


def test_a_larger_size_extends_the_file(name: str, path: Path) -> None:
    with path.open("r+b") as file, namedshm.create(name, 70000, file=os_file(file)) as section:
        assert section.size == 70000
        view = section.map()
        assert view[10240:] == bytes(70000 - 10240)
        view[69999] = 1
        view.flush()
        view.close()
    assert path.stat().st_size == 70000
    assert path.read_bytes()[-1] == 1


def test_a_smaller_size_maps_the_beginning(name: str, path: Path) -> None:
    with path.open("r+b") as file, namedshm.create(name, 100, file=os_file(file)) as section:
        assert section.size == 100
        assert len(section.map()) == 100
    assert path.stat().st_size == 10240


def test_an_empty_file_needs_a_size(name: str, tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+b") as file:
        with pytest.raises(namedshm.NamedShmError) as caught:
            namedshm.create(name, 0, file=os_file(file))
        assert caught.value.winerror == 1006
        with namedshm.create(name, 4096, file=os_file(file)) as section:
            assert section.size == 4096


def test_a_view_of_a_file_begins_at_its_offset(name: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"".join(b"%08d" % n for n in range(3 * GRANULARITY // 8)))
    with path.open("r+b") as file, namedshm.create(name, 0, file=os_file(file)) as section:
        assert section.map(GRANULARITY, 8)[:] == b"%08d" % (GRANULARITY // 8)
        assert section.map(2 * GRANULARITY)[:8] == b"%08d" % (2 * GRANULARITY // 8)


def test_a_read_only_file_makes_a_read_only_section(name: str, path: Path) -> None:
    with path.open("rb") as file:
        with pytest.raises(namedshm.AccessDenied):
            namedshm.create(name, 0, file=os_file(file))
        with namedshm.create(name, 0, file=os_file(file), writable=False) as section:
            assert section.access == "read"
            assert section.map()[100] == 100
            copy = section.map(access="copy")
            copy[100] = 7
            assert copy[100] == 7
            with pytest.raises(namedshm.AccessDenied):
                section.map(access="write")
            with pytest.raises(OSError, match="20000"):
                namedshm.create(None, 20000, file=os_file(file), writable=False)  # it would have to grow
    assert path.read_bytes()[100] == 100
    assert path.stat().st_size == 10240


def test_a_copy_on_write_view_of_a_file_leaves_it_alone(name: str, path: Path) -> None:
    with path.open("r+b") as file, namedshm.create(name, 0, file=os_file(file)) as section:
        copy = section.map(access="copy")
        copy[:4] = b"mine"
        assert section.map()[:4] == bytes(range(4))
    assert path.read_bytes()[:4] == bytes(range(4))


def test_the_name_of_a_file_section_goes_with_its_last_handle(name: str, path: Path) -> None:
    with path.open("r+b") as file:
        section = namedshm.create(name, 0, file=os_file(file))
        view = section.map()
        section.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    view[:4] = b"view"
    view.flush()
    assert path.read_bytes()[:4] == b"view"


def test_an_existing_name_wins_over_the_file(name: str, path: Path) -> None:
    with namedshm.create(name, 100) as section, path.open("r+b") as file:
        section.map()[0] = 42
        with namedshm.create(name, 0, file=os_file(file), exist_ok=True) as other:
            assert not other.created
            assert other.size == 100
            assert other.map()[0] == 42


@pytest.mark.skipif(not on_linux, reason="Windows does not let a mapped file be moved away or removed")
def test_an_opener_finds_the_file_after_it_was_moved(name: str, path: Path, peers: Callable[[], Peer]) -> None:
    peer = peers(name=name)  # type: ignore[call-arg]
    with path.open("r+b") as file, namedshm.create(name, 0, file=os_file(file)) as section:
        path.rename(path.with_name("moved"))
        assert peer.do("s = namedshm.open(name); s.map()[100]") == 100
        peer.do("s.close()")
        assert section.map()[100] == 100


@pytest.mark.skipif(not on_linux, reason="Windows does not let a mapped file be removed")
def test_an_opener_is_told_when_the_file_cannot_be_found_any_more(name: str, path: Path, peers: Callable[[], Peer]) -> None:
    creator, heir = peers(name=name), peers(name=name)  # type: ignore[call-arg]
    creator.do("f = open(path, 'r+b'); s = namedshm.create(name, 0, file=f.fileno())", path=str(path))
    heir.do("s = namedshm.open(name)")
    creator.kill()  # with it goes /proc/PID/fd, the way to a file that has no name
    path.unlink()
    path.write_bytes(b"another file" * 1000)
    with pytest.raises(namedshm.AccessDenied, match="keep the file where it was") as caught:
        namedshm.open(name)
    assert str(path) in str(caught.value)
    assert heir.do("s.map()[100]") == 100


def test_the_win32_spelling_maps_files_too(name: str, path: Path) -> None:
    with path.open("r+b") as file:
        handle = w.CreateFileMapping(os_file(file), None, w.PAGE_READWRITE, 0, 0, name)
        assert handle
        assert w.GetLastError() == 0
        view = w.MapViewOfFile(handle, w.FILE_MAP_WRITE, 0, 0, 0)
        assert view is not None
        assert view[100] == 100
        view[100] = 1
        assert w.FlushViewOfFile(view, 0)
        assert w.UnmapViewOfFile(view)
        assert w.CloseHandle(handle)
    assert path.read_bytes()[100] == 1


@pytest.mark.skipif(not on_linux, reason="about descriptors")
def test_what_is_no_regular_open_file_is_refused(name: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(namedshm.InvalidArgument, match="regular"):
            namedshm.create(name, 100, file=reader)
    finally:
        os.close(reader)
        os.close(writer)
    with pytest.raises(namedshm.NamedShmError) as caught:
        namedshm.create(name, 100, file=reader)
    assert caught.value.winerror == 6
    with (tmp_path / "w").open("wb") as file, pytest.raises(namedshm.AccessDenied, match=r"r\+b"):
        namedshm.create(name, 100, file=file.fileno())


@pytest.mark.skipif(not on_linux, reason="about descriptors")
def test_no_descriptor_of_a_file_section_stays_open(name: str, path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with path.open("r+b") as file:
        for _ in range(20):
            with namedshm.create(name, 0, file=file.fileno()) as section, namedshm.open(name) as other:
                section.duplicate().close()
                section.map().close()
                other.map(access="copy").close()
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.skipif(not on_linux, reason="on Windows the kernel has the file")
def test_a_handle_sent_to_another_process_leads_to_the_file(
    name: str, named: bool, access: str, path: Path, peers: Callable[[], Peer]
) -> None:
    from namedshm._backend import backend

    peer = peers(name=name)  # type: ignore[call-arg]
    with path.open("r+b") as file, namedshm.create(name if named else None, 0, file=os_file(file)) as section:
        value = backend.send_handle(section._handle, peer.pid, access)  # type: ignore[arg-type]
        peer.do("from namedshm._backend import backend; h = backend.receive_handle(value)", value=value)
        assert peer.do("h.map(namedshm.View, 0, 10240, access, False)[100]", access=access) == 100
        peer.do("h.close()")


@pytest.mark.skipif(not on_linux, reason="user namespaces of Linux")
def test_a_user_whose_group_has_no_number_maps_files_too(name: str, path: Path) -> None:
    import shutil
    import subprocess

    prefix = ("unshare", "--user", "--map-user=1000")
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    with Peer(prefix=prefix, session=f"files-{name}") as peer:
        peer.do("f = open(path, 'r+b'); s = namedshm.create(name, 0, file=f.fileno())", path=str(path), name=name)
        assert peer.do("namedshm.open(name).map()[100]", name=name) == 100
