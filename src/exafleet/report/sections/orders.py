"""What to do: the order book by month, what becomes of open orders, and what to rent."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exafleet.plan.plan import Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Column, Table, month_names
from exafleet.terms import format as words
from exafleet.terms.calendar import month_name


def order_book(plan: Plan) -> Table:
    """Every order of the plan, in the order it is placed."""
    market = plan.market
    suppliers = {o.id: o.supplier for o in market.scenario.offers}
    chips = dict(zip(market.systems, market.chips, strict=True))
    rows: list[tuple[Cell, ...]] = []
    bars: dict[tuple[str, str], float] = defaultdict(float)
    for order in sorted(plan.orders, key=lambda o: (o.month, o.owner, o.system, o.offer)):
        rows.append((market.start + order.month, order.owner, order.system, suppliers[order.offer], order.units,
                     order.units * float(chips[order.system]), order.price, order.units * order.price,
                     market.start + order.arrival, "queue premium paid" if order.queued else ""))
        bars[month_name(market.start + order.month), order.system] += order.units * order.price / 1e6
    total = sum(o.units * o.price for o in plan.orders)
    return Table(
        id="orders", title="Order book",
        lead=f"{len(plan.orders)} order{'' if len(plan.orders) == 1 else 's'} worth {words.money(total)} before "
             "freight and discounting.",
        empty="Order nothing: no order lowers the expected cost.",
        columns=(Column(title="Order in", kind="month"), Column(title="Owner"), Column(title="System"),
                 Column(title="Supplier"), Column(title="Units", kind="count"), Column(title="Chips", kind="count"),
                 Column(title="Price each", kind="money"), Column(title="Total", kind="money"),
                 Column(title="Arrives (quoted)", kind="month"), Column(title="Note")),
        rows=tuple(rows),
        charts=(("", charts.bars([{"month": m, "system": s, "value": v} for (m, s), v in sorted(bars.items())],
                                 month_names(plan), "value", "ordered, million USD", "system")),),
    )


def open_orders(plan: Plan) -> Table:
    """Orders that stood before the plan began: kept, deferred or cancelled."""
    start = plan.market.start
    rows: list[tuple[Cell, ...]] = []
    for kept in plan.kept:
        for month, units, later in kept.arrivals:
            what = f"defer by {later} months" if later else "keep"
            rows.append((kept.order, kept.owner, kept.system, what, units, start + month))
        if kept.cancelled:
            rows.append((kept.order, kept.owner, kept.system, "cancel", kept.cancelled, None))
    return Table(
        id="open-orders", title="Orders already placed", lead="What becomes of each order that stood at the start.",
        empty="No order stood at the start.",
        columns=(Column(title="Order"), Column(title="Owner"), Column(title="System"), Column(title="Decision"),
                 Column(title="Units", kind="count"), Column(title="Arrives (quoted)", kind="month")),
        rows=tuple(rows),
    )


def rentals(plan: Plan) -> Table:
    """Reserved contracts to sign, and on-demand rent in the base draw."""
    market = plan.market
    rows: list[tuple[Cell, ...]] = [
        (c.owner, c.rental, c.system, "reserve", market.start + c.signed, market.start + c.first, market.start + c.last,
         c.chips, c.price)
        for c in plan.contracts]
    for r, rental in enumerate(market.scenario.rentals):
        for o, owner in enumerate(market.scenario.owners):
            used = plan.rented[0, r, o]
            for first, last in _runs(used > 0.5):
                chips = float(used[first:last + 1].mean())
                price = float(market.rental_price[r, first:last + 1].mean())
                rows.append((owner.id, rental.id, rental.system, "on demand", None, market.start + first,
                             market.start + last, chips, price))
    return Table(
        id="rentals", title="Renting", lead="Contracts to sign now and capacity to take on demand (base draw).",
        empty="Rent nothing.",
        columns=(Column(title="Owner"), Column(title="Rental"), Column(title="System"), Column(title="How"),
                 Column(title="Sign in", kind="month"), Column(title="From", kind="month"),
                 Column(title="To", kind="month"), Column(title="Chips", kind="count"),
                 Column(title="Price", kind="rent")),
        rows=tuple(sorted(rows, key=lambda r: (str(r[0]), int(r[5] or 0), str(r[1])))),
    )


def _runs(mask: object) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, dtype=np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
