"""What fixed decisions cost in any number of fresh draws: nothing is decided again but what follows as things arrive.

Draws are put in an order in which neighbours are alike and are solved in batches, each draw from the basis of the one
before, and only with the columns that can matter (see `lean`). Half of the batches belong to each of two streams, with
one or with two workers, so that the answer does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Ints, Market, make_read_only
from exafleet.plan.highs import Linear, Solver, Stop
from exafleet.plan.lean import Lean, Range, lean
from exafleet.plan.plan import BOOKS, PARTS, Plan
from exafleet.plan.read import take
from exafleet.plan.rules import RULES, Rule
from exafleet.plan.sets import sets
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.terms.parts import Parts

BATCH = 50    # draws built together: a batch of the largest fleets measured takes about half a gigabyte
STREAMS = 2   # independent halves; fixed, so that one worker and two give the same bytes

Counted = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The same decisions in N draws, in the order the draws were given in.

    probability  of each draw                                                       [N]
    cost         present cost by part                                               [N, P]    [USD]
    cash         paid out, undiscounted, income negative                            [N, O, T] [USD]
    served       work served; 0 for training                                        [N, J, T] [work/s]
    progress     share of a training run done by the month's end; 0 for other jobs  [N, J, T]
    work         useful work delivered over the horizon: tokens, requests, chip-s   [N, J]
    """

    probability: Floats
    cost: Parts
    cash: Floats
    served: Floats
    progress: Floats
    work: Floats

    def __post_init__(self) -> None:
        make_read_only(self)

    @property
    def total(self) -> Floats:
        """Present cost of each draw. [N] [USD]"""
        return np.asarray(self.cost.values.sum(axis=1))

    @property
    def mean(self) -> float:
        """Expected present cost. [USD]"""
        return float(self.probability @ self.total)

    def cvar(self, alpha: float) -> float:
        """Mean of the worst 1 - alpha of the draws. [USD]"""
        order = np.argsort(-self.total, kind="stable")
        before = np.concatenate([[0.0], self.probability[order].cumsum()[:-1]])
        share = np.minimum(self.probability[order], np.clip(1.0 - alpha - before, 0.0, None))
        return float(share @ self.total[order] / share.sum()) if share.sum() > 0 else float(self.total.max())


def evaluate(market: Market, rates: Rates, decided: Plan | Floats, draws: Draws, *, rules: tuple[Rule, ...] = RULES,
             workers: int = 1, progress: Counted | None = None, stop: Stop | None = None) -> Evaluation:
    """Costs and deliveries of fixed decisions in every draw. The first draw must be the base (deliveries as quoted).

    decided   a Plan, or its first-stage columns (`Plan.first`) made for this market
    workers   solve on that many threads; the answer is the same
    progress  called with draws done and draws in all

    Raises KeyboardInterrupt when `stop` says so.
    """
    first = decided.first if isinstance(decided, Plan) else np.asarray(decided, dtype=np.float64)
    batches = _batches(draws)
    work = _Work(market, rates, first, draws, rules, progress, stop)
    streams = [batches[i::STREAMS] for i in range(STREAMS)]
    if workers > 1 and len(batches) > 1:
        with ThreadPoolExecutor(min(workers, STREAMS)) as pool:
            list(pool.map(work.run, streams))
    else:
        for stream in streams:
            work.run(stream)
    return work.evaluation()


def some(draws: Draws, which: Ints) -> Draws:
    """Some of the draws, in that order, made equally likely again."""
    count = draws.count
    taken = {f.name: getattr(draws, f.name)[which] for f in fields(draws)
             if isinstance(getattr(draws, f.name), np.ndarray) and len(getattr(draws, f.name)) == count}
    return replace(draws, **{**taken, "probability": taken["probability"] / taken["probability"].sum()})


def _batches(draws: Draws) -> list[Ints]:
    """Positions of the draws, alike ones together, in batches; the base stands first in the first."""
    order = alike(signature(draws))
    return [order[i:i + BATCH] for i in range(0, len(order), BATCH)]


def signature(draws: Draws) -> Floats:
    """What tells draws apart, roughly in months of delay. [N, features]"""
    parts = [draws.lead.mean(axis=2), draws.slip, 12.0 * np.log(draws.demand).mean(axis=2), 12.0 * np.log(draws.rate),
             12.0 * draws.power.mean(axis=2), 6.0 * np.log(draws.rent).mean(axis=2)]
    return np.concatenate([np.asarray(part, dtype=np.float64).reshape(draws.count, -1) for part in parts], axis=1)


def alike(points: Floats) -> Ints:
    """An order that starts at the first point and goes on with the nearest not yet visited. [N]"""
    left = np.ones(len(points), dtype=bool)
    order = np.zeros(len(points), dtype=np.int64)
    at = 0
    for i in range(len(points)):
        order[i] = at
        left[at] = False
        if left.any():
            far = np.abs(np.minimum(points, 60.0) - np.minimum(points[at], 60.0)).sum(axis=1)
            at = int(np.argmin(np.where(left, far, np.inf)))
    return order


