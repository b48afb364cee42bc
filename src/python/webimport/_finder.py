"""The path hook and the finder of loaded releases.

A release is a folder, so the standard finder and loaders do the work. This one adds that a release serves
the top-level names that it claims and no others, and answers for other names without looking.

A release that may take names over has two entries on ``sys.path``: its folder goes first and serves those names
only; at the end, a path that is no folder serves the others. Modules have the same ``__file__`` either way, and
whatever lists the folders of ``sys.path`` (`importlib.metadata` does) sees the release once.

The finder returns None for names that are not the release's. The hook is registered once, before the
standard ones, and declines every path that is not an entry or a folder of a loaded release.

All files of a release are in its folder from the start, but some may have no bytes yet. The loaders have these brought
when a module is loaded, with those of all that the module imports. Of a large release it may also be unknown what is in
some folders: the finder has that brought when it looks for a module there.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
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
from ._errors import WebImportError

#: Path of a loaded release to its entries on ``sys.path``, and these to the top-level names that they serve.
_claims: dict[str, dict[str, frozenset[str]]] = {}

#: Behind the path of a release: its second entry. No file of a release has a colon in its path.
_REST = "/:rest"


#: Paths of those that were not all there when they were loaded, and the module files of each that were.
_incomplete: dict[str, frozenset[str]] = {}

#: Paths of those of which it may be unknown what is in some folders.
_sharded: set[str] = set()


#: What bytecode that is bound to a source file's time would be compared with: the time of all files of a release, any
#: size. It cannot be right, as no publisher's file is that old.
_STATS: Mapping[str, Any] = {"mtime": 315_619_200, "size": None}


def _read(path: str) -> bytes | None:
    """A file's bytes from the host, if it has them: by way of the file system they take 7 % of an import."""
    host = _compat.running_host()
    # The standard loaders take anything that stands for a path.
    return host.read(path) if host is not None and isinstance(path, str) else None


class _SourceLoader(SourceFileLoader):
    # Here and not around `get_code`, so that the traceback of a module that does not compile has no frame of this loader.
    def get_data(self, path: str) -> bytes:
        data = _read(path)
        return super().get_data(path) if data is None else data

    def path_stats(self, path: str) -> Mapping[str, Any]:
        return _STATS


class _SourcelessLoader(SourcelessFileLoader):
    def get_data(self, path: str) -> bytes:
        data = _read(path)
        return super().get_data(path) if data is None else data


