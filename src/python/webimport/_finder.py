"""The path hook and the finder of loaded releases.

A release is a folder, so the standard finder and loaders do the work. This one adds that a release serves
the top-level names that it claims and no others, and answers for other names without looking.

The finder returns None for names that are not the release's. The hook is registered once, before the
standard ones, and declines every path that is not inside of a loaded release.
"""

from __future__ import annotations

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

#: Path of a loaded release to the top-level names that it claims.
_claims: dict[str, frozenset[str]] = {}


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
    if path in _claims:
        return ReleaseFinder(path, _claims[path])
    if any(contains(root, path) for root in _claims):
        return ReleaseFinder(path, None)
    raise ImportError("not inside of a loaded release", path=path)


def contains(root: str, path: str) -> bool:
    """Whether `path` is the folder `root` or inside of it."""
    return path == root or path.startswith(root + "/")


def register(path: str, names: Iterable[str]) -> None:
    """Serves the release at `path`; again, to change the names that it claims."""
    _claims[path] = frozenset(names)
    _forget_finders(path)
    if path_hook not in sys.path_hooks:
        sys.path_hooks.insert(0, path_hook)


def unregister(path: str) -> None:
    """Stops serving the release at `path`; the hook goes with the last one."""
    _claims.pop(path, None)
    _forget_finders(path)
    if not _claims and path_hook in sys.path_hooks:
        sys.path_hooks.remove(path_hook)


def _forget_finders(root: str) -> None:
    for path in [path for path in sys.path_importer_cache if contains(root, path)]:
        del sys.path_importer_cache[path]
