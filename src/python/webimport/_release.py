"""A loaded release, and how it goes away again."""

from __future__ import annotations

import importlib
import json
import linecache
import sys
import warnings
from types import ModuleType
from typing import Any

from . import _compat, _finder
from ._errors import ConfigError, HostError, WebImportWarning

#: Loaded releases by digest, in the order of loading.
loaded: dict[str, Release] = {}


class Release:
    """A release that Python can import from. Made by ``load_release``; keeps no JavaScript object."""

    def __init__(self, description: dict[str, Any]) -> None:
        """``description``: as the host gives it."""
        self._description = description

    @property
    def name(self) -> str:
        """As published."""
        return self._description["name"]

    @property
    def version(self) -> str:
        """As published."""
        return self._description["version"]

    @property
    def sha256(self) -> str:
        """Digest of ``release.json``: with it as a pin, a cached release loads without any request."""
        return self._description["sha256"]

    @property
    def path(self) -> str:
        """The folder that holds its files, read-only."""
        return self._description["path"]

    @property
    def modules(self) -> tuple[str, ...]:
        """The top-level names that it provides."""
        return tuple(self._description["modules"])

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those of `modules` that are namespace packages, which releases may share."""
        return tuple(self._description["namespaces"])

    @property
    def distributions(self) -> tuple[dict[str, str], ...]:
        """``name`` and ``version`` of each distribution inside."""
        return tuple(self._description["distributions"])

    @property
    def requires(self) -> tuple[str, ...]:
        """PEP 508 requirements that nothing inside satisfies."""
        return tuple(self._description["requires"])

    @property
    def requires_python(self) -> str | None:
        """A PEP 440 specifier."""
        return self._description.get("requires_python")

    @property
    def partial(self) -> bool:
        """Whether its modules come as they are imported, or by `prefetch`. Small releases are fetched whole."""
        return self._description["partial"]

    @property
    def source(self) -> bool:
        """Whether it has its sources; without, tracebacks show no lines."""
        return self._description["source"]

    @property
    def repository(self) -> str:
        """Base URL."""
        return self._description["repository"]

    @property
    def bytecode(self) -> str | None:
        """The cache tag whose bytecode is used, as ``cpython-314``; None: compiled from source."""
        return self._description.get("bytecode")

    @property
    def trust(self) -> dict[str, Any]:
        """On whose word it was loaded.

        ``how`` (``chain`` of signed metadata, or ``pin``), ``root``, ``first_use``, the ``role`` that names the
        release with the ``keyids`` that signed it, ``expires``, and whether it has ``expired``.
        """
        return dict(self._description["trust"])

    @property
    def network(self) -> dict[str, int]:
        """``files``, ``bytes`` and ``requests`` of this load."""
        return dict(self._description["network"])

    @property
    def cache(self) -> dict[str, int]:
        """``files`` and ``bytes`` of this load that came from the cache."""
        return dict(self._description["cache"])

    @property
    def storage(self) -> str:
        """``indexeddb``, or ``memory`` when the browser's database cannot be used: nothing is kept then."""
        return self._description["storage"]

    @property
    def offline(self) -> bool:
        """Whether the load made do without the network."""
        return self._description["offline"]

    @property
    def warnings(self) -> tuple[dict[str, Any], ...]:
        """``code``, ``message`` and ``hint`` of what works, but not as it should."""
        return tuple(self._description["warnings"])

    @property
    def loaded(self) -> bool:
        """False after `unload`."""
        return loaded.get(self.sha256) is self

    async def prefetch(self, *modules: str) -> None:
        """Fetches modules (dotted names) with all that they import, before they are imported.

        Imports do that themselves where Python can wait for the network; this is for where it cannot. Without
        names, everything comes, so that no import, no traceback and no file of the release needs the network again;
        what is over 128 MiB goes into the cache alone, from which imports that can wait, and
        `prefetch` by name, get it. Raises `ResolveError` for a module that the release does not have, `FetchError`, and
        `StoreError` where all is there but the browser refuses to keep it.
        """
        if not all(isinstance(module, str) for module in modules):
            raise ConfigError(
                f"`prefetch`: expected names of modules, got {modules!r}",
                code="config.invalid",
                hint='write prefetch("package.module", "package.other")',
            )
        host = _compat.running_host()
        if host is None or not self.loaded:
            raise HostError(f"{self} is not loaded", code="host.unloaded", hint="load it again")
        await host.fetch(self.path, json.dumps(modules))

    @property
    def _incomplete(self) -> bool:
        """Whether modules may be imported whose bytes are still to come."""
        return self._description["incomplete"]

    @property
    def _sharded(self) -> bool:
        """Whether it may be unknown what is in some of its folders."""
        return self._description["sharded"]

    def own_names(self) -> set[str]:
        """Those of `modules` that it does not share."""
        return set(self.modules) - set(self.namespaces)

    def add_warning(self, code: str, message: str, hint: str) -> None:
        """Notes something that the host does not know."""
        self._description["warnings"].append({"code": code, "message": message, "hint": hint})

    def to_json(self) -> str:
        """As the host describes it."""
        return json.dumps(self._description)

    def unload(self) -> None:
        """Takes its modules, its path entries and its files away again. Does nothing the second time.

        Objects that are in use live on; an extension module stays in memory.
        """
        if not self.loaded:
            return
        del loaded[self.sha256]
        remove_traces(self.path, self.own_names())
        host = _compat.running_host()
        if host is not None:
            host.unmount(self.path)
            host.announce("unloaded", self.to_json())

    def __str__(self) -> str:
        return f"the release `{self.name}` {self.version}"

    def __repr__(self) -> str:
        state = "" if self.loaded else ", unloaded"
        return f"<Release {self.name} {self.version}, sha256 {self.sha256[:12]}…{state}>"

    def _repr_html_(self) -> str:
        network, cache = self.network, self.cache
        rows = {
            "release": f"{self.name} {self.version}",
            "modules": ", ".join(self.modules),
            "sha256": self.sha256,
            "repository": self.repository,
            "root": self.trust["root"],
            "signed by": ", ".join(key[:12] + "…" for key in self.trust["keyids"]) or "pinned by its digest",
            "network": f"{network['files']} files, {network['bytes']} bytes, {network['requests']} requests",
            "cache": f"{cache['files']} files, {cache['bytes']} bytes, {self.storage}",
        }
        cells = "".join(f"<tr><th>{key}</th><td>{_escape(value)}</td></tr>" for key, value in rows.items())
        return f'<table class="webimport-release">{cells}</table>'


