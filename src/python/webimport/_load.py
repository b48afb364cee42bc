"""Loads a release: config, request, collisions, mount, path entries. Decides nothing about trust.

Everything up to the answer of the host may wait, and other loads run meanwhile. From the check for collisions
on nothing waits, and until the release is in place none of the caller's code runs. Then the caller is told:
warnings, the last progress. Whatever is raised by then, be it a warning that a filter makes an error or a
KeyboardInterrupt in a callback, takes the release away again: a call that raises has loaded nothing.
"""

from __future__ import annotations

import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import _compat, _config, _finder
from ._errors import ConfigError, HostError, ResolveError, WebImportError, WebImportWarning
from ._occupied import found_owner, is_found_in, occupied_names, taken_below
from ._progress import Progress, Reporter
from ._release import Release, loaded, remove_traces

_tickets = itertools.count(1)


async def load_release(
    url: str,
    *,
    root: str | None = None,
    version: str | None = None,
    sha256: str | None = None,
    modules: Iterable[str] | None = None,
    allow_shadow: Iterable[str] | None = (),
    offline: str | None = None,
    progress: Callable[[Progress], object] | bool | None = None,
    trust: str | None = None,
    speculative: bool = False,
) -> Release:
    """Loads a release, all of it verified, so that its modules can be imported.

    ``url``: ``<repository>/<name>[@<version or channel>]``, or a bare name that the config gives a repository.

    The options go over every config:

    - ``root``: the repository's root pin, ``sha256:<hex>``
    - ``version``, ``sha256``: pin the release; the digest is that of ``release.json``
    - ``modules``: refuses a release without these modules (dotted names); they and all that they import are
      fetched first, in place of what the release names as its entry
    - ``allow_shadow``: import names that the release may take over from what else has them, dotted ones for
      parts of a namespace package; these names, and no others of the release, are then looked for in it
      first. What is imported already, or built into the interpreter, is not replaced, and neither is a
      package by a namespace package; a `WebImportWarning` says so
    - ``offline``: ``"only"`` makes no request; ``"stale"`` makes none either, and takes metadata that was
      verified before although it has expired
    - ``progress``: called with a `Progress`; True prints lines. An ``Exception`` in it is warned about and
      ends the calls, not the load
    - ``trust``: ``"first-use"`` trusts the root that the server shows the first time, and keeps to it
    - ``speculative``: asks for signed metadata before it is known that they are needed, so that a server far
      away answers sooner; what comes is judged in the same order

    Loading what is loaded gives the same `Release` again, with `modules` fetched.

    Raises `WebImportError`, by stage: `ConfigError`, `TrustError`, `VerifyError`, `FetchError`,
    `ResolveError`, `StoreError`, `HostError`; and `WebImportWarning` where a filter makes warnings errors.
    This call has loaded nothing then, except packages of Pyodide that the release requires.
    """
    try:
        allowed = _names(() if allow_shadow is None else allow_shadow, "allow_shadow")
        options = {
            "root": _text(root, "root"),
            "version": _text(version, "version"),
            "sha256": _text(sha256, "sha256"),
            "modules": None if modules is None else sorted(_names(modules, "modules")),
            "allow_shadow": sorted(allowed),
            "offline": _text(offline, "offline"),
            "trust": _text(trust, "trust"),
            "speculative": _flag(speculative, "speculative"),
        }
        host = await _compat.host()
        reporter = Reporter(host, progress)
        return await _load(host, str(url), options, allowed, reporter)
    except WebImportError as error:
        error.path = error.path or str(url)
        if error.code.startswith("internal."):
            raise
        # The frames inside of this package tell a user nothing.
        raise error.with_traceback(None)


def freeze() -> str:
    """Config text (TOML) that pins exactly what is loaded now.

    Raises `ConfigError` where two releases of one name are loaded, or one repository was trusted by two root pins;
    `HostError` when webimport has not started, so that nothing can be loaded.
    """
    host = _compat.running_host()
    if host is None:
        raise HostError("nothing is loaded yet", code="host.not_attached", hint="load a release first")
    releases = [
        {
            "name": release.name,
            "version": release.version,
            "sha256": release.sha256,
            "repository": release.repository,
            "root": release.trust.get("root"),
        }
        for release in loaded.values()
    ]
    return host.freeze(json.dumps(releases))


