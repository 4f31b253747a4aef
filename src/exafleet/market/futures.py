"""Draws from shocks: what comes late, what it costs, what is asked for, what happens to many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.deals import Offer, OpenOrder
from exafleet.facts.records import Event, Uncertainty
from exafleet.facts.steps import Spread
from exafleet.market.draws import NEVER, Draws, stated
from exafleet.market.market import MEAN_MONTH, Bools, Floats, Ints, Market
from exafleet.market.shocks import (
    FACTORS,
    LONGEST,
    Z90,
    independent,
    leading,
    mixed,
    mixing,
    normal,
    path,
    spread_quantile,
)
from exafleet.market.trade import released
from exafleet.market.trade_rules import FOR_GOOD

if TYPE_CHECKING:
    from exafleet.fleet.rates import Rates

BLOCKS = ("common", "price", "rent", "resale")   # of independent numbers, each with a generator of its own


def base(market: Market) -> Draws:
    """The base draw alone: quoted deliveries, stated demand and prices, median rates."""
    return draw(market, 1, 0)


def draw(market: Market, n: int, seed: int, *, rates: Rates | None = None, uncertainty: Uncertainty | None = None,
         supplier: float | None = None, system: float | None = None, demand_growth: float | None = None,
         sobol: bool = True) -> Draws:
    """N joint draws, equally likely; the first is the base, and a longer sample starts with a shorter one's draws.

    rates          where given, the band of the rates moves each job's useful work per second
    uncertainty    how the future may differ; the scenario's own unless given
    supplier, system, demand_growth   in place of its delay_supplier, delay_system, demand_volatility   [1]
    sobol          the leading shocks from a scrambled Sobol sequence instead of independent numbers

    Everything is a Gaussian copula: each quantity has a share in a shock it has in common with others (all deliveries,
    one supplier, one system, all prices, ...), and the rest of its own; the common shocks are correlated.
    """
    if n < 1:
        raise ValueError(f"at least one draw is needed, got {n}")
    given = uncertainty or market.scenario.uncertainty
    named: dict[str, Any] = {"delay_supplier": supplier, "delay_system": system, "demand_volatility": demand_growth}
    given = replace(given, **{name: value for name, value in named.items() if value is not None})
    return held_back(market, _drawn(market, n, seed, given, rates, sobol=sobol))


def held_back(market: Market, draws: Draws) -> Draws:
    """The draws as bans on arrival let units come: when the ban ends, or never where it does not."""
    if not any(rule.kind == "ban" and rule.stage == "arrival" for rule in market.scenario.rules):
        return draws
    lead, slip, barred, barred_open = (a.copy() for a in (draws.lead, draws.slip, draws.barred, draws.barred_open))
    month = np.arange(market.months)
    for f, offer in enumerate(market.scenario.offers):
        lead[:, f] = released(market, offer, month + lead[:, f]) - month
        barred[:, f] = np.minimum(barred[:, f], _for_good(released(market, offer, month)))
    for q, order in enumerate(market.scenario.open_orders):
        due = np.maximum(market.promised[q] + slip[:, q], 0)
        slip[:, q] = released(market, order, due) - market.promised[q]
        barred_open[:, q] = np.minimum(barred_open[:, q], _for_good(released(market, order, month)))
    return replace(draws, lead=lead, slip=slip, barred=barred, barred_open=barred_open)


def _for_good(arrives: Ints) -> int:
    """First month from which nothing comes any more; NEVER where there is none."""
    gone = arrives >= FOR_GOOD
    return int(np.argmax(gone)) if gone.any() else NEVER


@dataclass(slots=True)
class _Scores:
    """Normal scores of N draws; the base draw's are zero. Names are columns of the leading shocks."""

    market: Market
    given: Uncertainty
    n: int
    seed: int
    uniform: Floats
    columns: dict[str, slice]
    scores: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.scores = np.vstack([np.zeros((1, self.uniform.shape[1])), normal(self.uniform)])
        factors = self.columns["factors"]
        self.scores[:, factors] = mixed(mixing(pairs(self.given)), self.scores[:, factors])

    def of(self, name: str) -> Floats:
        """Scores of a block. [N, width]"""
        return self.scores[:, self.columns[name]]

    def factor(self, name: str) -> Floats:
        """The shock that all of a kind have in common. [N, 1]"""
        return self.of("factors")[:, [FACTORS.index(name)]]

    def chance(self, name: str) -> Floats:
        """Uniform numbers of a block; the base draw's are one half. [N, width]"""
        block = self.uniform[:, self.columns[name]]
        return np.vstack([np.full((1, block.shape[1]), 0.5), block])

    def noise(self, block: str, width: int) -> Floats:
        """Shocks of the steps of paths. [N, width, T - 1]"""
        months = max(self.market.months - 1, 0)
        found = independent(self.n - 1, (width, months), self.seed, BLOCKS.index(block) + 1)
        return np.concatenate([np.zeros((1, width, months)), found])


