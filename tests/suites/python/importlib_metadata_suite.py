"""Sets up the tests of PyPI's `importlib_metadata`."""

import os
from unittest import mock

import metadata_suite
from tests import fixtures

# pyfakefs, which some tests use, wraps a function that Emscripten does not have.
with mock.patch.object(os, "link", None, create=True):
    import pyfakefs.fake_filesystem_unittest  # noqa: F401

metadata_suite.replace(fixtures)
# In the order in which pytest goes through the folder.
PACKAGES = ["tests.compat", "tests"]
