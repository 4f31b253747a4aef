"""Units and places in the delivery queue that pass from one owner to another: transfers and swaps.

Slots are decided now: a unit of one owner's order, placed or to be placed, arrives at another. Installed units are
handed down as things arrive, in each draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exafleet.facts.sharing import Transfer
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.plan.blocks import Members, earlier

if TYPE_CHECKING:
    from exafleet.plan.book import Book
    from exafleet.plan.build import Build
    from exafleet.plan.sets import Sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """Everything that can pass: S slots, W swaps, E lanes of installed units.

    slot_transfer             the transfer that allows it                                       [S]
    slot_order, slot_open     order column, or open order, whose units pass; the other is -1    [S]
    slot_from, slot_to        seller and buyer                                                  [S]
    swap_open                 the two open orders                                               [W, 2]
    lane_transfer, lane_from, lane_to   transfer, and the holders at its ends                   [E]
    """

    slot_transfer: Ints
    slot_order: Ints
    slot_open: Ints
    slot_from: Ints
    slot_to: Ints
    swap_open: Ints
    lane_transfer: Ints
    lane_from: Ints
    lane_to: Ints


def passing(market: Market, book: Book, sets: Sets) -> Passing:
    """Every slot, swap and lane the scenario's transfers allow."""
    scenario = market.scenario
    owner = {x.id: o for o, x in enumerate(scenario.owners)}
    opened = {q.id: i for i, q in enumerate(scenario.open_orders)}
    slots = [(m, c, q, owner[t.seller], owner[t.buyer]) for m, t in enumerate(scenario.transfers) if t.kind == "slot"
             for c, q in _slots(market, book, t, owner[t.seller])]
    swaps = [(opened[s.first], opened[s.second]) for s in scenario.swaps]
    lanes = [(m, a, z) for m, t in enumerate(scenario.transfers) if t.kind == "units"
             for a, z in _lanes(market, sets, t)]
    slot = np.array(slots, dtype=np.int64).reshape(-1, 5).T
    lane = np.array(lanes, dtype=np.int64).reshape(-1, 3).T
    return Passing(slot_transfer=slot[0], slot_order=slot[1], slot_open=slot[2], slot_from=slot[3], slot_to=slot[4],
                   swap_open=np.array(swaps, dtype=np.int64).reshape(-1, 2),
                   lane_transfer=lane[0], lane_from=lane[1], lane_to=lane[2])


def _slots(market: Market, book: Book, transfer: Transfer, seller: int) -> list[tuple[int, int]]:
    """(order column, -1) and (-1, open order) of a seller's slots."""
    scenario = market.scenario
    wanted = [not transfer.orders or f.id in transfer.orders for f in scenario.offers]
    mine = [c for c in range(len(book.offer)) if book.owner[c] == seller and wanted[book.offer[c]]
            and market.systems[book.system[c]] == transfer.system]
    opened = [q for q, order in enumerate(scenario.open_orders) if order.owner == transfer.seller
              and order.system == transfer.system and (not transfer.orders or order.id in transfer.orders)]
    return [(c, -1) for c in mine] + [(-1, q) for q in opened]


def _lanes(market: Market, sets: Sets, transfer: Transfer) -> list[tuple[int, int]]:
    """Holders of the seller and of the buyer between which units can pass."""
    names = [s.id for s in market.scenario.sites]
    owners = [o.id for o in market.scenario.owners]

    def holders(owner: str, site: str) -> list[int]:
        return [h for h in range(len(sets.holder_owner)) if owners[sets.holder_owner[h]] == owner
                and market.systems[sets.holder_system[h]] == transfer.system
                and (not site or names[sets.holder_site[h]] == site)]

    return [(a, z) for a in holders(transfer.seller, transfer.start) for z in holders(transfer.buyer, transfer.end)
            if transfer.end or sets.holder_site[a] == sets.holder_site[z]]


