"""The recourse problem of any draw at any first-stage point, and what one solve tells about every other draw.

The matrix is the same in every draw, so the row duals of one solve are dual feasible in all of them once columns whose
reduced cost has the wrong sign are charged at their bound: each solve gives a valid cut for every draw. The values of
all cuts known, in all draws, at any point, are a few dense products; linear programmes are only solved where they tell
something new.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.highs import Linear, Solved, Solver, Stop
from exafleet.plan.lean import Lean, Range, lean
from exafleet.plan.space import Space
from exafleet.plan.twostage import TwoStage

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HAIR = 1e-3       # of a start
FEASIBLE = 1e-7   # reduced costs that small are the solver's tolerance


class Stopped(Exception):
    """The user asked to stop in the middle of a solve."""


@dataclass(frozen=True, slots=True)
class Duals:
    """Row duals of one solve and what they say.

    row     over the rows kept                                                            [M]
    linked  per unit of each link; by draw only where what it bounds costs differently    [1 or N, L]
    fixed   constant of the cut in every draw                                             [N]
    """

    row: Floats
    linked: Floats
    fixed: Floats


class Recourse:
    """Solves draws at points z, and keeps every dual found."""

    def __init__(self, p: TwoStage, s: Space, stop: Stop | None = None) -> None:
        self.p, self.s, self._stop = p, s, stop
        self._links = _links(p, s)
        self._couple, self._cost1, self._part = _first_stage(p, s)
        self.kept = _lean(p, s, self._couple, self._links)
        self._rows, self._columns = np.flatnonzero(self.kept.rows), np.flatnonzero(self.kept.columns)
        self._couple = tuple(t[self._rows] for t in self._couple)
        self._back = tuple(t.T.tocsr() for t in self._couple)
        self._matrix = p.recourse[self._rows][:, self._columns].tocsr()
        self._transposed, self._by_column = self._matrix.T.tocsr(), self._matrix.tocsc()
        self._live: Ints = np.zeros(0, dtype=np.int64)
        self._upper = _bounded(p, self._matrix, self._rows, self._columns)
        position = np.full(len(p.y_lower), -1, dtype=np.int64)
        position[self._columns] = np.arange(len(self._columns))
        self._link_at = position[p.link_column]
        self._linked = np.zeros(len(self._columns), dtype=bool)
        self._linked[self._link_at[self._link_at >= 0]] = True
        self._free = ~np.isin(p.link_column, p.fixed_column)   # in the base draw
        self._lower, self._cost = p.y_lower[self._columns], p.cost2[:, self._columns]
        self._costs = bool((self._cost != self._cost[:1]).any())
        self._vary = (self._cost[1:] != self._cost[1:2]).any(axis=0) | (self._upper[1:] != self._upper[1:2]).any(axis=0)
        cost = p.cost2[:, p.link_column]
        self._link_cost = cost if (cost != cost[:1]).any() else cost[:1]
        self._unit = np.asarray(self._links.max(axis=1).toarray()).ravel() if len(p.link_column) else np.zeros(0)
        self.pool: list[Duals] = []
        self._row_duals: Floats = np.zeros((0, len(self._rows)))
        self._solver: Solver | None = None

    def learn(self, n: int, z: Floats) -> None:
        """Duals of draw n at z for the pool, made as if every start were placed by a hair.

        At z itself nothing says what a month of units is worth where no run may use them, and duals that say nothing
        there make cuts that promise the most of every start not placed. With a hair of each they have to be prices.
        """
        self.pool.append(self._duals(self._run(n, z, HAIR).row_dual))

    def solve(self, n: int, z: Floats) -> tuple[float, int]:
        """Cost of draw n at z, first-stage and fixed costs included; and which duals of the pool it left."""
        found = self._run(n, z)
        self.pool.append(self._duals(found.row_dual))
        return float(found.value + self._cost1[n] @ z + self.p.constant[n]), len(self.pool) - 1

    def point(self, n: int, z: Floats) -> tuple[Floats, Floats, Floats]:
        """y of draw n at z [Y], its row duals [M2] and its slope in x [X] without first-stage costs."""
        p, found = self.p, self._run(n, z)
        y = p.y_lower.copy()
        y[self._columns] = found.v
        if n == 0 and len(p.fixed_column):
            y[p.fixed_column] = np.maximum(p.fixed_use @ (self.s.spread @ z), 0.0)
        return (y, *self.prices(n, self._duals(found.row_dual)))

    def prices(self, n: int, duals: Duals) -> tuple[Floats, Floats]:
        """Row duals [M2] and the slope of draw n in x [X], without first-stage costs."""
        p, row = self.p, np.zeros(self.p.recourse.shape[0])
        row[self._rows] = duals.row
        slope = -(p.couple[n].T @ row)
        linked = duals.linked[n if len(duals.linked) > 1 else 0]
        if n == 0:
            linked = np.where(self._free, linked, 0.0)
            if len(p.fixed_column):
                slope += p.fixed_use.T @ (p.cost2[0] - p.recourse.T @ row)[p.fixed_column]
        slope += np.bincount(p.link_first, weights=p.link_factor * linked, minlength=len(slope))
        return row, np.asarray(slope)

    def _run(self, n: int, z: Floats, hair: float = 0.0) -> Solved:
        if self._stop is not None and self._stop():
            raise Stopped
        p, rows = self.p, self._rows
        taken, most = self._couple[n] @ z, self._most(n, z, hair)
        solver = self._open(n, np.flatnonzero(self._linked & (most > 0)))
        at = self._live
        solver.change_rows(p.lower[n][rows] - taken, p.upper[n][rows] - taken)
        solver.change_columns(self._lower[at], np.maximum(most, self._lower)[at])
        if self._costs:
            solver.change_cost(self._cost[n][at])
        found = solver.solve()
        if found.status != "optimal":
            raise RuntimeError(f"the recourse of draw {n} ended as {found.status}; it should always be feasible")
        v = np.zeros(len(self._columns))
        v[at] = found.v
        return replace(found, v=v, value=found.value + (float(self._part @ z) if n == 0 else 0.0))

    def _most(self, n: int, z: Floats, hair: float) -> Floats:
        """Upper bounds of the columns kept in a draw at z. [Y]"""
        most = self._upper[n].copy()
        there = (self._link_at >= 0) & (self._free | (n > 0))
        np.minimum.at(most, self._link_at[there], np.maximum(self._links @ z, hair * self._unit)[there])
        return np.asarray(most)

    def _open(self, n: int, needed: Ints) -> Solver:
        """The solver with every column that can be above zero here: gangs come in when a point places them."""
        if self._solver is None:
            self._live = np.flatnonzero(~self._linked)
            self._solver = Solver(
                Linear(rows=self._matrix[:, self._live], lower=self.p.lower[n][self._rows],
                       upper=self.p.upper[n][self._rows], v_lower=self._lower[self._live],
                       v_upper=self._upper[n][self._live], cost=self._cost[n][self._live]), solver="simplex")
        new = np.setdiff1d(needed, self._live)
        if len(new):
            self._live = np.concatenate([self._live, new])
            self._solver.add_columns(self._by_column[:, new], self._cost[n][new], np.zeros(len(new)),
                                     np.zeros(len(new)))
        return self._solver

    def _duals(self, row: Floats) -> Duals:
        """What row duals say in each draw: the constant by draw, and the charge per unit of each link."""
        p, rows = self.p, self._rows
        priced = self._transposed @ row
        up, down = np.flatnonzero(row < 0), np.flatnonzero(row > 0)
        fixed = p.upper[:, rows[up]] @ row[up] + p.lower[:, rows[down]] @ row[down]
        same, vary = ~self._vary & ~self._linked, np.flatnonzero(self._vary & ~self._linked)
        fixed[0] += _charged(self._cost[0] - priced, self._lower, self._upper[0], ~self._linked)
        if p.draws > 1:
            fixed[1:] += _charged(self._cost[1] - priced, self._lower, self._upper[1], same)
        for n in range(1, p.draws if len(vary) else 0):
            fixed[n] += _charged(self._cost[n, vary] - priced[vary], self._lower[vary], self._upper[n, vary],
                                 np.ones(len(vary), dtype=bool))
        there = self._link_at >= 0
        linked = np.zeros((len(self._link_cost), len(there)))
        linked[:, there] = np.minimum(self._link_cost[:, there] - priced[self._link_at[there]], 0.0)
        return Duals(row, linked, fixed)

    def values(self, z: Floats) -> Floats:
        """Every dual of the pool at z, in every draw: a lower bound of its cost. [pool, N]"""
        p = self.p
        taken = np.array([t @ z for t in self._couple])
        links = np.maximum(self._links @ z, 0.0)
        found = np.array([d.fixed for d in self.pool]) - self._stacked() @ taken.T
        live = np.flatnonzero(links)
        charge = np.array([d.linked[:, live] for d in self.pool])                 # [pool, 1 or N, live]
        found += charge @ links[live]
        found[:, 0] -= charge[:, 0] @ np.where(self._free[live], 0.0, links[live])
        found[:, 0] += self._part @ z
        return np.asarray(found + (self._cost1 @ z + p.constant)[None, :])

    def _stacked(self) -> Floats:
        """Row duals of the pool, put together once: it grows at the end. [pool, M]"""
        known = len(self._row_duals)
        if known < len(self.pool):
            self._row_duals = np.concatenate([self._row_duals, np.array([d.row for d in self.pool[known:]])])
        return self._row_duals

    def cut(self, weight: Floats, which: Ints) -> tuple[Floats, float]:
        """sum over draws of weight x cost >= slope . z + intercept, from one dual of the pool per draw. [Z]"""
        slope, intercept = weight @ self._cost1 + weight[0] * self._part, float(weight @ self.p.constant)
        charge = np.zeros(len(self._free))
        for n in np.flatnonzero(weight):
            duals = self.pool[which[n]]
            slope = slope - weight[n] * (self._back[n] @ duals.row)
            own = duals.linked[n if len(duals.linked) > 1 else 0]
            charge += weight[n] * (own if n else np.where(self._free, own, 0.0))
            intercept += weight[n] * duals.fixed[n]
        return slope + self._links.T @ charge, float(intercept)

    def forget(self, keep: Ints) -> dict[int, int]:
        """Keep some of the pool; returns the new positions by the old."""
        self.pool, self._row_duals = [self.pool[i] for i in keep], self._stacked()[keep]
        return {int(old): new for new, old in enumerate(keep)}


def _charged(reduced: Floats, lower: Floats, upper: Floats, which: Bools) -> float:
    """What columns add to a bound: each at the bound that its reduced cost prefers. -inf where that is endless."""
    wrong, held = which & (reduced < -FEASIBLE), which & (reduced > 0) & (lower != 0)
    return float(reduced[wrong] @ upper[wrong]) + float(reduced[held] @ lower[held])


def _links(p: TwoStage, s: Space) -> csr_matrix:
    """What each link allows at z. [L, Z]"""
    from scipy.sparse import diags

    return (diags(p.link_factor) @ s.spread[p.link_first]).tocsr()


def _first_stage(p: TwoStage, s: Space) -> tuple[tuple[csr_matrix, ...], Floats, Floats]:
    """The first stage in the rows of each draw [M2, Z], its cost in each [N, Z], and the base draw's fixed cost [Z]."""
    couple = [(t @ s.spread).tocsr() for t in p.couple]
    part = np.zeros(s.spread.shape[1])
    if len(p.fixed_column):
        use = p.fixed_use @ s.spread
        couple[0] = (couple[0] + p.recourse[:, p.fixed_column] @ use).tocsr()
        part = np.asarray(use.T @ p.cost2[0][p.fixed_column])
    return tuple(couple), np.asarray(p.cost1 @ s.spread), part


