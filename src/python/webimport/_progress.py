"""How far a load is, for callbacks and as printed lines."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ._errors import WebImportWarning


class Progress(NamedTuple):
    """What the callback of ``load_release(progress=…)`` is called with."""

    #: As asked for: ``name``, or ``name@`` and a version or channel.
    release: str
    #: ``metadata``, ``manifest``, ``objects``, ``mount``, ``done``.
    phase: str
    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    #: Everything so far came from the cache.
    cached: bool


class _Announcer(Protocol):
    def announce(self, event: str, text: str) -> None: ...


class Reporter:
    """Hands progress to the caller's callback, which is not called again after it raised.

    An ``Exception`` of it is warned about. Anything else goes on to the caller of the load, as does that
    warning where a filter makes it an error: at once from `enter`, by `raise_kept` from a call of the host's,
    through which no Python exception gets.
    """

    def __init__(self, host: _Announcer, progress: Callable[[Progress], object] | bool | None) -> None:
        self._host = host
        self._callback = Printer() if progress is True else progress or None
        self._last: Progress | None = None
        self._kept: BaseException | None = None

    def __call__(self, text: str) -> None:
        """Takes progress as the host gives it."""
        record = json.loads(text)
        self._last = Progress(*(record[key] for key in _KEYS))
        try:
            self._tell(self._last)
        except BaseException as error:
            self._kept = error

    def raise_kept(self) -> None:
        """Raises what the callback raised while the host was at work."""
        if self._kept is not None:
            raise self._kept

    def enter(self, phase: str) -> None:
        """Goes on to a phase, unless nothing was told or that phase was told already."""
        if self._last is None or self._last.phase == phase:
            return
        self._last = self._last._replace(phase=phase)
        self._host.announce("progress", json.dumps(dict(zip(_KEYS, self._last, strict=True))))
        self._tell(self._last)

    def _tell(self, progress: Progress) -> None:
        if self._callback is None:
            return
        callback, self._callback = self._callback, None
        try:
            callback(progress)
            self._callback = callback
        except Exception as error:
            message = f"the progress callback is not called again: it raised {error!r}"
            warnings.warn(message, WebImportWarning, stacklevel=3)


#: The fields of `Progress` in the names of the JavaScript event.
_KEYS = ("release", "phase", "bytesDone", "bytesTotal", "filesDone", "filesTotal", "cached")


class Printer:
    """Prints whole lines, at most one for each quarter: notebooks seldom show carriage returns."""

    def __init__(self) -> None:
        self._quarter = 0

    def __call__(self, progress: Progress) -> None:
        """Prints when a quarter is full and when the release is in place."""
        if progress.phase == "done":
            source = "from the cache" if progress.cached else "over the network"
            print(f"{progress.release}: {progress.files_total} files, {_size(progress.bytes_total)}, {source}")
        elif progress.phase == "objects" and progress.bytes_total:
            quarter = 4 * progress.bytes_done // progress.bytes_total
            if self._quarter < quarter < 4:
                print(f"{progress.release}: {_size(progress.bytes_done)} of {_size(progress.bytes_total)}")
            self._quarter = quarter


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB"
