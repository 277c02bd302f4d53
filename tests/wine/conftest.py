"""Only Windows has these tests; elsewhere tests/backends/test_windows_backend.py runs them under Wine."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    collect_ignore_glob = ["test_*.py"]
