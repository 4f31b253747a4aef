"""Does a prediction put deployments in the right order? Ranks within groups, pairs that differ in one thing, choices.

A rate that is off by a constant factor still chooses right; these figures see what median errors do not.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exafleet.terms import format as words

# Groups with fewer measured deployments or loads say nothing of an order.
FEWEST = 4
# A choice within this of the best measured is as good as it.
AS_GOOD = 0.10
# Two measured rates closer than this have no order to get right.
TIE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured rate with its prediction, and what it shares with others.

    rate, predicted   tokens/s of one accelerator
    group             what a choice is made within: model, system, formats, engine, lengths
    axes              what deployments differ in: {"accelerator": ..., "layout": ..., "engine": ..., "load": ...}
    fixed             what all of them share where one axis is compared: model, lengths
    """

    rate: float
    predicted: float
    group: Hashable
    axes: dict[str, Hashable]
    fixed: Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How well an order is predicted; nan where there is nothing to order.

    groups      groups with at least FEWEST measured points
    spearman    median rank correlation of predicted with measured rates, over groups    [1]
    good        share of groups whose predicted best is within AS_GOOD of the measured best    [1]
    pairs       axis -> (pairs that differ in it alone, share of them in the right order)
    """

    groups: int
    spearman: float
    good: float
    pairs: dict[str, tuple[int, float]]

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {"groups": self.groups, "median_spearman": self.spearman, "best_within_10_percent": self.good,
                "pairs": {axis: {"pairs": n, "right": share} for axis, (n, share) in self.pairs.items()}}

    def sentences(self) -> tuple[str, ...]:
        """The figures in words."""
        told = []
        if self.groups:
            told.append(f"In {self.groups:,} groups of at least {FEWEST} deployments or loads the median rank "
                        f"correlation is {self.spearman:.2f}; the predicted best is within "
                        f"{words.percent(AS_GOOD)} of the measured best in {words.percent(self.good)} of them.")
        shown = [f"{axis} {words.percent(share)} of {n:,}" for axis, (n, share) in self.pairs.items() if n]
        if shown:
            told.append(f"Pairs that differ in one thing alone, in the right order: {', '.join(shown)}.")
        return tuple(told)


def orders(points: Sequence[Point]) -> Orders:
    """Ranks, choices and pairs of points whose rate and prediction are both known."""
    known = [p for p in points if p.rate > 0 and p.predicted > 0]
    groups: defaultdict[Hashable, list[Point]] = defaultdict(list)
    for point in known:
        groups[point.group].append(point)
    many = [g for g in groups.values() if len(g) >= FEWEST and len({p.rate for p in g}) > 1]
    ranks = [_spearman(g) for g in many]
    axes = list(dict.fromkeys(axis for p in known for axis in p.axes))
    return Orders(groups=len(many), spearman=float(np.median(ranks)) if ranks else math.nan,
                  good=float(np.mean([_good(g) for g in many])) if many else math.nan,
                  pairs={axis: _pairs(known, axis) for axis in axes})


def _spearman(points: Sequence[Point]) -> float:
    from scipy.stats import rankdata

    a, b = rankdata([p.rate for p in points]), rankdata([p.predicted for p in points])
    spread = a.std() * b.std()
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread > 0 else 0.0


def _good(points: Sequence[Point]) -> bool:
    """Whether the point predicted best is as good as the measured best."""
    chosen = max(points, key=lambda p: p.predicted)
    return chosen.rate >= (1.0 - AS_GOOD) * max(p.rate for p in points)


def _pairs(points: Sequence[Point], axis: str) -> tuple[int, float]:
    """(pairs that differ in this axis alone, share in the right order); what was measured twice counts with its mean.
    """
    alike: defaultdict[Hashable, defaultdict[Hashable, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for p in points:
        rest = tuple(sorted((name, str(value)) for name, value in p.axes.items() if name != axis))
        alike[p.fixed, rest][p.axes[axis]].append(p)
    right = [_ordered(one, other) for members in alike.values()
             for one, other in itertools.combinations([_mean(m) for m in members.values()], 2)]
    told = [r for r in right if r is not None]
    return len(told), float(np.mean(told)) if told else math.nan


def _mean(points: Iterable[Point]) -> tuple[float, float]:
    rates = np.array([(p.rate, p.predicted) for p in points])
    return float(rates[:, 0].mean()), float(rates[:, 1].mean())


def _ordered(one: tuple[float, float], other: tuple[float, float]) -> bool | None:
    """Whether two pairs of (measured, predicted) have the same order; None where the measured ones are a tie."""
    if abs(one[0] / other[0] - 1.0) < TIE:
        return None
    return (one[0] > other[0]) == (one[1] > other[1])
