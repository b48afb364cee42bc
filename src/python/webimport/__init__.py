"""Verified HTTP imports of Python code in Pyodide.

    from webimport import load_release
    await load_release("https://code.example.org/repo/mylib@1.4.2")
    import mylib

A release is fetched, checked against signed metadata and kept in the browser before Python sees any of it;
then it is a read-only folder on ``sys.path``, imported by the standard import system.

Digests are SHA-256 in lower-case hex, sizes are bytes.
"""

from . import cache
from ._config import configure, configure_from_script
from ._errors import (
    ConfigError,
    FetchError,
    HostError,
    ResolveError,
    StoreError,
    TrustError,
    VerifyError,
    WebImportError,
    WebImportWarning,
)
from ._load import freeze, load_release, prefetch_imports
from ._progress import Progress
from ._release import Release

__version__ = "0.1.0"

#: The same under the name that it has in JavaScript and, after `attach`, in notebooks.
loadRelease = load_release

__all__ = [
    "ConfigError",
    "FetchError",
    "HostError",
    "Progress",
    "Release",
    "ResolveError",
    "StoreError",
    "TrustError",
    "VerifyError",
    "WebImportError",
    "WebImportWarning",
    "cache",
    "configure",
    "configure_from_script",
    "freeze",
    "loadRelease",
    "load_release",
    "prefetch_imports",
]
