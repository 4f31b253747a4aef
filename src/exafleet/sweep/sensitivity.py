"""Which numbers the answer hangs on: each is varied by a tenth with the plan's decisions kept, the five that matter
most are planned anew.

Both are done on the base draw (deliveries as quoted). Keeping the decisions gives the exact first-order effect on the
cost of *this* plan at the price of one linear programme; planning anew says whether other orders would be better.
"""

from __future__ import annotations

from collections import Counter

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Market
from exafleet.plan.plan import Plan
from exafleet.sweep.local import Progress, sweep
from exafleet.sweep.variations import Case, Variation, fact_variations, scenario_variations
from exafleet.terms import format as words

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

STEP = 0.1
MOST = 5
# The plan made anew is proven to within this share; a smaller gain is not told as a gain.
GAP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What one number does to the cost of a plan.

    key         "offers.gb200.price", "gb200-gpu.hbm_bw"
    written     the number as a person reads it
    source      where it comes from
    elasticity  relative change of cost over relative change of the number               [1]
    less, more  change of cost when it is 10 % less, 10 % more, decisions kept           [USD]
    changes     what planning anew would change in the order book
    """

    key: str
    written: str
    source: str
    elasticity: float
    less: float
    more: float
    changes: str


def sensitivity(world: World, rates: Rates, plan: Plan, *, most: int = MOST, facts: bool = True,
                progress: Progress | None = None) -> tuple[Sensitivity, ...]:
    """The `most` numbers with the largest elasticity, largest first.

    facts     vary facts of the systems in use as well as the numbers of the scenario

    Numbers that change nothing are left out. Raises Interrupted on Ctrl-C.
    """
    draws, base = base_draw(plan.draws), _base(plan, rates)
    if not len(plan.first):
        return ()
    varied = list(scenario_variations(world, base))
    if facts:
        varied += fact_variations(world, base, used_systems(plan), _rate_one)
    before = kept_cost(base, draws, plan.first)
    found = sweep(lambda v: _effect(v, draws, plan.first, before), varied, progress=progress)
    order = sorted(range(len(varied)), key=lambda i: (-abs(found[i].elasticity), found[i].key))
    top = [i for i in order[:most] if abs(found[i].elasticity) > 1e-4]
    if not top:
        return ()
    again = _Anew(base, draws)
    return tuple(replace(found[i], changes=again.changes(varied[i], found[i])) for i in top)


def base_draw(draws: Draws) -> Draws:
    """The first of some draws alone."""
    return replace(draws, probability=np.ones(1), lead=draws.lead[:1], slip=draws.slip[:1], demand=draws.demand[:1],
                   rate=draws.rate[:1])


def used_systems(plan: Plan) -> tuple[str, ...]:
    """Systems in use in the base draw."""
    holders = plan.holder_system.tolist() + [plan.market.systems.index(r.system) for r in plan.market.scenario.rentals]
    busy = plan.use[0].sum(axis=(0, 2)) > 0
    return tuple(dict.fromkeys(plan.market.systems[k] for k, b in zip(holders, busy.tolist(), strict=True) if b))


def kept_cost(case: Case, draws: Draws, first: Floats) -> float:
    """Present cost of the base draw when the first stage is kept; NaN when it cannot be kept. [USD]"""
    from exafleet.plan.decompose import Recourse
    from exafleet.plan.twostage import two_stage

    problem = two_stage(case.market, draws, case.sets)
    if len(problem.x_lower) != len(first):
        return float("nan")
    value = Recourse(problem).solve(0, first)[0] if len(problem.y_lower) else 0.0
    return float((value + problem.cost1[0] @ first + problem.constant[0]) * problem.build.money)


def _base(plan: Plan, rates: Rates) -> Case:
    from exafleet.plan.sets import sets

    return Case(market=plan.market, rates=rates, sets=sets(plan.market, rates, plan.draws))


def _effect(varied: Variation, draws: Draws, first: Floats, before: float) -> Sensitivity:
    less = kept_cost(varied.case(1.0 - STEP), draws, first) - before
    more = kept_cost(varied.case(1.0 + STEP), draws, first) - before
    slope = (more - less) / (2.0 * STEP * max(abs(before), 1.0))
    return Sensitivity(key=varied.key, written=varied.written, source=varied.source, less=less, more=more, changes="",
                       elasticity=slope if np.isfinite(slope) else 0.0)


def _rate_one(world: World, system: str) -> Rates:
    """Rates of every job on one system, at the sizes the whole scenario asks for."""
    from exafleet.fleet.build import rates

    given = world.scenario
    alone = replace(given, holdings=tuple(r for r in given.holdings if r.system == system),
                    open_orders=tuple(r for r in given.open_orders if r.system == system),
                    offers=tuple(r for r in given.offers if r.system == system),
                    rentals=tuple(r for r in given.rentals if r.system == system))
    return rates(replace(world, scenario=alone))


class _Anew:
    """Plans made anew on the base draw, compared with the one for the numbers as they are."""

    def __init__(self, base: Case, draws: Draws) -> None:
        self._draws = draws
        self._plan = self._solve(base.market, base.rates)
        self._market = base.market

    def _solve(self, market: Market, rates: Rates) -> Plan:
        from exafleet.plan.solve import solve_market

        return solve_market(market, rates, self._draws, gap=GAP)

    def changes(self, varied: Variation, found: Sensitivity) -> str:
        """What to order instead when the number turns out a tenth worse; "stays" when that gains nothing sure."""
        factor = 1.0 + STEP if found.more >= found.less else 1.0 - STEP
        case = varied.case(factor)
        words_of = "10 % more" if factor > 1 else "10 % less"
        anew = self._solve(case.market, case.rates)
        kept = kept_cost(case, self._draws, self._plan.first)
        gain = kept - anew.objective
        sure = np.isfinite(gain) and gain > max(anew.gap, 0.002) * abs(anew.objective)
        said = _difference(self._plan, anew) if sure else ""
        return f"{words_of}: {said}, saves {words.money(gain)}" if said else f"{words_of}: stays"


def _difference(before: Plan, after: Plan) -> str:
    """Units by offer and chips by contract that differ, in words."""
    old, new = _bought(before), _bought(after)
    names = [n for n in (*old, *(n for n in new if n not in old)) if old[n] != new[n]]
    if not names:
        return "other months" if before.orders != after.orders or before.placements != after.placements else ""
    return ", ".join(f"{n} {old[n]:,} -> {new[n]:,}" for n in names[:3]) + (", ..." if len(names) > 3 else "")


def _bought(plan: Plan) -> Counter[str]:
    found: Counter[str] = Counter()
    for order in plan.orders:
        found[order.offer] += order.units
    for contract in plan.contracts:
        found[contract.rental] += contract.chips
    return found


