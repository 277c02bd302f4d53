"""SharedMemory: what is true of both libraries, then what is true of ours alone."""

from __future__ import annotations

import gc
import importlib.util
import inspect
import multiprocessing.shared_memory
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from helpers.facts import has_fork, on_linux, on_windows
from helpers.peer import Peer, run_python
from helpers.worker import end_as_maker

import namedshm
from namedshm import shared_memory
from namedshm.shared_memory import SharedMemory

from .conftest import Library

STANDARD = multiprocessing.shared_memory
PAGE = 4096  # on Windows the standard library tells whole pages where a block was opened


# ------------------------------------------------------------------------------------------------------------ both
def test_a_block_is_created_by_one_and_opened_by_name_by_another(library: Library, name: str) -> None:
    block = library.block(name, create=True, size=100)
    block.buf[:5] = b"hello"
    again = library.block(name)
    assert bytes(again.buf[:5]) == b"hello"
    again.buf[99] = 9
    assert block.buf[99] == 9


def test_a_block_tells_its_name_and_size(library: Library, name: str) -> None:
    block = library.block(name=name, create=True, size=100)
    assert (block.name, repr(block), str(block)) == (name, f"SharedMemory({name!r}, size=100)", f"SharedMemory({name!r}, size=100)")
    assert block.size == 100
    with pytest.raises(AttributeError):
        block.size = 1
    with pytest.raises(AttributeError):
        block.name = "other"
    with pytest.raises(AttributeError):
        block.buf = b""


def test_buf_is_a_flat_writable_memoryview_of_bytes(library: Library) -> None:
    buf = library.block(None, True, 10).buf
    assert type(buf) is memoryview
    assert (buf.format, buf.itemsize, buf.ndim, buf.readonly, buf.contiguous) == ("B", 1, 1, False, True)
    assert bytes(buf[:10]) == bytes(10)
    with pytest.raises(ValueError):  # noqa: PT011 - each library has its own text
        buf[0:5] = b"longer than that"


def test_buf_is_the_same_object_each_time(library: Library) -> None:
    block = library.block(create=True, size=10)
    assert block.buf is block.buf


def test_without_a_name_each_block_has_one_of_its_own(library: Library) -> None:
    blocks = [library.block(create=True, size=1) for _ in range(10)]
    names = {block.name for block in blocks}
    assert len(names) == 10
    for block in blocks:
        assert library.block(block.name).name == block.name