def _lean(p: TwoStage, s: Space, couple: tuple[csr_matrix, ...], links: csr_matrix) -> Lean:
    """What can matter at any first-stage point, in any draw."""
    finite_low = np.where(np.isfinite(s.lower), s.lower, 0.0)
    low, high, low_most, high_least = (np.full(p.recourse.shape[0], v) for v in (np.inf, -np.inf, -np.inf, np.inf))
    endless = ~np.isfinite(s.lower) | ~np.isfinite(s.upper)
    top = np.where(np.isfinite(s.upper), s.upper, 0.0)
    for n, t in enumerate(couple):
        positive, negative = t.maximum(0.0), (-t).maximum(0.0)
        least, greatest = positive @ finite_low - negative @ top, positive @ top - negative @ finite_low
        loose = (abs(t) @ endless.astype(float)) > 0
        least, greatest = np.where(loose, -np.inf, least), np.where(loose, np.inf, greatest)
        low, high = np.minimum(low, p.lower[n] - greatest), np.maximum(high, p.upper[n] - least)
        low_most, high_least = np.maximum(low_most, p.lower[n] - least), np.minimum(high_least, p.upper[n] - greatest)
    most = p.y_upper.max(axis=0)
    np.minimum.at(most, p.link_column, np.asarray(links.maximum(0.0) @ top))
    return lean(p.recourse, Range(low=low, high=high, low_most=low_most, high_least=high_least), p.y_lower, most)


