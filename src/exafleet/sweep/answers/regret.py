"""What other ways to decide cost more than the plan, on the same fresh draws."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from exafleet.market.market import Floats
from exafleet.sweep.answers.choices import Choice, decide, free, naive
from exafleet.sweep.answers.ground import HERE, Ground, Mean, Means, judged, mean_of, ordered_units

Sweep = Callable[..., list[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One way to decide, judged.

    cost     present cost by fresh draw; empty when there is no such plan      [N]  [USD]
    mean     over the fresh draws                                              [USD]
    cvar     mean of the worst draws                                           [USD]
    extra    over the plan, draw by draw                                       [USD]
    cheaper  share of draws in which it costs less than the plan               [1]
    worst    most it costs over the plan in a draw                             [USD]
    orders   units ordered, by system
    draws    fresh draws it was judged by
    refused  why there is no such plan
    """

    name: str
    cost: Floats
    mean: Mean
    cvar: float
    extra: Mean
    cheaper: float
    worst: float
    orders: tuple[tuple[str, int], ...]
    draws: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Judged:
    name: str
    cost: Floats
    cvar: float
    orders: tuple[tuple[str, int], ...]
    refused: str


def regret(ground: Ground, choices: Sequence[Choice] | None = None, by: Means = HERE) -> tuple[Rival, ...]:
    """The plan first, then every other way to decide, each judged on the same fresh draws.

    Raises Interrupted on Ctrl-C; NoPlan cannot happen to a rival without a word: `refused` says it.
    """
    ways = (free(ground.market), *(naive(ground.market) if choices is None else choices))
    found = by.over(functools.partial(_judge, ground), ways)
    return compared(found, ground.fresh.probability)


def _judge(ground: Ground, choice: Choice) -> _Judged:
    decided = decide(ground, choice)
    if decided.plan is None:
        return _Judged(choice.name, np.zeros(0), float("nan"), (), decided.refused)
    found = judged(ground, decided.plan)
    return _Judged(choice.name, found.total, found.cvar(ground.market.scenario.risk.alpha),
                   ordered_units(decided.plan), "")


def compared(found: Sequence[_Judged], probability: Floats) -> tuple[Rival, ...]:
    """Each of them beside the first."""
    return tuple(_rival(f, found[0].cost, probability) for f in found)


def _rival(f: _Judged, plan: Floats, probability: Floats) -> Rival:
    none = Mean(float("nan"), float("nan"))
    if not len(f.cost) or not len(plan):
        return Rival(name=f.name, cost=f.cost, mean=mean_of(f.cost, probability) if len(f.cost) else none, cvar=f.cvar,
                     extra=none, cheaper=float("nan"), worst=float("nan"), orders=f.orders, draws=0, refused=f.refused)
    extra, weighed = f.cost - plan, probability > 0
    return Rival(name=f.name, cost=f.cost, mean=mean_of(f.cost, probability), cvar=f.cvar,
                 extra=mean_of(extra, probability), cheaper=float(probability[extra < -1e-6 * np.abs(plan)].sum()),
                 worst=float(extra[weighed].max()), orders=f.orders, draws=int(weighed.sum()))
