"""The long storm: python -m tests.crash_topic.storm [--rounds N] [--seconds S] [--seed X] [--kind KIND] [--sanitize]

Compiles storm.c and runs it, each kind of topic in turn; the exit status is 0 if nothing was torn, lost, given twice or stuck.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .build import build

KINDS = ("ring", "frames", "mixed", "pins", "ends", "tight")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash_topic.storm", description="Kill writers and readers until something breaks."
    )
    parser.add_argument("--rounds", type=int, default=20000, help="of each kind; about 60 kills each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="stop each kind after so many seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--odds", type=int, default=-1, help="one self-kill in so many steps (default: changes each time)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one; may be given again")
    parser.add_argument("--sanitize", action="store_true", help="with the undefined behaviour sanitizer")
    arguments = parser.parse_args()
    flags = ["-O2", *(["-fsanitize=undefined", "-fno-sanitize-recover=all"] if arguments.sanitize else [])]
    worst = 0
    with tempfile.TemporaryDirectory() as directory:
        storm = build("storm", Path(directory), flags=flags)
        print(f"seed {arguments.seed}", flush=True)
        for kind in arguments.kind or KINDS:
            print(f"{kind:8}", end="", flush=True)
            numbers = [arguments.rounds, arguments.seed, arguments.seconds, kind, arguments.odds]
            worst = max(worst, abs(subprocess.run([storm, *map(str, numbers)], check=False).returncode))
    return worst


if __name__ == "__main__":
    sys.exit(main())
