"""The programme by two solvers that share no code: HiGHS written out, HiGHS decomposed, and OR-tools (SCIP, GLOP)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.plan_instance import instance
from exafleet.apps.main import app
from exafleet.market.futures import draw
from exafleet.plan.decompose import solve_decomposed
from exafleet.plan.highs import Linear, Solver
from exafleet.plan.secondsolver import solve_linear, solve_second
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.plan.writtenout import Answer, solve_written_out, write_out

pytest.importorskip("ortools", reason="OR-tools is the optional extra `ortools`")

TINY = Path(__file__).parents[1] / "samples" / "tiny"
LARGER = {"months": 9, "systems": 4, "sites": 2, "owners": 2, "jobs": 6, "sizes": 2, "scale": 0.01}
SMALLER = {"months": 7, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.005}


def problem(n: int, **given: object) -> TwoStage:
    """Gangs, an offer with a queue and one with tiers, open orders, rentals, loans, moves; budgets unless told."""
    case = instance(**given)  # type: ignore[arg-type]
    draws = draw(case.market, n, 5, rates=case.rates, demand_growth=0.2)
    return two_stage(case.market, draws, sets(case.market, case.rates, draws))


@pytest.mark.parametrize(("n", "given"), [
    pytest.param(3, {**LARGER, "seed": 3}, marks=pytest.mark.slow),
    pytest.param(3, {**LARGER, "seed": 4, "weight": 0.4}, marks=pytest.mark.slow),
    (2, {**LARGER, "seed": 5, "weight": 0.3, "budget": False}),
    (3, {**SMALLER, "seed": 2, "weight": 0.5}),
    (4, {**SMALLER, "seed": 7}),
    (1, {**SMALLER, "seed": 11}),
])
def test_two_solvers_and_three_ways_agree_at_no_gap(n: int, given: dict[str, object]) -> None:
    p = problem(n, **given)
    answers: dict[str, Answer] = {"written out": solve_written_out(p, 0.0), "OR-tools": solve_second(p, 0.0),
                                  "decomposed": solve_decomposed(p, 0.0)}
    value = answers["written out"].value
    for name, answer in answers.items():
        assert answer.status == "optimal", name
        assert answer.value == pytest.approx(value, rel=1e-6), name
        assert answer.bound == pytest.approx(value, rel=1e-6), name
    queued, placed = p.build.book.queued > 0, p.build.x["started"] >= 0
    assert queued.any(), "the case must offer a place in a queue"
    assert placed.any(), "the case must have gangs to place"
    assert p.weight == given.get("weight", 0.0)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_relaxed_both_solvers_agree(weight: float) -> None:
    """Without whole units: simplex against simplex, of different houses."""
    relaxed = replace(write_out(problem(3, **{**LARGER, "seed": 6, "weight": weight})), whole=None)
    ours, theirs = Solver(relaxed).solve(), solve_linear(relaxed)
    assert ours.status == theirs.status == "optimal"
    assert theirs.value == pytest.approx(ours.value, rel=1e-6)
    assert theirs.value == pytest.approx(float(relaxed.cost @ theirs.v) + relaxed.offset, rel=1e-9)


def test_a_plan_by_the_second_solver_is_a_plan_like_any_other() -> None:
    case = instance(**SMALLER, seed=2)
    draws = draw(case.market, 2, 5, rates=case.rates)
    ours = solve_market(case.market, case.rates, draws, gap=0.0)
    theirs = solve_market(case.market, case.rates, draws, gap=0.0, method="ortools")
    assert theirs.method == "ortools"
    assert theirs.bound == pytest.approx(ours.bound, rel=1e-6)
    assert theirs.objective == pytest.approx(float(theirs.expected.total), rel=1e-9)
    again = solve_market(case.market, case.rates, draws, gap=0.0, method="ortools")
    assert again.first.tobytes() == theirs.first.tobytes()


def usd(meta: dict[str, str]) -> float:
    return float(meta["objective"].removesuffix(" USD"))


def test_the_command_gives_the_same_plan_by_both_solvers() -> None:
    told = []
    for solver in ("highs", "ortools"):
        done = CliRunner().invoke(app, ["plan", str(TINY), "--quick", "--draws", "1", "--solver", solver, "--no-store",
                                        "--format", "json"])
        assert done.exit_code == 0, done.stderr
        told.append(json.loads(done.stdout)["meta"])
    assert "OR-tools" in told[1]["method"]
    assert usd(told[1]) == pytest.approx(usd(told[0]), rel=0.01)  # each within its gap


def _linear(rows: list[list[float]], lower: list[float], upper: list[float], cost: list[float],
            whole: list[bool] | None = None) -> Linear:
    from scipy.sparse import csr_matrix

    return Linear(rows=csr_matrix(np.array(rows)), lower=np.array(lower), upper=np.array(upper), cost=np.array(cost),
                  v_lower=np.zeros(len(cost)), v_upper=np.full(len(cost), np.inf),
                  whole=None if whole is None else np.array(whole), offset=7.0)


@pytest.mark.parametrize("whole", [None, [True, False]])
def test_what_cannot_be_is_infeasible(whole: list[bool] | None) -> None:
    found = solve_linear(_linear([[1.0, 1.0], [1.0, 1.0]], [3.0, -np.inf], [np.inf, 2.0], [1.0, 1.0], whole))
    assert found.status == "infeasible"
    assert not len(found.v)


def test_a_problem_solved_by_hand() -> None:
    """Least 3a + 2b + 7, a + b >= 2.5, a - b >= 0: a = b = 1.25 costs 13.25; a whole: a = 2, b = 0.5 costs 14."""
    rows, lower, upper = [[1.0, 1.0], [1.0, -1.0]], [2.5, 0.0], [np.inf, np.inf]
    assert solve_linear(_linear(rows, lower, upper, [3.0, 2.0])).value == pytest.approx(13.25)
    found = solve_linear(_linear(rows, lower, upper, [3.0, 2.0], [True, False]))
    assert found.value == pytest.approx(14.0)
    assert found.v == pytest.approx([2.0, 0.5])


def test_a_stop_gives_the_best_so_far_or_nothing() -> None:
    p = problem(6, **{**LARGER, "seed": 4, "weight": 0.4})
    at_once = solve_second(p, 0.0, lambda: True)
    assert at_once.status in ("nothing", "stopped")
    assert at_once.value == np.inf or at_once.bound <= at_once.value
