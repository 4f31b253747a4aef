"""The answer in a minute: a few sentences and a few large numbers, each taken from the plan."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.plan.plan import Plan
from exafleet.report.sections import worth
from exafleet.terms.said import said

Card = tuple[str, str, str]


def sentences(plan: Plan) -> tuple[str, ...]:
    """What to do now, what comes of it, what holds it back."""
    return tuple(s for s in (_first_orders(plan), _orders(plan), _renting(plan), *_runs(plan), worth.headline(plan),
                             _risk(plan), *plan.notes) if s)


def cards(plan: Plan) -> tuple[Card, ...]:
    """Label, value and small print of the numbers people look for first."""
    spent = sum(o.units * o.price for o in plan.orders)
    units = sum(o.units for o in plan.orders)
    chips = dict(zip(plan.market.systems, plan.market.chips, strict=True))
    bought = sum(o.units * float(chips[o.system]) for o in plan.orders)
    runs = [j for j, job in enumerate(plan.market.scenario.jobs) if isinstance(job, TrainJob)]
    done = sum(1 for j in runs if plan.finish[0, j] >= 0)
    found: list[Card] = [
        (said("card.cost"), _money(float(plan.expected.total)), said("card.draws", n=plan.draws.count)),
        (said("card.ordered"), _money(spent), said("card.units", n=units, chips=bought)),
        (said("card.paid"), _money(float(plan.cash[0].sum())), said("card.months", n=plan.market.months)),
    ]
    if runs:
        found.append((said("card.runs"), said("card.done", done=done, runs=len(runs)), said("card.within")))
    if plan.power.size:
        peak = plan.power[0].sum(axis=0)
        month = int(np.argmax(peak))
        found.append((said("card.power"), said("amount.power", value=float(peak[month])),
                      said("amount.month", value=plan.market.start + month)))
    return tuple(found)


def _first_orders(plan: Plan) -> str:
    if not plan.orders:
        return ""
    first = min(o.month for o in plan.orders)
    now = [said("summary.order queued" if o.queued else "summary.order", units=o.units, system=o.system, owner=o.owner)
           for o in plan.orders if o.month == first]
    return said("summary.first orders", month=plan.market.start + first, orders=now)


def _orders(plan: Plan) -> str:
    by_system: dict[str, int] = defaultdict(int)
    for order in plan.orders:
        by_system[order.system] += order.units
    if not by_system:
        return said("orders.empty")
    ranked = sorted(by_system.items(), key=lambda kv: (-kv[1], kv[0]))
    return said("summary.orders", systems=[said("summary.system", units=n, system=s) for s, n in ranked])


def _renting(plan: Plan) -> str:
    signed = sum(c.chips for c in plan.contracts)
    peak = float(plan.rented[0].sum(axis=(0, 1)).max(initial=0.0)) if plan.rented.size else 0.0
    what = ("both" if peak >= 0.5 else "reserve") if signed else "rent"
    return said(f"summary.renting.{what}", signed=signed, peak=peak) if signed or peak >= 0.5 else ""


def _runs(plan: Plan) -> list[str]:
    told: list[str] = []
    for j, job in enumerate(plan.market.scenario.jobs):
        if not isinstance(job, TrainJob):
            continue
        run = next((p for p in plan.placements if p.job == job.id), None)
        finish = int(plan.finish[0, j])
        if run is None:
            told.append(said("summary.run.not run", job=job.id))
            continue
        late = finish >= 0 and plan.market.start + finish > job.due
        told.append(said("summary.run." + ("late" if late else "done" if finish >= 0 else "never"), job=job.id,
                         chips=run.chips, system=run.system, place=run.place, start=plan.market.start + run.start,
                         end=plan.market.start + finish, due=job.due))
    return told


def _risk(plan: Plan) -> str:
    if plan.draws.count < 2:
        return ""
    total = plan.cost.total
    return said("summary.risk", n=plan.draws.count, low=float(total.min()), high=float(total.max()))


def _money(value: float) -> str:
    return said("amount.money", value=value)
