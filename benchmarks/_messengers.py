"""Ways of getting messages from some processes to another, for messaging.py: each as a careful user of that library writes it.

A messenger is made in the process that starts the others, which are forked: what must be inherited is made there.  What a library
opens by name is opened in the process that uses it.  Messages are bytes, all of one size.

    sender(me), receiver()              calls that send and receive one; False: it is full, None: it is empty, to be called again
    spinner()                           a receiver that never sleeps
    many_sender(me), many_receiver()    the same for several at once: lists; a many_sender says how many were sent
    leave()                             before a process ends that used it: what it has sent arrives nevertheless
    close()                             where it was made, after the others have ended
"""

from __future__ import annotations

import ctypes
import datetime
import itertools
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ._runner import missing

Send = Callable[[bytes], Any]
Receive = Callable[[], Any]
SendMany = Callable[[Sequence[bytes]], Any]
LARGE = 4096  # bytes: from here on a message is read where it lies, if the library has a way
FORK = multiprocessing.get_context("fork")
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Line:
    """What a messenger is made for."""

    size: int  # bytes of each message
    capacity: int  # messages
    producers: int = 1
    spin: float | None = None  # seconds to try before sleeping, where that can be said; None: the library's own way

    @property
    def large(self) -> bool:
        return self.size > LARGE


class Messenger:
    module = ""  # what has to be installed
    most: int | None = None  # bytes of a message
    producers: int | None = None  # how many there can be
    batches = waits = spins = False  # can send several at once; can sleep until there is a message; can look without sleeping
    carries = True  # False: it only wakes the other
    whole = True  # False: of a large message only the ends are written

    def __init__(self, line: Line) -> None:
        self.line = line
        self.name = f"bench{os.getpid()}-{next(NUMBERS)}"
        self.make()

    def make(self) -> None: ...

    def sender(self, me: int) -> Send:
        raise NotImplementedError

    def receiver(self) -> Receive:
        return self.spinner()

    def spinner(self) -> Receive:
        raise NotImplementedError

    def many_sender(self, me: int) -> SendMany:
        raise NotImplementedError

    def many_receiver(self) -> Receive:
        raise NotImplementedError

    def leave(self) -> None: ...

    def close(self) -> None: ...

    @classmethod
    def why_not(cls, line: Line, *, batch: bool = False) -> str:
        """Why it does not take part, or nothing."""
        if cls.module and (reason := missing(cls.module)):
            return reason
        if cls.most is not None and line.size > cls.most:
            return f"a message has at most {cls.most:,} bytes"
        if cls.producers is not None and line.producers > cls.producers:
            return f"{cls.producers} producer only"
        if batch and not cls.batches:
            return "one message at a time"
        return ""


# ---------------------------------------------------------------------------------------------------- namedshm
class Named(Messenger):
    module = "namedshm"
    waits = spins = batches = True
    ack = False

    def make(self) -> None:
        import namedshm

        self.queue = namedshm.Queue.create(self.name, self.line.capacity, self.line.size, ack=self.ack)

    def open(self) -> Any:
        import namedshm

        self.end = namedshm.Queue.open(self.name)
        if self.line.spin is not None:
            self.end.spin = self.line.spin
        return self.end

    def sender(self, me: int) -> Send:
        put: Send = self.open().put
        return put

    def receiver(self) -> Receive:
        get: Receive = self.open().get
        return get

    def spinner(self) -> Receive:
        queue = self.open()
        queue.spin = 1
        get: Receive = queue.get
        return get

    def many_sender(self, me: int) -> SendMany:
        put: SendMany = self.open().put_many
        return put

    def many_receiver(self) -> Receive:
        return partial(self.open().get_many, 64)

    def leave(self) -> None:
        self.end.close()

    def close(self) -> None:
        self.queue.close()


class NamedInto(Named):
    """Copied out into memory that is there, not into new bytes."""

    batches = False

    def receiver(self) -> Receive:
        get, buffer = self.open().get_into, bytearray(self.line.size)
        view = memoryview(buffer)

        def receive() -> memoryview:
            get(buffer)
            return view

        return receive


