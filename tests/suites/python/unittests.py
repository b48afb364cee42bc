"""Runs unittest suites and tells what became of each test."""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys
import traceback
import unittest

#: Worse outcomes last: a test with subtests has the worst of them.
_ORDER = ("skipped", "passed", "xfailed", "xpassed", "failed")


class _Result(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, tuple[str, str]] = {}

    def _note(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        name = test.id()
        known = self.outcomes.get(name)
        if known is None or _ORDER.index(known[0]) < _ORDER.index(outcome):
            self.outcomes[name] = (outcome, text)

    def addSuccess(self, test):
        self._note(test, "passed")

    def addSkip(self, test, reason):
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self._note(test, "xfailed")

    def addUnexpectedSuccess(self, test):
        self._note(test, "xpassed")

    def addFailure(self, test, err):
        self._note(test, "failed", "".join(traceback.format_exception(*err)))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._note(test, "failed", f"{subtest}\n" + "".join(traceback.format_exception(*err)))


def modules(packages: list[str]) -> list[str]:
    """The modules with tests in these packages, which have to be in releases."""
    found = []
    for name in packages:
        package = importlib.import_module(name)
        if not package.__file__.startswith("/webimport/"):
            raise ImportError(f"{name} is not in a release", name=name)
        names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{name}.")]
        found += [each for each in names if each.rpartition(".")[2].startswith("test_")]
    return found


def run(module: str) -> dict[str, tuple[str, str]]:
    """The outcome, and the traceback or the reason, of each test of a module."""
    result = _Result()
    # What tests print is not of interest, and would take time in a page.
    saved, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), io.StringIO(), io.StringIO()
    try:
        unittest.defaultTestLoader.loadTestsFromName(module).run(result)
    except unittest.SkipTest as skipped:
        result.outcomes[module] = ("skipped", str(skipped))
    finally:
        sys.stdout, sys.stderr = saved
    return result.outcomes
