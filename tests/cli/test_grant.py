r"""``namedshm grant``: who may create in ``Global\``.  The file is one of the test's own, the registry is the real thing."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import BECOME_NOBODY, IS_ROOT, end

grp = pytest.importorskip("grp")
pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root may grant")

CREATE = "import namedshm; namedshm.create('Global\\\\granted', 1); print('created')"
LINE = "global-creators = {}\n"


@pytest.fixture
def config() -> Iterator[Path]:
    """A path in a directory that every user can read."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory) / "namedshm.conf"


@pytest.fixture
def group() -> str:
    """A group that user nobody runs with in these tests."""
    try:
        return grp.getgrgid(65534).gr_name
    except KeyError:
        return "65534"


def test_grant_writes_one_line_that_everybody_can_read(run, config, group):
    result = run("grant", group, NAMEDSHM_CONFIG=str(config))
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Members of group '{group}' may create" in result.stdout
    assert "logs in again" in result.stdout
    assert config.read_text().endswith(LINE.format(group))
    assert config.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_a_second_grant_replaces_the_first_and_keeps_the_rest_of_the_file(run, config, group):
    config.write_text("# ours\nother = 1\nglobal-creators=root # old")
    run("grant", group, NAMEDSHM_CONFIG=str(config))
    run("grant", "root", NAMEDSHM_CONFIG=str(config))
    text = config.read_text()
    assert text.startswith("# ours\nother = 1\n")
    assert text.endswith(LINE.format("root"))
    assert text.count("global-creators") == 1


def test_revoke_takes_the_line_away_and_an_empty_file_with_it(run, config, group):
    run("grant", group, NAMEDSHM_CONFIG=str(config))
    result = run("grant", "--revoke", NAMEDSHM_CONFIG=str(config))
    assert (result.returncode, result.stderr) == (0, "")
    assert "Only root may create" in result.stdout
    assert not config.exists()
    assert run("grant", "--revoke", NAMEDSHM_CONFIG=str(config)).returncode == 0
    config.write_text(f"other = 1\n{LINE.format(group)}")
    run("grant", "--revoke", NAMEDSHM_CONFIG=str(config))
    assert config.read_text() == "other = 1\n"


def test_show_tells_who_may_and_changes_nothing(run, config, group):
    assert "Only root may create" in run("grant", "--show", NAMEDSHM_CONFIG=str(config)).stdout
    assert not config.exists()
    run("grant", group, NAMEDSHM_CONFIG=str(config))
    assert f"Root and group '{group}' may create" in run("grant", "--show", NAMEDSHM_CONFIG=str(config)).stdout


def test_an_unknown_group_is_refused_and_nothing_written(run, config):
    result = run("grant", "no-such-group", NAMEDSHM_CONFIG=str(config))
    assert result.returncode == 1
    assert "There is no group 'no-such-group'" in result.stderr
    assert not config.exists()


def test_an_unwritable_place_is_told(run):
    result = run("grant", "root", NAMEDSHM_CONFIG="/nonexistent/namedshm.conf")
    assert result.returncode == 1
    assert "Could not write /nonexistent/namedshm.conf" in result.stderr


@pytest.mark.parametrize("arguments", [("root", "--show"), ("root", "--revoke"), ("--show", "--revoke")], ids=" ".join)
def test_one_thing_at_a_time(run, config, arguments):
    assert run("grant", *arguments, NAMEDSHM_CONFIG=str(config)).returncode == 2
    assert not config.exists()


def test_only_root_may_grant_and_anybody_may_look(namespace, config, group):
    result = namespace.run_as_nobody("grant", group, NAMEDSHM_CONFIG=str(config))
    assert result.returncode == 1
    first, command = result.stderr.splitlines()
    assert first == "Error: Only root may change who creates in Global\\: run it with sudo."
    # sudo has another PATH than a virtual environment, and drops variables
    assert shlex.split(command) == [
        "sudo",
        "env",
        f"NAMEDSHM_CONFIG={config}",
        sys.executable,
        "-m",
        "namedshm.cli",
        "grant",
        group,
    ]
    assert namespace.run_as_nobody("grant", "--show", NAMEDSHM_CONFIG=str(config)).returncode == 0


