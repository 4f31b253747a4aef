"""The master: first-stage decisions over cuts of what they cost. Small, because starts of runs come in as they pay.

Costs of draws are gathered in a few groups of like draws, one cost column and one cut per group and round; with CVaR
one more column, whose cuts weigh the draws as the tail of the point they were made at. Starts that are not in yet are
priced with the duals of every solve, so that its bound is that of the whole master.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.highs import Linear, Solved, Solver, Stop
from exafleet.plan.recourse import Stopped
from exafleet.plan.space import Space

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PRICED = 1e-7        # a start whose reduced cost is above minus this much would not help
MOST_NEW = 60        # starts that come in at once
MOST_NODES = 500     # of one integer master: a bound that is counted, not timed, so that every machine stops alike


class Infeasible(Exception):
    """No first-stage decision keeps every hard rule."""


class Master:
    """Columns: one cost per group, then the z that are in. Rows: the first stage, then cuts."""

    def __init__(self, s: Space, cost: Floats, stop: Stop | None) -> None:
        """cost [G] is the weight of each group's cost in the objective."""
        self._s, self._stop, self._weight = s, stop, cost
        self._in = np.flatnonzero(~s.start)
        self._by_column = s.rows.tocsc()
        self._slopes: list[Floats] = []
        self._groups: list[int] = []
        self._intercepts: list[float] = []
        self._solver: Solver | None = None
        self._dual: Floats = np.zeros(0)   # of the cuts there were at the last relaxed answer
        self.reduced: Floats = np.zeros(0)

    @property
    def cuts(self) -> int:
        """Number of cuts."""
        return len(self._slopes)

    def first_point(self, cost: Floats) -> Floats:
        """A feasible point that costs little of itself, before there are cuts. cost [Z]"""
        s = self._s
        found = Solver(Linear(rows=s.rows, lower=s.low, upper=s.high, v_lower=s.lower, v_upper=s.upper, cost=cost),
                       stop=self._stop).solve()
        if found.status == "stopped":
            raise Stopped
        if not len(found.v):
            raise Infeasible
        self._enter(np.flatnonzero(s.start & (found.v > PRICED)))
        return np.clip(found.v, s.lower, s.upper)

    def add(self, group: int, slope: Floats, intercept: float) -> None:
        """cost of the group >= slope . z + intercept."""
        self._slopes.append(slope)
        self._groups.append(group)
        self._intercepts.append(intercept)
        if self._solver is not None:
            from scipy.sparse import csr_matrix

            row = np.zeros((1, len(self._weight) + len(self._in)))
            row[0, group], row[0, len(self._weight):] = 1.0, -slope[self._in]
            self._solver.add_rows(csr_matrix(row), np.array([intercept]), np.array([np.inf]))

    def admit(self, z: Floats) -> None:
        """Let in the starts of a point."""
        self._enter(np.flatnonzero(self._s.start & (z > PRICED)))

    def relaxed(self) -> tuple[float, Floats]:
        """Lower bound and point of the relaxed master; raises Stopped, or Infeasible when the first stage is."""
        while True:
            found = self._solve()
            self.reduced, self._dual = self._priced(found.row_dual), found.row_dual[self._s.rows.shape[0]:]
            out = self._s.start.copy()
            out[self._in] = False
            better = np.flatnonzero(out & (self.reduced < -PRICED))
            if not len(better):
                return found.value, self._s.point(self._in, found.v[len(self._weight):])
            self._enter(better[np.argsort(self.reduced[better], kind="stable")[:MOST_NEW]])

    def _solve(self) -> Solved:
        if self._solver is None:
            self._solver = Solver(self._linear(self._in, whole=False), solver="simplex")
        if self._stop is not None and self._stop():
            raise Stopped
        found = self._solver.solve()
        if found.status != "optimal":
            raise Infeasible
        return found

    def _priced(self, dual: Floats) -> Floats:
        """Reduced cost of every z. [Z]"""
        rows = self._s.rows.shape[0]
        found = -np.asarray(self._by_column.T @ dual[:rows])
        cuts = dual[rows:]
        for i in np.flatnonzero(cuts):
            found += cuts[i] * self._slopes[i]
        return found

    def _enter(self, which: Ints) -> None:
        """Let columns in, at the end."""
        new = np.setdiff1d(which, self._in)
        if not len(new):
            return
        self._in = np.concatenate([self._in, new])
        if self._solver is not None:
            from scipy.sparse import vstack

            s = self._s
            self._solver.add_columns(vstack([self._by_column[:, new], self._cut_part(new)], format="csc"),
                                     np.zeros(len(new)), s.lower[new], s.upper[new])

    def _cut_part(self, which: Ints) -> csr_matrix:
        from scipy.sparse import csr_matrix

        return csr_matrix(-np.array([slope[which] for slope in self._slopes]).reshape(-1, len(which)))

    def _linear(self, which: Ints, *, whole: bool) -> Linear:
        """The master over some z."""
        from scipy.sparse import bmat, csr_matrix

        s, groups = self._s, len(self._weight)
        own = csr_matrix((np.ones(self.cuts), (np.arange(self.cuts), self._groups)), shape=(self.cuts, groups))
        rows = bmat([[csr_matrix((s.rows.shape[0], groups)), self._by_column[:, which]], [own, self._cut_part(which)]],
                    format="csr")
        integer = np.concatenate([np.zeros(groups, dtype=bool), s.whole[which]]) if whole else None
        return Linear(
            rows=rows, lower=np.concatenate([s.low, self._intercepts]), whole=integer,
            upper=np.concatenate([s.high, np.full(self.cuts, np.inf)]),
            v_lower=np.concatenate([np.full(groups, -np.inf), s.lower[which]]),
            v_upper=np.concatenate([np.full(groups, np.inf), s.upper[which]]),
            cost=np.concatenate([self._weight, np.zeros(len(which))]))

    def drop_idle(self, z: Floats, most: int) -> None:
        """Keep the cuts that are nearest to binding at z, when there are more than `most`.

        Those that hold the last relaxed answer, and newer ones, stay: without them nothing may bound it any more.
        """
        if self.cuts <= most:
            return
        value = self._values(z)
        slack = self._tops(value)[self._groups] - value
        held = np.concatenate([self._dual != 0, np.ones(self.cuts - len(self._dual), dtype=bool)])
        slack[held] = -1.0
        keep = np.sort(np.argsort(slack, kind="stable")[:max(most // 2, int(held.sum()))])
        self._slopes = [self._slopes[i] for i in keep]
        self._groups = [self._groups[i] for i in keep]
        self._intercepts = [self._intercepts[i] for i in keep]
        self._solver, self._dual = None, np.zeros(0)

    def dive(self) -> Floats | None:
        """A whole point near the relaxed one: decisions are fixed a few at a time and the rest solved again.

        None when a fixing leaves nothing feasible either way. The master is as before afterwards.
        """
        self.relaxed()
        assert self._solver is not None
        s, held, basis = self._s, self._in, self._solver.basis()
        lower, upper = s.lower[held].copy(), s.upper[held].copy()
        try:
            v = self._solve().v[len(self._weight):]
            while (loose := s.whole[held] & (np.abs(v - np.round(v)) > 1e-6)).any():
                fixed = self._first_feasible(lower, upper, _fixings(s.upper[held], v, loose))
                if fixed is None:
                    return None
                lower, upper, v = fixed
            return s.rounded(s.point(held, v))
        finally:
            self._bounds(s.lower[held], s.upper[held])
            self._solver.start_from(basis)

    def _bounds(self, lower: Floats, upper: Floats) -> None:
        assert self._solver is not None
        self._solver.change_columns(lower, upper, first=len(self._weight))

    def _first_feasible(self, lower: Floats, upper: Floats,
                        tries: tuple[dict[int, float], ...]) -> tuple[Floats, Floats, Floats] | None:
        for fixing in tries:
            low, high = lower.copy(), upper.copy()
            at = np.array(list(fixing), dtype=np.int64)
            low[at] = high[at] = list(fixing.values())
            self._bounds(low, high)
            try:
                return low, high, np.clip(self._solve().v[len(self._weight):], low, high)
            except Infeasible:
                continue
        return None

    def whole(self, gap: float, room: float, best: Floats | None) -> tuple[float, Floats]:
        """Lower bound and point of the integer master, from the best decisions known.

        room  how far above the relaxed bound the best value lies: starts that cost more than that of themselves are in
              no better plan, and are left out; `inf` keeps all. The bound holds for plans better than the best known.
        """
        s = self._s
        self.relaxed()
        which = np.flatnonzero(~s.start | (self.reduced <= room) | (best is not None and best > PRICED))
        solver = Solver(self._linear(which, whole=True), stop=self._stop, mip_rel_gap=gap, mip_abs_gap=1e-9,
                        mip_max_nodes=MOST_NODES)
        if best is not None:
            solver.suggest(np.concatenate([self._tops(self._values(best)), best[which]]))
        found = solver.solve()
        if found.status == "infeasible":
            raise Infeasible
        if not len(found.v):
            raise Stopped
        return found.bound, s.rounded(s.point(which, found.v[len(self._weight):]))

    def _tops(self, values: Floats) -> Floats:
        """Least cost of each group by the values of the cuts. [G]"""
        top = np.full(len(self._weight), -np.inf)
        np.maximum.at(top, np.array(self._groups), values)
        return top

    def _values(self, z: Floats) -> Floats:
        """Every cut at z, one by one: put together they would be as large again. [cuts]"""
        return np.asarray(np.array([slope @ z for slope in self._slopes]) + np.array(self._intercepts))


def _fixings(upper: Floats, v: Floats, loose: Bools) -> tuple[dict[int, float], dict[int, float]]:
    """What to fix next, and what to try if that is infeasible: yes-or-no decisions first, one at a time, the likeliest
    to yes; then amounts, the quarter that is nearest to whole."""
    choice = np.flatnonzero(loose & (upper == 1.0))
    if len(choice):
        best = int(choice[np.argmax(v[choice])])
        return {best: 1.0}, {best: 0.0}
    amounts = np.flatnonzero(loose)
    near = amounts[np.argsort(np.abs(v[amounts] - np.round(v[amounts])), kind="stable")][:max(1, len(amounts) // 4)]
    return ({int(c): float(np.round(v[c])) for c in near}, {int(c): float(np.floor(v[c])) for c in near})
