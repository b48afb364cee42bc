"""Tests of metadata: the folders that they write and put on ``sys.path`` become releases."""

import contextlib
import shutil
import types

import served


def replace(fixtures):
    """``fixtures``: the module with the tests' fixtures."""
    write_files, add_folder = fixtures.build_files, fixtures.OnSysPath.add_sys_path

    @contextlib.contextmanager
    def tmp_path():
        with served.Tree() as tree:
            yield tree.path

    @contextlib.contextmanager
    def add_sys_path(folder):
        tree, below = served.Tree.holding(folder) or (None, "")
        if tree is None or below:
            with add_folder(folder):
                yield
            return
        tree.serve(first=True)
        try:
            yield
        finally:
            tree.hide()

    def build_files(files, prefix):
        tree, below = served.Tree.holding(prefix) or (None, "")
        if tree is None:
            write_files(files, prefix)
            return
        with tree.edited() as folder:
            (folder / below).mkdir(parents=True, exist_ok=True)
            write_files(files, folder / below)

    def rmtree(folder):
        tree, below = served.Tree.holding(folder)
        with tree.edited() as edited:
            shutil.rmtree(edited / below)

    fixtures.tmp_path = tmp_path
    fixtures.OnSysPath.add_sys_path = staticmethod(add_sys_path)
    fixtures.build_files = build_files
    fixtures.shutil = types.SimpleNamespace(rmtree=rmtree)
