"""A handle that cannot be opened where it arrives fails the task that uses it, and nothing else: no pool hangs or breaks.

Each by arguments (let go before the worker opens them) and by results (let go when the worker's function returns).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.extras import needs
from helpers.facts import on_linux, on_wine

from .things import THINGS

#: Run in the program: `make(kind, name)` is something pickled by name, `gone(kind, name)` a pickle of one that has gone.
START = """
import multiprocessing, pickle
import namedshm
from pools.things import THINGS

class Sent:
    '''Pickled as what is in it was before it went: what a queue's thread has pickled when its owner lets go.'''
    def __init__(self, data):
        self.data = data
    def __reduce__(self):
        return pickle.loads, (self.data,)

def lost(kind, name):
    make, part, close = THINGS[kind]
    made = make(name)
    data = pickle.dumps(part(made))
    close(made)
    return Sent(data)

def use(thing):
    return bool(thing)

def ignore(thing):
    return "ignored"

def echo(thing):
    return thing

def result(kind, name):  # its only handle goes when this has returned
    return lost(kind, name)

def told(call, *arguments):
    try:
        return call(*arguments)
    except namedshm.NotFound as error:
        return f"NotFound, {'unpickled' in str(error)}"
"""

KINDS = sorted(THINGS)


@pytest.mark.skipif(on_wine, reason="pools hang now and then under Wine, also without shared memory")
@pytest.mark.parametrize("method", ["fork", "spawn"] if on_linux else ["spawn"])
def test_multiprocessing_pool(program: Callable[..., list[str]], name: str, method: str) -> None:
    kinds = KINDS if method == "fork" else ["Section", "Mutex", "ShareableList"]
    lines = program(
        START
        + f"""
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        for kind in {kinds!r}:
            thing = lost(kind, {name!r})
            waiting = [
                pool.apply_async(use, (thing,)),
                pool.apply_async(ignore, (thing,)),
                pool.apply_async(result, (kind, {name!r} + "-made")),
                pool.map_async(use, [thing] * 3),
                pool.apply_async(echo, (thing,)),
            ]
            print(kind, *(told(task.get, 60) for task in waiting[:2]))
            made = waiting[2].get(60)
            print(repr(made).split(":")[0], told(bool, made), told(waiting[3].get, 60), told(bool, waiting[4].get(60)))
        print(pool.map(ignore, range(4)))  # it works as before
"""
    )
    expected = []
    for kind in kinds:
        expected += [f"{kind} NotFound, True ignored", f"<unavailable {kind}" + " NotFound, True" * 3]
    assert lines == [*expected, "['ignored', 'ignored', 'ignored', 'ignored']"]


@pytest.mark.skipif(on_wine, reason="pools hang now and then under Wine, also without shared memory")
def test_what_workers_make_and_do_not_keep(program: Callable[..., list[str]], name: str, method: str) -> None:
    """The classic: the only handle to a result goes with the worker's function; pickled in time or not."""
    assert program(
        f"""
import multiprocessing, gc
import namedshm

def work(n):
    section = namedshm.create(f"{name}-{{n}}", 100)
    return section  # a race between the parent's opening and the next task, which lets this one go

def child(queue, section):
    queue.put(section)
    section.close()

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with context.Pool(2) as pool:
        outcomes = set()
        for section in pool.map(work, range(40), 1):
            try:
                outcomes.add(section.size)
                section.close()
            except namedshm.NotFound:
                outcomes.add("gone")
        print(outcomes <= {{100, "gone"}}, len(outcomes) > 0)
    section = namedshm.create("{name}", 100)
    with context.Pool(1) as pool:
        task = pool.apply_async(len, ([section],))
        section.close()
        try:
            print(task.get(60) == 1)
        except namedshm.ClosedHandle:
            print(True)
"""
    ) == ["True True", "True"]


@pytest.mark.skipif(on_wine, reason="pools hang now and then under Wine, also without shared memory")
def test_process_pool_executor(program: Callable[..., list[str]], name: str, method: str) -> None:
    kinds = KINDS if method == "fork" else ["Section", "Mutex"]
    lines = program(
        START
        + f"""
from concurrent.futures import ProcessPoolExecutor

if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context({method!r})) as pool:
        for kind in {kinds!r}:
            thing = lost(kind, {name!r})
            used, ignored, made = pool.submit(use, thing), pool.submit(ignore, thing), pool.submit(result, kind, {name!r} + "-made")
            print(kind, told(used.result, 60), told(ignored.result, 60), told(bool, made.result(60)))
        print(list(pool.map(ignore, range(4))))
"""
    )
    assert lines == [*(f"{kind} NotFound, True ignored NotFound, True" for kind in kinds), str(["ignored"] * 4)]


