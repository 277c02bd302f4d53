"""Bytes that are no table, or a table that somebody made to do harm: an error that says so, and nothing worse.

Where pyarrow could crash, it does so in another process, which then fails the test.
"""

# ruff: noqa: E402 (without pyarrow nothing is imported that needs it)

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.extras import needs
from helpers.ids import plain as spelled
from helpers.peer import Peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pa = needs("pyarrow")

import namedshm
from namedshm import arrow
from namedshm._formats.arrow_ipc import Damaged, _blocks, check

from . import flat, samples

Opens = Callable[..., Any]


@pytest.fixture
def opens(name: str) -> Opens:
    """opens(bytes) is what arrow.open() makes of a section with these bytes."""

    def put(data: bytes, **options: Any) -> Any:
        with namedshm.create(name, max(1, len(data))) as section, section.map() as view:
            view[: len(data)] = data
            return arrow.open(name, timeout=0, **options)

    return put


def file_of(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=20)
    data: bytes = sink.getvalue().to_pybytes()
    return data


@pytest.fixture(scope="module")
def plain() -> bytes:
    return file_of(pa.table({"n": pa.array(range(50)), "d": pa.array(["a", "b"] * 25).dictionary_encode()}))


# ------------------------------------------------------------------------------------------------------------ other content
@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"1234567",
        b"12345678",
        b"\x93NUMPY\x01\0" + bytes(200),
        b"ARROW1\0\0",
        b"ARROW1\0\0ARROW1",
        b"PAR1" + bytes(100),
        b"\xff" * 4096,
    ],
    ids=spelled,
)
def test_other_content_is_told(opens: Opens, name: str, data: bytes) -> None:
    with pytest.raises(namedshm.InvalidContent, match=name):
        opens(data)


def test_zeros_are_not_ready(opens: Opens) -> None:
    with pytest.raises(namedshm.NotReady):
        opens(bytes(5000))


def test_a_refused_section_is_not_held(opens: Opens, name: str) -> None:
    with pytest.raises(namedshm.InvalidContent) as caught:
        opens(b"\xff" * 4096)
    with pytest.raises(namedshm.NotFound):  # though the traceback still is
        namedshm.open(name)
    assert caught.value.object_name == name


def test_reserved_memory_that_is_not_there_is_told(name: str) -> None:
    with namedshm.create(name, 1 << 20, reserve=True) as section, section.map() as view:
        with pytest.raises(namedshm.NamedShmError, match=name):
            arrow.open(name, timeout=0)
        view.commit(0, 4096)
        view[:8] = flat.MAGIC
        with pytest.raises(namedshm.InvalidContent, match="committed"):
            arrow.open(name, timeout=0)


def test_a_file_cut_anywhere_is_no_table(opens: Opens, plain: bytes) -> None:
    for length in range(8, len(plain)):
        with pytest.raises(namedshm.InvalidContent):
            opens(plain[:length])
    assert opens(plain).num_rows == 50


@pytest.mark.parametrize("length", [-1, 0, 1, 7, 1 << 20, (1 << 31) - 1, -(1 << 31)])
def test_a_footer_of_an_impossible_length_is_told(opens: Opens, plain: bytes, length: int) -> None:
    with pytest.raises(namedshm.InvalidContent):
        opens(plain[:-10] + struct.pack("<i", length) + plain[-6:])


# ------------------------------------------------------------------------------------------------------------ what would be copied
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_tables_are_refused(opens: Opens, codec: str) -> None:
    if not pa.Codec.is_available(codec):
        pytest.skip(f"this pyarrow has no {codec}")
    table = pa.table({"n": [7] * 1000})
    with pytest.raises(namedshm.InvalidContent, match="without compression"):
        opens(file_of(table, compression=codec))


def test_dictionaries_in_parts_are_refused(opens: Opens) -> None:
    parts = [pa.DictionaryArray.from_arrays(pa.array([n - 1]), pa.array(list("abc")[:n])) for n in (1, 2, 3)]
    table = pa.table({"d": pa.chunked_array(parts)})
    with pytest.raises(namedshm.InvalidContent, match="deltas"):
        opens(file_of(table, emit_dictionary_deltas=True))


def test_the_other_byte_order_is_refused(opens: Opens) -> None:
    fields: list[flat.Part] = [flat.number(flat.Bytes(b"n"))]
    assert opens(flat.file(fields)).schema.names == ["n"]
    with pytest.raises(namedshm.InvalidContent, match="byte order"):
        opens(flat.file(fields, big_endian=True))


def bomb_of_pairs(times: int, size: int) -> bytes:
    return flat.file([flat.number(flat.Bytes(b"n"))], [flat.pair(b"key", b"v" * size)] * times)


def bomb_of_fields(times: int, size: int) -> bytes:
    return flat.file([flat.number(flat.Bytes(b"n" * size))] * times)


