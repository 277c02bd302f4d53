"""The dtypes that are tried wherever a test says "any"."""

from __future__ import annotations

import numpy as np

#: What a .npy file can say, one of each sort.
DTYPES = {
    "bool": "?",
    "int8": "i1",
    "uint64": "u8",
    "big-endian int32": ">i4",
    "float16": "f2",
    "float32": "f4",
    "big-endian float64": ">f8",
    "long double": "longdouble",
    "complex64": "c8",
    "long complex": "clongdouble",
    "bytes": "S5",
    "text": "U3",
    "big-endian text": ">U3",
    "void": "V7",
    "date": "datetime64[D]",
    "25 seconds": "datetime64[25s]",
    "generic time": "datetime64",
    "nanoseconds": "timedelta64[ns]",
    "fields": [("x", "<f4"), ("y", ">f8")],
    "aligned fields": np.dtype([("a", "i1"), ("b", "f8"), ("c", "i2")], align=True),
    "offsets": {"names": ["a", "b"], "formats": ["i4", "u1"], "offsets": [4, 13], "itemsize": 20},
    "titles": [(("the title", "x"), "i4"), (('it\'s "quoted"\n', "y"), "i2")],
    "nested": [("p", [("x", "f4"), ("t", [("u", "i1"), ("v", "M8[us]", (2, 3))])]), ("n", "i8")],
    "fields of arrays": [("m", "f8", (3, 3)), ("one", "f4", (1,)), ("s", "S3", (2,))],
    "field names beyond Latin-1": [("Größe", "f4"), ("数", "i4")],
    "no fields": [],
}
SHAPES = [(), (0,), (1,), (7,), (3, 4), (0, 5), (5, 1), (2, 3, 4), (1, 0, 3)]


def fill(array: np.ndarray) -> None:
    """Bytes that differ from element to element, valid for every dtype that compares."""
    data = bytes(range(1, 252)) * (array.nbytes // 251 + 1)
    flat = np.frombuffer(data[: array.nbytes], np.uint8)
    if array.dtype.kind == "U":
        array[...] = "ab"
    elif array.dtype.kind == "b":
        array[...] = True
    elif array.nbytes:
        array[...] = np.ndarray(array.shape, array.dtype, flat)


def elements(array: np.ndarray) -> bytes:
    """The bytes of the elements, without what lies between fields: where NumPy copies, that is undefined."""
    if array.dtype.names is None:
        return array.tobytes()
    return b"".join(elements(array[field]) for field in array.dtype.names)
