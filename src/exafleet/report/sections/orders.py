"""What to do: the order book by month, what becomes of open orders, and what to rent."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exafleet.market.draws import NEVER
from exafleet.plan.plan import Order, Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Table, column, month_names
from exafleet.terms.calendar import month_name
from exafleet.terms.said import named, said


def order_book(plan: Plan) -> Table:
    """Every order of the plan, in the order it is placed."""
    market = plan.market
    suppliers = {o.id: o.supplier for o in market.scenario.offers}
    chips = dict(zip(market.systems, market.chips, strict=True))
    rows: list[tuple[Cell, ...]] = []
    bars: dict[tuple[str, str], float] = defaultdict(float)
    placed = sorted(plan.orders, key=lambda o: (o.month, o.owner, o.system, o.offer))
    for order in placed:
        rows.append((market.start + order.month, order.owner, order.system, suppliers[order.offer], order.units,
                     order.units * float(chips[order.system]), order.price, order.units * order.price,
                     market.start + order.arrival, _note(order)))
        bars[month_name(market.start + order.month), order.system] += order.units * order.price / 1e6
    total = sum(o.units * o.price for o in plan.orders)
    return Table(
        id="orders", title=said("orders.title"), how=said("orders.how"),
        lead=said("orders.lead", n=len(plan.orders), total=total),
        empty=said("orders.empty"),
        columns=(column("order in", "month"), column("owner"), column("system"), column("supplier"),
                 column("units", "count"), column("chips", "count"), column("price each", "money"),
                 column("total", "money"), column("arrives quoted", "month"), column("note")),
        rows=tuple(rows), origins=tuple(_offer_keys(o) for o in placed),
        charts=(("", charts.bars([{"month": m, "system": s, "value": v} for (m, s), v in sorted(bars.items())],
                                 month_names(plan), "value", said("orders.picture"), "system")),),
    )


def _offer_keys(order: Order) -> tuple[str, ...]:
    name = f"offers.{order.offer}"
    return (f"{name}.price", f"{name}.lead", f"{name}.deposit", *([f"{name}.queue.premium"] if order.queued else []))


def _note(order: Order) -> str:
    if not order.queued:
        return ""
    return said("orders.queued") if order.place == 1 else said("orders.place", n=order.place)


def open_orders(plan: Plan) -> Table:
    """Orders that stood before the plan began: kept, deferred or cancelled."""
    start = plan.market.start
    rows: list[tuple[Cell, ...]] = []
    for kept in plan.kept:
        for month, units, later in kept.arrivals:
            what = said("open-orders.defer", n=later) if later else said("open-orders.keep")
            when = start + month if month < NEVER else None  # a ban that is certain
            rows.append((kept.order, kept.owner, kept.system, what, units, when))
        rows += [(kept.order, kept.owner, kept.system, said("open-orders.change", offer=offer), units, start + month)
                 for offer, units, month in kept.changed]
        if kept.cancelled:
            rows.append((kept.order, kept.owner, kept.system, said("open-orders.cancel"), kept.cancelled, None))
    return Table(
        id="open-orders", title=said("open-orders.title"), how=said("open-orders.how"),
        lead=said("open-orders.lead"),
        empty=said("open-orders.empty"),
        columns=(column("order"), column("owner"), column("system"), column("decision"), column("units", "count"),
                 column("arrives quoted", "month")),
        rows=tuple(rows), origins=tuple(_of(f"open_orders.{r[0]}", ("price", "paid", "cancel", "slip")) for r in rows),
    )


def changes(plan: Plan) -> Table:
    """What would be done about orders as things arrive, by month of the look at the order book: base, mean, most."""
    market = plan.market
    share = plan.draws.probability
    sums: dict[tuple[int, str, str, str, str], np.ndarray] = defaultdict(lambda: np.zeros(len(share)))
    for change in plan.changes:
        month = change.month if change.kind != "defer" else change.arrival
        sums[month, change.owner, change.what, change.system, change.kind] += np.array(change.units)
    rows: list[tuple[Cell, ...]] = [
        (market.start + month, owner, named("change", kind), what, system, float(units[0]), float(share @ units),
         float(units.max()), float(share[units > 1e-6].sum()))
        for (month, owner, what, system, kind), units in sorted(sums.items())]
    return Table(
        id="changes", title=said("changes.title"), how=said("changes.how"),
        lead=said("changes.lead", n=market.scenario.risk.react),
        empty=said("changes.empty"),
        columns=(column("month", "month"), column("owner"), column("what"), column("order"), column("system"),
                 column("base draw", "number"), column("mean", "number"), column("most", "number"),
                 column("likely", "share")),
        rows=tuple(rows),
    )


def rentals(plan: Plan) -> Table:
    """Reserved contracts to sign, and on-demand rent in the base draw."""
    market = plan.market
    rows: list[tuple[Cell, ...]] = [
        (c.owner, c.rental, c.system, said("rentals.reserve"), market.start + c.signed, market.start + c.first,
         market.start + c.last, c.chips, c.price)
        for c in plan.contracts]
    for r, rental in enumerate(market.scenario.rentals):
        for o, owner in enumerate(market.scenario.owners):
            used = plan.rented[0, r, o]
            for first, last in _runs(used > 0.5):
                chips = float(used[first:last + 1].mean())
                price = float(market.rental_price[r, first:last + 1].mean())
                rows.append((owner.id, rental.id, rental.system, said("rentals.on demand"), None, market.start + first,
                             market.start + last, chips, price))
    ranked = sorted(rows, key=lambda r: (str(r[0]), int(r[5] or 0), str(r[1])))
    return Table(
        id="rentals", title=said("rentals.title"), how=said("rentals.how"),
        lead=said("rentals.lead"), empty=said("rentals.empty"),
        columns=(column("owner"), column("rental"), column("system"), column("how"), column("sign in", "month"),
                 column("from", "month"), column("to", "month"), column("chips", "count"), column("price", "rent")),
        rows=tuple(ranked), origins=tuple(_of(f"rentals.{r[1]}", ("price", "most", "wait")) for r in ranked),
    )


def _of(record: str, terms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{record}.{term}" for term in terms)


def _runs(mask: object) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, dtype=np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
