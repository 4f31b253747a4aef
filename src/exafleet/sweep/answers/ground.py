"""What every answer stands on: one market, its rates, the draws plans are made for and fresh ones they are judged by.

A plan is better on the draws it was made for than on others. Every comparison of plans is therefore made on fresh
draws, the same ones for all, so that differences are of pairs and their standard errors are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.futures import draw
from exafleet.market.market import Floats, Market
from exafleet.plan.evaluate import Evaluation, evaluate
from exafleet.plan.plan import Plan
from exafleet.plan.solve import solve_market
from exafleet.sweep.local import Progress, sweep

if TYPE_CHECKING:
    from exafleet.facts.world import World

Item = TypeVar("Item")
Result = TypeVar("Result")
ELSEWHERE = 1_000_003   # added to the seed of a plan's draws: far from any seed a person would choose next


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One question's market and rates.

    draws  plans are made for; the first is the base
    fresh  plans are judged by; its base has no weight
    gap    asked of every plan                              [1]
    """

    market: Market
    rates: Rates
    draws: Draws
    fresh: Draws
    gap: float = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Where the many plans of an answer are made, and who is told how far it is.

    workers   processes on this machine
    cluster   address of a Ray cluster instead, or "auto"
    progress  called with done and total
    """

    workers: int = 1
    cluster: str | None = None
    progress: Progress | None = None

    def over(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """[function(item) for item in items]; raises Interrupted on Ctrl-C."""
        return sweep(function, items, workers=self.workers, cluster=self.cluster, progress=self.progress)


HERE = Means()


def ground(world: World, rates: Rates, *, draws: int, fresh: int, seed: int, gap: float = 0.005) -> Ground:
    """The world's market with `draws` draws to plan for and `fresh` others to judge by."""
    from exafleet.market.market import market

    given = market(world, rates)
    return Ground(market=given, rates=rates, draws=draw(given, draws, seed, rates=rates), gap=gap,
                  fresh=unseen(draw(given, fresh + 1, seed + ELSEWHERE, rates=rates)))


def unseen(draws: Draws) -> Draws:
    """The same draws with no weight on the base, which is no draw but what is quoted; the base alone stays itself."""
    if draws.count == 1:
        return draws
    weight = draws.probability.copy()
    weight[0] = 0.0
    return draws.take(np.arange(draws.count), weight / weight.sum())


def neutral(ground: Ground) -> Ground:
    """The same question asked by somebody who minds only the mean."""
    return replace(ground, market=with_weight(ground.market, 0.0))


def with_weight(market: Market, weight: float) -> Market:
    """The market as seen with another weight on bad luck (CVaR). weight [1]"""
    risk = replace(market.scenario.risk, weight=weight)
    return replace(market, scenario=replace(market.scenario, risk=risk))


def planned(ground: Ground, market: Market | None = None, draws: Draws | None = None,
            first: Floats | None = None) -> Plan:
    """The plan for a market and draws, the ground's own unless given; raises NoPlan."""
    return solve_market(market or ground.market, ground.rates, draws or ground.draws, gap=ground.gap, first=first)


def judged(ground: Ground, plan: Plan, draws: Draws | None = None) -> Evaluation:
    """What a plan's decisions cost in the fresh draws, or in others."""
    return evaluate(plan.market, ground.rates, plan, draws or ground.fresh)


def ordered_units(plan: Plan) -> tuple[tuple[str, int], ...]:
    """Units a plan orders, by system; systems it orders none of are left out."""
    units = dict.fromkeys(plan.market.systems, 0)
    for order in plan.orders:
        units[order.system] += order.units
    return tuple((system, n) for system, n in units.items() if n)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over draws and its standard error, in the draws' own unit."""

    value: float
    error: float


def mean_of(values: Floats, probability: Floats) -> Mean:
    """Mean and standard error of a value by draw. Draws without weight do not count. values [N]"""
    weighed = probability > 0
    v, p = values[weighed], probability[weighed] / probability[weighed].sum()
    mean = float(p @ v)
    count = 1.0 / float(p @ p)   # draws that count as many equally likely ones
    if count <= 1.0 + 1e-12:
        return Mean(mean, float("nan"))
    return Mean(mean, float(np.sqrt(p @ (v - mean) ** 2 / (count - 1.0))))
