"""A pool of processes works on one section.  What is pickled is a name and an identity, never the bytes.

A pickled Section or View opens the same object in the worker, or raises StaleObject if that object is gone: so the sender keeps
its handle until the workers are done.
"""

import multiprocessing

import namedshm

PARTS = 4
PART = 65536  # views start at multiples of 65,536


def fill(section: namedshm.Section, part: int) -> str:
    with section, section.map(part * PART, PART) as view:
        view[:] = bytes([part + 1]) * PART
    return f"filled part {part}"


def total(view: namedshm.View) -> int:
    with view:
        return sum(view)


if __name__ == "__main__":
    with namedshm.create("pool-example", PARTS * PART) as section, multiprocessing.get_context("spawn").Pool(2) as pool:
        for line in pool.starmap(fill, [(section, part) for part in range(PARTS)]):
            print(line)
        views = [section.map(part * PART, PART) for part in range(PARTS)]
        print("sums:", pool.map(total, views))
