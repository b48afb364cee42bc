"""What a release needs from outside of itself, and where it comes from.

A publisher lists requirements that nothing inside of the release satisfies, in the form of PEP 508 and without
those that no Pyodide has a use for. Here they are met by what is installed, other loaded releases included, else
by the packages of Pyodide's own lock file, which Pyodide fetches and checks against the digests in that file.

A version or a marker that cannot be decided by its numbers, such as one of a pre-release, counts as met: Python's
own import says more than a guess.
"""

from __future__ import annotations

import ast
import operator
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

from . import _compat
from ._errors import ResolveError

_NAME = re.compile(r"\s*([A-Za-z0-9._-]+)\s*")
_CLAUSE = re.compile(r"\s*(===|~=|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?\s*$")
_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)$")
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}


class Requirement(NamedTuple):
    """One requirement. ``name`` and ``extras`` are normalised; ``text`` is how the publisher wrote it."""

    name: str
    specifier: str
    marker: str
    text: str
    extras: tuple[str, ...] = ()


async def satisfy(host: _compat.Host, release: str, requires: list[str], *, offline: bool = False) -> None:
    """Loads what is required and not there. ``release``: for messages. ``offline``: nothing may be fetched.

    Raises ``ResolveError`` (``resolve.requires``) with all that cannot be had, before anything is loaded, except
    where that shows only then: what the extras of a loaded package require. ``resolve.offline``, where Pyodide would
    have to fetch. Raises ``FetchError`` (``fetch.package``) where it could not.
    """
    queue = [parsed for text in requires if (parsed := parse(text)) and applies(parsed.marker)]
    seen = set(queue)
    while queue:
        await _satisfy(host, release, queue, offline)
        queue = [it for requirement in queue for it in _of_extras(requirement) if it not in seen]
        seen.update(queue)


async def _satisfy(host: _compat.Host, release: str, requirements: list[Requirement], offline: bool) -> None:
    wanted, missing = [], []
    for requirement in requirements:
        installed = version_of(requirement.name)
        offered = host.package_version(requirement.name) if installed is None else None
        if installed is not None and fits(requirement.specifier, installed):
            continue
        if offered is not None and fits(requirement.specifier, offered):
            wanted.append(requirement)
        else:
            missing.append(_reason(requirement, installed, offered))
    if missing:
        raise ResolveError(
            f"{release} requires {', '.join(missing)}",
            code="resolve.requires",
            hint="load a release that has it, or install it with micropip, first; publishers: give `webimport release` "
            "the wheels of its dependencies, too",
        )
    if wanted and offline:
        raise ResolveError(
            f"{release} requires {', '.join(f'`{it.text}`' for it in wanted)}, which Pyodide would have to fetch",
            code="resolve.offline",
            hint="load it with `pyodide.loadPackage` first; publishers: a release that has the wheels of its dependencies "
            "is whole offline",
        )
    if wanted:
        await host.load_packages([requirement.name for requirement in wanted])


def _of_extras(requirement: Requirement) -> list[Requirement]:
    """What the extras of an installed distribution require beside what it always does."""
    if not requirement.extras or version_of(requirement.name) is None:
        return []
    found = []
    for text in metadata.requires(requirement.name) or ():
        parsed = parse(text)
        if parsed is None or "extra" not in parsed.marker:
            continue
        if any(applies(parsed.marker, extra) for extra in requirement.extras) and not applies(parsed.marker):
            found.append(parsed)
    return found


