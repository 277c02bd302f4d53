"""Unpickled handles of one object share one opening in each process, and behave as if each had its own."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers.extras import needs
from helpers.facts import has_fork, on_linux
from helpers.names import gone
from helpers.peer import Peer

import namedshm
from namedshm._pickling import openings

ROWS = 40_000  # as many mappings as a process may have, at two each


def _attached() -> int:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return sum("/SYSV" in line for line in file)


@pytest.mark.skipif(not on_linux, reason="counts mappings of Linux; elsewhere there is no such limit to meet")
def test_any_number_of_slices_maps_an_array_once(name: str) -> None:
    needs("numpy")
    from namedshm import arrays

    table = arrays.create(name, (ROWS, 2), "i4")
    table[:, 0] = range(ROWS)
    gc.collect()  # what other tests left to it
    before = _attached()
    rows = [pickle.loads(data) for data in map(pickle.dumps, table)]
    assert _attached() - before <= 4
    assert rows[-1][0] == ROWS - 1
    rows[-1][1] = 5
    assert table[-1, 1] == 5
    del rows
    assert _attached() == before


@pytest.mark.skipif(not on_linux, reason="counts mappings of Linux; elsewhere there is no such limit to meet")
def test_a_pool_takes_all_rows_of_an_array(program: Callable[..., list[str]], name: str) -> None:
    needs("numpy")
    assert program(
        f"""
import multiprocessing
from namedshm import arrays

def total(row):
    return int(row[0])

def same(row):
    return row

if __name__ == "__main__":
    table = arrays.create({name!r}, (300_000, 2), "i4")  # a task is 37,500 of them
    table[:, 0] = range(300_000)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(sum(pool.map(total, table)) == sum(range(300_000)))
        rows = pool.map(same, table[:40_000])  # and they come back
    rows[77][1] = 9
    print(len(rows), table[77, 1])
