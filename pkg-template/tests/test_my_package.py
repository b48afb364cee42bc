"""Facts about the package; the doctests beside the code state the rest."""

import pytest

from my_package import convert, find, units
from my_package.tables import conversion_table


@pytest.mark.parametrize("unit", list(units()), ids=str)
def test_a_conversion_and_back_changes_nothing(unit):
    for other in units(unit.quantity):
        assert convert(convert(3, unit.symbol, other.symbol), other.symbol, unit.symbol) == pytest.approx(3)


def test_symbols_and_names_are_unique():
    words = [word for unit in units() for word in (unit.symbol, unit.name)]
    assert len(words) == len(set(words))


def test_unknown_unit_is_a_lookup_error():
    with pytest.raises(LookupError, match="furlong"):
        find("furlong")


def test_quantities_do_not_mix():
    with pytest.raises(ValueError, match="mass"):
        convert(1, "lb", "ft")


def test_table_has_a_line_for_each_unit_of_the_quantity():
    assert len(conversion_table(1, "mi").splitlines()) == len(list(units("length")))
