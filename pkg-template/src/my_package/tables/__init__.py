"""Plain-text tables of conversions."""

from my_package import convert, find, units

__all__ = ["conversion_table"]


def conversion_table(amount: float, unit: str) -> str:
    """Return `amount` of a unit in every unit of the same quantity, a line each.

    >>> print(conversion_table(20, "celsius"))
      293.15  K   kelvin
          20  °C  celsius
          68  °F  fahrenheit
    """
    rows = [(f"{convert(amount, unit, other.symbol):,.7g}", other) for other in units(find(unit).quantity)]
    value_width = max(8, *(len(value) for value, _ in rows))
    symbol_width = max(len(other.symbol) for _, other in rows)
    return "\n".join(f"{value:>{value_width}}  {other.symbol:<{symbol_width}}  {other.name}" for value, other in rows)
