"""The two-stage programme solved by decomposition: a master of decisions, one recourse problem per draw.

Each recourse problem, solved at a trial point, gives its cost and the slope of its cost in every decision: a cut that
the master keeps. The trial point lies between the master's answer (out) and the best point known (in), which keeps
early cuts from being wasted far away (in-out separation, Ben-Ameur and Neto 2007). One cut per draw and round
(multi-cut); recourse problems start from the basis they ended with, so that a round costs little more than the pivots
it needs. When the relaxed master has converged, whole points come from diving in it; the integer master is solved,
with the same cuts, only where they do not close the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.highs import Linear, Solver, Stop
from exafleet.plan.twostage import TwoStage
from exafleet.plan.writtenout import Answer

Progress = Callable[[str, int, float, float], None]
STEP = 0.5          # how far from the best point towards the master's answer a trial point lies
MOST_DIVES = 40     # whole points tried before the integer master is solved
MOST_NODES = 500    # of one integer master: a bound that is counted, not timed, so that every machine stops alike
MOST_IDLE = 2       # integer masters that may tell nothing new before the best plan so far is returned
MOST_ROUNDS = 400   # of either phase; a plan that needs more is returned with the gap it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """cost of a draw >= value + slope . (x - at), fixed costs included."""

    draw: int
    slope: Floats
    intercept: float


class Recourse:
    """The recourse problem, solved for any draw at any first-stage point."""

    def __init__(self, p: TwoStage, stop: Stop | None = None) -> None:
        self._p = p
        self._same = bool((p.cost2 == p.cost2[:1]).all() and (p.y_upper == p.y_upper[:1]).all())
        self._bases: list[Any] = [None] * p.draws
        self._solver = Solver(self._problem(0), stop=stop, solver="simplex")

    def _problem(self, n: int) -> Linear:
        p = self._p
        return Linear(rows=p.recourse, lower=p.lower[n], upper=p.upper[n], v_lower=p.y_lower, v_upper=p.y_upper[n],
                      cost=p.cost2[n])

    def solve(self, n: int, x: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Cost of draw n at x without first-stage costs, its slope [X], y [Y] and row duals [M2]."""
        p, solver = self._p, self._solver
        taken = p.couple[n] @ x
        solver.change_rows(p.lower[n] - taken, p.upper[n] - taken)
        if not self._same:
            everything = np.arange(len(p.y_lower))
            solver.change_cost(p.cost2[n])
            solver.change_columns(everything, p.y_lower, p.y_upper[n])
        if len(p.link_column):
            most = np.maximum(p.link_factor * x[p.link_first], 0.0)
            solver.change_columns(p.link_column, np.zeros(len(most)), most)
        if self._bases[n] is not None:
            solver.start_from(self._bases[n])
        found = solver.solve()
        if found.status == "stopped":
            raise Stopped
        if found.status != "optimal":
            raise RuntimeError(f"the recourse of draw {n} ended as {found.status}; it should always be feasible")
        self._bases[n] = solver.basis()
        slope = -(p.couple[n].T @ found.row_dual)
        pressed = np.minimum(found.v_dual[p.link_column], 0.0)
        slope += np.bincount(p.link_first, weights=p.link_factor * pressed, minlength=len(x))
        return found.value, slope, found.v, found.row_dual

    def cuts(self, x: Floats) -> tuple[Floats, list[Cut]]:
        """Cost of every draw at x, first-stage and fixed costs included [N], and one cut for each."""
        p = self._p
        cost, cuts = np.zeros(p.draws), []
        for n in range(p.draws):
            value, slope, _, _ = self.solve(n, x)
            cost[n] = value + p.cost1[n] @ x + p.constant[n]
            full = slope + p.cost1[n]
            cuts.append(Cut(draw=n, slope=full, intercept=float(cost[n] - full @ x)))
        return cost, cuts


class Stopped(Exception):
    """The user asked to stop in the middle of a solve."""