def pairs(given: Uncertainty) -> dict[tuple[str, str], float]:
    """Correlations of the common shocks by pair of factors."""
    return {("price", "rent"): given.price_with_rent, ("price", "demand"): given.price_with_demand,
            ("delay", "price"): given.price_with_delay, ("rent", "demand"): given.rent_with_demand,
            ("delay", "rent"): given.rent_with_delay, ("delay", "demand"): given.demand_with_delay,
            ("delay", "power"): given.power_with_delay}


def _drawn(market: Market, n: int, seed: int, given: Uncertainty, rates: Rates | None, *, sobol: bool) -> Draws:
    """N joint draws of a market, before any ban on arrival."""
    s = _scores(market, n, seed, given, sobol=sobol)
    happened = _happened(s)
    sure = stated(market, n)
    lead, slip = _deliveries(s, happened)
    hit = _Hits(market, happened)
    price_path = _common_paths(s)
    return Draws(
        probability=sure.probability, seed=seed, lead=lead, slip=slip, happened=happened,
        barred=hit.barred(market.scenario.offers), barred_open=hit.barred(market.scenario.open_orders),
        demand=_demand(s) * hit.factor("demand", len(market.scenario.jobs)), rate=_rate(s, rates),
        price=_price(s, price_path["price"]) * hit.factor("price", len(market.scenario.offers)),
        rent=_rent(s, price_path["rent"]) * hit.factor("rent", len(market.scenario.rentals)),
        power=_power(s, happened), resale=_resale(s, price_path["price"]))


def _scores(market: Market, n: int, seed: int, given: Uncertainty, *, sobol: bool) -> _Scores:
    scenario = market.scenario
    deliveries: tuple[Offer | OpenOrder, ...] = (*scenario.offers, *scenario.open_orders)
    jobs, events = len(scenario.jobs), scenario.events
    widths = {"factors": len(FACTORS), "suppliers": len({x.supplier for x in deliveries}),
              "systems": len(market.systems), "deliveries": len(deliveries), "sites": len(scenario.sites),
              "happened": len(_questions(events)), "later": len(events), "darker": len(events),
              "rates": jobs + 1, "failures": 1, "demand": jobs, "price": len(scenario.offers),
              "rent": len(scenario.rentals), "resale": len(market.systems)}
    ends = np.cumsum(list(widths.values()))
    columns = {name: slice(int(end) - width, int(end)) for (name, width), end in zip(widths.items(), ends, strict=True)}
    return _Scores(market, given, n, seed, leading(n - 1, int(ends[-1]), seed, sobol=sobol), columns)


