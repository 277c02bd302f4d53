"""``namedshm show`` of typed content, ``save`` and ``load``: sections and files."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from helpers.turns import until

from .conftest import SOURCE, TIMEOUT, end

np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")

ARRAY = "import numpy as np; from namedshm import arrays; a = arrays.publish('x', np.arange(12.0).reshape(3, 4))"
TABLE = (
    "import pyarrow as pa; from namedshm import arrow\n"
    "a = arrow.publish('x', pa.table({'price': [1.5, None], 'symbol': ['A\\x1b[31m', 'B']}))"
)
RECORD = "from namedshm.records import Record\nclass R(Record):\n    count: int = 41\na = R.create('x')"
BYTES = "a = namedshm.create('x', 300); a.map()[:5] = b'hello'"


# ------------------------------------------------------------------------------------------------------------ show
def test_show_tells_shape_type_and_elements_of_an_array(hold, run):
    holder = hold(ARRAY)
    shown = run("show", "x").stdout
    assert "content   array of shape (3, 4), dtype float64, order C\n" in shown
    assert "[[ 0.  1.  2.  3.]\n [ 4.  5.  6.  7.]\n [ 8.  9. 10. 11.]]\n" in shown
    assert "first" not in shown
    assert "first 16 bytes:\n00000000  93 4e 55 4d 50 59" in run("show", "x", "--bytes", "16").stdout
    fact = json.loads(run("show", "x", "--json").stdout)["content"]
    assert fact == {"kind": "array", "shape": [3, 4], "dtype": "float64", "order": "C"}
    end(holder)


def test_show_previews_a_large_array_without_filling_the_screen(hold, run):
    holder = hold("import numpy as np; from namedshm import arrays; a = arrays.create('x', (300, 70, 50), 'i8')")
    lines = run("show", "x").stdout.partition("content")[2].splitlines()
    assert 5 < len(lines) < 20
    assert max(map(len, lines)) <= 100
    end(holder)


def test_show_tells_schema_and_rows_of_a_table(hold, run):
    holder = hold(TABLE)
    shown = run("show", "x").stdout
    assert "content   Arrow table of 2 rows and 2 columns\n\nprice: double\nsymbol: string\n\n" in shown
    assert "price  symbol\n1.5    A\\x1b[31m\nnull   B\n" in shown
    assert "\x1b" not in shown
    fact = json.loads(run("show", "x", "--json").stdout)["content"]
    assert fact["schema"] == [{"name": "price", "type": "double"}, {"name": "symbol", "type": "string"}]
    end(holder)


def test_show_tells_version_and_values_of_a_record(hold, run):
    holder = hold(RECORD)
    assert "content   record, version 1\n\ncount  <i8     41\n" in run("show", "x").stdout
    end(holder)


@pytest.mark.parametrize("first", [b"\x93NUMPY\1\0", b"ARROW1\0\0"], ids=["npy", "arrow"])
def test_show_says_what_is_wrong_with_damaged_content_and_shows_the_bytes(hold, run, first):
    holder = hold(f"a = namedshm.create('x', 4096); a.map()[:8] = {first!r}")
    result = run("show", "x")
    assert result.returncode == 0
    assert "content   bytes (it begins as a" in result.stdout
    assert "first 128 bytes:" in result.stdout
    end(holder)


@pytest.mark.parametrize(("code", "missing", "extra"), [(ARRAY, "numpy", "numpy"), (TABLE, "pyarrow", "arrow")])
def test_show_without_the_library_says_what_to_install(namespace, hold, code, missing, extra):
    holder = hold(code)
    result = namespace.python(
        "-c", f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = ['show', 'x']; from namedshm.cli import main; main()"
    )
    assert result.returncode == 0, result.stderr
    assert f"pip install 'namedshm[{extra}]'" in result.stdout
    end(holder)


# ------------------------------------------------------------------------------------------------------------ save
def test_a_saved_array_is_what_numpy_loads(hold, run, tmp_path):
    holder = hold(ARRAY)
    file = tmp_path / "x.npy"
    result = run("save", "x", str(file))
    assert (result.returncode, result.stderr) == (0, "")
    assert np.array_equal(np.load(file), np.arange(12.0).reshape(3, 4))
    assert list(tmp_path.iterdir()) == [file]
    end(holder)


def test_a_saved_table_is_what_pyarrow_opens(hold, run, tmp_path):
    holder = hold(TABLE)
    file = tmp_path / "x.arrow"
    assert run("save", "x", str(file)).returncode == 0
    with pa.memory_map(str(file)) as source:
        assert pa.ipc.open_file(source).read_all().to_pydict() == {"price": [1.5, None], "symbol": ["A\x1b[31m", "B"]}
    end(holder)


def test_bytes_are_saved_to_standard_output_exactly(namespace, hold):
    holder = hold(BYTES)
    saved = subprocess.run(
        [sys.executable, "-m", "namedshm.cli", "save", "x", "-"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": SOURCE, **namespace.more},
        timeout=TIMEOUT,
        check=True,
    )
    assert saved.stdout == b"hello" + bytes(295)
    end(holder)


@pytest.mark.parametrize(("code", "ending", "remedy"), [(TABLE, "npy", ".arrow"), (ARRAY, "arrow", ".npy"), (BYTES, "npy", ".bin")])
def test_a_file_is_not_called_what_it_is_not(hold, run, tmp_path, code, ending, remedy):
    holder = hold(code)
    result = run("save", "x", str(tmp_path / f"x.{ending}"))
    assert (result.returncode, result.stdout) == (1, "")
    assert remedy in result.stderr
    assert not list(tmp_path.iterdir())
    end(holder)


def test_a_file_that_is_there_is_replaced_only_by_force(hold, run, tmp_path):
    holder = hold(BYTES)
    file = tmp_path / "x.bin"
    file.write_bytes(b"precious")
    result = run("save", "x", str(file))
    assert (result.returncode, file.read_bytes()) == (1, b"precious")
    assert "--force" in result.stderr
    assert run("save", "x", str(file), "--force").returncode == 0
    assert file.read_bytes() == b"hello" + bytes(295)
    end(holder)


def test_a_folder_that_is_not_there_is_told_and_nothing_is_left(hold, run, tmp_path):
    holder = hold(BYTES)
    result = run("save", "x", str(tmp_path / "none" / "x.bin"))
    assert result.returncode == 1
    assert "No such file" in result.stderr
    assert "Traceback" not in result.stderr
    end(holder)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_told(hold, namespace):
    holder = hold("a = namedshm.create('x', 1 << 20)")
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "namedshm.cli", "save", "x", "-"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": SOURCE, **namespace.more},
            timeout=TIMEOUT,
            check=False,
        )
    assert result.returncode == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr
    end(holder)


def test_only_what_is_committed_of_a_reserved_section_is_saved(hold, run, tmp_path):
    holder = hold("a = namedshm.create('x', 1 << 20, reserve=True); v = a.map(); v.commit(0, 5000); v[:5] = b'hello'")
    file = tmp_path / "x.bin"
    result = run("save", "x", str(file))
    assert "all that is committed of 1.0 MiB" in result.stdout
    assert file.read_bytes() == b"hello" + bytes(8192 - 5)
    end(holder)


def test_a_terminal_sees_a_bar(hold, namespace, tmp_path):
    holder = hold("a = namedshm.create('x', 64 << 20)")
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "namedshm.cli", "save", "x", str(tmp_path / "x.bin")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=there,
        env={**os.environ, "PYTHONPATH": SOURCE, **namespace.more, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(there)
    seen = b""
    try:
        while part := os.read(here, 65536):
            seen += part
    except OSError:  # Linux's way of saying that the other side is closed
        pass
    finally:
        os.close(here)
    assert process.wait(TIMEOUT) == 0
    assert b"saving x" in seen
    assert b"64.0" in seen
    assert b"MiB" in seen
    end(holder)


# ------------------------------------------------------------------------------------------------------------ load
# The tests themselves may run in the background or by nohup, which their children inherit.
NOT_IGNORING = """
import signal
from namedshm.cli import main
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
main()
"""


@pytest.fixture
def loaded(namespace):
    """Start ``namedshm load``; returns when it holds the name."""

    def start(*arguments):
        process = namespace.start("-u", "-c", NOT_IGNORING, "load", *map(str, arguments))
        line = process.stdout.readline()
        assert "held until interrupted" in line, process.communicate(timeout=TIMEOUT)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_loaded_array_is_there_until_the_command_is_interrupted(namespace, run, loaded, tmp_path, number):
    np.save(tmp_path / "x.npy", np.arange(12).reshape(3, 4, order="F"))
    process = loaded(tmp_path / "x.npy", "x")
    read = namespace.python("-c", "from namedshm import arrays; a = arrays.open('x', 'read'); print(a.tolist(), a.flags.fnc)")
    assert read.stdout == f"{np.arange(12).reshape(3, 4, order='F').tolist()} True\n", read.stderr
    process.send_signal(number)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert run("show", "x").returncode == 1


def test_a_loaded_table_is_opened_by_name(namespace, loaded, tmp_path):
    table = pa.table({"a": [1, 2, 3]})
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    process = loaded(tmp_path / "x.arrow", "x")
    assert (
        namespace.python("-c", "from namedshm import arrow; print(arrow.open('x').table['a'].to_pylist())").stdout == "[1, 2, 3]\n"
    )
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT)


def test_any_other_file_is_bytes(run, loaded, tmp_path):
    (tmp_path / "x").write_bytes(b"hello")
    process = loaded(tmp_path / "x", "x")
    assert "first 5 bytes:\n00000000  68 65 6c 6c 6f" in run("show", "x").stdout
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\x93NUMPY\1\0" + b"x" * 100, "begins as an array, but"),
        (b"ARROW1\0\0" + b"x" * 100, "begins as a table, but"),
    ],
    ids=["empty", "npy", "arrow"],
)
def test_a_damaged_file_is_refused_and_leaves_no_name(run, tmp_path, data, words):
    (tmp_path / "x").write_bytes(data)
    result = run("load", str(tmp_path / "x"), "x")
    assert (result.returncode, result.stdout) == (1, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert run("list").stdout.startswith("Nothing is alive")


def test_a_compressed_table_is_refused_with_the_reason(run, tmp_path):
    table = pa.table({"a": [0] * 10_000})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    result = run("load", str(tmp_path / "x.arrow"), "x")
    assert result.returncode == 1
    assert "compress" in result.stderr


def test_load_does_not_take_a_name_that_is_held(hold, run, tmp_path):
    holder = hold(BYTES)
    (tmp_path / "x").write_bytes(b"other")
    result = run("load", str(tmp_path / "x"), "x")
    assert result.returncode == 1
    assert "[error 183]" in result.stderr
    end(holder)


def test_load_into_an_array_changes_its_elements_for_everybody(hold, run, tmp_path):
    holder = hold(ARRAY + "; import atexit; atexit.register(lambda: print(a.tolist()))")
    np.save(tmp_path / "x.npy", np.full((3, 4), 7.0))
    result = run("load", "--into", str(tmp_path / "x.npy"), "x")
    assert (result.returncode, result.stderr) == (0, "")
    assert end(holder) == f"{np.full((3, 4), 7.0).tolist()}\n"


@pytest.mark.parametrize(
    ("code", "array", "words"),
    [
        (ARRAY, np.zeros((3, 4), "f4"), "is another"),
        (ARRAY, np.zeros((4, 3)), "is another"),
        (ARRAY, np.zeros(3), "is another"),
        (RECORD, np.zeros(3), "not overwritten"),
        (TABLE, np.zeros(3), "not overwritten"),
        (BYTES, np.zeros(3), "not overwritten"),
    ],
)
def test_load_into_something_else_is_refused_and_changes_nothing(hold, run, tmp_path, code, array, words):
    holder = hold(code)
    before = run("show", "x").stdout
    np.save(tmp_path / "x.npy", array)
    result = run("load", "--into", str(tmp_path / "x.npy"), "x")
    assert result.returncode == 1
    assert words in result.stderr
    assert run("show", "x").stdout.partition("identity")[2] == before.partition("identity")[2]
    end(holder)


def test_load_into_bytes_needs_room_for_them(hold, run, tmp_path):
    holder = hold(BYTES + "; import atexit; atexit.register(lambda: print(a.map()[:12]))")
    (tmp_path / "small").write_bytes(b"HELLO WORLD")
    (tmp_path / "large").write_bytes(bytes(301))
    assert run("load", "--into", str(tmp_path / "small"), "x").returncode == 0
    result = run("load", "--into", str(tmp_path / "large"), "x")
    assert result.returncode == 1
    assert "301 bytes" in result.stderr
    assert end(holder) == f"{b'HELLO WORLD' + bytes(1)}\n"


def test_load_into_nothing_is_not_found(run, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    result = run("load", "--into", str(tmp_path / "x"), "nobody")
    assert result.returncode == 1
    assert "[error 2]" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_load_leaves_nothing(namespace, run, tmp_path):
    file = tmp_path / "x.bin"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 30)
    process = namespace.start("-m", "namedshm.cli", "load", str(file), "x")
    until(lambda: '"resident": 0' not in run("show", "x", "--json").stdout and run("show", "x").returncode == 0, "loading")
    process.kill()
    process.communicate(timeout=TIMEOUT)
    assert run("list").stdout.startswith("Nothing is alive")


def test_the_mode_is_octal(run, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    result = run("load", str(tmp_path / "x"), "x", "--mode", "9")
    assert result.returncode == 2
    assert "octal" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a shell's pipe")
@pytest.mark.parametrize("file", ["-", "/dev/stdin"])
def test_a_pipe_is_loaded_like_a_file(namespace, file):
    loading = namespace.start("-m", "namedshm", "load", file, "piped")
    loading.stdin.write("hello")
    loading.stdin.close()
    loading.stdin = None  # or it would be closed once more
    assert loading.stdout.readline().startswith(f"piped: bytes, 5 B from {file}; held")
    assert namespace.python("-c", "import namedshm; print(namedshm.open('piped').map()[:])").stdout == "b'hello'\n"
    loading.send_signal(signal.SIGINT)
    assert loading.wait(60) == 0
