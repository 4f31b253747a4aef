"""The answer in a minute: a few sentences and a few large numbers, each taken from the plan."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.plan.plan import Plan
from exafleet.report.sections import worth
from exafleet.terms import format as words
from exafleet.terms.calendar import month_name

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
        ("Net present cost", words.money(float(plan.expected.total)), f"mean of {plan.draws.count} draws"),
        ("Ordered", words.money(spent), f"{words.count(units)} units, {words.count(bought)} chips"),
        ("Paid out", words.money(float(plan.cash[0].sum())), f"over {plan.market.months} months, base draw"),
    ]
    if runs:
        found.append(("Training runs done", f"{done} of {len(runs)}", "within the horizon, base draw"))
    if plan.power.size:
        peak = plan.power[0].sum(axis=0)
        month = int(np.argmax(peak))
        found.append(("Peak power", words.power(float(peak[month])), month_name(plan.market.start + month)))
    return tuple(found)


def _first_orders(plan: Plan) -> str:
    if not plan.orders:
        return ""
    first = min(o.month for o in plan.orders)
    now = [f"{words.count(o.units)} {o.system} for {o.owner}{' with the queue premium' if o.queued else ''}"
           for o in plan.orders if o.month == first]
    return f"In {month_name(plan.market.start + first)} order {', '.join(now)}."


def _orders(plan: Plan) -> str:
    by_system: dict[str, int] = defaultdict(int)
    for order in plan.orders:
        by_system[order.system] += order.units
    if not by_system:
        return "Order nothing: no order lowers the expected cost."
    listed = ", ".join(f"{words.count(n)} {s}" for s, n in sorted(by_system.items(), key=lambda kv: (-kv[1], kv[0])))
    return f"Over the horizon order {listed}."


def _renting(plan: Plan) -> str:
    signed = sum(c.chips for c in plan.contracts)
    peak = float(plan.rented[0].sum(axis=(0, 1)).max(initial=0.0)) if plan.rented.size else 0.0
    parts = [f"reserve {words.count(signed)} rented chips"] if signed else []
    parts += [f"rent up to {words.count(peak)} chips on demand"] if peak >= 0.5 else []
    return (" and ".join(parts)).capitalize() + "." if parts else ""


def _runs(plan: Plan) -> list[str]:
    told = []
    for j, job in enumerate(plan.market.scenario.jobs):
        if not isinstance(job, TrainJob):
            continue
        run = next((p for p in plan.placements if p.job == job.id), None)
        finish = int(plan.finish[0, j])
        if run is None:
            told.append(f"{job.id} is not run.")
            continue
        when = f"is done in {month_name(plan.market.start + finish)}" if finish >= 0 else "is not done in time"
        late = finish >= 0 and plan.market.start + finish > job.due
        told.append(f"{job.id} runs on {words.count(run.chips)} {run.system} chips at {run.place} from "
                    f"{month_name(plan.market.start + run.start)} and {when}"
                    + (f", after its due month {month_name(job.due)}." if late else "."))
    return told


def _risk(plan: Plan) -> str:
    if plan.draws.count < 2:
        return ""
    total = plan.cost.total
    low, high = float(total.min()), float(total.max())
    return (f"Over {plan.draws.count} draws of late deliveries the net present cost lies between "
            f"{words.money(low)} and {words.money(high)}.")