class Master:
    """First-stage decisions with one cost column per draw, bounded from below by the cuts found so far.

    The base draw is not left to cuts: its recourse stands in the master in full. Its rules (whole gangs, months of full
    strength) make its cost steep in the placements, and cuts would find that out one placement at a time.
    Columns: x, cost of each draw, [value at risk, excess of each draw], recourse of the base draw.
    """

    def __init__(self, p: TwoStage, stop: Stop | None) -> None:
        self._p, self._stop = p, stop
        self._cuts: list[Cut] = []
        self._solver = Solver(self._linear(whole=False, cuts=[]), stop=stop, solver="simplex")

    def _linear(self, *, whole: bool, cuts: list[Cut]) -> Linear:
        from scipy.sparse import csr_matrix, hstack, vstack

        p, n, x = self._p, self._p.draws, len(self._p.x_lower)
        risky = p.weight > 0
        rows = hstack([p.first, csr_matrix((p.first.shape[0], self._costs()))], format="csr")
        lower, upper = p.first_lower, p.first_upper
        cost = np.concatenate([np.zeros(x), (1 - p.weight) * p.probability])
        v_lower = np.concatenate([p.x_lower, np.full(n, lowest(p))])
        v_upper = np.concatenate([p.x_upper, np.full(n, np.inf)])
        if risky:
            excess = np.hstack([np.zeros((n, x)), np.eye(n), -np.ones((n, 1)), -np.eye(n)])
            rows = vstack([rows, csr_matrix(excess)], format="csr")
            lower, upper = np.append(lower, np.full(n, -np.inf)), np.append(upper, np.zeros(n))
            cost = np.concatenate([cost, [p.weight], p.weight * p.probability / (1 - p.alpha)])
            v_lower = np.concatenate([v_lower, [-np.inf], np.zeros(n)])
            v_upper = np.append(v_upper, np.full(n + 1, np.inf))
        rows, lower, upper = _with_base(p, rows, lower, upper)
        cost = np.concatenate([cost, np.zeros(len(p.y_lower))])
        v_lower, v_upper = np.concatenate([v_lower, p.y_lower]), np.concatenate([v_upper, p.y_upper[0]])
        if cuts:
            rows = vstack([rows, self._rows(cuts)], format="csr")
            lower = np.append(lower, [c.intercept for c in cuts])
            upper = np.append(upper, np.full(len(cuts), np.inf))
        integer = np.append(p.whole, np.zeros(len(cost) - x, dtype=bool)) if whole else None
        return Linear(rows=rows, lower=lower, upper=upper, v_lower=v_lower, v_upper=v_upper, cost=cost, whole=integer)

    def _costs(self) -> int:
        """Columns between x and the recourse: cost of each draw, and what CVaR needs."""
        n = self._p.draws
        return n + (n + 1 if self._p.weight > 0 else 0)

    def _rows(self, cuts: list[Cut]) -> Any:
        from scipy.sparse import csr_matrix, hstack

        p = self._p
        slopes = csr_matrix(-np.array([c.slope for c in cuts]))
        extra = self._costs() + len(p.y_lower)
        column = np.array([c.draw for c in cuts])
        ones = csr_matrix((np.ones(len(cuts)), (np.arange(len(cuts)), column)), shape=(len(cuts), extra))
        return hstack([slopes, ones], format="csr")

    def add(self, cuts: list[Cut]) -> None:
        """Keep cuts; those of the base draw say nothing new."""
        cuts = [c for c in cuts if c.draw > 0]
        if not cuts:
            return
        self._cuts += cuts
        self._solver.add_rows(self._rows(cuts), np.array([c.intercept for c in cuts]), np.full(len(cuts), np.inf))

    def relaxed(self) -> tuple[float, Floats]:
        """Lower bound and point of the relaxed master; raises Stopped, or Infeasible when the first stage is."""
        found = self._solver.solve()
        if found.status == "stopped":
            raise Stopped
        if found.status != "optimal":
            raise Infeasible
        return found.value, found.v[:len(self._p.x_lower)]

    def dive(self) -> Floats | None:
        """A whole point near the relaxed one: decisions are fixed a few at a time and the rest solved again.

        None when a fixing leaves nothing feasible either way. The master is as before afterwards.
        """
        p, basis = self._p, self._solver.basis()
        lower, upper = p.x_lower.copy(), p.x_upper.copy()
        columns = np.arange(len(lower))
        try:
            x = self.relaxed()[1]
            while (loose := _loose(p, x)).any():
                up, down = _fixings(p, x, loose)
                fixed = self._first_feasible(columns, lower, upper, (up, down))
                if fixed is None:
                    return None
                lower, upper, x = fixed
            return np.where(p.whole, np.round(x), x)
        finally:
            self._solver.change_columns(columns, p.x_lower, p.x_upper)
            self._solver.start_from(basis)

    def _first_feasible(self, columns: Ints, lower: Floats, upper: Floats,
                        tries: tuple[dict[int, float], ...]) -> tuple[Floats, Floats, Floats] | None:
        for fixing in tries:
            low, high = lower.copy(), upper.copy()
            at = np.array(list(fixing), dtype=np.int64)
            low[at] = high[at] = list(fixing.values())
            self._solver.change_columns(columns, low, high)
            try:
                return low, high, np.clip(self.relaxed()[1], low, high)
            except Infeasible:
                continue
        return None

    def whole(self, gap: float, best: tuple[Floats, Floats] | None) -> tuple[float, Floats]:
        """Lower bound and point of the integer master, solved to `gap`, from the best decisions known."""
        problem = self._linear(whole=True, cuts=self._cuts)
        solver = Solver(problem, stop=self._stop, mip_rel_gap=gap, mip_abs_gap=1e-9, mip_max_nodes=MOST_NODES)
        if best is not None:
            solver.suggest(best[0])
        found = solver.solve()
        if found.status == "infeasible":
            raise Infeasible
        if not len(found.v):
            raise Stopped
        return found.bound, found.v[:len(self._p.x_lower)]


