"""Views: the table "Views" of the contract; copy-on-write has a file of its own."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable

import pytest
from helpers.facts import GRANULARITY, PAGE, on_wine
from helpers.peer import Peer
from helpers.spelling import Pythonic, Win32, refused
from helpers.turns import until

import namedshm
from namedshm import win32 as w

Api = Pythonic | Win32
SIZE = 3 * GRANULARITY + 100  # three granules and a bit


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _create(protect: int, name: str | None, size: int = 100) -> int:
    return w.CreateFileMapping(w.INVALID_HANDLE_VALUE, None, protect, 0, size, name)


# ------------------------------------------------------------------------------------------------------------ ranges
def test_length_0_maps_to_the_end_in_win32(name: str) -> None:
    handle = _create(w.PAGE_READWRITE, name, SIZE)
    for offset in range(0, SIZE, GRANULARITY):
        view = w.MapViewOfFile(handle, w.FILE_MAP_ALL_ACCESS, 0, offset, 0)
        assert view is not None
        assert w.view_size(view) == _pages(SIZE - offset)


def test_no_length_maps_to_the_exact_end(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        for offset in range(0, SIZE, GRANULARITY):
            assert len(section.map(offset)) == SIZE - offset


@pytest.mark.parametrize("length", [1, 100, PAGE - 1, PAGE, PAGE + 1])
def test_a_length_is_rounded_up_to_pages_in_win32(name: str, length: int) -> None:
    view = w.MapViewOfFile(_create(w.PAGE_READWRITE, name, SIZE), w.FILE_MAP_READ, 0, 0, length)
    assert view is not None
    assert w.view_size(view) == _pages(length)


@pytest.mark.parametrize("length", [1, 100, PAGE - 1, PAGE, PAGE + 1])
def test_a_length_is_exact_in_a_view(name: str, length: int) -> None:
    with namedshm.create(name, SIZE) as section:
        view = section.map(0, length)
        assert len(view) == length
        assert len(memoryview(view)) == length


def reach(api: Api, size: int) -> int:
    """Bytes of an object of that size that can be mapped."""
    return -(-size // api.granularity) * api.granularity


def test_a_100_byte_object_maps_100_or_4096_bytes_and_no_more(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    assert len(api.map(handle, "write", 0, reach(api, 100))) == reach(api, 100)
    with refused(5):
        api.map(handle, "write", 0, reach(api, 100) + 1)


def test_the_slack_of_the_last_page_is_zero_and_shared(api: Api, name: str, other: Peer) -> None:
    if api.granularity == 1:
        pytest.skip("the Pythonic spelling does not give it")
    view = api.map(api.create(name, 100), "write", 0, PAGE)
    assert view[100:PAGE] == bytes(PAGE - 100)
    view[PAGE - 5 : PAGE] = b"slack"
    assert other.do("bytes(api.map(api.open(name), 'read', 0, 4096)[4091:])") == b"slack"


@pytest.mark.parametrize("offset", [0, GRANULARITY, 2 * GRANULARITY, 3 * GRANULARITY])
@pytest.mark.parametrize("access", ["read", "write", "copy"])
def test_a_view_begins_at_its_offset(api: Api, name: str, offset: int, access: str) -> None:
    handle = api.create(name, SIZE)
    whole = api.map(handle)
    for at in range(0, SIZE, GRANULARITY):
        whole[at : at + 8] = b"%8d" % at
    assert bytes(api.map(handle, access, offset)[:8]) == b"%8d" % offset
    assert bytes(api.map(handle, access, offset, 50)[:8]) == b"%8d" % offset


@pytest.mark.parametrize("offset", [1, 100, PAGE, 8 * PAGE, GRANULARITY - 1, GRANULARITY + PAGE])
def test_an_offset_that_is_no_multiple_of_65536_is_refused_with_1132(api: Api, name: str, offset: int) -> None:
    handle = api.create(name, SIZE)
    with refused(1132):
        api.map(handle, "read", offset, 10)
    with refused(1132):
        api.map(handle, "read", offset)


@pytest.mark.parametrize("size", [GRANULARITY, SIZE, 100])
def test_an_offset_at_or_beyond_the_end_is_refused(api: Api, name: str, size: int) -> None:
    handle = api.create(name, size)
    first = -(-size // GRANULARITY) * GRANULARITY
    for offset in (first, first + GRANULARITY, 1 << 40):
        with refused(87, 5):
            api.map(handle, "read", offset)
        with refused(87, 5):
            api.map(handle, "read", offset, 1)


def test_offset_and_length_together_beyond_the_end_are_refused_with_5(api: Api, name: str) -> None:
    handle = api.create(name, SIZE)
    last = 3 * GRANULARITY
    rest = reach(api, SIZE) - last
    assert len(api.map(handle, "read", last, rest)) == rest
    with refused(5):
        api.map(handle, "read", last, rest + 1)
    with refused(5):
        api.map(handle, "read", GRANULARITY, SIZE)
    with refused(5, 87):
        api.map(handle, "read", GRANULARITY, 1 << 60)


def test_an_error_about_an_offset_says_what_to_do(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        with pytest.raises(namedshm.InvalidArgument, match="map from 65536 and slice"):
            section.map(GRANULARITY + 1)
        with pytest.raises(namedshm.InvalidArgument, match=name):
            section.map(-GRANULARITY)


@pytest.mark.parametrize("length", [0, -1, -PAGE])
def test_a_length_below_1_is_refused_by_map(name: str, length: int) -> None:
    with namedshm.create(name, 100) as section, pytest.raises(namedshm.InvalidArgument):
        section.map(0, length)


def test_many_views_of_one_object_are_fine(api: Api, name: str) -> None:
    handle = api.create(name, SIZE)
    views = [api.map(handle, "write", offset, 100) for _ in range(100) for offset in (0, GRANULARITY)]
    views[0][:3] = b"abc"
    views[1][:3] = b"xyz"
    assert all(view[:3] == b"abc" for view in views[::2])
    assert all(view[:3] == b"xyz" for view in views[1::2])
    for view in views:
        api.unmap(view)
    assert api.map(handle)[:3] == b"abc"


# ------------------------------------------------------------------------------------------------------------ access
def test_a_read_view_refuses_writing(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    view = api.map(handle, "read")
    assert view.readonly
    with pytest.raises(namedshm.AccessDenied):
        view[0] = 1
    with pytest.raises(namedshm.AccessDenied):
        view[:3] = b"abc"
    with pytest.raises(TypeError):
        memoryview(view)[0] = 1
    assert view[:3] == bytes(3)


def test_writing_through_a_pointer_into_a_read_view_faults(api: Api, name: str, others: Callable[[], Peer]) -> None:
    # memory protection is what refuses, not Python: the process that ignores it dies of it
    handle = api.create(name, 100)
    brute = others()
    brute.do("import ctypes, faulthandler; faulthandler.disable(); view = api.map(api.open(name, 'read'), 'read')")
    brute.start("ctypes.memset(view.address, 1, 1)")
    with pytest.raises((RuntimeError, OSError)):
        brute.result()
    brute.kill()
    assert api.map(handle)[0] == 0


def test_a_read_view_sees_what_others_write(api: Api, name: str, other: Peer) -> None:
    view = api.map(api.create(name, 100), "read")
    other.do("api.map(api.open(name))[:5] = b'hello'")
    assert view[:5] == b"hello"


@pytest.mark.parametrize(
    ("rights", "writes", "private"),
    [
        (w.FILE_MAP_READ, False, False),
        (w.FILE_MAP_WRITE, True, False),
        (w.FILE_MAP_READ | w.FILE_MAP_WRITE, True, False),
        (w.FILE_MAP_ALL_ACCESS, True, False),
        (w.FILE_MAP_COPY, True, True),
        (w.FILE_MAP_READ | w.FILE_MAP_COPY, False, False),
        (w.FILE_MAP_READ | w.FILE_MAP_WRITE | w.FILE_MAP_COPY, True, False),
    ],
)
def test_each_combination_of_rights_maps_as_the_contract_says(name: str, rights: int, writes: bool, private: bool) -> None:
    handle = _create(w.PAGE_READWRITE, name)
    shared = w.MapViewOfFile(handle, w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    view = w.MapViewOfFile(handle, rights, 0, 0, 0)
    assert view is not None
    if writes:
        view[:4] = b"mine"
        assert view[:4] == b"mine"
        assert shared[:4] == (bytes(4) if private else b"mine")
    else:
        with pytest.raises(namedshm.AccessDenied):
            view[:4] = b"mine"
        assert w.view_protect(view) == w.PAGE_READONLY


@pytest.mark.parametrize("rights", [0, 0x40, 0x80])
def test_rights_that_map_nothing_are_refused(name: str, rights: int) -> None:
    handle = _create(w.PAGE_READWRITE, name)
    assert w.MapViewOfFile(handle, rights, 0, 0, 0) is None
    assert w.GetLastError() in (5, 87)


@pytest.mark.parametrize("access", ["read", "copy"])
def test_a_handle_opened_for_reading_or_copying_cannot_map_for_writing(access: str, name: str, other: Peer) -> None:
    other.do("h = namedshm.create(name, 100)")
    handle = w.OpenFileMapping({"read": w.FILE_MAP_READ, "copy": w.FILE_MAP_COPY}[access], False, name)
    for rights in (w.FILE_MAP_WRITE, w.FILE_MAP_ALL_ACCESS, w.FILE_MAP_READ | w.FILE_MAP_WRITE):
        assert w.MapViewOfFile(handle, rights, 0, 0, 0) is None
        assert w.GetLastError() == 5
    assert w.MapViewOfFile(handle, w.FILE_MAP_READ, 0, 0, 0) is not None
    assert w.MapViewOfFile(handle, w.FILE_MAP_COPY, 0, 0, 0) is not None


def test_a_handle_opened_for_writing_alone_cannot_map_for_reading(name: str, other: Peer) -> None:
    other.do("h = namedshm.create(name, 100)")
    handle = w.OpenFileMapping(w.FILE_MAP_WRITE, False, name)
    assert w.MapViewOfFile(handle, w.FILE_MAP_READ, 0, 0, 0) is None
    assert w.GetLastError() == 5
    assert w.MapViewOfFile(handle, w.FILE_MAP_WRITE, 0, 0, 0) is not None


def test_a_section_opened_for_reading_maps_for_reading_and_nothing_else(name: str, other: Peer) -> None:
    other.do("s = namedshm.create(name, 100)")
    with namedshm.open(name, "read") as section:
        assert section.access == "read"
        assert section.map().access == "read"
        with pytest.raises(namedshm.AccessDenied, match=name):
            section.map(access="write")
        with pytest.raises(namedshm.AccessDenied):
            section.duplicate("write")
        assert section.duplicate().access == "read"


def test_a_created_section_may_be_asked_for_with_reading_only(name: str) -> None:
    with namedshm.create(name, 100, access="read") as section:
        assert section.access == "read"
        with pytest.raises(namedshm.AccessDenied):
            section.map(access="write")
        with namedshm.open(name) as other:  # the object itself is writable
            other.map()[0] = 7
        assert section.map()[0] == 7


@pytest.mark.parametrize("access", ["rw", "READ", "", "execute", 1, True])
def test_an_unknown_access_is_refused(name: str, access: object) -> None:
    with namedshm.create(name, 100) as section:
        with pytest.raises(namedshm.InvalidArgument, match="read"):
            section.map(access=access)  # type: ignore[arg-type]
        with pytest.raises(namedshm.InvalidArgument, match="read"):
            section.duplicate(access)  # type: ignore[arg-type]
        with pytest.raises(namedshm.InvalidArgument, match="read"):
            namedshm.open(name, access)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("protect", "rights", "got"),
    [
        (w.PAGE_READWRITE, w.FILE_MAP_READ, w.PAGE_READONLY),
        (w.PAGE_READWRITE, w.FILE_MAP_WRITE, w.PAGE_READWRITE),
        (w.PAGE_READWRITE, w.FILE_MAP_COPY, w.PAGE_WRITECOPY),
        (w.PAGE_EXECUTE_READWRITE, w.FILE_MAP_READ | w.FILE_MAP_EXECUTE, w.PAGE_EXECUTE_READ),
        (w.PAGE_EXECUTE_READWRITE, w.FILE_MAP_WRITE | w.FILE_MAP_EXECUTE, w.PAGE_EXECUTE_READWRITE),
        (w.PAGE_EXECUTE_READWRITE, w.FILE_MAP_COPY | w.FILE_MAP_EXECUTE, w.PAGE_EXECUTE_WRITECOPY),
    ],
)
def test_the_protection_of_a_view_is_what_was_asked_for(name: str, protect: int, rights: int, got: int) -> None:
    view = w.MapViewOfFile(_create(protect, name), rights, 0, 0, 0)
    assert view is not None
    assert w.view_protect(view) == got


def test_an_executable_view_needs_an_executable_object(name: str) -> None:
    handle = _create(w.PAGE_READWRITE, name)
    assert w.MapViewOfFile(handle, w.FILE_MAP_READ | w.FILE_MAP_EXECUTE, 0, 0, 0) is None
    assert w.GetLastError() == 5
    with namedshm.open(name) as section, pytest.raises(namedshm.AccessDenied, match="executable"):
        section.map(executable=True)


def test_code_in_an_executable_view_runs(name: str) -> None:
    import ctypes
    import sysconfig

    if not sysconfig.get_platform().endswith(("x86_64", "amd64")):  # platform.machine() ends the process under Wine
        pytest.skip("the code is for x86-64")
    with namedshm.create(name, 100, executable=True) as section:
        view = section.map(executable=True)
        view[:6] = bytes.fromhex("b82a000000c3")  # mov eax, 42; ret
        assert ctypes.CFUNCTYPE(ctypes.c_int)(view.address)() == 42
        assert view.executable


# ------------------------------------------------------------------------------------------------------------ coherence
def test_two_views_of_one_process_are_coherent(api: Api, name: str) -> None:
    handle = api.create(name, 100)
    one, two = api.map(handle), api.map(api.open(name))
    one[:5] = b"hello"
    assert two[:5] == b"hello"
    two[50] = 99
    assert one[50] == 99


def test_writes_are_seen_by_every_process_at_once(api: Api, name: str, others: Callable[[], Peer]) -> None:
    view = api.map(api.create(name, 4 * PAGE))
    crowd = [others() for _ in range(3)]
    for number, peer in enumerate(crowd):
        peer.do("v = api.map(api.open(name))")
        peer.do("v[n * 4096:n * 4096 + 4] = b'%4d' % n", n=number)
        assert view[number * PAGE : number * PAGE + 4] == b"%4d" % number
    view[:4] = b"main"
    assert [peer.do("bytes(v[:4])") for peer in crowd] == [b"main"] * 3


def test_two_processes_play_ping_pong_in_memory_alone(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    with namedshm.create(name, 2) as section:
        view = section.map()
        peer.start(
            """