# ---------------------------------------------------------------------------------------------------------- delays
def _deliveries(s: _Scores, happened: Bools) -> tuple[Ints, Ints]:
    """Months from order to arrival [N, F, T] and after the month promised [N, Q]."""
    market, given = s.market, s.given
    offers, orders = market.scenario.offers, market.scenario.open_orders
    deliveries: tuple[Offer | OpenOrder, ...] = (*offers, *orders)
    suppliers = sorted({x.supplier for x in deliveries})
    who = np.array([suppliers.index(x.supplier) for x in deliveries], dtype=np.int64)
    what = np.array([market.systems.index(x.system) for x in deliveries], dtype=np.int64)
    shares = (given.delay_common, given.delay_supplier, given.delay_system)
    own = np.sqrt(max(0.0, 1.0 - sum(shares)))
    delay = (np.sqrt(shares[0]) * s.factor("delay") + np.sqrt(shares[1]) * s.of("suppliers")[:, who]
             + np.sqrt(shares[2]) * s.of("systems")[:, what] + own * s.of("deliveries"))
    lead = spread_quantile(market.lead, delay[:, :len(offers)])[:, :, None] + np.zeros(market.months)
    slip = spread_quantile(market.slip, delay[:, len(offers):])
    later, month = _event_delays(s, happened, "delay", "later"), np.arange(market.months)
    for e, event in enumerate(market.scenario.events):
        first = event.first - market.start
        hit = _each(_hits(event, f.supplier, f.system) for f in offers)
        due = np.floor(month + lead + 0.5) >= first
        lead = lead + later[:, e, None, None] * (due & hit[:, None])
        hit = _each(_hits(event, q.supplier, q.system) for q in orders)
        slip = slip + later[:, e, None] * (hit & (np.floor(market.promised + slip + 0.5) >= first))
    return np.maximum(_months(lead), 0), _months(slip)


def _event_delays(s: _Scores, happened: Bools, term: str, block: str) -> Floats:
    """How much later each event makes things in each draw, 0 where it does not happen. [N, E] [months]"""
    spreads: list[Spread | None] = [getattr(event, term) for event in s.market.scenario.events]
    quantiles = np.array([_quantiles(spread) for spread in spreads]).reshape(-1, 3)
    return np.asarray(np.where(happened, spread_quantile(quantiles, s.of(block)), 0.0))


def _quantiles(spread: Spread | None) -> tuple[float, float, float]:
    if spread is None:
        return (0.0, 0.0, 0.0)
    return (spread.low / MEAN_MONTH, spread.mid / MEAN_MONTH, spread.high / MEAN_MONTH)


def _hits(event: Event, supplier: str, system: str) -> bool:
    """Whether a delivery is one of those an event names; without names it is every delivery."""
    named = bool(event.suppliers or event.systems)
    return not named or supplier in event.suppliers or system in event.systems


def _each(hit: Iterable[bool]) -> Bools:
    return np.array(list(hit), dtype=bool)


def _power(s: _Scores, happened: Bools) -> Floats:
    """Share of the stated power: each step up comes later by the site's delay, steps down as stated. [N, S, T]"""
    market, given, sites = s.market, s.given, s.market.scenario.sites
    own = np.sqrt(max(0.0, 1.0 - given.power_common))
    score = np.sqrt(given.power_common) * s.factor("power") + own * s.of("sites")
    quantiles = np.tile(np.array(_quantiles(given.power_delay)), (len(sites), 1))
    delay = np.maximum(spread_quantile(quantiles, score), 0.0)[:, :, None]
    ratio = given.power_stretch or Spread(low=1.0, mid=1.0, high=1.0)
    stretch = spread_quantile(np.tile((ratio.low, ratio.mid, ratio.high), (len(sites), 1)), score)
    drawn = (np.arange(s.n) > 0)[:, None, None]
    late = (delay + np.maximum(stretch - 1.0, 0.0)[:, :, None] * np.arange(float(market.months))) * drawn
    darker, month = _event_delays(s, happened, "power_delay", "darker"), np.arange(market.months)
    for e, event in enumerate(market.scenario.events):
        hit = _each(not event.sites or site.id in event.sites for site in sites)
        due = np.floor(month + late + 0.5) >= event.first - market.start
        late = late + darker[:, e, None, None] * (due & hit[:, None])
    return later_power(market.power, _months(late))