class NamedTake(Named):
    """Read where it lies, and then released: with acknowledgement that is what acknowledges."""

    batches = False

    def receiver(self) -> Receive:
        take, large = self.open().take, self.line.large
        held: Any = None

        def receive() -> Any:
            nonlocal held
            if held is not None:
                held.release()
            held = take()
            return held if large else bytes(held)

        return receive


class NamedWindows(NamedTake):
    """Nothing is copied: a producer that computes its message where it will lie.  Here the first bytes and the last ones."""

    whole = False

    def sender(self, me: int) -> Send:
        loan, size = self.open().loan, self.line.size

        def send(message: bytes) -> None:
            window = loan(size)
            window[:16] = message[:16]
            window[size - 16 :] = message[size - 16 :]
            window.commit()

        return send


class NamedAck(NamedTake):
    ack = True


# ---------------------------------------------------------------------------------------------------- the standard library
class Pipe(Messenger):
    producers = 1
    waits = True

    def make(self) -> None:
        self.reader, self.writer = FORK.Pipe(duplex=False)

    def sender(self, me: int) -> Send:
        return self.writer.send_bytes

    def receiver(self) -> Receive:
        return self.reader.recv_bytes

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


class SimpleQueue(Messenger):
    waits = True

    def make(self) -> None:
        self.queue = FORK.SimpleQueue()

    def sender(self, me: int) -> Send:
        return self.queue.put

    def receiver(self) -> Receive:
        return self.queue.get

    def close(self) -> None:
        self.queue.close()


class StandardQueue(Messenger):
    waits = True

    def make(self) -> None:
        self.queue = FORK.Queue(self.line.capacity)

    def sender(self, me: int) -> Send:
        return self.queue.put

    def receiver(self) -> Receive:
        return self.queue.get

    def leave(self) -> None:
        self.queue.close()
        self.queue.join_thread()

    def close(self) -> None:
        self.queue.close()


class JoinableQueue(StandardQueue):
    """task_done() tells the producers that a message was dealt with; it is not delivered again if it was not."""

    def make(self) -> None:
        self.queue = FORK.JoinableQueue(self.line.capacity)

    def receiver(self) -> Receive:
        get, done = self.queue.get, self.queue.task_done
        first = True

        def receive() -> Any:
            nonlocal first
            if first:
                first = False
            else:
                done()
            return get()

        return receive


class PosixSemaphore(Messenger):
    module = "posix_ipc"
    waits = True
    carries = False

    def make(self) -> None:
        import posix_ipc

        self.semaphore = posix_ipc.Semaphore(f"/{self.name}", posix_ipc.O_CREX)

    def sender(self, me: int) -> Send:
        release = self.semaphore.release
        return lambda message: release()

    def receiver(self) -> Receive:
        acquire = self.semaphore.acquire

        def receive() -> bytes:
            acquire()
            return b""

        return receive

    def close(self) -> None:
        self.semaphore.unlink()
        self.semaphore.close()


# ---------------------------------------------------------------------------------------------------- libraries
class FasterFifo(Messenger):
    """Bytes as they are, not pickled."""

    module = "faster_fifo"
    waits = batches = True

    def make(self) -> None:
        import faster_fifo

        plain = {"loads": bytes, "dumps": bytes}
        self.queue = faster_fifo.Queue(max_size_bytes=self.line.capacity * (self.line.size + 16), **plain)

    def sender(self, me: int) -> Send:
        return partial(self.queue.put, timeout=60)

    def receiver(self) -> Receive:
        return partial(self.queue.get, timeout=60)

    def many_sender(self, me: int) -> SendMany:
        def send(messages: Sequence[bytes]) -> int:
            self.queue.put_many(messages, timeout=60)
            return len(messages)

        return send

    def many_receiver(self) -> Receive:
        return partial(self.queue.get_many, timeout=60, max_messages_to_get=64)

    def close(self) -> None:
        self.queue.close()


