"""Which orders may be revised when, and when what they become comes: as believed on a date, and as it really was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from exafleet.facts.deals import Offer, OpenOrder
from exafleet.market.draws import NEVER
from exafleet.market.market import Bools, Ints, Market
from exafleet.plan.carry import Key, Lived, Values
from exafleet.plan.revised import Revision, first_open

LEAST = 0.5   # units; less is the solver's tolerance of a whole number


def may_revise(market: Market, lived: Lived) -> tuple[Revision, ...]:
    """Every way to revise, now, what has been ordered and has not come.

    On the first day open orders are cancelled and deferred by the plan's own columns, so only changes are added.
    """
    return (*_orders(market, lived), *_open_orders(market, lived))


def _orders(market: Market, lived: Lived) -> Iterator[Revision]:
    offers = {f.id: f for f in market.scenario.offers}
    for key, units in sorted(lived.first.items()):
        waits = key[0] == "order" and units > LEAST and (key[1], key[3], key[5]) not in lived.came
        if waits and key[1] in offers and saves(offers[str(key[1])]):
            yield Revision(what=key[:6], month=lived.months, most=round(units))


def saves(offer: Offer) -> bool:
    """Whether cancelling an order can save anything."""
    return offer.cancel < 1.0 or offer.fitting > 0


def _open_orders(market: Market, lived: Lived) -> Iterator[Revision]:
    now = lived.months
    for order in market.scenario.open_orders:
        kept = {int(key[2]): units for key, units in lived.first.items() if key[:2] == ("keep", order.id)}
        for deferred, units in sorted(kept.items()) if now else [(0, float(order.units))]:
            if units > LEAST and (order.id, deferred) not in lived.due:
                if now:
                    yield Revision(what=("open", order.id, deferred), month=now, most=round(units))
                yield from (r for r in changes(market, order, deferred, now, round(units)) if _in_time(market, r))


def changes(market: Market, order: OpenOrder, deferred: int, month: int, most: float = np.inf) -> Iterator[Revision]:
    """Every change of an open order decided in a month; the new units count from when the offer takes orders."""
    offers = {f.id: i for i, f in enumerate(market.scenario.offers)}
    for i, change in enumerate(order.change):
        yield Revision(what=("open", order.id, deferred), month=month, into=change.to, option=i, fee=change.fee,
                       share=change.most, counts=first_open(market.can_order[offers[change.to]], month), most=most)


def _in_time(market: Market, r: Revision) -> bool:
    """Whether the new units come within the horizon as quoted."""
    f = [x.id for x in market.scenario.offers].index(r.into)
    return r.counts + int(market.lead[f, 1] + 0.5) < market.months


def believed(market: Market, lived: Lived) -> tuple[Revision, ...]:
    """What was revised before, as it is believed to go on; nothing that has not come comes before now."""
    offers, now = {f.id: i for i, f in enumerate(market.scenario.offers)}, lived.months
    return tuple(replace(r, after=now, counts=r.counts if 0 <= r.counts < now else first_open(
        market.can_order[offers[r.into]], max(now, r.month))) if r.into in offers else r
        for r in lived.revised.values())


def decided(market: Market, lived: Lived, values: Values) -> dict[Key, Revision]:
    """Everything revised so far and by these decisions, by name, with the terms of the day it was decided."""
    ways = {("revised", *r.key, 0): r for r in may_revise(market, lived)}
    return {**lived.revised, **{key: ways[key] for key, units in values.items()
                                if key in ways and units > LEAST}}


def really(true: Market, lead: Ints, r: Revision) -> Revision:
    """A revision with the month its new order really counts from, and the one its units really come in."""
    offers = {f.id: i for i, f in enumerate(true.scenario.offers)}
    if r.into not in offers:
        return replace(r, counts=NEVER, arrives=NEVER)
    counts = first_open(true.can_order[offers[r.into]], r.month)
    return replace(r, counts=counts, after=0,
                   arrives=counts + int(lead[offers[r.into], counts]) if counts < true.months else NEVER)


def lived_until(true: Market, lead: Ints, market: Market, r: Revision, end: int) -> Revision:
    """The same up to a month, and what a market of the day believes of what comes later."""
    known, offers = really(true, lead, r), {f.id: i for i, f in enumerate(market.scenario.offers)}
    if not r.into or known.arrives < end or r.into not in offers:
        return known
    f = offers[r.into]
    counts = known.counts if known.counts < end else first_open(_padded(market.can_order[f], true.months), end)
    arrives = max(end, counts + int(market.lead[f, 1] + 0.5)) if counts < true.months else NEVER
    return replace(known, counts=counts, arrives=arrives)


def _padded(able: Bools, months: int) -> Bools:
    """A market that looks less far knows of no orders after it."""
    return np.append(able, np.zeros(max(months - len(able), 0), dtype=bool))


def what_came(revised: Mapping[Key, Revision], end: int) -> dict[Key, Revision]:
    """What is known by the end of a period: months before it."""
    return {key: replace(r, counts=r.counts if r.counts < end else -1, arrives=r.arrives if r.arrives < end else -1)
            for key, r in revised.items()}


# -------------------------------------------------------------------------------------------------------- hindsight
def with_hindsight(true: Market, lead: Ints, slip: Ints, lives: Sequence[Lived]) -> tuple[Revision, ...]:
    """What hindsight may revise: open orders in any month before they really come, and what any life has revised.

    Who knows everything has no reason to cancel what he ordered himself, unless the order had to be larger than what
    he wants (a tier, a least order, a multiple): that, as soon as he can and as late as he can.
    """
    found = {r.key: really(true, lead, r) for life in lives for r in life.revised.values()}
    for r in (*_any_open_order(true, slip), *_orders_too_large(true, lead)):
        found.setdefault(r.key, really(true, lead, r))
    shares: dict[tuple[Key, int], float] = {}
    for r in found.values():   # terms may have been tightened after a life had used them
        shares[r.what[:2], r.option] = max(shares.get((r.what[:2], r.option), 0.0), r.share)
    return tuple(replace(found[key], share=shares[found[key].what[:2], found[key].option])
                 for key in sorted(found, key=str))


def _any_open_order(true: Market, slip: Ints) -> Iterator[Revision]:
    for q, order in enumerate(true.scenario.open_orders):
        for deferred in range(order.most_deferral + 1):
            last = min(int(true.promised[q] + slip[q]) + deferred, true.months - 1)
            for month in range(last + 1):
                if month:
                    yield Revision(what=("open", order.id, deferred), month=month, most=order.units)
                yield from changes(true, order, deferred, month, order.units)


def _orders_too_large(true: Market, lead: Ints) -> Iterator[Revision]:
    for f, offer in enumerate(true.scenario.offers):
        if saves(offer) and (offer.tiers or offer.least > 1 or offer.multiple > 1):
            for o, t in np.argwhere(true.offered[f][:, None] & true.can_order[f]).tolist():
                last = min(t + int(lead[f, t]), true.months - 1)
                for tier in range(len(offer.tiers) + 1):
                    yield from (Revision(what=("order", offer.id, true.scenario.owners[o].id, t, tier, 0), month=m)
                                for m in sorted({t + 1, last}) if t < m <= last)
