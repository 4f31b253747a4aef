"""Which decisions exist at all: holders, lanes, places of use, training options. Everything else is never a column.

Pruning is stated where it happens; it removes only what cannot help, or what a smaller gang does in as many months.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from exafleet.facts.records import Job, TrainJob
from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.lending import lending, sources
from exafleet.market.market import MEAN_MONTH, Bools, Floats, Ints, Market
from exafleet.terms.said import said
from exafleet.terms.why import SENTENCES, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """Indices of what can exist. H holders, V lanes, U pairs, I options, G gangs (an option at one holder or rental).

    holder_owner, holder_site, holder_system   (owner, site, system) that can hold units                     [H]
    lane_move, lane_owner, lane_system         moves an owner can make                                       [V]
    lane_from, lane_to                         holders at its ends                                           [V]
    pair_job, pair_place, pair_system          serving or research job at a place (holder, then H + rental)  [U]
    pair_rate, pair_power                      work per second and mean IT power, per unit of the system     [U]
    option_job, option_site, option_system     training run at a site (-1: rented) on a system               [I]
    option_rental                              rental, or -1                                                 [I]
    option_chips, option_need                  gang size; months it takes, at least 1                        [I]
    option_open                                the gang can start in the month                               [I, T]
    option_blocked                             only the site's power forbids a start in the month            [I, T]
    gang_option, gang_place                    places an option draws its chips from                         [G]
    gang_share, gang_power                     share of the run done per second, and mean IT power, per unit [G]
    alone                                      the option draws on one place only                            [I]
    notes                                      jobs that cannot run, and why
    """

    holder_owner: Ints
    holder_site: Ints
    holder_system: Ints
    lane_move: Ints
    lane_owner: Ints
    lane_system: Ints
    lane_from: Ints
    lane_to: Ints
    pair_job: Ints
    pair_place: Ints
    pair_system: Ints
    pair_rate: Floats
    pair_power: Floats
    option_job: Ints
    option_site: Ints
    option_system: Ints
    option_rental: Ints
    option_chips: Floats
    option_need: Ints
    option_open: Bools
    option_blocked: Bools
    gang_option: Ints
    gang_place: Ints
    gang_share: Floats
    gang_power: Floats
    alone: Bools
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """Positions by id, so that no loop below searches a tuple."""

    owner: dict[str, int]
    site: dict[str, int]
    system: dict[str, int]

    @classmethod
    def of(cls, market: Market) -> Index:
        """Positions in the market's order."""
        scenario = market.scenario
        return cls({x.id: i for i, x in enumerate(scenario.owners)}, {x.id: i for i, x in enumerate(scenario.sites)},
                   {k: i for i, k in enumerate(market.systems)})


def sets(market: Market, rates: Rates, draws: Draws) -> Sets:
    """Everything that can exist in this market with these rates."""
    index = Index.of(market)
    holders = np.argwhere(_holders(market, index)).reshape(-1, 3)
    lanes: dict[str, Any] = _lanes(market, index, holders)
    reach = _pooled(market, reachable(market, index, draws))
    return Sets(holder_owner=holders[:, 0], holder_site=holders[:, 1], holder_system=holders[:, 2], **lanes,
                **_uses(market, rates, index, holders, reach))


def can_own(market: Market, index: Index) -> Bools:
    """The owner has, has ordered or can order the system. [O, K]"""
    own = market.holdings.sum(axis=1) > 0
    for q in market.scenario.open_orders:
        own[index.owner[q.owner], index.system[q.system]] = True
    for f, offer in enumerate(market.scenario.offers):
        if market.can_order[f].any() and offer.total > 0:
            own[:, index.system[offer.system]] |= market.offered[f]
    return np.asarray(own | (own[:, None] & sources(market, slots=True)).any(axis=0))


def _holders(market: Market, index: Index) -> Bools:
    possible = can_own(market, index)[:, None, :] & market.may_install[:, :, None] & market.cooled[None]
    return np.asarray(possible | (market.holdings > 0))


def _lanes(market: Market, index: Index, holders: Ints) -> dict[str, Ints]:
    at = {tuple(h): i for i, h in enumerate(holders.tolist())}
    rows = [(m, o, k, h, at[o, index.site[move.end], k])
            for m, move in enumerate(market.scenario.moves)
            for (o, s, k), h in at.items() if s == index.site[move.start] and (o, index.site[move.end], k) in at]
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return dict(zip(("lane_move", "lane_owner", "lane_system", "lane_from", "lane_to"), table.T, strict=True))