def parse(text: str) -> Requirement | None:
    """None for what is no requirement."""
    match = _NAME.match(text)
    if match is None or not (match[1][0].isalnum() and match[1][-1].isalnum()):
        return None
    rest, extras = text[match.end() :], ""
    if rest.startswith("["):
        extras, bracket, rest = rest[1:].partition("]")
        if not bracket:
            return None
        rest = rest.lstrip()
    if rest.startswith("@"):
        # A URL ends at white space, and may have a semicolon in it.
        _, _, rest = rest[1:].strip().partition(" ")
        specifier, rest = "", rest.lstrip()
        if rest and not rest.startswith(";"):
            return None
        marker = rest[1:]
    else:
        specifier, _, marker = rest.partition(";")
        specifier = specifier.strip()
        if specifier.startswith("(") and specifier.endswith(")"):
            specifier = specifier[1:-1].strip()
        if any(sign in specifier for sign in "()@"):
            return None
    names = tuple(_normalised(extra) for extra in extras.split(",") if extra.strip())
    return Requirement(_normalised(match[1]), specifier, marker, text.strip(), names)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def applies(marker: str, extra: str = "") -> bool:
    """Whether an environment marker holds for this interpreter; True for one that cannot be decided."""
    if not marker.strip():
        return True
    try:
        tree = ast.parse(marker.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return _decide(tree.body, extra) is not False


def fits(specifier: str, version: str) -> bool:
    """Whether a version satisfies a version specifier (PEP 440); True where numbers do not tell."""
    got = _numbers(version)
    return got is None or all(_clause_fits(clause, got) for clause in specifier.split(",") if clause.strip())


def _clause_fits(clause: str, got: tuple[int, ...]) -> bool:
    match = _CLAUSE.match(clause)
    if match is None:
        return True
    sign, text, wildcard = match.groups()
    want = tuple(map(int, text.split(".")))
    if wildcard or sign == "~=":
        prefix = want if wildcard else want[:-1]
        same = _padded(got, len(prefix))[: len(prefix)] == prefix
        return not same if sign == "!=" else same and (sign != "~=" or _compare(operator.ge, got, want))
    return _compare(_ORDERS.get(sign, operator.eq), got, want)


def _compare(order: Callable[..., bool], left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    length = max(len(left), len(right))
    return order(_padded(left, length), _padded(right, length))


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers + (0,) * (length - len(numbers))


def _numbers(version: str) -> tuple[int, ...] | None:
    match = _NUMBERS.match(version.strip())
    return tuple(map(int, match[1].split("."))) if match else None


def _decide(node: ast.expr, extra: str) -> bool | None:
    """None where it is not known."""
    if isinstance(node, ast.BoolOp):
        answers = [_decide(value, extra) for value in node.values]
        decisive = isinstance(node.op, ast.Or)
        if decisive in answers:
            return decisive
        return None if None in answers else not decisive
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    left, right = (_value(side, extra) for side in (node.left, node.comparators[0]))
    sign = _SIGNS.get(type(node.ops[0]))
    if left is None or right is None or sign is None:
        return None
    if sign in ("in", "not in"):
        return (left in right) is (sign == "in")
    one, other = _numbers(left), _numbers(right)
    if one is None or other is None:
        return (left == right) is (sign == "==") if sign in ("==", "!=") else None
    return _compare(_ORDERS[sign], one, other)


_SIGNS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}


def _value(node: ast.expr, extra: str) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        if node.id == "extra":
            return extra
        variable = _ENVIRONMENT.get(node.id)
        return variable() if variable is not None else None
    return None


_ENVIRONMENT: dict[str, Callable[[], str]] = {
    "python_version": lambda: ".".join(map(str, sys.version_info[:2])),
    "python_full_version": lambda: ".".join(map(str, sys.version_info[:3])),
    "implementation_version": lambda: ".".join(map(str, sys.version_info[:3])),
    "os_name": lambda: os.name,
    "sys_platform": lambda: sys.platform,
    "platform_machine": platform.machine,
    "platform_release": platform.release,
    "platform_system": platform.system,
    "platform_version": platform.version,
    "implementation_name": lambda: sys.implementation.name,
    "platform_python_implementation": platform.python_implementation,
}


def version_of(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _reason(requirement: Requirement, installed: str | None, offered: str | None) -> str:
    if installed is not None:
        return f"`{requirement.text}` ({installed} is installed)"
    if offered is not None:
        return f"`{requirement.text}` (Pyodide has {offered})"
    return f"`{requirement.text}`"
