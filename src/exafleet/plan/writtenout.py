"""The two-stage programme written out in full: one copy of the recourse for every draw, one mixed-integer solve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.market import Floats
from exafleet.plan.highs import Linear, Solved, Solver, Stop
from exafleet.plan.twostage import TwoStage

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from exafleet.plan.recourse import Recourse

# What differs from a whole number by less is whole.
_WHOLE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """First-stage decisions [X] and what is proven, in solver money. The recourse follows from x.

    status  "optimal" within the gap asked, "stopped" with a feasible x, "infeasible", or "nothing" found before a stop
    recourse  what the decomposition learned about the draws, for the prices
    y         what follows from x in each draw, where all were solved at it [N, Y]
    """

    status: str
    x: Floats
    value: float
    bound: float
    rounds: int = 0
    rows: int = 0
    columns: int = 0
    recourse: Recourse | None = None
    y: Floats | None = None


def write_out(p: TwoStage) -> Linear:
    """Columns: x, then y of each draw, then eta and the excess of each draw where CVaR counts."""
    from scipy.sparse import block_diag, bmat, csr_matrix, vstack

    n, y = p.draws, len(p.y_lower)
    couple = vstack([*p.couple], format="csr")
    links = _links(p)
    fixed = _fixed(p)
    rows = [[p.first, None], [couple, block_diag([p.recourse] * n, format="csr")], [links[0], links[1]], [*fixed]]
    matrix = bmat(rows, format="csr") if y else vstack([p.first, couple], format="csr")
    lower = np.concatenate([p.first_lower, p.lower.ravel(), np.full(links[0].shape[0], -np.inf),
                            np.zeros(fixed[0].shape[0])])
    upper = np.concatenate([p.first_upper, p.upper.ravel(), np.zeros(links[0].shape[0]),
                            np.zeros(fixed[0].shape[0])])
    cost = np.concatenate([p.probability @ p.cost1, (p.probability[:, None] * p.cost2).ravel()])
    v_lower = np.concatenate([p.x_lower, np.tile(p.y_lower, n)])
    v_upper = np.concatenate([p.x_upper, p.y_upper.ravel()])
    whole = np.concatenate([p.whole, np.zeros(n * y, dtype=bool)])
    if p.weight == 0:
        return Linear(rows=matrix, lower=lower, upper=upper, v_lower=v_lower, v_upper=v_upper, cost=cost, whole=whole,
                      offset=fixed_cost(p))
    each = [csr_matrix(p.cost1), block_diag([csr_matrix(p.cost2[i:i + 1]) for i in range(n)], format="csr")]
    tail = bmat([[matrix, csr_matrix((matrix.shape[0], n + 1))],
                 [bmat([each], format="csr"), csr_matrix(np.hstack([-np.ones((n, 1)), -np.eye(n)]))]], format="csr")
    return Linear(
        rows=tail, lower=np.append(lower, np.full(n, -np.inf)), upper=np.append(upper, -p.constant),
        v_lower=np.concatenate([v_lower, [-np.inf], np.zeros(n)]), v_upper=np.append(v_upper, np.full(n + 1, np.inf)),
        cost=np.concatenate([(1 - p.weight) * cost, [p.weight], p.weight * p.probability / (1 - p.alpha)]),
        whole=np.append(whole, np.zeros(n + 1, dtype=bool)), offset=fixed_cost(p))


def _fixed(p: TwoStage) -> tuple[csr_matrix, csr_matrix]:
    """What the first stage fixes in the base draw: y - use x = 0."""
    from scipy.sparse import csr_matrix

    count = len(p.fixed_column)
    return -p.fixed_use, csr_matrix((np.ones(count), (np.arange(count), p.fixed_column)),
                                    shape=(count, p.draws * len(p.y_lower)))


def _links(p: TwoStage) -> tuple[csr_matrix, csr_matrix]:
    from scipy.sparse import csr_matrix

    n, count = p.draws, len(p.link_column)
    row = np.arange(n * count)
    columns = (np.arange(n)[:, None] * len(p.y_lower) + p.link_column[None, :]).ravel()
    first = csr_matrix((np.tile(-p.link_factor, n), (row, np.tile(p.link_first, n))), shape=(n * count, len(p.x_lower)))
    return first, csr_matrix((np.ones(n * count), (row, columns)), shape=(n * count, n * len(p.y_lower)))


def fixed_cost(p: TwoStage) -> float:
    """The part of the objective nobody can change (with CVaR it is inside the excess rows)."""
    return float(p.probability @ p.constant) * (1.0 - p.weight)


def solve_written_out(p: TwoStage, gap: float, stop: Stop | None = None) -> Answer:
    """One mixed-integer programme. Practical for a few draws; `solve_decomposed` is for many."""
    return _solved(p, write_out(p), gap, stop, p.start)


def solve_started(p: TwoStage, gap: float, stop: Stop | None = None) -> Answer:
    """The same from a whole point near the relaxed one, which saves a rough answer most of its time.

    What is whole in the relaxed programme is kept, and the little that is not is decided. The answer is proven to be
    within the same gap; which of the answers within it comes out may be another.
    """
    problem = write_out(p)
    return _solved(p, problem, gap, stop, _near_relaxed(problem, gap, stop))


def _solved(p: TwoStage, problem: Linear, gap: float, stop: Stop | None, start: Floats | None) -> Answer:
    """The answer of HiGHS from a point, or the first columns of one; NaN where it says nothing. start [<= V]"""
    solver = Solver(problem, stop=stop, mip_rel_gap=gap, mip_abs_gap=1e-9 if gap == 0 else 1e-7)
    if start is not None:
        known = np.flatnonzero(np.isfinite(start))
        solver.suggest(start[known], known)
    return told(p, problem, solver.solve())


def _near_relaxed(problem: Linear, gap: float, stop: Stop | None) -> Floats | None:
    """A whole point that keeps what is whole in the relaxed programme; None where there is none. [V]"""
    relaxed = Solver(replace(problem, whole=None), stop=stop).solve()
    if problem.whole is None or not len(relaxed.v):
        return None
    whole = np.round(relaxed.v)
    kept = np.asarray(problem.whole).astype(bool) & (np.abs(relaxed.v - whole) < _WHOLE)
    fixed = replace(problem, v_lower=np.where(kept, whole, problem.v_lower),
                    v_upper=np.where(kept, whole, problem.v_upper))
    found = Solver(fixed, stop=stop, mip_rel_gap=gap).solve()
    return found.v if len(found.v) else None


def told(p: TwoStage, problem: Linear, found: Solved) -> Answer:
    """What a solver found of the programme written out, as an answer."""
    rows, columns = len(problem.lower), len(problem.cost)
    if not len(found.v):
        status = "infeasible" if found.status == "infeasible" else "nothing"
        return Answer(status=status, x=np.zeros(0), value=np.inf, bound=-np.inf, rows=rows, columns=columns)
    status = "optimal" if found.status == "optimal" else "stopped"
    return Answer(status=status, x=found.v[:len(p.x_lower)], value=found.value, bound=min(found.bound, found.value),
                  rows=rows, columns=columns)
