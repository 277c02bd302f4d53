"""The long storm: python -m tests.crash_sync.storm [--rounds N] [--seconds S] [--seed X] [--without-naps] [--sanitize]

Compiles storm.c and runs it; the exit status is 0 if nothing was doubled, lost, stuck, untold or miscounted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .build import build

#: Nobody looks by himself: every wake-up must come.  In waits for several a round in some thousands loses one (see "Kills" in
#: namedshm_sync.h), in waits for one object (--single) none.
WITHOUT_NAPS = "-DNSHM_NAP=3600000000000LL"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash_sync.storm", description="Kill owners, waiters and setters until something breaks."
    )
    parser.add_argument("--rounds", type=int, default=1000000)
    parser.add_argument("--seconds", type=float, default=300, help="stop after so many seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--odds", type=int, default=-1, help="one self-kill in so many steps (default: changes each round)")
    parser.add_argument("--without-naps", action="store_true", help="sleepers do not look again by themselves")
    parser.add_argument("--single", action="store_true", help="nobody waits for several objects")
    parser.add_argument("--sanitize", action="store_true", help="with the undefined behaviour sanitizer")
    arguments = parser.parse_args()
    flags = ["-O2"]
    if arguments.without_naps:
        flags.append(WITHOUT_NAPS)
    if arguments.sanitize:
        flags += ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    with tempfile.TemporaryDirectory() as directory:
        storm = build("storm", Path(directory), flags=flags)
        print(f"seed {arguments.seed}", flush=True)
        command = [storm, str(arguments.rounds), str(arguments.seed), str(arguments.seconds), str(arguments.odds)]
        environment = {**os.environ, "NSHM_STORM_SINGLE": "1"} if arguments.single else None
        return subprocess.run(command, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