@pytest.mark.parametrize("living", [False, True], ids=["before Global is used", "while Global is in use"])
def test_a_grant_lets_a_member_create_and_a_revocation_ends_that(namespace, run, hold, config, group, living):
    where = {"NAMEDSHM_CONFIG": str(config)}
    namespace.more |= where
    assert "[error 5]" in namespace.nobody(CREATE).stderr
    holder = hold("a = namedshm.create('Global\\\\other', 1)") if living else None
    assert run("grant", group).returncode == 0
    assert "made under another grant" not in run("grant", "--show").stdout
    created = namespace.nobody(CREATE)
    assert (created.returncode, created.stdout) == (0, "created\n"), created.stderr
    assert run("grant", "--revoke").returncode == 0
    assert "made under another grant" not in run("grant", "--show").stdout
    assert "[error 5]" in namespace.nobody(CREATE).stderr
    if holder is not None:
        end(holder)


def test_a_living_registry_of_another_grant_is_told(run, hold, config, group):
    holder = hold("a = namedshm.create('Global\\\\other', 1)")
    config.write_text(LINE.format(group))
    assert "made under another grant" in run("grant", "--show", NAMEDSHM_CONFIG=str(config)).stdout
    end(holder)


def test_the_command_to_run_is_that_of_the_virtual_environment(namespace, config, group):
    program = os.path.join(os.path.dirname(sys.executable), "namedshm")
    code = f"sys.argv = {[program, 'grant', group]!r}; from namedshm.cli import main; main()"
    result = namespace.nobody(code)
    assert result.returncode == 1
    assert result.stderr.splitlines()[1] == f"  sudo {shlex.join([program, 'grant', group])}"


@pytest.fixture
def member(namespace, config, group):
    """A process of user nobody, whom the configuration grants creation, that holds an object in Global."""
    config.write_text(LINE.format(group))
    namespace.more["NAMEDSHM_CONFIG"] = str(config)
    code = "s = namedshm.create('Global\\\\held', 1)\nprint('holding', flush=True)\nsys.stdin.read()"
    process = namespace.start("-c", BECOME_NOBODY + code)
    assert process.stdout.readline() == "holding\n", process.communicate(timeout=60)
    return process


@pytest.mark.parametrize("change", [("root",), ("--revoke",)], ids=" ".join)
def test_a_change_that_would_split_global_is_refused_and_says_whose_memory_it_is(run, config, member, change):
    before = config.read_text()
    result = run("grant", *change)
    assert result.returncode == 1
    assert result.stdout == ""
    for words in ("Nothing was changed", "user nobody", f"held by process {member.pid}\n", "Global\\held", "--force"):
        assert words in result.stderr
    assert config.read_text() == before
    assert run("grant", *change, "--force").returncode == 0
    assert config.read_text() != before if config.exists() else change == ("--revoke",)
    shown = run("grant", "--show").stdout
    assert "Not believed, because its maker may not create" in shown
    assert str(member.pid) in shown
    end(member)


def test_what_splits_nothing_is_not_refused(run, hold, config, member, group):
    assert run("grant", group).returncode == 0  # the same again
    end(member)
    assert run("grant", "root").returncode == 0  # nobody is there any more
    holder = hold("a = namedshm.create('Global\\\\other', 1)")
    assert run("grant", group).returncode == 0  # root is always believed
    end(holder)


def test_two_worlds_do_not_become_believed_at_once(run, hold, config, member, group):
    assert run("grant", "root", "--force").returncode == 0
    holder = hold("a = namedshm.create('Global\\\\other', 1)")
    result = run("grant", group)
    assert result.returncode == 1
    for words in ("two Global memories", str(member.pid), str(holder.pid)):
        assert words in result.stderr
    end(holder)
    assert run("grant", group).returncode == 0
    end(member)
