"""Kill at every instruction, the long form: python -m tests.crash_sync.step [--stride N] [SCENARIO ...]"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .build import build


def main(module: str, build: Callable[..., Path]) -> int:
    """The command of a module, whose ``build`` makes its stepper."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description="Kill one operation at every instruction.")
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
    sys.exit(main("tests.crash_sync.step", build))
