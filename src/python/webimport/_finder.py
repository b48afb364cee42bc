"""The path hook and the finder of loaded releases.

A release is a folder, so the standard finder and loaders do the work. This one adds that a release serves
the top-level names that it claims and no others, and answers for other names without looking.

A release that may take names over has two entries on ``sys.path``: its folder goes first and serves those names
only; at the end, a path that is no folder serves the others. Modules have the same ``__file__`` either way, and
whatever lists the folders of ``sys.path`` (`importlib.metadata` does) sees the release once.

The finder returns None for names that are not the release's. The hook is registered once, before the
standard ones, and declines every path that is not an entry or a folder of a loaded release.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import ModuleType

#: Path of a loaded release to its entries on ``sys.path``, and these to the top-level names that they serve.
_claims: dict[str, dict[str, frozenset[str]]] = {}

#: Behind the path of a release: its second entry. No file of a release has a colon in its path.
_REST = "/:rest"


class ReleaseFinder(FileFinder):
    """Finds modules in one folder of a release."""

    def __init__(self, path: str, names: frozenset[str] | None) -> None:
        """``names``: what may be found here; None, inside of packages, for everything."""
        super().__init__(
            path,
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (SourceFileLoader, SOURCE_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        )
        self._names = names

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module or of a namespace portion; None when the name is not this folder's."""
        if self._names is not None and fullname not in self._names:
            return None
        return super().find_spec(fullname, target)


def path_hook(path: str) -> ReleaseFinder:
    """For ``sys.path_hooks``. Raises ``ImportError`` for paths outside of loaded releases."""
    for root, entries in _claims.items():
        if path in entries:
            return ReleaseFinder(root, entries[path])
        # A file may be a zip archive, which is the next hook's.
        if contains(root, path) and os.path.isdir(path):
            return ReleaseFinder(path, None)
    raise ImportError("not a folder of a loaded release", path=path)


def contains(root: str, path: str) -> bool:
    """Whether `path` is the folder `root` or inside of it."""
    return path == root or path.startswith(root + "/")


def portions(path: Iterable[str] | None) -> list[str]:
    """The folders of a package's ``__path__``."""
    try:
        return list(path or [])
    except KeyError:
        # A nested namespace package asks its parent, which has left sys.modules.
        return []


def register(path: str, names: Iterable[str], first: Iterable[str] = ()) -> None:
    """Serves the release at `path`: those of its names that are in `first` before all else, the others after."""
    taken = frozenset(names).intersection(first)
    rest = frozenset(names) - taken
    _claims[path] = {path: taken, path + _REST: rest} if taken and rest else {path: taken or rest}
    _forget_finders(path)
    if path_hook not in sys.path_hooks:
        sys.path_hooks.insert(0, path_hook)
    front, *end = _claims[path]
    sys.path.insert(0 if taken else len(sys.path), front)
    sys.path.extend(end)
    importlib.invalidate_caches()


def unregister(path: str) -> None:
    """Stops serving the release at `path`; the hook goes with the last one."""
    entries = _claims.pop(path, {})
    sys.path[:] = [entry for entry in sys.path if entry not in entries]
    _forget_finders(path)
    if not _claims and path_hook in sys.path_hooks:
        sys.path_hooks.remove(path_hook)


def _forget_finders(root: str) -> None:
    for path in [path for path in sys.path_importer_cache if contains(root, path)]:
        del sys.path_importer_cache[path]