class Zmq(Messenger):
    module = "zmq"
    waits = True

    def make(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.address = f"ipc://{self.folder}/socket"

    def socket(self, kind: str) -> Any:
        import zmq

        self.context = zmq.Context()
        self.end = self.context.socket(getattr(zmq, kind))
        self.end.set_hwm(self.line.capacity)
        return self.end

    def sender(self, me: int) -> Send:
        socket = self.socket("PUSH")
        socket.connect(self.address)
        return partial(socket.send, copy=False) if self.line.large else socket.send

    def receiver(self) -> Receive:
        socket = self.socket("PULL")
        socket.bind(self.address)
        if not self.line.large:
            return socket.recv
        receive = partial(socket.recv, copy=False)
        return lambda: receive().buffer

    def leave(self) -> None:
        self.end.close()
        self.context.term()

    def close(self) -> None:
        shutil.rmtree(self.folder)


class Zenoh(Messenger):
    """Peers that know each other's address; large messages by its shared memory."""

    module = "zenoh"
    waits = True

    def make(self) -> None:
        self.folder = tempfile.mkdtemp()

    def session(self, side: str) -> Any:
        import zenoh

        config = zenoh.Config()
        settings = {
            "mode": '"peer"',
            "scouting/multicast/enabled": "false",
            "scouting/gossip/enabled": "false",
            f"{side}/endpoints": f'["unixsock-stream/{self.folder}/socket"]',
            "transport/shared_memory/enabled": "true",
        }
        if side == "connect":
            settings["listen/endpoints"] = "[]"
        for key, value in settings.items():
            config.insert_json5(key, value)
        self.opened = zenoh.open(config)
        return self.opened

    def sender(self, me: int) -> Send:
        import zenoh

        options = {"congestion_control": zenoh.CongestionControl.BLOCK, "reliability": zenoh.Reliability.RELIABLE}
        publisher = self.session("connect").declare_publisher("bench/messages", **options)
        while not publisher.matching_status.matching:
            time.sleep(0.001)
        put = publisher.put
        if not self.line.large:
            return put
        size = self.line.size
        provider = zenoh.shm.ShmProvider.default_backend(size * (self.line.capacity + 4))
        policy = zenoh.shm.BlockOn(zenoh.shm.GarbageCollect())

        def send(message: bytes) -> None:
            room = provider.alloc(size, policy)
            room[:] = message
            put(room)

        return send

    def receiver(self) -> Receive:
        import zenoh

        channel = zenoh.handlers.FifoChannel(self.line.capacity)
        subscriber = self.session("listen").declare_subscriber("bench/messages", channel)
        receive = subscriber.recv
        return lambda: receive().payload.to_bytes()

    def leave(self) -> None:
        self.opened.close()

    def close(self) -> None:
        shutil.rmtree(self.folder)


class Iceoryx2(Messenger):
    """Publish and subscribe, told not to drop anything; no event tells the receiver, which looks again and again."""

    module = "iceoryx2"
    spins = True

    def port(self) -> Any:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)
        self.node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        service = self.node.service_builder(iceoryx2.ServiceName.new(self.name))
        kind = service.publish_subscribe(iceoryx2.Slice[ctypes.c_uint8]).enable_safe_overflow(False).history_size(0)
        return kind.subscriber_max_buffer_size(self.line.capacity).max_publishers(4).open_or_create()

    def sender(self, me: int) -> Send:
        import iceoryx2

        size, move = self.line.size, ctypes.memmove
        builder = self.port().publisher_builder().initial_max_slice_len(size)
        self.publisher = builder.backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered).create()
        loan = self.publisher.loan_slice_uninit

        def send(message: bytes) -> bool:
            sample = loan(size)
            move(sample.payload_ptr, message, size)
            return sample.assume_init().send() != 0  # receivers: 0 while it has not found the one that is there

        return send

    def spinner(self) -> Receive:
        size, large, read = self.line.size, self.line.large, ctypes.string_at
        array = ctypes.c_uint8 * size
        self.subscriber = self.port().subscriber_builder().buffer_size(self.line.capacity).create()
        take = self.subscriber.receive
        held = None

        def receive() -> Any:
            nonlocal held
            if (sample := take()) is None:
                return None
            if large:  # the one before is let go of
                held = sample
                return memoryview(array.from_address(sample.payload_ptr)).cast("B")
            return read(sample.payload_ptr, size)

        return receive

    def leave(self) -> None:
        """Let go of what has files, or they stay."""
        for part in ("publisher", "subscriber", "notifier", "listener", "node"):
            self.__dict__.pop(part, None)


