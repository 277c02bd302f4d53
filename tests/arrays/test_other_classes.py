"""Arrays of NumPy's own classes in a section go to other processes by name, however they were made."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
from helpers.extras import needs
from helpers.facts import has_fork, on_linux, on_wine
from helpers.peer import Peer, born

import namedshm
from namedshm import arrays, shared_memory


class Mine(np.ndarray):
    """A class somebody derived from ndarray."""


class Ours(arrays.NamedArray):
    """One somebody derived from NamedArray."""


#: Made of an array `a` of (100, 50) numbers, a structured one `r` of 1000, a block of the drop-in, and a section.
SUBCLASSES = {
    "record array": "r.view(np.recarray)",
    "record array by np.rec": "np.rec.array(r, copy=False)",
    "fields of a record array": "r.view(np.recarray).x",
    "matrix": "a.view(np.matrix)",
    "matrix by asmatrix": "np.asmatrix(a)[3:]",
    "masked array": "np.ma.array(a, copy=False)",
    "masked view": "a.view(np.ma.MaskedArray)[::2]",
    "masked array of a plain one": "np.ma.array(np.asarray(a), copy=False)",
    "record array in a block": "np.ndarray(1000, r.dtype, block.buf).view(np.recarray)",
    "own class derived from NamedArray": "a.view(Ours)",
}
PLAIN = {
    "asarray": "np.asarray(a)",
    "transposed": "np.asarray(a)[::-1].T",
    "field": "np.asarray(r)['y']",
    "broadcast": "np.broadcast_to(a[0], (100, 50))",
    "strides": "np.lib.stride_tricks.as_strided(a, (50, 50))",
    "windows": "np.lib.stride_tricks.sliding_window_view(a, (2, 2))",
    "memoryview of an array": "np.asarray(memoryview(a))",
    "block": "np.ndarray((1000,), 'f8', buffer=block.buf)",
    "part of a block": "np.frombuffer(block.buf[800:8800]).reshape(10, 100)",
    "view": "np.frombuffer(section.map())",
    "view at an offset": "np.frombuffer(section.map(65536), 'i4')",
    "part of a view": "np.asarray(memoryview(section.map())[8:].cast('d'))[3:]",
    "own class": "np.frombuffer(section.map()).view(Mine)",
}


@pytest.fixture
def places(name: str) -> Iterator[dict[str, Any]]:
    block = shared_memory.SharedMemory(f"{name}-b", create=True, size=1000 * 20)
    with namedshm.create(f"{name}-s", 2 * 65536) as section:
        yield {
            "np": np, "Mine": Mine, "Ours": Ours, "block": block, "section": section,
            "a": arrays.create(f"{name}-a", (100, 50)),
            "r": arrays.create(f"{name}-r", 1000, [("x", "f8"), ("y", "i4", (3,))]),
        }  # fmt: skip
    block.close()
    block.unlink()


@pytest.fixture
def other(peers: Callable[[], Peer]) -> Peer:
    peer = peers()
    peer.do("import pickle, sys, numpy as np")
    return peer


def by_name(other: Peer, sent: Any, whole: Any, data: bytes) -> None:
    assert len(data) < 600
    assert other.do("b = pickle.loads(data); (type(b).__name__, b.shape, b.strides, repr(b.dtype))", data=data) == (
        type(sent).__name__,
        sent.shape,
        sent.strides,
        repr(sent.dtype),
    )
    if sent.flags.writeable:
        other.do("b.view(np.ndarray)[...] = np.ones(1, b.dtype)")
    else:
        assert not other.do("b.flags.writeable")
        other.do("w = pickle.loads(data)", data=bytes(ForkingPickler.dumps(whole)))
        other.do("w[...] = 1")
        assert other.do("bool((b == 1).all())")
    assert (np.asarray(sent) == np.ones(1, sent.dtype)).all()
    other.do("b = w = None")


@pytest.mark.parametrize("made", [*SUBCLASSES.values(), *PLAIN.values()], ids=[*SUBCLASSES, *PLAIN])
def test_between_processes_every_array_in_a_section_goes_by_name(places: dict[str, Any], other: Peer, made: str) -> None:
    if "Mine" in made or "Ours" in made:
        other.do("from arrays import test_other_classes")
    sent = eval(made, places)
    by_name(other, sent, places["a"], bytes(ForkingPickler.dumps(sent)))


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("made", SUBCLASSES.values(), ids=SUBCLASSES)
def test_subclasses_go_by_name_in_any_pickle(places: dict[str, Any], other: Peer, made: str, protocol: int) -> None:
    if "Ours" in made:
        other.do("from arrays import test_other_classes")
    sent = eval(made, places)
    if type(sent) is np.ndarray:
        pytest.skip("this is no subclass")
    by_name(other, sent, places["a"], pickle.dumps(sent, protocol))


def test_a_masked_array_goes_with_its_mask(name: str, other: Peer) -> None:
    data = arrays.create(f"{name}-data", (200, 300))
    mask = arrays.create(f"{name}-mask", (200, 300), bool)
    sent = np.ma.MaskedArray(data, mask=mask, copy=False, fill_value=-5, hard_mask=True)
    pickled = pickle.dumps(sent)
    assert len(pickled) < 1000
    assert other.do("m = pickle.loads(data); type(m).__name__, float(m.fill_value), m.hardmask", data=pickled) == (
        "MaskedArray",
        -5,
        True,
    )
    other.do("m[0, 0] = 7; m[1] = np.ma.masked")
    assert data[0, 0] == 7
    assert mask[1].all()
    assert sent[1].count() == 0
    private = np.ma.MaskedArray(np.zeros((200, 300)), mask=mask, copy=False)
    other.do("m = pickle.loads(data); m[2] = np.ma.masked", data=pickle.dumps(private))
    assert mask[2].all()
    half = np.ma.array(data, mask=np.eye(200, 300), copy=False)  # the mask is in private memory
    assert other.do("m = pickle.loads(data); m[5, :5] = 1; m.mask.sum().item()", data=pickle.dumps(half)) == 200
    assert data[5].sum() == 5


def test_private_arrays_of_these_classes_travel_as_ever(name: str) -> None:
    array = arrays.create(name, 1000, [("x", "f8"), ("y", "i4")])
    for private in (
        np.rec.array(array),
        array.view(np.recarray).copy(),
        np.ma.array([1.0, 2.0], mask=[True, False], fill_value=3),
        np.asmatrix([[1, 2]]),
        np.arange(5),
        np.array([object, None]),
    ):
        for data in pickle.dumps(private), bytes(ForkingPickler.dumps(private)):
            back = pickle.loads(data)
            assert type(back) is type(private)
            assert repr(back) == repr(private)
            assert b"namedshm" not in data
    kept: list[pickle.PickleBuffer] = []
    data = pickle.dumps(np.asarray(array), 5, buffer_callback=kept.append)
    assert len(kept) == 1, "an ordinary array is pickled by NumPy, out of band"
    assert len(data) < 400


def test_copies_stay_copies(name: str) -> None:
    import copy

    array = arrays.create(name, (3, 4))
    for shared in array.view(np.matrix), np.ma.array(array, copy=False), np.asarray(array):
        for twin in copy.copy(shared), copy.deepcopy(shared):
            assert not np.shares_memory(twin, array)
            assert type(twin) is type(shared)


def test_what_nobody_could_open_goes_with_its_elements(name: str, other: Peer) -> None:
    with namedshm.create(name, 8000) as section:
        array = np.frombuffer(section.map())
        private = np.frombuffer(section.map(access="copy"))
        private[:] = 5
        array[:] = 4
        back = other.do("b = pickle.loads(data); b.sum().item()", data=bytes(ForkingPickler.dumps(private)))
        assert back == 5000
    data = bytes(ForkingPickler.dumps(array))  # the name is gone
    assert other.do("pickle.loads(data).sum().item()", data=data) == 4000
    with namedshm.create(name, 8000):  # and leads to another object
        assert other.do("pickle.loads(data).sum().item()", data=bytes(ForkingPickler.dumps(array))) == 4000
    with namedshm.create(None, 8000) as section:
        unnamed = np.frombuffer(section.map())
        assert other.do("pickle.loads(data).sum().item()", data=bytes(ForkingPickler.dumps(unnamed))) == 0


@pytest.mark.parametrize("kind", [np.recarray, np.matrix, np.ma.MaskedArray])
def test_what_is_gone_when_it_arrives_raises_at_its_first_use(name: str, other: Peer, kind: type) -> None:
    array = arrays.create(name, (10, 10))
    data = pickle.dumps(array.view(kind))
    array.close()
    del array
    other.do("b = pickle.loads(data)", data=data)
    with pytest.raises(namedshm.NotFound, match=name):
        other.do("b.sum()")


PROGRAM = """
import sys
{first}
import numpy as np
from namedshm import shared_memory
assert __name__ != "__main__" or ("multiprocessing" in sys.modules) is {loaded}
{second}

