"""Which numbers the answer hangs on: each is varied by a tenth with the plan's decisions kept, the five that matter
most are planned anew.

Both are done on the base draw (deliveries as quoted). Keeping the decisions gives the exact effect on the cost of
*this* plan at the price of one linear programme. Planning anew says whether other orders would be better. In both,
what stands and is sold may be a fraction of a unit (in planning anew orders too), which takes a second instead of
minutes and has no rounding that looks like a change.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.market.draws import Draws
from exafleet.market.market import Floats
from exafleet.plan.plan import PARTS, Plan
from exafleet.sweep.local import Progress, sweep
from exafleet.sweep.variations import Case, Variation, fact_variations, scenario_variations
from exafleet.terms.said import joined, said

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates
    from exafleet.plan.highs import Linear, Solved
    from exafleet.plan.rules import Rule
    from exafleet.plan.twostage import TwoStage

STEP = 0.1
MOST = 5
# Planning anew must save this share of the cost before it counts as another answer.
WORTH = 1e-3


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


def sensitivity(
    world: World,
    rates: Rates,
    plan: Plan,
    *,
    most: int = MOST,
    facts: bool = True,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> tuple[Sensitivity, ...]:
    """The `most` numbers with the largest elasticity, largest first.

    facts     vary facts of the systems in use as well as the numbers of the scenario
    cluster   a Ray cluster that costs the variations, "auto" or HOST:PORT; None for this process

    Numbers that change nothing are left out. Raises Interrupted on Ctrl-C.
    """
    draws, base = base_draw(plan.draws), base_case(plan, rates)
    if not len(plan.first):
        return ()
    varied = list(scenario_variations(world, base))
    if facts:
        varied += fact_variations(world, base, used_systems(plan), functools.partial(rate_used, plan=plan))
    keeping = Keeping(base, draws, plan.first)
    effect = functools.partial(_more, keeping)
    more = sweep(effect, varied, cluster=cluster, progress=progress)
    size = np.nan_to_num(np.abs(more)) / max(abs(keeping.before), 1.0)
    # Twice as many as are told are costed both ways, because the effect of less may be larger than that of more.
    order = sorted(range(len(varied)), key=lambda i: (-size[i], varied[i].key))
    close = [i for i in order if size[i] > 1e-5][: 2 * most]
    found = [(varied[i], _effect(varied[i], keeping, more[i])) for i in close]
    top = sorted(found, key=lambda pair: (-abs(pair[1].elasticity), pair[1].key))[:most]
    anew = Anew(base, draws) if top else None
    return tuple(replace(f, changes=anew.changes(v, f)) for v, f in top if anew is not None)


def _more(keeping: Keeping, varied: Variation) -> float:
    """Change of cost when a number is a tenth larger, decisions kept. [USD]"""
    return keeping.cost(varied.case(1.0 + STEP)) - keeping.before


def base_draw(draws: Draws) -> Draws:
    """The first of some draws alone."""
    return draws.take([0])


def used_systems(plan: Plan) -> tuple[str, ...]:
    """Systems in use in the base draw."""
    holders = plan.holder_system.tolist() + [plan.market.systems.index(r.system) for r in plan.market.scenario.rentals]
    busy = plan.use[0].sum(axis=(0, 2)) > 0
    return tuple(dict.fromkeys(plan.market.systems[k] for k, b in zip(holders, busy.tolist(), strict=True) if b))


def yielding_rules() -> tuple[Rule, ...]:
    """Every rule but that the base draw's gangs be whole: a decision kept in a worse world may have to yield."""
    from exafleet.plan.gangs import whole_gangs
    from exafleet.plan.rules import RULES, full_strength

    return tuple(rule for rule in RULES if rule not in (full_strength, whole_gangs))


