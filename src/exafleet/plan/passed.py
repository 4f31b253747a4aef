"""What can pass from one owner to another, units and places in the delivery queue: transfers and swaps.

Slots are decided now: a unit of one owner's order, placed or to be placed, arrives at another. Installed units are
handed down as things arrive, in each draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exafleet.facts.sharing import Transfer
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.plan.blocks import Members
from exafleet.plan.book import Book
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


def transfer_prices(market: Market) -> tuple[Floats, Bools]:
    """Price of one unit by transfer and month, and whether the scenario states it. [M, T] [USD], [M]"""
    months = np.arange(market.start, market.start + market.months)
    stated = np.array([t.price is not None for t in market.scenario.transfers], dtype=bool)
    used = {k: market.resale[i, :-1] for i, k in enumerate(market.systems)}
    price = [t.price.at(months) if t.price is not None else used.get(t.system, np.zeros(market.months))
             for t in market.scenario.transfers]
    return np.array(price, dtype=np.float64).reshape(-1, market.months), stated
