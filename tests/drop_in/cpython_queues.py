"""Runs CPython's own tests of multiprocessing's queues on namedshm; see test_cpython_suite.py, and cpython_suite.py for the manner.

python cpython_queues.py fork|spawn|forkserver
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.queues
import sys
from typing import Any

import test._test_multiprocessing as suite
from cpython_outcomes import tell

from namedshm import JoinableObjectQueue, ObjectQueue

multiprocessing.Queue = multiprocessing.queues.Queue = suite.ProcessesMixin.Queue = ObjectQueue
multiprocessing.JoinableQueue = multiprocessing.queues.JoinableQueue = suite.ProcessesMixin.JoinableQueue = JoinableObjectQueue

found: dict[str, Any] = {"__name__": __name__}
suite.install_tests_in_module_dict(found, sys.argv[1], only_type="processes")
case = WithProcessesTestQueue = found["WithProcessesTestQueue"]


if __name__ == "__main__":
    tell(case, found)
