"""Other libraries over the same memory: what they take from a named array is not copied, and keeps the name."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.names import gone
from helpers.peer import Peer, born

from namedshm import arrays

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "torch_loader.py"


@pytest.fixture
def array(name: str) -> Iterator[arrays.NamedArray]:
    array = arrays.create(name, (4, 5), "f4")
    array[...] = np.arange(20).reshape(4, 5)
    yield array
    array.close()


# ------------------------------------------------------------------------------------------------------------ NumPy's protocols
TAKERS = {
    "buffer": lambda a: np.frombuffer(memoryview(a).cast("B"), "f4").reshape(4, 5),
    "array interface": lambda a: np.asarray(type("Any", (), {"__array_interface__": a.__array_interface__, "keep": a})()),
    "array struct": lambda a: np.asarray(type("Any", (), {"__array_struct__": a.__array_struct__, "keep": a})()),
    "dlpack": np.from_dlpack,
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_every_protocol_gives_the_same_memory(name: str, array: arrays.NamedArray, take: Callable) -> None:
    taken = take(array)
    assert np.shares_memory(taken, array)
    arrays.open(name)[2, 3] = 77
    assert taken[2, 3] == 77


def test_what_is_read_only_is_handed_on_as_numpy_hands_it_on(name: str, array: arrays.NamedArray) -> None:
    reading = arrays.open(name, "read")
    assert memoryview(reading).readonly
    assert reading.__array_interface__["data"][1] is True
    assert not np.asarray(memoryview(reading)).flags.writeable
    frozen = np.arange(3.0)
    frozen.flags.writeable = False
    for read_only in frozen, reading:
        try:
            assert not np.from_dlpack(read_only).flags.writeable
        except BufferError:  # NumPy before 2.1
            assert np.lib.NumpyVersion(np.__version__) < "2.1.0"


# ------------------------------------------------------------------------------------------------------------ torch
@pytest.fixture
def torch():
    return needs("torch")


@pytest.mark.parametrize("way", ["from_numpy", "from_dlpack", "as_tensor"])
def test_a_tensor_is_the_same_memory_and_keeps_the_name(name: str, torch, way: str) -> None:
    array = arrays.create(name, (4, 5), "f4")
    tensor = getattr(torch, way)(array)
    assert tensor.data_ptr() == array.ctypes.data
    tensor[1, 2] = 42
    assert arrays.open(name)[1, 2] == 42
    part = tensor[1:].T
    del array, tensor
    assert not gone(name)
    assert part[2, 0] == 42
    del part
    assert gone(name)


def test_two_processes_share_a_tensor_by_name(name: str, torch, peers: Callable[[], Peer]) -> None:
    tensor = torch.from_numpy(arrays.publish(name, torch.arange(10.0)))
    peer = peers()
    peer.do("import torch; from namedshm import arrays; t = torch.from_numpy(arrays.open(name))", name=name)
    assert peer.do("t.sum().item()") == 45
    peer.do("t.mul_(2)")
    assert tensor.sum() == 90
    tensor.zero_()
    assert peer.do("t.sum().item()") == 0
    peer.close()  # torch in a process that is used again would slow the others down


def test_torch_warns_of_read_only_memory(name: str, torch) -> None:
    keep = arrays.create(name, 3)
    with pytest.warns(UserWarning, match="not writable"):
        torch.from_numpy(arrays.open(name, "read"))
    assert keep.sum() == 0


def test_without_batches_a_loader_hands_arrays_on_by_name(name: str, torch) -> None:
    from torch.utils.data import DataLoader

    array = arrays.create(name, (3, 1000), "f4")
    for row in DataLoader(array, batch_size=None):
        assert type(row) is arrays.NamedArray
        torch.from_numpy(row).add_(1)
    assert array.sum() == 3000
    rows = list(DataLoader(array, batch_size=None, collate_fn=torch.as_tensor))
    assert [row.data_ptr() for row in rows] == [row.ctypes.data for row in array]


class Watch:
    """Names of files made in /dev/shm, by anybody (inotify)."""

    CREATE = 0x100

    def __enter__(self) -> Watch:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._descriptor, b"/dev/shm", self.CREATE) > 0
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def made(self) -> set[str]:
        names: set[str] = set()
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return names
            while data:
                _, mask, _, length = struct.unpack_from("iIII", data)
                assert mask & self.CREATE, "events were lost"
                names.add(data[16 : 16 + length].rstrip(b"\0").decode())
                data = data[16 + length :]


LOADER = """
import runpy, sys
from torch.utils.data import DataLoader
class Told(DataLoader):
    def _get_iterator(self):
        iterator = super()._get_iterator()
        print("workers", *(worker.pid for worker in iterator._workers))
        return iterator
