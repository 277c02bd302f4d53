"""The C headers under ThreadSanitizer: python -m tests.crash.tsan [--seconds 60] [--threads 8] [--seeds 4]

Threads of one process do at once what the headers offer (crowd.c: all of it; threads.c: create, open and close, as quickly as they
can).  Nothing is suppressed: exit status 0 means that not one race was seen, and that the programs saw nothing wrong either.

What ThreadSanitizer can and cannot see here:

- It knows memory by its address.  Two attachments of one segment are two memories to it; so what is shared between processes, or
  between two handles of one process, it sees only where threads go through one handle, or through the registry.  Hence crowd.c
  shares handles, and why races between processes are for the storms and steppers.
- It knows no fences (hence -Wno-tsan) and no futex: it sees the atomics around them.  A race it finds is one; orders that rest on
  fences alone are not proved by its silence.
- gcc expands small memcpy and memcmp calls after ThreadSanitizer's turn: -fno-builtin keeps them calls, which it sees.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .build import build, numbers

FLAGS = ("-O1", "-fno-omit-frame-pointer", "-fno-builtin", "-fsanitize=thread", "-Wno-tsan", "-Wno-maybe-uninitialized")
FOUND = 66
OPTIONS = f"history_size=7 exitcode={FOUND}"


def without_random_layout() -> list[str]:
    """libtsan of gcc before 14 dies where the kernel places mappings at random over more bits than it knows of."""
    command = ["setarch", "-R"]
    if not shutil.which(command[0]) or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        return []
    return command


def missing(directory: Path) -> str | None:
    """Why ThreadSanitizer does not work here, or None."""
    source, program = directory / "probe.c", directory / "probe"
    source.write_text("int main(void) { return 0; }\n")
    command = [os.environ.get("CC", "gcc"), "-fsanitize=thread", str(source), "-o", str(program)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return "the compiler has no ThreadSanitizer"
    probe = subprocess.run([*without_random_layout(), program], capture_output=True, text=True, check=False)
    return None if probe.returncode == 0 else f"ThreadSanitizer does not run here: {probe.stderr.strip()[:200]}"


def run(program: Path, arguments: Sequence[str], timeout: float) -> tuple[int, str]:
    """The exit status and all that was printed, reports included."""
    result = subprocess.run(
        [*without_random_layout(), program, *arguments],
        env={**os.environ, "TSAN_OPTIONS": OPTIONS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return result.returncode, result.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.tsan", description="The C headers under ThreadSanitizer.")
    parser.add_argument("--seconds", type=float, default=60, help="for each seed (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=8, help="at once (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=4, help="how many runs (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    worst, start = 0, time.monotonic()
    totals: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        if reason := missing(directory):
            print(reason, file=sys.stderr)
            return 2
        crowd, threads = (build(name, directory, flags=FLAGS) for name in ("crowd", "threads"))
        runs = [(crowd, [str(chosen.seconds), str(seed), str(chosen.threads)]) for seed in range(1, chosen.seeds + 1)]
        for program, arguments_of_it in [*runs, (threads, [str(int(chosen.seconds * 500))])]:
            status, output = run(program, arguments_of_it, chosen.seconds * 20 + 600)
            if status:
                print(output)
                worst = max(worst, status if status > 0 else 1)
            for key, value in numbers(output).items():
                totals[key] = totals.get(key, 0) + value
            print(f"{program.name} {' '.join(arguments_of_it)}: exit status {status}", flush=True)
    print(" ".join(f"{key}={value:.0f}" for key, value in totals.items()), f"in {time.monotonic() - start:.0f} s")
    return worst


if __name__ == "__main__":
    sys.exit(main())
