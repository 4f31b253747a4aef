"""From many draws to a few that stand for them, with the tail kept: weights sum to 1, nothing is left to chance.

Draws are put in coordinates that count money: for each kind of uncertainty, roughly what its move in the draw costs.
The worst tenth by their sum is a stratum of its own and keeps its probability whatever is chosen. Each stratum is cut
into slices of like severity, of which the first one drawn stands for all; then the weights move towards what makes the
mean of every coordinate in the stratum that of all its draws. That is stratified sampling with calibrated weights: it
takes out what is linear in the coordinates, and leaves the rest no worse than a sample of that size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.futures import draw
from exafleet.market.market import Bools, Floats, Ints, Market

if TYPE_CHECKING:
    from exafleet.fleet.rates import Rates

TAIL = 0.1          # probability of the stratum of the worst
TAIL_SHARE = 1 / 3  # of the representatives stand for it
PULL = 1.0          # how strongly weights stay near those of their slices
AT_STAKE = 0.3      # of a month's work is lost when everything comes a month late; the rest has other machines
LEAST = 0.1         # of a slice's weight is kept


def planned(market: Market, n: int, seed: int, rates: Rates | None = None) -> Draws:
    """The draws a plan looks at: n of the scenario's `sample` with their weights, or n equally likely ones."""
    sample = market.scenario.uncertainty.sample
    return reduced(market, draw(market, max(sample, n), seed, rates=rates), n)


def reduced(market: Market, draws: Draws, n: int, *, tail: float = TAIL) -> Draws:
    """N of the draws with the probability of those they stand for; the base stays first."""
    if n < 1:
        raise ValueError(f"at least one draw is needed, got {n}")
    if n >= draws.count:
        return draws
    at, weight = chosen(coordinates(market, draws), draws.probability, n, tail)
    return draws.take(at, weight)


def chosen(points: Floats, probability: Floats, n: int, tail: float) -> tuple[Ints, Floats]:
    """Positions of n representatives, position 0 first, and their probabilities. points [N, D] in money"""
    bad = points.sum(axis=1)
    worst = _worst(bad, probability, tail)
    many = min(max(1, round(n * TAIL_SHARE)), int(worst.sum())) if n >= 3 else 0
    many = max(many, n - int((~worst).sum())) if many else 0
    if many == 0:  # too few to tell apart
        worst = np.zeros(len(bad), dtype=bool)
    at: list[int] = []
    weight: list[float] = []
    for stratum, count in ((~worst, n - many), (worst, many)):
        members = np.flatnonzero(stratum)
        if count and len(members):
            picked = _slices(bad[members], probability[members], count, keep=bool(members[0] == 0))
            share = _balanced(points[members], probability[members], *picked)
            at += members[picked[0]].tolist()
            weight += share.tolist()
    return np.array(at, dtype=np.int64), np.array(weight) / math.fsum(weight)


def worst_of(points: Floats, probability: Floats, tail: float = TAIL) -> Bools:
    """The worst draws by the sum of their coordinates that together have at most `tail`; never the base. [N]"""
    return _worst(points.sum(axis=1), probability, tail)


def _worst(bad: Floats, probability: Floats, tail: float) -> Bools:
    order = np.argsort(-bad, kind="stable")
    order = order[order != 0]
    found = np.zeros(len(bad), dtype=bool)
    found[order[probability[order].cumsum() <= tail + 1e-12]] = True
    return found


def _slices(bad: Floats, probability: Floats, count: int, *, keep: bool) -> tuple[Ints, Floats]:
    """One draw of each of `count` slices by severity, and the slice's probability; the first draw first where kept."""
    order = np.argsort(bad, kind="stable")
    order = order[order != 0] if keep else order
    parts = [part for part in np.array_split(order, count - keep) if len(part)] if count > keep else []
    picked = [0] if keep else []
    weight = [probability[0]] if keep else []
    for part in parts:
        picked.append(int(part.min()))   # the first drawn: as random as the draws, within its slice
        weight.append(probability[part].sum())
    if not parts:
        weight[0] = probability.sum()
    return np.array(picked, dtype=np.int64), np.array(weight)


