"""A plan from a point near the relaxed one: as good as is asked, and proven so."""

import numpy as np
import pytest

from exafleet.market.futures import draw
from exafleet.market.market import market
from exafleet.plan.rules import RULES
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import _near_relaxed, solve_started, solve_written_out, write_out


@pytest.fixture(scope="module")
def sold(tiny):
    found = market(tiny.world, tiny.rates)
    return found, draw(found, 1, 1, rates=tiny.rates)


@pytest.fixture(scope="module")
def problem(tiny, sold):
    return two_stage(*sold, sets(sold[0], tiny.rates, sold[1]), RULES)


@pytest.mark.parametrize("gap", [0.0, 0.02, 0.2])
def test_it_is_within_the_gap_and_the_bounds_agree(problem, gap):
    best = solve_written_out(problem, 0.0)
    found = solve_started(problem, gap)
    assert found.status == "optimal"
    assert found.bound <= best.value + 1e-6 * abs(best.value)
    assert best.value - 1e-6 * abs(best.value) <= found.value <= best.value + (gap + 1e-6) * abs(best.value)


def test_the_point_it_starts_from_keeps_every_rule_and_is_whole(problem):
    linear = write_out(problem)
    point = _near_relaxed(linear, 0.02, None)
    assert point is not None
    whole = np.asarray(linear.whole).astype(bool)
    assert point[whole] == pytest.approx(np.round(point[whole]), abs=1e-6)
    rows = linear.rows @ point
    assert (rows >= linear.lower - 1e-6).all()
    assert (rows <= linear.upper + 1e-6).all()


def test_a_market_asks_for_it_by_name(tiny, sold):
    usual, started = (solve_market(sold[0], tiny.rates, sold[1], gap=0.02, method=m) for m in ("", "started"))
    assert started.method == usual.method == "written out"
    assert started.gap <= 0.02
    assert started.objective == pytest.approx(usual.objective, rel=0.04)
