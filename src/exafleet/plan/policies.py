"""Ways to decide what to order, the naive ones among them: from a market as known at a date to first-stage orders.

A policy looks at nothing but the market it is handed. `planner` and its two poorer relatives leave the orders to the
optimiser; the others write them down by a rule of thumb, and leave to the optimiser only what they say nothing about
(where racks go, what is rented, when a run starts).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Market

YEAR = 12


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """Units somebody wants to order from an offer in a month index, at the plain price and outside the queue."""

    offer: str
    owner: str
    month: int
    units: int


# (market, draws, first month to order in, what was ordered before) -> orders of that month and of later ones
Orders = Callable[[Market, Draws, int, Sequence[Wish]], tuple[Wish, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a buyer decides.

    name     what tables call it
    words    what it does, in one sentence
    draws    futures it looks at; None: as many as asked for
    window   months it looks ahead; None: to the end
    orders   its orders from month `now` on; None: the optimiser's
    """

    name: str
    words: str
    draws: int | None = 1
    window: int | None = None
    orders: Orders | None = None


@dataclass(slots=True)
class _Purse:
    """What is left, while wishes are written down: money by owner, room by owner, units by offer and month."""

    market: Market
    lead: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    money: Floats
    room: Floats
    supply: Floats
    total: Floats
    wishes: list[Wish]

    @classmethod
    def of(cls, market: Market, draws: Draws, made: Sequence[Wish] = ()) -> _Purse:
        """Everything there is, less what was ordered before: money, the power of an owner's sites, units."""
        power = (market.power.max(axis=1, initial=0.0) / market.pue)[None, :] * market.may_install
        held = market.holdings.sum(axis=1) @ market.unit_power
        ordered = np.zeros(len(held))
        owners = [o.id for o in market.scenario.owners]
        for order in market.scenario.open_orders:
            ordered[owners.index(order.owner)] += order.units * market.unit_power[market.systems.index(order.system)]
        purse = cls(market, draws.lead[0], market.budget.copy(), power.sum(axis=1) - held - ordered,
                    market.supply.copy(), np.array([f.total for f in market.scenario.offers]), [])
        offers = {f.id: i for i, f in enumerate(market.scenario.offers)}
        for wish in (w for w in made if w.offer in offers):
            purse.spend(offers[wish.offer], owners.index(wish.owner), wish.month, wish.units)
        return purse

    def price(self, f: int, t: int) -> float:
        """What one unit costs in all, installed. [USD]"""
        return float(self.market.price[f, t]) + self.market.scenario.offers[f].fitting

    def most(self, f: int, o: int, t: int) -> int:
        """Units an owner can order in a month: offered, in time to arrive, paid for, powered and there to be had."""
        arrives = t + int(self.lead[f, t])
        market, k = self.market, self.market.systems.index(self.market.scenario.offers[f].system)
        if not (market.can_order[f, t] and market.offered[f, o]) or arrives >= market.months:
            return 0
        if not (market.may_install[o] & market.cooled[:, k]).any():
            return 0
        each = self.price(f, t)
        limits = (self.supply[f, arrives], self.total[f], self.room[o] / max(float(market.unit_power[k]), 1e-9),
                  self.money[o, t:].min() / each if each > 0 else np.inf)
        return max(int(np.floor(min(limits) + 1e-9)), 0)

    def take(self, f: int, o: int, t: int, units: int) -> None:
        """Write down an order of at most so many units."""
        units = min(units, self.most(f, o, t))
        if units > 0:
            self.spend(f, o, t, units)
            scenario = self.market.scenario
            self.wishes.append(Wish(scenario.offers[f].id, scenario.owners[o].id, t, units))

    def spend(self, f: int, o: int, t: int, units: int) -> None:
        """What an order takes: money from its month on, room, supply of the month it arrives in."""
        market, arrives = self.market, t + int(self.lead[f, t])
        self.money[o, t:] -= units * self.price(f, t)
        self.room[o] -= units * market.unit_power[market.systems.index(market.scenario.offers[f].system)]
        self.total[f] -= units
        if arrives < market.months:
            self.supply[f, arrives] -= units


def _sold(market: Market, now: int) -> list[int]:
    """Offers that take orders now."""
    return [int(f) for f in np.flatnonzero(market.can_order[:, now])] if now < market.months else []


