"""Tables by name: publishing, opening, lifetime, handing over, and what goes wrong."""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.ids import plain
from helpers.names import gone
from helpers.peer import Peer

pa = needs("pyarrow")

import namedshm
from namedshm import arrow

if sys.platform == "win32":
    import msvcrt

Peers = Callable[..., Peer]


@pytest.fixture
def table() -> Any:
    return pa.table({"n": pa.array(range(1000)), "s": pa.array(["x" * (n % 9) for n in range(1000)])}, metadata={"about": "test"})


# ------------------------------------------------------------------------------------------------------------ publish and open
def test_another_process_opens_what_was_published(name: str, peers: Peers) -> None:
    table = pa.table({"n": [1, 2, 3], "s": ["a", None, "c"]}, metadata={"about": "test"})
    handle = arrow.publish(name, table)
    peer = peers(name=name)
    peer.do("from namedshm import arrow; opened = arrow.open(name)")
    assert peer.do("opened.table.to_pydict()") == table.to_pydict()
    assert peer.do("opened.schema.metadata") == {b"about": b"test"}
    assert peer.do("opened.num_rows, len(opened), opened.name, opened.nbytes, opened.identity") == (
        *(3, 3, name),
        *(handle.nbytes, handle.identity),
    )
    assert peer.do("opened.section.access") == handle.section.access == "read"


def test_the_section_is_a_file_that_pyarrow_reads(name: str, table: Any) -> None:
    with arrow.publish(name, table) as handle:
        data = namedshm.open(name, "read").map()[:]
        assert len(data) == handle.nbytes
        assert pa.ipc.open_file(data).read_all().equals(table, check_metadata=True)
        assert pa.ipc.open_stream(data[8:]).read_all().equals(table, check_metadata=True)


def test_a_file_of_pyarrow_in_a_section_is_a_table(name: str, table: Any) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    data = sink.getvalue().to_pybytes()
    with namedshm.create(name, len(data)) as section, section.map() as view:
        view[:] = data
        with arrow.open(name) as opened:
            assert opened.table.equals(table)


def test_a_file_of_pyarrow_on_disk_gets_a_name(name: str, table: Any, tmp_path: Path, peers: Peers) -> None:
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with open(tmp_path / "x.arrow", "r+b") as file:
        number = file.fileno() if on_linux else msvcrt.get_osfhandle(file.fileno())
        with namedshm.create(name, 0, file=number):
            assert peers(name=name).do("from namedshm import arrow; arrow.open(name).table['n'][999].as_py()") == 999


def test_zeros_behind_a_file_do_not_count(name: str, table: Any) -> None:
    """A plain Win32 program's section has whole pages."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    with namedshm.create(name, -(-len(data) // 4096) * 4096) as section, section.map() as view:
        view[: len(data)] = data
        with arrow.open(name) as opened:
            assert opened.table.equals(table)


class Streaming:
    """Somebody else's table, with the C stream interface and nothing more."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "form",
    [
        lambda table: table,
        lambda table: table.to_batches()[0],
        lambda table: table.to_batches(max_chunksize=300),
        lambda table: tuple(table.to_batches()),
        lambda table: table.to_reader(max_chunksize=300),
        lambda table: pa.RecordBatchReader.from_batches(table.schema, (batch for batch in table.to_batches(max_chunksize=10))),
        Streaming,
    ],
    ids=["Table", "RecordBatch", "list of batches", "tuple of batches", "reader", "reader of a generator", "C stream"],
)
def test_tables_come_in_many_forms(name: str, table: Any, form: Callable[[Any], Any]) -> None:
    with arrow.publish(name, form(table)), arrow.open(name) as opened:
        assert opened.table.equals(table, check_metadata=True)


def test_a_named_table_is_published_again_as_it_is(name: str, names: Callable[[], str], table: Any) -> None:
    with arrow.publish(name, table) as handle, arrow.publish(names(), handle) as again:
        assert again.section.map()[:] == handle.section.map()[:]


class Failing:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        def batches() -> Iterator[Any]:
            yield pa.record_batch({"a": [1]})
            raise Broken("in the middle")

        reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches())
        return reader.__arrow_c_stream__(requested_schema)


def test_a_stream_that_fails_half_way_is_told(name: str) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="in the middle"):
        arrow.publish(name, Failing())
    assert gone(name)


def test_batches_stay_as_they_are(name: str, table: Any) -> None:
    with arrow.publish(name, table.to_batches(max_chunksize=300)), arrow.open(name) as opened:
        assert [batch.num_rows for batch in opened.table.to_batches()] == [300, 300, 300, 100]


def test_columns_in_different_chunks_are_cut_into_batches(name: str) -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": pa.chunked_array([[4], [5, 6]])})
    with arrow.publish(name, table), arrow.open(name) as opened:
        assert opened.table.equals(table)
        assert [batch.num_rows for batch in opened.table.to_batches()] == [1, 1, 1]


