"""A plan and its rates as rows for the store: plain dictionaries in the order of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.market.draws import NEVER
from exafleet.terms.calendar import month_name
from exafleet.terms.why import Why

if TYPE_CHECKING:
    from exafleet.fleet.rates import Rates
    from exafleet.plan.plan import Contract, Kept, Order, Placement, Plan

Row = dict[str, Any]
WAREHOUSE = "(warehouse)"
_NEGLIGIBLE = 1e-6


def cost_rows(plan: Plan) -> list[Row]:
    """Present cost by part: expected, and with deliveries as quoted. [USD]"""
    base = plan.cost.at(0).as_dict()
    return [{"part": p, "expected": v, "base": base[p]} for p, v in plan.expected.as_dict().items()]


def rate_rows(rates: Rates) -> list[Row]:
    """One row per (job, system, size) that was looked at."""
    places = np.argwhere(rates.sizes > 0)
    return [_rate(rates, int(j), int(k), int(z)) for j, k, z in places]


def _rate(rates: Rates, j: int, k: int, z: int) -> Row:
    at = (j, k, z)
    return {
        "job": rates.jobs[j],
        "system": rates.systems[k],
        "size": int(rates.sizes[at]),
        "unit": rates.units[j],
        "work_per_s": float(rates.work_per_s[at]),
        "low": float(rates.low[at]),
        "high": float(rates.high[at]),
        "power": float(rates.power[at]),
        "goodput": float(rates.goodput[at]),
        "mfu": float(rates.mfu[at]),
        "why": Why(int(rates.why[at])).name,
        "layout": rates.layout[j][k][z],
    }


def plan_rows(plan: Plan) -> list[Row]:
    """The order book by month: orders, what becomes of open orders, contracts, training runs."""
    start = plan.market.start
    rows = [_order(o, start) for o in plan.orders]
    rows += [row for kept in plan.kept for row in _kept(kept, start)]
    rows += [_contract(c, start) for c in plan.contracts]
    rows += [_placement(p, start) for p in plan.placements]
    rows.sort(key=lambda row: (row["month"], row["action"], row["owner"], row["subject"], row["place"]))
    return [{"line": number, **row} for number, row in enumerate(rows, start=1)]


def _order(o: Order, start: int) -> Row:
    detail = f"arrives {month_name(start + o.arrival)}" + (", queue premium paid" if o.queued else "")
    return {
        "action": "order",
        "month": month_name(start + o.month),
        "owner": o.owner,
        "subject": o.offer,
        "system": o.system,
        "place": "",
        "amount": o.units,
        "unit": "unit",
        "price": o.price,
        "price_unit": "USD/unit",
        "detail": detail,
    }


def _kept(k: Kept, start: int) -> Iterator[Row]:
    same = {
        "owner": k.owner,
        "subject": k.order,
        "system": k.system,
        "place": "",
        "unit": "unit",
        "price": None,
        "price_unit": "",
    }
    for month, units, deferred in k.arrivals:
        yield {
            **same,
            "action": "defer" if deferred else "keep",
            "month": month_name(start + month) if month < NEVER else "",
            "amount": units,
            "detail": f"{deferred} months later" if deferred else "",
        }
    if k.cancelled:
        yield {**same, "action": "cancel", "month": month_name(start), "amount": k.cancelled, "detail": ""}


def _contract(c: Contract, start: int) -> Row:
    return {
        "action": "contract",
        "month": month_name(start + c.signed),
        "owner": c.owner,
        "subject": c.rental,
        "system": c.system,
        "place": "",
        "amount": c.chips,
        "unit": "GPU",
        "price": c.price,
        "price_unit": "USD/s",
        "detail": f"{month_name(start + c.first)} to {month_name(start + c.last)}",
    }


def _placement(p: Placement, start: int) -> Row:
    return {
        "action": "train",
        "month": month_name(start + p.start),
        "owner": p.owner,
        "subject": p.job,
        "system": p.system,
        "place": p.place,
        "amount": p.chips,
        "unit": "GPU",
        "price": None,
        "price_unit": "",
        "detail": f"{p.months} months" + (" in rented accelerators" if p.rented else ""),
    }


def ledger_rows(plan: Plan) -> list[Row]:
    """Chips by owner, place, system and month with deliveries as quoted: had, used, and lent to other owners."""
    owners = [o.id for o in plan.market.scenario.owners]
    job_owner = np.array([owners.index(j.owner) for j in plan.market.scenario.jobs], dtype=np.int64)
    return [
        *_holder_rows(plan, owners, job_owner),
        *_warehouse_rows(plan, owners),
        *_rental_rows(plan, owners, job_owner),
    ]


def _holder_rows(plan: Plan, owners: list[str], job_owner: Any) -> Iterator[Row]:
    m = plan.market
    for h, (o, s, k) in enumerate(zip(plan.holder_owner, plan.holder_site, plan.holder_system, strict=True)):
        use = plan.use[0, :, h, :]
        yield from _months(
            plan,
            owner=owners[o],
            place=m.scenario.sites[s].id,
            rented=False,
            system=m.systems[k],
            chips=plan.installed[0, h] * m.chips[k],
            used=use.sum(axis=0),
            lent=use[job_owner != o].sum(axis=0),
        )


def _warehouse_rows(plan: Plan, owners: list[str]) -> Iterator[Row]:
    none = np.zeros(plan.market.months)
    for o, owner in enumerate(owners):
        for k, system in enumerate(plan.market.systems):
            yield from _months(
                plan,
                owner=owner,
                place=WAREHOUSE,
                rented=False,
                system=system,
                chips=plan.warehouse[0, o, k] * plan.market.chips[k],
                used=none,
                lent=none,
            )


def _rental_rows(plan: Plan, owners: list[str], job_owner: Any) -> Iterator[Row]:
    first = len(plan.holder_owner)
    for r, rental in enumerate(plan.market.scenario.rentals):
        for o, owner in enumerate(owners):
            used = plan.use[0, job_owner == o, first + r, :].sum(axis=0)
            yield from _months(
                plan,
                owner=owner,
                place=rental.id,
                rented=True,
                system=rental.system,
                chips=plan.reserved[r, o] + plan.rented[0, r, o],
                used=used,
                lent=np.zeros_like(used),
            )


def _months(plan: Plan, *, chips: Any, used: Any, lent: Any, **same: Any) -> Iterator[Row]:
    """One row per month in which there is anything; solver dust is not."""
    for t in np.flatnonzero((chips > _NEGLIGIBLE) | (used > _NEGLIGIBLE)):
        yield {
            **same,
            "month": month_name(plan.market.start + int(t)),
            "chips": float(chips[t]),
            "used": float(used[t]),
            "lent": float(lent[t]),
        }
