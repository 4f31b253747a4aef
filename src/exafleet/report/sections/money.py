"""What it costs: named parts that sum to the solver's objective, and cash by owner and month."""

from __future__ import annotations

from typing import Any

import numpy as np

from exafleet.plan.plan import Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Column, Table, column, month_names
from exafleet.terms.calendar import month_name
from exafleet.terms.said import named, said


def cost(plan: Plan) -> Table:
    """Net present cost by part: mean over draws, base draw, dearest draw. The last line is the total."""
    names, expected = plan.expected.names, plan.expected.values
    worst = int(np.argmax(plan.cost.total))
    shown = [p for p, _ in enumerate(names) if np.any(plan.cost.values[:, p] != 0)]
    rows: list[tuple[Cell, ...]] = [(named("part", names[p]), float(expected[p]), float(plan.cost.values[0, p]),
                                     float(plan.cost.values[worst, p])) for p in shown]
    rows.append((said("text.total"), float(plan.expected.total), float(plan.cost.total[0]),
                 float(plan.cost.total[worst])))
    picture: list[dict[str, Any]] = [{"part": named("part", names[p]), "value": float(expected[p]) / 1e6}
                                     for p in shown]
    return Table(
        id="cost", title=said("cost.title"), how=said("cost.how"), lead=_lead(plan),
        columns=(column("part"), column("mean", "money"), column("base draw", "money"),
                 column("dearest draw", "money")),
        rows=tuple(rows), empty=said("cost.empty"), origins=tuple(("scenario.discount",) for _ in rows),
        charts=(("", charts.pieces(picture, [p["part"] for p in picture], said("cost.picture"))),) if picture else (),
    )


def _lead(plan: Plan) -> str:
    risk, cost = plan.market.scenario.risk, {"cost": float(plan.expected.total), "n": plan.draws.count}
    if risk.weight == 0:
        return said("cost.lead", **cost)
    return said("cost.lead risk", **cost, objective=plan.objective, mean=1 - risk.weight, tail=risk.weight,
                worst=1 - risk.alpha)


def cash(plan: Plan) -> Table:
    """Cash paid out by owner and quarter in the base draw, undiscounted; the months are in the picture."""
    market = plan.market
    owners = [o.id for o in market.scenario.owners]
    quarter = np.array([(market.start + t) // 3 for t in range(market.months)])
    rows: list[tuple[Cell, ...]] = []
    for q in dict.fromkeys(quarter.tolist()):
        months = np.flatnonzero(quarter == q)
        paid = [float(plan.cash[0, o, months].sum()) for o in range(len(owners))]
        name = said("text.quarter", year=str(q * 3 // 12), quarter=q * 3 % 12 // 3 + 1)
        rows.append((name, *paid, *([sum(paid)] if len(owners) > 1 else [])))
    whole = [float(plan.cash[0, o].sum()) for o in range(len(owners))]
    rows.append((said("text.total"), *whole, *([sum(whole)] if len(owners) > 1 else [])))
    picture = [{"month": month_name(market.start + t), "owner": owner, "cash": float(plan.cash[0, o, t]) / 1e6}
               for o, owner in enumerate(owners) for t in range(market.months)]
    return Table(
        id="cash", title=said("cash.title"), how=said("cash.how"),
        lead=said("cash.lead", cash=float(plan.cash[0].sum()), n=market.months),
        empty=said("cash.empty"),
        columns=(column("quarter"), *(Column(title=o, kind="money") for o in owners),
                 *([column("all", "money")] if len(owners) > 1 else [])),
        rows=tuple(rows) if owners else (),
        charts=(("", charts.bars(picture, month_names(plan), "cash", said("cash.picture"), "owner")),),
    )


def cash_by_month(plan: Plan) -> Table:
    """Cash by owner and month against the budget (the detail under the cash table)."""
    market = plan.market
    rows = tuple(
        (market.start + t, owner.id, float(plan.cash[0, o, t]), float(plan.cash[0, o, :t + 1].sum()),
         *_left(float(market.budget[o, t]), float(plan.cash[0, o, :t + 1].sum())))
        for t in range(market.months) for o, owner in enumerate(market.scenario.owners))
    return Table(
        id="cash-by-month", title=said("cash-by-month.title"), how=said("cash-by-month.how"),
        lead=said("cash-by-month.lead"),
        empty=said("cash.empty"), wide=True, rows=rows,
        origins=tuple((f"owners.{r[1]}.budget",) for r in rows),
        columns=(column("month", "month"), column("owner"), column("cash out", "money"), column("so far", "money"),
                 column("budget so far", "money"), column("balance", "money")),
    )


def _left(budget: float, paid: float) -> tuple[float | None, float | None]:
    """The budget and what is left of it; neither where there is no budget."""
    return (budget, budget - paid) if np.isfinite(budget) else (None, None)


def funded(plan: Plan) -> Table:
    """Loans and leases that are used: for which units, how much is paid out, how much is owed."""
    rows: list[tuple[Cell, ...]] = [
        (f.owner, f.finance, named("finance", f.kind), f.offer, f.units, float(f.paid[0]),
         float(f.owed[0].max(initial=0.0)), float(f.owed[0, -1]) if f.owed.size else 0.0)
        for f in plan.funded]
    owed = sum((f.owed[0] for f in plan.funded), np.zeros(plan.market.months))
    return Table(
        id="funded", title=said("funded.title"), how=said("funded.how"), empty=said("funded.empty"),
        lead=said("funded.lead", paid=float(sum(f.paid[0] for f in plan.funded)), most=float(owed.max(initial=0.0))),
        columns=(column("owner"), column("finance"), column("how"), column("offer"), column("units", "number"),
                 column("paid out", "money"), column("most owed", "money"), column("owed at the end", "money")),
        rows=tuple(rows),
    )


def debt(plan: Plan) -> Table:
    """What is owed on loans by month (the detail under the table of loans and leases)."""
    start = plan.market.start
    rows = tuple((start + t, f.owner, f.finance, f.offer, float(f.owed[0, t])) for f in plan.funded if f.kind == "loan"
                 for t in range(plan.market.months) if f.owed[0, t] > 0)
    return Table(id="debt", title=said("debt.title"), how=said("debt.how"), lead=said("debt.lead"), wide=True,
                 rows=rows, empty=said("funded.empty"),
                 columns=(column("month", "month"), column("owner"), column("finance"), column("offer"),
                          column("owed", "money")))
