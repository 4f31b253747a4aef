"""The efficient frontier: expected cost against the mean cost of the worst draws, by how much bad luck is minded."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from exafleet.sweep.answers.ground import (
    HERE,
    Ground,
    Mean,
    Means,
    judged,
    mean_of,
    ordered_units,
    planned,
    with_weight,
)

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A plan on the frontier.

    weight     on bad luck                                                        [1]
    planned    mean and CVaR in the draws it was made for                         [USD]
    mean       in fresh draws                                                     [USD]
    cvar       in fresh draws                                                     [USD]
    efficient  no other point is better in both, in fresh draws
    units      ordered, by system
    """

    weight: float
    planned: tuple[float, float]
    mean: Mean
    cvar: float
    efficient: bool
    units: tuple[tuple[str, int], ...]


def frontier(ground: Ground, weights: tuple[float, ...] = WEIGHTS, by: Means = HERE) -> tuple[Point, ...]:
    """A plan for every weight, judged on the same fresh draws; raises NoPlan, and Interrupted on Ctrl-C."""
    points = by.over(functools.partial(_point, ground), weights)
    return tuple(_judged(p, points) for p in points)


def _point(ground: Ground, weight: float) -> Point:
    alpha = ground.market.scenario.risk.alpha
    plan = planned(ground, with_weight(ground.market, weight))
    here, fresh = judged(ground, plan, ground.draws), judged(ground, plan)
    return Point(weight=weight, planned=(here.mean, here.cvar(alpha)), efficient=True, cvar=fresh.cvar(alpha),
                 mean=mean_of(fresh.total, ground.fresh.probability),
                 units=ordered_units(plan))


def _judged(point: Point, points: list[Point]) -> Point:
    beaten = any(p.mean.value <= point.mean.value and p.cvar <= point.cvar
                 and (p.mean.value, p.cvar) != (point.mean.value, point.cvar) for p in points)
    return replace(point, efficient=not beaten)