def _bounded(p: TwoStage, matrix: csr_matrix, rows: Ints, columns: Ints) -> Floats:
    """Upper bounds by draw; a column that only fills what one row lacks, at a price, never needs more. [N, Y]

    In the base draw the columns that the first stage fixes are held at zero: they are part of the first stage.
    """
    upper = p.y_upper[:, columns].copy()
    by_column = matrix.tocsc()
    alone = np.flatnonzero((np.diff(by_column.indptr) == 1) & (p.y_lower[columns] == 0))
    entry = by_column.indptr[alone]
    row, value = by_column.indices[entry], by_column.data[entry]
    # Only where everything else in the row helps, and no decision of the first stage takes from it.
    signs = (matrix.multiply(matrix < 0)).tocsr()
    helped = np.asarray(abs(signs).sum(axis=1)).ravel()[row] == 0
    taken = np.zeros(matrix.shape[0], dtype=bool)
    for t in p.couple:
        taken |= np.diff(t[rows].indptr) > 0
    good = (value > 0) & helped & ~taken[row]
    for n in range(p.draws):
        need = np.maximum(p.lower[n][rows][row[good]], 0.0) / value[good]
        cheap = p.cost2[n][columns][alone[good]] >= 0
        at = alone[good][cheap]
        upper[n, at] = np.minimum(upper[n, at], need[cheap])
    if len(p.fixed_column):
        upper[0, np.isin(columns, p.fixed_column)] = 0.0
    return upper
