"""Draws: ways the future may turn out. Draw 0 is always the base: deliveries and power as quoted, prices as stated,
median rates, demand as stated, no event that is not certain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.market.market import Bools, Floats, Ints, Market, make_read_only

NEVER = 10**6   # month index of what does not happen


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """N futures. Delays are whole months, because the plan's clock is monthly.

    probability  of each draw, sums to 1                                     [N]
    lead         months from order to arrival, by month of order             [N, F, T]
    slip         months an open order comes after the month promised         [N, Q]
    barred       month index from which nothing of an offer arrives any more; what was paid comes back   [N, F]
    barred_open  the same of open orders                                     [N, Q]
    demand       factor on the demand of each job (1 for training)           [N, J, T]
    rate         factor on the useful work per second of each job            [N, J]
    price        factor on the purchase price of an offer by month of order  [N, F, T]
    rent         factor on a rental price by month of use (on demand) or of signing (reserved)           [N, R, T]
    power        share of a site's stated facility power that is there       [N, S, T]
    resale       factor on what a used unit sells for; the last one at the end of the horizon            [N, K, T + 1]
    happened     which of the scenario's events happen                       [N, E]
    seed         what the draws came from
    """

    probability: Floats
    lead: Ints
    slip: Ints
    barred: Ints
    barred_open: Ints
    demand: Floats
    rate: Floats
    price: Floats
    rent: Floats
    power: Floats
    resale: Floats
    happened: Bools
    seed: int

    def __post_init__(self) -> None:
        _check(self)
        make_read_only(self)

    @property
    def count(self) -> int:
        """Number of draws."""
        return len(self.probability)

    def take(self, which: npt.ArrayLike, probability: npt.ArrayLike | None = None) -> Draws:
        """Some of the draws, in the order of `which`, with new probabilities; equally likely unless given.

        The base draw stays first only if `which` begins with 0.
        """
        at = np.asarray(which, dtype=np.int64)
        weight = np.full(len(at), 1.0 / len(at)) if probability is None else np.array(probability, dtype=np.float64)
        arrays = {name: getattr(self, name)[at].copy() for name in BY_DRAW}
        return replace(self, probability=weight, **arrays)

    def expectation(self, value: Floats) -> Floats:
        """Mean over the draws of something that begins with them. [N, ...] -> [...]"""
        return np.asarray(np.tensordot(self.probability, value, axes=1))

    def without(self, market: Market, *names: str) -> Draws:
        """The same draws with some of their fields as quoted: what if delivery (or prices, ...) were certain."""
        sure = stated(market, self.count)
        return replace(self, **{name: getattr(sure, name).copy() for name in names})


BY_DRAW = ("lead", "slip", "barred", "barred_open", "demand", "rate", "price", "rent", "power", "resale", "happened")


def _check(draws: Draws) -> None:
    """Shapes agree, probabilities are a distribution, factors and power are what they can be; raises ValueError."""
    n = len(draws.probability)
    if n < 1 or not np.isfinite(draws.probability).all() or (draws.probability < 0).any() or abs(
            draws.probability.sum() - 1.0) > 1e-9:
        raise ValueError(f"probabilities of draws are at least 0 and sum to 1, they sum to {draws.probability.sum()}")
    short = [name for name in BY_DRAW if len(getattr(draws, name)) != n]
    if short:
        raise ValueError(f"{n} draws, but not as many of {', '.join(short)}")
    for name in ("rate", "price", "rent", "resale"):
        if not (np.isfinite(getattr(draws, name)).all() and (getattr(draws, name) > 0).all()):
            raise ValueError(f"factors of draws are finite and above zero: {name} is not")
    if not np.isfinite(draws.demand).all() or (draws.demand < 0).any():
        raise ValueError("demand of draws is not negative")
    if not ((draws.power >= 0) & (draws.power <= 1)).all():
        raise ValueError("power of draws is a share of the stated power")
    if (draws.lead < 0).any():
        raise ValueError("nothing arrives before it is ordered: a lead is negative")


def stated(market: Market, n: int, *, lead: Ints | None = None, slip: Ints | None = None, demand: Floats | None = None,
           rate: Floats | None = None, probability: Floats | None = None, seed: int = 0) -> Draws:
    """N draws in which everything is as quoted but for what is given."""
    months, kinds, ones = market.months, len(market.systems), np.ones
    scenario = market.scenario
    offers, orders, jobs = len(scenario.offers), len(scenario.open_orders), len(scenario.jobs)
    quoted = np.repeat(np.maximum(_months(market.lead[:, 1]), 0)[None, :, None], months, axis=2)
    return Draws(
        probability=np.full(n, 1.0 / n) if probability is None else probability,
        lead=np.repeat(quoted, n, axis=0) if lead is None else lead,
        slip=np.repeat(_months(market.slip[:, 1])[None], n, axis=0) if slip is None else slip,
        barred=np.full((n, offers), NEVER), barred_open=np.full((n, orders), NEVER),
        demand=ones((n, jobs, months)) if demand is None else demand, rate=ones((n, jobs)) if rate is None else rate,
        price=ones((n, offers, months)), rent=ones((n, len(scenario.rentals), months)),
        power=ones((n, len(scenario.sites), months)), resale=ones((n, kinds, months + 1)),
        happened=np.zeros((n, len(scenario.events)), dtype=bool), seed=seed)


def _months(duration: Floats) -> Ints:
    return np.floor(duration + 0.5).astype(np.int64)