import torch.utils.data
torch.utils.data.DataLoader = Told
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

ORDINARY = """
import torch
from torch.utils.data import DataLoader, Dataset
class Tensors(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, batch):
        return torch.full((32, 3, 64, 64), float(batch))
if __name__ == "__main__":
    print(sum(batch.mean().item() for batch in DataLoader(Tensors(), batch_size=None, num_workers=2)))
"""


@pytest.mark.skipif(not on_linux, reason="/dev/shm is Linux's")
def test_a_data_loader_hands_batches_over_by_name_and_makes_nothing_in_dev_shm(torch, tmp_path: Path) -> None:
    def files(program: Path) -> tuple[str, set[str]]:
        with Watch() as watch:
            process = subprocess.Popen(
                [sys.executable, "-c", LOADER, str(program)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            born.add(process.pid)
            output, complaints = process.communicate(timeout=110)
            assert process.returncode == 0, complaints
            first, _, rest = output.partition("\n")
            workers = first.split()[1:]
            assert len(workers) == 2
            # torch names its files after the process that makes them; others may use torch at this moment
            return rest, {name for name in watch.made() if re.match(rf"torch_({'|'.join(workers)})_", name)}

    said, made = files(EXAMPLE)
    assert said == "20 batches through 5 slots, sum of their means: 190.0\n"
    assert not made
    ordinary = tmp_path / "ordinary.py"
    ordinary.write_text(ORDINARY)
    said, made = files(ordinary)
    assert said == "28.0\n"
    assert len(made) == 8  # so the test sees what it looks for


# ------------------------------------------------------------------------------------------------------------ pandas, polars
def test_a_data_frame_is_the_same_memory_and_keeps_the_name(name: str) -> None:
    pd = needs("pandas")
    array = arrays.create(name, (4, 3))
    frame = pd.DataFrame(array, columns=list("abc"), copy=False)
    assert np.shares_memory(frame["b"].to_numpy(), array)
    array[1, 1] = 5
    assert frame["b"].sum() == 5
    del array
    assert not gone(name)
    arrays.open(name)[2, 1] = 6
    assert frame["b"].sum() == 11
    del frame
    assert gone(name)


def test_fields_become_columns_of_a_data_frame(name: str) -> None:
    pd = needs("pandas")
    array = arrays.create(name, 4, [("x", "f8"), ("n", "i4")])
    frame = pd.DataFrame({field: array[field] for field in array.dtype.names}, copy=False)
    array["n"] = 3
    assert frame["n"].sum() == 12
    del array
    assert not gone(name)


def test_a_column_of_polars_is_the_same_memory_and_keeps_the_name(name: str) -> None:
    pl = needs("polars")
    pa = needs("pyarrow")
    array = arrays.create(name, 1000)
    array[:] = 1
    column = pl.from_arrow(pa.array(array))
    assert np.shares_memory(column.to_numpy(allow_copy=False), array)
    assert column.sum() == 1000
    del array
    assert not gone(name)
    del column
    assert gone(name)


def test_an_arrow_array_is_the_same_memory_and_keeps_the_name(name: str) -> None:
    pa = needs("pyarrow")
    array = arrays.create(name, 1000, "i4")
    column = pa.array(array)
    assert column.buffers()[1].address == array.ctypes.data
    del array
    assert not gone(name)
    del column
    assert gone(name)
