"""Finds and parses the config, layer by layer; what it means is decided in the wasm module.

Layers, the nearest to the call first: the call's options, `configure`, the notebook (``webimport.toml`` in the
current directory, then a PEP 723 block), the page. Within a layer a later source goes over an earlier one, key
by key. A source that is there but cannot be read is an error, never skipped: it may say ``frozen``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from . import _compat
from ._errors import ConfigError

FILE_NAME = "webimport.toml"
#: Bytes of a config file.
MAX_SIZE = 64 * 1024

#: What selects one of a release's versions.
_SELECTORS = frozenset({"version", "channel"})
#: Tables above the keys of a release or of a repository.
_DEPTH = 2

_HINT = "correct the config; nothing is loaded without it"

#: JSON of what `configure` was given.
_configured = "{}"
#: The ``[tool.webimport]`` table of the notebook's script block.
_script: dict[str, Any] = {}


def configure(config: Mapping[str, Any]) -> None:
    """Sets pins and places; replaces what an earlier ``configure`` said, in Python or in JavaScript.

    The keys are those of ``webimport.toml``: ``frozen``, ``repositories``, ``releases``.

    Raises ``ConfigError``; what was set before then stays.
    """
    global _configured
    if not isinstance(config, Mapping):
        _refuse(f"configure(): expected a mapping, got {config!r}", "config.invalid")
    text = _to_json(dict(config), "configure()")
    running = _compat.running_host()
    if running is not None:
        running.configure("call", text)
    _configured = text


def configure_from_script(text: str) -> None:
    """Takes the notebook's config from ``[tool.webimport]`` in a PEP 723 block (``# /// script``) of `text`.

    It goes over ``webimport.toml``, key by key. A text without block or table sets nothing.

    Raises ``ConfigError``: ``config.invalid`` for two blocks and for text that is not TOML.
    """
    global _script
    if not isinstance(text, str):
        _refuse(f"configure_from_script(): expected text, got {text!r}", "config.invalid")
    table = _script_block(text)
    running = _compat.running_host()
    if running is not None:
        running.configure("notebook", _to_json(merge(_file_layer(), table), "the script block"))
    _script = table


def forget() -> None:
    """Forgets what was set: it was set in another page."""
    global _configured, _script
    _configured, _script = "{}", {}


def has_file() -> bool:
    """Whether there is a ``webimport.toml`` that says something.

    Raises ``ConfigError`` for one that cannot be read.
    """
    return bool(_file_layer())


async def apply(host: _compat.Host) -> None:
    """Hands all layers to the host, as they are now."""
    page = merge(*(_parse_block(block) for block in json.loads(await host.page_config())))
    notebook = merge(_file_layer(), _script)
    host.configure("page", _to_json(page, "the page's config"))
    host.configure("notebook", _to_json(notebook, FILE_NAME))
    host.configure("call", _configured)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """One table; later layers go over earlier ones, key by key, also inside of tables.

    A release's ``version`` and ``channel`` are one key: the later one goes over the other.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over(merged, layer, ())
    return merged


def _over(far: Mapping[str, Any], near: Mapping[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
    merged = dict(far)
    if at[:1] == ("releases",) and len(at) == _DEPTH and not _SELECTORS.isdisjoint(near):
        for key in _SELECTORS:
            merged.pop(key, None)
    for key, value in near.items():
        old = merged.get(key)
        # No config has tables any deeper; what is there is refused by the wasm module.
        if isinstance(old, dict) and isinstance(value, dict) and len(at) < _DEPTH:
            value = _over(old, value, (*at, key))
        merged[key] = value
    return merged


def _file_layer() -> dict[str, Any]:
    try:
        with open(FILE_NAME, "rb") as file:
            content = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        _refuse(f"`{FILE_NAME}` cannot be read: {error.strerror}", "config.source")
    if len(content) > MAX_SIZE:
        _refuse(f"`{FILE_NAME}` is longer than {MAX_SIZE} bytes", "config.source")
    try:
        return _parse_toml(content.decode(), f"`{FILE_NAME}`")
    except UnicodeDecodeError:
        _refuse(f"`{FILE_NAME}` is not UTF-8", "config.invalid")


def _script_block(text: str) -> dict[str, Any]:
    # The expression is the one of the inline script metadata specification.
    pattern = r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
    blocks = list(re.finditer(pattern, text))
    if len(blocks) > 1:
        _refuse("the text has more than one script block", "config.invalid")
    if not blocks:
        return {}
    lines = blocks[0]["content"].splitlines(keepends=True)
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    tool = _parse_toml(content, "the script block").get("tool", {})
    table = tool.get("webimport", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        _refuse("`tool.webimport` in the script block is not a table", "config.invalid")
    return table


def _parse_block(block: Mapping[str, str]) -> dict[str, Any]:
    parse = _parse_toml if block["format"] == "toml" else _parse_json
    return parse(block["text"], block["source"])


def _parse_toml(text: str, source: str) -> dict[str, Any]:
    # Not at the top: most notebooks have no TOML, and this is 40 ms in a browser.
    import tomllib

    try:
        return tomllib.loads(text)
    # A number of too many digits is a plain ValueError.
    except (ValueError, RecursionError) as error:
        _refuse(f"{source} is not TOML: {error}", "config.invalid")


def _parse_json(text: str, source: str) -> dict[str, Any]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key is there twice")
        return table

    try:
        config = json.loads(text, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        _refuse(f"{source} is not JSON: {error}", "config.invalid")
    if not isinstance(config, dict):
        _refuse(f"{source} is not a JSON object", "config.invalid")
    return config


def _to_json(config: dict[str, Any], source: str) -> str:
    try:
        return json.dumps(config, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(f"{source}: {error}", "config.invalid")


def _refuse(message: str, code: str) -> NoReturn:
    raise ConfigError(message, code=code, hint=_HINT) from None
