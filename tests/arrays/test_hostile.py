"""Bytes that anybody wrote: opening them gives an error or the array they say, and never a crash, a large allocation or a call."""

from __future__ import annotations

import io
import itertools
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
from helpers.peer import Peer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import namedshm
from namedshm import arrays
from namedshm._formats import array_layout, publication
from namedshm._formats import npy as headers


def section_of(name: str, data: bytes, size: int | None = None) -> namedshm.Section:
    section = namedshm.create(name, size or len(data))
    with section.map() as view:
        view[: len(data)] = data
    return section


def npy(text: str | bytes, version: bytes = b"\1\0", length: int | None = None, after: bytes = bytes(64)) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    digits = "<H" if version == b"\1\0" else "<I"
    return b"\x93NUMPY" + version + struct.pack(digits, len(data) if length is None else length) + data + after


def header(descr: str = "'<f8'", order: str = "False", shape: str = "(3,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def refused(name: str, data: bytes) -> namedshm.InvalidContent:
    with section_of(name, data), pytest.raises(namedshm.InvalidContent, match=name) as caught:
        arrays.open(name, timeout=0)
    with pytest.raises(namedshm.NotFound):  # though the error lives, with its traceback, the name is held by nobody
        namedshm.open(name)
    return caught.value


# ------------------------------------------------------------------------------------------------------------ what is refused
DEEP = 10_000
BAD = {
    "another file": b"ARROW1\0\0" + bytes(100),
    "random bytes": bytes(range(1, 200)),
    "version 0": npy(header(), b"\0\1"),
    "version 4": npy(header(), b"\4\0"),
    "version 1.1": npy(header(), b"\1\1"),
    "too short for a length": b"\x93NUMPY\1\0",
    "half a length": b"\x93NUMPY\1\0\x10",
    "no header": npy(""),
    "a header longer than the section": npy(header(), length=60000),
    "a header of 4 GiB": npy(header(), b"\2\0", length=0xFFFFFFFF),
    "a header of 2 MiB": npy(header() + " " * (2 << 20), b"\2\0"),
    "a truncated header": npy(header(), length=30),
    "not Latin-1 in version 3": npy(b"\xff\xfe" + header().encode(), b"\3\0"),
    "nothing but spaces": npy(" " * 100),
    "two values": npy(header().strip() + "5"),
    "no closing bracket": npy(header().replace("}", "")),
    "a wrong closing bracket": npy(header().replace("}", ")")),
    "a colon too few": npy(header().replace("'shape':", "'shape'")),
    "a comma too few": npy(header().replace("'<f8',", "'<f8'")),
    "a list": npy("[]"),
    "a number": npy("5"),
    "no shape": npy("{'descr': '<f8', 'fortran_order': False}"),
    "one key too many": npy(header().replace("}", "'more': 1}")),
    "keys that are numbers": npy("{1: 2, 3: 4, 5: 6}"),
    "keys that are lists": npy("{[]: 2, 3: 4, 5: 6}"),
    "a call": npy(header(shape="(__import__('os').getpid(),)")),
    "a comprehension": npy(header(shape="tuple(x for x in (3,))")),
    "an operator": npy(header(shape="(3*1,)")),
    "a formatted string": npy(header(descr="f'<f8'")),
    "bytes": npy(header(descr="b'<f8'")),
    "a broken escape": npy(header(descr=r"'\x<f8'")),
    "a string without an end": npy(header(descr="'<f8")),
    "a name": npy(header(shape="None")),
    "a negative length": npy(header(shape="(-3,)")),
    "a length with a point": npy(header(shape="(3.0,)")),
    "a length that is True": npy(header(shape="(True,)")),
    "a shape in brackets only": npy(header(shape="(3)")),
    "a list for a shape": npy(header(shape="[3]")),
    "more than there is": npy(header(shape="(9,)")),
    "far more than there is": npy(header(shape="(1000000000,)")),
    "a product that overflows": npy(header(shape="(4294967296, 4294967296, 2)")),
    "a product that overflows to 0": npy(header(shape="(9223372036854775808, 2)")),
    "a length of 20 digits": npy(header(shape="(99999999999999999999,)")),
    "a length of 5,000 digits": npy(header(shape="(" + "9" * 5000 + ",)")),
    "too many dimensions": npy(header(shape="(" + "1," * 65 + ")")),
    "nothing, of a length nobody has": npy(header(shape="(0, 99999999999999999999)")),
    "an order that is a number": npy(header(order="1")),
    "an order that is a text": npy(header(order="'False'")),
    "objects": npy(header(descr="'|O'")),
    "objects by another name": npy(header(descr="'object'")),
    "objects of 8 bytes": npy(header(descr="'O8'")),
    "objects in a field": npy(header(descr="[('a', '<f8'), ('b', '|O')]")),
    "objects in a field of a field": npy(header(descr="[('a', [('b', 'O', (1,))])]")),
    "texts of any length": npy(header(descr="'T'")),
    "texts of any length, as NumPy calls them": npy(header(descr="'|T16'")),
    "no such type": npy(header(descr="'<q9'")),
    "no such size": npy(header(descr="'<f7'")),
    "several types in one text": npy(header(descr="'f8,f8'")),
    "an array in a text": npy(header(descr="'(2,2)f8'")),
    "a name of a type": npy(header(descr="'float64'")),
    "a huge text": npy(header(descr="'<U999999999999'", shape="(1,)")),
    "an item that overflows": npy(header(descr="'S9223372036854775808'", shape="(1,)")),
    "no such unit": npy(header(descr="'<M8[parsec]'")),
    "a multiple that overflows": npy(header(descr="'<M8[99999999999999999D]'")),
    "a huge array in a field": npy(header(descr="[('a', '<f8', (4294967296, 4294967296))]", shape="(1,)")),
    "a negative array in a field": npy(header(descr="[('a', '<f8', (-1,))]")),
    "a number for a type": npy(header(descr="8")),
    "a dictionary for a type": npy(header(descr="{'names': ['a'], 'formats': ['O']}")),
    "a field without a type": npy(header(descr="[('a',)]")),
    "a field with too much": npy(header(descr="[('a', '<f8', (1,), 5)]")),
    "a field that is a list": npy(header(descr="[['a', '<f8']]")),
    "a field named by a number": npy(header(descr="[(5, '<f8')]")),
    "a title that is a list": npy(header(descr="[((['t'], 'a'), '<f8')]")),
    "a field twice": npy(header(descr="[('a', '<f4'), ('a', '<f4')]")),
    "an array type on its own": npy(header(descr="('<f8', (3,))", shape="(1,)")),
    "deep lists": npy(header(descr="[" * DEEP + "]" * DEEP)),
    "deep tuples": npy(header(shape="(" * DEEP + ")" * DEEP)),
    "deep dictionaries": npy(header(descr="{'a':" * DEEP + "1" + "}" * DEEP)),
    "deep fields": npy(header(descr="[('a'," * 500 + "'<f8'" + ")]" * 500)),
    "deep signs": npy(header(shape="(" + "-" * DEEP + "1,)")),
    "backslashes": npy(header(descr="'" + "\\\\" * DEEP + "'")),
    "quotes": npy("'" * 30000),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_array_is_refused_without_large_allocations(name: str, data: bytes) -> None:
    tracemalloc.start()
    try:
        refused(name, data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200_000 + 100 * len(data)


@pytest.mark.parametrize("what", [what for what in BAD if "objects" in what])
def test_objects_are_named_as_the_reason(name: str, what: str) -> None:
    if "another name" not in what:
        assert "Python objects" in str(refused(name, BAD[what]))


def test_zeros_are_not_ready(name: str) -> None:
    with section_of(name, bytes(1000)), pytest.raises(namedshm.NotReady, match=name):
        arrays.open(name, timeout=0)


def test_a_section_of_a_few_bytes_holds_no_array(name: str) -> None:
    for size in range(1, 12):
        refused(name, b"\x93NUMPY\1\0\x10\0{}"[:size])


def test_a_pickle_in_the_place_of_an_object_array_is_never_loaded(name: str, tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "exploded"), "w")

    file = io.BytesIO()
    np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    assert b"exploded" in file.getvalue()
    assert "Python objects" in str(refused(name, file.getvalue()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_truncated_file_is_refused(name: str, cut: int) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(9.0))
    assert len(file.getvalue()) == 200
    refused(name, file.getvalue()[:cut])


# ------------------------------------------------------------------------------------------------------------ what is taken
GOOD = {
    "as other languages write it": header().strip().replace(", }", "}"),
    "in another order": "{'shape': (3,), 'fortran_order': False, 'descr': '<f8'}",
    "in double quotes": header().replace("'", '"'),
    "with more space": header().replace(" ", "  \n\t"),
    "as Python 2 wrote it": header(shape="(3L,)"),
    "with an escape": header(descr="'\\x3cf8'"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"], ids=["1.0", "2.0", "3.0"])
def test_every_way_to_write_a_header_is_read(name: str, text: str, version: bytes) -> None:
    with section_of(name, npy(text, version, after=struct.pack("<3d", 1, 2, 3))):
        assert arrays.open(name).tolist() == [1, 2, 3]


def test_bytes_after_the_elements_do_not_matter(name: str) -> None:
    with section_of(name, npy(header(), after=struct.pack("<3d", 1, 2, 3) + b"more" * 1000)):
        assert arrays.open(name).tolist() == [1, 2, 3]


def test_a_type_that_this_machine_has_not_is_refused(name: str) -> None:
    other = "'<f12'" if np.dtype("longdouble").itemsize != 12 else "'<f16'"
    refused(name, npy(header(descr=other)))


# ------------------------------------------------------------------------------------------------------------ changed meanwhile
def test_a_header_is_copied_before_it_is_looked_at(name: str) -> None:
    # whoever changes it between check and use changes nothing: every byte is read once
    data = npy(header())

    class Counting(namedshm.View):
        reads: list[range] = []  # noqa: RUF012

        def __getitem__(self, index):
            self.reads.append(range(len(self))[index])
            return super().__getitem__(index)

    with section_of(name, data) as section:
        view = section.map(kind=Counting)
        first = publication.published(view, 0)
        assert first is not None
        found = array_layout.decode(view, first)
    assert found.shape == (3,)
    bytes_read = [byte for read in view.reads for byte in read]
    assert len(bytes_read) == len(set(bytes_read))
    assert min(bytes_read) == 8


def test_headers_that_change_all_the_time_give_an_error_or_one_of_the_arrays(name: str, peers: Callable[[], Peer]) -> None:
    small, large = npy(header(shape="(3,)"), after=b""), npy(header(shape="(9,)"), after=b"")
    evil = npy(header(descr="'|O'", shape="(3,) "), after=b"")[: len(small)]
    with section_of(name, small, len(small) + 72):
        peer = peers()
        peer.do("v = namedshm.open(name).map(); import itertools", name=name)
        peer.start(
            "for n, data in zip(range(200000), itertools.cycle(these)): v[8:len(data)] = data[8:]", these=[small, large, evil]
        )
        seen = set()
        for _ in range(3000):
            try:
                seen.add(arrays.open(name).shape)
            except namedshm.InvalidContent:
                seen.add("refused")
        peer.result()
    assert seen <= {(3,), (9,), "refused"}


# ------------------------------------------------------------------------------------------------------------ fuzzing
SEEDS = [
    npy(header()),
    npy(header(descr="[('a', '<f4'), (('t', 'b'), '|S3', (2,)), ('', '|V5'), ('c', [('d', '<M8[25s]')])]", shape="(2, 1)")),
    npy(header(descr="'<U3'", order="True", shape="(2, 1, 1)"), b"\2\0"),
    npy(header(descr="[('Größe', '>i4')]", shape="()"), b"\3\0"),
]
NUMBERS = itertools.count()
PIECES = [
    "'",
    '"',
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\\",
    "-",
    "9" * 15,
    "O",
    "|",
    "<",
    "L",
    "\0",
    "é",
    "True",
    "(2,)",
    "''",
]


@st.composite
def mutated(draw) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(6, len(data) - 1))
        what = draw(st.integers(0, 3))
        if what == 0:
            data[at] = draw(st.integers(0, 255))
        elif what == 1:
            data[at:at] = draw(st.sampled_from(PIECES)).encode()
        elif what == 2:
            del data[at : at + draw(st.integers(1, 9))]
        else:
            end = at + draw(st.integers(1, 20))
            data[at:at] = data[at:end]
        if len(data) < 20:
            break
    if draw(st.booleans()) and len(data) > 12:  # a length that fits, so that more than the length is tested
        start = 10 if data[6] == 1 else 12
        data[8:start] = max(0, len(data) - start - 64).to_bytes(start - 8, "little")
    return bytes(data)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@example(npy(header(descr="[('a', '<f8'), ('b', '|O')]")))
@given(mutated() | st.binary(min_size=8, max_size=300) | st.binary(max_size=200).map(lambda b: npy(b)))
def test_any_bytes_give_an_array_within_the_section_or_an_error(data: bytes) -> None:
    name = f"fuzz{next(NUMBERS)}"  # a failed example may keep its own
    with section_of(name, data):
        tracemalloc.start()
        try:
            array = arrays.open(name, timeout=0)
            assert not array.dtype.hasobject
            start = array.__array_interface__["data"][0] - arrays._held(array).address
            assert 0 <= start <= start + array.nbytes <= len(data)
            array.tobytes()
            if array.dtype.kind not in "UV":  # numbers that are no characters NumPy itself refuses to show
                repr(array)
        except (namedshm.InvalidContent, namedshm.NotReady):
            pass
        finally:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert most < 1 << 20


TEXTS = st.recursive(
    st.sampled_from(["1", "'<f8'", "'descr'", "True", "'a'", "0", "'|O'", "(2,)", "''"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: "(" + ", ".join(parts) + ",)" if parts else "()")
        | st.lists(inner, max_size=4).map(lambda parts: "[" + ", ".join(parts) + "]")
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(TEXTS, TEXTS)
def test_literals_are_read_as_python_reads_them(one: str, two: str) -> None:
    import ast

    text = f"{{'descr': {one}, 'shape': {two}}}"
    assert headers._literal(text) == ast.literal_eval(text)


@settings(max_examples=400, deadline=None)
@example("<f8", (), False, "", "")
@example("<f8", (3,), False, "(3,", "(3")
@example("<f8", (3,), False, "'<f8'", '"<f8"')
@example("<f8", (3,), False, ", }", "}")
@given(
    st.sampled_from(["<f8", "|b1", "<M8[ns]", "", "it's", "\\", "é"]),
    st.lists(st.integers(0, 10**19), max_size=4).map(tuple),
    st.booleans(),
    st.sampled_from(["", ",", ", ", " ", "True", "'", "(", ")", "0"]),
    st.sampled_from(["", ",", ",,", "  ", "\n", '"', "-1", "L", "5"]),
)
def test_what_numpy_saves_is_read_as_any_other_literal(descr, shape, fortran, old: str, new: str) -> None:
    text = headers.encode(descr, shape, fortran)[10:].decode("latin-1")
    text = text.replace(old, new, 1) if old else text

    def said() -> object:
        try:
            return headers.parse(b"\x93NUMPY\1\0", text.encode("latin-1"))
        except headers.REFUSALS:
            return "refused"

    quickly = said()
    with mock.patch.object(headers, "_SAVED", re.compile("(?!)")):  # matches nothing
        assert said() == quickly


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, TEXTS)
def test_any_literals_as_dtype_and_shape_give_an_array_or_an_error(descr: str, shape: str) -> None:
    name = f"fuzz{next(NUMBERS)}"
    with section_of(name, npy(header(descr=descr, shape=shape))):
        try:
            array = arrays.open(name, timeout=0)
        except namedshm.InvalidContent:
            return
        assert array.nbytes <= 64
        assert not array.dtype.hasobject


# ------------------------------------------------------------------------------------------------------------ how long it takes
#: Texts in which something is begun again and again, each as long as a header may be (1 MiB).  With work for each beginning they
#: take hours; with one pass, less than a second.
LONG = {
    "quotes that never end": r"'" + r"\'" * 524_000,
    "other quotes that never end": r'"' + r"\"" * 524_000,
    "both": r"""'"\'\"""" + r"""\'\"""" * 262_000,
    "an escape that is none, at the end": "'" + r"\'" * 524_000 + r"\q",
    "quotes in a field": "{'descr': [('" + r"\'" * 524_000,
    "quotes after a value": "1 " + r"\'" * 524_000,
    "quotes": "'" * 1_048_000,
    "quotes and lines": "'\n" * 524_000,
    "spaces": " " * 1_048_000,
    "spaces and a quote": " " * 1_048_000 + "'",
    "spaces between": "( " * 524_000,
    "backslashes": "\\" * 1_048_000,
    "digits": "1" * 1_048_000,
    "numbers": "(" + "1," * 524_000,
    "a shape": header(shape="(" + "2," * 500_000 + ")"),
    "a shape as numpy.save writes it": header(shape="(" + "2, " * 340_000 + "2)"),
    "a shape of large numbers": header(shape="(" + "9" * 19 + ", " + "9999999999999999999, " * 49_000 + "2)"),
    "a shape of a field": header(descr="[('x', '<f8', (" + "2," * 500_000 + "))]"),
    "shapes within shapes": header(descr="(" * 30 + "'<f8'" + ", (2,))" * 30),
    "zeros": header(shape="(" + "0," * 500_000 + ")"),
    "the start of a saved one": "{'descr': '" + "a" * 1_048_000,
    "many starts": "{'descr': '" * 95_000,
    "brackets": "[" * 1_048_000,
    "keys": "{" + "'x':1," * 174_000 + "}",
    "fields": header(descr="[" + "('x', '<f8')," * 70_000 + "]"),
    "titles": header(descr="[" + "(('t', 'x'), '<f8')," * 50_000 + "]"),
}


@pytest.mark.parametrize("opener", ["arrays.open", "Record.open"])
def test_no_header_takes_longer_than_a_pass_through_its_text(name: str, opener: str) -> None:
    kept = []
    for number, text in enumerate(LONG.values()):
        assert len(text) <= 1 << 20
        kept.append(section_of(f"{name}-{number}", npy(text, b"\2\0")))
    code = f"""
import namedshm
from namedshm import arrays
from namedshm.records import Record
for number in range({len(LONG)}):
    try:
        {opener}(f"{name}-{{number}}", timeout=0)
    except namedshm.InvalidContent:
        print(number, flush=True)
"""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    except subprocess.TimeoutExpired as error:
        read = len((error.stdout or b"").splitlines())
        pytest.fail(f"{list(LONG)[read]}: not read within 100 s")
    assert done.stdout.split() == [str(number) for number in range(len(LONG))]
    for section in kept:
        section.close()


@pytest.mark.parametrize("shape", [[1] * 65, [0] * 65, [2] * 47_000, [1 << 63], [0, 1 << 63]], ids=lambda shape: str(len(shape)))
def test_a_shape_that_no_array_has_is_refused_before_it_is_multiplied(name: str, shape: list[int]) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="dimension"):
        arrays.create(name, shape)
    assert "dimension" in str(refused(name, npy(header(shape=f"({', '.join(map(str, shape))},)"), b"\2\0")))


def test_the_text_behind_the_first_wrong_token_is_not_looked_at() -> None:
    seen = []

    def tokens(text: str):
        for token in _real_tokens(text):
            seen.append(token)
            yield token

    _real_tokens = headers._tokens
    with mock.patch.object(headers, "_tokens", tokens), pytest.raises(ValueError, match="comma"):
        headers.parse(b"\x93NUMPY\1\0", b"(1 2" + b",3" * 10_000 + b")")
    assert seen == ["(", "1", "2"]
