"""The closed unit list, and quantities written in words: "150 MW", "$3.0M/rack", "6 wk".

Inside exafleet every float is in the base unit of its dimension (s, B, FLOP/s, W, J, USD, ...); units exist only at
the edge. The list is data/units.csv; a unit that is not in it is an error, never a guess.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path

from exafleet.terms.errors import Problem, UnitError, nearest

DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit of the closed list: `value * to_base` is in the base unit of `dimension`."""

    name: str
    dimension: str
    to_base: float


@functools.cache
def units() -> dict[str, Unit]:
    """Every unit by name and alias."""
    found: dict[str, Unit] = {}
    with (DATA / "units.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            unit = Unit(name=row["unit"], dimension=row["dimension"], to_base=float(row["to_base"]))
            for name in (row["unit"], *row["aliases"].split()):
                found[name] = unit
    return found


@functools.cache
def base_unit(dimension: str) -> str:
    """Name of the unit of a dimension whose factor is 1 (or the dimension's own name in base terms)."""
    for unit in units().values():
        if unit.dimension == dimension and unit.to_base == 1.0:
            return unit.name
    return f"base {dimension}"


def of_dimension(dimension: str) -> tuple[str, ...]:
    """Names of the units of a dimension, in the order of the list."""
    return tuple(dict.fromkeys(u.name for u in units().values() if u.dimension == dimension))


def unit(name: str) -> Unit:
    """The unit called `name`; raises UnitError with the nearest names."""
    found = units().get(name)
    if found is None:
        raise UnitError(Problem(what=f'unknown unit "{name}"', remedy=nearest(name, units())))
    return found


# A currency sign belongs to the unit: "$3.0M/rack" is 3.0 MUSD/rack. K, M, B, T scale money, tokens and params.
_QUANTITY = re.compile(
    r"""\s*(?P<sign>[+-]?)\s*(?P<currency>US\$|\$|USD\s|CNY\s|EUR\s|RMB\s|¥|€)?\s*
        (?P<number>\d+(?:[,_]\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)\s*
        (?P<scale>k|K|M|B|bn|T)?(?P<rest>.*?)\s*$""",
    re.VERBOSE,
)
_SCALE = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "bn": 1e9, "T": 1e12}
_CURRENCY = {"$": "USD", "US$": "USD", "USD": "USD", "CNY": "CNY", "RMB": "CNY", "¥": "CNY", "EUR": "EUR", "€": "EUR"}
CURRENCIES = ("USD", "CNY", "EUR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A parsed amount in base units.

    currency   the one it was written in; "USD" when no money is involved
    unit       name of the unit it was written in, money in dollars
    """

    value: float
    dimension: str
    currency: str = "USD"
    unit: str = ""


def parse(text: str, *dimensions: str) -> Quantity:
    """Read "150 MW" as a quantity of one of `dimensions`; raises UnitError for a missing, unknown or wrong unit.

    Where two dimensions are allowed the answer says which was written: "$3.0M/rack" is a `price_per_unit`,
    "$40,000/GPU" a `price_per_chip`, and nothing below may confuse the two.

    Money keeps its currency: the caller converts at a dated rate, because a rate has a date and a source.

    >>> parse("150 MW", "power").value
    150000000.0
    >>> parse("$3.0M/rack", "price_per_unit").value
    3000000.0
    """
    found = _QUANTITY.match(text)
    if not found:
        raise UnitError(Problem(what="not a quantity", got=repr(text), allowed=_allowed(dimensions)))
    number = float(found["number"].replace(",", "").replace("_", ""))
    if found["sign"] == "-":
        number = -number
    currency, name, factor = _unit_name(found["currency"] or "", found["scale"] or "", found["rest"].strip())
    if not name:
        if "number" not in dimensions:
            raise UnitError(Problem(what="a number without a unit", got=repr(text), allowed=_allowed(dimensions)))
        name = "1"
    known = units().get(name)
    if known is None:
        remedy = "Write a point before the decimals, and commas only between thousands." if name[0] == "," else nearest(
            name, [n for d in dimensions for n in of_dimension(d)])
        raise UnitError(Problem(what=f'unknown unit "{name}"', got=repr(text), allowed=_allowed(dimensions),
                                remedy=remedy))
    if known.dimension not in dimensions:
        needs = " or ".join(words(d) for d in dimensions)
        raise UnitError(Problem(what=f'"{name}" is a unit of {words(known.dimension)}, this needs {needs}',
                                got=repr(text), allowed=_allowed(dimensions)))
    value = number * factor * known.to_base
    if not math.isfinite(value):
        raise UnitError(Problem(what="not a finite number", got=repr(text), allowed=_allowed(dimensions)))
    return Quantity(value=value, dimension=known.dimension, currency=currency, unit=known.name)


def _unit_name(sign: str, scale: str, rest: str) -> tuple[str, str, float]:
    """Currency, unit name and scale of what follows a number: "$", "M", "/rack" -> USD, "USD/rack", 1e6."""
    if sign:
        return _CURRENCY[sign.strip()], "USD" + rest, _SCALE[scale]
    if scale + rest in units():
        return "USD", scale + rest, 1.0
    money = re.match(r"(CNY|EUR)(?=/|$)", rest)
    if money:
        return money[1], "USD" + rest[3:], _SCALE[scale]
    return "USD", rest if scale and rest else scale + rest, _SCALE[scale] if rest else 1.0


def words(dimension: str) -> str:
    """A dimension in plain words: "byte_rate" -> "byte rate"."""
    return dimension.replace("_", " ")


def _allowed(dimensions: tuple[str, ...]) -> str:
    shown = []
    for dimension in dimensions:
        names = of_dimension(dimension)
        shown.append(f"a {words(dimension)} in " + ", ".join(names[:8]) + (", ..." if len(names) > 8 else ""))
    return " or ".join(shown)