@pytest.mark.skipif(not on_linux, reason="joblib is run on Linux here")
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_joblib(program: Callable[..., list[str]], name: str, backend: str, tmp_path: object) -> None:
    needs("joblib")
    kinds = ["Section", "Mutex", "ShareableList"] if backend == "loky" else ["Section"]
    lines = program(
        START
        + f"""
from joblib import Parallel, delayed

if __name__ == "__main__":
    with Parallel(2, backend={backend!r}) as parallel:
        for kind in {kinds!r}:
            thing = lost(kind, {name!r})
            print(kind, told(parallel, [delayed(use)(thing)]), parallel(delayed(ignore)(thing) for _ in range(2)))
            print([told(bool, made) for made in parallel(delayed(result)(kind, f"{name}-{{n}}") for n in range(3))])
""",
        JOBLIB_TEMP_FOLDER=str(tmp_path),
    )
    expected = []
    for kind in kinds:
        expected += [f"{kind} NotFound, True ['ignored', 'ignored']", str(["NotFound, True"] * 3)]
    assert lines == expected


@pytest.mark.skipif(not on_linux, reason="torch is run on Linux here")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_torch_data_loader(program: Callable[..., list[str]], name: str, method: str) -> None:
    needs("torch")
    needs("numpy")
    assert program(
        START
        + f"""
import torch.utils.data

class Rows(torch.utils.data.Dataset):
    def __init__(self, array):
        self.array = array
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return float(self.array[index, 0])

class Made(Rows):
    def __getitem__(self, index):
        return lost("NamedArray", f"{name}-{{index}}")

def as_it_is(batch):
    return batch

if __name__ == "__main__":
    for dataset in Rows(pickle.loads(lost("NamedArray", {name!r}).data)), Made(None):
        loader = torch.utils.data.DataLoader(
            dataset, num_workers=2, multiprocessing_context={method!r}, collate_fn=as_it_is, timeout=60
        )
        try:
            for batch in loader:
                print([told(bool, item) for item in batch])
        except namedshm.NotFound as error:
            print("NotFound", "unpickled" in str(error))
""",
        timeout=110,
    ) == ["NotFound True", *["['NotFound, True']"] * 4]


def test_queues_of_a_manager(program: Callable[..., list[str]], name: str, method: str) -> None:
    kinds = KINDS if method == "fork" else ["Section", "ShareableList"]
    lines = program(
        START
        + f"""
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Manager() as manager:
        queue, items, table = manager.Queue(), manager.list(), manager.dict()
        for kind in {kinds!r}:
            thing = lost(kind, {name!r})
            queue.put(thing)
            items.append(thing)
            table[kind] = [thing]
            print(kind, told(bool, queue.get(timeout=60)), told(bool, items[-1]), told(bool, table[kind][0]))
        keep = namedshm.create({name!r}, 100)
        queue.put(keep)
        print(queue.get().identity == keep.identity)
"""
    )
    assert lines == [*(f"{kind}{' NotFound, True' * 3}" for kind in kinds), "True"]


def test_queues_and_pipes(program: Callable[..., list[str]], name: str, method: str) -> None:
    lines = program(
        START
        + f"""
def child(queue, back, thing):
    back.put(told(bool, thing))
    while (thing := queue.get()) is not None:
        back.put((told(bool, thing), thing))

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    for kind in {KINDS if method == "fork" else ["Section"]!r}:
        queue, back = context.Queue(), context.SimpleQueue()
        process = context.Process(target=child, args=(queue, back, pickle.loads(lost(kind, {name!r}).data)))
        process.start()
        told_start = back.get()
        queue.put(lost(kind, {name!r}))
        told_there, thing = back.get()
        print(kind, told_start, told_there, told(bool, thing))
        queue.put(None)
        process.join(60)
        print(process.exitcode)
"""
    )
    kinds = KINDS if method == "fork" else ["Section"]
    assert lines == [line for kind in kinds for line in (f"{kind}{' NotFound, True' * 3}", "0")]