def later_power(power: Floats, late: Ints) -> Floats:
    """Share of the power by month when each step up after the first month comes `late` months later.

    power [S, T], late [N, S, T] [months], by the month the step was stated for -> [N, S, T]
    """
    sites, months = power.shape
    if months == 0 or not late.any():
        return np.ones((len(late), sites, months))
    finite = np.where(np.isfinite(power), power, 0.0)
    step = np.diff(finite, axis=1, prepend=finite[:, :1])
    fall = finite[:, :1] + np.minimum(step, 0.0).cumsum(axis=1)
    found = np.repeat(fall[None], len(late), axis=0)
    n, s, t = np.nonzero((late >= 0) & (step > 0))
    when = t + late[n, s, t]
    there = when < months
    rise = np.zeros((len(late), sites, months))
    np.add.at(rise, (n[there], s[there], when[there]), step[s[there], t[there]])
    found = np.minimum(np.maximum(found + rise.cumsum(axis=2), 0.0), finite)
    late_now = np.isfinite(power) & (found < finite * (1.0 - 1e-9))
    return np.asarray(np.divide(found, finite[None], out=np.ones(found.shape), where=late_now))


# ---------------------------------------------------------------------------------------------------------- prices
def _common_paths(s: _Scores) -> dict[str, Floats]:
    """Paths of the common shocks of purchase and rental prices, for a yearly volatility of 1. [N, T]"""
    noise = mixed(mixing(pairs(s.given)), s.noise("common", len(FACTORS)))
    half_lives = {"price": np.inf, "rent": s.given.rent_half_life / MEAN_MONTH}
    return {name: path(s.factor(name)[:, 0], noise[:, FACTORS.index(name)], half_life)
            for name, half_life in half_lives.items()}


def _own_paths(s: _Scores, block: str, half_life: float) -> Floats:
    """Paths of each one's own shock. [N, width, T]"""
    end = s.of(block)
    return path(end, s.noise(block, end.shape[1]), half_life)


def _factor(volatility: float, common: float, shared: Floats, own: Floats) -> Floats:
    """exp of a yearly volatility times a shared and an own path. shared [N, T], own [N, width, T]"""
    moves = np.sqrt(common) * shared[:, None, :] + np.sqrt(max(0.0, 1.0 - common)) * own
    return np.asarray(np.exp(volatility * moves))


def _price(s: _Scores, shared: Floats) -> Floats:
    given = s.given
    if given.price_volatility == 0 and given.price_drift == 0:
        return np.ones((s.n, len(s.market.scenario.offers), s.market.months))
    years = np.arange(s.market.months) / 12.0
    drift = np.exp(given.price_drift * years) ** (np.arange(s.n) > 0)[:, None, None]
    moves = _factor(given.price_volatility, given.price_common, shared, _own_paths(s, "price", np.inf))
    return np.asarray(moves * drift)


def _rent(s: _Scores, shared: Floats) -> Floats:
    given = s.given
    if given.rent_volatility == 0:
        return np.ones((s.n, len(s.market.scenario.rentals), s.market.months))
    own = _own_paths(s, "rent", given.rent_half_life / MEAN_MONTH)
    return _factor(given.rent_volatility, given.rent_common, shared, own)


def _resale(s: _Scores, shared: Floats) -> Floats:
    """Used prices follow the common move of new ones, and move on their own; the end is like the last month."""
    given = s.given
    common = np.exp(given.price_volatility * np.sqrt(given.price_common) * shared)[:, None, :]
    found = common * np.ones((1, len(s.market.systems), 1))
    if given.resale_volatility > 0:
        found = found * np.exp(given.resale_volatility * _own_paths(s, "resale", np.inf))
    return np.concatenate([found, found[:, :, -1:]], axis=2)


# ------------------------------------------------------------------------------------------------ demand, rates, events
def _demand(s: _Scores) -> Floats:
    """Demand drifts off with the root of time: one shock per draw and job, as of a growth nobody knows. [N, J, T]"""
    given, years = s.given, (np.arange(s.market.months) + 1.0) / 12.0
    score = (np.sqrt(given.demand_common) * s.factor("demand")
             + np.sqrt(max(0.0, 1.0 - given.demand_common)) * s.of("demand"))
    return np.asarray(np.exp(given.demand_volatility * np.sqrt(years) * score[:, :, None]))


