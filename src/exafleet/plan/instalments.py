"""When the price of an order is paid: instalments counted from the order or from the arrival."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exafleet.facts.deals import Payment
from exafleet.market.market import Bools, Floats, Ints, Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Instalment:
    """One instalment of many orders. kind: what the books call it, money paid ahead or hardware.

    month   month index it is paid in; T or more is after the end    [C]
    share   of the price; 0 where an order has no such instalment    [C]
    """

    kind: str
    month: Ints
    share: Floats


def instalments(market: Market, offer: Ints, ordered: Ints, arrives: Ints) -> Iterator[Instalment]:
    """Every instalment of orders placed and arriving in these months; none falls before its order. [C] each"""
    schedules = [f.schedule for f in market.scenario.offers]
    for i in range(max((len(s) for s in schedules), default=0) if len(offer) else 0):
        entry = [s[i] if i < len(s) else Payment(anchor="order", months=0, share=0.0) for s in schedules]
        on_arrival = np.array([p.anchor == "arrival" for p in entry], dtype=bool)[offer]
        shift = np.array([p.months for p in entry], dtype=np.int64)[offer]
        share = np.array([p.share for p in entry])[offer]
        month = np.maximum(np.where(on_arrival, arrives + shift, ordered + shift), ordered)
        yield from _by_kind(month, share, on_arrival & (shift >= 0))


def _by_kind(month: Ints, share: Floats, on_or_after: Bools) -> Iterator[Instalment]:
    """Apart for the books: what is paid before anything is there, and what is paid for what has come."""
    for kind, mine in (("deposits", ~on_or_after), ("hardware", on_or_after)):
        if (share * mine > 0).any():
            yield Instalment(kind=kind, month=month, share=np.where(mine, share, 0.0))


def longest_ahead(market: Market) -> int:
    """Months before the arrival in which any offer wants money: how far past the end an arrival still matters."""
    return max((-p.months for f in market.scenario.offers for p in f.schedule if p.anchor == "arrival"), default=0)
