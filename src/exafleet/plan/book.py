"""The order book as columns: every order that could be placed, and when it would arrive in each draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exafleet.facts.deals import Queue
from exafleet.market.draws import NEVER, Draws
from exafleet.market.lending import slot_buyers
from exafleet.market.market import MEAN_MONTH, Bools, Floats, Ints, Market
from exafleet.market.trade import released
from exafleet.plan.sets import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """C possible orders, one integer column each; Q open orders with D possible deferrals.

    offer, owner, system, month  indices                                                [C]
    tier     0 is the plain price, i the offer's i-th tier                              [C]
    queued   place in the queue: 0 is none, i the offer's i-th                          [C]
    price    of one unit as quoted, tier included, queue premium not                    [C]   [USD]
    premium  paid on top for the place in the queue                                     [C]   [USD]
    most     units beyond which the order cannot help                                   [C]
    arrival  month index in each draw; T or more is after the end                       [N, C]
    paid     factor on what the order costs in each draw; 0 where it is barred and what was paid comes back   [N, C]
    due      month index in which an open order, deferred by d, arrives in each draw    [N, Q, D]
    barred   it is never delivered, and what was paid comes back                        [N, Q, D]
    """

    offer: Ints
    owner: Ints
    system: Ints
    month: Ints
    tier: Ints
    queued: Ints
    price: Floats
    premium: Floats
    most: Floats
    arrival: Ints
    paid: Floats
    due: Ints
    barred: Bools


def book(market: Market, draws: Draws, holder_owner: Ints, holder_system: Ints) -> Book:
    """Every order that is open to an owner who can install it, and that arrives within the horizon as quoted."""
    index = Index.of(market)
    held = {(int(o), int(k)) for o, k in zip(holder_owner, holder_system, strict=True)}
    held |= {(int(a), int(k)) for a, z, k in np.argwhere(slot_buyers(market)) if (int(z), int(k)) in held}
    table = _orders(market, held, index)
    offer, owner, system, month, tier, queued = table.T
    lead = draws.lead[:, offer, month] - _places(market, offer, queued, _sooner).astype(np.int64)
    arrival = month + np.maximum(lead, 0)
    if market.scenario.rules:  # a place in the queue does not help against a ban
        for f in np.unique(offer).tolist():
            arrival[:, offer == f] = released(market, market.scenario.offers[f], arrival[:, offer == f])
    keep = (arrival[0] < np.minimum(market.months, draws.barred[0, offer])) if len(table) else np.zeros(0, dtype=bool)
    offer, owner, system, month, tier, queued = table[keep].T
    price = market.price[offer, month] * _factor(market, offer, tier)
    arrival = arrival[:, keep]
    never = arrival >= draws.barred[:, offer]
    paid = np.where(never, 0.0, draws.price[:, offer, month])
    due = _due(market, draws)
    barred = due >= draws.barred_open[:, :, None]
    return Book(offer=offer, owner=owner, system=system, month=month, tier=tier, queued=queued, price=price,
                premium=price * _places(market, offer, queued, lambda q: q.premium), paid=paid,
                arrival=np.where(never, NEVER, arrival), most=_most(market, offer, owner, system, arrival[0]),
                due=np.where(barred, NEVER, due), barred=barred)


def _orders(market: Market, held: set[tuple[int, int]], index: Index) -> Ints:
    rows = [(f, o, index.system[offer.system], t, tier, queued)
            for f, offer in enumerate(market.scenario.offers)
            for o in np.flatnonzero(market.offered[f]) if (int(o), index.system[offer.system]) in held
            for t in np.flatnonzero(market.can_order[f])
            for tier in range(len(offer.tiers) + 1)
            for queued in range(len(offer.places) + 1)]
    return np.array(rows, dtype=np.int64).reshape(-1, 6)


def _places(market: Market, offer: Ints, queued: Ints, value: Callable[[Queue], float]) -> Floats:
    """A figure of each order's place in the queue; 0 for those in none. [C]"""
    figures = [[0.0, *(value(q) for q in f.places)] for f in market.scenario.offers]
    return np.array([figures[f][i] for f, i in zip(offer.tolist(), queued.tolist(), strict=True)])


def _sooner(place: Queue) -> float:
    """Whole months a place in the queue saves."""
    return float(np.floor(place.sooner / MEAN_MONTH + 0.5))


def _factor(market: Market, offer: Ints, tier: Ints) -> Floats:
    factors = [[1.0, *(factor for _, factor in f.tiers)] for f in market.scenario.offers]
    return np.array([factors[f][i] for f, i in zip(offer.tolist(), tier.tolist(), strict=True)])


def _most(market: Market, offer: Ints, owner: Ints, system: Ints, arrival: Ints) -> Floats:
    """Supply, total, and what the sites of the owner, and of who may take its slots, could ever power: the least."""
    power = (market.power.max(axis=1) / market.pue)[None, :, None] / np.maximum(market.unit_power, 1e-9)
    powered = (power * (market.may_install[:, :, None] & market.cooled[None])).sum(axis=1)
    powered = powered + (slot_buyers(market) * powered[None]).sum(axis=1)
    total = np.array([f.total for f in market.scenario.offers])
    least = np.minimum(market.supply[offer, arrival], total[offer])
    return np.asarray(np.floor(np.minimum(least, np.ceil(powered[owner, system])) + 1e-9))


def _due(market: Market, draws: Draws) -> Ints:
    longest = max((q.most_deferral for q in market.scenario.open_orders), default=0)
    when = market.promised[None, :] + draws.slip
    return np.asarray(np.maximum(when[:, :, None] + np.arange(min(longest, market.months) + 1), 0))