def first_columns(x: Members, market: Market, book: Book, found: Passing) -> None:
    """Slots and swaps: whole units, decided now."""
    units = np.array([float(q.units) for q in market.scenario.open_orders])
    most = np.where(found.slot_order >= 0, np.append(book.most, 0.0)[found.slot_order],
                    np.append(units, 0.0)[found.slot_open])
    x.add("slot", np.ones(len(most), dtype=bool), upper=most, integer=True)
    least = np.append(units, 0.0)[found.swap_open].min(axis=1, initial=np.inf)
    agreed = np.floor(np.array([s.most for s in market.scenario.swaps]) + 1e-9)
    x.add("swap", np.ones(len(agreed), dtype=bool), upper=np.minimum(least, agreed), integer=True)


def recourse_columns(y: Members, market: Market, found: Passing) -> None:
    """Installed units handed down, in the month they leave."""
    away = np.array([t.months for t in market.scenario.transfers], dtype=np.int64)[found.lane_transfer]
    y.add("handed", np.arange(market.months)[None, :] + away[:, None] < market.months)


# ------------------------------------------------------------------------------------------------------- first stage
def slots(b: Build) -> None:
    """No more units of an order are passed on or swapped than are ordered or kept, nor than was agreed."""
    p, scenario = b.passing, b.market.scenario
    order = b.first_rows.add("slots of orders", np.isin(np.arange(len(b.book.offer)), p.slot_order), lower=0.0)
    b.first.put(order, b.x["order"], 1.0)
    b.first.put(order[b.funds.order], b.x["financed"], -1.0)   # what is pledged or leased stays with who pays for it
    b.first.put(np.where(p.slot_order >= 0, np.append(order, -1)[p.slot_order], -1), b.x["slot"], -1.0)
    touched = np.isin(np.arange(len(scenario.open_orders)), [*p.slot_open, *p.swap_open.ravel()])
    kept = b.first_rows.add("slots of open orders", touched, lower=0.0)
    b.first.put(kept, b.x["keep"][:, 0], 1.0)
    b.first.put(np.where(p.slot_open >= 0, np.append(kept, -1)[p.slot_open], -1), b.x["slot"], -1.0)
    for side in (0, 1):
        b.first.put(np.append(kept, -1)[p.swap_open[:, side]], b.x["swap"], -1.0)
    agreed = np.array([max(t.most.before, *t.most.values, 0.0) if t.kind == "slot" else np.inf
                       for t in scenario.transfers])
    total = b.first_rows.add("slots", np.isfinite(agreed), lower=-np.inf, upper=agreed)
    b.first.put(total[p.slot_transfer], b.x["slot"], 1.0)


def passed_on(b: Build, n: int) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """(column, from, to, system, month index in draw n) of every unit that reaches another than who ordered it."""
    p, keep = b.passing, b.book.due[n, :, 0]
    owner = np.array([b.index.owner[q.owner] for q in b.market.scenario.open_orders], dtype=np.int64)
    system = np.array([b.index.system[q.system] for q in b.market.scenario.open_orders], dtype=np.int64)
    ordered = p.slot_order >= 0
    at = np.where(ordered, np.append(b.book.arrival[n], 0)[p.slot_order], np.append(keep, 0)[p.slot_open])
    what = np.where(ordered, np.append(b.book.system, 0)[p.slot_order], np.append(system, 0)[p.slot_open])
    a, z = p.swap_open.T
    return (np.concatenate([b.x["slot"], b.x["swap"], b.x["swap"]]),
            np.concatenate([p.slot_from, owner[a], owner[z]]), np.concatenate([p.slot_to, owner[z], owner[a]]),
            np.concatenate([what, system[a], system[z]]), np.concatenate([at, keep[a], keep[z]]))


