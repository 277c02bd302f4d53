"""A web application hands jobs to workers, one of which dies in the midst of one: it is done by another.

With ``ack=True`` a job is out of the queue when its block ends.  Workers can come and go at any time, with or without an exception.
"""

import multiprocessing
import os
from typing import TypedDict

from namedshm import ObjectQueue
from namedshm.queue import ShutDown


class Job(TypedDict):
    file: str
    width: int


def work(jobs: ObjectQueue, results: ObjectQueue) -> None:
    while True:
        taken = jobs.take()
        try:
            with taken as job:
                if job["file"] == "3.png" and not taken.redelivered:
                    os._exit(1)  # as if it were killed: nothing is told, nothing is cleaned up
                results.put(f"{job['file']} is {job['width']} wide now{', at the second try' if taken.redelivered else ''}")
        except ShutDown:
            return


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ObjectQueue.create("jobs", ack=True) as jobs, ObjectQueue.create("results") as results:
        workers = [context.Process(target=work, args=(jobs, results)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for number in range(6):  # a request each
            jobs.put(Job(file=f"{number}.png", width=100 * (number + 1)))
        for line in sorted(results.get() for _ in range(6)):
            print(line)
        jobs.shutdown()
        for worker in workers:
            worker.join()
    print("workers ended with", sorted(worker.exitcode or 0 for worker in workers))
