"""Replay agrees with the plan where they model the same, and is stricter where reality is."""

import numpy as np
import pytest

from exafleet.facts.records import TrainJob
from exafleet.replay.live import PLANNED, Detail, replay


def test_replay_without_its_details_equals_the_plan(tiny):
    """Progress and service are computed afresh from the rates: the plan's books and the replay's are two accounts."""
    plan = tiny.plan
    for draw in range(plan.draws.count):
        lived = replay(plan, tiny.rates, draw=draw, detail=PLANNED)
        assert lived.progress == pytest.approx(plan.progress[draw], abs=1e-6)
        assert lived.served == pytest.approx(plan.served[draw], rel=1e-6, abs=1e-9)
        assert lived.installed == pytest.approx(plan.installed[draw], abs=1e-6)


def test_the_base_draw_runs_its_gangs_whole(tiny):
    lived = replay(tiny.plan, tiny.rates, detail=Detail(whole=True, days=False, failures=False))
    assert lived.waited.sum() == pytest.approx(0, abs=1.0)
    for j, job in enumerate(tiny.plan.market.scenario.jobs):
        if isinstance(job, TrainJob) and tiny.plan.finish[0, j] >= 0:
            assert lived.progress[j, -1] == pytest.approx(1.0)


def test_nobody_uses_more_than_stands(tiny):
    lived = replay(tiny.plan, tiny.rates)
    assert np.all(lived.used + lived.lent <= lived.owned + 1e-6)
    assert np.all(lived.idle >= 0)


def test_failures_cost_time_and_never_speed_a_run_up(tiny):
    calm = replay(tiny.plan, tiny.rates, detail=Detail(failures=False))
    rough = replay(tiny.plan, tiny.rates, chip_mtbf=64 * 86400.0, seed=3)
    assert rough.stops.sum() > calm.stops.sum() == 0
    assert rough.lost.sum() > 0
    assert rough.events > calm.events


def test_the_mean_of_many_failing_lives_is_the_planned_rate(tiny):
    """Goodput is an expectation: lives with failures scatter about the run without them."""
    steady = replay(tiny.plan, tiny.rates, detail=Detail(days=False, failures=False)).progress[:, :4].max()
    assert steady > 0
    lives = [replay(tiny.plan, tiny.rates, chip_mtbf=8 * 86400.0, seed=s,
                    detail=Detail(days=False)).progress[:, :4].max() for s in range(30)]
    assert np.mean(lives) == pytest.approx(steady, rel=0.05)


def test_the_same_seed_gives_the_same_life(tiny):
    one, two = (replay(tiny.plan, tiny.rates, chip_mtbf=64 * 86400.0, seed=7) for _ in range(2))
    assert np.array_equal(one.finish, two.finish, equal_nan=True)
    assert np.array_equal(one.progress, two.progress)


def test_racks_installed_one_by_one_stand_later_than_planned(tiny):
    at_once = replay(tiny.plan, tiny.rates, detail=Detail(days=False, failures=False))
    by_day = replay(tiny.plan, tiny.rates, detail=Detail(failures=False))
    assert by_day.installed == pytest.approx(at_once.installed)
    assert by_day.owned.sum() <= at_once.owned.sum() + 1e-6
