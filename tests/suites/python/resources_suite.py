"""Tests of resources: trees on disk, and zip files, become releases."""

import served


def replace(util, build):
    """``util``: the module with the tests' fixtures; ``build`` writes a tree into a folder."""

    def tree_on_path(self, spec):
        tree = self.fixtures.enter_context(served.Tree())
        with tree.edited() as folder:
            build(spec, folder)
        tree.serve(first=False)

    util.DiskSetup.tree_on_path = util.ZipSetup.tree_on_path = tree_on_path