class _BroughtSourceLoader(_SourceLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return _brought(self, spec, _code_file(self.path))

    # `reload` and `runpy` create no module.
    def path_stats(self, path: str) -> Mapping[str, Any]:
        _bring(self.name, _code_file(path))
        return super().path_stats(path)


class _BroughtSourcelessLoader(_SourcelessLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return _brought(self, spec, self.path)

    def get_data(self, path: str) -> bytes:
        if path == self.path:
            _bring(self.name, path)
        return super().get_data(path)


class _BroughtExtensionLoader(ExtensionFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _brought(self, spec, self.path) or super().create_module(spec)


_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (_SourceLoader, SOURCE_SUFFIXES),
    (_SourcelessLoader, BYTECODE_SUFFIXES),
)
_BROUGHT_LOADERS = (
    (_BroughtExtensionLoader, EXTENSION_SUFFIXES),
    (_BroughtSourceLoader, SOURCE_SUFFIXES),
    (_BroughtSourcelessLoader, BYTECODE_SUFFIXES),
)


def _loaders(root: str) -> Iterator[tuple[Any, list[str]]]:
    """For what is there the standard loaders: asking the host of each module takes half as long as importing it."""
    there = _incomplete.get(root)
    if there is None:
        yield from _LOADERS
        return
    for (standard, suffixes), (brought, _) in zip(_LOADERS, _BROUGHT_LOADERS, strict=True):
        yield partial(_loader, there, standard, brought), suffixes


def _loader(there: frozenset[str], standard: Any, brought: Any, name: str, path: str) -> Any:
    return (standard if path in there else brought)(name, path)


class ReleaseFinder(FileFinder):
    """Finds modules in one folder of a release."""

    def __init__(self, root: str, path: str, names: frozenset[str] | None) -> None:
        """``root``: of the release. ``names``: what may be found here; None, inside of packages, for everything."""
        super().__init__(path, *_loaders(root))
        self._names = names
        self._root = root
        self._is_known = root not in _sharded

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module or of a namespace portion; None when the name is not this folder's."""
        if self._names is not None and fullname not in self._names:
            return None
        module = None
        if self._root in _sharded:
            before = fullname in sys.modules
            self._look(fullname)
            module = None if before else sys.modules.get(fullname)
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if loader is not None:
            # Another task has imported it while this one waited. The import takes the spec that is in `sys.modules` by
            # then, and would make the module anew by its loader.
            vars(loader).update(create_module=lambda _: module, exec_module=_leave)
        return super().find_spec(fullname, target)

    def _look(self, fullname: str) -> None:
        """Has it known what is in this folder and, where the module may be a package, in the module's own."""
        if not self._is_known:
            _look(self._root, self.path, fullname)
            self._is_known = True
        folder = os.path.join(self.path, fullname.rpartition(".")[2])
        if os.path.isdir(folder):
            _look(self._root, folder, fullname)


def path_hook(path: str) -> ReleaseFinder:
    """For ``sys.path_hooks``. Raises ``ImportError`` for paths outside of loaded releases."""
    for root, entries in _claims.items():
        if path in entries:
            return ReleaseFinder(root, root, entries[path])
        # A file may be a zip archive, which is the next hook's.
        if contains(root, path) and os.path.isdir(path):
            return ReleaseFinder(root, path, None)
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


def register(
    path: str,
    names: Iterable[str],
    first: Iterable[str] = (),
    *,
    there: Iterable[str] | None = None,
    sharded: bool = False,
) -> None:
    """Serves the release at `path`: those of its names that are in `first` before all else, the others after.

    ``there``: the module files, relative, whose bytes are there; None: all. ``sharded``: it may be unknown what is in
    some folders.
    """
    _note(path, there, sharded=sharded)
    taken = frozenset(names).intersection(first)
    rest = frozenset(names) - taken
    _claims[path] = {path: taken, path + _REST: rest} if taken and rest else {path: taken or rest}
    _forget_finders(path)
    if path_hook not in sys.path_hooks:
        sys.path_hooks.insert(0, path_hook)
    front, *end = _claims[path]
    sys.path.insert(0 if taken else len(sys.path), front)
    sys.path.extend(end)
    forget_listings()


def renew(path: str, *, there: Iterable[str] | None, sharded: bool) -> None:
    """As `register`, of what is served already and has been mounted once more."""
    _note(path, there, sharded=sharded)
    _forget_finders(path)


def _note(path: str, there: Iterable[str] | None, *, sharded: bool) -> None:
    _sharded.discard(path)
    _incomplete.pop(path, None)
    if sharded:
        _sharded.add(path)
    if there is not None:
        _incomplete[path] = frozenset(f"{path}/{file}" for file in there)


def unregister(path: str) -> None:
    """Stops serving the release at `path`; the hook goes with the last one."""
    entries = _claims.pop(path, {})
    _incomplete.pop(path, None)
    _sharded.discard(path)
    sys.path[:] = [entry for entry in sys.path if entry not in entries]
    _forget_finders(path)
    if not _claims and path_hook in sys.path_hooks:
        sys.path_hooks.remove(path_hook)


def forget_listings() -> None:
    """Has folders read again: finders remember by the second what is in them, and a file may be younger.

    `importlib.invalidate_caches` would do that, too, and have the importer of the standard library's archive read the
    archive again, which in a browser takes longer than all else that placing a release does.
    """
    for finder in sys.path_importer_cache.values():
        if isinstance(finder, FileFinder):
            finder.invalidate_caches()


def has_module(path: str, name: str) -> bool:
    """Whether the release at `path` has a module of that dotted name."""
    stem = os.path.join(path, *name.split("."))
    return os.path.isdir(stem) or any(os.path.isfile(stem + suffix) for suffix in all_suffixes())


def _code_file(source: str) -> str:
    """The file that the code of a module is read from."""
    try:
        cached = cache_from_source(source)
    except NotImplementedError:
        return source
    return cached if os.path.exists(cached) else source


def _brought(loader: object, spec: ModuleSpec, file: str) -> ModuleType | None:
    """Brings a module's bytes before it is in ``sys.modules``, where another task would find it empty.

    All tasks of an event loop have one thread, so that the import lock stops none of them. What another one imported
    while this one waited is returned, and its body is not run again.
    """
    if not _bring(spec.name, file):
        return None
    module = sys.modules.get(spec.name)
    if module is not None:
        # On the loader of this one spec, as a method would be a frame in the traceback of every module.
        vars(loader)["exec_module"] = _leave
    return module


def _leave(module: ModuleType) -> None:
    pass


def _bring(fullname: str, file: str) -> bool:
    """Gets the bytes of a module's file, if they are still to come; says whether they were."""
    root = next((root for root in _incomplete if contains(root, file)), None)
    host = _compat.running_host()
    if root is None or host is None or not host.lacks(root, file):
        return False
    with _announced(host, root):
        host.bring(root, file, _name_in_release(root, file) or fullname)
    return True


def _look(root: str, folder: str, fullname: str) -> None:
    """Gets to know what is in a folder of the release, if that is still unknown."""
    host = _compat.running_host()
    if host is not None and host.hides(root, folder):
        with _announced(host, root):
            host.look(root, folder, fullname)


@contextmanager
def _announced(host: _compat.Host, root: str) -> Iterator[None]:
    """Tells of what fails in an import."""
    try:
        yield
    except WebImportError as error:
        # Not at the top: it imports this module.
        from ._release import label_of, warn_of_trouble

        # Library code takes an ImportError for a module that is not installed, and says nothing.
        notice = {"code": error.code, "message": error.msg, "hint": error.hint, "release": label_of(root)}
        host.announce("warning", json.dumps(notice))
        warn_of_trouble(root, error.msg, error.hint)
        raise


def _name_in_release(root: str, file: str) -> str | None:
    """The dotted name of a module's file as the release has it: a folder of packages may be on ``sys.path`` itself."""
    *folders, name = os.path.relpath(file, root).split(os.sep)
    if folders and folders[-1] == "__pycache__":
        folders.pop()
    parts = [*folders, name.partition(".")[0]]
    if parts[-1] == "__init__":
        parts.pop()
    # A file without a dotted name comes with the package around it.
    named = list(itertools.takewhile(str.isidentifier, parts))
    return ".".join(named) or None


def _forget_finders(root: str) -> None:
    for path in [path for path in sys.path_importer_cache if contains(root, path)]:
        del sys.path_importer_cache[path]