def _balanced(points: Floats, probability: Floats, at: Ints, weight: Floats) -> Floats:
    """Weights near those of the slices, not negative, whose means are those of all draws of the stratum.

    Least squares: coordinates that move much money are matched first; a pull keeps weights near where they were.
    """
    from scipy.optimize import nnls

    mass = probability.sum()
    scale = math.sqrt(float((probability[:, None] * (points - probability @ points / mass) ** 2).sum())) + 1e-300
    wanted = probability @ points
    count = len(at)
    rows = np.vstack([points[at].T * (count / scale), np.diag(PULL * mass / count / weight), np.full((1, count), 1e3)])
    goal = np.concatenate([wanted * (count / scale), np.full(count, PULL * mass / count), [1e3 * mass]])
    found, _ = nnls(rows, goal)
    found = np.maximum(found, LEAST * weight)
    return np.asarray(found * (mass / found.sum()))


def coordinates(market: Market, draws: Draws) -> Floats:
    """Roughly what each kind of uncertainty costs in each draw, over the base. [N, kinds] [USD]

    Volumes are what the market could sell and the jobs could ask for; only their proportions matter.
    """
    jobs, offers = market.scenario.jobs, market.scenario.offers
    unserved = np.array([getattr(job, "unserved", 0.0) for job in jobs])
    asked = unserved[:, None] * market.demand * market.seconds
    worth = np.array([getattr(job, "value", 0.0) + getattr(job, "unfinished", 0.0) for job in jobs])
    spent = _spent(market)
    month = float(asked.sum() + worth.sum()) / max(market.months, 1)   # what a month of everything is worth
    all_months = month * market.months * AT_STAKE
    share = spent.sum(axis=1) / max(spent.sum(), 1e-300)
    late = (draws.lead - draws.lead[:1]).mean(axis=2) @ share if len(offers) else np.zeros(draws.count)
    units = np.array([float(q.units * q.price) for q in market.scenario.open_orders])
    slip = (draws.slip - draws.slip[:1]) @ (units / max(units.sum(), 1e-300))
    rented = market.rental_price * market.rental_most * market.seconds
    rented = rented * min(1.0, float(asked.sum()) / max(float(rented.sum()), 1e-300))
    owned = market.resale[:, -1] * market.holdings.sum(axis=(0, 1))
    powered = np.where(np.isfinite(market.power), market.power, 0.0)
    kinds = (
        late * month * AT_STAKE, slip * month * AT_STAKE,
        ((1.0 - draws.power) * powered).sum(axis=(1, 2)) / max(float(powered.sum()), 1e-300) * all_months,
        ((draws.demand - 1.0) * asked).sum(axis=(1, 2)),
        (1.0 / draws.rate - 1.0) @ (asked.sum(axis=1) + worth),
        ((draws.price - 1.0) * spent).sum(axis=(1, 2)), ((draws.rent - 1.0) * rented).sum(axis=(1, 2)),
        (1.0 - draws.resale[:, :, -1]) @ (owned + _bought(market, spent)),
        (draws.barred < market.months).mean(axis=1) * all_months if len(offers) else late,
    )
    return np.stack([np.asarray(kind, dtype=np.float64) - kind[0] for kind in kinds], axis=1)


def _spent(market: Market) -> Floats:
    """What orders could cost by month, as if each offer were taken evenly and all together fed every job. [F, T]"""
    total = np.array([f.total for f in market.scenario.offers])
    months = np.maximum(market.can_order.sum(axis=1), 1)
    units = np.where(np.isfinite(total), total, 0.0) / months
    found = market.price * market.can_order * units[:, None]
    return np.asarray(found / max(len(units), 1))


def _bought(market: Market, spent: Floats) -> Floats:
    """What is spent on each system. [K]"""
    found = np.zeros(len(market.systems))
    for f, offer in enumerate(market.scenario.offers):
        found[market.systems.index(offer.system)] += spent[f].sum()
    return found
