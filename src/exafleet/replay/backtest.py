"""Backtest: the world as it was known at each date, what really happened, and what each policy would have made of it.

Knowledge unfolds by `as_of` alone: each date's market and rates come from a World of that day, which holds no fact and
no record published later. What happened is composed of what each date's buyers met (prices, windows) and of what was
known when a period was over (power, demand, money), with arrivals from the scenario's [[arrived]] records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np

from exafleet.facts.deals import Offer, OpenOrder
from exafleet.facts.records import Arrived, Scenario
from exafleet.facts.world import World, load_world
from exafleet.fleet.rates import Rates
from exafleet.market.market import Floats, Ints, Market, market
from exafleet.plan.policies import Policy
from exafleet.replay.delivered import Delivered, Speeds, delivered, reported, speeds
from exafleet.replay.hindsight import Hindsight, hindsight
from exafleet.replay.rolling import Life, Said, Settings, Truth, View, accepted, roll
from exafleet.replay.splice import STATE, TERMS, spliced
from exafleet.terms.calendar import Month, month_of, month_start
from exafleet.terms.why import Why

EVERY = {"month": 1, "quarter": 3}
# Gap of hindsight over that of plans: regrets are a few per cent of the cost, and one programme more costs little.
NARROWER = 0.25
# Tables of facts that no rate is computed from: rates need not be found anew when only these have grown.
_NOT_RATED = ("prices.csv", "lead_times.csv", "history.csv", "finance.csv", "energy.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """When it is planned: month index and day of each date; `start` is month index 0, `until` the last day lived."""

    start: Month
    months: int
    index: tuple[int, ...]
    days: tuple[date, ...]
    until: date


def dates(as_of: date, until: date, every: int, first: Month = 0) -> Dates:
    """The first plan on `as_of`, then one on the first day of every `every`-th month; the month of `until` is lived.

    first   the scenario's own first month, where it is later than that of `as_of`
    """
    start = max(month_of(as_of), first)
    months = month_of(until) - start + 1
    index = tuple(range(0, months, every))
    return Dates(start=start, months=months, index=index, until=until,
                 days=(as_of, *(month_start(start + i) for i in index[1:])))


@dataclass(slots=True)
class Knowledge:
    """What was known on each date of a backtest: worlds, rates and markets, each found once.

    shared   rates by what they depend on; several windows may share them
    """

    path: Path
    when: Dates
    said: Callable[[str], None] | None = None
    shared: dict[str, Rates] = field(default_factory=dict)
    _worlds: dict[tuple[date, int], World] = field(default_factory=dict)
    _views: dict[tuple[int, int], View] = field(default_factory=dict)

    def world(self, day: date, months: int = 0) -> World:
        """The scenario as known on a day, over the window or its first months."""
        key = (day, months or self.when.months)
        if key not in self._worlds:
            found = load_world(self.path, as_of=day, horizon=(self.when.start, key[1]), state=self.when.days[0])
            self._worlds[key] = _money_to_come(found)
        return self._worlds[key]

    def rates(self, world: World) -> Rates:
        """Rates of a world; worlds that know the same of chips, models and jobs share them."""
        from exafleet.fleet.build import rates

        key = _rated_by(world)
        if key not in self.shared:
            if self.said is not None:
                self.said(f"rating as of {world.as_of.isoformat()}")
            self.shared[key] = rates(world)
        return self.shared[key]

    def view(self, k: int, months: int = 0) -> View:
        """Market and rates as known at date k; k = number of dates is the end."""
        months = months or self.when.months
        if (k, months) not in self._views:
            day = self.when.days[k] if k < len(self.when.days) else self.when.until
            found = self.rates(self.world(day))
            self._views[k, months] = View(market=market(self.world(day, months), found), rates=found)
        return self._views[k, months]


def _money_to_come(world: World) -> World:
    """Money from before the first month was spent on what is there by then."""
    start = world.scenario.start
    owners = tuple(o if o.budget is None else replace(o, budget=tuple((m, usd) for m, usd in o.budget if m >= start))
                   for o in world.scenario.owners)
    return replace(world, scenario=replace(world.scenario, owners=owners))


def _rated_by(world: World) -> str:
    """What rates depend on: facts about machines and models, and who asks for what on how many chips."""
    from exafleet.fleet.build import ceiling, scenario_systems

    digest, scenario = hashlib.sha256(), world.scenario
    lines = sorted(repr((f.key, f.value, f.low, f.high, f.kind, f.as_of)) for f in world.facts
                   if Path(f.file).name not in _NOT_RATED)
    digest.update("\n".join(lines).encode())
    names = scenario_systems(scenario)
    held = [(name, ceiling(scenario, world.system(name))) for name in names]
    work = [replace(job, where="") for job in scenario.jobs]
    digest.update(repr((held, work)).encode())
    return digest.hexdigest()


# ----------------------------------------------------------------------------------------------------- what happened
def truth(known: Knowledge) -> Truth:
    """What really happened in the window of a backtest."""
    when = known.when
    ends = [*when.index[1:], when.months]
    last = known.view(len(when.index))
    shape = last.market.can_order.shape
    true = replace(last.market, can_order=np.zeros(shape, dtype=bool), supply=np.zeros(shape),
                   can_rent=np.zeros(last.market.can_rent.shape, dtype=bool))
    scenario = _loosest(known, len(ends))
    places = max((len(f.places) for f in scenario.offers), default=0)
    quoted, taken = np.zeros(shape, dtype=np.int64), np.zeros((*shape, places + 1))
    offers = {f.id: i for i, f in enumerate(last.market.scenario.offers)}
    for k, (now, end) in enumerate(zip(when.index, ends, strict=True)):
        then, later = known.view(k).market, known.view(k + 1).market
        true = spliced(spliced(true, then, range(now, end), TERMS), later, range(now, end), STATE)
        lead = np.floor(then.lead[:, 1:2] + 0.5).astype(np.int64) * np.ones(then.can_order.shape, dtype=np.int64)
        able = accepted(then, lead)
        for f, offer in enumerate(then.scenario.offers):
            quoted[offers[offer.id], now:end] = lead[f, now:end]
            taken[offers[offer.id], now:end, :able.shape[2]] = able[f, now:end]
    most = np.max([spliced(true, known.view(k).market, range(when.months), {"supply": ("offers",)}).supply.max(axis=1)
                   for k in range(len(ends) + 1)], axis=0)  # only `accepted` limits what is ordered
    true = replace(true, supply=np.repeat(most[:, None], when.months, axis=1), scenario=scenario,
                   rental_most=_most_rented(known, true, len(ends)))
    return Truth(market=true, rates=last.rates, quoted=quoted, lead=_leads(true, quoted), slip=_slips(true),
                 accepted=taken)


def _loosest(known: Knowledge, dates: int) -> Scenario:
    """The last scenario known, with as many units of each offer as were ever believed; """
    views = [known.view(k).market.scenario for k in range(dates + 1)]
    total: dict[str, float] = {}
    for scenario in views:
        for f in scenario.offers:
            total[f.id] = max(total.get(f.id, 0.0), f.total)
    return replace(views[-1], offers=tuple(replace(f, total=total[f.id]) for f in views[-1].offers))


def _most_rented(known: Knowledge, true: Market, dates: int) -> Floats:
    """What could be rented in each month, by whoever believed most of it: contracts outlive the news."""
    most = true.rental_most.copy()
    for k in range(dates + 1):
        then = known.view(k).market
        most = np.maximum(most, spliced(replace(true, rental_most=np.zeros(most.shape)), then, range(true.months),
                                        {"rental_most": ("rentals",)}).rental_most)
    return most


def _leads(true: Market, quoted: Ints) -> Ints:
    """Months from order to arrival by month of order: as recorded, else as quoted. [F, T]"""
    lead = quoted.copy()
    for f, offer in enumerate(true.scenario.offers):
        records = sorted((r for r in true.scenario.arrived if r.offer == offer.id), key=lambda r: r.ordered)
        for t in range(true.months if records else 0):
            lead[f, t] = _lead(records, true.start + t)
    return lead


def _lead(records: Sequence[Arrived], ordered: Month) -> int:
    """That of the last record up to the month of order, of the first one before it; nobody overtakes it."""
    before = [r for r in records if r.ordered <= ordered] or [records[0]]
    return before[-1].arrived - before[-1].ordered


def _slips(true: Market) -> Ints:
    """Months open orders came later than promised: as recorded, else the median of what was believed. [Q]"""
    came = {r.order: r.arrived for r in true.scenario.arrived if r.order}
    return np.array([came[q.id] - q.promised if q.id in came else int(true.slip[i, 1] + 0.5)
                     for i, q in enumerate(true.scenario.open_orders)], dtype=np.int64)


def unrecorded(known: Knowledge) -> tuple[str, ...]:
    """Offers and open orders of whose deliveries nothing is recorded: they come as quoted."""
    scenario = known.view(len(known.when.index)).market.scenario
    told = {r.offer or r.order for r in scenario.arrived}
    deliveries: tuple[Offer | OpenOrder, ...] = (*scenario.offers, *scenario.open_orders)
    return tuple(x.id for x in deliveries if x.id not in told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrated:
    """A job whose speed on a system no plan of these days could reckon, because a figure was not known yet."""

    job: str
    system: str
    days: tuple[date, ...]


def unrated(known: Knowledge) -> tuple[Unrated, ...]:
    """Jobs on systems that plans took to be of no use for want of a figure, and the days of those plans."""
    found: dict[tuple[str, str], list[date]] = {}
    for k, day in enumerate(known.when.days):
        rates = known.view(k).rates
        for j, s in np.argwhere((rates.why == int(Why.NO_FACTS)).any(axis=2) & ~(rates.work_per_s > 0).any(axis=2)):
            found.setdefault((rates.jobs[j], rates.systems[s]), []).append(day)
    return tuple(Unrated(job=job, system=system, days=tuple(days)) for (job, system), days in found.items())


# ------------------------------------------------------------------------------------------------------------ one run
@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """One window lived by several policies.

    lives      in the order of the policies asked for; shorter when it was stopped
    best       with hindsight; None when it was stopped before
    compute    useful and installed compute of each life, of hindsight, and as reported
    unrecorded offers and open orders that came as quoted for want of a record
    unrated    jobs on systems that some plans could not rate
    """

    when: Dates
    truth: Truth
    lives: tuple[Life, ...]
    best: Hindsight | None
    delivered: tuple[Delivered, ...]
    delivered_best: Delivered | None
    reported: Delivered | None
    speeds: Speeds
    unrecorded: tuple[str, ...]
    unrated: tuple[Unrated, ...] = ()
    stopped: str = ""


def backtest(known: Knowledge, policies: Sequence[Policy], settings: Settings, said: Said | None = None) -> Backtest:
    """Every policy lived through the window of `known`, and the best that hindsight could have done."""
    true = truth(known)
    lives, stopped = _lives(known, true, policies, settings, said)
    best = None
    if not stopped:
        try:
            best = hindsight(true, lives, gap=settings.gap * NARROWER, stop=settings.stop)
        except KeyboardInterrupt:
            stopped = "stopped while looking for the best with hindsight"
    speed = speeds(true.rates, true.market)
    return Backtest(
        when=known.when, truth=true, lives=tuple(lives), best=best, speeds=speed, stopped=stopped,
        delivered=tuple(delivered(true, speed, life.lived) for life in lives), unrecorded=unrecorded(known),
        unrated=unrated(known),
        delivered_best=delivered(true, speed, best.lived) if best is not None else None,
        reported=reported(true.market, speed))


def _lives(known: Knowledge, true: Truth, policies: Sequence[Policy], settings: Settings,
           said: Said | None) -> tuple[list[Life], str]:
    """Lives of the policies, finished ones only, and where it was stopped."""
    lives: list[Life] = []
    for policy in policies:
        life = roll(policy, known.view, true, known.when.index, settings, said)
        if life.done < len(known.when.index):
            day = known.when.days[life.done].isoformat()
            return lives, f"stopped at the plan of {day} of {policy.name}"
        lives.append(life)
    return lives, ""
