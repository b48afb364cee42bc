"""The path hook and the finder of loaded releases.

A release is a folder, so the standard finder and loaders do the work. This one adds that a release serves
the top-level names that it claims and no others, and answers for other names without looking.

A release that may take names over has two entries on ``sys.path``: its folder goes first and serves those names
only; at the end, a path that is no folder serves the others. Modules have the same ``__file__`` either way, and
whatever lists the folders of ``sys.path`` (`importlib.metadata` does) sees the release once.

The finder returns None for names that are not the release's. The hook is registered once, before the
standard ones, and declines every path that is not an entry or a folder of a loaded release.

All files of a release are in its folder from the start, but those of a partial one may have no bytes yet. Its
loaders have these brought when a module is loaded, with those of all that the module imports.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
    all_suffixes,
)
from importlib.util import cache_from_source
from types import ModuleType
from typing import Any

from . import _compat

#: Path of a loaded release to its entries on ``sys.path``, and these to the top-level names that they serve.
_claims: dict[str, dict[str, frozenset[str]]] = {}

#: Behind the path of a release: its second entry. No file of a release has a colon in its path.
_REST = "/:rest"


#: Paths of the partial releases among them.
_partial: set[str] = set()


# Bytes are brought by what `get_code` calls and not around it, so that the traceback of a module that does not
# compile has no frame of these.


class _BroughtSourceLoader(SourceFileLoader):
    def path_stats(self, path: str) -> Mapping[str, Any]:
        cached = cache_from_source(path)
        _bring(self.name, cached if os.path.exists(cached) else path)
        return super().path_stats(path)


class _BroughtSourcelessLoader(SourcelessFileLoader):
    def get_data(self, path: str) -> bytes:
        if path == self.path:
            _bring(self.name, path)
        return super().get_data(path)


class _BroughtExtensionLoader(ExtensionFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _bring(spec.name, self.path)
        return super().create_module(spec)


_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
_PARTIAL_LOADERS = (
    (_BroughtExtensionLoader, EXTENSION_SUFFIXES),
    (_BroughtSourceLoader, SOURCE_SUFFIXES),
    (_BroughtSourcelessLoader, BYTECODE_SUFFIXES),
)


class ReleaseFinder(FileFinder):
    """Finds modules in one folder of a release."""

    def __init__(self, path: str, names: frozenset[str] | None, *, partial: bool = False) -> None:
        """``names``: what may be found here; None, inside of packages, for everything."""
        super().__init__(path, *(_PARTIAL_LOADERS if partial else _LOADERS))
        self._names = names

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module or of a namespace portion; None when the name is not this folder's."""
        if self._names is not None and fullname not in self._names:
            return None
        return super().find_spec(fullname, target)


def path_hook(path: str) -> ReleaseFinder:
    """For ``sys.path_hooks``. Raises ``ImportError`` for paths outside of loaded releases."""
    for root, entries in _claims.items():
        partial = root in _partial
        if path in entries:
            return ReleaseFinder(root, entries[path], partial=partial)
        # A file may be a zip archive, which is the next hook's.
        if contains(root, path) and os.path.isdir(path):
            return ReleaseFinder(path, None, partial=partial)
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


def register(path: str, names: Iterable[str], first: Iterable[str] = (), *, partial: bool = False) -> None:
    """Serves the release at `path`: those of its names that are in `first` before all else, the others after."""
    if partial:
        _partial.add(path)
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
    _partial.discard(path)
    sys.path[:] = [entry for entry in sys.path if entry not in entries]
    _forget_finders(path)
    if not _claims and path_hook in sys.path_hooks:
        sys.path_hooks.remove(path_hook)


def has_module(path: str, name: str) -> bool:
    """Whether the release at `path` has a module of that dotted name."""
    stem = os.path.join(path, *name.split("."))
    return os.path.isdir(stem) or any(os.path.isfile(stem + suffix) for suffix in all_suffixes())


def _bring(fullname: str, file: str) -> None:
    root = next((root for root in _partial if contains(root, file)), None)
    host = _compat.running_host()
    if root is not None and host is not None and host.lacks(root, file):
        host.bring(root, file, fullname)


def _forget_finders(root: str) -> None:
    for path in [path for path in sys.path_importer_cache if contains(root, path)]:
        del sys.path_importer_cache[path]
