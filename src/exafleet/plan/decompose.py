"""The two-stage programme solved by decomposition: a master of decisions, one recourse problem per draw.

Each recourse problem, solved at a trial point, gives a cut for every draw (see `recourse`), so only the base draw and a
few others are solved in a round, and all of them only where a whole point is costed. The trial point lies between the
master's answer (out) and the best point known (in), which keeps early cuts from being wasted far away (in-out
separation, Ben-Ameur and Neto 2007). A whole point is the one nearest to the best point, as soon as what the cuts did
not foresee of the draws solved lately leaves hope that it closes the gap. Where it does not, whole points come from
diving in the relaxed master; the integer master is solved, with the same cuts, only where they do not close it either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from exafleet.market.market import Floats, Ints
from exafleet.plan.fixed import every_draw
from exafleet.plan.highs import Stop
from exafleet.plan.master import Infeasible, Master
from exafleet.plan.nearest import nearest_whole
from exafleet.plan.order import alike, signature
from exafleet.plan.recourse import Recourse, Stopped
from exafleet.plan.space import Space, space
from exafleet.plan.twostage import TwoStage
from exafleet.plan.writtenout import Answer

Progress = Callable[[str, int, float, float], None]
STEP = 0.5          # how far from the best point towards the master's answer a trial point lies
FEW = 4             # draws besides the base that are solved in a round
GOLDEN = 0.6180339887498949   # of the draws, from one round's to the next: soon each has a neighbour that was solved
RARE = 6            # rounds from one solve of the base draw to the next, where others are solved in turn
MOST_INNER = 10     # times in a round that the cuts known are offered to the master's answer before a draw is solved
TIGHT = 5e-5        # of the bound: what they may still add
LATELY = 8          # draws whose surprises tell how far the cuts are from the truth
HOPE = 1.6          # of the gap asked: a centre that seems so near (it is nearer) has its whole neighbour costed
GROUPS = 10         # of like draws, each with a cost column and a cut of its own
MOST_DIVES = 40     # whole points tried before the integer master is solved
WORTH = 0.2         # share of the gap left that a dive must close to be worth it
MOST_DULL = 5       # dives in a row that were not, before the integer master is solved: each leaves cuts to the next
MOST_IDLE = 2       # integer masters that may tell nothing new before the best plan so far is returned
MOST_ROUNDS = 400   # of either phase; a plan that needs more is returned with the gap it has
MOST_CUTS = (600, 3000)   # in the master; beyond, those that bind least are dropped: fewer where a cut is long
LONG = 15_000_000   # numbers in all cuts
MOST_DUALS = 400    # kept for sharing among draws
SHARP = 1e-3       # a gap below which every draw is solved in every round before whole points are sought
SLOW = 8            # rounds in which a bound that hardly rises asks for more draws in a round


def solve_decomposed(p: TwoStage, gap: float, stop: Stop | None = None, progress: Progress | None = None) -> Answer:
    """In-out L-shaped method: relaxed rounds to half the gap, then integer rounds until bound and best point meet."""
    ear = _Ear(stop)
    state: _State | None = None
    try:
        state = _State(p, gap, ear, progress)
        _relaxed_rounds(state)
        _diving_rounds(state)
        _integer_rounds(state)
    except Infeasible:
        if state is None or state.best is None:   # where a point is known, only the solver's tolerance can say so
            return Answer(status="infeasible", x=np.zeros(0), value=np.inf, bound=-np.inf)
    except (Stopped, KeyboardInterrupt):
        ear.open = False
        if state is not None and state.best is None and state.rounds:
            _rescue(state)
        if state is None or state.best is None:
            return Answer(status="nothing", x=np.zeros(0), value=np.inf, bound=-np.inf)
    return state.answer()


class _Ear:
    """The question whether to stop, which can be closed while a last whole point is found."""

    def __init__(self, stop: Stop | None) -> None:
        self.open, self._stop = True, stop

    def __call__(self) -> bool:
        return self.open and self._stop is not None and self._stop()


def _rescue(state: _State) -> None:
    """One whole point from what is known, when the stop came before there was any."""
    try:
        z = state.master.dive()
    except Infeasible:
        return
    if z is not None:
        state.try_whole(z)


class _State:
    """What is known so far: the cuts, the relaxed centre, the best whole point, the proven bound."""

    def __init__(self, p: TwoStage, gap: float, ear: Stop, progress: Progress | None) -> None:
        self.p, self.gap, self.ear, self.progress = p, gap, ear, progress
        self.space: Space = space(p)
        self.bound, self.value, self.relaxed_value = -np.inf, np.inf, np.inf
        self.best: Floats | None = None
        self.best_y: Floats | None = None   # of every draw, where all were solved [N, Y]
        self.rounds, self._next = 0, 0
        self._surprises: deque[float] = deque(maxlen=LATELY)
        self._rounded: Floats | None = None
        # Many draws: the base and one more show where to look, then a few, then more.
        self.few = p.draws - 1 if p.draws <= FEW + 1 else 1
        self.order = alike(signature(p.build.draws))
        self.groups = np.array_split(self.order, min(GROUPS, p.draws))
        risky = p.weight > 0
        self.master = Master(self.space, np.array([1.0 - p.weight] * len(self.groups) + [p.weight] * risky), ear)
        self.centre = self.master.first_point(p.probability @ (p.cost1 @ self.space.spread))
        self.recourse = Recourse(p, self.space, ear)

    @property
    def in_full(self) -> bool:
        """Whether every draw is solved in a round."""
        return self.few >= self.p.draws - 1

    def turn(self) -> Ints:
        """The next few draws, spread over the order in which neighbours are alike; now and then the base too."""
        others = self.order[self.order > 0]
        if self.in_full:
            return self.order
        at = (int(self._next * GOLDEN * len(others)) + np.arange(self.few) * len(others) // self.few) % len(others)
        base = self.order[:1] if self.few > 1 or self._next % RARE == 0 else self.order[:0]
        self._next += 1
        return np.concatenate([base, others[np.sort(at)]])

    def widen(self) -> bool:
        """Solve more draws in a round; False where that is as many as this gap is worth."""
        most = self.p.draws - 1 if self.gap < SHARP else min(FEW, self.p.draws - 1)
        if self.few >= most:
            return False
        self.few = min(2 * self.few + 1, most)
        return True

    def cost(self, z: Floats, which: Ints, *, exact_at: bool = True) -> Floats:
        """Some draws solved at z, and cuts from what that says about all. Least cost of every draw. [N]"""
        exact = np.full(self.p.draws, -np.inf)
        known = self.recourse.values(z) if self.recourse.pool else exact[None]
        for n in which.tolist():
            if exact_at:
                exact[n], _ = self.recourse.solve(n, z)
            else:
                self.recourse.learn(n, z)
        least = self.recourse.values(z) if len(which) else known
        self._surprises.extend(float(least[:, n].max() - known[:, n].max()) for n in which.tolist() if n)
        while not np.isfinite(least.max(axis=0)).all():   # a draw about which the others say nothing
            n = int(np.argmin(least.max(axis=0)))
            exact[n], _ = self.recourse.solve(n, z)
            least = self.recourse.values(z)
        self._cut(z, least)
        return np.asarray(np.maximum(least.max(axis=0), exact))

    def _cut(self, z: Floats, values: Floats) -> None:
        """One cut per group, from the duals that say most at z."""
        which, p = values.argmax(axis=0), self.p
        for i, group in enumerate(self.groups):
            weight = np.zeros(p.draws)
            weight[group] = p.probability[group]
            self.master.add(i, *self.recourse.cut(weight, which))
        if p.weight > 0:
            self.master.add(len(self.groups), *self.recourse.cut(p.tail(values.max(axis=0)), which))
        if len(self.recourse.pool) > MOST_DUALS:
            late = np.arange(len(self.recourse.pool) - MOST_DUALS // 2, len(self.recourse.pool))
            self.recourse.forget(np.union1d(late, which))

    def relax(self) -> Floats:
        """The relaxed master: its bound is kept, its point returned.

        What is known of other draws may say more about its point than the cuts made elsewhere: that is cheap to ask.
        """
        for _ in range(MOST_INNER):
            bound, z = self.master.relaxed()
            self.bound = max(self.bound, bound)
            least = self.recourse.values(z)
            known = self.p.risk(least.max(axis=0))
            if not np.isfinite(known) or known - bound <= TIGHT * max(1.0, abs(bound)):
                break
            self._cut(z, least)
        return z

    def expected(self) -> float:
        """What the centre may really cost: what the cuts say, and what they did not foresee of draws solved lately."""
        if self.in_full:
            return self.relaxed_value
        return self.relaxed_value + (float(np.mean(self._surprises)) if self._surprises else np.inf)

    def look_near(self) -> bool:
        """The whole point nearest to the centre, if it may close the gap or much of it; whether it was a better one."""
        expected = self.expected()
        if not np.isfinite(expected) or expected - self.bound > HOPE * self.gap * abs(expected):
            return False
        if np.isfinite(self.value) and self.value - expected < WORTH * (self.value - self.bound):
            return False
        return self.go_near()

    def go_near(self) -> bool:
        """The whole point nearest to the centre, costed; whether it is better than the best."""
        if self._rounded is self.centre:
            return False
        self._rounded, before = self.centre, self.value
        z = nearest_whole(self.space, self.centre, self.ear)
        if z is not None:
            self.try_whole(z)
            self.tell("whole")
        return self.value < before

    def try_whole(self, z: Floats) -> None:
        """Cost of a whole point in every draw, if it may be better than the best; its cuts go to the master."""
        z = self.space.rounded(z)
        self.master.admit(z)
        if self.in_full:
            cost, y = self.cost(z, self.turn()), None
        else:
            least = self.cost(z, self.order[:0])
            if self.p.risk(least) >= self.value:
                return
            cost, y = self._exact(z)
            self.cost(z, np.sort(np.argsort(least - cost, kind="stable")[:self.few + 1]))
        value = self.p.risk(cost)
        if value < self.value:
            self.value, self.best, self.best_y = value, z.copy(), y

    def _exact(self, z: Floats) -> tuple[Floats, Floats]:
        """Cost of every draw at a whole point, and what follows from it there. [N], [N, Y]"""
        p, x = self.p, self.space.spread @ z
        y = every_draw(p, x, self.order, self.ear)
        return p.cost1 @ x + p.constant + np.einsum("ny,ny->n", p.cost2, y), y

    def tell(self, phase: str) -> None:
        self.rounds += 1
        self.master.drop_idle(self.centre, int(np.clip(LONG / len(self.space.lower), *MOST_CUTS)))
        if self.progress is not None:
            self.progress(phase, self.rounds, self.bound, self.value if phase == "whole" else self.relaxed_value)

    def close(self, value: float, share: float) -> bool:
        """Whether bound and value are within a share of the gap asked."""
        allowed = max(share * self.gap * abs(value), 1e-9 * max(1.0, abs(value)))
        return bool(np.isfinite(value) and value - self.bound <= allowed)

    def answer(self) -> Answer:
        assert self.best is not None
        met, x = self.close(self.value, 1.0), self.space.spread @ self.best
        return Answer(status="optimal" if met else "stopped", x=x, value=self.value,
                      bound=min(self.bound, self.value), rounds=self.rounds,
                      rows=self.p.first.shape[0] + self.p.recourse.shape[0] * self.p.draws,
                      columns=len(self.p.x_lower) + len(self.p.y_lower) * self.p.draws, recourse=self.recourse,
                      y=self.best_y)


def _relaxed_rounds(state: _State) -> None:
    """Close the gap of the relaxed problem with trial points between centre and master.

    Values are what the cuts known say of all draws, so they rise as more is learned: that of the centre too.
    """
    state.relaxed_value = state.p.risk(state.cost(state.centre, state.turn(), exact_at=False))
    history: list[float] = []
    while state.rounds < MOST_ROUNDS:
        out = state.relax()
        if state.look_near():
            out = state.relax()
        if state.close(state.value, 1.0):
            return
        history.append(state.bound)
        if state.close(state.expected(), 0.25) or _slow(state, history):
            if not state.widen():
                break
            history = []
        trial = STEP * out + (1.0 - STEP) * state.centre
        value = state.p.risk(state.cost(trial, state.turn(), exact_at=state.in_full))
        state.relaxed_value = state.p.risk(state.recourse.values(state.centre).max(axis=0))
        if value < state.relaxed_value:
            state.relaxed_value, state.centre = value, trial
        state.tell("relaxed")
    state.go_near()


def _slow(state: _State, history: list[float]) -> bool:
    """Whether the bound has hardly risen in the last rounds, measured by the gap asked."""
    if len(history) <= SLOW:
        return False
    return history[-1] - history[-1 - SLOW] <= 0.1 * max(state.gap, 1e-6) * abs(history[-1])


def _diving_rounds(state: _State) -> None:
    """Whole points by diving, costed and cut, until they repeat: much cheaper than the integer master, often enough."""
    seen: set[bytes] = set()
    dull = 0
    for _ in range(MOST_DIVES):
        if state.close(state.value, 1.0):
            return
        z = state.master.dive()
        if z is None or z[state.space.whole].tobytes() in seen:
            return
        seen.add(z[state.space.whole].tobytes())
        before = state.value
        state.try_whole(z)
        state.relax()
        state.tell("whole")
        dull = dull + 1 if np.isfinite(before) and before - state.value < WORTH * (before - state.bound) else 0
        if dull >= MOST_DULL:
            return


def _integer_rounds(state: _State) -> None:
    """Whole decisions with the cuts so far; each answer is costed and cut until bound and best meet.

    An integer master that is cut off at its most nodes may give the same answer again: then nothing more is to be had.
    """
    last, idle = state.rounds + MOST_ROUNDS, 0
    while state.rounds < last and idle < MOST_IDLE and not state.close(state.value, 1.0):
        known = state.bound, state.value
        bound, z = state.master.whole(0.8 * state.gap, state.value - state.bound, state.best)
        state.bound = max(state.bound, min(bound, state.value))
        state.try_whole(z)
        idle = 0 if known != (state.bound, state.value) else idle + 1
        state.tell("whole")
