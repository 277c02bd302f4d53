"""tools/pythons.py without making a Debian: what is taken over, what is copied, and whether the first steps notice what fails."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import on_linux

if not on_linux:
    pytest.skip("these tools run on Linux", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tools"))

import first_steps  # noqa: E402

from tests.docs import blocks  # noqa: E402
from tools import common, pythons  # noqa: E402


# ------------------------------------------------------------------------------------------------------------ taken over
def test_what_pip_is_told_here_by_files_and_variables_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, wheels, limits = tmp_path / "index" / "simple", tmp_path / "wheels", tmp_path / "limits.txt"
    index.mkdir(parents=True)
    wheels.mkdir()
    limits.touch()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nextra-index-url = file://{index}\n    file:///nowhere/simple\nconstraint = {limits}\ntimeout = 7\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    settings = common.pip_settings()
    assert settings["PIP_EXTRA_INDEX_URL"] == f"file://{index} file:///nowhere/simple"
    assert settings["PIP_CONSTRAINT"] == str(limits)
    assert settings["PIP_TIMEOUT"] == "9", "a variable wins over a file, as for pip"
    assert "PIP_CONFIG_FILE" not in settings
    assert {index.parent, wheels, limits} <= set(common.paths_in(settings))
    assert index not in common.paths_in(settings), "an index's pages lead to files beside it"


def test_only_what_is_needed_of_this_machines_variables_is_handed_on() -> None:
    given = "CI", "TERM", "NAMEDSHM_REQUIRE_ROOT", "https_proxy", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE"
    kept = "PATH", "HOME", "PYTHONPATH", "NAMEDSHM_PYTHONS_DIR", "VIRTUAL_ENV", "CIRCLE"
    assert [name for name in given if not pythons.HANDED_ON.fullmatch(name)] == []
    assert [name for name in kept if pythons.HANDED_ON.fullmatch(name)] == []


def test_what_is_asked_for_of_each_python_is_in_the_projects_list() -> None:
    asked = pythons.requirements([*pythons.NEEDED, *pythons.HELPFUL])
    assert "pytest>=8" in asked
    assert len(asked) == len(pythons.NEEDED) + len(pythons.HELPFUL)


def test_the_readme_names_the_debian_packages_and_the_selection_is_there() -> None:
    assert [path for path in pythons.SELECTION if path.startswith("tests/") and not (ROOT / path).exists()] == []
    assert "python3" in (ROOT / "README.md").read_text().partition("on Debian: `")[2].partition("`")[0].split()


# ------------------------------------------------------------------------------------------------------------ copied
@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_copy_of_the_checkout_follows_it_and_keeps_what_was_built_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, copy = tmp_path / "checkout", tmp_path / "copy"
    (checkout / "src").mkdir(parents=True)
    (checkout / ".gitignore").write_text("*.so\n")
    for name in ("src/one.py", "src/two.py", "src/built.so"):
        (checkout / name).write_text("1")
    subprocess.run(["git", "init", "-q", checkout], check=True, timeout=60)
    monkeypatch.setattr(common, "REPO", checkout)
    common.copy_checkout(copy)
    assert (copy / "src/two.py").exists()
    assert not (copy / "src/built.so").exists()
    (copy / "src/built.so").touch()
    same = (copy / "src/one.py").stat().st_mtime_ns
    (checkout / "src/two.py").unlink()
    (checkout / "src/three.py").write_text("3")
    common.copy_checkout(copy)
    assert sorted(path.name for path in (copy / "src").iterdir()) == ["built.so", "one.py", "three.py"]
    assert (copy / "src/one.py").stat().st_mtime_ns == same


# ------------------------------------------------------------------------------------------------------------ the first steps
@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """tools/first_steps.py, with the package as it is installed here."""
    monkeypatch.setattr(first_steps, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(first_steps, "PATIENCE", 60.0)
    monkeypatch.setenv("TERM", "xterm")
    return first_steps


def pair(name: str) -> blocks.Pair:
    (found,) = [pair for pair in blocks.pairs() if pair.first.page == blocks.ROOT / "README.md" and pair.name == name]
    return found


def but(pair: blocks.Pair, **changes: str) -> blocks.Pair:
    """The pair with another second block."""
    return dataclasses.replace(pair, seconds=[dataclasses.replace(pair.seconds[0], **changes)])


def test_the_readmes_first_pair_works_pasted_and_saved(steps: Any, tmp_path: Path) -> None:
    steps.pasted(pair("readme"))
    steps.saved(pair("readme"), tmp_path)


def test_a_block_that_prints_something_else_is_noticed(steps: Any, tmp_path: Path) -> None:
    wrong = but(pair("readme"), prints="b'other'\n")
    with pytest.raises(steps.Stumbled, match="other"):
        steps.saved(wrong, tmp_path)
    steps.PATIENCE = 5.0
    with pytest.raises(steps.Stumbled, match="nothing happens any more"):
        steps.pasted(wrong)


def test_a_block_that_fails_is_noticed(steps: Any, tmp_path: Path) -> None:
    wrong = but(pair("readme"), code=pair("readme").seconds[0].code + "\n1 / 0\n")
    for try_it in (steps.pasted, lambda pair: steps.saved(pair, tmp_path)):
        with pytest.raises(steps.Stumbled, match="ZeroDivisionError"):
            try_it(wrong)


def test_a_first_program_that_nobody_is_told_to_follow_is_noticed(steps: Any, tmp_path: Path) -> None:
    first = dataclasses.replace(pair("readme").first, code="input()\n")
    with pytest.raises(steps.Stumbled, match="has no prompt"):
        steps.pasted(blocks.Pair("readme", first))


def test_a_terminal_ends_its_program(steps: Any) -> None:
    terminal = steps.Terminal(sys.executable)
    terminal.see(">>> ", 0)
    terminal.close()
    with pytest.raises(ProcessLookupError):
        os.kill(terminal.pid, signal.SIGCONT)


# ------------------------------------------------------------------------------------------------------------ without a Debian
def test_who_is_not_root_is_told_so_and_it_is_no_failure_of_the_package(tmp_path: Path) -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if not os.geteuid() else []
    command = [*nobody, sys.executable, str(ROOT / "tools" / "pythons.py"), "newest"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "NAMEDSHM_PYTHONS_DIR": str(tmp_path)}
    )
    if "Permission denied" in done.stderr and done.returncode != 2:
        pytest.skip("others cannot read this checkout or its Python")
    assert done.returncode == 2
    assert "needs root" in done.stderr
