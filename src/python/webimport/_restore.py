"""Makes a Python that comes from a memory snapshot the page's own.

A snapshot has what its builder had: environment, arguments, the state of random generators, descriptions of releases. Nothing
of the page's file system is in it; the releases are mounted again before this is called.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from . import _compat, _config, _finder, _load
from ._errors import HostError
from ._release import loaded

#: Set by the builder, so that two builds are alike; pages do not have it.
_BUILDER_ENVIRONMENT = frozenset({"PYTHONHASHSEED"})


def restore(releases: list[dict[str, Any]], environment: Mapping[str, str], arguments: list[str]) -> None:
    """``releases``: descriptions of all that are loaded, as the page's host gives them.

    Raises ``HostError`` (``host.snapshot``) if others are loaded, or if a ``webimport.toml`` says what may be loaded, which
    nobody has asked; ``ConfigError`` if that cannot be read. Nothing has changed then.
    """
    described = {description["sha256"]: description for description in releases}
    if described.keys() != loaded.keys():
        _refuse(f"the memory snapshot has other releases than the page: {', '.join(loaded) or 'none'}")
    if _config.has_file():
        _refuse(f"`{_config.FILE_NAME}` was not asked what may be loaded")
    _take_process(environment, arguments)
    _forget_randomness()
    _config.forget()
    host = _compat.running_host()
    for sha256, description in described.items():
        release = loaded[sha256]
        release._description = description
        there = host.loadable(release.path).split("\n") if host is not None and release._incomplete else None
        _finder.renew(release.path, there=there, sharded=release._sharded)
    _finder.forget_listings()
    if host is not None:
        for sha256 in described:
            _load.warn(host, loaded[sha256])


def _refuse(message: str) -> NoReturn:
    raise HostError(message, code="host.snapshot", hint="start without the snapshot")


def _take_process(environment: Mapping[str, str], arguments: list[str]) -> None:
    for name in _BUILDER_ENVIRONMENT:
        os.environ.pop(name, None)
    os.environ.update(environment)
    sys.argv[:] = arguments
    # Pyodide puts the current directory there at each start.
    sys.path[:] = dict.fromkeys(sys.path)


def _forget_randomness() -> None:
    """What would be the same on every page. ``secrets``, ``uuid4`` and ``os.urandom`` ask the page each time."""
    random.seed()
    for module, name in [("tempfile", "_name_sequence"), ("tempfile", "tempdir"), ("uuid", "_node")]:
        # Private, and so perhaps gone one day.
        if hasattr(sys.modules.get(module), name):
            setattr(sys.modules[module], name, None)
