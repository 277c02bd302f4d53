"""What is packaged: the sdist as `setup.py sdist` makes it, and the wheel that pip builds from nothing but that sdist."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from helpers.headers import INCLUDE, headers

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="packages are built on Linux here"),
    pytest.mark.timeout(600),  # the modules are compiled
]

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("src", "include", "docs", "examples", "tests", "tools", "benchmarks")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "run-tests")


def _run(*command: str | Path, cwd: Path) -> None:
    run = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout + run.stderr


def _relative_links(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)]*)\)", prose) if not re.match(r"https?://", target)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, without what was built in it."""
    tree = tmp_path_factory.mktemp("packaging") / "tree"
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "*.egg-info")
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part, ignore=ignored)
    for generated in (tree / "src").rglob("*.c"):
        generated.unlink()
    for file in FILES:
        shutil.copy(ROOT / file, tree)
    return tree


@pytest.fixture(scope="module")
def unpacked(tree: Path) -> Path:
    """The sdist."""
    _run(sys.executable, "setup.py", "-q", "sdist", cwd=tree)
    (archive,) = (tree / "dist").glob("namedshm-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tree.parent, filter="data")
    return tree.parent / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked: Path) -> zipfile.ZipFile:
    into = unpacked.parent / "wheel"
    left_over = unpacked / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}" / "namedshm" / "moved_away.py"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", into, unpacked, cwd=unpacked.parent)
    assert (left_over.parent / "__init__.py").exists(), "the left-over is not where packages are built"
    (archive,) = into.glob("*.whl")
    return zipfile.ZipFile(archive)


def test_the_sdist_has_every_source_and_no_generated_one(tree: Path, unpacked: Path) -> None:
    generated = {path.relative_to(tree) for path in (tree / "src").rglob("*.c")}
    assert Path("src/namedshm/_core.c") in generated, "making the sdist has generated nothing: this test shows nothing"
    there = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    assert not generated & there
    kept = [path.relative_to(tree) for part in PARTS for path in (tree / part).rglob("*") if path.is_file()]
    assert {path for path in kept if "egg-info" not in str(path)} - generated <= there


def test_a_wheel_is_built_from_the_sdist_alone(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {"namedshm/__init__.py", "namedshm/py.typed", "namedshm/_core.pyi"} <= set(names)
    assert len([name for name in names if name.endswith(".so")]) == 3
    assert not [name for name in names if name.endswith((".c", ".pyx", ".pxi"))]
    assert "namedshm/moved_away.py" not in names


def test_the_wheel_has_the_headers_for_c_and_no_others(wheel: zipfile.ZipFile) -> None:
    packed = {name: wheel.read(name) for name in wheel.namelist() if name.endswith(".h")}
    assert packed == {f"namedshm/include/{name.as_posix()}": (INCLUDE / name).read_bytes() for name in headers()}
    assert "namedshm/include/namedshm/layout.h" in packed


def test_compiled_modules_have_neither_symbols_nor_debugging_information(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        if name.endswith(".so"):
            data = wheel.read(name)
            assert b".dynsym\0" in data, "the names of sections are not where this test looks"
            assert b".symtab\0" not in data, name
            assert b".debug_info\0" not in data, name


def test_the_description_has_no_relative_link(unpacked: Path, wheel: zipfile.ZipFile) -> None:
    assert _relative_links((ROOT / "README.md").read_text("utf-8")), "the README has none: this test shows nothing"
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    for text in ((unpacked / "PKG-INFO").read_text("utf-8"), wheel.read(metadata).decode()):
        message = email.message_from_string(text)
        description = message.get_payload()
        assert message["Description-Content-Type"] == "text/markdown"
        assert isinstance(description, str)
        assert "namedshm.create(" in description
        assert not _relative_links(description)


def test_links_lead_to_the_repository_when_it_has_an_address(tree: Path, unpacked: Path) -> None:
    project = unpacked.parent / "with-address"
    shutil.copytree(unpacked, project)
    written = (project / "pyproject.toml").read_text("utf-8")
    assert "[project.urls]" not in written, "it has one now: test that"
    (project / "pyproject.toml").write_text(written + '\n[project.urls]\nRepository = "https://example.org/namedshm/"\n', "utf-8")
    for generated in (tree / "src").rglob("*.c"):  # they were made a moment ago
        shutil.copy2(generated, project / generated.relative_to(tree))
    _run(sys.executable, "setup.py", "-q", "egg_info", cwd=project)
    description = (project / "src" / "namedshm.egg-info" / "PKG-INFO").read_text("utf-8")
    assert not _relative_links(description)
    assert "[quickstart](https://example.org/namedshm/blob/HEAD/docs/quickstart.md)" in description
    for target in re.findall(r"\]\(https://example.org/namedshm/blob/HEAD/([^)#]+)", description):
        assert (ROOT / target).exists(), target


def test_the_groups_for_a_checkout_have_all_the_optional_dependencies() -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    optional = [needed for extra in written["project"]["optional-dependencies"].values() for needed in extra]
    assert sorted(written["dependency-groups"]["extras"]) == sorted(optional)
    for group in ("bench", "test", "lint"):
        assert {"include-group": "extras"} in written["dependency-groups"][group]