def _newest_first(market: Market, offers: Iterable[int]) -> list[int]:
    """Offers by how late their system could first be had, the latest first: a generation is as new as its first day."""
    first = {k: min(f.first + f.lead.mid / 2.6e6 for f in market.scenario.offers if f.system == k)
             for k in {f.system for f in market.scenario.offers}}
    return sorted(offers, key=lambda f: (-first[market.scenario.offers[f].system], f))


def all_in_newest(market: Market, draws: Draws, now: int = 0, made: Sequence[Wish] = ()) -> tuple[Wish, ...]:
    """As many as can be had and paid of the newest system on sale, as soon as possible; then of the next newest."""
    purse = _Purse.of(market, draws, made)
    for t in range(now, market.months):
        for f in _newest_first(market, _sold(market, t))[:1]:
            for o in range(len(market.scenario.owners)):
                purse.take(f, o, t, purse.most(f, o, t))
    return tuple(purse.wishes)


def wait(market: Market, draws: Draws, now: int = 0, made: Sequence[Wish] = ()) -> tuple[Wish, ...]:
    """Nothing that is on sale when the plan begins; all in on whatever comes after it."""
    purse, old = _Purse.of(market, draws, made), set(_sold(market, 0))
    known = {market.scenario.offers[f].system for f in old}
    for t in range(now, market.months):
        later = [f for f in _sold(market, t) if market.scenario.offers[f].system not in known]
        for f in _newest_first(market, later)[:1]:
            for o in range(len(market.scenario.owners)):
                purse.take(f, o, t, purse.most(f, o, t))
    return tuple(purse.wishes)


def spread_evenly(market: Market, draws: Draws, now: int = 0, made: Sequence[Wish] = ()) -> tuple[Wish, ...]:
    """The money of the whole plan in equal parts by month and offer; the room at the sites where money has no limit."""
    purse = _Purse.of(market, draws, made)
    start = _Purse.of(market, draws)
    for t in range(now, market.months):
        offers = _sold(market, t)
        for f in offers:
            k = market.systems.index(market.scenario.offers[f].system)
            for o in range(len(market.scenario.owners)):
                whole = (market.budget[o, -1] / max(purse.price(f, t), 1e-9) if np.isfinite(market.budget[o, -1])
                         else start.room[o] / max(float(market.unit_power[k]), 1e-9))
                purse.take(f, o, t, int(whole / market.months / len(offers)))
    return tuple(purse.wishes)


def last_year(market: Market, draws: Draws, now: int = 0, made: Sequence[Wish] = ()) -> tuple[Wish, ...]:
    """What was bought in the year before, again: the same systems, a twelfth of it each month."""
    purse, begin = _Purse.of(market, draws, made), market.start
    bought: dict[tuple[str, str], int] = {}
    for h in market.scenario.holdings:
        if begin - YEAR <= h.bought < begin:
            bought[h.owner, h.system] = bought.get((h.owner, h.system), 0) + h.units
    owners = [o.id for o in market.scenario.owners]
    for t in range(now, market.months):
        for (owner, system), units in sorted(bought.items()):
            due = (t + 1) * units // YEAR - t * units // YEAR
            for f in _sold(market, t):
                if market.scenario.offers[f].system == system and due:
                    before = len(purse.wishes)
                    purse.take(f, owners.index(owner), t, due)
                    due -= sum(w.units for w in purse.wishes[before:])
    return tuple(purse.wishes)


def nothing(market: Market, draws: Draws, now: int = 0, made: Sequence[Wish] = ()) -> tuple[Wish, ...]:
    """No orders at all."""
    return ()


POLICIES: tuple[Policy, ...] = (
    Policy(name="planner", draws=None, words="the plan of this package, for the futures it draws"),
    Policy(name="deterministic", words="the plan for deliveries exactly as quoted"),
    Policy(name="myopic", window=YEAR, words="the plan as quoted, looking a year ahead and no further"),
    Policy(name="all-in-newest", orders=all_in_newest, words="all money into the newest system on sale"),
    Policy(name="wait", orders=wait, words="nothing that is on sale now, all in on what comes next"),
    Policy(name="spread-evenly", orders=spread_evenly, words="equal parts of the budget each month and system"),
    Policy(name="last-year", orders=last_year, words="what was bought in the year before, once more"),
    Policy(name="nothing", orders=nothing, words="no orders"),
)


def policy(name: str) -> Policy | None:
    """A policy by name."""
    return next((p for p in POLICIES if p.name == name), None)
