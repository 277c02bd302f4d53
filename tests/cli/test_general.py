"""What holds for every command: help, version, exit status, a missing click."""

from __future__ import annotations

import sys

import pytest

import namedshm

from .conftest import end

COMMANDS = ["demo", "grant", "hold", "list", "load", "save", "show"]


def test_version_is_the_packages(run):
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"namedshm, version {namedshm.__version__}\n")


def test_help_names_every_command(run):
    result = run("--help")
    assert result.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run, command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"Usage: namedshm {command} " in result.stdout
    assert "Examples:\n" in result.stdout
    assert run(command, "-h").stdout == result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("list", "--nonsense"),
        ("show",),
        ("show", "x", "--bytes", "-1"),
        ("demo", "third"),
        ("grant",),
        ("hold",),
        ("save", "x"),
        ("load", "no-file", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_on_stderr(run, arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: namedshm")


@pytest.mark.parametrize(
    ("name", "number"), [("nobody-holds-this", 2), ("wrong\\prefix", 3), ("Global\\", 123), ("", 6), ("x" * 260, 206)]
)
def test_a_failed_operation_is_status_1_with_the_errors_text_on_stderr(run, name, number):
    result = run("show", name)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.endswith(f"[error {number}]\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_tells_the_remedy(namespace, missing):
    result = namespace.python("-c", f"import sys; sys.modules[{missing!r}] = None; from namedshm.cli import main; main()")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"namedshm: the command line needs {missing}: pip install 'namedshm[cli]'\n"


def test_starting_loads_no_other_command_and_no_table_printer(namespace):
    code = (
        "import sys; from namedshm.cli import main; sys.argv = ['namedshm', 'list', '--json']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'namedshm.cli.list' in sys.modules\n"
        "unwanted = {'namedshm.cli.' + name for name in ('demo', 'grant', 'hold', 'show')} | {'rich.console', 'numpy', 'asyncio'}\n"
        "assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()"
    )
    result = namespace.python("-c", code)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_package_is_the_command_too(namespace, run):
    assert namespace.python("-m", "namedshm", "--version").stdout == run("--version").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="a shell and /dev/full")
@pytest.mark.parametrize("arguments", ["list", "list --json", "--help", "show x"])
@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_an_output_that_takes_nothing_is_told_in_a_line(namespace, hold, arguments, output):
    holder = hold("a = namedshm.create('x', 1)")
    code = f"import subprocess, sys; sys.exit(subprocess.call(sys.executable + ' -m namedshm {arguments} {output}', shell=True))"
    done = namespace.python("-c", code)
    assert done.returncode == 1
    assert done.stderr.startswith("namedshm: cannot write the output: ")
    assert done.stderr.count("\n") == 1
    end(holder)


@pytest.mark.parametrize("name", ["Globalx", "Global/x", "global/x"])
def test_a_name_that_was_meant_to_be_global_is_remarked(run, name):
    result = run("show", name)
    assert f"{name!r} is a Local name. A Global one is written 'Global\\x', in quotes" in result.stderr


def test_a_local_name_is_not_remarked(run):
    assert "Remark" not in run("show", "globe").stderr + run("show", "Global").stderr + run("show", "Global\\x").stderr


def test_names_are_told_as_they_are_typed(run):
    assert "'Global\\nobody-holds-this'" in run("show", "Global\\nobody-holds-this").stderr