async def prefetch_imports(code: str) -> None:
    """Fetches what the imports in `code` need of the releases that are loaded and not all there.

    For hosts that can wait before they run a cell, but not in the middle of it. Lines that are IPython's (``%``, ``!``,
    ``?``) count as empty. Code that does not parse without them needs nothing.
    """
    incomplete = [release for release in loaded.values() if release._incomplete]
    names = _imported_names(code) if incomplete else set()
    for release in incomplete:
        ours = {name for name in names if name.partition(".")[0] in release.modules}
        host = _compat.running_host()
        if release._sharded and release.loaded and host is not None:
            around = sorted({name.rpartition(".")[0].replace(".", "/") for name in ours} - {""})
            await host.reveal(release.path, json.dumps(around))
        modules = sorted(name for name in ours if release.loaded and _finder.has_module(release.path, name))
        if modules:
            await release.prefetch(*modules)


def _imported_names(code: str) -> set[str]:
    """The dotted names that the code imports, and those that may be modules: ``a.b`` in ``from a import b``."""
    # Not at the top: 10 ms in a browser.
    import ast

    try:
        tree = ast.parse("\n".join(map(_without_magic, code.split("\n"))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _without_magic(line: str) -> str:
    text = line.strip()
    if text.startswith(("%", "!", "?")) or text.endswith("?"):
        # A block may consist of it.
        return line[: len(line) - len(line.lstrip())] + "pass"
    return line


async def _load(
    host: _compat.Host,
    url: str,
    options: dict[str, Any],
    allowed: frozenset[str],
    reporter: Reporter,
) -> Release:
    while True:
        await _config.apply(host)
        ticket = next(_tickets)
        before = set(loaded)
        try:
            description = json.loads(await host.load(ticket, _request(host, url, options), reporter))
            reporter.raise_kept()
            if description["sha256"] not in loaded and not description["already"]:
                reporter.enter("mount")
            # Now: the callback may have loaded and unloaded something.
            there = loaded.get(description["sha256"])
            if there is not None:
                if there._incomplete and options["modules"]:
                    await there.prefetch(*options["modules"])
                reporter.enter("done")
                return there
            if not description["already"]:
                release = Release(description)
                if release.requires:
                    await _satisfy(host, release, offline=options["offline"] is not None)
                    if release.sha256 in loaded:
                        # Another call was faster.
                        reporter.enter("done")
                        return loaded[release.sha256]
                return _place(host, ticket, release, allowed, reporter)
            if description["sha256"] not in before:
                raise HostError(f"`{url}` was taken for loaded", code="internal.bug")
            # It was unloaded while the answer was under way.
        finally:
            host.discard(ticket)


async def _satisfy(host: _compat.Host, release: Release, *, offline: bool) -> None:
    # Not at the top: most releases require nothing.
    from . import _requires

    await _requires.satisfy(host, str(release), list(release.requires), offline=offline)


def _request(host: _compat.Host, url: str, options: dict[str, Any]) -> str:
    request = {
        "url": url,
        "options": options,
        "python": {
            "tag": sys.implementation.cache_tag,
            "version": sys.version.split(maxsplit=1)[0].rstrip("+"),
        },
        "occupied": occupied_names(),
        "namespaces": {name: str(release) for release in loaded.values() for name in release.namespaces},
        "loaded": list(loaded),
        "waits": host.can_wait(),
    }
    return json.dumps(request)


def _place(
    host: _compat.Host, ticket: int, release: Release, allowed: frozenset[str], reporter: Reporter
) -> Release:
    """Everything that happens at once: other loads may have finished before, none can in between."""
    _finder.forget_listings()
    _refuse_collisions(release, allowed)
    host.mount(ticket)
    try:
        below = _refuse_collisions_below(release, allowed)
        there = host.loadable(release.path).split("\n") if release._incomplete else None
        first = _first(release, allowed)
        _finder.register(release.path, release.modules, first, there=there, sharded=release._sharded)
        _check_found(release, allowed, below)
        loaded[release.sha256] = release
        host.announce("loaded", release.to_json())
        warn(host, release)
        reporter.enter("done")
    except BaseException:
        if release.loaded:
            release.unload()
        elif release.sha256 not in loaded:
            remove_traces(release.path, set())
            host.unmount(release.path)
        raise
    return release


def _refuse_collisions(release: Release, allowed: frozenset[str]) -> None:
    occupied = occupied_names()
    for name in (name for name in release.modules if name not in allowed):
        owner = occupied.get(name) or found_owner(name, shareable=name in release.namespaces)
        if owner is not None:
            raise _shadow_error(release, name, owner)


def _refuse_collisions_below(release: Release, allowed: frozenset[str]) -> list[tuple[str, str]]:
    """Looks into the namespace packages that the release shares. Returns what is taken there and allowed."""
    below = []
    for namespace in release.namespaces:
        for name, owner in taken_below(namespace, release.path):
            if allowed.isdisjoint(_lineage(name)):
                raise _shadow_error(release, name, owner)
            below.append((name, owner))
    return below


def _first(release: Release, allowed: frozenset[str]) -> set[str]:
    """The top-level names that are looked for in the release first.

    A namespace package goes there whole, for one name in it: all its other names are the release's alone.
    """
    tops = {name.partition(".")[0] for name in allowed}
    return tops.intersection(release.namespaces) | allowed.intersection(release.modules)


def _lineage(name: str) -> Iterator[str]:
    """``a.b.c``, ``a.b``, ``a``."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _check_found(release: Release, allowed: frozenset[str], below: list[tuple[str, str]]) -> None:
    """Makes sure that what will be imported under the release's names is the release's."""
    for name in release.modules:
        if is_found_in(name, release.path):
            continue
        owner = found_owner(name, shareable=False)
        if name not in allowed:
            raise _shadow_error(release, name, owner or "nobody: the release has no such module")
        _note_unreplaced(release, name, owner)
    for name, owner in below:
        if not is_found_in(name, release.path):
            _note_unreplaced(release, name, owner)


def _note_unreplaced(release: Release, name: str, owner: str | None) -> None:
    release.add_warning(
        "resolve.shadow",
        f"`{name}` is still imported from {owner}, not from `{release.name}`",
        "a module that is built in or imported already is not replaced; unload the release that has it, or restart "
        "Python, and load this one first",
    )


def _shadow_error(release: Release, name: str, owner: str) -> ResolveError:
    hint = f'pass allow_shadow=["{name}"] if this release may provide it'
    if owner.startswith("the release "):
        hint = "unload that release first (`unload()` of what `loadRelease` returned for it), then load this one"
    return ResolveError(
        f"`{release.name}` claims the import name `{name}`, which belongs to {owner}",
        code="resolve.shadow",
        hint=hint,
        name=name,
    )


def warn(host: _compat.Host, release: Release) -> None:
    """Tells the page and the notebook what is not as it should be."""
    for warning in release.warnings:
        host.announce("warning", json.dumps({**warning, "release": f"{release.name}@{release.version}"}))
        hint = f"; {warning['hint']}" if warning.get("hint") else ""
        # From here to the caller of `load_release`.
        warnings.warn(f"{warning['message']}{hint}", WebImportWarning, stacklevel=5)


def _names(value: Iterable[str], option: str) -> frozenset[str]:
    if not isinstance(value, str) and isinstance(value, Iterable):
        names = list(value)
        if all(isinstance(name, str) for name in names):
            return frozenset(names)
    raise ConfigError(
        f"`{option}`: expected a list of names, got {value!r}",
        code="config.invalid",
        hint=f'write {option}=["name"]',
    )


def _text(value: str | None, option: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(
        f"`{option}`: expected text, got {value!r}",
        code="config.invalid",
        hint=f'write {option}="…"',
    )


def _flag(value: bool, option: str) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigError(
        f"`{option}`: expected True or False, got {value!r}",
        code="config.invalid",
        hint=f"write {option}=True, or leave it out",
    )
