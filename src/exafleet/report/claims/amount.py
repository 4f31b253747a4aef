"""A number with its dimension, its band and its evidence, and what sums, products and ratios do with them.

A dimension is a list of base quantities and their powers, so that dollars over dollars per rack are racks, and dollars
that meet watts are refused. Bands are carried by their ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product as every

from exafleet.facts.fact import KINDS, Fact
from exafleet.terms.calendar import SECONDS_PER_DAY
from exafleet.terms.said import catalogue, named, said
from exafleet.terms.term import term
from exafleet.terms.units import base_unit, unit

Dims = tuple[tuple[str, int], ...]
PURE: Dims = ()
DAY: Dims = (("date", 1),)
# Each dimension of terms/units.csv in base quantities; one that is not named stands for itself.
BASES: dict[str, dict[str, int]] = {
    "number": {}, "fx": {},
    "money": {"USD": 1}, "money_rate": {"USD": 1, "s": -1}, "price_per_chip": {"USD": 1, "GPU": -1},
    "price_per_unit": {"USD": 1, "rack": -1}, "price_per_superchip": {"USD": 1, "superchip": -1},
    "rent": {"USD": 1, "GPU": -1, "s": -1}, "rent_per_superchip": {"USD": 1, "superchip": -1, "s": -1},
    "energy_price": {"USD": 1, "W": -1, "s": -1}, "capex_per_power": {"USD": 1, "W": -1},
    "token_price": {"USD": 1, "token": -1}, "power_rent": {"USD": 1, "W": -1, "s": -1},
    "chips": {"GPU": 1}, "superchips": {"superchip": 1}, "system_units": {"rack": 1},
    "time": {"s": 1}, "rate": {"s": -1}, "install_rate": {"rack": 1, "s": -1},
    "power": {"W": 1}, "energy": {"W": 1, "s": 1}, "energy_per_token": {"W": 1, "s": 1, "token": -1},
    "bytes": {"B": 1}, "byte_rate": {"B": 1, "s": -1}, "flop": {"FLOP": 1}, "flop_rate": {"FLOP": 1, "s": -1},
    "tokens": {"token": 1}, "token_rate": {"token": 1, "s": -1}, "date": {"date": 1},
}
CURRENCIES = ("USD", "CNY", "EUR")
# Units of figures whose base unit nobody writes; the rows claims.amount.* of the catalogue name them.
_QUOTED = {"install_rate": "racks/d", "token_price": "USD/Mtoken", "power_rent": "USD/kW/mo", "money_rate": "USD/mo",
           "rent_per_superchip": "USD/superchip-h", "rate": "1/d"}
COUNTED = ("GPU", "superchip", "rack", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number in base units, days as ordinals.

    low, high  the band: where sources disagree, the 80 % band of a prediction, or both ends of a span
    dims       base quantities and their powers
    kind       weakest evidence in it, a word of KINDS; "" for what the claim itself says
    predicted  a model of exafleet is in it
    spans      low and high are two ends that both count, not doubt about one figure
    """

    value: float
    low: float
    high: float
    dims: Dims
    kind: str = ""
    predicted: bool = False
    spans: bool = False

    @property
    def written(self) -> str:
        """The number in words people use, its band where it has one."""
        return self.told()

    def told(self, *, times: bool = False) -> str:
        """The same, as so many times: "5x (4 to 6)"."""
        middle = spoken(self.value, self.dims)
        if times:
            middle = said("claims.times", middle=middle)
        if self.low == self.high:
            return middle
        low, high = spoken(self.low, self.dims), spoken(self.high, self.dims)
        if self.spans:
            return said("amount.span", low=low, high=high)
        return said("claims.band open" if math.isinf(self.high) else "claims.band", middle=middle, low=low, high=high)


class Mismatch(Exception):
    """Two dimensions that cannot meet; told to the user with the place by whoever knows it."""


def dims_of(dimension: str) -> Dims:
    """Base quantities of a dimension of units.csv.

    >>> dims_of("price_per_unit"), dims_of("number")
    ((('USD', 1), ('rack', -1)), ())
    """
    return _sorted(BASES.get(dimension, {dimension: 1}))


def plain(value: float, dims: Dims = PURE, kind: str = "") -> Amount:
    """A number without a band."""
    return Amount(value=value, low=value, high=value, dims=dims, kind=kind)


def of_fact(fact: Fact) -> Amount:
    """A fact as an amount, with its band and its kind."""
    return Amount(value=fact.value, low=fact.low, high=fact.high, dims=dims_of(term(fact.term).dimension),
                  kind=fact.kind)


# ------------------------------------------------------------------------------------------------------ arithmetic
def multiplied(parts: Sequence[Amount]) -> Amount:
    """The product; its band is that of every combination of ends."""
    dims: dict[str, int] = {}
    for part in parts:
        _no_day(part)
        for name, power in part.dims:
            dims[name] = dims.get(name, 0) + power
    ends = [math.prod(combination) for combination in every(*((p.low, p.high) for p in parts))]
    return _made(math.prod(p.value for p in parts), min(ends), max(ends), _sorted(dims), parts)


def divided(above: Amount, below: Amount) -> Amount:
    """The ratio; unlimited where the divisor's band reaches zero. Raises Mismatch for a divisor of zero."""
    if below.value == 0:
        raise Mismatch("the divisor is zero")
    over = replace(below, value=1 / below.value, low=1 / below.high if below.high else math.inf,
                   high=1 / below.low if below.low > 0 else math.inf,
                   dims=tuple((name, -power) for name, power in below.dims))
    return multiplied([above, over])


