"""Runs the tests of a package with pytest and tells what became of each."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import site
import sys
import tarfile
import zipfile
from typing import Any

from pyodide.http import pyfetch


async def install(*urls: str) -> None:
    """Unpacks wheels into site-packages, as pip does."""
    for url in urls:
        with zipfile.ZipFile(io.BytesIO(await (await pyfetch(url)).bytes())) as wheel:
            wheel.extractall(site.getsitepackages()[0])
    importlib.invalidate_caches()


async def unpack(url: str) -> None:
    """Goes into an unpacked source distribution of which nothing but tests and configuration is left."""
    with tarfile.open(fileobj=io.BytesIO(await (await pyfetch(url)).bytes())) as archive:
        archive.extractall("/work", filter="data")
    (folder,) = os.scandir("/work")
    os.chdir(folder.path)
    for entry in list(os.scandir()):
        if entry.name not in ("tests", "pyproject.toml"):
            (shutil.rmtree if entry.is_dir() else os.remove)(entry.path)


def run(package: str, root: str, *arguments: str) -> dict[str, tuple[str, str]]:
    """The outcome of each test, and what pytest shows of a failure; the package has to be imported from below `root`."""
    import pytest

    found = importlib.import_module(package).__file__
    if not found.startswith(root):
        raise ImportError(f"{found} is not below {root}", name=package)
    recorder = _Recorder()
    saved, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), io.StringIO(), io.StringIO()
    try:
        ended = pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[recorder])
        shown = sys.stdout.getvalue() + sys.stderr.getvalue()
    finally:
        sys.stdout, sys.stderr = saved
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        recorder.outcomes["pytest itself"] = ("failed", shown[-4000:])
    return recorder.outcomes


class _Recorder:
    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[str, str]] = {}
        self._names: dict[str, str] = {}

    def pytest_sessionstart(self) -> None:
        if "hypothesis" not in sys.modules:
            return
        from hypothesis import settings

        # The same examples each time, few of them, and no verdict about the speed of a browser.
        settings.register_profile("suites", derandomize=True, deadline=None, database=None, max_examples=5)
        settings.load_profile("suites")

    def pytest_itemcollected(self, item: Any) -> None:
        # Without the folder, which is another one for an installed package and for a release.
        _, _, rest = item.nodeid.partition("::")
        self._names[item.nodeid] = f"{item.module.__name__}::{rest}"

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            name = os.path.basename(report.nodeid.partition("::")[0])
            self.outcomes[f"collecting {name}"] = ("failed", str(report.longrepr))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
        self.outcomes[self._names[report.nodeid]] = (outcome, str(report.longrepr or ""))
