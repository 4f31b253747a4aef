"""The decomposed answer equals the written-out one, on random small problems solved to no gap."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.records import Event, Uncertainty
from exafleet.facts.steps import Spread
from exafleet.market.draws import NEVER
from exafleet.market.futures import draw
from exafleet.market.market import Market
from exafleet.plan.decompose import solve_decomposed
from exafleet.plan.plan import Fair
from exafleet.plan.read import read
from exafleet.plan.recourse import Recourse
from exafleet.plan.sets import sets
from exafleet.plan.space import space
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import solve_written_out

WIDE = Uncertainty(
    delay_common=0.2, power_delay=Spread(low=0.0, mid=3e6, high=9e6), power_common=0.4, price_volatility=0.3,
    price_common=0.5, rent_volatility=0.5, rent_common=0.7, demand_volatility=0.3, resale_volatility=0.3)
SMALL = {"months": 7, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01}
CASES = [{"seed": 1}, {"seed": 2, "weight": 0.5}, {"seed": 3, "budget": False}, {"seed": 4, "owners": 2, "jobs": 6},
         {"seed": 1, "react": 2}, {"seed": 4, "react": 1, "weight": 0.4},
         {"seed": 5, "systems": 4, "sites": 3, "jobs": 5}, {"seed": 6, "owners": 2, "months": 10, "weight": 0.3}]


def reacting(market: Market, react: int) -> Market:
    """Orders can be changed as things arrive, and cancelled for a tenth of the price."""
    scenario = market.scenario
    offers = tuple(replace(f, cancel=0.1) for f in scenario.offers)
    return replace(market, scenario=replace(scenario, offers=offers, risk=replace(scenario.risk, react=react)))


def small(case: dict[str, float]) -> Instance:
    """A small instance; `react` is not of the instance but of its scenario."""
    react = int(case.get("react", 0))
    given = instance(**{**SMALL, **{key: value for key, value in case.items() if key != "react"}})
    return replace(given, market=reacting(given.market, react)) if react else given


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ways_agree(case: dict[str, float]) -> None:
    given = small(case)
    draws = draw(given.market, 3, 1, rates=given.rates, demand_growth=0.2)
    problem = two_stage(given.market, draws, sets(given.market, given.rates, draws))
    whole, split = solve_written_out(problem, 0.0), solve_decomposed(problem, 0.0)
    assert whole.status == split.status == "optimal"
    assert split.value == pytest.approx(whole.value, rel=1e-6)
    assert split.bound <= split.value + 1e-6 * abs(split.value)
    assert np.abs(split.x - np.round(split.x))[problem.whole].max() < 1e-6


@pytest.mark.parametrize("case", [CASES[1], CASES[3], CASES[4]], ids=str)
def test_two_ways_agree_when_everything_is_drawn(case: dict[str, float]) -> None:
    """Prices, rents, power, used prices and bans by draw; and every part adds up to what the solver minimised."""
    given = small(case)
    first = given.market.start
    events = (Event(id="late", probability=0.5, first=first, delay=Spread(low=1e6, mid=6e6, high=9e6)),
              Event(id="ban", probability=0.5, first=first + 4, systems=(given.market.systems[-1],), ban=True))
    market = replace(given.market, scenario=replace(given.market.scenario, events=events))
    draws = draw(market, 4, 1, rates=given.rates, uncertainty=WIDE)
    problem = two_stage(market, draws, sets(market, given.rates, draws))
    whole, split = solve_written_out(problem, 0.0), solve_decomposed(problem, 0.0)
    assert split.value == pytest.approx(whole.value, rel=1e-6)
    none = np.full(len(market.scenario.owners), np.nan)
    fair = Fair(rule="none", weight=np.ones(len(none)), alone=none, promised=none,
                alone_finish=np.full(len(market.scenario.jobs), -1))
    plan = read(problem, whole, "written out", fair)
    risk = market.scenario.risk
    worst = np.sort(plan.cost.total)[-1] if risk.weight else 0.0
    assert plan.objective == pytest.approx(
        (1 - risk.weight) * draws.probability @ plan.cost.total + risk.weight * worst, rel=1e-9)
    for moved in ((draws.price != 1), (draws.resale != 1), (draws.power < 1), (draws.barred < NEVER)):
        assert moved.any()


@pytest.mark.parametrize("case", [{"seed": 2, "weight": 0.5}, {"seed": 5, "systems": 4}, {"seed": 7, "jobs": 6}],
                         ids=str)
def test_two_ways_agree_in_many_draws(case: dict[str, float]) -> None:
    """More draws than are solved in a round: most cuts are made of another draw's duals."""
    given = small(case)
    draws = draw(given.market, 16, 3, rates=given.rates, demand_growth=0.3, uncertainty=WIDE)
    problem = two_stage(given.market, draws, sets(given.market, given.rates, draws))
    whole, split = solve_written_out(problem, 0.0), solve_decomposed(problem, 0.0)
    assert whole.status == split.status == "optimal"
    assert split.value == pytest.approx(whole.value, rel=1e-6)
    loose = solve_decomposed(problem, 0.01)
    assert loose.bound <= whole.value + 1e-6 * abs(whole.value)
    assert whole.value - 1e-6 * abs(whole.value) <= loose.value <= whole.value + 0.01 * abs(loose.value)


def test_a_cut_shared_with_another_draw_is_never_above_its_cost() -> None:
    given = small({"seed": 4, "owners": 2, "jobs": 6})
    draws = draw(given.market, 8, 3, rates=given.rates, demand_growth=0.3, uncertainty=WIDE)
    p = two_stage(given.market, draws, sets(given.market, given.rates, draws))
    recourse, rng = Recourse(p, space(p)), np.random.Generator(np.random.PCG64(1))
    top = np.where(recourse.s.start, 0.2, np.minimum(recourse.s.upper, 3.0))
    points = [np.clip(rng.uniform(0, 1, len(top)) * top, recourse.s.lower, recourse.s.upper) for _ in range(3)]
    exact = np.array([[recourse.solve(n, z)[0] for n in range(p.draws)] for z in points])
    for z, cost in zip(points, exact, strict=True):
        least = recourse.values(z)
        assert (least <= cost + 1e-6 * np.abs(cost).max()).all()
        assert least.max(axis=0) == pytest.approx(cost, rel=1e-6)
        slope, intercept = recourse.cut(p.probability, least.argmax(axis=0))
        assert slope @ z + intercept == pytest.approx(p.probability @ cost, rel=1e-6)
        for other, there in zip(points, exact, strict=True):
            assert slope @ other + intercept <= p.probability @ there + 1e-6 * np.abs(there).max()


def test_what_a_ban_stops_is_not_paid_for() -> None:
    """An order that a ban keeps from coming costs nothing in that draw, and nothing of it arrives."""
    given = instance(**{**SMALL, "seed": 1})
    events = (Event(id="ban", probability=0.5, first=given.market.start, ban=True),)
    market = replace(given.market, scenario=replace(given.market.scenario, events=events))
    draws = draw(market, 8, 1)
    problem = two_stage(market, draws, sets(market, given.rates, draws))
    banned, order = draws.happened[:, 0], problem.build.x["order"]
    assert set(banned) == {True, False}
    assert len(order)
    assert (problem.cost1[banned][:, order] == 0).all()
    assert (problem.cost1[~banned][:, order] != 0).all()
    for n in np.flatnonzero(banned):
        assert not problem.couple[n][:, order].nnz