view = namedshm.open(name).map()
for n in range(1, 201):
    while view[0] != n % 251: pass
    view[1] = n % 251
""",
            name=name,
        )
        for number in range(1, 201):
            view[0] = number % 251
            until(lambda n=number % 251: view[1] == n, "the other's answer")
        peer.result()


def test_a_large_section_arrives_whole(api: Api, name: str, other: Peer) -> None:
    size = 8 << 20
    view = api.map(api.create(name, size))
    data = hashlib.sha256(b"seed").digest() * (size // 32)
    view[:size] = data
    digest = other.do("import hashlib; v = api.map(api.open(name)); hashlib.sha256(v).hexdigest()")
    assert digest == hashlib.sha256(data).hexdigest()


# ------------------------------------------------------------------------------------------------------------ buffers
def test_a_memoryview_outlives_view_and_handle(name: str) -> None:
    section = namedshm.create(name, 100)
    view = section.map()
    view[:5] = b"hello"
    buffer = memoryview(view)
    view.close()
    section.close()
    assert bytes(buffer[:5]) == b"hello"
    buffer[0] = ord("j")
    assert bytes(buffer[:5]) == b"jello"
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_closing_never_raises_buffer_error(name: str) -> None:
    with namedshm.create(name, 100) as section, section.map() as view:
        buffers = [memoryview(view)[n:] for n in range(5)]
    assert view.closed
    assert all(buffer[0] == 0 for buffer in buffers)


def test_a_view_used_after_closing_is_refused_though_a_buffer_lives(name: str) -> None:
    with namedshm.create(name, 100) as section:
        view = section.map()
        buffer = memoryview(view)
        view.close()
        for use in (lambda: view[0], lambda: view[:], lambda: memoryview(view), lambda: view.address, lambda: bytes(view)):
            with pytest.raises(namedshm.ClosedHandle, match=name):
                use()
        with pytest.raises(namedshm.ClosedHandle):
            view[0] = 1
        assert buffer[0] == 0


def test_a_numpy_array_outlives_view_and_handle(name: str, other: Peer) -> None:
    numpy = pytest.importorskip("numpy")
    section = namedshm.create(name, 8000)
    view = section.map()
    array = numpy.frombuffer(view, dtype=numpy.float64)
    array[:] = numpy.arange(1000)
    other.do("import struct; s = namedshm.open(name); v = s.map()", name=name)
    assert other.do("struct.unpack_from('d', v, 8 * 999)") == (999.0,)
    view.close()
    section.close()
    other.do("struct.pack_into('d', v, 0, 5.5); s.close()")
    assert array[0] == 5.5
    assert array.sum() == 1000 * 999 / 2 + 5.5


def test_the_memory_goes_with_the_last_buffer(name: str, other: Peer) -> None:
    other.do("s = namedshm.create(name, 100); b = memoryview(s.map()); s.close(); b[0] = 7; b[0]")
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    # that it is really unmapped is checked when the peer is used again
    assert other.do("b[0]") == 7


def test_struct_int_and_bytes_functions_take_a_view_as_a_buffer(name: str) -> None:
    import array
    import struct
    import zlib

    with namedshm.create(name, 64) as section:
        view = section.map()
        struct.pack_into("<4i", view, 0, 1, 2, 3, 4)
        assert struct.unpack_from("<4i", view) == (1, 2, 3, 4)
        assert bytes(view)[:4] == b"\1\0\0\0"
        assert bytearray(view)[:4] == b"\1\0\0\0"
        assert zlib.crc32(view) == zlib.crc32(bytes(view))
        assert array.array("i", bytes(view))[:4].tolist() == [1, 2, 3, 4]
        assert memoryview(view).cast("i")[3] == 4
        assert b"".join([view]) == bytes(view)


def test_files_read_into_and_write_from_a_view(name: str, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "file"
    path.write_bytes(b"0123456789")
    with namedshm.create(name, 10) as section:
        view = section.map()
        with path.open("rb", buffering=0) as file:
            assert file.readinto(view) == 10
        assert view[:] == b"0123456789"
        view[:2] = b"ab"
        with path.open("wb") as file:
            file.write(view)
    assert path.read_bytes() == b"ab23456789"


# ------------------------------------------------------------------------------------------------------------ the objects
def test_a_section_tells_what_it_is(name: str) -> None:
    with namedshm.create(f"Local\\{name}", 100) as section:
        assert section.name == f"Local\\{name}"
        assert section.size == 100
        assert section.access == "write"
        assert section.created
        assert not section.closed
        assert section.identity != 0
        assert repr(section) == f"<namedshm.Section section 'Local\\\\{name}': 100 bytes, write>"
    assert repr(section) == f"<namedshm.Section section 'Local\\\\{name}': 100 bytes, closed>"
    assert "unnamed" in repr(namedshm.create(None, 1))


def test_a_view_tells_what_it_is(name: str) -> None:
    with namedshm.create(name, SIZE) as section:
        view = section.map(GRANULARITY, 50, "read")
        assert (view.access, view.offset, len(view), view.readonly, view.closed) == ("read", GRANULARITY, 50, True, False)
        assert view.address % PAGE == 0
        assert repr(view) == f"<namedshm.View of section '{name}': 50 bytes at offset 65536, read>"
        view.close()
        assert repr(view) == f"<namedshm.View of section '{name}': 50 bytes at offset 65536, closed>"


def test_each_object_has_an_identity_that_all_its_handles_share(name: str, other: Peer) -> None:
    identities = set()
    for _ in range(20):
        with namedshm.create(name, 100) as section:
            identities.add(section.identity)
            assert section.duplicate().identity == section.identity
            assert other.do("s = namedshm.open(name); i = s.identity; s.close(); i") == section.identity
    assert len(identities) == 20
    assert 0 not in identities


def test_sections_work_from_many_threads(name: str) -> None:
    errors: list[BaseException] = []

    def use(number: int) -> None:
        with contextlib.ExitStack() as stack:
            try:
                for turn in range(50):
                    with namedshm.open(name) as mine, mine.map() as view:
                        view[number] = turn
                        assert view[number] == turn
                    with section.map() as view:
                        assert view[number] == turn
                    with section.duplicate("read") as twin, twin.map() as view:
                        assert view[number] == turn
                stack.pop_all()
            except BaseException as error:
                errors.append(error)

    with namedshm.create(name, 100) as section:
        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


# ------------------------------------------------------------------------------------------------------------ listing
def test_what_lives_is_listed_and_what_is_gone_is_not(name: str, other: Peer) -> None:
    with namedshm.create(name, 12345), namedshm.create(f"Global\\{name}", 7):
        other.do("s = namedshm.open(name)")
        listed = {info.name: info for info in namedshm.list_objects()}
        assert listed[name].type == "section"
        assert listed[name].size in (12345, _pages(12345))
        assert f"Global\\{name}" in listed
        assert namedshm.describe(f"Local\\{name}").name == name
        assert {name, f"Global\\{name}"} <= set(other.do("[info.name for info in namedshm.list_objects()]"))
    other.do("s.close()")
    assert name not in {info.name for info in namedshm.list_objects()}
    with pytest.raises(namedshm.NotFound, match=name):
        namedshm.describe(name)


def test_looking_keeps_nothing_alive(name: str) -> None:
    section = namedshm.create(name, 100)
    infos = namedshm.list_objects()
    section.close()
    assert any(info.name == name for info in infos)
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


# ------------------------------------------------------------------------------------------------------------ flush
def test_flushing_memory_is_a_success_without_effect(name: str) -> None:
    view = w.MapViewOfFile(_create(w.PAGE_READWRITE, name, SIZE), w.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    w.SetLastError(77)
    assert w.FlushViewOfFile(view, 0)
    assert w.FlushViewOfFile(view, 100)
    assert w.GetLastError() == 77 or on_wine
    w.UnmapViewOfFile(view)
    assert not w.FlushViewOfFile(view, 0)
    assert w.GetLastError() == 487


def test_flush_checks_its_range(name: str) -> None:
    with namedshm.create(name, 100) as section:
        view = section.map()
        view.flush()
        view.flush(50)
        view.flush(0, 100)
        view.flush(100)
        for offset, length in ((-1, 1), (0, 101), (101, 0), (50, 51), (0, -1)):
            with pytest.raises(namedshm.InvalidArgument):
                view.flush(offset, length)
        view.close()
        with pytest.raises(namedshm.ClosedHandle):
            view.flush()
