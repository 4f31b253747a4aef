"""How much a plan is flattered because each of its draws foresees itself: lived again, knowing only what has come.

The recourse of a draw knows the whole of its own future, and so do the later looks at the order book. Here the same
first decisions are lived through every fresh draw twice: by that recourse, and planned again every few months with
what has become known by then. Deliveries, demand and the speed of the machines differ between draws; prices, power and
events are as stated, for a life has no belief of prices that follows what they turned out to be.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from exafleet.facts.sharing import Fairness
from exafleet.market.futures import draw
from exafleet.market.market import Market
from exafleet.plan.carry import Values
from exafleet.plan.evaluate import evaluate
from exafleet.plan.policies import policy
from exafleet.replay.rolling import Settings, View, decided_by, roll, truth_of
from exafleet.sweep.answers.ground import ELSEWHERE, HERE, Ground, Mean, Means, mean_of, planned, unseen

EVERY = 3   # months between two plans, where the scenario does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """Present costs of the same first decisions. [USD]

    every      months between two plans, and between two looks
    draws      fresh draws lived through
    expected   what the plan expects, in the draws it was made for
    stands     orders as planned; what follows from them foreseen in each fresh draw
    looks      the same, and orders looked at again, each draw foreseeing itself
    whole      as `stands`, lived in whole units
    lived      planned again every few months, knowing what has come and no more
    flattered  lived - looks, draw by draw: by how much the plan with its looks seems cheaper than it can be had
    units      whole - stands: the part of it that is whole units
    planning   whole - lived: what planning again saves over standing by the plan, foresight of what follows or not
    """

    every: int
    draws: int
    expected: float
    stands: Mean
    looks: Mean
    whole: Mean
    lived: Mean
    flattered: Mean
    units: Mean
    planning: Mean


def foresight(ground: Ground, by: Means = HERE, every: int = 0) -> Foresight:
    """What the plan seems to cost in fresh draws and what it costs when lived; raises NoPlan, Interrupted on Ctrl-C."""
    months = every or ground.market.scenario.risk.react or EVERY
    asked = _as_lived(ground, months)
    plan = planned(asked)
    keep = np.flatnonzero(asked.fresh.probability > 0)
    weight = asked.fresh.probability[keep]
    looks = evaluate(asked.market, asked.rates, plan, asked.fresh).total[keep]
    standing = _looked_at(asked.market, 0)
    stands = evaluate(standing, asked.rates, plan.first, asked.fresh).total[keep]
    first = decided_by(plan, asked.rates), plan.objective, 0.0
    found = np.array(by.over(functools.partial(_lives, asked, first, months), [int(n) for n in keep]))
    whole, lived = found.reshape(-1, 2).T
    return Foresight(
        every=months, draws=len(keep), expected=plan.objective, stands=mean_of(stands, weight),
        looks=mean_of(looks, weight), whole=mean_of(whole, weight), lived=mean_of(lived, weight),
        flattered=mean_of(lived - looks, weight), units=mean_of(whole - stands, weight),
        planning=mean_of(whole - lived, weight))


def _looked_at(market: Market, months: int) -> Market:
    risk = replace(market.scenario.risk, react=months, weight=0.0)
    return replace(market, scenario=replace(market.scenario, risk=risk))


def _as_lived(ground: Ground, months: int) -> Ground:
    """The question as both can answer it: the mean alone, in cash, no rule of fairness, prices and power as stated."""
    market = _looked_at(ground.market, months)
    sure = replace(market.scenario.uncertainty, price_volatility=0.0, price_drift=0.0, rent_volatility=0.0,
                   resale_volatility=0.0, power_delay=None, power_stretch=None, sample=0)
    scenario = replace(market.scenario, uncertainty=sure, events=(), finance=(), fairness=Fairness())
    market = replace(market, scenario=scenario)
    fresh = draw(market, ground.fresh.count, ground.draws.seed + ELSEWHERE, rates=ground.rates)
    return replace(ground, market=market, fresh=unseen(fresh),
                   draws=draw(market, ground.draws.count, ground.draws.seed, rates=ground.rates))


def _lives(asked: Ground, first: tuple[Values, float, float], months: int, n: int) -> tuple[float, float]:
    """Cost of one fresh draw lived by the plan as it stands, and planned again every few months. [USD]

    first   decisions of the plan, what it expects [USD], and its gap
    """
    view = View(market=asked.market, rates=asked.rates)
    true = truth_of(view, asked.fresh, n)
    settings = Settings(draws=asked.draws.count, seed=asked.draws.seed, gap=asked.gap)
    planner = policy("planner")
    assert planner is not None
    once, again = ([0], list(range(0, asked.market.months, months)))
    lives = [roll(planner, lambda k, m: view, true, dates, settings, begin=first) for dates in (once, again)]
    if any(life.done < len(dates) for life, dates in zip(lives, (once, again), strict=True)):
        raise KeyboardInterrupt
    return float(lives[0].cost.total), float(lives[1].cost.total)
