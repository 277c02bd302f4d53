#!/usr/bin/env python3
"""README.md, block by block, as somebody does it who has just met namedshm.  Run by ``tools/pythons.py first-steps``.

    python3 tools/first_steps.py            # in a fresh checkout

The block that installs is run in a shell, as it stands.  Then each pair of programs is tried twice: pasted into the interactive
Python of two terminals, as a terminal pastes, and saved as two files.  A first program that waits has to say so by the prompt of
``input()``, for that is how a person knows when it is the second one's turn.

It needs nothing but Python's own library, and uses no more of the checkout than how blocks are marked (tests/docs/blocks.py).
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.docs import blocks  # noqa: E402
from tests.docs.blocks import Block, Pair  # noqa: E402

README = ROOT / "README.md"
PYTHON = ROOT / ".venv" / "bin" / "python"
PATIENCE = 120.0  # seconds for one program; the machine may be busy
QUIET = 3.0  # seconds without a new character: the editor waits for more
INSTALLING = 900.0  # seconds
#: Blocks that are for those who work on namedshm.
NOT_FOR_NEWCOMERS = {"./run-tests"}
PROMPT = re.compile(r"input\(\"(.+?)\"\)")


class Stumbled(Exception):
    """What is written does not work."""


# ------------------------------------------------------------------------------------------------------------ a terminal
class Terminal:
    """A program in a terminal of its own, and somebody who reads, pastes and presses Return."""

    def __init__(self, *command: str | Path) -> None:
        self.text = ""
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.execv(command[0], [str(part) for part in command])

    def _read(self, patience: float) -> bool:
        """More of what it shows; False at its end."""
        if not select.select([self._terminal], [], [], patience)[0]:
            raise Stumbled(f"nothing happens any more; the terminal shows\n{self.text}")
        with contextlib.suppress(OSError):  # the other side is closed
            if chunk := os.read(self._terminal, 65536):
                self.text += chunk.decode("utf-8", "replace").replace("\r", "")
                return True
        return False

    def see(self, wanted: str, since: int) -> int:
        """Read until it shows that; returns how much of its text is read then.  Colours and moves of the cursor are not text."""
        end = time.monotonic() + PATIENCE
        while wanted not in (shown := plain(self.text[since:])):
            if not self._read(max(0.0, end - time.monotonic())):
                raise Stumbled(f"it ended, and never showed {wanted!r}:\n{shown}")
        return len(self.text)

    def paste(self, code: str) -> int:
        """As terminals do it: marked as pasted where the program asked for that.  Returns where its answer begins."""
        since = len(self.text)
        asked = self.text.rfind("\x1b[?2004h") > self.text.rfind("\x1b[?2004l")
        self._type(f"\x1b[200~{code}\x1b[201~" if asked else code)
        return since

    def run(self) -> None:
        """Press Return until the editor has enough: at the end of several lines some want it twice."""
        for _ in range(3):
            self.press_return()
            while select.select([self._terminal], [], [], QUIET)[0] and self._read(PATIENCE):
                pass
            if not plain(self.text).endswith("... "):
                return

    def press_return(self) -> int:
        since = len(self.text)
        self._type("\r")
        return since

    def _type(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._terminal, data) :]

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07", "", text)


def pasted(pair: Pair) -> None:
    """Both programs in interactive Pythons."""
    first, second = Terminal(PYTHON), Terminal(PYTHON)
    try:
        for terminal in (first, second):
            terminal.see(">>> ", 0)
        since = first.paste(pair.first.code)
        first.run()
        first.see("\n" + prompt_of(pair.first), since)  # what was pasted is shown too, and has it in the midst of a line
        for block in pair.seconds:
            since = second.paste(block.code)
            second.run()
            for line in (block.prints or "").splitlines():
                second.see("\n" + line, since)
            since = second.paste("'al' + 'l read'")  # only its answer has these words in a row
            second.run()
            second.see("all read", since)
        since = first.press_return()
        first.see(">>> ", since)
        trouble = re.search(r"^(Traceback|\w*Error).*", plain(first.text + second.text), re.MULTILINE)
        if trouble:
            raise Stumbled(f"{trouble[0]}\n{plain(first.text)}\n{plain(second.text)}")
    finally:
        first.close()
        second.close()


# ------------------------------------------------------------------------------------------------------------ files
def saved(pair: Pair, folder: Path) -> None:
    """Both programs as files."""
    with subprocess.Popen(
        [PYTHON, save(pair.first, folder)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as first:
        assert first.stdout is not None
        shown = b""
        while prompt_of(pair.first).encode() not in shown:
            more = os.read(first.stdout.fileno(), 4096)
            if not more:
                raise Stumbled(f"{pair.first} ended early: {shown.decode()}")
            shown += more
        for block in pair.seconds:
            run_file(block, folder)
        rest, _ = first.communicate(b"\n", timeout=PATIENCE)
        if first.returncode:
            raise Stumbled(f"{pair.first} ended with status {first.returncode}: {rest.decode()}")
    for block in pair.afters:
        run_file(block, folder)


def run_file(block: Block, folder: Path) -> None:
    done = subprocess.run(
        [PYTHON, save(block, folder)], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode or (block.prints is not None and not blocks.same(block.prints, done.stdout)):
        raise Stumbled(f"{block} prints, with status {done.returncode}:\n{done.stdout}\nwritten is:\n{block.prints}")


def save(block: Block, folder: Path) -> Path:
    path = folder / f"line{block.line}.py"
    path.write_text(block.code, encoding="utf-8")
    return path


def prompt_of(block: Block) -> str:
    found = PROMPT.search(block.code)
    if not found:
        raise Stumbled(f"{block}: nobody is told when it is the second program's turn: input() has no prompt")
    return found[1].strip()


# ------------------------------------------------------------------------------------------------------------ the page
def install(block: Block) -> None:
    for command, _ in blocks.commands(block):
        print(f"$ {command}", flush=True)
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, timeout=INSTALLING, check=False)
        if done.returncode:
            raise Stumbled(f"{block}: status {done.returncode}")


def main() -> int:
    passed, failed = 0, 0

    def step(what: object, how: str, work: object) -> None:
        nonlocal passed, failed
        try:
            work()  # type: ignore[operator]
        except Stumbled as trouble:
            failed += 1
            print(f"{what}, {how}: DOES NOT WORK\n{trouble}", flush=True)
        else:
            passed += 1
            print(f"{what}, {how}: works", flush=True)

    page = blocks.blocks_of(README)
    pairs = [pair for pair in blocks.pairs() if pair.first.page == README]
    for block in page:
        if block.language == "console" and not {command for command, _ in blocks.commands(block)} & NOT_FOR_NEWCOMERS:
            step(block, "in a shell", lambda block=block: install(block))
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            step(pair, "pasted into two terminals", lambda pair=pair: pasted(pair))
            step(pair, "saved as two files", lambda pair=pair: saved(pair, Path(folder)))
        for block in page:
            if block.role == "alone" and block.language == "python":
                step(block, "saved as a file", lambda block=block: run_file(block, Path(folder)))
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed < 4)


if __name__ == "__main__":
    sys.exit(main())
