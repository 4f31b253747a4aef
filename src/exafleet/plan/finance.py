"""Loans on hardware and leases: which orders they pay for, what is owed month by month, and what that costs.

Money is paid out when a unit arrives, in each draw at its own month; until then the owner pays the instalments himself.
A unit that somebody else has paid for is neither cancelled nor sold before the last payment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exafleet.facts.deals import Finance
from exafleet.market.market import Floats, Ints, Market
from exafleet.plan.book import Book
from exafleet.plan.sets import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Z pairs of a finance and an order it may pay for.

    which   finance                                                     [Z]
    order   column of the book                                          [Z]
    """

    which: Ints
    order: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What one dollar paid out costs, by months after arrival.

    interest, principal   of a loan, at the end of each month           [term]
    owed                  before the first payment and after each       [term + 1]
    """

    interest: Floats
    principal: Floats
    owed: Floats


def funding(market: Market, orders: Book) -> Funding:
    """Every order that a finance may pay for and that arrives within the horizon as quoted."""
    index = Index.of(market)
    rows = []
    for i, money in enumerate(market.scenario.finance):
        named = np.array([not money.offers or f.id in money.offers for f in market.scenario.offers], dtype=bool)
        who = np.zeros(len(market.scenario.owners), dtype=bool)
        who[[index.owner[o] for o in money.owners] if money.owners else slice(None)] = True
        rows += [(i, c) for c in np.flatnonzero(named[orders.offer] & who[orders.owner])] if len(orders.offer) else []
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return Funding(which=table[:, 0], order=table[:, 1])


def paid_out(money: Finance) -> float:
    """Share of the price that is paid out on arrival."""
    return money.advance if money.kind == "loan" else 1.0


def schedule(money: Finance) -> Schedule:
    """Interest alone at first, then level payments that end with nothing owed."""
    monthly, left = money.rate / 12.0, money.term - money.interest_only
    owed = np.ones(money.term + 1)
    level = monthly / -np.expm1(-left * np.log1p(monthly)) if monthly > 0 else 1.0 / left
    for t in range(money.interest_only, money.term):
        owed[t + 1] = owed[t] * (1.0 + monthly) - level
    owed[-1] = 0.0
    return Schedule(interest=owed[:-1] * monthly, principal=owed[:-1] - owed[1:], owed=owed)


def monthly_rent(money: Finance) -> float:
    """Payment of a lease as a share of the price, in advance: what is stated, or what the rate makes of it."""
    if money.rent or money.kind != "lease":
        return money.rent
    monthly, n = money.rate / 12.0, money.term
    if monthly == 0:
        return (1.0 - money.buyout) / n
    back = (1.0 + monthly) ** -n
    return float((1.0 - money.buyout * back) * monthly / ((1.0 - back) * (1.0 + monthly)))


def returns(money: Finance) -> bool:
    """Whether units go back at the end unless they are kept at their used price."""
    return money.kind == "lease" and money.end == "return"


def outstanding(b_arrival: Ints, term: Ints, months: int) -> Floats:
    """1 in the months in which somebody else's money is in a unit. arrival, term [Z] -> [Z, T]"""
    month = np.arange(months)
    return np.asarray((month >= b_arrival[:, None]) & (month < (b_arrival + term)[:, None]), dtype=np.float64)
