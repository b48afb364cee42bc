"""The border to JavaScript: the only module that imports ``js``, ``pyodide`` or ``pyodide_js``.

Nothing from JavaScript is kept: the host is looked up at each call, so that a Pyodide restored from a memory
snapshot finds the new page's host. Tests under plain CPython put a host of their own in `host` and
`running_host`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ._errors import FetchError, HostError, ResolveError, WebImportError, error_for


class Host(Protocol):
    """What the page does for this package. Text is JSON; failures are `WebImportError`."""

    async def load(self, ticket: int, request: str, on_progress: Callable[[str], None] | None) -> str:
        """Gets a release, all of it verified, and keeps it under the ticket. Returns its description."""

    def can_wait(self) -> bool:
        """Whether `bring` can wait for bytes, in a task like this one."""

    def mount(self, ticket: int) -> None:
        """Puts the release under the ticket at its path."""

    def discard(self, ticket: int) -> None:
        """Drops what is or will be kept under the ticket."""

    def unmount(self, path: str) -> None:
        """Takes a release away. Does nothing when it is not there."""

    def loadable(self, path: str) -> str:
        """The module files of the release at `path`, relative, a line each, that can be loaded without `bring`."""

    def lacks(self, path: str, file: str) -> bool:
        """Whether the bytes of a file of the release at `path` are still to come."""

    def read(self, file: str) -> bytes | None:
        """The bytes of a file of a release; None if they are still to come, and for other files."""

    async def fetch(self, path: str, modules: str) -> str:
        """Gets what modules of the release at `path`, a list of dotted names, and their imports need.

        Of an empty list: everything, into the cache.
        """

    def bring(self, path: str, file: str, module: str) -> None:
        """Gets what a module needs, whose file that is, before it returns.

        Raises ``ResolveError`` (``resolve.not_fetched``) where that cannot be waited for.
        """

    def hides(self, path: str, folder: str) -> bool:
        """Whether it is not known yet what is in a folder of the release at `path`."""

    async def reveal(self, path: str, folders: str) -> None:
        """Gets to know what is in folders of the release at `path`, a list of paths inside of it."""

    def look(self, path: str, folder: str, module: str) -> None:
        """Gets to know what is in a folder, for the import of a module, before it returns.

        Raises ``ResolveError`` (``resolve.not_fetched``) where that cannot be waited for.
        """

    def package_version(self, name: str) -> str | None:
        """The version of a package (normalised name) that Pyodide's lock file has."""

    async def load_packages(self, names: list[str]) -> None:
        """Loads packages of Pyodide's lock file and what they depend on there.

        Raises ``FetchError`` (``fetch.package``) for those that are not loaded then.
        """

    def configure(self, layer: str, text: str) -> None:
        """Replaces a layer of the config: ``page``, ``notebook`` or ``call``."""

    def freeze(self, loaded: str) -> str:
        """TOML that pins the given releases."""

    async def page_config(self) -> str:
        """The page's config, unparsed: a list of ``format``, ``source``, ``text``."""

    async def cache_info(self) -> str:
        """What the cache holds."""

    async def cache_clear(self) -> None:
        """Empties the cache."""

    async def cache_verify(self) -> str:
        """Hashes the cache."""

    def announce(self, event: str, text: str) -> None:
        """Tells the page's listeners: ``progress``, ``loaded``, ``unloaded``, ``warning``."""


def running_host() -> Host | None:
    """The host, if there is one already."""
    if sys.platform != "emscripten":
        return None
    import pyodide_js

    return PyodideHost() if hasattr(pyodide_js, "_webimport") else None


async def host() -> Host:
    """The host; started from this package's own files where no page has attached one.

    Raises ``HostError``: ``host.not_attached`` outside of Pyodide and where those files are not installed,
    ``host.csp`` where the page does not allow them.
    """
    async with _starting:
        running = running_host()
        if running is None:
            await _start()
            running = running_host()
    if running is None:
        raise HostError("webimport did not start", code="internal.bug")
    return running


#: Two loads at once start one host.
_starting = asyncio.Lock()