class Iceoryx2Events(Iceoryx2):
    """Each message is followed by a notification, for which the receiver waits."""

    waits = True
    spins = False

    def event(self) -> Any:
        import iceoryx2

        return self.node.service_builder(iceoryx2.ServiceName.new(self.name)).event().open_or_create()

    def sender(self, me: int) -> Send:
        send = super().sender(me)
        self.notifier = self.event().notifier_builder().create()
        notify = self.notifier.notify

        def send_and_tell(message: bytes) -> bool:
            sent: bool = send(message)
            if sent:
                notify()
            return sent

        return send_and_tell

    def receiver(self) -> Receive:
        take = self.spinner()
        self.listener = self.event().listener_builder().create()
        wait = self.listener.blocking_wait

        def receive() -> Any:
            while (message := take()) is None:
                wait()
            return message

        return receive


class Kickmsg(Messenger):
    module = "kickmsg"
    waits = spins = True

    def make(self) -> None:
        import kickmsg

        config = kickmsg.Config()
        config.max_subscribers = 1
        config.sub_ring_capacity = self.line.capacity
        config.pool_size = 2 * self.line.capacity
        config.max_payload_size = self.line.size
        self.region = kickmsg.SharedRegion.create(f"/{self.name}", kickmsg.ChannelType.PubSub, config)

    def sender(self, me: int) -> Send:
        import kickmsg

        self.end = kickmsg.Publisher(kickmsg.SharedRegion.open(f"/{self.name}"))
        put = self.end.send

        def send(message: bytes) -> object:
            try:
                return put(message)
            except BlockingIOError:  # no room in its pool
                return False

        return send

    def subscriber(self) -> Any:
        import kickmsg

        self.end = kickmsg.Subscriber(kickmsg.SharedRegion.open(f"/{self.name}"))
        return self.end

    def receiver(self) -> Receive:
        subscriber, forever = self.subscriber(), datetime.timedelta(seconds=60)
        if not self.line.large:
            return partial(subscriber.receive, forever)
        take = partial(subscriber.receive_view, forever)
        held = None

        def receive() -> memoryview:
            nonlocal held
            held = take()  # the one before is let go of
            return memoryview(held)

        return receive

    def spinner(self) -> Receive:
        receive: Receive = self.subscriber().try_receive
        return receive

    def close(self) -> None:
        self.region.unlink()


class Cloudtoid(Messenger):
    module = "cloudtoid_interprocess"
    waits = spins = batches = True

    def make(self) -> None:
        self.folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        each = self.line.size + 64
        self.room = 1 << (self.line.capacity * each - 1).bit_length()

    def end(self, kind: str) -> Any:
        import cloudtoid_interprocess

        self.mine = getattr(cloudtoid_interprocess, kind)(self.name, self.room, self.folder)
        return self.mine

    def sender(self, me: int) -> Send:
        send: Send = self.end("Publisher").try_send
        return send

    def receiver(self) -> Receive:
        return partial(self.end("Subscriber").receive, 60)

    def spinner(self) -> Receive:
        receive: Receive = self.end("Subscriber").try_receive
        return receive

    def many_sender(self, me: int) -> SendMany:
        send: SendMany = self.end("Publisher").try_send_batch
        return send

    def many_receiver(self) -> Receive:
        """It has none: one at a time."""
        receive = self.receiver()
        return lambda: [receive()]

    def leave(self) -> None:
        self.mine.close()

    def close(self) -> None:
        shutil.rmtree(self.folder)


