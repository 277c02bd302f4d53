"""New versions of an array and of a table under a name that others read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.facts import on_windows
from helpers.peer import Peer

import namedshm

np = pytest.importorskip("numpy")
from namedshm import arrays  # noqa: E402

kept = pytest.mark.skipif(on_windows, reason="there a name stays with its object")


@pytest.mark.skipif(not on_windows, reason="elsewhere it can be done")
def test_where_it_cannot_be_done_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(namedshm.Unsupported, match="new name"):
        arrays.replace(name, [1, 2])


@kept
def test_readers_keep_the_old_array_and_new_ones_open_the_new_one(name: str, peers: Callable[[], Peer]) -> None:
    old = arrays.replace(name, np.arange(5))
    reader = peers()
    reader.do("from namedshm import arrays; a = arrays.open(name)", name=name)
    new = arrays.replace(name, np.ones((3, 4), "f4", order="F"), progress=lambda done, total: None)
    assert (new.name, new.shape, new.flags.writeable, new.flags.f_contiguous) == (name, (3, 4), True, True)
    assert reader.do("a.tolist(), arrays.open(name).tolist()") == ([0, 1, 2, 3, 4], [[1.0] * 4] * 3)
    new[0, 0] = 5
    old[0] = 9
    assert reader.do("int(a[0]), float(arrays.open(name)[0, 0])") == (9, 5.0)
    new.close()
    with pytest.raises(namedshm.NotFound):
        arrays.open(name)  # the old one lives without a name


@kept
def test_a_replacement_that_fails_leaves_the_name_as_it_was(name: str) -> None:
    first = arrays.publish(name, [1, 2, 3])
    for wrong in ([object()], np.ma.masked_array([1], [True])):
        with pytest.raises(namedshm.InvalidArgument):
            arrays.replace(name, wrong)

    def stop(done: int, total: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        arrays.replace(name, np.zeros(1 << 16), progress=stop)
    assert arrays.open(name).identity == first.identity
    with namedshm.Mutex(name + "m"), pytest.raises(namedshm.WrongType):
        arrays.replace(name + "m", [1])


@kept
def test_a_killed_publisher_leaves_no_half_version(name: str, peers: Callable[[], Peer]) -> None:
    publisher, reader = peers(), peers()
    publisher.do("import numpy as np; from namedshm import arrays; a = arrays.publish(name, [1, 2, 3])", name=name)
    reader.do("from namedshm import arrays; a = arrays.open(name)", name=name)
    publisher.do(
        """
import os, signal
def killed(done, total):
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    )
    assert reader.do("arrays.open(name).tolist()") == [1, 2, 3]
    publisher.start("arrays.replace(name, np.zeros(1 << 20), progress=killed)")
    publisher.kill()
    assert reader.do("arrays.open(name).tolist()") == [1, 2, 3]


@kept
def test_tables_are_replaced_in_the_same_way(name: str, peers: Callable[[], Peer]) -> None:
    pa = pytest.importorskip("pyarrow")
    from namedshm import arrow

    first = arrow.replace(name, pa.table({"x": [1, 2]}))
    reader = peers()
    reader.do("from namedshm import arrow; t = arrow.open(name)", name=name)
    second = arrow.replace(name, pa.table({"y": ["a", "b", "c"]}))
    assert reader.do("t.table.to_pydict(), arrow.open(name).table.to_pydict()") == ({"x": [1, 2]}, {"y": ["a", "b", "c"]})
    assert (first.num_rows, second.num_rows, second.section.access) == (2, 3, "read")
    with pytest.raises(TypeError):
        arrow.replace(name, object())
    assert arrow.open(name).identity == second.identity
