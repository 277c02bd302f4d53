"""A queue is passed to children of multiprocessing and of concurrent.futures like any other object that holds a name."""

from __future__ import annotations

from collections.abc import Callable

PROCESSES = """
import multiprocessing, namedshm
def work(jobs, results):
    for job in jobs:
        results.put(job.upper())
if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    jobs, results = namedshm.Queue.create(NAME), namedshm.Queue.create(NAME + "-results")
    children = [context.Process(target=work, args=(jobs, results)) for _ in range(2)]
    for child in children: child.start()
    jobs.put_many([b"%c" % letter for letter in b"abcdefgh"])
    jobs.shutdown()
    print(*sorted(results.get(60).decode() for _ in range(8)), sep="")
    for child in children: child.join()
"""
EXECUTOR = """
import concurrent.futures, multiprocessing, namedshm
def work(queue):
    queue.put(b"from a worker")
    return queue
if __name__ == "__main__":
    queue = namedshm.Queue.create(NAME)
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(METHOD)) as pool:
        same = pool.submit(work, queue).result(60)
    print(same.identity == queue.identity, queue.get(60).decode())
"""


def variables(name: str, method: str) -> str:
    return f"NAME, METHOD = {name!r}, {method!r}\n"


def test_queues_go_to_processes(program: Callable[..., list[str]], name: str, method: str) -> None:
    assert program(variables(name, method) + PROCESSES) == ["ABCDEFGH"]


def test_queues_go_to_executors_and_come_back(program: Callable[..., list[str]], name: str, method: str) -> None:
    assert program(variables(name, method) + EXECUTOR) == ["True from a worker"]
