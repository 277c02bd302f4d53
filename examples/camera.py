"""A camera of 1920 x 1080 pixels and 60 frames a second, and three readers of a process each, none of which can hinder it.

    python examples/camera.py [FRAMES]

One takes copies of all frames, one looks at them where they lie and is told when it was too slow, one pins what it works on
for long.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable

import numpy as np

import namedshm
from namedshm.topic import Overrun, ShutDown

SHAPE = (1080, 1920, 3)
RATE = 60


def copies(camera: namedshm.Topic) -> int:
    return sum(1 for frame in camera if frame[0, 0, 0] == frame[-1, -1, -1])


def views(camera: namedshm.Topic) -> int:
    good = 0
    while True:
        try:
            with camera.view(which="new") as frame:
                same = frame[0, 0, 0] == frame[-1, -1, -1]
        except Overrun:
            continue  # `same` does not count
        except ShutDown:
            return good
        good += bool(same)


def pins(camera: namedshm.Topic) -> int:
    good = 0
    while True:
        try:
            with camera.pin(which="new") as frame:
                time.sleep(0.05)  # slow work
                good += bool(frame[0, 0, 0] == frame[-1, -1, -1])
        except ShutDown:
            return good


def read(name: str, how: Callable[[namedshm.Topic], int], started: namedshm.Semaphore) -> None:
    with namedshm.Topic.open(name) as camera:
        started.release()
        good = how(camera)
        print(f"{how.__name__}: {good} frames, all whole: {good + camera.missed == camera.position}", flush=True)


def main(frames: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    with (
        namedshm.Topic.create("camera-example", dtype="uint8", shape=SHAPE) as camera,
        namedshm.Semaphore("camera-example-started") as started,
    ):
        readers = [spawn.Process(target=read, args=("camera-example", how, started)) for how in (copies, views, pins)]
        for reader in readers:
            reader.start()
        for _ in readers:
            started.acquire()
        for number in range(frames):
            with camera.loan() as frame:
                frame[:] = np.uint8(number % 256)
            time.sleep(1 / RATE)
        camera.shutdown()
        for reader in readers:
            reader.join()
        print(f"published: {frames} frames")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