def test_a_name_that_was_made_up_but_is_held_is_not_taken(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix, held = library.module._SHM_NAME_PREFIX, f"{library.module._make_filename()}"
    free = f"{prefix}{held[len(prefix) :]}x"
    first = library.block(held.lstrip("/"), create=True, size=1)
    monkeypatch.setattr(library.module, "_make_filename", iter([held, held, free]).__next__)
    assert library.block(create=True, size=1).name == free.lstrip("/")
    assert library.block(first.name).name == first.name


def test_creating_under_a_name_that_is_held_is_a_file_exists_error(library: Library, name: str) -> None:
    keep = library.block(name, create=True, size=10)
    with pytest.raises(FileExistsError) as caught:
        library.block(name, create=True, size=10)
    assert caught.value.errno == 17
    assert keep.buf[0] == 0


def test_opening_a_name_nobody_holds_is_a_file_not_found_error(library: Library, name: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        library.block(name)
    assert caught.value.errno == 2


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        ((None,), {}),
        ((None, False, 10), {}),
        ((), {"create": True}),
        ((), {"create": True, "size": 0}),
        ((), {"create": True, "size": -1}),
        (("x", True, -5), {}),
        (("nobody-holds-this", False, -1), {}),
    ],
)
def test_no_name_to_open_and_no_size_to_create_are_value_errors(library: Library, arguments: Any, options: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each library has its own text
        library.block(*arguments, **options)


@pytest.mark.parametrize(("arguments"), [(b"bytes", True, 1), (5, False), (None, True, "1"), (None, True, None), (None, True, 1.5)])
def test_arguments_of_a_wrong_type_are_type_errors(library: Library, arguments: Any) -> None:
    if on_windows and not library.ours:
        pytest.skip("on Windows the standard library fails in other ways, each argument in its own")
    if 1.5 in arguments and not library.ours:
        pytest.skip("the standard library raises it too late, and leaves a block behind")
    with pytest.raises(TypeError):
        library.block(*arguments)


def test_a_size_is_ignored_where_the_block_is_opened(library: Library, name: str) -> None:
    keep = library.block(name, create=True, size=PAGE)
    for size in (0, 1, 100, 10_000):
        assert library.block(name, size=size).size == keep.size


def test_a_size_is_anything_with_an_index(library: Library) -> None:
    class Ten:
        def __index__(self) -> int:
            return 10

        def __ge__(self, other: int) -> bool:
            return other <= 10

    if on_windows and not library.ours:
        pytest.skip("on Windows the standard library shifts the size")
    assert library.block(create=True, size=Ten()).size == 10


def test_after_close_there_is_no_buffer_but_name_size_and_repr(library: Library, name: str) -> None:
    block = library.block(name, create=True, size=10)
    block.close()
    assert block.buf is None
    assert (block.name, block.size, repr(block)) == (name, 10, f"SharedMemory({name!r}, size=10)")
    block.close()


def test_closed_and_unlinked_the_name_is_free(library: Library, name: str) -> None:
    for size in (PAGE, 2 * PAGE):
        block = library.block(name, create=True, size=size)
        other = library.block(name)
        assert other.size == block.size
        other.close()
        block.close()
        block.unlink()
        with pytest.raises(FileNotFoundError):
            library.block(name)


@pytest.mark.skipif(on_windows, reason="there the standard library's unlink() does nothing")
def test_unlinked_and_then_closed_the_name_is_free_and_until_then_the_memory_there(library: Library, name: str) -> None:
    block = library.block(name, create=True, size=10)
    block.unlink()
    block.buf[3] = 3
    with pytest.raises(FileNotFoundError):
        library.block(name)
    again = library.block(name, create=True, size=10)
    assert (again.buf[3], block.buf[3]) == (0, 3)
    block.close()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_sends_the_name(library: Library, protocol: int) -> None:
    block = library.block(create=True, size=2 * PAGE)
    block.buf[:5] = b"hello"
    data = pickle.dumps(block, protocol)
    assert b"hello" not in data
    twin = pickle.loads(data)
    assert type(twin) is library.module.SharedMemory
    assert (twin.name, twin.size) == (block.name, block.size)
    twin.buf[:5] = b"there"
    assert bytes(block.buf[:5]) == b"there"
    twin.close()
    block.close()
    block.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data).buf[0]  # the standard library's raises in loads(), ours when it is used


class _Ours(SharedMemory):
    pass


class _Standard(STANDARD.SharedMemory):
    pass


def test_a_subclass_is_pickled_as_what_it_is_and_named_in_its_repr(library: Library, name: str) -> None:
    kind = _Ours if library.ours else _Standard
    block = kind(name, True, PAGE)
    library.made.append(block)
    twin = pickle.loads(pickle.dumps(block))
    assert type(twin) is kind
    assert repr(twin) == f"{kind.__name__}({name!r}, size={PAGE})"
    twin.close()
    library.made.remove(block) if library.ours else None


@pytest.mark.skipif(not on_linux, reason="shm_open(3) is behind this")
def test_a_leading_slash_does_not_count(library: Library, name: str) -> None:
    block = library.block("/" + name, create=True, size=10)
    assert block.name == "/" + name
    block.buf[0] = 1
    assert library.block(name).buf[0] == 1
    assert library.block("/" + name).buf[0] == 1


def test_another_process_opens_the_block_and_writes(library: Library, name: str, peers: Callable[[], Peer]) -> None:
    block = library.block(name, create=True, size=100)
    peer = peers()
    peer.do(
        "import types, multiprocessing.shared_memory as m\n"
        "m.resource_tracker = types.SimpleNamespace(register=lambda n, k: None, unregister=lambda n, k: None)"
    )
    block.buf[0] = 7
    assert peer.do(f"{library.import_line}\nb = shared_memory.SharedMemory(name); b.buf[0]", name=name) == 7
    peer.do("b.buf[1] = 8; b.close()")
    assert block.buf[1] == 8


