"""What README.md and docs/ say is run: each block, each pair of processes, each link, each option.  See blocks.py."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import namedshm

from . import blocks
from .blocks import PAGES, ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the documentation's examples are run on Linux")


@pytest.mark.parametrize("block", blocks.alone(), ids=str)
def test_a_block_does_what_is_written(place, block):
    place.block(block)


@pytest.mark.parametrize("pair", blocks.pairs(), ids=str)
def test_two_processes_do_what_is_written(place, pair):
    assert pair.seconds, f"{pair} has no second process"
    first = place.first_block(pair.first)
    for block in pair.seconds:
        place.block(block)
    output = place.finish(first)
    if pair.first.prints is not None:
        assert blocks.same(pair.first.prints, output)
    for block in pair.afters:
        place.block(block)


@pytest.mark.parametrize("block", blocks.not_run(), ids=str)
def test_a_block_that_is_not_run_says_why(block):
    assert len(block.group.split()) >= 3, "a reason is a sentence"
    pytest.skip(f"{block} is not run: {block.group}")


def test_the_documentation_has_what_this_file_looks_for():
    assert len(PAGES) > 10
    assert len(blocks.alone()) > 10
    assert len(blocks.pairs()) > 3
    assert len(blocks.not_run()) < 9


# ------------------------------------------------------------------------------------------------------------ links
def _prose(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _anchors(page):
    found = set()
    for title in re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE):
        text = re.sub(r"[`*]|\[(.*?)\]\(.*?\)", lambda m: m[1] or "", title).lower()
        found.add(re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", _prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in _anchors(file), f"{target}: no such heading"


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)#]+\.md)", _prose(page))
        new |= {(page.parent / link).resolve() for link in links if not link.startswith("https:")} - reached
    assert set(PAGES) <= reached


# ------------------------------------------------------------------------------------------------------------ facts
def test_the_readme_promises_installs_and_shows_two_processes_in_its_first_20_lines():
    start = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20]
    assert any("pip install" in line for line in start)
    assert any("namedshm.create(" in line for line in start)
    assert any("namedshm.open(" in line for line in start)


@pytest.mark.parametrize("command", ["demo", "list", "show", "put", "get", "hold", "grant"])
def test_cli_md_and_help_name_the_same_options(place, command):
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"^## namedshm {command}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"docs/cli.md has no section about {command}"
    written = set(re.findall(r"`(--[a-z]+)", section[1]))
    helped = set(re.findall(r"(--[a-z]+)", place.run(sys.executable, "-m", "namedshm.cli", command, "--help")))
    assert written == helped - {"--help"}


def test_errors_md_names_every_error_with_its_number_and_builtin():
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name in namedshm.__all__:
        kind = getattr(namedshm, name)
        if isinstance(kind, type) and issubclass(kind, namedshm.NamedShmError) and kind is not namedshm.NamedShmError:
            row = re.search(rf"^\| `{name}` \|(.*)$", text, re.MULTILINE)
            assert row, f"docs/errors.md does not tell about {name}"
            assert str(kind.default_winerror) in row[1]
            for base in kind.__bases__:
                if base is not namedshm.NamedShmError:
                    assert base.__name__ in row[1]


def test_win32_md_names_every_function():
    from namedshm import win32

    text = (ROOT / "docs" / "win32.md").read_text(encoding="utf-8")
    for name in win32.__all__:
        if callable(getattr(win32, name)):
            assert f"`{name}" in text, f"docs/win32.md does not tell about {name}"


FORMATS = {
    "format-linux.md": ("namedshm_sync.h", {"nshm_registry": 7, "nshm_record": 7, "nshm_words": 7}),
    "format-queue.md": (
        "namedshm_queue.h",
        {"nshm_queue_head": 20, "nshm_queue_end": 3, "nshm_queue_entry": 4, "nshm_queue_chunk": 2},
    ),
    "format-topic.md": (
        "namedshm_topic.h",
        {"nshm_topic_head": 20, "nshm_topic_place": 4, "nshm_topic_frame": 1, "nshm_topic_value": 3},
    ),
}


@pytest.mark.parametrize("page", FORMATS)
def test_the_offsets_in_the_formats_are_the_headers(place, page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    header, structures = FORMATS[page]
    checks = []
    for structure, more_than in structures.items():
        table = re.search(rf"<!-- offsets {structure} -->\n(.*?)\n\n", text + "\n\n", re.DOTALL)
        assert table, structure
        rows = re.findall(r"^\| (\d+) \| (\d+)[^|]*\| `(\w+)` \|", table[1], re.MULTILINE)
        assert len(rows) > more_than
        for offset, size, member in rows:
            checks.append(f'static_assert(offsetof({structure}, {member}) == {offset}, "{member}");')
            checks.append(f'static_assert(sizeof({structure}::{member}) == {size}, "{member}");')
    for name, value in re.findall(r"^\| `(NSHM_\w+)` \| `?([\w]+)`? \|", text, re.MULTILINE):
        checks.append(f'static_assert((unsigned long long)({name}) == {value}ull, "{name}");')
    assert len(checks) > 50
    source = place.directory / "offsets.cpp"
    source.write_text(f'#include "{header}"\n' + "\n".join(checks) + "\nint main() {}\n")
    place.compile(source)


def test_nothing_in_the_documentation_is_left_to_be_done():
    for page in PAGES:
        assert not re.search(r"\b(TODO|FIXME|XXX|TBD)\b", page.read_text(encoding="utf-8")), page


def test_every_example_and_page_is_named_in_the_documentation():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    tracked = subprocess.run(["git", "ls-files", "examples"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    for path in tracked.stdout.split():
        assert path.rpartition("/")[2] in text, f"{path} is named nowhere"


def test_every_file_that_contributing_md_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = re.search(r"^## The tree\n\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert tree
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    words = [word for line in tree[1].splitlines() for word in re.split(r"\s{2,}", line.strip())[0].split()] + spans
    a_path = re.compile(r"(?!\./)[\w./*]*(/|\.(py|pyx|pxi|h|md|txt))[\w./*]*")
    named = set(filter(a_path.fullmatch, words))
    assert len(named) > 40
    package = ROOT / "src" / "namedshm"
    places = (ROOT, package, package / "_backend", package / "_backend" / "linux", ROOT / "include" / "namedshm")
    assert not {name for name in named if not any(list(place.glob(name.rstrip("/"))) for place in places)}


def test_every_test_that_security_md_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    files = (ROOT / "tests").rglob("test_*.py")
    written = {found for file in files for found in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}
    assert len(named) > 20
    assert named <= written, named - written
