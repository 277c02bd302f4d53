"""Libraries that speak Arrow read the section's memory: which of them copies what is stated in docs/tables.md, and counted here."""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import decimal
import io
from collections.abc import Callable
from typing import Any

import pytest
from helpers.extras import needs
from helpers.names import gone

pa = needs("pyarrow")

import namedshm
from namedshm import arrow

from . import samples

ROWS = 1000


def table() -> Any:
    return pa.table(
        {
            "number": pa.array(range(ROWS)),
            "float": pa.array([1.5] * ROWS),
            "time": pa.array(range(ROWS), pa.timestamp("us", "UTC")),
            "duration": pa.array(range(ROWS), pa.duration("us")),
            "number with nulls": pa.array([1, None] * (ROWS // 2)),
            "bool": pa.array([True, False] * (ROWS // 2)),
            "date": pa.array([1] * ROWS, pa.date32()),
            "decimal": pa.array([decimal.Decimal("1.25")] * ROWS),
            "text": pa.array([f"a text of some length {row}" for row in range(ROWS)]),
            "large text": pa.array([f"a text of some length {row}" for row in range(ROWS)], pa.large_string()),
            "text view": pa.array([f"a text of some length {row}" for row in range(ROWS)], pa.string_view()),
            "category": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
            "list": pa.array([[1, 2]] * ROWS),
        }
    )


# ------------------------------------------------------------------------------------------------------------ NumPy
def test_a_numpy_array_of_a_column_is_the_section_read_only(name: str) -> None:
    needs("numpy")
    handle = arrow.publish(name, table())
    column = handle.table["number"].chunk(0)
    array = column.to_numpy(zero_copy_only=True)
    assert array.__array_interface__["data"] == (column.buffers()[1].address, True)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    part = array[5:9]
    del handle, column, array
    assert not gone(name)
    assert part.tolist() == [5, 6, 7, 8]
    del part
    assert gone(name)


# ------------------------------------------------------------------------------------------------------------ pandas
def test_pandas_with_arrow_types_copies_nothing(name: str) -> None:
    pandas = needs("pandas")
    handle = arrow.publish(name, table())
    handle.table.to_pandas(types_mapper=pandas.ArrowDtype)
    with samples.counting() as pool:
        frame = handle.table.to_pandas(types_mapper=pandas.ArrowDtype)
    assert pool.arrow.max_memory() < 1000  # descriptions of types
    del handle
    assert not gone(name)
    assert frame["text"][7] == "a text of some length 7"
    del frame
    assert gone(name)


PANDAS_COPIES = ("number with nulls", "bool", "date", "decimal", "category", "list")


def test_pandas_with_numpy_types_copies_what_the_page_says(name: str) -> None:
    numpy, _ = needs("numpy"), needs("pandas")
    handle = arrow.publish(name, table())
    for column in ("number", "float", "time", "duration"):
        frame = handle.table.select([column]).to_pandas(split_blocks=True, zero_copy_only=True)
        there = numpy.asarray(frame[column].array.view("i8" if column != "float" else "f8"))
        assert there.__array_interface__["data"][0] == handle.table[column].chunk(0).buffers()[1].address
    for column in PANDAS_COPIES:
        with pytest.raises(pa.ArrowInvalid):
            handle.table.select([column]).to_pandas(split_blocks=True, zero_copy_only=True)


def test_a_data_frame_comes_back_with_its_index(name: str) -> None:
    pandas = needs("pandas")
    index = pandas.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["letter", "number"])
    frame = pandas.DataFrame({"x": [1.5, None, 3.0], "t": ["p", None, "r"]}, index=index)
    frame.attrs["source"] = "test"
    with arrow.publish(name, frame), arrow.open(name) as opened:
        pandas.testing.assert_frame_equal(opened.table.to_pandas(), frame)
    with arrow.publish(name, pa.Table.from_pandas(frame)), arrow.open(name) as opened:
        pandas.testing.assert_frame_equal(opened.table.to_pandas(), frame)


def test_pandas_takes_the_handle_itself(name: str) -> None:
    pandas = needs("pandas")
    if not hasattr(pandas.DataFrame, "from_arrow"):
        pytest.skip("pandas 3 can")
    frame = pandas.DataFrame({"x": [1, 2, 3]}, index=pandas.Index([5, 6, 7], name="i"))
    with arrow.publish(name, frame), arrow.open(name) as opened:
        pandas.testing.assert_frame_equal(pandas.DataFrame.from_arrow(opened), frame)


# ------------------------------------------------------------------------------------------------------------ polars
POLARS_COPIES = ("bool", "category")


def test_polars_copies_what_the_page_says(name: str) -> None:
    polars = needs("polars")
    handle = arrow.publish(name, table())
    frame = polars.DataFrame(handle)
    copied = []
    for column in frame.columns:
        ours = {buffer.address for buffer in samples.buffers(handle.table.select([column]))}
        there = frame[column].to_arrow(compat_level=polars.CompatLevel.newest())
        data = [buffer for buffer in there.buffers() if buffer is not None and buffer.size > ROWS]
        if not any(buffer.address in ours for buffer in data):
            copied.append(column)
    assert set(copied) == set(POLARS_COPIES)


def test_a_polars_series_keeps_name_and_memory(name: str) -> None:
    polars = needs("polars")
    handle = arrow.publish(name, table())
    series = polars.DataFrame(handle)["number"].slice(5, 4)
    del handle
    assert not gone(name)
    assert series.to_list() == [5, 6, 7, 8]
    del series
    assert gone(name)


def test_polars_frames_come_back_as_they_were(name: str) -> None:
    polars = needs("polars")
    frame = polars.DataFrame(
        {
            "n": [1, None, 3],
            "t": ["a", None, "x" * 40],
            "c": polars.Series(["u", "v", "u"], dtype=polars.Categorical),
            "l": [[1], [], None],
        }
    )
    with arrow.publish(name, frame), arrow.open(name, validate="full") as opened:
        needs("polars.testing").assert_frame_equal(polars.DataFrame(opened), frame)


def test_a_query_of_duckdb_reads_the_handle_and_can_be_published(name: str, names: Callable[[], str]) -> None:
    duckdb = needs("duckdb")
    handle = arrow.publish(name, table())
    with duckdb.connect() as database:
        database.register("handle", handle)
        assert database.sql("select sum(number) from handle where bool").fetchall() == [(sum(range(0, ROWS, 2)),)]
        with arrow.publish(names(), database.sql("select range as n from range(1000)")) as result:
            assert result.table["n"].to_pylist() == list(range(1000))
        database.unregister("handle")
    del handle, database
    assert gone(name)


def test_a_file_that_polars_wrote_opens(name: str) -> None:
    polars = needs("polars")
    frame = polars.concat([polars.DataFrame(table())] * 3, rechunk=False)
    file = io.BytesIO()
    frame.write_ipc(file, compression="uncompressed")
    with namedshm.create(name, len(file.getvalue())) as section, section.map() as view:
        view[:] = file.getvalue()
        with arrow.open(name, validate="full") as opened:
            assert polars.DataFrame(opened).equals(frame)
            assert opened.table["category"].to_pylist() == ["a", "b"] * (3 * ROWS // 2)


def test_polars_reads_the_section_as_a_file(name: str) -> None:
    """A reader of the format that shares no code with pyarrow's."""
    polars = needs("polars")
    with arrow.publish(name, table()) as handle:
        data = namedshm.open(name, "read").map()[:]
        assert polars.read_ipc(data).equals(polars.DataFrame(handle))
        assert polars.read_ipc_stream(data[8:]).equals(polars.DataFrame(handle))


# ---------------------------------------------------------------------------------------------------- what Arrow cannot hold
UNFIT: dict[str, Callable[[Any, Any], Any]] = {
    "objects of polars": lambda pd, pl: pl.DataFrame({"x": [1], "y": pl.Series([object()], dtype=pl.Object)}),
    "a series of objects of polars": lambda pd, pl: pl.Series("y", [object()], dtype=pl.Object),
    "columns of one name": lambda pd, pl: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "an integer beyond 64 bits": lambda pd, pl: pd.DataFrame({"a": [1 << 70]}),
    "a sparse column": lambda pd, pl: pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "objects of pandas": lambda pd, pl: pd.DataFrame({"a": [object()]}),
    "a mixed column": lambda pd, pl: pd.DataFrame({"a": [1, "x"]}),
    "complex numbers": lambda pd, pl: pd.DataFrame({"a": [1j]}),
    "a MultiIndex of one level": lambda pd, pl: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("x",)])),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_arrow_cannot_hold_is_refused_with_a_remedy_and_leaves_no_name(name: str, what: str) -> None:
    frame = UNFIT[what](needs("pandas"), needs("polars"))
    with pytest.raises(namedshm.InvalidArgument, match=rf"Cannot publish the table {name!r}: .+\. \w+"):
        arrow.publish(name, frame)
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_a_multiindex_of_two_levels_comes_back(name: str) -> None:
    pd = needs("pandas")
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("x", "a"), ("x", "b")]))
    with arrow.publish(name, frame) as held:
        pd.testing.assert_frame_equal(held.table.to_pandas(), frame)


def test_nested_types_of_polars_that_only_look_like_objects_are_published(name: str) -> None:
    pl = needs("polars")
    frame = pl.DataFrame({"Object": [{"Object": [1, 2]}]})
    with arrow.publish(name, frame) as held:
        assert pl.from_arrow(held.table).to_dicts() == frame.to_dicts()