def _with_base(p: TwoStage, rows: Any, lower: Floats, upper: Floats) -> tuple[Any, Floats, Floats]:
    """The master's rows with the base draw's recourse beside them: its rules, its links, and what it costs."""
    from scipy.sparse import csr_matrix, hstack, vstack

    x, y, wide = len(p.x_lower), len(p.y_lower), rows.shape[1]
    links = len(p.link_column)
    at = np.arange(links)
    left = vstack([p.couple[0], csr_matrix((-p.link_factor, (at, p.link_first)), shape=(links, x)),
                   csr_matrix(-p.cost1[:1])], format="csr")
    right = vstack([p.recourse, csr_matrix((np.ones(links), (at, p.link_column)), shape=(links, y)),
                    csr_matrix(-p.cost2[:1])], format="csr")
    tall = left.shape[0]
    own = csr_matrix(([1.0], ([tall - 1], [0])), shape=(tall, wide - x))
    rows = vstack([hstack([rows, csr_matrix((rows.shape[0], y))]), hstack([left, own, right])], format="csr")
    return (rows, np.concatenate([lower, p.lower[0], np.full(links, -np.inf), p.constant[:1]]),
            np.concatenate([upper, p.upper[0], np.zeros(links), [np.inf]]))


def _loose(p: TwoStage, x: Floats) -> Bools:
    """Which decisions should be whole and are not. [X]"""
    return p.whole & (np.abs(x - np.round(x)) > 1e-6)


