"""Sets up the tests of PyPI's `importlib_resources`."""

import resources_suite
from importlib_resources.tests import _path, util

# Adds what `test.support` lacks before Python 3.12.
from importlib_resources.tests.compat import py312  # noqa: F401

resources_suite.replace(util, _path.build)
PACKAGES = ["importlib_resources.tests"]
