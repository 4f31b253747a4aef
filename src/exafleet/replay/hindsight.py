"""Hindsight: the best that could have been done by somebody who knew everything, in the frame lives are accounted in.

It chooses orders, runs and everything else over the whole window at once, with true arrivals, prices, power and
demand. What it may do includes every life handed to it (a life may have begun a run before its racks came, which a
plan made with hindsight would not; such runs stand beside as options of their own), so its proven bound is below the
cost of each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exafleet.market.market import Floats
from exafleet.plan import commitments, rules
from exafleet.plan.build import Build
from exafleet.plan.carry import (
    Lived,
    Placed,
    first_names,
    programme,
    released,
    second_names,
    ways,
    with_placements,
)
from exafleet.plan.highs import Stop
from exafleet.plan.plan import PARTS
from exafleet.plan.sets import sets
from exafleet.plan.solve import choose
from exafleet.plan.twostage import TwoStage
from exafleet.replay.revising import really, with_hindsight
from exafleet.replay.rolling import Life, Truth, anything, at_dates_only, quoted, recourse, true_arrivals
from exafleet.terms.parts import Parts

# What a plan must keep because it does not know: with hindsight the truth takes the place of the quotes.
UNKNOWN = (commitments.supply, commitments.allocation, commitments.commitments, commitments.required_runs,
           commitments.gang_power)
# Rules of a gang that runs begun too early have broken already.
OF_WHOLE_GANGS = ("full strength",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The best plan found with perfect knowledge, as something lived; `bound` is proven: nothing costs less. [USD]"""

    lived: Lived
    cost: Parts
    bound: float
    status: str


def hindsight(truth: Truth, lives: Sequence[Life], *, gap: float = 0.01, stop: Stop | None = None) -> Hindsight:
    """The least cost of the window, to within `gap`; never more than the best of the lives."""
    placed = sorted({run for life in lives for run in life.lived.placements()})
    p = _programme(truth, placed, [life.lived for life in lives])
    answer = choose(p)(p, gap, stop or _never, None)[1]
    if answer.status == "nothing" or (stop is not None and stop()):
        raise KeyboardInterrupt
    if answer.status == "infeasible":
        raise RuntimeError("with hindsight there is always something to do")
    months = truth.market.months
    x = np.where(p.whole, np.round(answer.x), answer.x)
    y = recourse(p, x, 0)
    cost = p.parts1[0] @ x + p.parts2 @ y + p.part_constant[0]
    lived = Lived(months=months, first=first_names(p.build).values(x, range(months)),
                  second=second_names(p.build).values(y, range(months)))
    found = Hindsight(lived=lived, cost=Parts(names=PARTS, values=cost, unit="USD"), status=answer.status,
                      bound=answer.bound * p.build.money)
    best = min(lives, key=lambda life: float(life.cost.total), default=None)
    if best is None or float(best.cost.total) >= float(found.cost.total):
        return found
    return replace(found, lived=best.lived, cost=best.cost, bound=min(found.bound, float(best.cost.total)))


def _never() -> bool:
    return False


def _programme(truth: Truth, placed: Sequence[Placed], lives: Sequence[Lived]) -> TwoStage:
    market = at_dates_only(truth.market)
    draws = replace(quoted(market, truth), lead=truth.lead[None])
    found = sets(market, truth.rates, draws)
    own = len(found.option_job)
    found = with_placements(found, market, placed, ways(market, truth.rates, found, placed), apart=True)
    first = programme(market, draws, found, rules=())
    known = tuple(rule for rule in rules.RULES if rule not in UNKNOWN)
    p = programme(market, draws, found, rules=(*known, _accepted(truth, lives)), arrival=true_arrivals(truth, first),
                  revised=with_hindsight(truth.market, truth.lead, truth.slip, lives))
    return _exempt(anything(p), own)


def _accepted(truth: Truth, lives: Sequence[Lived]) -> rules.Rule:
    """A rule: no more units ordered in a month than the supplier then took orders for, or than a life changed into."""
    most = np.maximum(truth.accepted, np.max([_taken(truth, life) for life in lives], axis=0, initial=0.0))

    def accepted(b: Build) -> None:
        row = b.first_rows.add("accepted", np.isfinite(most), lower=-np.inf, upper=most)
        b.first.put(row[b.book.offer, b.book.month, b.book.queued], b.x["order"], 1.0)
        r = b.revised
        if r is not None and len(r.offer):
            counts = (r.offer >= 0) & (r.counts < truth.market.months)
            at = np.minimum(r.counts, truth.market.months - 1)
            b.first.put(np.where(counts, row[r.offer, at, 0], -1), b.x["revised"], 1.0)
    return accepted


def _taken(truth: Truth, life: Lived) -> Floats:
    """Units a life ordered or changed into, by offer, month and place in the queue. [F, T, places + 1]"""
    taken = np.zeros(truth.accepted.shape)
    offers = {f.id: i for i, f in enumerate(truth.market.scenario.offers)}
    for key, units in life.first.items():
        if key[0] == "order":
            taken[offers[str(key[1])], int(key[3]), int(key[5])] += units
        elif key in life.revised and life.revised[key].into in offers:
            r = really(truth.market, truth.lead, life.revised[key])
            if r.counts < truth.market.months:
                taken[offers[r.into], r.counts, 0] += units
    return taken


def _exempt(p: TwoStage, own: int) -> TwoStage:
    """Runs of lives, the options from `own` on, need not have their gangs together."""
    lower, upper, blocks = p.lower.copy(), p.upper.copy(), p.build.rows.blocks()
    for name in OF_WHOLE_GANGS:
        at = blocks[name][own:].ravel() if name in blocks else np.zeros(0, dtype=np.int64)
        lower[:, at[at >= 0]], upper[:, at[at >= 0]] = -np.inf, np.inf
    started = p.build.x["started"][own:]
    columns = started[started >= 0]
    rows = p.build.first_rows.blocks()
    gangs = np.concatenate([np.zeros(0, dtype=np.int64),
                            *(rows[n][rows[n] >= 0].ravel() for n in ("gang", "gang rental") if n in rows)])
    first = p.first.tocoo()
    free = np.isin(first.col, columns) & np.isin(first.row, gangs)
    data = np.where(free, 0.0, first.data)
    first = type(first)((data, (first.row, first.col)), shape=first.shape).tocsr()
    first.eliminate_zeros()
    others = range(own, len(p.build.sets.option_job))
    return replace(released(p, others), lower=lower, upper=upper, first=first)
