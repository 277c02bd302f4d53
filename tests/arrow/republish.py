"""Open every section dump of a folder (``*.in``) as a table, publish that again and dump it (``*.out``): republish.py FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

import namedshm
from namedshm import arrow


def main() -> None:
    for file in sorted(Path(sys.argv[1]).glob("*.in")):
        data = file.read_bytes()
        with namedshm.create("given", len(data)) as section, section.map() as view:
            view[:] = data
            with (
                arrow.open("given", validate="full") as opened,
                arrow.publish("again", opened) as again,
                again.section.map() as copy,
            ):
                file.with_suffix(".out").write_bytes(copy[:])
    print(sys.platform, pa.__version__)


main()
