"""The parsers written in Python, fuzzed with atheris where it is installed: .npy headers, layouts of records, Arrow files,
frames of objects.

Run by `python -m tests.fuzz`; by itself: python -m tests.fuzz.python_targets NAME [OPTIONS OF LIBFUZZER]
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LONGEST = 1.0  # seconds that an input may take


def npy(data: bytes) -> None:
    from namedshm._formats import array_layout, npy

    with contextlib.suppress(*npy.REFUSALS):
        array_layout._parse(data[:8].ljust(8, b"\0"), 0, data[10:])


def record(data: bytes) -> None:
    from namedshm import records
    from namedshm._formats import npy

    with contextlib.suppress(*npy.REFUSALS):
        records._class_of.__wrapped__(npy.MAGIC + b"\1\0", data)


def arrow(data: bytes) -> None:
    from namedshm._formats import arrow_ipc

    with contextlib.suppress(arrow_ipc.Damaged):
        arrow_ipc.check(memoryview(data))


def object_frame(data: bytes) -> None:
    from namedshm._formats import object_frame

    try:
        pickled, buffers = object_frame.parts(memoryview(data))
    except ValueError:
        return
    assert len(pickled) + sum(map(len, buffers)) <= len(data)


TARGETS: dict[str, Callable[[bytes], None]] = {"npy": npy, "record-layout": record, "arrow": arrow, "object": object_frame}


def seeds(target: str, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if target == "arrow":
        import io

        import pyarrow as pa

        sink = io.BytesIO()
        table = pa.table({"a": [1, 2, None], "b": ["x", "y", "z"], "c": pa.array(["u", "v", "u"]).dictionary_encode()})
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        (directory / "table").write_bytes(sink.getvalue())
        return
    if target == "object":
        from namedshm._formats.object_frame import PLAIN, lay_out

        (directory / "plain").write_bytes(PLAIN + b"N.")
        pieces, size = lay_out([b"N."], [memoryview(b"x" * 100), memoryview(b""), memoryview(b"y" * 65)])
        frame = bytearray(size)
        for at, piece in pieces:
            frame[at : at + len(memoryview(piece))] = piece
        (directory / "buffers").write_bytes(frame)
        return
    from namedshm._formats import npy

    for number, descr in enumerate(["<f8", [("a", "<i4"), ("b", "<f8", (3,))], [("name", "<U8"), ("", "|V4")]]):
        header = npy.encode(descr, (2,) if target == "record-layout" else (3, 4), False)
        (directory / f"header-{number}").write_bytes(header[10:] if target == "record-layout" else header)


def fuzz(target: str, keep: Path, seconds: int) -> int:
    """For so long, in a process of its own; its exit status."""
    if importlib.util.find_spec("atheris") is None:
        print("skipped: needs atheris (pip install atheris)")
        return 0
    corpus = keep / "corpus"
    seeds(target, corpus)
    command = [
        *(sys.executable, "-m", "tests.fuzz.python_targets", target, f"-max_total_time={seconds}"),
        *(f"-timeout={int(LONGEST) + 4}", "-max_len=4096", f"-artifact_prefix={keep}/", str(corpus)),
    ]
    return subprocess.run(command, check=False, timeout=seconds + 100, env={**os.environ, "PYTHONHASHSEED": "0"}).returncode


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["namedshm"]):
        import namedshm._formats.array_layout
        import namedshm._formats.arrow_ipc
        import namedshm._formats.npy
        import namedshm._formats.object_frame
        import namedshm.records  # noqa: F401
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