class Membridge(Messenger):
    module = "membridge"
    producers = 1
    spins = True

    def make(self) -> None:
        import membridge

        room = 1 << (self.line.capacity * (self.line.size + 8) - 1).bit_length()
        self.memory = membridge.SharedMemory.create(f"/{self.name}", room + 24)
        self.ring = self.memory.spsc()

    def open(self) -> Any:
        import membridge

        self.opened = membridge.SharedMemory.open(f"/{self.name}")
        return self.opened.spsc()

    def sender(self, me: int) -> Send:
        send: Send = self.open().push
        return send

    def spinner(self) -> Receive:
        receive: Receive = self.open().pop
        return receive

    def close(self) -> None:
        import membridge

        membridge.SharedMemory.remove(f"/{self.name}")


class Subetha(Messenger):
    """Messages of up to 64 bytes in its ring for one producer, or one for each."""

    module = "subetha"
    most = 64
    spins = batches = True

    def make(self) -> None:
        import subetha

        self.folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.path, self.shape = f"{self.folder}/ring", (self.line.producers, self.line.capacity)
        self.made: Any = subetha.SpscRing(self.path, self.line.capacity)
        if self.line.producers > 1:
            self.path += "s"
            self.made = subetha.mpsc_pool(self.path, *self.shape)

    def open(self, me: int | None = None) -> Any:
        import subetha

        if self.line.producers == 1:
            self.end = subetha.SpscRing.open(self.path, self.line.capacity)
        else:
            producers, consumer = subetha.mpsc_pool_open(self.path, *self.shape)
            self.end = consumer if me is None else producers[me]
        return self.end

    def sender(self, me: int) -> Send:
        send: Send = self.open(me).push
        return send

    def spinner(self) -> Receive:
        pop: Receive = self.open().pop
        size = self.line.size
        if size == self.most:
            return pop

        def receive() -> bytes | None:  # its messages have one size, shorter ones are filled up
            message: bytes | None = pop()
            return message[:size] if message is not None else None

        return receive

    def many_sender(self, me: int) -> SendMany:
        send: SendMany = self.open(me).push_many
        return send

    def many_receiver(self) -> Receive:
        return partial(self.open().pop_many, 64)

    def close(self) -> None:
        shutil.rmtree(self.folder)


class SubethaFrames(Subetha):
    """Longer messages, in several of its slots."""

    most = 32768
    batches = False

    def make(self) -> None:
        import subetha

        self.folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        slots = 1 << (self.line.capacity * (self.line.size // 48 + 1) - 1).bit_length()
        self.shape = (slots, self.line.producers, 1)
        self.made = subetha.Ring(f"{self.folder}/ring", *self.shape)

    def sender(self, me: int) -> Send:
        import subetha

        self.end = subetha.Ring.open(f"{self.folder}/ring", *self.shape)
        return partial(self.end.send_frame, self.end.register_producer())

    def spinner(self) -> Receive:
        import subetha

        self.end = subetha.Ring.open(f"{self.folder}/ring", *self.shape)
        return partial(self.end.recv_frame, self.end.register_consumer())


class SubethaChannel(Subetha):
    """What can sleep."""

    most = 52
    waits = True
    spins = batches = False

    def make(self) -> None:
        import subetha

        self.folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.made = subetha.Channel(f"{self.folder}/channel", self.line.capacity, self.line.producers, 1)

    def open(self, me: int | None = None) -> Any:
        import subetha

        self.end = subetha.Channel.open(f"{self.folder}/channel", self.line.capacity)
        return self.end

    def sender(self, me: int) -> Send:
        return self.open().send_for

    def receiver(self) -> Receive:
        return self.open().recv_for
