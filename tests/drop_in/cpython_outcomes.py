"""How each test of a test case of CPython's ended, as one line of JSON: for cpython_suite.py and cpython_queues.py."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import unittest
from typing import Any


class Result(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, list[str]] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.outcomes[test._testMethodName] = ["passed", ""]

    def addError(self, test: Any, error: Any) -> None:
        self._not_passed(test, "failed", error[1])

    def addFailure(self, test: Any, error: Any) -> None:
        self._not_passed(test, "failed", error[1])

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        if error is not None:
            self._not_passed(test, "failed", error[1])

    def addSkip(self, test: Any, reason: str) -> None:
        self._not_passed(test, "skipped", reason)

    def _not_passed(self, test: Any, outcome: str, reason: object) -> None:
        name = getattr(test, "_testMethodName", str(test))
        text = f"{type(reason).__name__}: {reason}" if isinstance(reason, BaseException) else str(reason)
        self.outcomes[name] = [outcome, text]


def tell(case: type[unittest.TestCase], found: dict[str, Any]) -> None:
    """Run the tests, print, and end: multiprocessing's helpers end by themselves when their pipes do.

    Args:
        found: where ``install_tests_in_module_dict`` put them.
    """
    found["setUpModule"]()
    result = Result()
    try:
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    finally:
        for child in multiprocessing.active_children():  # of a test that failed in the midst; newer fork servers wait for them
            child.kill()
            child.join()
        found["tearDownModule"]()
    print(json.dumps(result.outcomes))
    sys.stdout.flush()
    os._exit(0)
