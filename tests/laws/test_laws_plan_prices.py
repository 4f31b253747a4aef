"""A price is what one more is worth: never less than what a little more saves, never more than a little less costs."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import instance
from exafleet.market.futures import draw
from exafleet.plan.fixed import FixedRecourse
from exafleet.plan.plan import Fair, Plan
from exafleet.plan.read import read
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.plan.writtenout import solve_written_out

SMALL = {"months": 8, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01, "seed": 11}


@pytest.fixture(scope="module")
def solved() -> tuple[TwoStage, np.ndarray, Plan]:
    case = instance(**SMALL)
    market = replace(case.market, power=case.market.power * 0.05)
    draws = draw(market, 3, 2)
    problem = two_stage(market, draws, sets(market, case.rates, draws))
    answer = solve_written_out(problem, 1e-4)
    none = np.full(1, np.nan)
    fair = Fair(rule="none", weight=np.ones(1), alone=none, promised=none,
                alone_finish=np.full(len(market.scenario.jobs), -1))
    return problem, answer.x, read(problem, answer, "written out", fair)


def cost(problem: TwoStage, x: np.ndarray) -> float:
    """Mean recourse cost at fixed decisions. [USD]"""
    recourse = FixedRecourse()
    recourse.prepare(problem, x, np.arange(problem.draws))
    each = [problem.cost2[n] @ recourse.solve(n) for n in range(problem.draws)]
    return float(problem.probability @ each) * problem.build.money


def shifted(problem: TwoStage, row: int, by: float) -> TwoStage:
    lower, upper = problem.lower.copy(), problem.upper.copy()
    lower[:, row] += by
    upper[:, row] += by
    return replace(problem, lower=lower, upper=upper)


def between(problem: TwoStage, x: np.ndarray, row: int, price: float, step: float) -> None:
    here = cost(problem, x)
    slack = 1e-6 * abs(here)
    assert here - cost(shifted(problem, row, step), x) <= price * step + slack
    assert cost(shifted(problem, row, -step), x) - here >= price * step - slack


def test_a_megawatt(solved: tuple[TwoStage, np.ndarray, Plan]) -> None:
    problem, x, plan = solved
    priced = [b for b in plan.binding if b.rule == "power"]
    assert priced
    for binding in priced[:3]:
        site = [s.id for s in plan.market.scenario.sites].index(binding.place)
        assert plan.power_value[site, binding.month] * 1e6 == pytest.approx(binding.price)
        assert binding.limit == pytest.approx(plan.market.power[site, binding.month] / 1e6)
        assert plan.power[0, site, binding.month] <= plan.market.power[site, binding.month] * (1 + 1e-9)
        between(problem, x, int(problem.build.rows["power"][site, binding.month]), binding.price, 1e-3)


def test_a_rack(solved: tuple[TwoStage, np.ndarray, Plan]) -> None:
    problem, x, plan = solved
    dearest = np.argsort(-plan.rack_value.ravel())[:4]
    for o, k, t in zip(*np.unravel_index(dearest, plan.rack_value.shape), strict=True):
        row = int(problem.build.rows["arrivals"][o, k, t])
        here = cost(problem, x)
        assert here - cost(shifted(problem, row, 0.01), x) <= plan.rack_value[o, k, t] * 0.01 + 1e-6 * abs(here)
        assert plan.rack_value[o, k, t] > 0


def test_earlier_is_never_worth_less_than_nothing(solved: tuple[TwoStage, np.ndarray, Plan]) -> None:
    _, _, plan = solved
    assert (plan.month_earlier >= -1e-3).all()
    assert (plan.month_earlier[:, :, 0] == 0).all()
    asked = plan.premium[~np.isnan(plan.premium)]
    assert (asked >= 0).all()


def test_the_premium_worth_paying_is_where_the_queue_stops_being_used() -> None:
    case = instance(**{**SMALL, "budget": False})
    offers = case.market.scenario.offers

    def queued(premium: float) -> int:
        new = tuple(replace(f, queue=replace(f.queue, premium=premium)) if f.queue else f for f in offers)
        market = replace(case.market, scenario=replace(case.market.scenario, offers=new))
        return sum(o.units for o in solve_market(market, case.rates, draw(market, 1, 0), gap=0.0).orders if o.queued)

    assert queued(5.0) == 0
    assert queued(0.0) >= queued(0.1) >= queued(1.0)
