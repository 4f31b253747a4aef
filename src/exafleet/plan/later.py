"""What may still be decided about orders as things arrive: cancel, defer, order again. One set of columns for all.

A column stands for one month of decision and one month of arrival, so that what it pays and when is the same in every
draw; in a draw where those two months do not belong together its upper bound is zero. The plan is looked at again every
`react` months; in between nothing is decided. Without `react` there is no column here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.plan.blocks import Members
from exafleet.plan.book import Book
from exafleet.plan.instalments import longest_ahead
from exafleet.plan.sets import Index

KINDS = ("cut", "reorder", "open cut", "open late")


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """U orders that may be cancelled, V further orders, Q open orders by month of arrival (T: after the end).

    reviews      months in which the plan is looked at again
    cut_order    order (column of the book)                                            [U]
    cut_month    month of cancelling: the last review before it would arrive           [U]
    cut_arrival  month it would arrive; past T only as far as instalments ahead of it make a difference  [U]
    new_offer, new_owner, new_system, new_month, new_arrival, new_price, new_most      [V]
    new_slot     month of quoted arrival, in which it counts against supply            [V]
    open_month   last review before each month of arrival; -1 where there is none      [T + 1]
    """

    reviews: Ints
    cut_order: Ints
    cut_month: Ints
    cut_arrival: Ints
    new_offer: Ints
    new_owner: Ints
    new_system: Ints
    new_month: Ints
    new_arrival: Ints
    new_slot: Ints
    new_price: Floats
    new_most: Floats
    open_month: Ints


def later(market: Market, draws: Draws, orders: Book, holder_owner: Ints, holder_system: Ints) -> Later:
    """Everything that can be decided later in at least one draw."""
    react, months = market.scenario.risk.react, market.months
    reviews = np.arange(react, months, react) if react else np.zeros(0, dtype=np.int64)
    last = last_review(reviews, np.arange(months + 1))
    held = {(int(o), int(k)) for o, k in zip(holder_owner, holder_system, strict=True)}
    cut, new = _cuts(market, orders, last), _orders(market, draws, reviews, held)
    offer, owner, system, month, arrival = new.T
    slot = month + draws.lead[0, offer, month]
    total = np.array([f.total for f in market.scenario.offers])[offer]
    most = np.floor(np.minimum(market.supply[offer, slot], total) + 1e-9)
    return Later(reviews=reviews, cut_order=cut[:, 0], cut_month=cut[:, 1], cut_arrival=cut[:, 2], new_offer=offer,
                 new_owner=owner, new_system=system, new_month=month, new_arrival=arrival,
                 new_slot=slot, new_price=market.price[offer, month], new_most=most, open_month=last)


def last_review(reviews: Ints, months: Ints) -> Ints:
    """The last review before each month; -1 where there is none."""
    at = np.searchsorted(reviews, months, side="left") - 1
    return np.where(at >= 0, np.append(reviews, -1)[at], -1)


def _cuts(market: Market, orders: Book, last: Ints) -> Ints:
    """(order, month of cancelling, month of arrival): only where cancelling does not cost the whole price."""
    offers = market.scenario.offers
    saves = np.array([f.cancel < 1.0 or f.fitting > 0 for f in offers], dtype=bool)
    arrival = np.minimum(orders.arrival, market.months + longest_ahead(market))
    rows = [(c, int(last[min(a, market.months)]), int(a)) for c in np.flatnonzero(saves[orders.offer])
            for a in np.unique(arrival[:, c]) if last[min(a, market.months)] > orders.month[c]]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _orders(market: Market, draws: Draws, reviews: Ints, held: set[tuple[int, int]]) -> Ints:
    """(offer, owner, system, month, arrival): at a review, from an offer still open, in time as quoted."""
    index, rows = Index.of(market), []
    for f, offer in enumerate(market.scenario.offers):
        k = index.system[offer.system]
        for t in reviews[market.can_order[f, reviews]].tolist():
            if t + draws.lead[0, f, t] < market.months and offer.total > 0:
                arrivals = np.unique(t + draws.lead[:, f, t])
                rows += [(f, o, k, t, a) for o in np.flatnonzero(market.offered[f]) if (int(o), k) in held
                         for a in arrivals[arrivals < market.months]]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def add_columns(y: Members, market: Market, draws: Draws, orders: Book, found: Later) -> list[tuple[Ints, Floats]]:
    """The columns of `found`, and their upper bounds where these differ by draw: (columns, [N, columns])."""
    cut = y.add("cut", np.ones(len(found.cut_order), dtype=bool), upper=orders.most[found.cut_order])
    lead = draws.lead[:, found.new_offer, found.new_month]
    most = found.new_most
    new = y.add("reorder", np.ones(len(found.new_offer), dtype=bool), upper=most)
    units = np.array([float(q.units) for q in market.scenario.open_orders])
    come = _may_come(market, orders, found)
    open_cut = y.add("open cut", come, upper=units[:, None])
    waits = come & (np.arange(market.months + 1) < market.months)
    open_late = y.add("open late", waits, upper=units[:, None])
    promised = np.array([f.framework.units if f.framework else 0.0 for f in market.scenario.offers])
    y.add("not ordered", promised > 0, upper=promised)
    arrival = np.minimum(orders.arrival[:, found.cut_order], market.months + longest_ahead(market))
    barred, comes = draws.barred[:, found.new_offer], orders.paid[:, found.cut_order] > 0
    caps = [(cut, np.where((arrival == found.cut_arrival) & comes, orders.most[found.cut_order], 0.0)),
            (new, np.where((found.new_month + lead == found.new_arrival) & (found.new_arrival < barred), most, 0.0))]
    caps += [(block[block >= 0], (_open(market, orders, draws, longest) * units[:, None])[:, block >= 0])
             for block, longest in ((open_cut, True), (open_late, False))]
    return [(columns, by_draw) for columns, by_draw in caps if len(columns)]


def _may_come(market: Market, orders: Book, found: Later) -> Bools:
    """Months in which units of an open order can come in some draw, after a review. [Q, T + 1]"""
    first = orders.due[:, :, 0].min(axis=0, initial=market.months)[:, None]
    return np.asarray((found.open_month >= 0) & (np.arange(market.months + 1) >= first))


def _open(market: Market, orders: Book, draws: Draws, arrives: bool) -> Floats:
    """1 where units of an open order can arrive, or be made to wait one month more, in each draw. [N, Q, T + 1]"""
    most = np.array([q.most_deferral for q in market.scenario.open_orders], dtype=np.int64)
    first = np.minimum(orders.due[:, :, :1], market.months)
    month = np.arange(market.months + 1)
    comes = ~orders.barred[:, :, :1] & (month + (not arrives) < draws.barred_open[:, :, None])
    return np.asarray((month >= first) & (month < first + most[:, None] + arrives) & comes, dtype=np.float64)
