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
import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

from . import _compat
from ._errors import ResolveError

_REQUIREMENT = re.compile(
    r"""\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*
    (?:\[[^\]]*\]\s*)?
    (?:@\s*\S+|(?P<bare>[^;()@]*)|\((?P<inside>[^;()]*)\))\s*
    (?:;(?P<marker>.*))?$""",
    re.VERBOSE | re.DOTALL,
)
_CLAUSE = re.compile(r"\s*(===|~=|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?\s*$")
_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)$")
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}


class Requirement(NamedTuple):
    """One requirement. ``name`` is normalised; ``text`` is how the publisher wrote it."""

    name: str
    specifier: str
    marker: str
    text: str


async def satisfy(host: _compat.Host, release: str, requires: list[str]) -> None:
    """Loads what is required and not there. ``release``: for messages.

    Raises ``ResolveError`` (``resolve.requires``) with all that cannot be had, before anything is loaded, and
    where Pyodide did not load what its lock file has.
    """
    wanted, missing = [], []
    for requirement in (parsed for text in requires if (parsed := parse(text)) and applies(parsed.marker)):
        installed = _installed(requirement.name)
        offered = host.package_version(requirement.name) if installed is None else None
        if installed is not None and fits(requirement.specifier, installed):
            continue
        if offered is not None and fits(requirement.specifier, offered):
            wanted.append(requirement)
        else:
            missing.append(_reason(requirement, installed, offered))
    if not missing and wanted:
        await host.load_packages([requirement.name for requirement in wanted])
        missing = [f"`{it.text}` (Pyodide could not load it)" for it in wanted if _installed(it.name) is None]
    if missing:
        raise ResolveError(
            f"{release} requires {', '.join(missing)}",
            code="resolve.requires",
            hint="load a release that has it, or install it with micropip, first; publishers: give `webimport release` "
            "the wheels of its dependencies, too",
        )


def parse(text: str) -> Requirement | None:
    """None for what is no requirement."""
    match = _REQUIREMENT.match(text)
    if match is None:
        return None
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    return Requirement(name, (match["bare"] or match["inside"] or "").strip(), match["marker"] or "", text.strip())


def applies(marker: str) -> bool:
    """Whether an environment marker holds for this interpreter; True for one that cannot be decided."""
    if not marker.strip():
        return True
    try:
        return _decide(ast.parse(marker.strip(), mode="eval").body)
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError):
        return True


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


def _decide(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        answers = [_decide(value) for value in node.values]
        return all(answers) if isinstance(node.op, ast.And) else any(answers)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        raise ValueError("no comparison")
    left, right = (_value(side) for side in (node.left, node.comparators[0]))
    sign = _SIGNS[type(node.ops[0])]
    if sign in ("in", "not in"):
        return (left in right) is (sign == "in")
    one, other = _numbers(left), _numbers(right)
    if one is None or other is None:
        if sign not in ("==", "!="):
            raise ValueError("no order")
        return (left == right) is (sign == "==")
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


def _value(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return _ENVIRONMENT[node.id]()
    raise ValueError("neither a text nor a variable")


_ENVIRONMENT: dict[str, Callable[[], str]] = {
    "python_version": lambda: ".".join(map(str, sys.version_info[:2])),
    "python_full_version": lambda: ".".join(map(str, sys.version_info[:3])),
    "sys_platform": lambda: sys.platform,
    "implementation_name": lambda: sys.implementation.name,
    "extra": lambda: "",
}


def _installed(name: str) -> str | None:
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