class PyodideHost:
    """The JavaScript host of `www/internal/host.ts`."""

    async def load(self, ticket: int, request: str, on_progress: Callable[[str], None] | None) -> str:
        from pyodide.ffi import create_proxy

        proxy = create_proxy(on_progress) if on_progress is not None else None
        try:
            with _coded():
                return await _host().load(ticket, request, proxy)
        finally:
            if proxy is not None:
                proxy.destroy()

    def can_wait(self) -> bool:
        from pyodide.ffi import can_run_sync

        return can_run_sync() or _host().mayBlock()

    def mount(self, ticket: int) -> None:
        with _coded():
            _host().mount(ticket)

    def discard(self, ticket: int) -> None:
        _host().discard(ticket)

    def unmount(self, path: str) -> None:
        with _coded():
            _host().unmount(path)

    def loadable(self, path: str) -> str:
        return _host().loadable(path)

    def lacks(self, path: str, file: str) -> bool:
        return _host().lacks(path, file)

    def read(self, file: str) -> bytes | None:
        found = _host().read(file)
        return None if found is None else found.to_bytes()

    async def fetch(self, path: str, modules: str) -> str:
        with _coded():
            return await _host().fetch(path, modules)

    def bring(self, path: str, file: str, module: str) -> None:
        from pyodide.ffi import can_run_sync, run_sync

        if _host().ready(path, file):
            with _coded():
                _host().bring(path, file)
        elif can_run_sync():
            run_sync(self.fetch(path, json.dumps([module])))
        elif _host().mayBlock(path):
            with _coded():
                _host().bring(path, file)
        else:
            raise _not_fetched(module)

    def hides(self, path: str, folder: str) -> bool:
        return _host().hides(path, folder)

    async def reveal(self, path: str, folders: str) -> None:
        with _coded():
            await _host().reveal(path, folders)

    def look(self, path: str, folder: str, module: str) -> None:
        from pyodide.ffi import can_run_sync, run_sync

        if can_run_sync():
            run_sync(self.reveal(path, json.dumps([folder[len(path) + 1 :]])))
        elif _host().mayBlock(path):
            with _coded():
                _host().look(path, folder)
        else:
            raise _not_fetched(module)

    def package_version(self, name: str) -> str | None:
        import pyodide_js

        version = getattr(getattr(pyodide_js.lockfile.packages, name, None), "version", None)
        return version if isinstance(version, str) else None

    async def load_packages(self, names: list[str]) -> None:
        import pyodide_js
        from pyodide.ffi import JsException, to_js

        reason = ""
        try:
            await pyodide_js.loadPackage(to_js(names))
            # It says of what it could not fetch to the log only.
            missing = _not_loaded(names)
        except JsException as error:
            missing, reason = names, f": {error}"
        if missing:
            raise FetchError(
                f"Pyodide could not load {', '.join(missing)}{reason}",
                code="fetch.package",
                hint="see what the browser's network log says of its package files; a page with its own copy of Pyodide "
                "says with `packageBaseUrl` where they are",
            )

    def configure(self, layer: str, text: str) -> None:
        with _coded():
            _host().configure(layer, text)

    def freeze(self, loaded: str) -> str:
        with _coded():
            return _host().freeze(loaded)

    async def page_config(self) -> str:
        with _coded():
            return await _host().pageConfig()

    async def cache_info(self) -> str:
        with _coded():
            return await _host().cacheInfo()

    async def cache_clear(self) -> None:
        with _coded():
            await _host().cacheClear()

    async def cache_verify(self) -> str:
        with _coded():
            return await _host().cacheVerify()

    def announce(self, event: str, text: str) -> None:
        _host().announce(event, text)


def _not_fetched(module: str) -> ResolveError:
    return ResolveError(
        f"`{module}` has not been fetched, and Python cannot wait for it in the middle of this import",
        code="resolve.not_fetched",
        hint=f'run `await release.prefetch("{module}")` first, `release` being what `loadRelease` returned, or '
        "`await webimport.prefetch_imports(code)` with all imports of a cell",
        name=module,
    )


def _not_loaded(names: list[str]) -> list[str]:
    """Those of the packages and of all that they depend on in the lock file that are not there."""
    import pyodide_js

    # Not at the top: it imports this module.
    from ._requires import version_of

    packages, loaded = pyodide_js.lockfile.packages, pyodide_js.loadedPackages
    seen, queue = set(names), list(names)
    while queue:
        for name in getattr(getattr(packages, queue.pop(), None), "depends", None) or ():
            if name not in seen:
                seen.add(name)
                queue.append(name)
    return sorted(name for name in seen if not hasattr(loaded, name) and version_of(name) is None)


def _host() -> Any:
    import pyodide_js

    return pyodide_js._webimport


@contextmanager
def _coded() -> Iterator[None]:
    """Turns a JavaScript ``WebImportError`` into the exception of its code."""
    from pyodide.ffi import JsException

    try:
        yield
    except JsException as error:
        raise _translated(error) from None


def _translated(error: Any) -> WebImportError:
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return error_for("internal.bug", str(error))
    # Absent and null properties read as different things in different versions of Pyodide: ask for the type.
    detail = getattr(error, "detail", None)
    hint = getattr(error, "hint", None)
    name = getattr(detail, "name", None)
    status = getattr(detail, "status", None)
    return error_for(
        code,
        error.message,
        hint=hint if isinstance(hint, str) else None,
        name=name if isinstance(name, str) else None,
        status=int(status) if isinstance(status, (int, float)) else None,
    )


async def _start() -> None:
    if sys.platform != "emscripten":
        raise HostError(
            "webimport works in Pyodide only",
            code="host.not_attached",
            hint="in this Python, install packages with pip",
        )
    import js
    import pyodide_js
    from pyodide.ffi import JsException

    options = None
    module = getattr(js, "webimport", None)
    try:
        if not hasattr(module, "attach"):
            module, options = await _own_module()
        await module.attach(pyodide_js, None, options)
    except JsException as error:
        raise _translated(error) from None


async def _own_module() -> tuple[Any, Any]:
    """The bundle among this package's files, imported, and the options that hand it its wasm module."""
    import js
    from importlib.resources import files
    from pyodide.code import run_js
    from pyodide.ffi import JsException, to_js

    try:
        script = files(__package__).joinpath("webimport.js").read_bytes()
        wasm = files(__package__).joinpath("webimport.wasm").read_bytes()
    except FileNotFoundError:
        raise HostError(
            "no page has attached webimport to this Pyodide",
            code="host.not_attached",
            hint="call `webimport.attach(pyodide)` on the page, or install the wheel `webimport`",
        ) from None

    def to_object(value: Any) -> Any:
        return to_js(value, dict_converter=js.Object.fromEntries)

    blob = js.Blob.new(to_js([script]), to_object({"type": "text/javascript"}))
    url = js.URL.createObjectURL(blob)
    try:
        # `import()` is syntax, so that Python cannot call it without an evaluated function.
        module = await run_js("(url) => import(url)")(url)
    except JsException as error:
        raise HostError(
            f"the page does not allow webimport to start from its wheel: {error}",
            code="host.csp",
            hint="put `webimport.js` on the page with a script tag; the wheel then uses that",
        ) from None
    finally:
        js.URL.revokeObjectURL(url)
    return module, to_object({"wasm": wasm})
