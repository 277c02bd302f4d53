"""Frames of a camera, as arrays: written where they lie, read where they lie, and kept by the queue when the camera has gone."""

import multiprocessing

import numpy as np

from namedshm import Queue, arrays
from namedshm.queue import ShutDown

SHAPE = (1080, 1920, 3)


def camera(frames: Queue) -> None:
    for number in range(8):
        with arrays.loan(frames, SHAPE, np.uint8) as frame:
            frame[:] = 10 * number
    frames.shutdown()


if __name__ == "__main__":
    with Queue.create("frames", 8, max_size=SHAPE[0] * SHAPE[1] * SHAPE[2] + 128) as frames:
        source = multiprocessing.get_context("spawn").Process(target=camera, args=(frames,))
        source.start()
        source.join()  # all that it sent is still there
        try:
            while True:
                with arrays.take(frames) as frame:
                    print(frame.shape, frame.mean())
        except ShutDown:
            print("that was all")