def bomb_of_names(times: int, size: int) -> bytes:
    name = flat.Bytes(b"n" * size)
    return flat.file([flat.number(name) for _ in range(times)])


def bomb_of_zones(times: int, size: int) -> bytes:
    type = flat.Table({0: ("<h", 2), 1: flat.Bytes(b"z" * size)})
    return flat.file([flat.field(flat.Bytes(b"n"), 10, type) for _ in range(times)])


@pytest.mark.parametrize("bomb", [bomb_of_pairs, bomb_of_fields, bomb_of_names, bomb_of_zones])
def test_metadata_that_says_the_same_again_and_again_is_refused(opens: Opens, bomb: Callable[[int, int], bytes]) -> None:
    """A hundred references to 10 KB are a megabyte in memory, a million to 100 MB are more than there is."""
    assert len(opens(bomb(1, 10_000)).schema) == 1
    data = bomb(100, 10_000)
    assert len(data) < 30_000
    assert pa.ipc.open_file(data).schema  # pyarrow alone would
    with pytest.raises(namedshm.InvalidContent, match="again and again"):
        opens(data)


def test_a_schema_that_doubles_with_every_level_is_refused(opens: Opens) -> None:
    name = flat.Bytes(b"n")
    field = flat.number(name)
    for _ in range(60):
        field = flat.field(name, 13, flat.Table({}), field, field)
    with pytest.raises(namedshm.InvalidContent, match="again and again"):
        opens(flat.file([field]))


def test_a_schema_deeper_than_any_is_refused(opens: Opens) -> None:
    for depth in (20, 300):
        field = flat.number(flat.Bytes(b"n"))
        for _ in range(depth):
            field = flat.field(flat.Bytes(b"n"), 13, flat.Table({}), field)
        if depth == 20:
            assert str(opens(flat.file([field])).schema.field(0).type).count("struct<") == depth
        else:
            with pytest.raises(namedshm.InvalidContent):
                opens(flat.file([field]))


def test_messages_that_overlap_are_refused(opens: Opens, plain: bytes) -> None:
    footer_at = len(plain) - 10 - struct.unpack("<i", plain[-10:-6])[0]
    blocks = [footer_at + block.place for block in _blocks(plain[footer_at:-10])]
    data = bytearray(plain)
    data[blocks[-1] : blocks[-1] + 24] = data[blocks[-2] : blocks[-2] + 24]
    with pytest.raises(namedshm.InvalidContent, match="overlap"):
        opens(bytes(data))


@pytest.mark.parametrize(
    "block",
    [
        (1 << 40, 64, 64),
        (-64, 64, 64),
        (8, -64, 64),
        (8, 64, -64),
        (8, 64, 1 << 40),
        (8, 64, (1 << 63) - 1),
        (9, 64, 64),
        (8, 3, 0),
    ],
)
def test_messages_outside_the_file_are_refused(opens: Opens, block: tuple[int, int, int]) -> None:
    with pytest.raises(namedshm.InvalidContent):
        opens(flat.file([flat.number(flat.Bytes(b"n"))], blocks=struct.pack("<qi4xq", *block)))


def test_buffers_outside_their_message_are_refused(opens: Opens, plain: bytes) -> None:
    """Every number of eight bytes in every message, made absurd."""
    refused = 0
    for value in (-8, 1 << 20, 1 << 40, (1 << 63) - 8):
        for at in range(8, len(plain) - 400, 8):
            data = bytearray(plain)
            struct.pack_into("<q", data, at, value)
            try:
                opens(bytes(data), validate="full")
            except namedshm.InvalidContent:
                refused += 1
    assert refused > 100


# ------------------------------------------------------------------------------------------------------------ code
def test_a_pickle_in_the_metadata_is_not_run(opens: Opens, tmp_path: Path) -> None:
    """pyarrow once kept Python types as pickles, in fields marked like this."""
    trap = tmp_path / "run"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (trap,)

    for label in (b"arrow.py_extension_type", b"pandas.period", b"arrow.opaque", b"unknown"):
        marks = {b"ARROW:extension:name": label, b"ARROW:extension:metadata": pickle.dumps(Trap())}
        table = pa.table([pa.array([1, 2])], schema=pa.schema([pa.field("x", pa.int64(), metadata=marks)]))
        try:
            assert opens(file_of(table)).num_rows == 2
        except namedshm.InvalidContent:
            assert label != b"unknown"
        assert not trap.exists()
    pickle.loads(pickle.dumps(Trap()))
    assert trap.exists()  # it would have been seen


@pytest.fixture
def _refusing() -> Iterator[None]:
    class Refusing(samples.Point):
        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, data: bytes) -> samples.Point:
            raise RuntimeError("no")

    pa.register_extension_type(Refusing())
    yield
    pa.unregister_extension_type("namedshm.test.point")


