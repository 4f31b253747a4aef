"""One market with some months of another, record by record: by their ids, since two days may know different ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from exafleet.market.market import Market

# Fields by month, and the records along their axes before it.
TERMS = {"price": ("offers",), "can_order": ("offers",), "supply": ("offers",), "rental_price": ("rentals",),
         "can_rent": ("rentals",), "rental_most": ("rentals",)}
STATE = {"power": ("sites",), "quota": ("owners", "sites"), "install": ("sites",), "energy_price": ("sites",),
         "carbon": ("sites",), "demand": ("jobs",), "loan_most": ("loans",), "budget": ("owners",),
         "resale_most": ()}


def spliced(base: Market, other: Market, months: range, what: Mapping[str, tuple[str, ...]]) -> Market:
    """`base` with the fields `what` of `other` in these month indices, where both know the record and the month."""
    when = np.arange(months.start, min(months.stop, other.months, base.months))
    return replace(base, **{name: _field(base, other, name, axes, when) for name, axes in what.items()}) \
        if len(when) else base


def _field(base: Market, other: Market, name: str, axes: tuple[str, ...], when: np.ndarray[Any, Any]) -> Any:
    value, new = getattr(base, name).copy(), getattr(other, name)
    pairs = [_common(base, other, axis) for axis in axes]
    mine: list[Any] = [np.array(p[0], dtype=np.int64) for p in pairs]
    theirs: list[Any] = [np.array(p[1], dtype=np.int64) for p in pairs]
    value[np.ix_(*mine, when)] = new[np.ix_(*theirs, when)]
    return value


def _common(base: Market, other: Market, axis: str) -> tuple[list[int], list[int]]:
    """Positions in both of the records both have."""
    mine, theirs = _ids(base, axis), _ids(other, axis)
    both = [name for name in mine if name in theirs]
    return [mine.index(name) for name in both], [theirs.index(name) for name in both]


def _ids(market: Market, axis: str) -> Sequence[Any]:
    if axis == "loans":
        return [(x.lender, x.borrower) for x in market.scenario.loans]
    return [x.id for x in getattr(market.scenario, axis)]