def quoted_slots(b: Build) -> None:
    """Slots move what owners have as quoted. Adds to the rule `quoted deliveries`."""
    row = b.first_rows.blocks().get("quoted deliveries")
    if row is not None:
        column, seller, buyer, system, when = passed_on(b, 0)
        at = np.minimum(when, b.market.months - 1)
        inside = when < b.market.months
        b.first.put(np.where(inside, row[seller, system, at], -1), column, 1.0)
        b.first.put(np.where(inside, row[buyer, system, at], -1), column, -1.0)


# ---------------------------------------------------------------------------------------------------------- recourse
def arriving_slots(b: Build) -> None:
    """A unit that was passed on arrives at the buyer. Adds to the rule `arrivals`."""
    row = b.rows.blocks().get("arrivals")
    for n, entries in enumerate(b.couple if row is not None else ()):
        column, seller, buyer, system, when = passed_on(b, n)
        at, inside = np.minimum(when, b.market.months - 1), when < b.market.months
        assert row is not None
        entries.put(np.where(inside, row[seller, system, at], -1), column, 1.0)
        entries.put(np.where(inside, row[buyer, system, at], -1), column, -1.0)
    _not_changed_later(b)


def _not_changed_later(b: Build) -> None:
    """What was passed on is neither cancelled nor deferred later. Adds to the rule `later_cancelled`."""
    p, blocks, months = b.passing, b.rows.blocks(), b.market.months
    if "later cancelled" not in blocks:
        return
    b.couple_all.put(np.where(p.slot_order >= 0, np.append(blocks["later cancelled"], -1)[p.slot_order], -1),
                     b.x["slot"], 1.0)
    for n, entries in enumerate(b.couple):
        due = np.minimum(b.book.due[n, :, 0], months)
        row = np.append(blocks["later open orders"][np.arange(len(due)), due], -1)
        entries.put(np.where(p.slot_open >= 0, row[p.slot_open], -1), b.x["slot"], 1.0)
        for side in (0, 1):
            entries.put(row[p.swap_open[:, side]], b.x["swap"], 1.0)


def hand_downs(b: Build) -> None:
    """Units leave one owner's holder and reach another's, at the pace agreed and at that of the site's installers."""
    p, handed, scenario = b.passing, b.y["handed"], b.market.scenario
    months = np.arange(b.market.start, b.market.start + b.market.months)
    agreed = np.array([t.most.at(months) if t.kind == "units" else np.full(len(months), np.inf)
                       for t in scenario.transfers]).reshape(-1, len(months))
    row = b.rows.add("hand-downs", np.isfinite(agreed), lower=-np.inf, upper=agreed)
    b.recourse.put(row[p.lane_transfer], handed, 1.0)
    coming = earlier(handed, np.array([t.months for t in scenario.transfers], dtype=np.int64)[p.lane_transfer])
    blocks = b.rows.blocks()
    if "stock" in blocks:
        b.recourse.put(blocks["stock"][p.lane_from], handed, 1.0)
        b.recourse.put(blocks["stock"][p.lane_to], coming, -1.0)
    if "install rate" in blocks:
        site, racks = b.sets.holder_site, b.market.racks[b.sets.holder_system[p.lane_to]]
        moved = site[p.lane_from] != site[p.lane_to]
        b.recourse.put(np.where(moved[:, None], blocks["install rate"][site[p.lane_to]], -1), coming, racks[:, None])


def prices(market: Market) -> tuple[Floats, Bools]:
    """Price of one unit by transfer and month, and whether the scenario states it. [M, T] [USD], [M]"""
    months = np.arange(market.start, market.start + market.months)
    stated = np.array([t.price is not None for t in market.scenario.transfers], dtype=bool)
    used = {k: market.resale[i, :-1] for i, k in enumerate(market.systems)}
    price = [t.price.at(months) if t.price is not None else used.get(t.system, np.zeros(market.months))
             for t in market.scenario.transfers]
    return np.array(price, dtype=np.float64).reshape(-1, market.months), stated
