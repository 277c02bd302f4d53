"""What handing an Arrow table to another process costs, against pyarrow's own ways, and opening one.

A hand-off is everything from a table in one process until a living other process has added up every column of numbers in it.

    floor                         a copy of as many bytes into memory that was touched before, by one thread
    namedshm                      arrow.publish(); arrow.open()
    file in /dev/shm              pyarrow.ipc.new_file(); pyarrow.memory_map() and open_file()
    stream over a socket          pyarrow.ipc.new_stream() and open_stream(): the receiver has a copy
    pickle over a pipe            multiprocessing.Connection.send() and recv(): the receiver has a copy

Opening is measured in the receiver alone: of a table that is there, until it has read a value of every column.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute

from namedshm import arrow

from ._runner import MS, Settings, Table

WAYS = ("namedshm", "namedshm, populate=True", "file in /dev/shm", "stream over a socket", "pickle over a pipe")
SHARED = ("namedshm", "namedshm, populate=True", "file in /dev/shm")
OPENS = ("namedshm", "namedshm, validate='full'", "file in /dev/shm")
COLUMNS, BATCHES = 8, 8


def make(mib: int) -> pa.Table:
    """Six columns of numbers, two of texts of 8 bytes with 4 of offset."""
    rows = (mib << 20) // (6 * 8 + 2 * 12) // BATCHES
    numbers = pa.array(range(rows), pa.int64())
    texts = pa.array([f"{row:08d}" for row in range(rows)])
    columns = {**{f"n{index}": numbers for index in range(6)}, **{f"t{index}": texts for index in range(2)}}
    batch = pa.record_batch(columns)
    # every batch has memory of its own, as tables have
    batches = [pa.ipc.read_record_batch(batch.serialize(), batch.schema) for _ in range(BATCHES)]
    return pa.Table.from_batches(batches)


def look_at(table: pa.Table) -> None:
    """A value of every column, of the last row."""
    for column in table.columns:
        column[len(column) - 1].as_py()


def add_up(table: pa.Table) -> None:
    for column in table.columns:
        if column.type == pa.int64():
            compute.sum(column)


# ------------------------------------------------------------------------------------------------------------ the receiver
def receive(way: str, name: str, data: Connection, stream: socket.socket) -> Any:
    """A table, and what keeps it."""
    if way.startswith("namedshm"):
        opened = arrow.open(name, validate="full" if "full" in way else "structure", populate="populate" in way)
        return opened.table, opened
    if way == "file in /dev/shm":
        mapped = pa.memory_map(f"/dev/shm/{name}")
        return pa.ipc.open_file(mapped).read_all(), mapped
    if way == "stream over a socket":
        with stream.makefile("rb") as file, pa.ipc.open_stream(file) as reader:
            return reader.read_all(), None
    return data.recv(), None


def receiver(orders: Connection, data: Connection, stream: socket.socket) -> None:
    with contextlib.suppress(EOFError):
        while True:
            way, name, count, use = orders.recv()
            start = time.perf_counter_ns()
            for _ in range(count):
                table, keeper = receive(way, name, data, stream)
                use(table)
            orders.send((time.perf_counter_ns() - start) / count)
            del table, keeper
            orders.send("let go")


# ------------------------------------------------------------------------------------------------------------ the sender
class Sender:
    def __init__(self, table: pa.Table) -> None:
        self.table = table
        context = multiprocessing.get_context("spawn")
        self.orders, theirs = context.Pipe()
        self.data, theirs_data = context.Pipe()
        self.stream, their_stream = socket.socketpair()
        self.process = context.Process(target=receiver, args=(theirs, theirs_data, their_stream), daemon=True)
        self.process.start()
        for end in (theirs, theirs_data, their_stream):
            end.close()
        self.name = f"bench-tables-{os.getpid()}"
        size = table.nbytes
        self.source, self.target = memoryview(bytearray(b"s") * size), memoryview(bytearray(b"t") * size)

    def floor(self) -> float:
        start = time.perf_counter_ns()
        self.target[:] = self.source
        return time.perf_counter_ns() - start

    def put(self, way: str) -> Callable[[], object]:
        """Make the table reachable; the result lets go of it."""
        if way.startswith("namedshm"):
            return arrow.publish(self.name, self.table).close
        path = Path("/dev/shm", self.name)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return path.unlink

    def hand_over(self, way: str) -> float:
        """Nanoseconds until the receiver has used the table."""
        let_go: Callable[[], object] | None = None
        start = time.perf_counter_ns()
        if way in SHARED:
            let_go = self.put(way)
            self.orders.send((way, self.name, 1, add_up))
        else:
            self.orders.send((way, self.name, 1, add_up))
            if way == "pickle over a pipe":
                self.data.send(self.table)
            else:
                with self.stream.makefile("wb") as file, pa.ipc.new_stream(file, self.table.schema) as writer:
                    writer.write_table(self.table)
        self.orders.recv()
        spent = time.perf_counter_ns() - start
        self.orders.recv()
        if let_go:
            let_go()
        return spent

    def opening(self, way: str, count: int) -> float:
        let_go = self.put(way)
        self.orders.send((way, self.name, count, look_at))
        spent: float = self.orders.recv()
        self.orders.recv()
        let_go()
        return spent

    def close(self) -> None:
        self.orders.close()
        self.process.join(10)


def tables(settings: Settings) -> Iterator[Table]:
    sender = Sender(make(settings.size(64) >> 20))
    with contextlib.closing(sender):
        handing = {"floor": sender.floor, **{way: partial(sender.hand_over, way) for way in WAYS}}
        title = f"hand-off of a table of {sender.table.nbytes / 2**20:.0f} MiB until added up"
        yield Table(title, MS, floor="floor", ours="namedshm", warm_up=1, contenders=handing)
        count = settings.count(20)
        opening = {way: partial(sender.opening, way, 1 if "full" in way else count) for way in OPENS}
        title = f"opening a table ({COLUMNS} columns, {BATCHES} batches), and a value of every column"
        yield Table(title, MS, floor="file in /dev/shm", ours="namedshm", contenders=opening)
