"""Arrays as arguments and results of worker pools: names travel, and the workers write the memory of the caller.

Each test is a program of its own, because spawn and loky import the program's main module.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.extras import needs
from helpers.facts import on_linux, on_wine
from helpers.peer import born

TASKS = """
import os
import numpy as np
from namedshm import arrays

def double(part):
    assert type(part) is arrays.NamedArray, type(part)
    part *= 2
    return os.getpid(), part.section.created

def same(part):
    return part[::-1]

def total(part):
    return part.sum()

def read(part):
    try:
        part[0] = 1
    except ValueError:
        return float(part[0])

kept = []
def make(name):
    kept.append(arrays.create(name, 1000))
    kept[-1][:] = 7
    return kept[-1][10:]

def child(part, queue):
    part += 1
    queue.put(part[:5])
    queue.get()
"""

START = """
import sys
sys.path.insert(0, {directory!r})
import multiprocessing, os, pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.reduction import ForkingPickler
import numpy as np
import namedshm
from namedshm import arrays
import tasks

if __name__ == "__main__":
    method, name = {method!r}, {name!r}
    context = multiprocessing.get_context(method)
    array = arrays.create(name, (8, 500_000))  # 32 MB
    array[...] = np.arange(8)[:, None]
"""

END = """
    array.close()
    try:
        namedshm.open(name)
    except namedshm.NotFound:
        print("gone")
"""

METHODS = ["fork", "forkserver", "spawn"] if on_linux else ["spawn"]


def run(directory: Path, name: str, program: str, method: str = "spawn", **env: str) -> list[str]:
    (directory / "tasks.py").write_text(TASKS)
    main = directory / "main.py"
    lines = "".join(f"    {line}\n" for line in program.strip().splitlines())
    main.write_text(START.format(directory=str(directory), method=method, name=name) + lines + END)
    with subprocess.Popen(
        [sys.executable, str(main)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    ) as process:
        born.add(process.pid)
        output, complaints = process.communicate(timeout=100)
    assert process.returncode == 0, complaints
    assert "leaked" not in complaints
    lines = output.split("\n")
    assert lines[-2:] == ["gone", ""]
    return lines[:-2]


@pytest.mark.skipif(on_wine, reason="Wine: a ProcessPoolExecutor hangs, with ordinary numbers too")
@pytest.mark.parametrize("method", METHODS)
def test_a_process_pool_works_on_the_memory_of_its_caller(name: str, tmp_path: Path, method: str) -> None:
    assert run(
        tmp_path,
        name,
        """
assert max(len(ForkingPickler.dumps(row)) for row in array) < 400
with ProcessPoolExecutor(2, mp_context=context) as pool:
    told = list(pool.map(tasks.double, array))
    assert os.getpid() not in [pid for pid, _ in told]
    print([created for _, created in told])
    print(array[:, -1].tolist())
    backwards = pool.submit(tasks.same, array[1:3]).result()
    assert type(backwards) is arrays.NamedArray and np.shares_memory(backwards[0], backwards)
    backwards[0, 0] = 99
    print(array[2, 0])
    print(type(pool.submit(tasks.total, array).result()).__name__)
    print(pool.submit(tasks.read, arrays.open(name, "read")[5]).result())
del backwards
""",
        method,
    ) == [str([False] * 8), str([2.0 * n for n in range(8)]), "99.0", "float64", "10.0"]


@pytest.mark.parametrize("method", METHODS)
def test_a_process_and_a_queue_pass_names(name: str, tmp_path: Path, method: str) -> None:
    assert run(
        tmp_path,
        name,
        """
queue = context.Queue()
process = context.Process(target=tasks.child, args=(array[3], queue))
process.start()
got = queue.get()
print(got.tolist(), array[3, -1])
got[0] = 50
print(array[3, 0])
queue.put("thanks")
process.join()
print(process.exitcode)
del got
""",
        method,
    ) == ["[4.0, 4.0, 4.0, 4.0, 4.0] 4.0", "50.0", "0"]


def test_a_pool_of_multiprocessing_returns_names_that_its_workers_keep(name: str, tmp_path: Path) -> None:
    assert run(
        tmp_path,
        name,
        """
with context.Pool(1) as pool:
    part = pool.apply(tasks.make, [name + "-made"])
    print(part.shape, part.sum(), part.name == name + "-made", part.section.created)
print(arrays.open(name + "-made").sum())  # the worker has ended, this process keeps the name
del part
""",
    ) == ["(990,) 6930.0 True False", "7000.0"]


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
@pytest.mark.skipif(not on_linux, reason="joblib is run on Linux here")
def test_joblib_works_on_the_memory_of_its_caller(name: str, tmp_path: Path, backend: str) -> None:
    needs("joblib")
    temporary = tmp_path / "joblib"
    temporary.mkdir()
    # 4 MB each: joblib would write an ordinary array of that size to a file
    assert run(
        tmp_path,
        name,
        f"""
from joblib import Parallel, delayed
told = Parallel(2, backend={backend!r}, max_nbytes="1M")(delayed(tasks.double)(row) for row in array)
assert (os.getpid() in [pid for pid, _ in told]) == ({backend!r} == "threading")
print(array[:, -1].tolist())
print(sum(os.path.getsize(os.path.join(at, file)) for at, _, files in os.walk({str(temporary)!r}) for file in files) < 100_000)
backwards = Parallel(2, backend={backend!r})(delayed(tasks.same)(row) for row in array)
backwards[3][0] = 99
print(array[3, -1])
del backwards
""",
        JOBLIB_TEMP_FOLDER=str(temporary),
    ) == [str([2.0 * n for n in range(8)]), "True", "99.0"]


@pytest.mark.skipif(not on_linux, reason="joblib is run on Linux here")
def test_cloudpickle_sends_the_name_too(name: str) -> None:
    cloudpickle = needs("cloudpickle")  # of joblib
    from namedshm import arrays

    array = arrays.create(name, 1_000_000)
    data = cloudpickle.dumps(lambda: array[5:].sum())  # an array in a closure
    assert len(data) < 4000
    array[5:] = 1
    assert cloudpickle.loads(data)() == 999_995