"""
    ) == ["True", "40000 9"]


def test_each_unpickled_handle_is_closed_by_itself(name: str) -> None:
    section = namedshm.create(name, 70_000)
    data = pickle.dumps(section)
    twins = [pickle.loads(data) for _ in range(5)]
    section.map()[:5] = b"hello"
    section.close()
    for number, twin in enumerate(twins):
        assert not gone(name), number
        view = twin.map()
        twin.close()
        twin.close()
        assert twin.closed
        assert view[:5] == b"hello"  # the memory is the view's
        for call in (twin.map, twin.duplicate, lambda twin=twin: pickle.dumps(twin)):
            with pytest.raises(namedshm.ClosedHandle, match=name):
                call()
        assert "closed" in repr(twin)
    assert gone(name)
    assert view[:5] == b"hello"


def test_closing_one_array_closes_no_other(name: str) -> None:
    needs("numpy")
    from namedshm import arrays

    table = arrays.create(name, (4, 5))
    rows = [pickle.loads(pickle.dumps(row)) for row in table]
    table.close()
    del table
    for row in rows[:-1]:
        row.close()
        with pytest.raises(namedshm.ClosedHandle, match=name):
            pickle.dumps(row)
        row += 1  # the elements stay
    assert not gone(name)
    assert pickle.loads(pickle.dumps(rows[-1])).identity == rows[-1].identity
    part = rows[-1][2:]
    rows.clear()
    del row
    assert not gone(name)  # a view of the last keeps it
    part.close()
    assert gone(name)


def test_the_name_goes_with_the_last_of_them_closed_or_not(name: str) -> None:
    section = namedshm.create(name, 100)
    data = pickle.dumps(section)
    first, second, third = (pickle.loads(data) for _ in range(3))
    section.close()
    first.close()
    del second
    assert not gone(name)
    del third
    gc.collect()
    assert gone(name)
    assert not any(key[0] == name for key in openings._openings)  # and nothing is left of it


def test_a_later_object_of_the_name_is_another_opening(name: str) -> None:
    old = namedshm.create(name, 100)
    data = pickle.dumps(old)
    twin = pickle.loads(data)
    identity = twin.identity
    old.close()
    twin.close()
    new = namedshm.create(name, 200)
    other = pickle.loads(pickle.dumps(new))
    assert (other.size, other.identity) == (200, new.identity)
    assert other.identity != identity
    with pytest.raises(namedshm.StaleObject):
        bool(pickle.loads(data))


def test_reading_and_writing_handles_are_apart(name: str) -> None:
    with namedshm.create(name, 100) as section, namedshm.open(name, "read") as reading:
        twins = [pickle.loads(pickle.dumps(sent)) for sent in (section, reading, section, reading)]
        assert [twin.access for twin in twins] == ["write", "read"] * 2
        assert [twin.map().readonly for twin in twins] == [False, True] * 2
        with pytest.raises(namedshm.AccessDenied):
            twins[1].map(access="write")
        with pytest.raises(namedshm.AccessDenied):
            twins[1].duplicate("write")
        with twins[0].duplicate("read") as weak:
            assert weak.map().readonly
        copies = [twin.map(access="copy") for twin in twins[:2]]
        copies[0][:1] = b"x"
        assert copies[1][0] == section.map()[0] == 0


def test_what_a_handle_knows_arrives(name: str, names: Callable[[], str]) -> None:
    with (
        namedshm.create(name, 200_000, reserve=True) as reserved,
        namedshm.create(names(), 100, writable=False) as fixed,
        namedshm.create(names(), 100, executable=True) as code,
    ):
        twin = pickle.loads(pickle.dumps(reserved))
        view = twin.map()
        with pytest.raises(namedshm.AccessDenied):
            view[100] = 1
        view.commit(0, 4096)
        view[100] = 1
        assert reserved.map()[100] == 1
        assert len(twin.map(65536, 1000)) == 1000
        assert pickle.loads(pickle.dumps(fixed)).map().readonly
        assert pickle.loads(pickle.dumps(code)).map(executable=True).executable


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_forked_child_keeps_its_own(name: str, peers: Callable[[], Peer], tmp_path: Any) -> None:
    peer = peers()
    with namedshm.create(name, 100) as section:
        peer.do("import namedshm, pickle; a, b = pickle.loads(data), pickle.loads(data)", data=pickle.dumps(section))
    with peer.fork(tmp_path) as child:
        peer.do("a.close(); b.close()")
        assert not gone(name)
        child.do("a.close()")
        assert not gone(name)
        assert child.do("c = pickle.loads(pickle.dumps(b)); b.close(); c.size") == 100
        assert not gone(name)
        child.do("c.close()")
        assert gone(name)


def test_threads_open_and_close_the_same_all_the_time(name: str) -> None:
    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        wrong: list[object] = []
        stop = threading.Event()

        def churn(seed: int) -> None:
            kept: list[Any] = []
            for turn in range(3000):
                twin = pickle.loads(data)
                try:
                    view = twin.map()
                    view[seed] = turn % 251
                    if view[seed] != turn % 251:
                        wrong.append((seed, turn))
                except namedshm.NamedShmError as error:
                    wrong.append(error)
                kept.append(twin)
                if turn % 3 == seed % 3:
                    kept.pop(0).close()
                if turn % 7 == 0:
                    kept.clear()
                if stop.is_set():
                    break
            if wrong:
                stop.set()

        threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
    gc.collect()
    assert gone(name)


@pytest.mark.skipif(not has_fork, reason="needs fork")
def test_a_child_forked_amidst_openings_opens_and_closes(name: str) -> None:
    with namedshm.create(name, 100) as section:
        data = pickle.dumps(section)
        stop = threading.Event()

        def churn() -> None:
            while not stop.is_set():
                pickle.loads(data).close()

        threads = [threading.Thread(target=churn) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(40):
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        with pickle.loads(data) as twin:
                            status = 0 if twin.size == 100 else 2
                    finally:
                        os._exit(status)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
