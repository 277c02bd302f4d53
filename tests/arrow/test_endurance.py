"""Nothing grows: Python's memory, pyarrow's, segments and mappings after 10,000 opens are what they were before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.peer import Peer

needs("pyarrow")

MEASURE = """
import gc, pickle, tracemalloc
import pyarrow as pa
from namedshm import arrow
table = pa.table({'n': list(range(100)), 'd': pa.array(['a', 'b'] * 50).dictionary_encode(), 'l': [[1], None] * 50})
def measure():
    gc.collect()
    seen = {'python': tracemalloc.get_traced_memory()[0], 'arrow': pa.total_allocated_bytes()}
    if sys.platform == 'linux':
        with open('/proc/self/maps') as file:
            lines = file.readlines()
        with open('/proc/sysvipc/shm') as file:
            seen['segments'] = sum(int(line.split()[4]) == os.getpid() for line in list(file)[1:])
        seen['attached'] = sum('/SYSV' in line for line in lines)
        seen['descriptors'] = len(os.listdir('/proc/self/fd'))
    return seen
"""

ROUNDS = {
    "open": """
for n in range(count):
    opened = arrow.open(name)
    assert opened.num_rows == 100
    del opened
""",
    "open and keep a column for a while": """
for n in range(count):
    column = arrow.open(name).table['l'].chunk(0).slice(3, 4)
del column
""",
    "publish": """
for n in range(count):
    arrow.publish(name + '-own', table).close()
""",
    "unpickle": """
for n in range(count):
    pickle.loads(data)
""",
    "refuse": """
with namedshm.create(name + '-bad', 5000) as bad:
    bad.map()[:8] = b'ARROW1\\0\\0'
    for n in range(count):
        try:
            arrow.open(name + '-bad')
        except namedshm.InvalidContent:
            pass
""",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", ROUNDS)
def test_nothing_grows(name: str, peers: Callable[[], Peer], what: str) -> None:
    peer = peers(name=name)
    peer.do(MEASURE + "handle = arrow.publish(name, table); data = pickle.dumps(handle); tracemalloc.start()")
    peer.do(ROUNDS[what], count=50)
    before = peer.do("measure()")
    peer.do(ROUNDS[what], count=10_000 if on_linux and what == "open" else 2_000)
    after = peer.do("measure()")
    peer.do("tracemalloc.stop()")
    assert after.pop("python") < before.pop("python") + 20_000
    assert after == before