def _fixings(p: TwoStage, x: Floats, loose: Bools) -> tuple[dict[int, float], dict[int, float]]:
    """What to fix next, and what to try if that is infeasible: yes-or-no decisions first, one at a time, the likeliest
    to yes; then amounts, the quarter that is nearest to whole."""
    choice = np.flatnonzero(loose & (p.x_upper == 1.0))
    if len(choice):
        best = int(choice[np.argmax(x[choice])])
        return {best: 1.0}, {best: 0.0}
    amounts = np.flatnonzero(loose)
    near = amounts[np.argsort(np.abs(x[amounts] - np.round(x[amounts])), kind="stable")][:max(1, len(amounts) // 4)]
    return ({int(c): float(np.round(x[c])) for c in near}, {int(c): float(np.floor(x[c])) for c in near})


class Infeasible(Exception):
    """No first-stage decision keeps every hard rule."""


def lowest(p: TwoStage) -> float:
    """A cost below any that can occur, so that the master is bounded before it has cuts."""
    least = np.minimum(p.cost1, 0.0) * np.where(p.cost1 < 0, p.x_upper, 0.0)
    return float(-1e3 + 10.0 * np.where(np.isfinite(least), least, 0.0).sum(axis=1).min() - 10.0 * abs(p.constant).max()
                 - 10.0 * float(np.abs(p.cost2).sum()))


def solve_decomposed(p: TwoStage, gap: float, stop: Stop | None = None, progress: Progress | None = None) -> Answer:
    """In-out L-shaped method: relaxed rounds to half the gap, then integer rounds until bound and best point meet."""
    ear = _Ear(stop)
    state = _State(p, Recourse(p, ear), gap, progress)
    master = Master(p, ear)
    try:
        _relaxed_rounds(master, state)
        _diving_rounds(master, state)
        _integer_rounds(master, state)
    except Infeasible:
        if state.best is not None:  # a point is known, so only the solver's tolerance can say so
            return state.answer()
        return Answer(status="infeasible", x=np.zeros(0), value=np.inf, bound=-np.inf)
    except Stopped:
        ear.open = False
        if state.best is None and state.rounds:
            _rescue(master, state)
        if state.best is None:
            return Answer(status="nothing", x=np.zeros(0), value=np.inf, bound=state.bound)
    return state.answer()


class _Ear:
    """The question whether to stop, which can be closed while a last whole point is found."""

    def __init__(self, stop: Stop | None) -> None:
        self.open, self._stop = True, stop

    def __call__(self) -> bool:
        return self.open and self._stop is not None and self._stop()


def _rescue(master: Master, state: _State) -> None:
    """One whole point from what is known, when the stop came before there was any."""
    try:
        x = master.dive()
    except Infeasible:
        return
    if x is not None:
        state.try_point(master, x)


class _State:
    """What is known so far: the relaxed centre, the best whole point, the proven bound."""

    def __init__(self, p: TwoStage, recourse: Recourse, gap: float, progress: Progress | None) -> None:
        self.p, self.recourse, self.gap, self.progress = p, recourse, gap, progress
        self.bound, self.value, self.relaxed_value = -np.inf, np.inf, np.inf
        self.centre: Floats | None = None
        self.best: tuple[Floats, Floats] | None = None
        self.rounds = 0

    def try_point(self, master: Master, x: Floats) -> float:
        """Cost of a point; its cuts go to the master. The solver's tolerance may leave it a hair outside its bounds."""
        x = np.clip(x, self.p.x_lower, self.p.x_upper)
        cost, cuts = self.recourse.cuts(x)
        master.add(cuts)
        value = self.p.risk(cost)
        whole = np.abs(x - np.round(x))[self.p.whole].max(initial=0.0) < 1e-6
        if whole and value < self.value:
            self.value, self.best = value, (x.copy(), cost)
        return value

    def tell(self, phase: str) -> None:
        self.rounds += 1
        if self.progress is not None:
            self.progress(phase, self.rounds, self.bound, self.value if phase == "whole" else self.relaxed_value)

    def close(self, value: float, share: float) -> bool:
        """Whether bound and value are within a share of the gap asked."""
        allowed = max(share * self.gap * abs(value), 1e-9 * max(1.0, abs(value)))
        return bool(np.isfinite(value) and value - self.bound <= allowed)

    def answer(self) -> Answer:
        assert self.best is not None
        met = self.close(self.value, 1.0)
        return Answer(status="optimal" if met else "stopped", x=self.best[0], value=self.value,
                      bound=min(self.bound, self.value), rounds=self.rounds,
                      rows=self.p.first.shape[0] + self.p.recourse.shape[0] * self.p.draws,
                      columns=len(self.p.x_lower) + len(self.p.y_lower) * self.p.draws)


def _relaxed_rounds(master: Master, state: _State) -> None:
    """Close the gap of the relaxed problem with trial points between centre and master."""
    while state.rounds < MOST_ROUNDS:
        bound, out = master.relaxed()
        state.bound = max(state.bound, bound)
        if state.centre is None:
            state.centre = out
        elif state.close(state.relaxed_value, 0.25):
            break
        trial = STEP * out + (1.0 - STEP) * state.centre
        value = state.try_point(master, trial)
        if value < state.relaxed_value:
            state.relaxed_value, state.centre = value, trial
        state.tell("relaxed")


def _diving_rounds(master: Master, state: _State) -> None:
    """Whole points by diving, costed and cut, until they repeat: much cheaper than the integer master, often enough."""
    seen: set[bytes] = set()
    for _ in range(MOST_DIVES):
        if state.close(state.value, 1.0):
            return
        x = master.dive()
        if x is None or x[state.p.whole].tobytes() in seen:
            return
        seen.add(x[state.p.whole].tobytes())
        state.try_point(master, x)
        state.bound = max(state.bound, master.relaxed()[0])
        state.tell("whole")


def _integer_rounds(master: Master, state: _State) -> None:
    """Whole decisions with the cuts so far; each answer is costed and cut until bound and best meet.

    An integer master that is cut off at its most nodes may give the same answer again: then nothing more is to be had.
    """
    last, idle = state.rounds + MOST_ROUNDS, 0
    while state.rounds < last and idle < MOST_IDLE and not state.close(state.value, 1.0):
        known = state.bound, state.value
        bound, x = master.whole(0.8 * state.gap, state.best)
        state.bound = max(state.bound, bound)
        x = np.where(state.p.whole, np.round(x), x)
        state.try_point(master, x)
        idle = 0 if known != (state.bound, state.value) else idle + 1
        state.tell("whole")
