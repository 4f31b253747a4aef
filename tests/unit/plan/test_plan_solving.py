"""A solve that is stopped, watched, repeated; and the pieces it is made of, against what they stand for."""

import numpy as np
import pytest

from benchmarks.plan_instance import Instance, instance
from exafleet.market.futures import draw
from exafleet.plan.lean import Range, lean
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.space import space
from exafleet.plan.twostage import TwoStage, two_stage

SMALL = {"months": 9, "systems": 4, "sites": 2, "owners": 2, "jobs": 6, "sizes": 2, "scale": 0.01, "seed": 3}


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def problem(case: Instance, n: int) -> TwoStage:
    draws = draw(case.market, n, 5, rates=case.rates, demand_growth=0.3)
    return two_stage(case.market, draws, sets(case.market, case.rates, draws))


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_stop_after_any_round_gives_a_plan_with_its_gap(case: Instance, rounds: int) -> None:
    told: list[tuple[str, int]] = []

    def progress(phase: str, number: int, bound: float, value: float) -> None:
        told.append((phase, number))

    draws = draw(case.market, 8, 5, rates=case.rates)
    plan = solve_market(case.market, case.rates, draws, method="decomposed", gap=0.0, progress=progress,
                        stop=lambda: len(told) >= rounds)
    assert plan.status == "stopped"
    assert plan.bound <= plan.objective
    assert plan.gap > 0
    assert plan.objective == pytest.approx(float(plan.expected.total), rel=1e-9)
    full = solve_market(case.market, case.rates, draws, method="decomposed", gap=0.002)
    assert plan.bound <= full.objective
    assert full.bound <= plan.objective


def test_the_same_input_gives_the_same_bytes(case: Instance) -> None:
    draws = draw(case.market, 10, 5, rates=case.rates)
    one, two = (solve_market(case.market, case.rates, draws, method="decomposed") for _ in range(2))
    assert one.first.tobytes() == two.first.tobytes()
    assert one.cost.values.tobytes() == two.cost.values.tobytes()
    assert one.rack_value.tobytes() == two.rack_value.tobytes()


def test_starts_stand_for_placements(case: Instance) -> None:
    """What z says of the first stage is what x says, there and back, and within the same rules."""
    p = problem(case, 3)
    s = space(p)
    rng = np.random.Generator(np.random.PCG64(2))
    z = np.where(s.start, 0.0, rng.integers(0, 3, len(s.start)))
    starts = np.flatnonzero(s.start)
    z[rng.choice(starts, 1)] = 1.0
    x = s.spread @ z
    assert s.gather @ x == pytest.approx(z)
    started = p.build.x["started"]
    values = np.where(started >= 0, x[started], 0.0)
    assert (np.diff(values, axis=1) >= 0).all()
    assert values[:, -1].sum() == 1.0


def test_lean_keeps_what_can_matter() -> None:
    """a is 0 by its row, so b <= a is 0 too; c may reach 2; the last row binds nobody."""
    from scipy.sparse import csr_matrix

    rows = csr_matrix(np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]))
    high = np.array([0.0, 0.0, 2.0, 100.0])
    low = np.full(4, -np.inf)
    found = lean(rows, Range(low=low, high=high, low_most=low, high_least=high), np.zeros(3),
                 np.array([np.inf, np.inf, 5.0]))
    assert found.columns.tolist() == [False, False, True]
    assert found.rows.tolist() == [False, False, True, False]