def work(array):
    array += 1

if __name__ == "__main__":
    block = shared_memory.SharedMemory(create=True, size=8_000_000)
    array = np.ndarray(1_000_000, float, block.buf)
    run(work, array)
    print(array.sum())
    block.close()
    block.unlink()
"""
POOL = """
import multiprocessing
def run(work, array):
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        pool.map(work, np.array_split(array, 4))
"""
EXECUTOR = """
def run(work, array):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(1) as pool:
        list(pool.map(work, array.reshape(4, -1)))
"""
JOBLIB = """
def run(work, array):
    from joblib import Parallel, delayed
    Parallel(2)(delayed(work)(part) for part in array.reshape(2, -1))
"""
PROGRAMS = {
    "spawn": ("", POOL.format(method="spawn")),
    "multiprocessing first": ("import multiprocessing.reduction", POOL.format(method="spawn")),
    "executor, imported last": ("", EXECUTOR),
    "joblib": ("", JOBLIB),
}
if has_fork:
    PROGRAMS["fork"] = ("", POOL.format(method="fork"))


@pytest.mark.parametrize("way", PROGRAMS)
def test_workers_write_what_is_in_a_block(way: str, tmp_path: Any) -> None:
    if way == "joblib":
        needs("joblib")
    if on_wine and "executor" in way:
        pytest.skip("Wine: an executor's thread waits for ever in its own pipe, without this package too")
    first, second = PROGRAMS[way]
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.format(first=first, second=second, loaded=bool(first)))
    process = subprocess.Popen(
        [sys.executable, str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    born.add(process.pid)
    output, complaints = process.communicate(timeout=100)
    assert (process.returncode, output) == (0, "1000000.0\n"), complaints


def test_a_data_frame_over_an_array_goes_by_name(name: str, other: Peer) -> None:
    pd = needs("pandas")
    array = arrays.create(name, (1000, 3), order="F")
    frame = pd.DataFrame(array, columns=list("abc"), copy=False)
    data = bytes(ForkingPickler.dumps(frame))
    assert len(data) < 5000
    array[:, 1] = 6
    assert other.do("pickle.loads(data)['b'].sum().item()", data=data) == 6000


IMPORTS = """
import sys
import namedshm
assert not {"multiprocessing", "numpy", "importlib.util"} & set(sys.modules), set(sys.modules)
before = list(sys.meta_path)
import multiprocessing.reduction as reduction
assert type(reduction.__loader__).__module__ == type(reduction.__spec__.loader).__module__ == "_frozen_importlib_external"
assert reduction.ForkingPickler.reducer_override.__module__ == "namedshm._pickling.arrays_by_name"
import inspect
assert "class ForkingPickler" in inspect.getsource(reduction)
try:
    import namedshm.no_such_module
