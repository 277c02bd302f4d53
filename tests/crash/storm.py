"""The long storm: python -m tests.crash.storm [--rounds N] [--seconds S] [--seed X]

Compiles storm.c and runs it; the exit status is 0 if nothing was lost, doubled, mixed up, stuck or left behind.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .build import build


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.storm", description="Kill processes at random until something breaks."
    )
    parser.add_argument("--rounds", type=int, default=20000)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so many seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        storm = build("storm", Path(directory))
        print(f"seed {arguments.seed}", flush=True)
        return subprocess.run([storm, str(arguments.rounds), str(arguments.seed), str(arguments.seconds)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
