"""Kill everywhere, the long form: python -m tests.crash.step [--stride N] [--modes kill waiter pause cross] [SCENARIO ...]

Every system call stop, every instruction after which something changed, and every N-th other instruction of the library.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from .build import build

MODES = ("kill", "waiter", "pause", "cross")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.step", description="Kill one operation at every instruction.")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("scenarios", nargs="*")
    arguments = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as directory:
        step = build("step", Path(directory))
        known = subprocess.run([step, "list"], capture_output=True, text=True, check=True).stdout.split()
        for scenario in arguments.scenarios or known:
            for mode in arguments.modes:
                print(f"{scenario:45} {mode:7}", end="", flush=True)
                worst = max(worst, subprocess.run([step, mode, scenario, str(arguments.stride)], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