def by_month(p: TwoStage, paid: Floats) -> Floats:
    """Cash by owner and month of what is paid by kind, owner and month. [O, T]"""
    market = p.build.market
    kinds = paid.reshape(len(BOOKS), len(market.scenario.owners), market.months + 1)
    return np.asarray(kinds[..., :market.months].sum(axis=0))


class _Work:
    """The arrays of an Evaluation while they are filled, batch by batch."""

    def __init__(self, market: Market, rates: Rates, first: Floats, draws: Draws, rules: tuple[Rule, ...],
                 progress: Counted | None, stop: Stop | None) -> None:
        n, jobs, months = draws.count, len(market.scenario.jobs), market.months
        self.market, self.first, self.draws, self.rules = market, first, draws, rules
        self.sets = sets(market, rates, draws)
        self.told, self.stop, self.done = progress, stop, 0
        self.cost = np.zeros((n, len(PARTS)))
        self.cash = np.zeros((n, len(market.scenario.owners), months))
        self.served, self.progress = np.zeros((n, jobs, months)), np.zeros((n, jobs, months))

    def run(self, batches: list[Ints]) -> None:
        """Every draw of some batches."""
        recourse = FixedRecourse(self.stop)
        for which in batches:
            # Whichever draws are asked about, the programme's base is the base: its columns hang on it.
            extra = which[0] != 0
            p = two_stage(self.market, some(self.draws, np.concatenate([[0], which]) if extra else which), self.sets,
                          self.rules)
            if len(p.x_lower) != len(self.first):
                raise ValueError(f"the decisions have {len(self.first)} columns, this market {len(p.x_lower)}: they "
                                 "were made for another market or another base draw")
            within = np.arange(1, len(which) + 1) if extra else np.arange(len(which))
            recourse.prepare(p, self.first, within)
            for n, at in zip(within.tolist(), which.tolist(), strict=True):
                self._keep(p, n, at, recourse.solve(n))

    def _keep(self, p: TwoStage, n: int, at: int, y: Floats) -> None:
        scaled, b = y * p.scale[n], p.build
        self.cost[at] = p.spent(n, self.first, y)
        self.cash[at] = by_month(p, p.paid(n, self.first, y))
        wanted = self.market.demand * b.draws.demand[n]
        self.served[at] = np.maximum(wanted - take(b.y["short"], scaled) * b.peak[:, None], 0.0) * (wanted > 0)
        self.progress[at] = np.minimum(take(b.y["done"], scaled), 1.0)
        self.done += 1
        if self.told is not None:
            self.told(self.done, self.draws.count)

    def evaluation(self) -> Evaluation:
        """What was found."""
        jobs = self.market.scenario.jobs
        tokens = np.array([job.tokens if isinstance(job, TrainJob) else 0.0 for job in jobs])
        ended = self.progress[:, :, -1] if self.market.months else np.zeros((self.draws.count, len(jobs)))
        return Evaluation(
            probability=self.draws.probability, cost=Parts(names=PARTS, values=self.cost, unit="USD"), cash=self.cash,
            served=self.served, progress=self.progress, work=self.served @ self.market.seconds + ended * tokens)


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
        most = p.y_upper[which].max(axis=0)
        self._linked = np.maximum(p.link_factor * x[p.link_first], 0.0)
        most[p.link_column] = np.minimum(most[p.link_column], self._linked)
        reach = Range(low=low.min(axis=0), high=high.max(axis=0), low_most=low.max(axis=0), high_least=high.min(axis=0))
        found = lean(p.recourse, reach, p.y_lower, most)
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
            stop=self._stop, solver="simplex")
        if before is not None and basis is not None:
            self._solver.start_from_part(basis, np.flatnonzero(before.rows), rows, np.flatnonzero(before.columns),
                                         columns)
        self._kept, self._rows, self._columns = found, rows, columns

    def solve(self, n: int) -> Floats:
        """y of a draw. [Y]"""
        p, solver = self._p, self._solver
        y = p.y_lower.copy()
        if solver is None or not len(self._columns):
            return y
        taken = self._taken[n][self._rows]
        solver.change_rows(p.lower[n][self._rows] - taken, p.upper[n][self._rows] - taken)
        most = p.y_upper[n].copy()
        most[p.link_column] = np.minimum(most[p.link_column], self._linked)
        solver.change_columns(np.arange(len(self._columns)), p.y_lower[self._columns], most[self._columns])
        solver.change_cost(p.cost2[n][self._columns])
        found: Any = solver.solve()
        if found.status == "stopped":
            raise KeyboardInterrupt
        if found.status != "optimal":
            raise RuntimeError(f"the recourse of a draw ended as {found.status}; it should always be feasible")
        y[self._columns] = found.v
        return y
