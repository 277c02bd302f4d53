"""Kill at every instruction, the long form: python -m tests.crash_topic.step [--stride N] [SCENARIO ...]"""

from __future__ import annotations

import sys

from ..crash_sync.step import main
from .build import build

if __name__ == "__main__":
    sys.exit(main("tests.crash_topic.step", build))
