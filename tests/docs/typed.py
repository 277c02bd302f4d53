"""What type checkers make of this package: read by them (test_types.py), never run.

Each line with ``type: ignore`` is wrong use that they have to find: one that they do not find is an error as well.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, assert_type

import numpy as np
import numpy.typing as npt

import namedshm
from namedshm import arrays, arrow, records
from namedshm.managers import SharedMemoryManager
from namedshm.records import Record
from namedshm.shared_memory import ShareableList, SharedMemory
from namedshm.sync import Acquisition, WaitResult
from namedshm.win32 import FILE_MAP_READ, CopyMemory, MapViewOfFile, UnmapViewOfFile


# ------------------------------------------------------------------------------------------------------------ sections, views
class MyView(namedshm.View):
    pass


def views(section: namedshm.Section) -> None:
    with section as same, section.map(access="read") as view, section.map(kind=MyView) as mine:
        assert_type(same, namedshm.Section)
        assert_type(view, namedshm.View)
        assert_type(mine, MyView)
        assert_type(view[0], int)
        assert_type(view[:5], bytes)
        assert_type([byte for byte in view], list[int])  # noqa: C416
        assert_type(sum(view), int)
        assert_type(memoryview(view), memoryview[int])
        view[0] = 1
        view[:2] = b"ab"
        view[:8] = np.arange(8, dtype=np.uint8).data
        view[0] = b"a"  # type: ignore[call-overload]
        struct.pack_into("<d", view, 8, 2.5)
        assert_type(namedshm.copy(bytearray(5), view), int)
        np.frombuffer(memoryview(view), np.float64)
        np.asarray(view)
        section.map(access="append")  # type: ignore[call-overload]
        section.grow()  # type: ignore[attr-defined]
    namedshm.creat("x", 5)  # type: ignore[attr-defined]
    namedshm.create("x", "5")  # type: ignore[arg-type]
    try:
        namedshm.open("x")
    except namedshm.NotFound as error:
        assert_type(error.winerror, int)
        assert_type(error.object_name, str | None)
    except FileNotFoundError:
        pass


# ------------------------------------------------------------------------------------------------------------ synchronisation
def waits(lock: namedshm.Mutex, event: namedshm.Event, count: namedshm.Semaphore) -> None:
    with lock as acquired:
        assert_type(acquired, Acquisition)
        assert_type(acquired.abandoned, bool)
    assert_type(lock.acquire(1.5, on_abandoned="raise"), Acquisition)
    assert_type(lock.duplicate(), namedshm.Mutex)
    assert_type(namedshm.Event.open("x"), namedshm.Event)
    assert_type(event.wait(), bool)
    assert_type(count.acquire(0), bool)
    assert_type(count.release(2), int)
    assert_type(namedshm.wait_any([lock, event]), WaitResult)
    assert_type(namedshm.wait_all([lock, event], 5), WaitResult | None)
    assert_type(namedshm.wait_any([lock]).index, int)
    several: Sequence[namedshm.Event] = [event]
    namedshm.wait_any(several)
    namedshm.wait_any([lock, "event"])  # type: ignore[list-item]
    lock.acquire(on_abandoned="tel")  # type: ignore[arg-type]
    event.wait("soon")  # type: ignore[arg-type]


async def waits_of_a_loop(lock: namedshm.Mutex) -> None:
    async with lock as acquired:
        assert_type(acquired, Acquisition)
    assert_type(await namedshm.wait_any_async([lock]), WaitResult)
    assert_type(await namedshm.wait_any_async([lock], 1), WaitResult | None)


# ------------------------------------------------------------------------------------------------------------ queues
class Jobs(namedshm.Queue):
    pass


def of_queues(array: npt.NDArray[np.uint8]) -> None:
    queue = namedshm.Queue.create("jobs", 16, overflow="drop_oldest", ack=True)
    assert_type(queue, namedshm.Queue)
    assert_type(Jobs.open("jobs", "read", wait=5), Jobs)
    with queue as same:
        assert_type(same, namedshm.Queue)
    queue.put(b"x")
    queue.put(bytearray(3), 1.5)
    queue.put(array.data)
    queue.put("text")  # type: ignore[arg-type]
    assert_type(queue.put_many([b"x", memoryview(b"y")]), int)
    queue.put_many([b"x", "y"])  # type: ignore[list-item]
    assert_type(queue.get(), bytes)
    assert_type(queue.get_many(5, 0), list[bytes])
    assert_type(queue.get_into(bytearray(5)), int)
    assert_type([message for message in queue], list[bytes])  # noqa: C416
    with queue.take() as message:
        assert_type(message, namedshm.queue.Message)
        assert_type(message[0], int)
        assert_type(message[1:], bytes)
        assert_type(memoryview(message), memoryview[int])
        np.frombuffer(memoryview(message), np.float32)
        message[0] = 1  # type: ignore[index]
    with queue.loan(100) as window:
        assert_type(window, namedshm.queue.Loan)
        window[:5] = b"hello"
        window.length = 5
        np.frombuffer(memoryview(window), np.uint8)[:] = array
    assert_type(queue.capacity, int)
    assert_type(queue.participants(), list[namedshm.queue.Participant])
    assert_type(queue.statistics().dropped, int)
    assert_type(queue.qsize(), int)
    queue.take_part("boss")  # type: ignore[arg-type]
    namedshm.Queue.create("jobs", overflow="drop")  # type: ignore[arg-type]
    try:
        queue.put_nowait(b"x")
    except namedshm.queue.Full as error:
        assert_type(error.done, int)


class Tasks(namedshm.JoinableObjectQueue):
    pass


def of_objects(queue: namedshm.Queue, array: npt.NDArray[np.uint8]) -> None:
    objects = namedshm.ObjectQueue.create("jobs", 16, ack=True)
    assert_type(objects, namedshm.ObjectQueue)
    assert_type(Tasks(5), Tasks)
    assert_type(Tasks.open("tasks", wait=1), Tasks)
    assert_type(Tasks.create("tasks").join(1.5), bool)
    objects.put({"any": object()})
    objects.put(1, True, 0.5)
    objects.put(1, timeout="soon")  # type: ignore[arg-type]
    assert_type(objects.queue, namedshm.Queue)
    taken = objects.take()
    with taken as thing:
        assert_type(thing, Any)
        assert_type(taken.redelivered, bool)
    arrays.send(queue, array, 1)
    arrays.send(queue, [[1, 2]])
    arrays.send(objects, array)  # type: ignore[arg-type]
    assert_type(arrays.receive(queue), np.ndarray[Any, Any])
    with arrays.take(queue) as lying:
        assert_type(lying, np.ndarray[Any, Any])
    with arrays.loan(queue, (3, 4)) as floats, arrays.loan(queue, 5, np.uint8) as numbers, arrays.loan(queue, 5, "u1") as others:
        assert_type(floats, npt.NDArray[np.float64])
        assert_type(numbers, npt.NDArray[np.uint8])
        assert_type(others, np.ndarray[Any, Any])
    arrow.send(queue, arrow.receive(queue), 1)
    with arrow.take(queue, validate="full") as table:
        assert_type(table, Any)
    arrow.receive(queue, validate="some")  # type: ignore[arg-type]


async def objects_of_a_loop(objects: namedshm.ObjectQueue) -> None:
    await objects.put_async(object(), 1)
    assert_type(await objects.get_async(), Any)
    async with objects.take(5) as thing:
        assert_type(thing, Any)
    async for thing in objects:
        assert_type(thing, Any)


async def queues_of_a_loop(queue: namedshm.Queue) -> None:
    await queue.put_async(b"x", 1)
    assert_type(await queue.get_async(), bytes)
    assert_type(await queue.get_many_async(5), list[bytes])
    with await queue.take_async() as message:
        assert_type(message, namedshm.queue.Message)
    async with await queue.loan_async(5) as window:
        assert_type(window, namedshm.queue.Loan)
    assert_type([message async for message in queue], list[bytes])


# ------------------------------------------------------------------------------------------------------------ arrays, tables
def of_arrays() -> None:
    assert_type(arrays.create("a", 5), arrays.NamedArray[np.float64])
    frames = arrays.create("frames", (4, 1080, 1920, 3), np.uint8)
    assert_type(frames, arrays.NamedArray[np.uint8])
    assert_type(arrays.create("frames", (4, 3), np.dtype(np.int32), exist_ok=True), arrays.NamedArray[np.int32])
    assert_type(arrays.create("frames", (4, 3), "uint8"), arrays.NamedArray[Any])
    assert_type(arrays.open("frames"), arrays.NamedArray[Any])
    assert_type(arrays.publish("p", np.zeros(5)), arrays.NamedArray[np.float64])
    assert_type(arrays.publish("p", [1, 2]), arrays.NamedArray[Any])
    assert_type(arrays.replace("p", frames), arrays.NamedArray[np.uint8])
    # what keeps the name
    assert_type(frames[1:], arrays.NamedArray[np.uint8])
    assert_type(frames[0, ..., :5], arrays.NamedArray[np.uint8])
    assert_type(frames.T, arrays.NamedArray[np.uint8])
    assert_type(frames[:2].section, namedshm.Section)
    # what does not
    assert_type(frames[[0, 2]].dtype, np.dtype[np.uint8])
    frames[[0, 2]].close()  # type: ignore[attr-defined]
    (frames + 1).close()  # type: ignore[attr-defined]
    with frames[0:2] as part:
        part.close()
    fill(frames)
    fill_floats(frames)  # type: ignore[arg-type]


def fill(array: npt.NDArray[np.integer[Any]]) -> None: ...
def fill_floats(array: arrays.NamedArray[np.floating[Any]]) -> None: ...


def of_tables(table: Any) -> None:
    with arrow.publish("trades", table) as trades:
        assert_type(trades, arrow.NamedTable)
        assert_type(trades.num_rows, int)
        assert_type(trades.section, namedshm.Section)


# ------------------------------------------------------------------------------------------------------------ records
class Camera(Record):
    exposure: float = 0.01
    frame: int
    label: Annotated[str, 32] = "idle"
    position: tuple[float, float, float]


def of_records() -> None:
    camera = Camera.create("camera", {"frame": 1})
    assert_type(camera, Camera)
    assert_type(Camera.open("camera", wait=1), Camera)
    assert_type(camera.exposure, float)
    assert_type(camera.snapshot().frame, int)
    assert_type(camera.snapshot().position, tuple[float, float, float])
    assert_type(camera.update(frame=2), int)
    editing: AbstractContextManager[Camera] = camera.edit()
    with editing as draft:
        draft.frame += 1
        draft.label = 5  # type: ignore[assignment]
        draft.fram = 1  # type: ignore[attr-defined]
    camera.exposure = "long"  # type: ignore[assignment]
    camera.exposur = 1.5  # type: ignore[attr-defined]
    print(camera.snapshot().labl)  # type: ignore[attr-defined]
    found = records.open("camera", "read")
    assert_type(found, records.AnyRecord)
    found.exposure = 0.5
    assert_type(found.snapshot().exposure, Any)
    with found.edit() as any_draft:
        any_draft.exposure *= 2


# ------------------------------------------------------------------------------------------------------------ the drop-in
def drop_in() -> None:
    block = SharedMemory("x", create=True, size=10)
    block.buf[:5] = b"hello"
    np.ndarray(10, np.uint8, block.buf)
    print(block._fd)  # type: ignore[attr-defined]
    numbers = ShareableList([1, 2])
    assert_type(numbers, ShareableList[int])
    assert_type(numbers[0], int)
    mixed = ShareableList(["howdy", b"\x01", 1.5, 100, None, True])
    mixed[2] = "cold"
    for item in mixed:
        print(item)
    mixed[0] = object()  # type: ignore[assignment]
    opened: ShareableList[str] = ShareableList(name="x")
    assert_type(opened[0], str)
    with SharedMemoryManager() as manager:
        assert_type(manager.SharedMemory(size=10), SharedMemory)
        assert_type(manager.ShareableList([1.5]), ShareableList[float])


# ------------------------------------------------------------------------------------------------------------ Win32
def win32(handle: int) -> None:
    view = MapViewOfFile(handle, FILE_MAP_READ, 0, 0, 0)
    assert_type(view, namedshm.View | None)
    CopyMemory(view, b"x", 1)  # type: ignore[arg-type]
    if view:
        CopyMemory(view, b"x", 1)
    UnmapViewOfFile(view)
