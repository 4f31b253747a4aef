"""solve: World, Rates and Draws to a Plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Market, market
from exafleet.plan.decompose import Progress, solve_decomposed
from exafleet.plan.fair import Solved, measured
from exafleet.plan.highs import Stop, stoppable
from exafleet.plan.plan import Plan
from exafleet.plan.read import read, settled
from exafleet.plan.relax import no_plan
from exafleet.plan.rules import RULES, Rule
from exafleet.plan.sets import Sets, sets
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.plan.writtenout import Answer, solve_started, solve_written_out
from exafleet.terms.errors import NoPlan, Problem

if TYPE_CHECKING:
    from exafleet.facts.world import World

# Up to this many columns, all draws counted, one programme closed its gap sooner in the examples measured: cuts find
# out slowly what whole gangs cost (docs/models/plan.md).
WRITTEN_OUT_COLUMNS = 12_000
# Placements (run x place x size x month of start). They come into the master as they pay; what grows with all of them
# is memory and the pricing of each round.
MOST_CHOICES = 50_000


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
                 progress: Progress | None = None, stop: Stop | None = None, method: str = "",
                 first: Floats | None = None) -> Plan:
    """The same for a Market already built.

    method  "written out", "decomposed", "ortools" (written out, by the second solver), "started" (written out where
            that is small enough, from a point near the relaxed one: for rough answers), or "" to let the size decide
    first   decisions that are taken already, by first-stage column (`Plan.first`, or TwoStage.build.x by name); NaN
            where the plan is free. They must keep the rules of the first stage.                          [X]
    """
    found = sets(given, rates, draws)
    _refuse_too_large(given, found)
    problem = taken(two_stage(given, draws, found, rules), first)
    with stoppable(stop) as asked:

        def solve_pass(name: str, more: tuple[Rule, ...], change: Change) -> tuple[TwoStage, Solved] | None:
            said = None if progress is None else _within(progress, name)
            asked_for = problem if not more else taken(two_stage(given, draws, found, _before_cash(rules, more)), first)
            passed = change(asked_for)
            _, answer = choose(passed, method)(passed, gap, asked, said)
            if answer.status == "nothing":
                raise KeyboardInterrupt
            return None if answer.status == "infeasible" else (passed, settled(passed, answer.x))

        fair, more = measured(solve_pass, problem)
        if more:
            problem = taken(two_stage(given, draws, found, _before_cash(rules, more)), first)
        way, answer = choose(problem, method)(problem, gap, asked, progress)
    if answer.status == "infeasible":
        raise no_plan(problem)
    if answer.status == "nothing":
        raise KeyboardInterrupt
    return read(problem, answer, way, fair)


Change = Callable[[TwoStage], TwoStage]


def _within(progress: Progress, name: str) -> Progress:
    """Progress of a pass, under its name."""
    return lambda phase, number, bound, value: progress(f"{name}: {phase}", number, bound, value)


def _before_cash(rules: tuple[Rule, ...], more: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Rules of fairness move no cash; the rule of cash reads every ledger and stays the last."""
    return (*rules[:-1], *more, *rules[-1:])


def taken(problem: TwoStage, first: Floats | None) -> TwoStage:
    """The programme with some first-stage decisions taken already; NaN leaves a decision free. first [X]"""
    if first is None:
        return problem
    if len(first) != len(problem.x_lower):
        raise ValueError(f"{len(first)} decisions for {len(problem.x_lower)} first-stage columns: they were made for "
                         "another market or another base draw")
    given = np.isfinite(first)
    return replace(problem, x_lower=np.where(given, first, problem.x_lower),
                   x_upper=np.where(given, first, problem.x_upper))


def _refuse_too_large(given: Market, found: Sets) -> None:
    """A clear no before hours of work: every way to place every run in every month is a yes-or-no decision."""
    choices = int(found.option_open.sum())
    if choices > MOST_CHOICES:
        runs = len(set(found.option_job.tolist()))
        raise NoPlan(
            Problem(where=given.scenario.file, what=f"{runs:,} training runs could be placed in {choices:,} ways",
                    allowed=f"at most {MOST_CHOICES:,} in one plan"),
            relaxations=("join runs of the same model and owner into one (add up their tokens)",
                         "name the systems and sites each run may use, or narrow its window",
                         "plan fewer months, or one owner at a time"))


Way = Callable[[TwoStage, float, Stop, Progress | None], tuple[str, Answer]]


def choose(problem: TwoStage, method: str = "") -> Way:
    """How to solve a programme of this size: a function (problem, gap, stop, progress) -> (name, answer)."""
    small = len(problem.x_lower) + problem.draws * len(problem.y_lower) <= WRITTEN_OUT_COLUMNS
    if not len(problem.x_lower) and not len(problem.y_lower):
        return _nothing
    if method == "ortools":
        return _ortools
    if method == "started" and small:
        return _started
    return _decomposed if method in ("decomposed", "started") or (not method and not small) else _written_out


def _nothing(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    """Nothing to decide: the cost is what nobody can change."""
    value = problem.risk(problem.constant)
    return "empty", Answer(status="optimal", x=np.zeros(0), value=value, bound=value)


def _written_out(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    return "written out", solve_written_out(problem, gap, stop)


def _started(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    return "written out", solve_started(problem, gap, stop)


def _ortools(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    from exafleet.plan.secondsolver import solve_second

    return "ortools", solve_second(problem, gap, stop)


def _decomposed(problem: TwoStage, gap: float, stop: Stop, progress: Progress | None) -> tuple[str, Answer]:
    return "decomposed", solve_decomposed(problem, gap, stop, progress)
