"""The closed unit list, and quantities written in words."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.terms.errors import UnitError
from exafleet.terms.units import base_unit, of_dimension, parse, unit, units


@pytest.mark.parametrize(("text", "dimension", "value"), [
    ("150 MW", "power", 150e6),
    ("$3.0M/rack", "price_per_unit", 3.0e6),
    ("$40,000/GPU", "price_per_chip", 40_000.0),
    ("3.4 MUSD/rack", "price_per_unit", 3.4e6),
    ("6 wk", "time", 6 * 7 * 86400.0),
    ("$2.16/GPU-hr", "rent", 2.16 / 3600),
    ("$60/MWh", "energy_price", 60 / 3.6e9),
    ("10 %", "number", 0.10),
    ("-5 %", "number", -0.05),
    ("1.2", "number", 1.2),
    ("$1.08bn", "money", 1.08e9),
    ("15T tokens", "tokens", 15e12),
    ("15 Ttokens", "tokens", 15e12),
    ("2.5M tokens/s", "token_rate", 2.5e6),
    ("30k GPU-hours/mo", "gpu_rate", 30e3 * 3600 / 2629800),
    ("100,000 GPUs", "chips", 100_000.0),
    ("12,500 nodes", "system_units", 12_500.0),
    ("20 ms", "time", 0.020),
    ("80 GiB", "bytes", 80 * 2**30),
])
def test_quantities_people_write(text, dimension, value):
    assert parse(text, dimension).value == pytest.approx(value, rel=1e-12)


def test_money_keeps_its_currency():
    assert parse("CNY 7.265B", "money").currency == "CNY"
    assert parse("7.265B CNY", "money").currency == "CNY"
    assert parse("¥21.8M/rack", "price_per_unit").currency == "CNY"
    assert parse("$1", "money").currency == "USD"


def test_a_price_per_gpu_is_not_a_price_per_rack():
    assert parse("$40,000/GPU", "price_per_unit", "price_per_chip").dimension == "price_per_chip"
    with pytest.raises(UnitError, match="price per chip, this needs price per unit"):
        parse("$40,000/GPU", "price_per_unit")


def test_an_energy_is_not_a_power():
    with pytest.raises(UnitError, match='"kWh" is a unit of energy, this needs power'):
        parse("120 kWh", "power")


@pytest.mark.parametrize("text", ["", "MW", "150", "nan MW", "inf MW", "1e999 MW", "150 Mw", "1 2 MW", "150 MW!",
                                  "½ MW"])
def test_everything_else_is_refused(text):
    with pytest.raises(UnitError):
        parse(text, "power")


@given(st.floats(min_value=1e-6, max_value=1e9), st.sampled_from(sorted(units())))
def test_every_unit_reads_back(value, name):
    got = parse(f"{value!r} {name}", unit(name).dimension)
    assert got.value == pytest.approx(value * unit(name).to_base, rel=1e-9)


@given(st.text(max_size=30))
def test_no_text_gives_anything_but_a_number_or_a_unit_error(text):
    with contextlib.suppress(UnitError):
        assert math.isfinite(parse(text, "power").value)


def test_every_dimension_names_its_units():
    for found in units().values():
        assert found.name in of_dimension(found.dimension)
        assert base_unit(found.dimension)
