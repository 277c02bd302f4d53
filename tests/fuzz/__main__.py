"""Fuzz for hours: python -m tests.fuzz --hours N [--target NAME ...] [--keep DIRECTORY]

Coverage-guided, under AddressSanitizer and UBSan; the targets get their share of the time one after another.  What was found stays
in DIRECTORY (fuzz-found): the input that shows it as a file per finding, to be run again by the line that is printed; and what the
fuzzer learned, so that the next run goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .build import TARGETS, Fuzzer, compiler
from .python_targets import TARGETS as PYTHON_TARGETS
from .python_targets import fuzz as fuzz_python


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--target", action="append", choices=[*TARGETS, *PYTHON_TARGETS])
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    chosen = parser.parse_args()
    targets = chosen.target or [*TARGETS, *PYTHON_TARGETS]
    if compiler() is None and set(targets) & set(TARGETS):
        parser.error("needs clang with libFuzzer (Debian: clang and libclang-rt-14-dev)")
    seconds = int(chosen.hours * 3600 / len(targets))
    failed = []
    for target in targets:
        keep = chosen.keep / target
        keep.mkdir(parents=True, exist_ok=True)
        print(f"== {target}, {seconds} s", flush=True)
        if target in PYTHON_TARGETS:
            status = fuzz_python(target, keep, seconds)
        else:
            status = Fuzzer(target, keep).run(seconds, keep / "corpus", quiet=False).returncode
        if status:
            failed.append(target)
    print("found something in " + ", ".join(failed) if failed else "found nothing")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
