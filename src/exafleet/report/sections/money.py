"""What it costs: named parts that sum to the solver's objective, and cash by owner and month."""

from __future__ import annotations

import numpy as np

from exafleet.plan.plan import Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Column, Table, month_names
from exafleet.terms import format as words
from exafleet.terms.calendar import month_name


def cost(plan: Plan) -> Table:
    """Net present cost by part: mean over draws, base draw, dearest draw. The last line is the total."""
    names, expected = plan.expected.names, plan.expected.values
    worst = int(np.argmax(plan.cost.total))
    shown = [p for p, _ in enumerate(names) if np.any(plan.cost.values[:, p] != 0)]
    rows: list[tuple[Cell, ...]] = [(names[p], float(expected[p]), float(plan.cost.values[0, p]),
                                     float(plan.cost.values[worst, p])) for p in shown]
    rows.append(("total", float(plan.expected.total), float(plan.cost.total[0]), float(plan.cost.total[worst])))
    picture = [{"part": names[p], "value": float(expected[p]) / 1e6} for p in shown]
    return Table(
        id="cost", title="What it costs",
        lead=f"Net present cost {words.money(float(plan.expected.total))} in the mean of {plan.draws.count} draws; "
             f"penalties count as costs, values and residuals as negative costs.{_risk(plan)}",
        columns=(Column(title="Part"), Column(title="Mean", kind="money"), Column(title="Base draw", kind="money"),
                 Column(title="Dearest draw", kind="money")),
        rows=tuple(rows),
        charts=(("", charts.pieces(picture, [str(p["part"]) for p in picture],
                                   "million USD, present value, mean of draws")),) if picture else (),
    )


def _risk(plan: Plan) -> str:
    risk = plan.market.scenario.risk
    if risk.weight == 0:
        return ""
    return (f" The plan minimises {words.money(plan.objective)}: {words.percent(1 - risk.weight)} of the mean plus "
            f"{words.percent(risk.weight)} of the mean over the worst {words.percent(1 - risk.alpha)} of the draws.")


def cash(plan: Plan) -> Table:
    """Cash paid out by owner and quarter in the base draw, undiscounted; the months are in the picture."""
    market = plan.market
    owners = [o.id for o in market.scenario.owners]
    quarter = np.array([(market.start + t) // 3 for t in range(market.months)])
    rows: list[tuple[Cell, ...]] = []
    for q in dict.fromkeys(quarter.tolist()):
        months = np.flatnonzero(quarter == q)
        paid = [float(plan.cash[0, o, months].sum()) for o in range(len(owners))]
        rows.append((f"{q * 3 // 12}-Q{q * 3 % 12 // 3 + 1}", *paid, *([sum(paid)] if len(owners) > 1 else [])))
    whole = [float(plan.cash[0, o].sum()) for o in range(len(owners))]
    rows.append(("total", *whole, *([sum(whole)] if len(owners) > 1 else [])))
    picture = [{"month": month_name(market.start + t), "owner": owner, "cash": float(plan.cash[0, o, t]) / 1e6}
               for o, owner in enumerate(owners) for t in range(market.months)]
    return Table(
        id="cash", title="Cash by owner",
        lead=f"{words.money(float(plan.cash[0].sum()))} leave the owners over {market.months} months in the base draw "
             "(undiscounted; sales and loans received are negative).",
        empty="The scenario names no owner.",
        columns=(Column(title="Quarter"), *(Column(title=o, kind="money") for o in owners),
                 *([Column(title="All", kind="money")] if len(owners) > 1 else [])),
        rows=tuple(rows) if owners else (),
        charts=(("", charts.bars(picture, month_names(plan), "cash", "cash out, million USD", "owner")),),
    )


def cash_by_month(plan: Plan) -> Table:
    """Cash by owner and month against the budget (the detail under the cash table)."""
    market = plan.market
    rows = tuple(
        (market.start + t, owner.id, float(plan.cash[0, o, t]), float(plan.cash[0, o, :t + 1].sum()),
         float(market.budget[o, t]) if np.isfinite(market.budget[o, t]) else None)
        for t in range(market.months) for o, owner in enumerate(market.scenario.owners))
    return Table(
        id="cash-by-month", title="Cash by month", lead="Cash out, its running sum and the budget so far, base draw.",
        wide=True, rows=rows,
        columns=(Column(title="Month", kind="month"), Column(title="Owner"), Column(title="Cash out", kind="money"),
                 Column(title="So far", kind="money"), Column(title="Budget so far", kind="money")),
    )
