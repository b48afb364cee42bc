"""Trees that a test makes, put behind webimport: the product's mount and finder, as a loaded release has them.

A tree that comes into being in the browser cannot be signed by a publisher, so that this leaves the download out. What
`load_release` does after it is done here with the same functions. A test that changes its tree gets another release of
it: a mount itself is read-only.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import js
from pyodide.ffi import to_js
from webimport import _finder, _release

_numbers = itertools.count(1)


class Tree:
    """Files at a path of their own below ``/webimport``."""

    def __init__(self) -> None:
        self.path = pathlib.Path(f"/webimport/tree-{next(_numbers)}")
        self._files: dict[str, bytes] = {}
        self._first: bool | None = None
        js.suites.mount(str(self.path), to_js([]), to_js([]))

    @classmethod
    def holding(cls, path: object) -> tuple[Tree, str] | None:
        """The tree that the path is in, and the rest of the path; None for other paths."""
        for tree in _trees:
            if _finder.contains(str(tree.path), str(path)):
                return tree, str(path)[len(str(tree.path)) + 1 :]
        return None

    @contextlib.contextmanager
    def edited(self) -> Iterator[pathlib.Path]:
        """A folder with its files; what is in it at the end takes their place. Empty folders are lost."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for path, content in self._files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            yield folder
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            self._replace({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})

    def serve(self, *, first: bool) -> None:
        """Makes it importable. ``first``: its names go before all else, as with ``allow_shadow``."""
        self._first = first
        names = import_names(self._files)
        _finder.register(str(self.path), names, names if first else ())
        if first and not names:
            # No publisher makes a release without import names; some tests are about metadata alone.
            sys.path.remove(str(self.path))
            sys.path.insert(0, str(self.path))

    def hide(self) -> None:
        """Undoes `serve`, as ``unload`` does."""
        self._first = None
        _release.remove_traces(str(self.path), import_names(self._files))

    def __enter__(self) -> Tree:
        _trees.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _trees.remove(self)
        self.hide()
        js.suites.unmount(str(self.path))

    def _replace(self, files: dict[str, bytes]) -> None:
        first = self._first
        # Not `hide`: what is imported already stays, as the tests expect it of a file that is written anew.
        _finder.unregister(str(self.path))
        js.suites.unmount(str(self.path))
        self._files = files
        js.suites.mount(str(self.path), to_js(list(files)), to_js(list(files.values())))
        if first is not None:
            self.serve(first=first)


_trees: list[Tree] = []


def open_or_publish(file: object, mode: str = "r", **options: Any) -> Any:
    """``open`` for tests that write a file of a tree: a release with what they wrote takes the old one's place."""
    tree, below = Tree.holding(file) or (None, "")
    if tree is None or not set(mode) & set("wax+"):
        return open(file, mode, **options)
    return _publishing(tree, below, mode, options)


@contextlib.contextmanager
def _publishing(tree: Tree, below: str, mode: str, options: dict[str, Any]) -> Iterator[Any]:
    with tree.edited() as folder, open(folder / below, mode, **options) as file:
        yield file


def import_names(files: dict[str, bytes]) -> set[str]:
    """The top-level names that a publisher claims for these files (`ImportNames` in webimport-core)."""
    names = set()
    for path in files:
        top, slash, _ = path.partition("/")
        if slash or path.endswith((".py", ".pyc", ".so")):
            names.add(top if slash else top.partition(".")[0])
    return {name for name in names if name.isidentifier() and name != "__pycache__"}
