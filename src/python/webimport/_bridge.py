"""Entry points for calls from JavaScript: text in, text out.

The answer is ``{"value": …}`` or ``{"error": {code, message, hint, name, status}}``, so that the caller can
raise an error of its own kind. Defects come out as Python exceptions.
"""

from __future__ import annotations

import json
from typing import Any

from . import _config, _load
from ._errors import WebImportError
from ._release import loaded, warn_of_trouble


async def load(url: str, options: str) -> str:
    """`load_release` with keyword arguments as JSON; answers with the release's digest."""
    try:
        release = await _load.load_release(url, **json.loads(options))
    except WebImportError as error:
        return _failed(error)
    return _done(release.sha256)


async def prefetch_imports(code: str) -> str:
    """`webimport.prefetch_imports`."""
    try:
        await _load.prefetch_imports(code)
    except WebImportError as error:
        return _failed(error)
    return _done(None)


def unload(sha256: str) -> str:
    """Unloads the release of that digest, if it is loaded."""
    release = loaded.get(sha256)
    if release is not None:
        release.unload()
    return _done(None)


def trouble(path: str, message: str, hint: str) -> str:
    """Warns of what the release at that path could not do. ``hint`` may be empty."""
    warn_of_trouble(path, message, hint)
    return _done(None)


def restore(page: str) -> str:
    """Takes a memory snapshot over, in which nothing else has run: ``releases``, ``environment``, ``arguments`` as JSON."""
    # Not at the top: other pages have no snapshot.
    from . import _restore

    try:
        _restore.restore(**json.loads(page))
    except WebImportError as error:
        return _failed(error)
    return _done(None)


def configure(config: str) -> str:
    """`webimport.configure` with the config as JSON."""
    try:
        _config.configure(json.loads(config))
    except WebImportError as error:
        return _failed(error)
    return _done(None)


def freeze() -> str:
    """`webimport.freeze`."""
    try:
        return _done(_load.freeze())
    except WebImportError as error:
        return _failed(error)


def _done(value: Any) -> str:
    return json.dumps({"value": value})


def _failed(error: WebImportError) -> str:
    record = {
        "code": error.code,
        "message": error.msg,
        "hint": error.hint,
        "name": error.name,
        "status": error.status,
    }
    return json.dumps({"error": record})