def test_arguments_are_those_of_the_standard_library() -> None:
    ours = inspect.signature(SharedMemory).parameters
    assert [(p.name, p.kind.name, p.default) for p in ours.values()] == [
        ("name", "POSITIONAL_OR_KEYWORD", None),
        ("create", "POSITIONAL_OR_KEYWORD", False),
        ("size", "POSITIONAL_OR_KEYWORD", 0),
        ("track", "KEYWORD_ONLY", True),  # 3.13 and newer
        ("reserve", "KEYWORD_ONLY", False),  # ours
    ]
    for parameter in inspect.signature(STANDARD.SharedMemory).parameters.values():
        mine = ours[parameter.name]
        assert (mine.kind, mine.default) == (parameter.kind, parameter.default)


@pytest.mark.parametrize("kind", ["SharedMemory", "ShareableList"])
def test_everything_public_of_the_standard_library_is_there(kind: str) -> None:
    theirs, ours = getattr(STANDARD, kind), getattr(shared_memory, kind)
    missing = {item for item in vars(theirs) if not item.startswith("_")} - set(dir(ours))
    assert not missing
    assert set(STANDARD.__all__) <= set(shared_memory.__all__)
    for item in ("__reduce__", "__repr__") + (
        ("__del__",) if kind == "SharedMemory" else ("__len__", "__getitem__", "__setitem__")
    ):
        assert item in vars(ours)


# ------------------------------------------------------------------------------------------------------------ lifetime
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_nothing_is_left_when_the_last_process_ends(
    end: str, name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]
) -> None:
    code = "from namedshm.shared_memory import SharedMemory, ShareableList\n"
    creator, user = peers(), peers()
    creator.do(f"{code}b = SharedMemory(name, create=True, size=100); l = ShareableList([1, 2], name=name + 'l')", name=name)
    user.do(f"{code}b = SharedMemory(name); l = ShareableList(name=name + 'l'); a = b.buf[5:]", name=name)
    leave = Peer.kill if end == "kill" else Peer.close
    leave(creator)
    assert user.do("b.buf[0] = 1; b.buf[0], l[1]") == (1, 2)
    assert not gone(name)
    leave(user)
    assert gone(name)
    assert gone(name + "l")


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_child_has_a_handle_and_a_buffer_of_its_own(
    name: str, peers: Callable[[], Peer], gone: Callable[[str], bool], tmp_path: Any
) -> None:
    parent = peers()
    parent.do("from namedshm.shared_memory import SharedMemory\nb = SharedMemory(name, create=True, size=10)", name=name)
    with parent.fork(tmp_path) as child:
        parent.kill()
        assert not gone(name)
        child.do("b.buf[0] = 4")
        assert SharedMemory(name).buf[0] == 4
        child.do("b.close()")  # it did not make the block
        assert gone(name)


def test_buffers_outlive_the_handle(name: str, gone: Callable[[str], bool]) -> None:
    block = SharedMemory(name, create=True, size=100)
    whole, part = block.buf, block.buf[10:20]
    block.close()
    assert block.buf is None
    block.unlink()
    assert gone(name)
    part[0] = 1
    assert whole[10] == 1


