"""Fixed decisions costed in fresh draws: the same as in the plan, whatever the order, the batches, the workers."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.records import TrainJob
from exafleet.market.draws import Draws
from exafleet.market.futures import draw
from exafleet.plan import evaluate as module
from exafleet.plan.evaluate import evaluate, some
from exafleet.plan.highs import Solver
from exafleet.plan.order import alike
from exafleet.plan.plan import Plan
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market, taken
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import write_out

SMALL = {"months": 9, "systems": 4, "sites": 2, "owners": 2, "jobs": 6, "sizes": 2, "scale": 0.01, "seed": 3}


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def futures(case: Instance, n: int) -> Draws:
    return draw(case.market, n, 5, rates=case.rates, demand_growth=0.3)


@pytest.fixture(scope="module")
def plan(case: Instance) -> Plan:
    return solve_market(case.market, case.rates, futures(case, 4))


def test_costs_are_those_of_the_plan(case: Instance, plan: Plan) -> None:
    found = evaluate(case.market, case.rates, plan, plan.draws)
    total = plan.cost.values.sum(axis=1)
    assert found.total[1:] == pytest.approx(total[1:], rel=1e-7)
    # Of equal answers the two may take different ones: whose units are used may differ, and so who pays, not the sum.
    paid, known = found.cash[1:].sum(axis=1), plan.cash[1:].sum(axis=1)
    assert paid == pytest.approx(known, rel=1e-5, abs=1e-3 * np.abs(plan.cash).max())
    # The plan's base draw is in whole units, which can only cost more.
    assert found.total[0] <= total[0] + 1e-7 * abs(total[0])
    assert found.work.sum() > 0
    train = np.array([isinstance(job, TrainJob) for job in case.market.scenario.jobs])
    assert (found.progress[:, ~train] == 0).all()
    assert (found.served[:, train] == 0).all()


def test_each_draw_costs_what_one_programme_of_its_own_says(case: Instance, plan: Plan) -> None:
    draws = futures(case, 12)
    found = evaluate(case.market, case.rates, plan.first, draws)
    for n in (3, 11):
        pair = some(draws, np.array([0, n]))
        problem = taken(two_stage(case.market, pair, sets(case.market, case.rates, pair)), plan.first)
        alone = Solver(write_out(replace(problem, probability=np.array([0.0, 1.0]), weight=0.0))).solve()
        assert found.total[n] == pytest.approx(alone.value * problem.build.money, rel=1e-6)


def test_batches_and_workers_change_nothing(case: Instance, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = futures(case, 11)
    whole = evaluate(case.market, case.rates, plan, draws)
    monkeypatch.setattr(module, "BATCH", 3)
    one, two = (evaluate(case.market, case.rates, plan, draws, workers=w) for w in (1, 2))
    for name in ("cash", "served", "progress", "work"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.cost.values.tobytes() == two.cost.values.tobytes()
    assert one.total == pytest.approx(whole.total, rel=1e-7)


def test_mean_and_tail(case: Instance, plan: Plan) -> None:
    found = evaluate(case.market, case.rates, plan, futures(case, 10))
    assert found.mean == pytest.approx(found.total.mean())
    assert found.cvar(0.9) == pytest.approx(found.total.max())
    assert found.cvar(0.0) == pytest.approx(found.mean)


def test_progress_is_told_and_a_stop_is_heard(case: Instance, plan: Plan) -> None:
    told: list[tuple[int, int]] = []
    evaluate(case.market, case.rates, plan, futures(case, 5), progress=lambda done, of: told.append((done, of)))
    assert told == [(i, 5) for i in range(1, 6)]
    with pytest.raises(KeyboardInterrupt):
        evaluate(case.market, case.rates, plan, futures(case, 5), stop=lambda: True)


def test_decisions_of_another_market(case: Instance, plan: Plan) -> None:
    with pytest.raises(ValueError, match="another market"):
        evaluate(case.market, case.rates, plan.first[:-1], futures(case, 3))
    with pytest.raises(ValueError, match="another market"):
        solve_market(case.market, case.rates, futures(case, 3), first=plan.first[:-1])


def test_decisions_already_taken_are_kept(case: Instance, plan: Plan) -> None:
    order = plan.first.copy()
    problem = two_stage(case.market, plan.draws, sets(case.market, case.rates, plan.draws))
    free = np.ones(len(order), dtype=bool)
    free[problem.build.x["order"]] = False
    order[problem.build.x["order"]] = 0.0
    without = solve_market(case.market, case.rates, plan.draws, first=np.where(free, np.nan, order))
    assert not without.orders
    assert plan.orders
    assert without.objective >= plan.bound
    again = solve_market(case.market, case.rates, plan.draws, first=plan.first)
    assert again.objective == pytest.approx(plan.objective, rel=1e-6)


def test_alike_draws_follow_each_other() -> None:
    assert alike(np.array([[0.0], [9.0], [1.0], [8.0]])).tolist() == [0, 2, 3, 1]
