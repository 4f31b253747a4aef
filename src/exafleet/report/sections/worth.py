"""Which rule binds, and what one more MW, one more rack, one month earlier or a place up the queue would be worth.

The prices are duals of the recourse problems: worth of the first extra unit, everything ordered held fixed.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exafleet.plan.plan import Binding, Plan
from exafleet.report.table import Cell, Table, column
from exafleet.terms.said import named, said

FEW_MW = 5.0   # sites below this many MW think in kW
LEAST_WORTH = 0.01   # of one more USD [USD]: below, money is not what holds a plan back


def binding(plan: Plan, most: int = 12) -> Table:
    """Rules that bind, dearest first: months joined, prices summed over the months."""
    groups: dict[tuple[str, str, str], list[Binding]] = defaultdict(list)
    for rule in plan.binding:
        groups[rule.rule, rule.place, rule.unit].append(rule)
    start = plan.market.start
    rows: list[tuple[Cell, ...]] = sorted(
        ((named("rule", rule), place, start + min(b.month for b in found), start + max(b.month for b in found),
          len(found), *_more(unit, max(b.limit for b in found), sum(b.price for b in found)))
         for (rule, place, unit), found in groups.items()
         if unit != "USD" or sum(b.price for b in found) >= LEAST_WORTH),
        key=lambda r: (-float(r[6] or 0), str(r[0]), str(r[1])))
    return Table(
        id="binding", title=said("binding.title"), how=said("binding.how"),
        lead=said("binding.lead"), empty=said("binding.empty"),
        columns=(column("rule"), column("at"), column("first", "month"), column("last", "month"),
                 column("months", "count"), column("one more is"), column("worth", "money")),
        rows=tuple(rows[:most]), origins=tuple(_limits(str(r[0]), str(r[1])) for r in rows[:most]),
    )


def _more(unit: str, limit: float, price: float) -> tuple[str, float]:
    """What one more is, and its worth: a kW where the whole limit is a few MW. limit in `unit`, price per `unit`"""
    small = unit == "MW" and limit < FEW_MW
    return named("one-more-unit", "kW" if small else unit), price / (1e3 if small else 1.0)


# Which key of the scenario sets the limit of a rule.
_LIMITS = {"power": "sites.{}.power", "install rate": "sites.{}.install_rate", "supply": "offers.{}.supply",
           "offer total": "offers.{}.total", "queue": "offers.{}.queue.places", "rental": "rentals.{}.most",
           "reserved rental": "rentals.{}.most", "budget": "owners.{}.budget", "cash": "owners.{}.budget",
           "resale": "scenario.resale_most"}


def _limits(rule: str, place: str) -> tuple[str, ...]:
    return (_LIMITS[rule].format(place),) if rule in _LIMITS else ()


def one_more(plan: Plan) -> Table:
    """One more MW at each site; one more unit, and the same unit a month earlier, of each system that can be had."""
    market = plan.market
    rows: list[tuple[Cell, ...]] = []
    for s, site in enumerate(market.scenario.sites):
        worth = plan.power_value[s] * 1e6
        if worth.max(initial=0.0) > 0:
            small = float(market.power[s].max()) / 1e6 < FEW_MW
            rows.append((said("one-more.kW" if small else "one-more.MW", site=site.id), "",
                         market.start + int(np.argmax(worth)), float(worth.sum()) / (1e3 if small else 1.0), None))
    wanted = {offer.system for offer in market.scenario.offers} | {q.system for q in market.scenario.open_orders}
    for k, system in enumerate(market.systems):
        if system in wanted and len(market.scenario.owners):
            first = min((o.arrival for o in plan.orders if o.system == system), default=_first_arrival(plan, system))
            values = plan.rack_value[:, k, first]
            owner = int(np.argmax(np.nan_to_num(values, nan=-np.inf)))
            rows.append((f"{system}", market.scenario.owners[owner].id, market.start + first, float(values[owner]),
                         float(plan.month_earlier[owner, k, first])))
    return Table(
        id="one-more", title=said("one-more.title"), how=said("one-more.how"),
        lead=said("one-more.lead"), empty=said("one-more.empty"),
        columns=(column("one more"), column("for"), column("month", "month"), column("worth", "money"),
                 column("a month earlier", "money")),
        rows=tuple(rows),
    )


def _first_arrival(plan: Plan, system: str) -> int:
    """First month index a unit could arrive as quoted, within the horizon."""
    market = plan.market
    months = [int(t + plan.draws.lead[0, f, t]) for f, offer in enumerate(market.scenario.offers)
              if offer.system == system for t in np.flatnonzero(market.can_order[f])]
    return min([*months, market.months - 1])


def queue(plan: Plan) -> Table:
    """The highest premium worth paying for a better place in each supplier's queue."""
    market = plan.market
    rows: list[tuple[Cell, ...]] = []
    keys: list[tuple[str, ...]] = []
    for f, offer in enumerate(market.scenario.offers):
        premium = plan.premium[f]
        open_months = np.flatnonzero(np.isfinite(premium))
        if len(open_months) == 0:
            continue
        keys.append(tuple(f"offers.{offer.id}.{term}" for term in ("queue.premium", "queue.sooner", "price")))
        best = int(open_months[np.argmax(premium[open_months])])
        quoted = offer.queue.premium if offer.queue else None
        first = int(open_months[0])
        rows.append((offer.id, float(market.sooner[f]) if offer.queue else 1.0, quoted,
                     float(premium[first]), market.start + best, float(premium[best]),
                     "" if quoted is None else said("queue.pay" if premium[best] > quoted else "queue.do not pay")))
    return Table(
        id="queue", title=said("queue.title"), how=said("queue.how"),
        lead=said("queue.lead"), empty=said("queue.empty"),
        columns=(column("offer"), column("months sooner", "number"), column("quoted", "share"),
                 column("worth at first", "share"), column("best month", "month"), column("worth then", "share"),
                 column("so")),
        rows=tuple(rows), origins=tuple(keys),
    )


def headline(plan: Plan) -> str:
    """One sentence on the dearest rule; on money where no rule binds but there is not enough of it."""
    table = binding(plan, most=1)
    if not table.rows or table.rows[0][0] == named("rule", "cash"):
        return _scarce_money(plan)
    rule, place, *_, more, worth = table.rows[0]
    return said("binding.dearest", rule=rule, place=place, more=more, worth=float(worth or 0))


def _scarce_money(plan: Plan) -> str:
    value = plan.budget_value
    if not value.size or value.max() < LEAST_WORTH:
        return said("binding.none")
    owner, month = np.unravel_index(int(np.argmax(value)), value.shape)
    return said("binding.money", owner=plan.market.scenario.owners[int(owner)].id, month=plan.market.start + int(month),
                worth=float(value[owner, month]))
