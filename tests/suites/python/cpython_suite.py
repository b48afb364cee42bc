"""CPython's own tests of the import system, on releases or on plain folders."""

import contextlib
import shutil
import sys
import unittest

import served

# Of the copy of these tests in RustPython, which marks with it what fails there.
if not hasattr(unittest, "expectedFailureIf"):
    unittest.expectedFailureIf = lambda condition, reason: unittest.expectedFailure if condition else lambda test: test

MODULES = [
    *(f"test.test_importlib.import_.test_{name}" for name in (
        "__loader__", "__package__", "api", "caching", "fromlist", "helpers", "meta_path", "packages", "path",
        "relative_imports",
    )),
    "test.test_importlib.source.test_file_loader",
    "test.test_importlib.source.test_source_encoding",
    "test.test_importlib.test_namespace_pkgs",
    "test.test_importlib.test_api",
    "test.test_importlib.test_lazy",
    "test.test_importlib.test_threaded_import",
    *(f"test.test_importlib.metadata.test_{name}" for name in ("api", "main", "zip")),
    *(f"test.test_importlib.resources.test_{name}" for name in (
        "compatibilty_files", "contents", "custom", "files", "functional", "open", "path", "read", "reader",
        "resource",
    )),
    "test.test_pkgutil",
    "test.test_runpy",
    "test.test_linecache",
    "test.test_inspect.test_inspect",
]


def on_releases():
    """Replaces the fixtures that make packages."""
    from test.test_importlib import util

    import metadata_suite
    import resources_suite

    with contextlib.suppress(ImportError):
        from test.test_importlib.metadata import fixtures

        metadata_suite.replace(fixtures)
    from test.test_importlib.resources import _path, util as resources_util

    resources_suite.replace(resources_util, _path.build)

    make_modules = util.create_modules

    @contextlib.contextmanager
    def create_modules(*names):
        with make_modules(*names) as mapping, served.Tree() as tree:
            root = mapping[".root"]
            with tree.edited() as folder:
                shutil.copytree(root, folder, dirs_exist_ok=True)
            sys.path.remove(root)
            tree.serve(first=True)
            yield {name: file.replace(root, str(tree.path)) for name, file in mapping.items()}

    util.create_modules = create_modules

    from test.test_importlib.source import test_file_loader, test_source_encoding

    test_file_loader.open = test_source_encoding.open = served.open_or_publish

    compile_and_change = test_file_loader.BadBytecodeTest.manipulate_bytecode

    def manipulate_bytecode(self, name, mapping, *options, **named):
        tree, _ = served.Tree.holding(mapping[".root"])
        with tree.edited() as folder:
            on_disk = {each: file.replace(str(tree.path), str(folder)) for each, file in mapping.items()}
            path = compile_and_change(self, name, on_disk, *options, **named)
        return path and path.replace(str(folder), str(tree.path))

    test_file_loader.BadBytecodeTest.manipulate_bytecode = manipulate_bytecode
