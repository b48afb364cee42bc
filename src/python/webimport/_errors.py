"""The exceptions, one class for each stage.

The code (``stage.reason``) is the same in Rust, in JavaScript and here. None of the classes is a
``ModuleNotFoundError``: code that tries an optional import must not take a failed check for an absent module.
"""

from __future__ import annotations


class WebImportError(ImportError):
    """Every failure of webimport. Nothing is loaded then, and what was loaded before still is."""

    #: ``stage.reason``, for programs.
    code: str
    #: What to do next, for people; also a note of the exception.
    hint: str | None
    #: The HTTP status, where there was one.
    status: int | None

    def __init__(
        self,
        message: str,
        *,
        code: str = "internal.bug",
        hint: str | None = None,
        name: str | None = None,
        path: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, name=name, path=path)
        self.code = code
        self.hint = hint
        self.status = status
        if hint is not None:
            self.add_note(f"hint: {hint}")


class ConfigError(WebImportError):
    """A config, an option or a URL cannot be used as written."""


class TrustError(WebImportError):
    """Whom to trust is not settled, or the root is not the pinned one."""


class VerifyError(WebImportError):
    """Bytes are not what signed metadata says."""


class FetchError(WebImportError):
    """A file could not be had."""


class ResolveError(WebImportError):
    """What is asked for does not exist, or is not allowed here."""


class StoreError(WebImportError):
    """The browser's storage cannot be used."""


class HostError(WebImportError):
    """The page or the notebook lacks something, or webimport has a defect."""


class WebImportWarning(UserWarning):
    """Something works, but not as it should."""


_CLASSES = {
    "config": ConfigError,
    "url": ConfigError,
    "trust": TrustError,
    "verify": VerifyError,
    "fetch": FetchError,
    "resolve": ResolveError,
    "store": StoreError,
}

for _class in (*_CLASSES.values(), HostError, WebImportError, WebImportWarning):
    # The name under which users import and catch them.
    _class.__module__ = "webimport"


def error_for(
    code: str,
    message: str,
    *,
    hint: str | None = None,
    name: str | None = None,
    path: str | None = None,
    status: int | None = None,
) -> WebImportError:
    """The exception of the class that the code's stage stands for."""
    stage = code.partition(".")[0]
    return _CLASSES.get(stage, HostError)(
        message, code=code, hint=hint, name=name, path=path, status=status
    )