@pytest.mark.parametrize("nested", [False, True])
def test_chunks_with_different_dictionaries_get_one(name: str, nested: bool) -> None:
    chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "b"]).dictionary_encode()]
    if nested:
        chunks = [pa.StructArray.from_arrays([chunk], ["d"]) for chunk in chunks]
    table = pa.table({"d": pa.chunked_array(chunks)})
    with arrow.publish(name, table), arrow.open(name, validate="full") as opened:
        assert opened.schema.equals(table.schema)
        assert opened.table.to_pydict() == table.to_pydict()


def test_chunks_with_a_growing_dictionary_get_one(name: str) -> None:
    chunks = [pa.DictionaryArray.from_arrays(pa.array([n - 1, 0], pa.int8()), pa.array(list("abcd")[:n])) for n in (2, 3, 4)]
    table = pa.table({"d": pa.chunked_array(chunks)})
    with arrow.publish(name, table), arrow.open(name, validate="full") as opened:
        assert opened.table["d"].to_pylist() == ["b", "a", "c", "a", "d", "a"]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({}),
        pa.table({"a": pa.array([], pa.int32())}),
        pa.Table.from_batches([], pa.schema([("a", pa.string())])),
        pa.table({"a": [1, 2, 3]}).select([]),
        pa.table({"a": pa.nulls(5)}),
    ],
    ids=["nothing", "no rows", "no batches", "no columns", "null column"],
)
def test_a_table_of_nothing_is_a_table(name: str, table: Any) -> None:
    with arrow.publish(name, table), arrow.open(name, validate="full") as opened:
        assert opened.schema.equals(table.schema)
        assert opened.num_rows == table.num_rows


def test_a_table_of_many_chunks_and_columns(name: str) -> None:
    batch = pa.record_batch({f"c{number}": [number, None] for number in range(50)})
    table = pa.Table.from_batches([batch] * 200)
    with arrow.publish(name, table), arrow.open(name) as opened:
        assert opened.table.equals(table)
        assert opened.table["c7"].num_chunks == 200


def test_columns_of_one_name_and_of_none(name: str) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", ""])
    with arrow.publish(name, table), arrow.open(name) as opened:
        assert opened.table.equals(table)


def test_progress_is_told_to_the_end(name: str) -> None:
    table = pa.table({"a": pa.array([1] * 500_000, pa.int64()), "b": pa.array([2] * 500_000, pa.int64())})
    seen: list[tuple[int, int]] = []
    with arrow.publish(name, table, progress=lambda done, total: seen.append((done, total)), threads=2) as handle:
        assert seen[-1] == (handle.nbytes, handle.nbytes)
        assert seen == sorted(seen)
        assert len(seen) >= 3
        assert arrow.open(name).table.equals(table)


@pytest.mark.skipif(not on_linux, reason="Windows does not tell the mode")
def test_others_get_the_rights_that_were_given(name: str, table: Any) -> None:
    name = f"Global\\{name}"
    with arrow.publish(name, table, mode=0o640):
        assert namedshm.describe(name).mode == 0o640
    with arrow.publish(name, table):
        assert namedshm.describe(name).mode == 0o600


def test_huge_pages_can_be_asked_for(name: str, table: Any) -> None:
    with arrow.publish(name, table, huge_pages="try"):
        assert arrow.open(name).table.equals(table)
    with pytest.raises(namedshm.InvalidArgument, match="'yes'"):
        arrow.publish(name, table, huge_pages="yes")  # type: ignore[arg-type]


@pytest.mark.skipif(not on_linux, reason="asks Linux which pages there are")
def test_pages_are_made_at_once_on_wish(name: str, peers: Peers) -> None:
    rows = 1_000_000
    handle = arrow.publish(name, pa.table({"a": pa.array([1] * rows, pa.int64())}))
    peer = peers(name=name)
    peer.do("from namedshm import arrow")
    resident = "int(open('/proc/self/statm').read().split()[2]) * 4096"  # shared pages
    grown = [
        peer.do(f"before = {resident}; opened = arrow.open(name, populate={wish}); {resident} - before") for wish in (False, True)
    ]
    assert grown[0] < handle.nbytes / 2
    assert grown[1] > handle.nbytes * 0.95
    assert peer.do("opened.table['a'][0].as_py()") == 1


# ------------------------------------------------------------------------------------------------------------ lifetime
def test_the_name_goes_with_the_last_handle_or_buffer(name: str, table: Any) -> None:
    handle = arrow.publish(name, table)
    opened = arrow.open(name)
    del handle
    assert not gone(name)
    part = opened.table["s"].chunk(0).slice(5, 3)
    del opened
    assert not gone(name)
    assert part.to_pylist() == ["xxxxx", "xxxxxx", "xxxxxxx"]
    buffer = part.buffers()[2]
    del part
    assert not gone(name)
    view = memoryview(buffer)[1:2]
    del buffer
    assert not gone(name)
    del view
    assert gone(name)


