"""Kill at every instruction, the long form: python -m tests.crash_queue.step [--stride N] [SCENARIO ...]"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from .build import build


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash_queue.step", description="Kill one operation at every instruction."
    )
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("scenarios", nargs="*")
    arguments = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as directory:
        step = build("step", Path(directory))
        known = subprocess.run([step, "list"], capture_output=True, text=True, check=True).stdout.split()
        for scenario in arguments.scenarios or known:
            print(f"{scenario:35}", end="", flush=True)
            worst = max(worst, subprocess.run([step, scenario, str(arguments.stride)], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
