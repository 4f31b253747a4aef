"""What it would be worth to know the future (EVPI), and what it is worth to plan for more than one (VSS).

Both are of the mean: with a weight on bad luck neither has a simple meaning, so the question is asked by somebody who
minds only the mean. Wait-and-see plans know one draw and nothing else, but keep what the rules say of deliveries as
quoted, so that their cost can never exceed that of a plan that does not know.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from exafleet.market.market import Floats
from exafleet.sweep.answers.ground import HERE, Ground, Mean, Means, judged, mean_of, neutral, planned, unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """Present costs as means over the planning draws, and the two differences. [USD]

    here         of the plan made for all draws; its proven lower bound
    knowing      mean of plans that each know their draw; its proven lower bound
    quoted       of the plan made for deliveries as quoted only
    perfect      here - knowing: least and most it can be, given how far each plan is proven (EVPI)
    stochastic   quoted - here in the planning draws (VSS)
    fresh        the same on fresh draws, draw by draw
    by_draw      what knowing draw n would save                                         [N]
    probability  of each draw of by_draw                                                [N]
    """

    here: float
    here_bound: float
    knowing: float
    knowing_bound: float
    quoted: float
    perfect: tuple[float, float]
    stochastic: float
    fresh: Mean
    by_draw: Floats
    probability: Floats


def information(ground: Ground, by: Means = HERE) -> Information:
    """EVPI and VSS of the question; raises NoPlan, and Interrupted on Ctrl-C."""
    asked = neutral(ground)
    draws = unseen(asked.draws)
    plan, quoted = planned(asked, draws=draws), planned(asked, draws=draws.take([0]))
    items = [int(n) for n in np.flatnonzero(draws.probability > 0)]
    known = by.over(functools.partial(_knowing, asked), items)
    weight = draws.probability[items]
    cost, bound = (np.array([k[i] for k in known]) for i in (0, 1))
    here, there = judged(asked, plan, draws), judged(asked, quoted, draws)
    # A plan that knows cannot do worse than one that does not: its decisions are open to it too.
    cost = np.minimum(cost, here.total[items])
    knowing, knowing_bound = float(weight @ cost), float(weight @ np.minimum(bound, cost))
    least = min(plan.bound, here.mean)
    return Information(
        here=here.mean, here_bound=least, knowing=knowing, knowing_bound=knowing_bound, quoted=there.mean,
        perfect=(max(least - knowing, 0.0), here.mean - knowing_bound), stochastic=there.mean - here.mean,
        fresh=mean_of(judged(asked, quoted).total - judged(asked, plan).total, asked.fresh.probability),
        by_draw=here.total[items] - cost, probability=weight)


def _knowing(asked: Ground, n: int) -> tuple[float, float]:
    """Cost and proven bound of the plan that knows draw n. [USD]"""
    plan = planned(asked, draws=asked.draws.take([0, n], [0.0, 1.0]))
    return plan.objective, plan.bound