Release.__module__ = "webimport"


def label_of(path: str) -> str:
    """How messages call the release at `path`."""
    release = next((release for release in loaded.values() if release.path == path), None)
    return path.rpartition("/")[2] if release is None else f"{release.name}@{release.version}"


def warn_of_trouble(path: str, message: str, hint: str | None) -> None:
    """Warns of what went wrong after the load where the error itself says little, such as the ``OSError`` of a file."""
    try:
        text = f"{label_of(path)}: {message}" + (f"; {hint}" if hint else "")
        warnings.warn(text, WebImportWarning, stacklevel=1)
    except WebImportWarning:
        # A filter makes warnings errors. The error that is on its way says what failed.
        pass


def remove_traces(path: str, names: set[str]) -> None:
    """Undoes what loading and importing left behind: of the folder `path` and the top-level `names`."""
    _finder.unregister(path)
    _remove_modules(path, names)
    for file in [file for file in linecache.cache if _finder.contains(path, file)]:
        del linecache.cache[file]
    importlib.invalidate_caches()


def _remove_modules(path: str, names: set[str]) -> None:
    # A name may be claimed and yet have been imported from elsewhere before.
    ours = {name for name in names if name in sys.modules and _is_inside(path, sys.modules[name])}
    # All are looked at before any goes: the path of a nested namespace package asks its parent.
    doomed = [
        (name, module)
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ours or _is_inside(path, module)
    ]
    for name, module in doomed:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        bound = vars(sys.modules[parent]) if isinstance(sys.modules.get(parent), ModuleType) else {}
        if bound.get(child) is module:
            delattr(sys.modules[parent], child)


def _is_inside(path: str, module: object) -> bool:
    """Whether all of a module comes from the folder. Asks nothing of a module's own ``__getattr__``."""
    if not isinstance(module, ModuleType):
        return False
    attributes = vars(module)
    if attributes.get("__name__") == "__main__":
        return False
    file = attributes.get("__file__") or getattr(attributes.get("__spec__"), "origin", None)
    if isinstance(file, str):
        return _finder.contains(path, file)
    # A namespace package; its path follows sys.path when it is looked at.
    folders = _finder.portions(attributes.get("__path__"))
    return bool(folders) and all(_finder.contains(path, folder) for folder in folders)


def _escape(text: str) -> str:
    # The standard `html` module loads a table of all entities, 45 ms in a browser.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