def test_the_memory_goes_with_the_last_buffer(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()  # when it is given back it is checked that nothing is mapped that nobody refers to
    peer.do(
        "from namedshm.shared_memory import SharedMemory\n"
        "b = SharedMemory(name, create=True, size=100); part = b.buf[1:][1:]; b.close(); part[0] = 1; part.release()",
        name=name,
    )


ARRAYS = {
    "numpy.ndarray": "import numpy; array = numpy.ndarray((10_000,), numpy.uint8, buffer=block.buf)",
    "numpy.frombuffer": "import numpy; array = numpy.frombuffer(block.buf, numpy.uint8)",
    "numpy.asarray": "import numpy; array = numpy.asarray(block.buf)",
    "a slice of a slice": "import numpy; array = numpy.ndarray((10_001,), numpy.uint8, buffer=block.buf[:10_001])[0:10_000]",
    "torch.frombuffer": "import torch; array = torch.frombuffer(block.buf, dtype=torch.uint8)",
    "ctypes": "import ctypes; array = (ctypes.c_ubyte * 10_000).from_buffer(block.buf)",
    "memoryview": "array = block.buf.cast('b')",
}


@pytest.mark.parametrize("how", ARRAYS)
@pytest.mark.parametrize("end", ["block.close()", "block.close(); block.unlink()", "block.unlink(); block.close()", "del block"])
def test_an_array_outlives_the_block_it_was_made_of(how: str, end: str, name: str, peers: Callable[[], Peer]) -> None:
    """In another process: with the standard library most of these end it by SIGSEGV, or raise BufferError."""
    library = ARRAYS[how].split(";")[0].removeprefix("import ")
    if library in ("numpy", "torch") and importlib.util.find_spec(library) is None:  # the other process imports it
        pytest.skip(f"needs {library}")
    watcher = peers()
    user = peers()
    user.do(
        f"from namedshm.shared_memory import SharedMemory\nblock = SharedMemory(name, create=True, size={10 * PAGE})", name=name
    )
    watcher.do("v = namedshm.open(name).map()", name=name)
    assert user.do(f"{ARRAYS[how]}; array[9_999] = 7; {end}; array[5000] = 5; (int(array[9_999]), int(array[5000]))") == (7, 5)
    assert watcher.do("v[9_999], v[5000]") == (7, 5)


def test_close_never_raises_with_exported_pointers(name: str) -> None:
    block = SharedMemory(name, create=True, size=100)
    exported = memoryview(block.buf)[5:]
    block.close()
    exported[0] = 1
    assert block.buf is None


# ------------------------------------------------------------------------------------------------------------ the rest
@pytest.mark.parametrize("size", [1, 10, PAGE - 1, PAGE, PAGE + 1, 100_001])
def test_sizes_are_exact_also_where_the_block_is_opened(size: int, name: str, peers: Callable[[], Peer]) -> None:
    block = SharedMemory(name, create=True, size=size)
    assert (block.size, len(block.buf)) == (size, size)
    code = "from namedshm.shared_memory import SharedMemory\nb = SharedMemory(name); (b.size, len(b.buf))"
    assert peers().do(code, name=name) == (size, size)


def test_a_block_is_the_section_of_its_name(name: str) -> None:
    block = SharedMemory(name, create=True, size=100)
    block.buf[0] = 1
    with namedshm.open(name) as section, section.map() as view:
        assert (section.size, view[0]) == (100, 1)
    block.unlink()
    with namedshm.create(rf"Local\{name}", 50) as section:
        section.map()[0] = 2
        assert SharedMemory(name).buf[0] == 2
        assert SharedMemory(rf"Local\{name}").size == 50


@pytest.mark.skipif(not on_linux, reason="Windows counts all of a section's memory when it is made")
def test_a_reserved_block_may_be_larger_than_the_memory_there_is(name: str, peers: Callable[[], Peer]) -> None:
    size = 4 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with pytest.raises(MemoryError, match="none aside"):
        SharedMemory(name, create=True, size=size)
    block = SharedMemory(name, create=True, size=size, reserve=True)
    block.buf[-1] = 1
    peer = peers()
    peer.do("from namedshm.shared_memory import SharedMemory; b = SharedMemory(name)", name=name)
    assert peer.do("(b.size, b.buf[-1])") == (size, 1)
    block.unlink()


@pytest.mark.skipif(not on_windows, reason="elsewhere the standard library has names of its own")
def test_a_program_with_the_other_import_line_meets_the_same_blocks_and_lists(name: str) -> None:
    ours, theirs = SharedMemory(name, create=True, size=PAGE), STANDARD.SharedMemory(name)
    theirs.buf[0] = 5
    assert ours.buf[0] == 5
    items = shared_memory.ShareableList([1, "two", b"three\0", None])
    other = STANDARD.ShareableList(name=items.shm.name)
    assert list(other) == [1, "two", b"three", None]  # it takes NUL off
    other[0] = 2.5
    assert items[0] == 2.5
    made = STANDARD.ShareableList(["there", 5], name=name + "l")
    assert list(shared_memory.ShareableList(name=name + "l")) == ["there", 5]
    for block in (theirs, other.shm, made.shm):
        block.close()


def test_unpickling_refuses_another_block_of_the_same_name(name: str, gone: Callable[[str], bool]) -> None:
    block = SharedMemory(name, create=True, size=10)
    data = pickle.dumps(block)
    block.unlink()
    again = SharedMemory(name, create=True, size=10)
    with pytest.raises(namedshm.StaleObject, match=name):
        pickle.loads(data).close()
    again.close()
    end_as_maker()
    assert gone(name)  # the refusal kept no handle


def test_a_closed_block_is_pickled_by_name_as_long_as_somebody_holds_it(name: str) -> None:
    block = SharedMemory(name, create=True, size=10)
    twin = SharedMemory(name)
    block.close()
    twin.buf[0] = 3
    assert pickle.loads(pickle.dumps(block)).buf[0] == 3


@pytest.mark.parametrize("wrong", ["", "/", "a\0b", "x" * 260, "Global\\", "Nonsense\\x"])
@pytest.mark.parametrize("create", [True, False])
def test_a_name_that_cannot_be_is_a_value_error_that_says_so(wrong: str, create: bool) -> None:
    with pytest.raises(namedshm.InvalidName):
        SharedMemory(wrong, create=create, size=10)


def test_errors_are_the_builtins_of_the_standard_library_and_say_what_to_do(name: str) -> None:
    with pytest.raises(namedshm.NotFound, match=f"{name}.*create it first"):
        SharedMemory(name)
    keep = SharedMemory(name, create=True, size=1)
    for advice in (name, "without create=True.*unlink()"):
        with pytest.raises(namedshm.AlreadyExists, match=advice) as caught:
            SharedMemory(keep.name, create=True, size=1)
        assert "exist_ok" not in str(caught.value)
        assert (caught.value.filename, pickle.loads(pickle.dumps(caught.value)).filename) == (name, name)
    with pytest.raises(namedshm.InvalidArgument, match="create=True"):
        SharedMemory()
    with pytest.raises(namedshm.OutOfResources):
        SharedMemory(create=True, size=1 << 60)
    with namedshm.Mutex(name + "m"), pytest.raises(namedshm.WrongType):
        SharedMemory(name + "m")


@pytest.mark.parametrize("track", [True, False])
def test_tracking_is_accepted_and_means_nothing(track: bool, name: str, gone: Callable[[str], bool]) -> None:
    block = SharedMemory(name, True, 10, track=track)
    assert SharedMemory(name, track=not track).size == 10
    block.close()
    end_as_maker()
    assert gone(name)


def test_an_instance_that_was_never_made_is_no_trouble() -> None:
    block = SharedMemory.__new__(SharedMemory)
    assert block.buf is None
    block.close()
    block.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory("nobody-holds-this")
    gc.collect()


def test_threads_that_create_and_close_at_once_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> bool:
        for _ in range(50):
            block = SharedMemory(create=True, size=100)
            block.buf[:2] = number.to_bytes(2, "little")
            twin = SharedMemory(block.name)
            assert bytes(twin.buf[:2]) == number.to_bytes(2, "little")
            twin.close()
            block.close()
            block.unlink()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_importing_it_loads_neither_multiprocessing_nor_anything_else_that_is_slow() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from namedshm import shared_memory\n"
        "b = shared_memory.SharedMemory(create=True, size=10); l = shared_memory.ShareableList([1, 'x', None]); list(l)\n"
        "print(sorted(set(sys.modules) - before))\n"
        "shared_memory.SharedMemoryManager\n"
        "assert 'namedshm.managers' in sys.modules"
    )
    new = set(eval(run_python(code)))
    assert "namedshm.managers" not in new
    slow = {"multiprocessing", "typing", "mmap", "secrets", "random", "hashlib", "tempfile", "subprocess", "threading", "pickle"}
    if on_linux:
        assert not new & slow
    assert not {module for module in new if module.startswith("multiprocessing")}


def test_the_module_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match=r"namedshm\.shared_memory"):
        shared_memory.nonsense  # noqa: B018


def test_annotations_can_name_the_types() -> None:
    assert sys.version_info >= (3, 11)
    assert shared_memory.ShareableList[int].__args__ == (int,)  # type: ignore[attr-defined]
