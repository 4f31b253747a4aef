"""The recourse at decisions that do not change: small, because what was not ordered can be nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from exafleet.market.market import Floats, Ints
from exafleet.plan.highs import Linear, Solver, Stop
from exafleet.plan.lean import Lean, Range, lean
from exafleet.plan.twostage import TwoStage

# Hundreds of short iterations from one draw's basis to the next: exact steepest edges cost more than they save there.
DEVEX = 1

BATCH = 50   # draws made ready together


def every_draw(p: TwoStage, x: Floats, order: Ints, stop: Stop | None = None) -> Floats:
    """What follows from decisions x in every draw, solved in this order. [N, Y]"""
    y, recourse = np.zeros((p.draws, len(p.y_lower))), FixedRecourse(stop)
    for i in range(0, len(order), BATCH):
        batch = order[i:i + BATCH]
        recourse.prepare(p, x, batch)
        for n in batch.tolist():
            y[n] = recourse.solve(n)
    return y


class FixedRecourse:
    """The recourse at one first-stage point: small, because what was not ordered can be nowhere."""

    def __init__(self, stop: Stop | None = None) -> None:
        self._stop = stop
        self._solver: Solver | None = None
        self._kept: Lean | None = None

    def prepare(self, p: TwoStage, x: Floats, which: Ints) -> None:
        """Make ready for some draws of a programme of the same shape as before."""
        self._p = p
        self._taken = {int(n): p.couple[n] @ x for n in which}
        low = np.array([p.lower[n] - self._taken[int(n)] for n in which])
        high = np.array([p.upper[n] - self._taken[int(n)] for n in which])
        self._bounds = {int(n): p.bounds(int(n), x) for n in which}
        least = np.min([low for low, _ in self._bounds.values()], axis=0)
        most = np.max([high for _, high in self._bounds.values()], axis=0)
        reach = Range(low=low.min(axis=0), high=high.max(axis=0), low_most=low.max(axis=0), high_least=high.min(axis=0))
        found = lean(p.recourse, reach, least, most)
        if self._kept is None or (found.rows & ~self._kept.rows).any() or (found.columns & ~self._kept.columns).any():
            self._open(p, found)

    def _open(self, p: TwoStage, found: Lean) -> None:
        """A solver over what matters now and what mattered before, from the basis of the one before."""
        before, basis = self._kept, self._solver.basis() if self._solver is not None else None
        if before is not None:
            found = Lean(rows=found.rows | before.rows, columns=found.columns | before.columns)
        rows, columns = np.flatnonzero(found.rows), np.flatnonzero(found.columns)
        self._solver = Solver(
            Linear(rows=p.recourse[rows][:, columns], lower=p.lower[0][rows], upper=p.upper[0][rows],
                   v_lower=p.y_lower[columns], v_upper=p.y_upper[0][columns], cost=p.cost2[0][columns]),
            solver="simplex", simplex_dual_edge_weight_strategy=DEVEX)
        if before is not None and basis is not None:
            self._solver.start_from_part(basis, np.flatnonzero(before.rows), rows, np.flatnonzero(before.columns),
                                         columns)
        self._kept, self._rows, self._columns = found, rows, columns

    def solve(self, n: int) -> Floats:
        """y of a draw. [Y]"""
        p, solver = self._p, self._solver
        y = p.y_lower.copy()
        if self._stop is not None and self._stop():
            raise KeyboardInterrupt
        if solver is None or not len(self._columns):
            return y
        taken = self._taken[n][self._rows]
        solver.change_rows(p.lower[n][self._rows] - taken, p.upper[n][self._rows] - taken)
        least, most = (bound[self._columns] for bound in self._bounds[n])
        solver.change_columns(least, most)
        solver.change_cost(p.cost2[n][self._columns])
        found: Any = solver.solve()
        if found.status != "optimal":
            raise RuntimeError(f"the recourse of a draw ended as {found.status}; it should always be feasible")
        y[self._columns] = found.v
        return y