class Keeping:
    """Costs the same first-stage decisions in many worlds: one linear programme each, started from the base's basis."""

    def __init__(self, base: Case, draws: Draws, first: Floats) -> None:
        self._base, self._draws, self._first = base, draws, first
        self._basis: Any = None
        self.parts_before, self._basis = self._solve(base)
        self.before = float(self.parts_before.sum())

    def __reduce__(self) -> tuple[type, tuple[Case, Draws, Floats]]:
        """A basis of the solver cannot travel to another process: there it is found anew, and is the same."""
        return (type(self), (self._base, self._draws, self._first))

    def cost(self, case: Case) -> float:
        """Present cost of the base draw with the decisions kept; NaN when the world has other decisions. [USD]"""
        return float(self.parts(case).sum())

    def parts(self, case: Case) -> Floats:
        """The same by part (plan.PARTS), NaN likewise. [P] [USD]"""
        return self._solve(case)[0]

    def _solve(self, case: Case) -> tuple[Floats, Any]:
        from exafleet.plan.twostage import two_stage
        from exafleet.plan.writtenout import write_out

        problem = two_stage(case.market, case.draws or self._draws, case.sets, yielding_rules())
        x = len(self._first)
        if len(problem.x_lower) != x:
            return np.full(len(PARTS), np.nan), None
        every = write_out(replace(problem, weight=0.0))
        rows = problem.first.shape[0]
        # What was decided stays decided, whatever the rules of the first stage now say about it.
        kept = replace(
            every,
            whole=None,
            v_lower=np.concatenate([self._first, every.v_lower[x:]]),
            v_upper=np.concatenate([self._first, every.v_upper[x:]]),
            lower=np.concatenate([np.full(rows, -np.inf), every.lower[rows:]]),
            upper=np.concatenate([np.full(rows, np.inf), every.upper[rows:]]),
        )
        found, basis = _solved(kept, self._basis)
        return _spent(problem, found, x), basis


def _spent(problem: TwoStage, found: Solved, x: int) -> Floats:
    """Present value by part of a solution of the base draw; NaN when there is none. [P] [USD]"""
    if not len(found.v):
        return np.full(len(PARTS), np.nan)
    return problem.spent(0, found.v[:x], found.v[x:])


def _solved(problem: Linear, basis: Any) -> tuple[Solved, Any]:
    """A linear programme solved by simplex, from a basis where one of the same shape is known."""
    from exafleet.plan.highs import Solver

    solver = Solver(problem, solver="simplex")
    if basis is not None and (len(basis.row_status), len(basis.col_status)) == problem.rows.shape:
        solver.start_from(basis)
    return solver.solve(), solver.basis()


def base_case(plan: Plan, rates: Rates) -> Case:
    """The world of a plan as it is."""
    from exafleet.plan.sets import sets

    return Case(market=plan.market, rates=rates, sets=sets(plan.market, rates, plan.draws))


def _effect(varied: Variation, keeping: Keeping, more: float) -> Sensitivity:
    less = keeping.cost(varied.case(1.0 - STEP)) - keeping.before
    slope = (more - less) / (2.0 * STEP * max(abs(keeping.before), 1.0))
    return Sensitivity(
        key=varied.key,
        written=varied.written,
        source=varied.source,
        less=less,
        more=more,
        changes="",
        elasticity=slope if np.isfinite(slope) else 0.0,
    )


def rate_used(world: World, system: str, *, plan: Plan) -> Rates:
    """Rates of one system for the jobs that use it in the plan, training runs at the size they were placed with."""
    from exafleet.fleet.build import rates

    given, market = world.scenario, plan.market
    placed = {p.job: p.chips for p in plan.placements if p.system == system}
    k = market.systems.index(system)
    holders = plan.holder_system.tolist() + [market.systems.index(r.system) for r in market.scenario.rentals]
    here = [a for a, other in enumerate(holders) if other == k]
    busy = plan.use[0][:, here].sum(axis=(1, 2)) > 0
    jobs = [
        replace(job, least=placed[job.id], most=placed[job.id]) if isinstance(job, TrainJob) else job
        for job, used in zip(given.jobs, busy.tolist(), strict=True)
        if (job.id in placed if isinstance(job, TrainJob) else used)
    ]
    return rates(
        replace(
            world,
            scenario=replace(
                given,
                jobs=tuple(jobs),
                holdings=tuple(r for r in given.holdings if r.system == system),
                open_orders=tuple(r for r in given.open_orders if r.system == system),
                offers=tuple(r for r in given.offers if r.system == system),
                rentals=tuple(r for r in given.rentals if r.system == system),
            ),
        )
    )


