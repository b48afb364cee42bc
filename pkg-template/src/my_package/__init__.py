"""Everyday units, converted exactly.

A unit goes by its symbol or by its name.

>>> convert(26.21875, "mi", "km")
42.194988
>>> convert(212, "fahrenheit", "celsius")
100.0

The units are rows of `units.csv`, beside this file.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files

__all__ = ["Unit", "convert", "find", "units"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, and how an amount of it becomes an amount of its quantity's SI unit."""

    symbol: str
    name: str
    quantity: str
    factor: Fraction
    offset: Fraction

    def __str__(self) -> str:
        return self.symbol


def convert(amount: float, source: str, target: str) -> float:
    """Return `amount` of the unit `source` in the unit `target`.

    Works in fractions, so that only the result is rounded.

    >>> convert(1, "inch", "cm")
    2.54
    >>> convert(1, "kg", "km")
    Traceback (most recent call last):
    ...
    ValueError: kg is a mass and km a length

    Raises LookupError for a unit that is not there, ValueError for two different quantities.
    """
    start, end = find(source), find(target)
    if start.quantity != end.quantity:
        raise ValueError(f"{start} is a {start.quantity} and {end} a {end.quantity}")
    return float((Fraction(amount) * start.factor + start.offset - end.offset) / end.factor)


def find(unit: str) -> Unit:
    """Return the unit with this symbol or name.

    >>> find("lb").name
    'pound'
    """
    for candidate in _table():
        if unit in (candidate.symbol, candidate.name):
            return candidate
    raise LookupError(f"no unit is called {unit!r}")


def units(quantity: str | None = None) -> Iterator[Unit]:
    """Yield the units of one quantity, or all.

    >>> print(*units("temperature"))
    K °C °F
    """
    return (unit for unit in _table() if quantity in (None, unit.quantity))


@cache
def _table() -> tuple[Unit, ...]:
    text = (files(__name__) / "units.csv").read_text(encoding="utf-8")
    return tuple(
        Unit(row["symbol"], row["name"], row["quantity"], Fraction(row["factor"]), Fraction(row["offset"]))
        for row in csv.DictReader(text.splitlines())
    )
