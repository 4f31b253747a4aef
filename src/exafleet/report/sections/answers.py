"""What a plan is worth against other plans, and what a month, a megawatt or a look ahead is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exafleet.plan.plan import Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Table, column
from exafleet.sweep.answers.earlier import Earlier, Power
from exafleet.sweep.answers.foresight import Foresight
from exafleet.sweep.answers.frontier import Point
from exafleet.sweep.answers.ground import Mean
from exafleet.sweep.answers.information import Information
from exafleet.sweep.answers.regret import Rival
from exafleet.sweep.answers.turning import Turn
from exafleet.sweep.answers.waiting import Waiting
from exafleet.terms.said import named, said

CENT = 0.01   # smaller sums are the solver's tolerance


def earlier(plan: Plan, found: Sequence[Earlier]) -> Table:
    """What every system on order would be worth a month earlier, per unit: planned anew, and at the margin."""
    rows = tuple((e.system, e.units, *e.whole, plan.market.start + e.month, e.margin) for e in found)
    best = max(found, key=lambda e: e.margin, default=None)
    lead = said("earlier.none") if best is None or best.margin <= 0 else said(
        "earlier.lead", system=best.system, worth=best.margin, month=plan.market.start + best.month)
    return Table(
        id="earlier", title=said("earlier.title"), lead=lead, empty=said("earlier.empty"),
        columns=(column("system"), column("units", "count"), column("all earlier least", "money"),
                 column("all earlier most", "money"), column("best month", "month"),
                 column("one more earlier", "money")),
        rows=rows)


def premium(plan: Plan, found: Sequence[Earlier]) -> Table:
    """The highest premium worth paying for a place in the queue, by system and month of order."""
    start = plan.market.start
    rows = tuple((e.system, start + t, float(e.premium[t])) for e in found
                 for t in range(plan.market.months) if np.isfinite(e.premium[t]))
    return Table(id="premium", title=said("premium.title"), lead=said("premium.lead"), empty=said("premium.empty"),
                 wide=True,
                 columns=(column("system"), column("order in", "month"), column("worth", "money")), rows=rows)


def power(plan: Plan, found: Sequence[Power]) -> Table:
    """One more megawatt at each site: in one month alone, and from that month to the end."""
    start = plan.market.start
    rows = tuple((p.site, start + t, float(p.month[t]), float(p.onward[t]))
                 for p in found for t in range(plan.market.months) if p.onward[t] > 0.5)
    best = max(found, key=lambda p: float(p.onward[:1].sum()), default=None)
    lead = (said("megawatt.none") if best is None or not best.onward[:1].sum() > 0.5 else
            said("megawatt.lead", site=best.site, worth=float(best.onward[0])))
    return Table(id="megawatt", title=said("megawatt.title"), lead=lead, empty=said("megawatt.none"),
                 columns=(column("site"), column("month", "month"), column("in the month", "money"),
                          column("from then on", "money")), rows=rows, wide=True)


def rivals(name: str, found: Sequence[Rival]) -> Table:
    """Ways to decide beside the first, on the same fresh draws. name: "regret" or "owning"."""
    first = found[0]
    rows = tuple(_rival(r, r is first) for r in found)
    there = [r for r in found[1:] if not r.refused]
    best = min(there, key=lambda r: r.extra.value, default=None)
    lead = said(f"{name}.alone") if best is None else said(
        f"{name}.lead", way=named("way", best.name), extra=best.extra.value, error=_error(best.extra.error),
        n=first.draws)
    return Table(
        id=name, title=said(f"{name}.title"), lead=lead, empty=said(f"{name}.empty"),
        columns=(column("way"), column("mean", "money"), column("worst draws", "money"), column("over plan", "money"),
                 column("standard error", "money"), column("cheaper in", "share"), column("worst over plan", "money"),
                 column("orders")),
        rows=rows)


def _rival(r: Rival, first: bool) -> tuple[Cell, ...]:
    if r.refused:
        return (named("way", r.name), None, None, None, None, None, None, r.refused)
    extra = (None,) * 4 if first else (r.extra.value, _known(r.extra.error), r.cheaper, r.worst)
    return (named("way", r.name), r.mean.value, r.cvar, *extra, _ordered(r.orders))


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _error(value: float) -> float:
    return value if np.isfinite(value) else 0.0


def _ordered(orders: tuple[tuple[str, int], ...]) -> str:
    if not orders:
        return said("answers.no orders")
    return said("answers.orders", parts=[said("answers.units", units=n, system=k) for k, n in orders])


def waiting(found: Waiting) -> Table:
    """Buy now, wait, or both: cost and regret by how late the next generation comes."""
    rows = tuple((said("waiting.slip", n=slip), *(None if c is None else c.value for c in cost), *regret)
                 for slip, cost, regret in zip(found.slips, found.cost, found.regret, strict=True))
    refused = [said("waiting.refused", way=named("way", c), why=why)
               for c, why in zip(found.choices, found.refused, strict=True) if why]
    worst = {c: max((float(r[i] or 0.0) for r in found.regret), default=0.0)
             for i, c in enumerate(found.choices) if not found.refused[i]}
    safest = min(worst, key=lambda c: worst[c], default="")
    lead = said("waiting.none", reasons=refused) if not safest else said(
        "waiting.lead", later=list(found.later), way=named("way", safest), regret=worst[safest],
        slip=found.slips[-1], refused=refused)
    return Table(
        id="waiting", title=said("waiting.title"), lead=lead, empty=said("waiting.empty"),
        columns=(column("next generation"), column("cost now", "money"), column("cost wait", "money"),
                 column("cost both", "money"), column("regret now", "money"), column("regret wait", "money"),
                 column("regret both", "money")), rows=rows)


def information(found: Information) -> Table:
    """What it is worth to know, and to plan for more than one future."""
    rows: tuple[tuple[Cell, ...], ...] = (
        (said("information.here"), found.here, found.here_bound),
        (said("information.knowing"), found.knowing, found.knowing_bound),
        (said("information.quoted"), found.quoted, None),
        (said("information.perfect"), found.perfect[1], found.perfect[0]),
        (said("information.stochastic"), found.stochastic, None),
        (said("information.fresh", error=_error(found.fresh.error)), found.fresh.value, None))
    return Table(
        id="information", title=said("information.title"), empty=said("information.empty"),
        lead=said("information.lead", low=found.perfect[0], high=found.perfect[1], stochastic=found.fresh.value,
                  error=_error(found.fresh.error)),
        columns=(column("what"), column("mean", "money"), column("at least", "money")), rows=rows)


def foresight(found: Foresight) -> Table:
    """What the same first decisions cost when each draw foresees itself, and when they are lived."""
    def row(text: str, value: Mean) -> tuple[Cell, ...]:
        return text, value.value if abs(value.value) >= CENT else 0.0, _known(value.error)

    n = found.every
    rows = ((said("foresight.expected"), found.expected, None), row(said("foresight.stands"), found.stands),
            row(said("foresight.looks", n=n), found.looks), row(said("foresight.whole"), found.whole),
            row(said("foresight.lived", n=n), found.lived), row(said("foresight.flattered"), found.flattered),
            row(said("foresight.units"), found.units), row(said("foresight.planning"), found.planning))
    return Table(
        id="foresight", title=said("foresight.title"), empty=said("foresight.empty"), rows=rows,
        lead=said("foresight.lead", n=found.every, draws=found.draws, lived=found.lived.value, looks=found.looks.value,
                  flattered=found.flattered.value, error=_error(found.flattered.error)),
        columns=(column("what"), column("mean", "money"), column("standard error", "money")))


def frontier(found: Sequence[Point]) -> Table:
    """Expected cost against the mean of the worst draws, by weight on bad luck."""
    rows = tuple((p.weight, *p.planned, p.mean.value, _known(p.mean.error), p.cvar,
                  said("frontier.efficient") if p.efficient else said("frontier.beaten"), _ordered(p.units))
                 for p in found)
    picture = [{"mean": p.mean.value / 1e6, "cvar": p.cvar / 1e6, "weight": f"{p.weight:g}"} for p in found]
    return Table(
        id="frontier", title=said("frontier.title"), lead=said("frontier.lead", n=len(found)),
        empty=said("frontier.empty"),
        columns=(column("weight", "number"), column("mean planned", "money"), column("worst planned", "money"),
                 column("mean", "money"), column("standard error", "money"), column("worst draws", "money"),
                 column("so"), column("orders")), rows=rows,
        charts=(("", charts.frontier(picture, said("frontier.mean"), said("frontier.cvar"))),) if found else ())


def turning(found: Sequence[Turn]) -> Table:
    """What would have to be true for another plan to win."""
    rows = tuple((named("way", t.rival), said(f"lever.{t.lever.what}", of=t.lever.of), _value(t), t.ahead)
                 for t in sorted(found, key=lambda t: (t.rival, t.value is None)))
    wins = [t for t in found if t.value is not None]
    return Table(
        id="turning", title=said("turning.title"), empty=said("turning.empty"),
        lead=said("turning.lead", n=len(found), turns=len(wins)),
        columns=(column("way"), column("if this"), column("turns out"), column("plan saves", "money")), rows=rows)


def _value(turn: Turn) -> str:
    if turn.value is None:
        return said("turning.never", low=min(turn.lever.values), high=max(turn.lever.values),
                    unit=named("lever-unit", turn.lever.unit))
    return (said("turning.factor", value=turn.value) if turn.lever.unit == "1" else
            said("turning.later" if turn.value >= 0 else "turning.sooner", value=abs(turn.value)))
