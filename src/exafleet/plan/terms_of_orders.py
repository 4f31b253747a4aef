"""Terms of orders that need columns of their own: least sizes and multiples, and orders changed into others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exafleet.market.draws import NEVER, Draws
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.plan.blocks import Members
from exafleet.plan.book import Book
from exafleet.plan.sets import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Orders whose size is bound, as groups of one offer, owner and month. G groups.

    of_order   group of each order of the book; -1 where any size will do               [C]
    offer      of the group                                                             [G]
    most       units the whole group may have                                           [G]
    """

    of_order: Ints
    offer: Ints
    most: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Swaps:
    """Ways to change units of an open order into an offer's, decided now. E ways.

    order, option      open order, and which of its changes                             [E]
    offer, owner, system, month   of the new units; the month the new order counts from [E]
    price, paid        of a new unit; what of the old one counts towards it             [E] [USD]
    fee                lost beyond what was paid                                        [E] [USD]
    most               units                                                            [E]
    arrival            of the new units in each draw                                    [N, E]
    there              whether they ever come in it                                     [N, E]
    """

    order: Ints
    option: Ints
    offer: Ints
    owner: Ints
    system: Ints
    month: Ints
    price: Floats
    paid: Floats
    fee: Floats
    most: Floats
    arrival: Ints
    there: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """R ways to revise orders when a plan is made again; each is a column (see `revised.py`).

    names                what each is called
    order, open_order    column of the book, or open order; -1                          [R]
    deferred             months the open order was deferred                             [R]
    month                in which it is decided                                         [R]
    offer, option        whose units they become, and which change that is; -1: cancelled   [R]
    counts               month the new order counts from                                [R]
    fee, share           lost of the old price; of the old order's units at most        [R] [1]
    arrival, there       of the new units in each draw; whether they ever come in it    [N, R]
    """

    names: tuple[tuple[str | int, ...], ...]
    order: Ints
    open_order: Ints
    deferred: Ints
    month: Ints
    offer: Ints
    option: Ints
    counts: Ints
    fee: Floats
    share: Floats
    arrival: Ints
    there: Bools


def sizes(market: Market, orders: Book) -> Sizes:
    """Groups of the offers that have a least order or multiples."""
    offers = market.scenario.offers
    bound = np.array([f.least > 1 or f.multiple > 1 for f in offers], dtype=bool)
    of_order = np.full(len(orders.offer), -1, dtype=np.int64)
    mine = np.flatnonzero(bound[orders.offer]) if len(offers) else np.zeros(0, dtype=np.int64)
    table = np.column_stack([orders.offer, orders.owner, orders.month])[mine].reshape(-1, 3)
    groups, of = np.unique(table, axis=0, return_inverse=True)
    of_order[mine] = of.reshape(-1)
    most = np.bincount(of.reshape(-1), weights=orders.most[mine], minlength=len(groups)).astype(np.float64)
    return Sizes(of_order=of_order, offer=groups[:, 0].astype(np.int64), most=most)


def add_sizes(x: Members, market: Market, found: Sizes) -> None:
    """Whether a group orders at all, and how many multiples."""
    multiple = np.array([float(f.multiple) for f in market.scenario.offers])[found.offer]
    least = np.array([f.least > 1 for f in market.scenario.offers], dtype=bool)[found.offer]
    x.add("placed", least, upper=1.0, integer=True)
    x.add("lots", multiple > 1, upper=np.floor(found.most / np.maximum(multiple, 1.0)), integer=True)


def swaps(market: Market, draws: Draws, held: set[tuple[int, int]]) -> Swaps:
    """Every change that arrives within the horizon as quoted, at an owner who can install it."""
    index, rows, money = Index.of(market), [], []
    offers = {f.id: i for i, f in enumerate(market.scenario.offers)}
    for q, order in enumerate(market.scenario.open_orders):
        for i, change in enumerate(order.change):
            f = offers[change.to]
            open_in = np.flatnonzero(market.can_order[f])
            o, k = index.owner[order.owner], index.system[market.scenario.offers[f].system]
            if len(open_in) and (o, k) in held:
                t = int(open_in[0])
                if t + draws.lead[0, f, t] < min(market.months, int(draws.barred[0, f])):
                    rows.append((q, i, f, o, k, t))
                    left = order.price * (order.paid - change.fee)
                    money.append((market.price[f, t], max(left, 0.0), max(-left, 0.0),
                                  np.floor(change.most * order.units + 1e-9)))
    table = np.array(rows, dtype=np.int64).reshape(-1, 6)
    usd = np.array(money, dtype=np.float64).reshape(-1, 4)
    arrival = table[:, 5] + draws.lead[:, table[:, 2], table[:, 5]]
    there = arrival < draws.barred[:, table[:, 2]]
    return Swaps(order=table[:, 0], option=table[:, 1], offer=table[:, 2], owner=table[:, 3], system=table[:, 4],
                 month=table[:, 5], price=usd[:, 0], paid=usd[:, 1], fee=usd[:, 2], most=usd[:, 3],
                 arrival=np.where(there, arrival, NEVER), there=there)