def test_an_exported_stream_keeps_name_and_memory(name: str, table: Any) -> None:
    handle = arrow.publish(name, table)
    reader = pa.RecordBatchReader.from_stream(handle)
    del handle
    assert not gone(name)
    column = reader.read_all()["n"]
    del reader
    assert not gone(name)
    assert column.to_pylist() == list(range(1000))
    del column
    assert gone(name)


def test_a_table_without_rows_is_kept_by_its_handle(name: str) -> None:
    handle = arrow.publish(name, pa.table({}))
    assert not gone(name)
    del handle
    assert gone(name)


def test_closing_lets_the_name_go_and_keeps_the_data(name: str, table: Any) -> None:
    with arrow.publish(name, table) as handle:
        assert not gone(name)
    assert gone(name)
    assert handle.table.equals(table)
    handle.close()
    with arrow.publish(name, pa.table({"other": [1]})):
        assert handle.table.equals(table)
        assert arrow.open(name).schema.names == ["other"]


def test_readers_keep_the_table_of_a_killed_publisher(name: str, peers: Peers) -> None:
    publisher = peers(name=name)
    publisher.do("import pyarrow as pa; from namedshm import arrow; handle = arrow.publish(name, pa.table({'a': [1, 2]}))")
    opened = arrow.open(name)
    publisher.kill()
    assert opened.table["a"].to_pylist() == [1, 2]
    assert arrow.open(name).identity == opened.identity
    del opened
    assert gone(name)


def test_what_was_given_is_not_needed_any_more(name: str) -> None:
    before = pa.total_allocated_bytes()
    with arrow.publish(name, pa.table({"a": pa.array([7] * 100_000)})) as handle:
        assert pa.total_allocated_bytes() == before
        assert handle.table["a"][99_999].as_py() == 7


# ------------------------------------------------------------------------------------------------------------ handing over
def test_a_pickled_table_is_its_name(name: str, table: Any, peers: Peers) -> None:
    handle, peer = arrow.publish(name, table), peers()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(handle, protocol)
        assert len(data) < 300
        got = peer.do("import pickle; t = pickle.loads(data); (t.name, t.identity, t.table['n'][999].as_py())", data=data)
        assert got == (name, handle.identity, 999)


def test_a_pickled_table_is_not_another_of_that_name(name: str, table: Any) -> None:
    with arrow.publish(name, table) as handle:
        data = pickle.dumps(handle)
    with pytest.raises(namedshm.NotFound, match=name):
        memoryview(pickle.loads(data))
    with arrow.publish(name, table), pytest.raises(namedshm.StaleObject, match=name):
        len(pickle.loads(data))
    assert gone(name)


def test_a_closed_or_unnamed_table_cannot_be_pickled(name: str, table: Any) -> None:
    with arrow.publish(name, table) as handle:
        pass
    with pytest.raises(namedshm.ClosedHandle, match=name):
        pickle.dumps(handle)
    with pytest.raises(TypeError, match="unnamed"):
        pickle.dumps(arrow.publish(None, table))


# ------------------------------------------------------------------------------------------------------------ what goes wrong
def test_a_held_name_is_told_and_nothing_changes(name: str, table: Any) -> None:
    with arrow.publish(name, table):
        with pytest.raises(namedshm.AlreadyExists, match=name):
            arrow.publish(name, pa.table({"other": [1]}))
        assert arrow.open(name).table.equals(table)


def test_a_name_nobody_holds_is_not_found(name: str) -> None:
    with pytest.raises(namedshm.NotFound, match=name):
        arrow.open(name)


def test_other_objects_are_no_tables(name: str) -> None:
    with namedshm.Mutex(name), pytest.raises(namedshm.WrongType, match=name):
        arrow.open(name)


@pytest.mark.parametrize("data", [None, 7, "text", {"a": [1]}, [], [1], [pa.array([1])], object()], ids=plain)
def test_what_is_no_table_is_a_type_error(name: str, data: object) -> None:
    with pytest.raises(TypeError, match="publish"):
        arrow.publish(name, data)
    assert gone(name)


def test_batches_of_different_schemas_are_no_table(name: str) -> None:
    batches = [pa.record_batch({"a": [1]}), pa.record_batch({"b": [1]})]
    with pytest.raises(namedshm.InvalidArgument, match=name):
        arrow.publish(name, batches)
    assert gone(name)