except ModuleNotFoundError:
    print("done")
"""


def test_the_hook_costs_no_import_and_leaves_modules_as_they_are() -> None:
    process = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=False)
    assert (process.stdout, process.stderr) == ("done\n", "")


# ------------------------------------------------------------------------------------------------------------ core dumps
def _flags(address: int) -> set[str]:
    """VmFlags of the mapping there."""
    here = False
    with open("/proc/self/smaps", encoding="ascii") as file:
        for line in file:
            if line[0] in "0123456789abcdef":
                low, high = (int(text, 16) for text in line.split()[0].split("-"))
                here = low <= address < high
            elif here and line.startswith("VmFlags:"):
                return set(line.split()[1:])
    raise AssertionError(f"nothing is mapped at {address:#x}")


@pytest.mark.skipif(not on_linux, reason="core dumps are of Unix")
def test_large_sections_are_no_part_of_core_dumps_and_small_ones_are(name: str) -> None:
    large, small = arrays.create(f"{name}-large", 1 << 20), arrays.create(f"{name}-small", 1000)
    views = [large, large[5:], arrays.open(f"{name}-large"), arrays.open(f"{name}-large", "read")]
    views.append(arrays.open(f"{name}-large", "copy"))
    for array in views:
        assert "dd" in _flags(array.ctypes.data)
    assert "dd" not in _flags(small.ctypes.data)


CRASH = """
import os, resource, sys
from namedshm import arrays
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
os.chdir(sys.argv[1])
large = arrays.create(None, (64 << 20) // 8)
large[:] = 1
os.abort()
"""


@pytest.mark.skipif(not on_linux, reason="core dumps are of Unix")
def test_a_core_dump_has_no_large_array_in_it(tmp_path: Any) -> None:
    import resource

    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        pattern = file.read().strip()
    if "/" in pattern or pattern.startswith("|") or resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip(f"core dumps do not come here (kernel.core_pattern is {pattern!r})")
    process = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], timeout=60, check=False)
    assert process.returncode < 0
    (core,) = tmp_path.iterdir()
    assert 1 << 20 < os.stat(core).st_blocks * 512 < 48 << 20
    core.unlink()
