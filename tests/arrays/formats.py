"""One process of one system: writes a table of arrays as their sections' bytes, or reads what the other system wrote.

python formats.py write FOLDER
python formats.py read FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from conftest import DTYPES, SHAPES, elements, fill

import namedshm
from namedshm import arrays

NAME = "formats"
#: long double is another type on each system: what one wrote the other cannot have.
PORTABLE = [dtype for name, dtype in DTYPES.items() if not name.startswith("long ")]


def table() -> Iterator[tuple[str, np.ndarray]]:
    for kind, dtype in enumerate(PORTABLE):
        for shape in SHAPES:
            for order in "CF":
                array = np.zeros(shape, dtype, order)
                fill(array)
                yield f"{kind}-{'x'.join(map(str, shape))}-{order}.npy", array


def write(folder: Path) -> None:
    for file, array in table():
        with arrays.publish(NAME, array, order=file[-5]), namedshm.open(NAME, "read") as section, section.map() as view:
            (folder / file).write_bytes(view[:])


def read(folder: Path) -> None:
    for file, expected in table():
        data = (folder / file).read_bytes()
        with namedshm.create(NAME, len(data)) as section, section.map() as view:
            view[:] = data
            with arrays.open(NAME, "read") as array:
                assert (array.dtype, array.shape) == (expected.dtype, expected.shape), file
                assert array.flags.f_contiguous == expected.flags.f_contiguous, file
                assert elements(array) == elements(expected), file


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
    print(sum(1 for _ in table()), "arrays")