def test_dictionaries_that_do_not_fit_together_are_told(name: str) -> None:
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array([f"{part}{value}" for value in range(100)]))
        for part in "abc"
    ]
    with pytest.raises(namedshm.InvalidArgument, match=name):
        arrow.publish(name, pa.table({"d": pa.chunked_array(chunks)}))
    assert gone(name)


class Broken(Exception):
    pass


def test_what_a_reader_raises_comes_through_and_nothing_is_left(name: str, table: Any) -> None:
    def batches() -> Iterator[Any]:
        yield from table.to_batches(max_chunksize=100)
        raise Broken

    with pytest.raises(Broken):
        arrow.publish(name, pa.RecordBatchReader.from_batches(table.schema, batches()))
    assert gone(name)


@pytest.mark.parametrize("when", ["first", "last"])
def test_what_progress_raises_comes_through_and_nothing_is_left(name: str, when: str) -> None:
    def stop(done: int, total: int) -> None:
        if when == "first" or done == total:
            raise Broken

    with pytest.raises(Broken):
        arrow.publish(name, pa.table({"a": pa.array([1] * 500_000)}), progress=stop)
    assert gone(name)


def test_validation_is_one_of_two(name: str, table: Any) -> None:
    with arrow.publish(name, table), pytest.raises(namedshm.InvalidArgument, match="'quick'"):
        arrow.open(name, validate="quick")  # type: ignore[arg-type]


@pytest.mark.parametrize("name_", ["", "a\\b", "Global", 7])
def test_a_bad_name_is_told_as_everywhere(name_: Any, table: Any) -> None:
    with pytest.raises((namedshm.InvalidName, namedshm.NotFound, TypeError)):
        arrow.open(name_)
    if name_ != "Global":
        with pytest.raises((namedshm.InvalidName, TypeError)):
            arrow.publish(name_, table)


# ------------------------------------------------------------------------------------------------------------ while it is written
MAKE = """
import pyarrow as pa
from namedshm import arrow
table = pa.table({'a': pa.array([1] * 500_000, pa.int64()), 'b': pa.array([2] * 500_000, pa.int64())})
"""
HALF_WAY = (
    MAKE
    + """
def progress(done, total):
    if done == total or done > point:
        reached.set()
        go_on.wait()
reached, go_on = namedshm.Event.open(name + '-reached'), namedshm.Event.open(name + '-go-on')
"""
)


@pytest.mark.parametrize("point", [0, 4_000_000, 8_000_000])
def test_nobody_sees_half_a_table(name: str, peers: Peers, point: int) -> None:
    with namedshm.Event(name + "-reached", manual=True) as reached, namedshm.Event(name + "-go-on", manual=True) as go_on:
        peer, late = peers(name=name, point=point), peers(name=name)
        peer.do(HALF_WAY)
        peer.start("handle = arrow.publish(name, table, progress=progress)")
        reached.wait()
        with pytest.raises(namedshm.NotReady, match=name):
            arrow.open(name, timeout=0)
        late.start("from namedshm import arrow; opened = arrow.open(name, timeout=60); opened.table['b'][499_999].as_py()")
        go_on.set()
        assert late.result() == 2
        peer.result()


@pytest.mark.parametrize("point", [0, 4_000_000, 8_000_000])
def test_a_publisher_killed_half_way_leaves_nothing(name: str, peers: Peers, point: int) -> None:
    with namedshm.Event(name + "-reached", manual=True) as reached, namedshm.Event(name + "-go-on", manual=True):
        peer = peers(name=name, point=point)
        peer.do(HALF_WAY)
        peer.start("handle = arrow.publish(name, table, progress=progress)")
        reached.wait()
        peer.kill()
        with pytest.raises(namedshm.NotFound):
            arrow.open(name)


WITHOUT_END = """
while True:
    try:
        arrow.publish(name, table).close()
    except namedshm.AlreadyExists:  # a reader still holds the one before
        pass
"""


@pytest.mark.timeout(600)
def test_publishers_killed_at_any_time_leave_a_whole_table_or_nothing(name: str, peers: Peers) -> None:
    """The peer publishes without end; it is killed when it was seen a few times, wherever it is then."""
    whole = 0
    for round in range(4):
        peer = peers(name=name)
        peer.do(MAKE)
        peer.start(WITHOUT_END)
        seen = 0
        while seen < 1 + round % 3:
            try:
                with arrow.open(name, timeout=60) as opened:
                    seen += 1
                    assert opened.num_rows == 500_000
                    assert opened.table["b"][499_999].as_py() == 2
            except (namedshm.NotFound, namedshm.NotReady):
                continue
        whole += seen
        del opened
        peer.kill()
        assert gone(name)
    assert whole == 1 + 2 + 3 + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_the_table(name: str, table: Any) -> None:
    handle = arrow.publish(name, table)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, str(handle.table["n"][999].as_py()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"999"
    os.close(reading)
    os.close(writing)
