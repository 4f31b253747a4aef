"""Whose money it is: every payment by kind, owner and month, and which owners share one book."""

from __future__ import annotations

import numpy as np

from exafleet.market.market import Floats, Ints, Market
from exafleet.plan.plan import BOOKS

KIND = {name: i for i, name in enumerate(BOOKS)}


def leaders(market: Market) -> Ints:
    """The owner in whose name each owner's book is kept: the first that names the same book, else itself. [O]"""
    owners = market.scenario.owners
    first: dict[str, int] = {}
    for o, owner in enumerate(owners):
        first.setdefault(owner.book, o)
    return np.array([first[owner.book] if owner.book else o for o, owner in enumerate(owners)], dtype=np.int64)


def budgets(market: Market) -> Floats:
    """Money of each book by month, at its leader; inf for everybody else in it. [O, T] [USD]"""
    leader = leaders(market)
    total = np.zeros_like(market.budget)
    np.add.at(total, leader, market.budget)
    return np.where((leader == np.arange(len(leader)))[:, None], total, np.inf)


def place(market: Market, kind: str, owner: Ints, month: Ints) -> Ints:
    """Position of a payment in the books; months past the horizon count as the one after it. [like owner]"""
    owners, months = len(market.scenario.owners), market.months
    return (KIND[kind] * owners + owner) * (months + 1) + np.minimum(month, months)


def places(market: Market) -> int:
    """Positions in the books: kinds x owners x (months and the time after them)."""
    return len(BOOKS) * len(market.scenario.owners) * (market.months + 1)


def purse(market: Market, block: Ints, where: Ints) -> Ints:
    """The member of a block [O, T] that payments at these positions belong to: that of the owner's book."""
    owners, months = block.shape
    if not block.size or not len(where):
        return np.full(len(where), -1, dtype=np.int64)
    owner, month = where // (months + 1) % owners, where % (months + 1)
    return np.where(month < months, block[leaders(market)[owner], np.minimum(month, months - 1)], -1)
