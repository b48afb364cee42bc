"""The verified files that are kept in the browser."""

from __future__ import annotations

import json
from typing import Any

from . import _compat


async def info() -> dict[str, Any]:
    """What is kept: ``storage`` (``indexeddb`` or ``memory``), ``objects``, ``bytes``, ``repositories``."""
    return json.loads(await (await _compat.host()).cache_info())


async def clear() -> None:
    """Drops every file and all metadata, and with it what protects from older metadata.

    Which roots were trusted on first use stays. Loaded releases stay loaded.
    """
    await (await _compat.host()).cache_clear()


async def verify() -> dict[str, Any]:
    """Hashes every record: how many were ``checked``, and the digests that were ``dropped``.

    A record that changed is dropped, so that the next load fetches it anew.
    """
    return json.loads(await (await _compat.host()).cache_verify())
