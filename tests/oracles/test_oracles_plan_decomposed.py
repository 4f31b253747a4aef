"""The decomposed answer equals the written-out one, on random small problems solved to no gap."""

import numpy as np
import pytest

from benchmarks.plan_instance import instance
from exafleet.market.draws import draw
from exafleet.plan.decompose import solve_decomposed
from exafleet.plan.sets import sets
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import solve_written_out

SMALL = {"months": 7, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01}
CASES = [{"seed": 1}, {"seed": 2, "weight": 0.5}, {"seed": 3, "budget": False}, {"seed": 4, "owners": 2, "jobs": 6},
         {"seed": 5, "systems": 4, "sites": 3, "jobs": 5}, {"seed": 6, "owners": 2, "months": 10, "weight": 0.3}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ways_agree(case: dict[str, float]) -> None:
    given = instance(**{**SMALL, **case})
    draws = draw(given.market, 3, 1, rates=given.rates, demand_growth=0.2)
    problem = two_stage(given.market, draws, sets(given.market, given.rates, draws))
    whole, split = solve_written_out(problem, 0.0), solve_decomposed(problem, 0.0)
    assert whole.status == split.status == "optimal"
    assert split.value == pytest.approx(whole.value, rel=1e-6)
    assert split.bound <= split.value + 1e-6 * abs(split.value)
    assert np.abs(split.x - np.round(split.x))[problem.whole].max() < 1e-6
