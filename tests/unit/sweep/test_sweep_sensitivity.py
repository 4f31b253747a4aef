"""What the answer hangs on: the same decisions costed in other worlds."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from exafleet.apps import scenario
from exafleet.facts.world import load_world
from exafleet.fleet.build import rates
from exafleet.market.futures import draw
from exafleet.market.market import market
from exafleet.plan.evaluate import FixedRecourse
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import two_stage
from exafleet.sweep.local import Interrupted
from exafleet.sweep.sensitivity import (
    Keeping,
    base_case,
    base_draw,
    rate_used,
    sensitivity,
    used_systems,
    yielding_rules,
)
from exafleet.sweep.variations import fact_variations, scenario_variations


@pytest.fixture(scope="module")
def solved():
    world = load_world(Path(scenario.TEMPLATES))
    table = rates(world)
    sold = market(world, table)
    return world, table, solve_market(sold, table, draw(sold, 2, 1, rates=table))


@pytest.fixture(scope="module")
def varied(solved):
    world, table, plan = solved
    base = base_case(plan, table)
    facts = fact_variations(world, base, used_systems(plan), partial(rate_used, plan=plan))
    return Keeping(base, base_draw(plan.draws), plan.first), [*scenario_variations(world, base), *facts]


def test_keeping_the_decisions_costs_what_the_recourse_of_the_plan_costs(solved, varied):
    """Two ways to the same figure; the plan's own base draw has whole units on top, so it is never cheaper."""
    _, table, plan = solved
    base, draws = base_case(plan, table), base_draw(plan.draws)
    problem = two_stage(base.market, draws, base.sets, yielding_rules())
    recourse = FixedRecourse()
    recourse.prepare(problem, plan.first, np.arange(1))
    cost = problem.spent(0, plan.first, recourse.solve(0)).sum()
    assert varied[0].before == pytest.approx(cost, rel=1e-9)
    assert varied[0].before <= float(plan.cost.at(0).total) * (1 + 1e-9 * np.sign(plan.cost.at(0).total)) + 1e-3


def test_a_factor_of_one_changes_nothing(varied):
    keeping, variations = varied
    assert len({v.key for v in variations}) == len(variations) > 20
    for one in variations:
        assert keeping.cost(one.case(1.0)) == pytest.approx(keeping.before, rel=1e-7), one.key


def test_directions_are_those_of_common_sense(varied):
    keeping, variations = varied
    by_key = {v.key: v for v in variations}
    change = {key: keeping.cost(by_key[key].case(1.1)) - keeping.before for key in by_key}
    slack = 1e-6 * abs(keeping.before)
    dearer = [
        k for k in by_key if k.endswith((".unserved", ".late", ".unfinished", ".tokens", ".energy_price", ".demand"))
    ]
    cheaper = [k for k in by_key if k.endswith((".value", ".resale", ".hbm_bw")) or ".peak_flops@" in k]
    assert dearer
    assert cheaper
    assert {k: change[k] for k in dearer if change[k] < -slack} == {}
    assert {k: change[k] for k in cheaper if change[k] > slack} == {}


def test_the_value_of_a_run_that_is_finished_counts_in_full(solved, varied):
    """A run that is done earns its value, so the cost moves by the discounted tenth of it and by no more."""
    world, _, plan = solved
    keeping, variations = varied
    done = plan.progress[0, 0, -1]
    value = next(v for v in variations if v.key == "jobs.our-8b.value")
    change = keeping.cost(value.case(1.1)) - keeping.before
    assert -0.1 * world.value("jobs.our-8b.value") * done <= change <= 0.0


def test_the_largest_come_first_and_the_same_twice(solved):
    found = sensitivity(*solved)
    assert 0 < len(found) <= 5
    assert [abs(s.elasticity) for s in found] == sorted((abs(s.elasticity) for s in found), reverse=True)
    assert all(s.source and s.written and s.changes for s in found)
    assert sensitivity(*solved) == found


def test_an_interrupt_carries_what_was_found(solved):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        sensitivity(*solved, facts=False, progress=stop)
    assert len(caught.value.finished) == 2