class Anew:
    """Orders planned anew on the base draw, fractions of a unit allowed, against those for the numbers as they are."""

    def __init__(self, base: Case, draws: Draws) -> None:
        self._draws = draws
        self._basis: Any = None
        self._first, self.bought, self.parts_before, self._basis = self._solve(base)
        self.keeping = Keeping(base, draws, self._first)

    def plan(self, case: Case) -> tuple[dict[str, float], Floats]:
        """Units by offer and chips by contract, and cost by part [USD]; NaN where nothing can be planned."""
        return self._solve(case)[1:3]

    def saves(self, case: Case) -> float:
        """What planning anew saves over these decisions kept, in another world; NaN where they cannot be. [USD]"""
        return self.keeping.cost(case) - float(self.plan(case)[1].sum())

    def _solve(self, case: Case) -> tuple[Floats, dict[str, float], Floats, Any]:
        """First stage, units by offer and chips by contract, cost by part [USD], and basis."""
        from exafleet.plan.twostage import two_stage
        from exafleet.plan.writtenout import write_out

        problem = two_stage(case.market, case.draws or self._draws, case.sets, yielding_rules())
        found, basis = _solved(replace(write_out(replace(problem, weight=0.0)), whole=None), self._basis)
        x = len(problem.x_lower)
        first, spent = found.v[:x], _spent(problem, found, x)
        return first, _bought(problem, first) if len(first) or not x else {}, spent, basis

    def changes(self, varied: Variation, found: Sensitivity) -> str:
        """What to order instead when the number turns out a tenth worse; "stays" where that saves next to nothing."""
        worse = 1.0 + STEP if found.more >= found.less else 1.0 - STEP
        side = "more" if worse > 1 else "less"
        case = varied.case(worse)
        bought, parts = self.plan(case)
        cost = float(parts.sum())
        saves = self.keeping.cost(case) - cost
        if not saves > WORTH * abs(cost):
            return said(f"sensitivity.stays {side}")
        changed = difference(self.bought, bought) or said("sensitivity.other months")
        return said(f"sensitivity.changes {side}", changed=changed, saves=saves)


def _bought(problem: TwoStage, first: Floats) -> dict[str, float]:
    """Units by offer and chips by rental contract of a first stage that may hold fractions."""
    from exafleet.plan.read import take

    build, scenario = problem.build, problem.build.market.scenario
    found: dict[str, float] = defaultdict(float)
    for offer, units in zip(build.book.offer.tolist(), take(build.x["order"], first).tolist(), strict=True):
        found[scenario.offers[offer].id] += units
    for rental, blocks in zip(scenario.rentals, take(build.x["contract"], first), strict=True):
        found[rental.id] += float(np.sum(blocks)) * rental.block
    return found


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """What differs by more than 2 % and one unit, in words; the largest relative change first."""
    old, new = defaultdict(float, before), defaultdict(float, after)
    names = [n for n in old.keys() | new.keys() if abs(new[n] - old[n]) > max(1.0, 0.02 * max(old[n], new[n]))]
    names.sort(key=lambda n: (-abs(new[n] - old[n]) / max(old[n], new[n]), n))
    shown = [said("sensitivity.units", name=n, old=old[n], new=new[n]) for n in names[:3]]
    return joined([*shown, *(["..."] if len(names) > 3 else [])]) if shown else ""