@pytest.mark.usefixtures("_refusing")
def test_an_extension_type_that_refuses_its_metadata_is_told(opens: Opens) -> None:
    storage = samples.columns()["extension"].storage
    field = pa.field("x", storage.type, metadata={"ARROW:extension:name": "namedshm.test.point"})
    with pytest.raises(namedshm.InvalidContent):
        opens(file_of(pa.table([storage], schema=pa.schema([field]))))


# ------------------------------------------------------------------------------------------------------------ wrong values
def misled() -> dict[str, Any]:
    """Tables that are well-formed, and wrong in one value."""
    index = pa.array([0, 7, 0], pa.int8())
    offsets = struct.pack("<4i", 0, 1 << 20, 2, 3)
    return {
        "index": pa.DictionaryArray.from_arrays(index, pa.array(["a"]), safe=False),
        "offset": pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(offsets), pa.py_buffer(b"abc")]),
        "utf-8": pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(struct.pack("<2i", 0, 1)), pa.py_buffer(b"\xff")]),
        "list": pa.Array.from_buffers(
            pa.list_(pa.int8()), 3, [None, pa.py_buffer(offsets)], children=[pa.array([1, 2, 3], pa.int8())]
        ),
    }


@pytest.mark.parametrize("kind", ["index", "offset", "utf-8", "list"])
def test_full_validation_looks_at_every_value(opens: Opens, kind: str) -> None:
    data = file_of(pa.table({"x": misled()[kind]}))
    with pytest.raises(namedshm.InvalidContent):
        opens(data, validate="full")
    assert opens(data).num_rows >= 1  # the publisher is trusted with values


# ------------------------------------------------------------------------------------------------------------ anything at all
MUTANTS = """
import pyarrow as pa
from namedshm import arrow, errors
def attempt(data, validate):
    with namedshm.create(None, len(data)) as section, section.map() as view:
        view[:] = data
        try:
            opened = arrow._read(section.duplicate('read'), 0, validate, False)
        except (errors.InvalidContent, errors.NotReady):
            return 'refused'
    opened.__arrow_c_stream__(), opened.schema.to_string(), opened.num_rows, repr(opened)
    if validate == 'full':
        try:
            opened.table.to_pylist()
        except MemoryError:
            raise
        except Exception:
            return 'not for Python'  # a date Python has no name for, two fields of one name
    return 'opened'
"""


@pytest.fixture(scope="module")
def suspect() -> Iterator[Peer]:
    """A process that opens what may crash it, with 2 GB of address space beside what it has."""
    with Peer() as peer:
        peer.do(MUTANTS)
        peer.do(
            "if sys.platform == 'linux':\n"
            "    import resource\n"
            "    has = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
            "    resource.setrlimit(resource.RLIMIT_AS, (has + (2 << 30),) * 2)\n"
        )
        yield peer


@pytest.fixture(scope="module")
def originals() -> list[bytes]:
    columns = samples.columns()
    tables = [pa.table({"x": column.slice(0, 9)}) for column in columns.values()]
    tables.append(pa.table({kind: column.slice(3, 40) for kind, column in columns.items()}, metadata={"about": "all"}))
    return [file_of(table) for table in tables]


NUMBERS = [0, 1, 2, 3, 4, 7, 8, 64, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, 1 << 63, (1 << 64) - 8]


def mutant(data: bytes, luck: random.Random) -> bytes:
    """The bytes with one to eight changes of the kinds that get furthest."""
    changed = bytearray(data)
    for _ in range(luck.choice((1, 1, 1, 2, 3, 8))):
        at, how = luck.randrange(len(changed)), luck.random()
        if how < 0.4:
            changed[at] = luck.randrange(256)
        elif how < 0.6:
            changed[at] ^= 1 << luck.randrange(8)
        elif how < 0.9:
            width = luck.choice((1, 2, 4, 8))
            at -= at % width
            here = int.from_bytes(changed[at : at + width], "little")
            value = luck.choice([*NUMBERS, len(changed), luck.randrange(len(changed)), here + 8, here - 8, here + 1, here - 1])
            changed[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        else:
            other, length = luck.randrange(len(changed)), luck.randrange(64)
            changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("validate", ["structure", "full"])
def test_no_change_of_bytes_does_worse_than_an_error(suspect: Peer, originals: list[bytes], validate: str) -> None:
    seen = {"refused": 0, "opened": 0, "not for Python": 0}

    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(which=st.integers(0, len(originals) - 1), luck=st.randoms(use_true_random=False))
    def attempts(which: int, luck: random.Random) -> None:
        outcome = suspect.do("attempt(data, validate)", data=mutant(originals[which], luck), validate=validate)
        seen[outcome] += 1

    attempts()
    assert seen["refused"] > 100
    assert seen["opened"] > 100


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_looked_at_without_harm(data: bytes) -> None:
    for file in (data, flat.MAGIC + data + struct.pack("<i", len(data)) + flat.MAGIC[:6]):
        with pytest.raises(Damaged):
            check(memoryview(file))
