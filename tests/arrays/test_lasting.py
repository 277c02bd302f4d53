"""Nothing stays and nothing grows: processes killed at any point, and many thousand openings."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.facts import has_fork, on_linux
from helpers.peer import Peer, PeerDied
from helpers.turns import until

import namedshm
from namedshm import arrays
from namedshm._formats import npy

# The points of publish() between which a process can be killed: everything that is visible to others happens in these calls.
KILL = """
import signal, sys
import numpy as np
from namedshm import arrays, section
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
def die_after(function):
    def call(*arguments, **options):
        function(*arguments, **options)
        die()
    return call
"""
HALF = "lambda target, source, **options: target.__setitem__(slice(9), source[:9])"
POINTS = {
    "before the section": "arrays.sections.create = die",
    "after the section": "arrays.sections.create = die_after(arrays.sections.create)",
    "after mapping it": "arrays.hold = die_after(arrays.hold)",
    "in the middle of the elements": f"arrays.copy = die_after({HALF})",
    "after the elements": "arrays.copy = die_after(arrays.copy)",
    "after the header": "arrays.publish_content = die",
    "after publishing": "arrays.publish_content = die_after(arrays.publish_content)",
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_creator_killed_at_any_point_leaves_nothing(name: str, peers: Callable[[], Peer], point: str) -> None:
    peer = peers()
    peer.do(KILL + point, name=name)
    with pytest.raises(PeerDied):
        peer.do("arrays.publish(name, np.arange(1000))")
    peer.close()
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)
    again = arrays.create(name, 1000)  # the name is free, and what is made under it is new
    assert not again.any()


@pytest.mark.parametrize("point", list(POINTS)[2:])
def test_an_array_that_was_never_finished_is_not_ready_as_long_as_somebody_holds_it(
    name: str, peers: Callable[[], Peer], point: str
) -> None:
    peer = peers()
    # it stops where the others were killed, and is killed when somebody else has the name open
    peer.do(KILL.replace("os.kill(", "stop("), name=name)
    peer.do("import threading\nreached = threading.Event()\ndef stop(*_): reached.set(); threading.Event().wait()")
    peer.do(POINTS[point])
    peer.do("threading.Thread(target=lambda: arrays.publish(name, np.arange(1000)), daemon=True).start(); reached.wait(60)")
    handle = namedshm.open(name)
    peer.kill()
    if point == "after publishing":
        assert arrays.open(name).sum() == 499500
    else:
        with pytest.raises(namedshm.NotReady, match=name):
            arrays.open(name, timeout=0)
    handle.close()
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)


def test_workers_killed_while_they_write_leave_the_array_to_the_others(name: str, peers: Callable[[], Peer]) -> None:
    array = arrays.create(name, 1000)
    killed = [peers() for _ in range(3)]
    for peer in killed:
        peer.do("from namedshm import arrays; a = arrays.open(name)", name=name)
        peer.start("while True: a += 1")
    until(lambda: array[-1] > 100, "work")
    for peer in killed:
        peer.kill()
    assert array.min() > 0
    array.close()
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)


# ------------------------------------------------------------------------------------------------------------ endurance
ROUNDS = {
    "open": "arrays.open(name)",
    "open for reading": "arrays.open(name, 'read')[3:5]",
    "open a structure": "arrays.open(name + 's')['x']",
    "unpickle a part": "pickle.loads(data)",
    "pickle a part": "pickle.dumps(array[::2])",
    "create": "arrays.create(name + 'c', (3, 4))",
    "publish": "arrays.publish(name + 'c', plain)",
    "create or open": "arrays.create(name, 100, exist_ok=True)",
    "be refused": "refused(name + 'b')",
    "be refused another kind": "refused_kind()",
}
PREPARE = """
import gc, pickle, tracemalloc
import numpy as np
from namedshm import arrays
array = arrays.create(name, 100)
structure = arrays.create(name + 's', 100, [("x", "f4"), ("y", "i8")])
data = pickle.dumps(array[5:50])
plain = np.arange(50.0)
bad = namedshm.create(name + 'b', 500)
bad.map()[:80] = b"\\x93NUMPY\\x01\\x00\\x40\\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(80)
def refused(name):
    try:
        arrays.open(name)
    except namedshm.InvalidContent:
        pass
def refused_kind():
    try:
        arrays.create(name, 99, exist_ok=True)
    except namedshm.AlreadyExists:
        pass
def rounds(code, count):
    code = compile(code, "<round>", "eval")
    for _ in range(count):
        eval(code)
def lines():
    with open("/proc/self/maps") as file:
        return sum("/SYSV" in line for line in file)
def segments():
    with open("/proc/sysvipc/shm") as file:
        return sum(line.split()[4] == str(os.getpid()) for line in file)
def measure():
    gc.collect()
    return tracemalloc.get_traced_memory()[0], lines(), segments(), len(os.listdir("/proc/self/fd"))
"""


@pytest.mark.skipif(not on_linux, reason="counts what Linux shows in /proc")
@pytest.mark.parametrize("what", ROUNDS)
def test_memory_segments_and_descriptors_are_flat_over_10_000_rounds(name: str, peers: Callable[[], Peer], what: str) -> None:
    peer = peers()
    peer.do(PREPARE, name=name)
    peer.do("rounds(code, 500); tracemalloc.start(); rounds(code, 100)", code=ROUNDS[what])  # caches are filled
    for _ in range(3):  # Python rebuilds a table of its own now and then: that is no growth if it does not go on
        before = peer.do("measure()")
        after = peer.do("rounds(code, 10_000); measure()")
        assert after[1:] == before[1:]
        if after[0] - before[0] < 20_000:  # two bytes a round would be seen
            break
    else:
        pytest.fail(f"memory grows by {(after[0] - before[0]) / 10_000} bytes a round")
    peer.do("tracemalloc.stop()")


def test_many_arrays_opened_at_once_are_all_let_go(name: str) -> None:
    array = arrays.create(name, 10)
    opened = [arrays.open(name)[1:] for _ in range(1000)]
    assert {part.identity for part in opened} == {array.identity}
    del opened
    array.close()
    gc.collect()
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)


def test_opening_a_large_array_costs_no_memory_of_its_size(name: str) -> None:
    with namedshm.create(name, 1 << 30) as section, section.map() as view:
        header = npy.encode("<f8", ((1 << 27) - 16,), False)
        view[: len(header)] = header
        tracemalloc.start()
        array = arrays.open(name)
        assert array.shape == ((1 << 27) - 16,)
        assert tracemalloc.get_traced_memory()[1] < 50_000
        tracemalloc.stop()
        del array


@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_child_by_fork_has_the_array_and_keeps_the_name(name: str, peers: Callable[[], Peer], tmp_path: Path) -> None:
    peer = peers()
    peer.do("from namedshm import arrays; a = arrays.create(name, 10)", name=name)
    with peer.fork(tmp_path) as child:
        peer.do("a[3] = 5")
        peer.kill()
        child.do("a[4] = 6")
        assert arrays.open(name).tolist() == [0, 0, 0, 5, 6, 0, 0, 0, 0, 0]
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)
