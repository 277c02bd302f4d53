"""Market data to one consumer: small messages of one layout, many at once.

No message is longer than 1,024 bytes, so all lie in the ring itself.  It ends by itself when who puts has gone, in whatever way.
"""

import multiprocessing
import struct

from namedshm import Queue
from namedshm.queue import ShutDown

TICK = struct.Struct("<8sdI")  # symbol, price, size
SYMBOLS = ("ABC", "DEF", "GHI")
COUNT = 30_000


def market(ticks: Queue) -> None:
    batch: list[bytes] = []
    for number in range(COUNT):
        batch.append(TICK.pack(SYMBOLS[number % 3].encode(), 100 + number % 7, 1))
        if len(batch) == 64:
            ticks.put_many(batch)
            batch.clear()
    ticks.put_many(batch)


if __name__ == "__main__":
    with Queue.create("ticks", 4096, TICK.size, end_with_producers=True) as ticks:
        source = multiprocessing.get_context("spawn").Process(target=market, args=(ticks,))
        source.start()
        traded = dict.fromkeys(SYMBOLS, 0)
        last = dict.fromkeys(SYMBOLS, 0.0)
        try:
            while True:
                for tick in ticks.get_many(1000):
                    symbol, price, size = TICK.unpack(tick)
                    name = symbol.rstrip(b"\0").decode()
                    traded[name] += size
                    last[name] = price
        except ShutDown:
            pass
        source.join()
    for name in SYMBOLS:
        print(f"{name}: {traded[name]} traded, last at {last[name]:.2f}")