def reachable(market: Market, index: Index, draws: Draws) -> Floats:
    """Most units an owner could have by each month as quoted, if it alone bought everything. [O, K, T]"""
    scenario, months = market.scenario, market.months
    gain = np.zeros((len(scenario.owners), len(market.systems), months))
    for q, order in enumerate(scenario.open_orders):
        when = max(0, int(market.promised[q] + draws.slip[0, q]))
        if when < months:
            gain[index.owner[order.owner], index.system[order.system], when] += order.units
    for f, offer in enumerate(scenario.offers):
        for o in np.flatnonzero(market.offered[f]):
            gain[o, index.system[offer.system]] += _deliverable(market, draws, f)
    start = market.holdings.sum(axis=1)
    return np.asarray(start[:, :, None] + gain.cumsum(axis=2))


def _deliverable(market: Market, draws: Draws, f: int) -> Floats:
    """Most units of one offer that can arrive in each month. [T]"""
    offer, months = market.scenario.offers[f], market.months
    when = np.arange(months) + draws.lead[0, f]
    sooner = [np.maximum(when - int(place.sooner / MEAN_MONTH + 0.5), np.arange(months)) for place in offer.places]
    arrives = np.zeros(months, dtype=bool)
    for month in (when, *sooner):
        arrives[month[market.can_order[f] & (month < months)]] = True
    cumulative = np.minimum((market.supply[f] * arrives).cumsum(), offer.total)
    return np.diff(cumulative, prepend=0.0)


def _pooled(market: Market, reach: Floats) -> Floats:
    """The same with what others could lend to the owner, or pass on to it or its lenders. [O, K, T]"""
    owners = len(reach)
    near = lends(market)
    near = near | (sources(market, slots=True)[:, :, None] & near[None]).any(axis=1)
    return np.array([(reach * near[:, o, :, None]).sum(axis=0) for o in range(owners)]).reshape(reach.shape)


def lends(market: Market) -> Bools:
    """Whose units of a system who may use where they stand; everybody its own. [O lender, O user, K]"""
    own = np.eye(len(market.scenario.owners), dtype=bool)[:, :, None]
    return np.asarray((lending(market).first >= 0) | own)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place of use: holder or H + rental; its system; its site and rental, -1 where it has none."""

    place: int
    system: int
    site: int
    rental: int


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of the tables of Sets, as they are found."""

    pairs: list[tuple[float, ...]]
    options: list[tuple[float, ...]]
    opens: list[tuple[Bools, Bools]]
    gangs: list[tuple[float, ...]]
    notes: list[str]


def _uses(market: Market, rates: Rates, index: Index, holders: Ints, reach: Floats) -> dict[str, Any]:
    found = Found([], [], [], [], [])
    for j, job in enumerate(market.scenario.jobs):
        before = len(found.pairs) + len(found.options)
        spots = spots_of(market, index, holders, job)
        if isinstance(job, TrainJob):
            _train(found, market, rates, index, (j, job), spots, reach)
        else:
            _pairs(found, market, rates, (j, job), spots)
        if len(found.pairs) + len(found.options) == before:
            found.notes.append(_never(market, rates, job, spots))
    pairs, options = _table(found.pairs, 5), _table(found.options, 6)
    gangs = _table(found.gangs, 4)
    gang_option = gangs[0].astype(np.int64)
    shape = (len(found.options), market.months)
    return {
        **_named("pair", ("job", "place", "system"), pairs), "pair_rate": pairs[3], "pair_power": pairs[4],
        **_named("option", ("job", "site", "system", "rental"), options), "option_chips": options[4],
        "option_need": options[5].astype(np.int64),
        "option_open": np.array([able for able, _ in found.opens], dtype=bool).reshape(shape),
        "option_blocked": np.array([blocked for _, blocked in found.opens], dtype=bool).reshape(shape),
        "gang_option": gang_option, "gang_place": gangs[1].astype(np.int64),
        "gang_share": gangs[2], "gang_power": gangs[3],
        "alone": np.bincount(gang_option, minlength=shape[0]) == 1, "notes": tuple(found.notes),
    }


