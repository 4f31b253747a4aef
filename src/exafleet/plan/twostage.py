"""TwoStage: the programme put together. Two ways to solve it take exactly this record.

    minimise  (1 - w) E_n[z_n] + w CVaR_alpha[z_n],   z_n = cost1[n] x + cost2[n] y_n + constant[n]
    first stage:  first_lower <= A x <= first_upper,  x_lower <= x <= x_upper,  some x whole
    draw 0 also:  y_0[fixed_column] = fixed_use x   (the base draw: what gangs do follows from where they are placed)
    draw n:       lower[n] <= W y_n + T[n] x <= upper[n],  y_lower <= y_n <= y_upper[n],  y_n[link] <= factor x[link]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.plan.books import places
from exafleet.plan.build import Build, Ledger, build
from exafleet.plan.gangs import lacking
from exafleet.plan.money import costs
from exafleet.plan.penalties import PART
from exafleet.plan.plan import PARTS
from exafleet.plan.risk import tail
from exafleet.plan.rules import RULES, Rule
from exafleet.plan.sets import Sets

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStage:
    """The programme in solver units: `money` USD, MW, units of systems, shares of demand and of runs.

    first, first_lower, first_upper         A and its row bounds                                [M1, X]
    x_lower, x_upper, whole                 first-stage bounds, integrality                     [X]
    cost1                                   first-stage cost in each draw                       [N, X]
    recourse, lower, upper                  W and its row bounds by draw                        [M2, Y], [N, M2]
    couple                                  T of each draw                                      N x [M2, X]
    y_lower, y_upper, cost2                 recourse bounds and cost, by draw where they differ [Y], [N, Y], [N, Y]
    link_column, link_first, link_factor    y[column] <= factor * x[first]                      [L]
    fixed_column, fixed_use                 in draw 0: y[column] = use @ x                      [F], [F, X]
    constant                                cost nobody can change                              [N]
    probability, alpha, weight              of draws; CVaR level and weight
    parts1, parts2, part_constant           present value by part [USD]                N x [P, X], [P, Y], [N, P]
    cash1, cash2                            cash by kind x owner x month, and after [USD]       N x [B, X], [B, Y]
    scale                                   factor by which y of draw n differs from the others [N, Y]
    drawn2, drawn_cash2                     the part of parts2 and cash2 whose price is drawn
    dear                                    how much more that part costs in draw n, as a share [N, Y]
    build                                   the blocks, for reading a solution by name
    start                                   a first stage worth trying first; NaN where it says nothing [X]
    """

    first: csr_matrix
    first_lower: Floats
    first_upper: Floats
    x_lower: Floats
    x_upper: Floats
    whole: Bools
    cost1: Floats
    recourse: csr_matrix
    lower: Floats
    upper: Floats
    couple: tuple[csr_matrix, ...]
    y_lower: Floats
    y_upper: Floats
    cost2: Floats
    link_column: Ints
    link_first: Ints
    link_factor: Floats
    fixed_column: Ints
    fixed_use: csr_matrix
    constant: Floats
    probability: Floats
    alpha: float
    weight: float
    parts1: tuple[csr_matrix, ...]
    parts2: csr_matrix
    part_constant: Floats
    cash1: tuple[csr_matrix, ...]
    cash2: csr_matrix
    scale: Floats
    drawn2: csr_matrix
    drawn_cash2: csr_matrix
    dear: Floats
    build: Build
    start: Floats | None = None

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.probability)

    def spent(self, n: int, x: Floats, y: Floats) -> Floats:
        """Present value by part of draw n, y as the solver has it. [P] [USD]"""
        scaled = y * self.scale[n]
        return np.asarray(self.parts1[n] @ x + self.parts2 @ scaled + self.drawn2 @ (scaled * self.dear[n])
                          + self.part_constant[n])

    def paid(self, n: int, x: Floats, y: Floats) -> Floats:
        """Cash of draw n by position in the books. [USD]"""
        return np.asarray(self.cash1[n] @ x + self.cash2 @ y + self.drawn_cash2 @ (y * self.dear[n]))

    def bounds(self, n: int, x: Floats) -> tuple[Floats, Floats]:
        """Bounds of the recourse columns of a draw once the first stage is decided. [Y], [Y]"""
        least, most = self.y_lower.copy(), self.y_upper[n].copy()
        np.minimum.at(most, self.link_column, np.maximum(self.link_factor * x[self.link_first], 0.0))
        if n == 0 and len(self.fixed_column):
            least[self.fixed_column] = most[self.fixed_column] = np.maximum(self.fixed_use @ x, 0.0)
            absent, run = lacking(self.build)
            most[absent] = 0.0
            np.add.at(most, absent, least[run])
        return least, most

    def risk(self, cost: Floats) -> float:
        """(1 - w) mean + w CVaR of the draws' costs. cost [N]"""
        mean = float(self.probability @ cost)
        return mean if self.weight == 0 else (1.0 - self.weight) * mean + self.weight * self.cvar(cost)

    def cvar(self, cost: Floats) -> float:
        """Mean of the worst 1 - alpha of the draws. cost [N]"""
        return float(self.tail(cost) @ cost)

    def tail(self, cost: Floats) -> Floats:
        """Weight of each draw in the CVaR of these costs; they sum to 1. cost [N] -> [N]"""
        return tail(cost, self.probability, self.alpha)


