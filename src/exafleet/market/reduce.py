"""From many draws to a few that stand for them, with the tail kept: weights sum to 1, nothing is left to chance.

Draws are put in coordinates in which an adverse move of each kind (late deliveries, late power, dear prices, ...)
counts alike. The worst tenth by their sum is a stratum of its own and keeps its probability whatever is chosen; in each
stratum representatives are chosen one after another, each the one that brings the rest nearest (fast forward
selection, Heitsch and Roemisch 2003), and every draw gives its probability to the nearest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.draws import Draws, draw
from exafleet.market.market import Bools, Floats, Ints, Market

if TYPE_CHECKING:
    from exafleet.fleet.rates import Rates

TAIL = 0.1          # probability of the stratum of the worst
TAIL_SHARE = 1 / 3  # of the representatives stand for it


def planned(market: Market, n: int, seed: int, rates: Rates | None = None) -> Draws:
    """The draws a plan looks at: n of the scenario's `sample` with their weights, or n equally likely ones."""
    sample = market.scenario.uncertainty.sample
    return reduced(draw(market, max(sample, n), seed, rates=rates), n)


def reduced(draws: Draws, n: int, *, tail: float = TAIL) -> Draws:
    """N of the draws with the probability of those they stand for; the base stays first."""
    if n < 1:
        raise ValueError(f"at least one draw is needed, got {n}")
    if n >= draws.count:
        return draws
    at, weight = chosen(coordinates(draws), severity(draws), draws.probability, n, tail)
    return draws.take(at, weight)


def chosen(points: Floats, bad: Floats, probability: Floats, n: int, tail: float) -> tuple[Ints, Floats]:
    """Positions of n representatives, position 0 first, and their probabilities. points [N, D], bad [N]"""
    worst = _worst(bad, probability, tail)
    many = min(max(1, round(n * TAIL_SHARE)), int(worst.sum())) if n >= 2 else 0
    rest = n - many
    if many == 0 or rest >= (~worst).sum():  # too few to tell apart, or nearly all are kept: one stratum
        worst, many, rest = np.zeros(len(bad), dtype=bool), 0, n
    at: list[int] = []
    weight: list[float] = []
    for stratum, count in ((~worst, rest), (worst, many)):
        members = np.flatnonzero(stratum)
        if count and len(members):
            picked, share = _forward(points[members], probability[members], count, keep=0 in members[:1])
            at += members[picked].tolist()
            weight += share.tolist()
    return np.array(at, dtype=np.int64), np.array(weight) / math.fsum(weight)


def _worst(bad: Floats, probability: Floats, tail: float) -> Bools:
    """The worst draws that together have at most `tail`; never the base."""
    order = np.argsort(-bad, kind="stable")
    order = order[order != 0]
    found = np.zeros(len(bad), dtype=bool)
    found[order[probability[order].cumsum() <= tail + 1e-12]] = True
    return found


def _forward(points: Floats, probability: Floats, count: int, *, keep: bool) -> tuple[Ints, Floats]:
    """Fast forward selection; the first point is chosen first where it must be kept."""
    near = np.full(len(points), np.inf)
    picked: list[int] = []
    owner = np.zeros(len(points), dtype=np.int64)
    apart = distances(points)
    for i in range(min(count, len(points))):
        if i == 0 and keep:
            best = 0
        else:
            left = (probability * np.minimum(apart, near[None, :])).sum(axis=1)
            left[picked] = np.inf
            best = int(np.argmin(left))
        closer = apart[best] < near
        owner[closer], near = i, np.where(closer, apart[best], near)
        picked.append(best)
    weight = np.bincount(owner, weights=probability, minlength=len(picked))
    return np.array(picked, dtype=np.int64), np.asarray(weight, dtype=np.float64)


def distances(points: Floats) -> Floats:
    """Euclidean distance of every two points, one coordinate after another. [N, N]"""
    squares = np.zeros((len(points), len(points)))
    for column in points.T:
        squares += (column[:, None] - column[None, :]) ** 2
    return np.asarray(np.sqrt(squares))


def transport(points: Floats, probability: Floats, at: Ints) -> float:
    """What it costs to carry every draw's probability to the nearest representative: how far an expectation of
    anything that changes by at most 1 per unit of distance can be off."""
    apart = np.stack([np.sqrt(((points - points[a]) ** 2).sum(axis=1)) for a in at])
    return float(probability @ apart.min(axis=0))


def coordinates(draws: Draws) -> Floats:
    """Every kind of uncertainty as adverse moves, each kind with the same total variance. [N, D]"""
    kinds = [draws.lead.mean(axis=2), draws.slip, 1.0 - draws.power.mean(axis=2), -np.log(draws.rate),
             np.log(draws.price).mean(axis=2), np.log(draws.rent).mean(axis=2), -np.log(draws.resale).mean(axis=2),
             np.log(np.maximum(draws.demand, 1e-9)).mean(axis=2), draws.barred < draws.lead.shape[2], draws.happened]
    return np.concatenate([_scaled(np.asarray(kind, dtype=np.float64)) for kind in kinds], axis=1)


def _scaled(kind: Floats) -> Floats:
    """Centred, with a total variance of 1 over its columns; zero where nothing varies."""
    centred = kind - kind.mean(axis=0)
    total = math.sqrt(float((centred**2).mean(axis=0).sum()))
    return centred / total if total > 1e-12 else np.zeros(kind.shape)


def severity(draws: Draws) -> Floats:
    """The sum of adverse moves: a cheap guess at which draws are dear. [N]"""
    return np.asarray(coordinates(draws).sum(axis=1))
