"""From a scenario file to a plan, through every floor below."""

from pathlib import Path

import numpy as np
import pytest

from exafleet.facts.world import load_world
from exafleet.fleet.build import rates
from exafleet.market.futures import draw
from exafleet.market.market import market
from exafleet.plan.solve import solve

TINY = Path(__file__).parents[2] / "samples" / "tiny" / "scenario.toml"


def test_the_tiny_scenario_has_a_plan() -> None:
    world = load_world(TINY)
    table = rates(world)
    given = market(world, table)
    assert given.systems == table.systems
    found = solve(world, table, draw(given, 3, 1, rates=table))
    assert found.status == "optimal"
    assert 0.0 <= found.gap <= 0.005
    scenario = given.scenario
    risk = scenario.risk
    worst = found.cost.total.max()
    mean = float(found.expected.total)
    assert found.objective == pytest.approx((1 - risk.weight) * mean + risk.weight * worst, rel=1e-9)
    assert found.use.shape == (3, len(scenario.jobs), len(found.holder_owner) + len(scenario.rentals), given.months)
    assert (found.power <= given.power * (1 + 1e-6)).all()
    assert np.isfinite(found.rack_value).all()
    kept = found.kept[0]
    assert kept.cancelled + sum(units for _, units, _ in kept.arrivals) == scenario.open_orders[0].units
