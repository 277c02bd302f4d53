"""A PyTorch DataLoader whose workers fill named memory: batches reach the training loop uncopied, and not through /dev/shm."""

import numpy
import torch
from torch.utils.data import DataLoader, Dataset

from namedshm import arrays

BATCHES, WORKERS, PREFETCH = 20, 2, 2
SLOTS = WORKERS * PREFETCH + 1  # those being filled or waiting, and the one in use


class Batches(Dataset[tuple[int, int]]):
    """Its items are whole batches.  A worker writes one into a slot and hands over the slot's number."""

    def __init__(self, slots: arrays.NamedArray[numpy.float32]) -> None:
        self.slots = slots  # sent to the workers by name

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        position, batch = key
        slot = position % SLOTS
        images = self.slots[slot]
        images[...] = numpy.float32(batch)  # read and decode here, straight into shared memory
        return slot, batch


if __name__ == "__main__":
    slots = arrays.create("batches", (SLOTS, 32, 3, 64, 64), numpy.float32)
    tensors = torch.from_numpy(slots)
    order: list[int] = torch.randperm(BATCHES).tolist()
    loader = DataLoader(
        Batches(slots),
        sampler=list(enumerate(order)),
        batch_size=None,
        num_workers=WORKERS,
        prefetch_factor=PREFETCH,
        multiprocessing_context="spawn",
    )
    total = 0.0
    for slot, batch in loader:
        images = tensors[slot]  # the same memory; it is filled again after the next turn of this loop
        assert (images == batch).all()
        total += images.mean().item()
    print(f"{BATCHES} batches through {SLOTS} slots, sum of their means: {total}")
