"""What fixed decisions cost in any number of fresh draws: nothing is decided again but what follows as things arrive.

Draws are put in an order in which neighbours are alike and are solved in batches, each draw from the basis of the one
before, and only with the columns that can matter (see `lean`). Half of the batches belong to each of two streams, with
one or with two workers, so that the answer does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Ints, Market, make_read_only
from exafleet.plan.fixed import FixedRecourse
from exafleet.plan.highs import Stop
from exafleet.plan.order import alike, signature
from exafleet.plan.plan import BOOKS, PARTS, Plan
from exafleet.plan.read import take
from exafleet.plan.risk import tail
from exafleet.plan.rules import RULES, Rule
from exafleet.plan.sets import sets
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.terms.parts import Parts

BATCH = 100    # draws built together: a batch of the largest fleets measured takes about half a gigabyte
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
        return float(tail(self.total, self.probability, alpha) @ self.total)


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
    """Some of the draws, in that order, with their weights among each other."""
    return draws.take(which, draws.probability[which] / draws.probability[which].sum())


def _batches(draws: Draws) -> list[Ints]:
    """Positions of the draws, alike ones together, in batches; the base stands first in the first."""
    order = alike(signature(draws))
    return [order[i:i + BATCH] for i in range(0, len(order), BATCH)]


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
