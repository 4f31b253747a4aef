"""Who may use whose chips: every loan, and every pair of members of a cohort, as one table of agreements; and whose
units can become whose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exafleet.facts.sharing import Loan, Share
from exafleet.market.market import Bools, Floats, Ints, Market, make_read_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Lending:
    """G agreements: the scenario's loans in their order, then the pairs of members of each cohort.

    lender, borrower   owners                                                                       [G]
    systems            that may be lent                                                             [G, K]
    price              of one chip lent, from the borrower's book to the lender's                   [G, T] [USD/s]
    most               chips lent at once; inf for a pair of a cohort, whose limits are its members'  [G, T]
    notice             months that what is lent stays lent at least                                 [G]
    restart            work a chip loses when it goes back                                          [G]    [s]
    first              the agreement that a (lender, borrower, system) counts under; -1: not lent   [O, O, K]
    """

    lender: Ints
    borrower: Ints
    systems: Bools
    price: Floats
    most: Floats
    notice: Ints
    restart: Floats
    first: Ints

    def __post_init__(self) -> None:
        make_read_only(self)

    @property
    def held(self) -> Bools:
        """Agreements under which chips are handed over for a time, used or not: with a notice or a loss. [G]"""
        return np.asarray((self.notice > 0) | (self.restart > 0))


@dataclass(frozen=True, slots=True)
class _Row:
    """One agreement as it is found."""

    lender: int
    borrower: int
    systems: Bools
    price: Floats
    most: Floats
    terms: Loan | Share


def lending(market: Market) -> Lending:
    """Every agreement; several loans of one pair and the same systems count together, at the first one's price."""
    rows = [*_loans(market), *_pairs(market)]
    systems = np.array([r.systems for r in rows], dtype=bool).reshape(len(rows), len(market.systems))
    lender = np.array([r.lender for r in rows], dtype=np.int64)
    borrower = np.array([r.borrower for r in rows], dtype=np.int64)
    owners, months = len(market.scenario.owners), market.months
    first = np.full((owners, owners, len(market.systems)), -1, dtype=np.int64)
    most = np.array([r.most for r in rows], dtype=np.float64).reshape(-1, months)
    for g in reversed(range(len(rows))):
        first[lender[g], borrower[g], systems[g]] = g
    for g in range(len(market.scenario.loans)):
        head = first[lender[g], borrower[g]][systems[g]]
        if len(head) and head[0] != g:
            most[head[0]] += most[g]
    return Lending(
        lender=lender, borrower=borrower, systems=systems, most=most, first=first,
        price=np.array([r.price for r in rows], dtype=np.float64).reshape(-1, months),
        notice=np.array([r.terms.notice for r in rows], dtype=np.int64),
        restart=np.array([r.terms.restart for r in rows], dtype=np.float64))


def _loans(market: Market) -> Iterator[_Row]:
    at = {owner.id: o for o, owner in enumerate(market.scenario.owners)}
    for i, loan in enumerate(market.scenario.loans):
        yield _Row(at[loan.lender], at[loan.borrower], named(market, loan.systems), np.full(market.months, loan.price),
                   market.loan_most[i], loan)


def named(market: Market, systems: tuple[str, ...]) -> Bools:
    """Which of the market's systems a list names; an empty list names all. [K]"""
    return np.array([not systems or k in systems for k in market.systems], dtype=bool)


def _pairs(market: Market) -> Iterator[_Row]:
    """Members of a cohort lend each other what both name; at a share of the market's price, system by system."""
    at = {owner.id: o for o, owner in enumerate(market.scenario.owners)}
    most = np.full(market.months, np.inf)
    for a in market.scenario.sharing:
        for b in market.scenario.sharing:
            both = named(market, a.systems) & named(market, b.systems)
            if a.cohort != b.cohort or a.owner == b.owner or not both.any():
                continue
            for systems, price in _priced(market, a, both):
                yield _Row(at[a.owner], at[b.owner], systems, price, most, a)


def _priced(market: Market, share: Share, systems: Bools) -> Iterator[tuple[Bools, Floats]]:
    """Systems of one price, and the price by month; what nobody rents out on demand has no share of its price."""
    if not share.market_share:
        months = np.arange(market.start, market.start + market.months)
        yield systems, share.price.at(months) if share.price is not None else np.zeros(market.months)
        return
    for k in np.flatnonzero(systems):
        rents = [market.rental_price[r] for r, rental in enumerate(market.scenario.rentals)
                 if rental.term == 1 and rental.system == market.systems[k]]
        if rents:
            yield np.arange(len(systems)) == k, np.min(rents, axis=0) * share.market_share


def sources(market: Market, *, slots: bool) -> Bools:
    """Whose units of a system can become whose, directly or through others. [O from, O to, K]"""
    scenario = market.scenario
    owner = {x.id: o for o, x in enumerate(scenario.owners)}
    opened = {q.id: q for q in scenario.open_orders}
    found = np.zeros((len(owner), len(owner), len(market.systems)), dtype=bool)
    for t in scenario.transfers:
        if t.system in market.systems and (slots or t.kind == "units"):
            found[owner[t.seller], owner[t.buyer], market.systems.index(t.system)] = True
    for s in scenario.swaps if slots else ():
        a, z = opened[s.first], opened[s.second]
        k = market.systems.index(a.system)
        found[owner[a.owner], owner[z.owner], k] = found[owner[z.owner], owner[a.owner], k] = True
    for middle in range(len(owner)):
        found |= found[:, middle, None] & found[middle, None]
    return found


def slot_buyers(market: Market) -> Bools:
    """Who may pass slots of a system on to whom. [O seller, O buyer, K]"""
    owner = {x.id: o for o, x in enumerate(market.scenario.owners)}
    found = np.zeros((len(owner), len(owner), len(market.systems)), dtype=bool)
    for t in market.scenario.transfers:
        if t.kind == "slot" and t.system in market.systems:
            found[owner[t.seller], owner[t.buyer], market.systems.index(t.system)] = True
    return found