def _table(rows: list[tuple[float, ...]], width: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(-1, width).T


def _named(prefix: str, names: tuple[str, ...], columns: Floats) -> dict[str, Ints]:
    return {f"{prefix}_{name}": columns[i].astype(np.int64) for i, name in enumerate(names)}


def spots_of(market: Market, index: Index, holders: Ints, job: Job) -> list[Spot]:
    """Where the job's owner may use units: its own holders, those lent to it, rentals."""
    owner = index.owner[job.owner]
    lent = lends(market)[:, owner]
    systems = {index.system[k] for k in job.systems or index.system if k in index.system}
    where = {index.site[s] for s in job.sites or index.site}
    spots = [Spot(h, k, s, -1) for h, (o, s, k) in enumerate(holders.tolist())
             if lent[o, k] and s in where and k in systems]
    for r, rental in enumerate(market.scenario.rentals if job.rent else ()):
        k = index.system[rental.system]
        if market.rentable[r, owner] and market.can_rent[r].any() and k in systems:
            spots.append(Spot(len(holders) + r, k, -1, r))
    return spots


def running(market: Market, rates: Rates, job: Job, k: int) -> tuple[Floats, Floats, Floats]:
    """Sizes, work per second and IT power of a job on a system, only where it runs. [z] each"""
    if job.id not in rates.jobs or market.systems[k] not in rates.systems:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    at = rates.jobs.index(job.id), rates.systems.index(market.systems[k])
    runs = (rates.work_per_s[at] > 0) & (rates.sizes[at] > 0)
    return rates.sizes[at][runs].astype(float), rates.work_per_s[at][runs], rates.power[at][runs]


def _pairs(found: Found, market: Market, rates: Rates, which: tuple[int, Job], spots: list[Spot]) -> None:
    """Serving and research use the size with the most work per chip; fractions of a replica are allowed."""
    for spot in spots:
        sizes, work, power = running(market, rates, which[1], spot.system)
        if len(sizes):
            best = int(np.argmax(work / sizes))
            each = market.chips[spot.system] / sizes[best]
            useful = market.scenario.rentals[spot.rental].useful if spot.rental >= 0 else 1.0
            found.pairs.append((which[0], spot.place, spot.system, work[best] * each * useful, power[best] * each))


def _train(found: Found, market: Market, rates: Rates, index: Index, which: tuple[int, TrainJob], spots: list[Spot],
           reach: Floats) -> None:
    """Options of one run: (site, system, size) or (rental, size), each with the places it draws chips from."""
    j, job = which
    groups: dict[tuple[int, int, int], list[int]] = {}
    for spot in spots:
        groups.setdefault((spot.site, spot.system, spot.rental), []).append(spot.place)
    for (site, k, rental), places in groups.items():
        sizes, work, power = running(market, rates, job, k)
        work = work * (market.scenario.rentals[rental].useful if rental >= 0 else 1.0)
        need = np.maximum(np.ceil(job.tokens / work / MEAN_MONTH - 1e-9), 1.0)
        for z in _worth_trying(job, sizes, need):
            able, blocked = _starts(market, index, job, (site, k, rental), float(sizes[z]), reach)
            if (able | blocked).any():
                each = market.chips[k] / sizes[z]
                found.gangs.extend((len(found.options), place, work[z] * each / job.tokens, power[z] * each)
                                   for place in places)
                found.options.append((j, site, k, rental, sizes[z], need[z]))
                found.opens.append((able, blocked))


def _worth_trying(job: TrainJob, sizes: Floats, need: Floats) -> list[int]:
    """Of the sizes that take the same number of months only the smallest is kept: it leaves more chips to others."""
    allowed = (sizes >= job.least) & ((sizes <= job.most) if job.most else True)
    best: dict[float, int] = {}
    for z in np.argsort(sizes, kind="stable"):
        if allowed[z]:
            best.setdefault(float(need[z]), int(z))
    return sorted(best.values())


def _starts(market: Market, index: Index, job: TrainJob, group: tuple[int, int, int], chips: float,
            reach: Floats) -> tuple[Bools, Bools]:
    """Months a gang could start in, and those in which only the site's power is in the way. [T], [T]

    Those of a required run are kept even where there are never enough units, to be able to say how many it lacks.
    """
    site, k, rental = group
    month = np.arange(market.months)
    due = month >= job.earliest - market.start
    if rental >= 0:
        return due & (rental_most(market, rental) >= chips), np.zeros(market.months, dtype=bool)
    units = chips / market.chips[k]
    held = due & (job.required | (reach[index.owner[job.owner], k] >= units - 1e-9))
    powered = market.power[site] >= units * market.unit_power[k] * market.pue[site] * (1 - 1e-9)
    return held & powered, held & ~powered


def rental_most(market: Market, r: int) -> Floats:
    """Most chips of a rental that can be in use, by month of use. [T]"""
    rental = market.scenario.rentals[r]
    use = np.zeros(market.months)
    for signed in np.flatnonzero(market.can_rent[r]):
        use[signed + rental.wait:signed + rental.wait + rental.term] = 1.0
    return np.asarray(np.minimum(use * market.rental_most[r], market.rental_most[r]))


def _never(market: Market, rates: Rates, job: Job, spots: list[Spot]) -> str:
    """Why no option of a job exists, in one sentence."""
    if not spots:
        return said("note.no system", job=job.id, owner=job.owner)
    reasons = []
    for k in dict.fromkeys(spot.system for spot in spots):
        runs = len(running(market, rates, job, k)[0]) > 0
        why = said("note.never enough") if runs else _reason(rates, job.id, market.systems[k])
        reasons.append(said("note.reason", system=market.systems[k], why=why))
    return said("note.never runs", job=job.id, reasons=reasons)


def _reason(rates: Rates, job: str, system: str) -> str:
    if job not in rates.jobs or system not in rates.systems:
        return said("note.no rate")
    codes = rates.why[rates.jobs.index(job), rates.systems.index(system)]
    codes = codes[codes != Why.OK]
    return SENTENCES[Why(int(np.bincount(codes).argmax()))] if len(codes) else said("note.no size")