def _rate(s: _Scores, rates: Rates | None) -> Floats:
    """Model error of the rates, and what failures take that are more or fewer than the mean. [N, J]"""
    sigma, good = _rate_sigma(s.market, rates), _goodput(s.market, rates)
    score = s.of("rates")
    common = s.given.rate_common
    error = np.sqrt(common) * score[:, :1] + np.sqrt(max(0.0, 1.0 - common)) * score[:, 1:]
    lost = (1.0 - good) / good * np.expm1(s.given.failure_spread * s.of("failures"))  # beyond what the mean takes
    return np.asarray(np.exp(error * sigma) * np.maximum(1.0 - lost, 0.05))


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


def _goodput(market: Market, rates: Rates | None) -> Floats:
    """Mean share of the time that does useful work, over the options of each job that run. [J]"""
    jobs = market.scenario.jobs
    if rates is None:
        return np.ones(len(jobs))
    runs = (rates.work_per_s > 0) & (rates.goodput > 0)
    total = np.where(runs, rates.goodput, 0.0).sum(axis=(1, 2))
    mean = np.where(runs.any(axis=(1, 2)), total / np.maximum(runs.sum(axis=(1, 2)), 1), 1.0)
    return np.array([min(mean[rates.jobs.index(job.id)], 1.0) if job.id in rates.jobs else 1.0 for job in jobs])


def _questions(events: tuple[Event, ...]) -> list[str]:
    """One chance for each event that stands alone, one for each set of events that exclude each other."""
    return list(dict.fromkeys(event.either or f" {event.id}" for event in events))


def _happened(s: _Scores) -> Bools:
    """Which events happen; in the base draw those that are certain. [N, E]"""
    events = s.market.scenario.events
    questions, chance = _questions(events), s.chance("happened")
    below = dict.fromkeys(questions, 0.0)
    found = np.zeros((s.n, len(events)), dtype=bool)
    for e, event in enumerate(events):
        question = event.either or f" {event.id}"
        u, low = chance[:, questions.index(question)], below[question]
        found[:, e] = (low <= u) & (u < low + event.probability)
        below[question] = low + event.probability
        found[0, e] = event.probability >= 1.0
    return found


class _Hits:
    """What the events of each draw do to prices, demand and deliveries from their first month on."""

    def __init__(self, market: Market, happened: Bools) -> None:
        self.market, self.happened = market, happened

    def factor(self, term: str, width: int) -> Floats:
        """Factor of the events on prices, rents or demand. [N, width, T]"""
        found = np.ones((len(self.happened), width, self.market.months))
        for e, event in enumerate(self.market.scenario.events):
            then = np.arange(self.market.months) >= event.first - self.market.start
            change = np.where(self._hit(term, event, width)[:, None] & then, getattr(event, term), 1.0)
            found = found * np.where(self.happened[:, e, None, None], change, 1.0)
        return found

    def _hit(self, term: str, event: Event, width: int) -> Bools:
        """Which offers, rentals or jobs an event hits: demand as a whole."""
        scenario = self.market.scenario
        if term == "price":
            return _each(_hits(event, f.supplier, f.system) for f in scenario.offers)
        if term == "rent":
            return _each(_hits(event, r.provider, r.system) for r in scenario.rentals)
        return np.ones(width, dtype=bool)

    def barred(self, deliveries: tuple[Offer, ...] | tuple[OpenOrder, ...]) -> Ints:
        """Month index from which nothing of each arrives. [N, records]"""
        found = np.full((len(self.happened), len(deliveries)), NEVER)
        for e, event in enumerate(self.market.scenario.events):
            if event.ban:
                hit = _each(_hits(event, x.supplier, x.system) for x in deliveries)
                from_then = np.where(self.happened[:, e, None] & hit, event.first - self.market.start, NEVER)
                found = np.minimum(found, from_then)
        return found


def _months(duration: Floats) -> Ints:
    return np.floor(np.minimum(duration, LONGEST) + 0.5).astype(np.int64)
