"""The decomposed answer equals the written-out one, on random small problems solved to no gap."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import instance
from exafleet.market.draws import draw
from exafleet.market.market import Market
from exafleet.plan.decompose import solve_decomposed
from exafleet.plan.sets import sets
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import solve_written_out

SMALL = {"months": 7, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01}
CASES = [{"seed": 1}, {"seed": 2, "weight": 0.5}, {"seed": 3, "budget": False}, {"seed": 4, "owners": 2, "jobs": 6},
         {"seed": 1, "react": 2}, {"seed": 4, "react": 1, "weight": 0.4},
         {"seed": 5, "systems": 4, "sites": 3, "jobs": 5}, {"seed": 6, "owners": 2, "months": 10, "weight": 0.3}]


def reacting(market: Market, react: int) -> Market:
    """Orders can be changed as things arrive, and cancelled for a tenth of the price."""
    scenario = market.scenario
    offers = tuple(replace(f, cancel=0.1) for f in scenario.offers)
    return replace(market, scenario=replace(scenario, offers=offers, risk=replace(scenario.risk, react=react)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ways_agree(case: dict[str, float]) -> None:
    react = int(case.get("react", 0))
    given = instance(**{**SMALL, **{key: value for key, value in case.items() if key != "react"}})
    given = replace(given, market=reacting(given.market, react) if react else given.market)
    draws = draw(given.market, 3, 1, rates=given.rates, demand_growth=0.2)
    problem = two_stage(given.market, draws, sets(given.market, given.rates, draws))
    whole, split = solve_written_out(problem, 0.0), solve_decomposed(problem, 0.0)
    assert whole.status == split.status == "optimal"
    assert split.value == pytest.approx(whole.value, rel=1e-6)
    assert split.bound <= split.value + 1e-6 * abs(split.value)
    assert np.abs(split.x - np.round(split.x))[problem.whole].max() < 1e-6