def two_stage(market: Market, draws: Draws, sets: Sets, rules: tuple[Rule, ...] = RULES) -> TwoStage:
    """Columns, then costs, then rules, put together."""
    b = build(market, draws, sets)
    costs(b)
    for rule in rules:
        rule(b)
    return assemble(b)


def assemble(b: Build) -> TwoStage:
    """The matrices of a finished Build."""
    n, x, y = b.draws.count, b.x.count, b.y.count
    parts2 = b.ledger.cost.matrix(len(PARTS), y)
    parts1 = tuple(_both(b.first_ledger, ledger, "cost", len(PARTS), x) for ledger in b.draw_ledger)
    constant = np.zeros((n, len(PARTS)))
    for name, usd in b.constants.items():
        constant[:, PART[name]] += usd
    columns, firsts, factors = (np.concatenate([np.zeros(0, dtype=kind), *(link[i] for link in b.links)])
                                for i, kind in enumerate((np.int64, np.int64, np.float64)))
    scale, dear, drawn2 = _scale(b), _dear(b), b.drawn.cost.matrix(len(PARTS), y)
    base = b.couple_all.matrix(b.rows.count, x)
    lower, upper = _shifted(b)
    fixed_column, fixed_use = _fixed(b, x)
    y_upper = _upper(b) / scale
    y_upper = _absent(b, y_upper, fixed_column, fixed_use)
    money, books = b.money, places(b.market)
    risk = b.market.scenario.risk
    return TwoStage(
        first=b.first.matrix(b.first_rows.count, x), first_lower=b.first_rows.lower, first_upper=b.first_rows.upper,
        x_lower=b.x.lower, x_upper=b.x.upper, whole=b.x.integer,
        cost1=np.array([np.asarray(p.sum(axis=0)).ravel() for p in parts1]).reshape(n, x) / money,
        recourse=b.recourse.matrix(b.rows.count, y), lower=lower, upper=upper,
        couple=tuple(base + entries.matrix(b.rows.count, x) for entries in b.couple),
        y_lower=b.y.lower, y_upper=y_upper,
        cost2=(np.asarray(parts2.sum(axis=0)) + np.asarray(drawn2.sum(axis=0)) * dear) / money * scale,
        link_column=columns, link_first=firsts, link_factor=factors,
        fixed_column=fixed_column, fixed_use=fixed_use,
        constant=constant.sum(axis=1) / money, probability=b.draws.probability, alpha=risk.alpha, weight=risk.weight,
        parts1=parts1, parts2=parts2, part_constant=constant,
        cash1=tuple(_both(b.first_ledger, ledger, "cash", books, x) for ledger in b.draw_ledger),
        cash2=b.ledger.cash.matrix(books, y), scale=scale, dear=dear, drawn2=drawn2,
        drawn_cash2=b.drawn.cash.matrix(books, y), build=b)


def _both(common: Ledger, own: Ledger, name: str, rows: int, columns: int) -> csr_matrix:
    matrix = getattr(common, name).matrix(rows, columns) + getattr(own, name).matrix(rows, columns)
    return matrix.tocsr()


def _fixed(b: Build, x: int) -> tuple[Ints, csr_matrix]:
    """Columns that the first stage fixes in the base draw, and how. [F], [F, X]"""
    from scipy.sparse import csr_matrix

    column, first, factor = (np.concatenate([np.zeros(0, dtype=kind), *(entry[i] for entry in b.fixed)])
                             for i, kind in enumerate((np.int64, np.int64, np.float64)))
    columns, at = np.unique(column, return_inverse=True)
    return columns, csr_matrix((factor, (at, first)), shape=(len(columns), x))


def _absent(b: Build, y_upper: Floats, column: Ints, use: csr_matrix) -> Floats:
    """No more units are absent than gangs could use, and none outside the base draw, where a gang shrinks instead."""
    absent, run = lacking(b)
    most = np.zeros(b.y.count)
    most[column] = use.maximum(0.0).max(axis=1).toarray().ravel() if use.shape[1] else 0.0
    y_upper[:, absent] = 0.0
    np.add.at(y_upper[0], absent, most[run])
    return y_upper


def _scale(b: Build) -> Floats:
    """A draw whose rates are lower by a factor measures shortage and progress in units that much smaller.

    That keeps W the same in every draw: only costs, bounds and right-hand sides differ. [N, Y]
    """
    scale = np.ones((b.draws.count, b.y.count))
    for name in ("short", "done"):
        block = b.y[name]
        job = np.broadcast_to(np.arange(len(block))[:, None], block.shape)[block >= 0]
        scale[:, block[block >= 0]] = b.draws.rate[:, job]
    return scale


def _upper(b: Build) -> Floats:
    """Upper bounds of the recourse in each draw. [N, Y]"""
    upper = np.repeat(b.y.upper[None, :], b.draws.count, axis=0)
    for columns, by_draw in b.caps:
        upper[:, columns] = np.minimum(upper[:, columns], by_draw)
    return upper


def _dear(b: Build) -> Floats:
    """How much more recourse columns whose price is drawn cost, as a share of what is in the ledger for them. [N, Y]"""
    dear = np.zeros((b.draws.count, b.y.count))
    for columns, by_draw in b.dear:
        dear[:, columns] = by_draw - 1.0
    return dear


def _shifted(b: Build) -> tuple[Floats, Floats]:
    shift = np.zeros((b.draws.count, b.rows.count))
    for rows, by_draw in b.shifts:
        shift[:, rows] += by_draw
    return b.rows.lower + shift, b.rows.upper + shift
