"""solve: World, Rates and Draws to a Plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.market import Market, market
from exafleet.plan.decompose import Progress, solve_decomposed
from exafleet.plan.highs import Stop, stoppable
from exafleet.plan.plan import Plan
from exafleet.plan.read import read
from exafleet.plan.relax import no_plan
from exafleet.plan.rules import RULES, Rule
from exafleet.plan.sets import sets
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.plan.writtenout import Answer, solve_written_out

if TYPE_CHECKING:
    from exafleet.facts.world import World

# Above this many columns, all draws counted, decomposition was faster in every instance measured (docs/models/plan.md).
WRITTEN_OUT_COLUMNS = 6_000


def solve(world: World, rates: Rates, draws: Draws, *, rules: tuple[Rule, ...] = RULES, gap: float = 0.005,
          progress: Progress | None = None, stop: Stop | None = None) -> Plan:
    """The plan with the least risk-adjusted present cost, proven to within `gap`.

    progress  called with (phase, round, bound, value) after each round, in solver money
    stop      asked often; when it says yes, or at Ctrl-C, the best plan so far comes back with its gap

    Raises NoPlan with the rules in conflict and the nearest relaxations; KeyboardInterrupt when stopped before any
    plan was found.
    """
    return solve_market(market(world, rates), rates, draws, rules=rules, gap=gap, progress=progress, stop=stop)


def solve_market(given: Market, rates: Rates, draws: Draws, *, rules: tuple[Rule, ...] = RULES, gap: float = 0.005,
                 progress: Progress | None = None, stop: Stop | None = None, method: str = "") -> Plan:
    """The same for a Market already built. method: "written out", "decomposed", or "" to let the size decide."""
    found = sets(given, rates, draws)
    problem = two_stage(given, draws, found, rules)
    with stoppable(stop) as asked:
        way, answer = _choose(problem, method)(problem, gap, asked, progress)
    if answer.status == "infeasible":
        raise no_plan(problem)
    if answer.status == "nothing":
        raise KeyboardInterrupt
    return read(problem, answer, way)


Way = Callable[[TwoStage, float, Stop, Progress | None], tuple[str, Answer]]


def _choose(problem: TwoStage, method: str) -> Way:
    small = len(problem.x_lower) + problem.draws * len(problem.y_lower) <= WRITTEN_OUT_COLUMNS
    if not len(problem.x_lower) and not len(problem.y_lower):
        return _nothing
    return _decomposed if method == "decomposed" or (not method and not small) else _written_out


def _nothing(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    """Nothing to decide: the cost is what nobody can change."""
    value = problem.risk(problem.constant)
    return "empty", Answer(status="optimal", x=np.zeros(0), value=value, bound=value)


def _written_out(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    return "written out", solve_written_out(problem, gap, stop)


def _decomposed(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    return "decomposed", solve_decomposed(problem, gap, stop, progress)
