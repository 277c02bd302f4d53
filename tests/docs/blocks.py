"""Fenced code blocks of the documentation, and how each is run.  The convention, written as HTML comments above a block:

    no comment                      a python, cpp or console block is run on its own
    <!-- first of NAME -->          python: run in a process that then stays alive; it is the first process of a pair
    <!-- second of NAME -->         any: run while the first of NAME is alive (there may be several; a call of input() in the
                                    first returns when they have ended)
    <!-- after NAME -->             any: run when the first and all seconds of NAME have ended
    <!-- prints -->                 a text block: what the block before it prints, exactly; "..." stands for any text
    <!-- not run: REASON -->        never run
    <!-- needs MODULE -->           on a line of its own before or after any of these: skipped where MODULE is not installed

A console block has lines "$ command" and below each what it prints, where "..." stands for any text.  Blocks of other languages
(text, toml, c) are never run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNNABLE = ("python", "cpp", "console")


@dataclass
class Block:
    page: Path
    line: int
    language: str
    code: str
    role: str = "alone"  # alone, first, second, after, not run
    group: str = ""  # NAME, or the reason
    needs: str = ""  # a module
    prints: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass
class Pair:
    name: str
    first: Block
    seconds: list[Block] = field(default_factory=list)
    afters: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.first} {self.name}"


_NEEDS = re.compile(r"<!-- needs (\w+) -->")
_MARK = re.compile(r"<!-- (first of|second of|after|not run:|prints)(?: (.+))? -->")


def blocks_of(page: Path) -> list[Block]:
    """All runnable blocks of a page; raises ValueError for a comment that is no mark."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    mark: re.Match[str] | None = None
    needs = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        fence = re.fullmatch(r"```(\w*)", line)
        if fence is None:
            if wanted := _NEEDS.fullmatch(line):
                needs = wanted[1]
            elif line.startswith("<!--"):
                mark = _MARK.fullmatch(line)
                if mark is None and not line.startswith("<!-- offsets "):
                    raise ValueError(f"{page}:{number}: unknown comment {line!r}")
            elif line.strip():
                mark, needs = None, ""
            continue
        start = number
        while lines[number] != "```":
            number += 1
        code = "\n".join(lines[start:number]) + "\n"
        number += 1
        if mark is not None and mark[1] == "prints":
            found[-1].prints = code
        elif fence[1] in RUNNABLE:
            block = Block(page, start, fence[1], code, needs=needs)
            if mark is not None:
                block.role = mark[1].removesuffix(" of").removesuffix(":")
                block.group = mark[2]
            found.append(block)
        mark, needs = None, ""
    return found


def alone() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if block.role == "alone"]


def not_run() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if block.role == "not run"]


def pairs() -> list[Pair]:
    """Blocks that need each other; a name belongs to one page."""
    found: list[Pair] = []
    for page in PAGES:
        mine: dict[str, Pair] = {}
        for block in blocks_of(page):
            if block.role == "first":
                if block.group in mine:
                    raise ValueError(f"{block}: there is a first of {block.group} already")
                mine[block.group] = Pair(block.group, block)
            elif block.role in ("second", "after"):
                pair = mine[block.group]
                (pair.seconds if block.role == "second" else pair.afters).append(block)
        found += mine.values()
    return found


def same(expected: str, got: str) -> bool:
    """Whether the output is as written, "..." standing for any text, white space at line ends not counting."""

    def tidy(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())

    pattern = ".*".join(re.escape(part) for part in tidy(expected).split("..."))
    return re.fullmatch(pattern, tidy(got), re.DOTALL) is not None


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    found: list[tuple[str, str]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
        else:
            raise ValueError(f"{block}: a console block starts with '$ '")
    return found