def added(parts: Sequence[Amount]) -> Amount:
    """The sum of like quantities; a day plus a time is a day."""
    days = [p for p in parts if p.dims == DAY]
    if len(days) == 1:
        shift = [_scaled(p, 1 / SECONDS_PER_DAY) for p in parts if p.dims != DAY]
        if any(p.dims != dims_of("time") for p in parts if p.dims != DAY):
            raise Mismatch("only a time can be added to a day")
        return _summed([*days, *shift], DAY)
    if days:
        raise Mismatch("two days cannot be added")
    return _summed(parts, _common(parts))


def subtracted(first: Amount, second: Amount) -> Amount:
    """first - second; the difference of two days is a time. [s]"""
    turned = replace(second, value=-second.value, low=-second.high, high=-second.low)
    dims = _common([first, second])
    if dims == DAY:
        return _scaled(_summed([first, turned], dims_of("time")), SECONDS_PER_DAY)
    return _summed([first, turned], dims)


def least(parts: Sequence[Amount]) -> Amount:
    """The smallest of like quantities."""
    return _made(min(p.value for p in parts), min(p.low for p in parts), min(p.high for p in parts), _common(parts),
                 parts)


def most(parts: Sequence[Amount]) -> Amount:
    """The largest of like quantities."""
    return _made(max(p.value for p in parts), max(p.low for p in parts), max(p.high for p in parts), _common(parts),
                 parts)


def spanned(parts: Sequence[Amount]) -> Amount:
    """From the smallest to the largest of like quantities, both of which count."""
    low, high = min(p.value for p in parts), max(p.value for p in parts)
    return replace(_made((low + high) / 2, low, high, _common(parts), parts), spans=True)


def weakest(parts: Iterable[Amount]) -> str:
    """The least good evidence among amounts; "" where all are the claim's own."""
    ranks = [KINDS.index(p.kind) for p in parts if p.kind]
    return KINDS[max(ranks)] if ranks else ""


def same_kind(one: Dims, other: Dims) -> bool:
    """Whether two dimensions can be compared: a plain number counts whatever the other counts.

    >>> same_kind(dims_of("chips"), PURE), same_kind(dims_of("power"), dims_of("money"))
    (True, False)
    """
    counts = {PURE, *(((name, 1),) for name in COUNTED)}
    return one == other or (PURE in (one, other) and one in counts and other in counts)


def _made(value: float, low: float, high: float, dims: Dims, parts: Sequence[Amount]) -> Amount:
    return Amount(value=value, low=low, high=high, dims=dims, kind=weakest(parts),
                  predicted=any(p.predicted for p in parts))


def _summed(parts: Sequence[Amount], dims: Dims) -> Amount:
    return _made(sum(p.value for p in parts), sum(p.low for p in parts), sum(p.high for p in parts), dims, parts)


def _scaled(part: Amount, factor: float) -> Amount:
    return replace(part, value=part.value * factor, low=part.low * factor, high=part.high * factor)


def _common(parts: Sequence[Amount]) -> Dims:
    """The dimension all share; raises Mismatch."""
    named = {p.dims for p in parts}
    counted = named - {PURE}
    if len(named) == 1:
        return parts[0].dims
    if len(counted) == 1 and all(same_kind(a, PURE) for a in counted):
        return counted.pop()
    raise Mismatch(" and ".join(sorted(f'"{name(d)}"' for d in named)) + " are not of one kind")


def _no_day(part: Amount) -> None:
    if part.dims == DAY:
        raise Mismatch("a day cannot be multiplied or divided")


def _sorted(dims: dict[str, int]) -> Dims:
    return tuple(sorted((name, power) for name, power in dims.items() if power))


# ----------------------------------------------------------------------------------------------------------- words
def dimension_of(dims: Dims) -> str:
    """Name of a dimension of units.csv; "" where none is made of these base quantities."""
    known = {_sorted(bases): dimension for dimension, bases in reversed(BASES.items()) if dimension != "fx"}
    if dims in known:
        return known[dims]
    return dims[0][0] if len(dims) == 1 and dims[0][1] == 1 else ""


def name(dims: Dims) -> str:
    """A dimension in words: "price per unit", "a number", or its base quantities.

    >>> name(_sorted({"FLOP": 1, "s": -1, "W": -1})), name(dims_of("price_per_unit"))
    ('FLOP/W/s', 'price per unit')
    """
    if dims == PURE:
        return "number"
    above = " ".join(_power(n, p) for n, p in dims if p > 0) or "1"
    return dimension_of(dims).replace("_", " ") or above + "".join(f"/{_power(n, -p)}" for n, p in dims if p < 0)


def _power(base: str, power: int) -> str:
    return base if power == 1 else f"{base}^{power}"


def unit_of(dims: Dims) -> str:
    """Base unit of a dimension, as JSON writes it; "1" for a plain number, "date" for a day."""
    if dims == PURE:
        return "1"
    dimension = dimension_of(dims)
    if dimension in CURRENCIES:
        return dimension
    return base_unit(dimension) if dimension in BASES else name(dims)


def spoken(value: float, dims: Dims) -> str:
    """A number of a dimension in words people use, in the unit its market quotes it in."""
    if dims == DAY:
        return date.fromordinal(round(value)).isoformat()
    dimension = "number" if dims == PURE else dimension_of(dims)
    if dimension == "length" and value < 1e-6:
        return said("claims.amount.small length", value=value / 1e-9)
    key = f"claims.amount.{dimension}"
    if key in catalogue():
        return said(key, value=value / unit(_QUOTED[dimension]).to_base if dimension in _QUOTED else value, n=value)
    powers = {power: base for base, power in dims}
    if len(dims) == 2 and powers.get(1) in CURRENCIES and -1 in powers:
        return said("claims.amount.of currency", value=value, currency=named("claims.unit", powers[1]),
                    of=named("claims.per", powers[-1]))
    return said("claims.amount.other", value=value, unit=unit_of(dims))
