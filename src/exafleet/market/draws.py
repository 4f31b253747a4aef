"""Draws: ways the future may turn out. Draw 0 is always the base: quoted deliveries, median rates, demand as stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exafleet.facts.records import Offer, OpenOrder
from exafleet.market.market import Floats, Ints, Market, make_read_only

if TYPE_CHECKING:
    from exafleet.fleet.rates import Rates

Z90 = 1.2815515655446004  # standard normal quantile of 90 %
LONGEST = 600.0           # months; a delay beyond any horizon is as good as never


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """N futures. Delays are whole months, because the plan's clock is monthly.

    probability  of each draw, sums to 1                                     [N]
    lead         months from order to arrival, by month of order             [N, F, T]
    slip         months an open order comes after the month promised         [N, Q]
    demand       factor on the demand of each job (1 for training)           [N, J, T]
    rate         factor on the useful work per second of each job            [N, J]
    seed         what the draws came from
    """

    probability: Floats
    lead: Ints
    slip: Ints
    demand: Floats
    rate: Floats
    seed: int

    def __post_init__(self) -> None:
        make_read_only(self)

    @property
    def count(self) -> int:
        """Number of draws."""
        return len(self.probability)


def base(market: Market) -> Draws:
    """The base draw alone: quoted deliveries, stated demand, median rates."""
    return draw(market, 1, 0)


def draw(market: Market, n: int, seed: int, *, rates: Rates | None = None, supplier: float = 0.3, system: float = 0.4,
         demand_growth: float = 0.0) -> Draws:
    """N joint draws, equally likely; the first is the base, and a longer sample starts with a shorter one's draws.

    rates          where given, the band of the rates moves each job's useful work per second
    supplier       correlation of delays within one supplier                                    [1]
    system         correlation of delays within one system, whoever supplies it                 [1]
    demand_growth  standard deviation of the log of demand after one year; grows with the root of time  [1]

    Delays come in common shocks: each has a share from its supplier, a share from its system, the rest of its own.
    The default correlations are assumptions, not measurements.
    """
    if n < 1:
        raise ValueError(f"at least one draw is needed, got {n}")
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal
    offers, orders = market.scenario.offers, market.scenario.open_orders
    deliveries: tuple[Offer | OpenOrder, ...] = (*offers, *orders)
    suppliers = sorted({x.supplier for x in deliveries})
    jobs = len(market.scenario.jobs)
    widths = (len(suppliers), len(market.systems), len(offers) + len(orders), jobs, jobs)
    shocks = np.vstack([np.zeros((1, sum(widths))), normal((n - 1, sum(widths)))])
    by_supplier, by_system, own, asked, model = np.split(shocks, np.cumsum(widths)[:-1], axis=1)
    who = np.array([suppliers.index(x.supplier) for x in deliveries], dtype=np.int64)
    what = np.array([market.systems.index(x.system) for x in deliveries], dtype=np.int64)
    delay = (np.sqrt(supplier) * by_supplier[:, who] + np.sqrt(system) * by_system[:, what]
             + np.sqrt(max(0.0, 1.0 - supplier - system)) * own)
    lead = _months(spread_quantile(market.lead, delay[:, :len(offers)]))
    slip = _months(spread_quantile(market.slip, delay[:, len(offers):]))
    years = (np.arange(market.months) + 1.0) / 12.0
    return Draws(
        probability=np.full(n, 1.0 / n), seed=seed, slip=slip,
        lead=np.repeat(np.maximum(lead, 0)[:, :, None], market.months, axis=2),
        demand=np.exp(demand_growth * np.sqrt(years) * asked[:, :, None]),
        rate=np.exp(model * _rate_sigma(market, rates)))


def spread_quantile(quantiles: Floats, normal: Floats) -> Floats:
    """A duration from its 10/50/90 % quantiles [D, 3] at standard normal scores [N, D]; same unit as the quantiles.

    Two half-lognormals that meet in the median, or two half-normals where the 10 % quantile is not positive.
    """
    low, mid, high = (quantiles[:, i] for i in range(3))
    late = normal > 0
    positive = low > 0
    safe = np.where(positive[:, None], quantiles, 1.0)
    ratio = np.where(late, np.log(safe[:, 2] / safe[:, 1]), np.log(safe[:, 1] / safe[:, 0]))
    step = np.where(late, high - mid, mid - low)
    score = normal / Z90
    with np.errstate(over="ignore"):
        drawn = np.where(positive, mid * np.exp(ratio * score), mid + step * score)
    return np.asarray(np.minimum(drawn, np.maximum(LONGEST, mid)))


def _months(duration: Floats) -> Ints:
    return np.floor(duration + 0.5).astype(np.int64)


def _rate_sigma(market: Market, rates: Rates | None) -> Floats:
    """Standard deviation of the log of each job's rate, from the 80 % band of the options that run. [J]"""
    jobs = market.scenario.jobs
    if rates is None:
        return np.zeros(len(jobs))
    runs = (rates.low > 0) & (rates.high > 0)
    width = np.where(runs, np.log(np.where(runs, rates.high, 1.0) / np.where(runs, rates.low, 1.0)), 0.0)
    count = runs.sum(axis=(1, 2))
    mean = width.sum(axis=(1, 2)) / np.maximum(count, 1) / (2.0 * Z90)
    return np.array([mean[rates.jobs.index(job.id)] if job.id in rates.jobs else 0.0 for job in jobs])
