"""Orders revised when a plan is made again: units that have not come are cancelled, or become an offer's.

Each way to revise an order is a whole first-stage column with the month it is decided in: units of one order of the
book, or of one open order as deferred. What the order would still have paid and brought is taken off again, draw by
draw, and what revising it costs and brings instead is added. `later.py` has the same decisions as recourse, in which a
draw foresees itself; here they are taken once for all draws, on a date, with what is known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exafleet.market.draws import NEVER
from exafleet.market.market import Bools, Ints
from exafleet.market.trade import tariff, tariff_open
from exafleet.plan.build import Build, Ledger
from exafleet.plan.instalments import instalments
from exafleet.plan.money import _after_the_end, _fitting, _pay
from exafleet.plan.terms_of_orders import Revised

Name = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One way to revise one order on a date.

    what     ("order", offer, owner, month, tier, place in the queue) or ("open", order, months deferred)
    month    month index it is decided in
    into     offer whose units they become; "" cancels them
    option   which of the open order's changes; -1 for a cancellation
    most     units of it that may be revised so
    fee      share of the old price lost by a change                                      [1]
    share    of the open order's units that the option may take in all                    [1]
    counts   month index the new order counts from; NEVER where it never does; -1: not known
    arrives  month index the new units come; -1: as the draws say, not before `after`
    """

    what: Name
    month: int
    into: str = ""
    option: int = -1
    most: float = np.inf
    fee: float = 0.0
    share: float = 1.0
    counts: int = -1
    arrives: int = -1
    after: int = 0

    @property
    def key(self) -> Name:
        """Its name as a decision; a programme puts a 0 behind it."""
        return (*self.what, self.into, self.option, self.month)


def first_open(able: Bools, month: int) -> int:
    """First month index from `month` on in which orders are taken; NEVER without one. able [T]"""
    found = np.flatnonzero(able[month:])
    return month + int(found[0]) if len(found) else NEVER


def with_revisions(b: Build, ways: Sequence[Revision]) -> Build:
    """The build with a column for each way whose order it knows, and whose new units somebody could install."""
    known = [r for r in ways if _at(b, r)[0] and (not r.into or r.counts == NEVER or _held(b, r))]
    found = _table(b, known)
    most = np.array([min(r.most, b.book.most[c] if c >= 0 and not np.isfinite(r.most) else np.inf)
                     for r, c in zip(known, found.order, strict=True)])
    b.x.add("revised", np.ones(len(known), dtype=bool), upper=most.reshape(-1), integer=True)
    return replace(b, revised=found)


def _at(b: Build, r: Revision) -> tuple[bool, int, int]:
    """Whether the order is known; its column in the book, or -1; its open order, or -1."""
    if r.what[0] == "open":
        ids = [q.id for q in b.market.scenario.open_orders]
        there = r.what[1] in ids and int(r.what[2]) < b.book.due.shape[2]
        return there, -1, ids.index(str(r.what[1])) if there else -1
    index, offers, book = b.index, [f.id for f in b.market.scenario.offers], b.book
    if r.what[1] not in offers:
        return False, -1, -1
    same = np.flatnonzero((book.offer == offers.index(str(r.what[1]))) & (book.owner == index.owner[str(r.what[2])]) &
                          (book.month == r.what[3]) & (book.tier == r.what[4]) & (book.queued == r.what[5]))
    return len(same) > 0, int(same[0]) if len(same) else -1, -1


def _held(b: Build, r: Revision) -> bool:
    offers = {f.id: f.system for f in b.market.scenario.offers}
    if r.into not in offers:
        return False
    order = next(q for q in b.market.scenario.open_orders if q.id == r.what[1])
    o, k = b.index.owner[order.owner], b.index.system[offers[r.into]]
    return bool(((b.sets.holder_owner == o) & (b.sets.holder_system == k)).any())


def _table(b: Build, ways: Sequence[Revision]) -> Revised:
    offers = {f.id: i for i, f in enumerate(b.market.scenario.offers)}
    at = np.array([_at(b, r)[1:] for r in ways], dtype=np.int64).reshape(-1, 2)
    offer = np.array([offers.get(r.into, -1) for r in ways], dtype=np.int64)
    counts = np.array([r.counts if r.into else NEVER for r in ways], dtype=np.int64)
    arrival = np.full((b.draws.count, len(ways)), NEVER)
    for i, r in enumerate(ways):
        if r.into and r.counts < b.market.months:
            drawn = r.counts + b.draws.lead[:, offer[i], r.counts]
            arrival[:, i] = r.arrives if r.arrives >= 0 else np.maximum(drawn, r.after)
    there = (arrival < NEVER) & (arrival < b.draws.barred[:, offer])
    return Revised(
        names=tuple(r.key for r in ways), order=at[:, 0], open_order=at[:, 1],
        deferred=np.array([int(r.what[2]) if r.what[0] == "open" else 0 for r in ways], dtype=np.int64),
        month=np.array([r.month for r in ways], dtype=np.int64), offer=offer, counts=counts,
        option=np.array([r.option for r in ways], dtype=np.int64), fee=np.array([r.fee for r in ways]),
        share=np.array([r.share for r in ways]), arrival=np.where(there, arrival, NEVER), there=there)


# ------------------------------------------------------------------------------------------------------------ rules
def revisions(b: Build) -> None:
    """No more of an order is revised than there is; what is revised comes as the other thing, or not at all."""
    r, column = b.revised, b.x["revised"]
    if r is None or not len(column):
        return
    _no_more_than_there_is(b, r, column)
    old_owner, old_system = _old(b, r)
    sold = [b.index.system[f.system] for f in b.market.scenario.offers]
    new_system = np.array([*sold, -1], dtype=np.int64)[r.offer]
    quoted, arrivals = (rows.blocks().get(name) for rows, name in ((b.first_rows, "quoted deliveries"),
                                                                   (b.rows, "arrivals")))
    for n, entries in enumerate(b.couple):
        for when, system, sign in ((_due(b, r, n), old_system, 1.0), (r.arrival[n], new_system, -1.0)):
            comes = (when < b.market.months) & (system >= 0)
            place = old_owner, system, np.minimum(when, b.market.months - 1)
            if arrivals is not None:
                entries.put(np.where(comes, arrivals[place], -1), column, sign)
            if quoted is not None and n == 0:
                b.first.put(np.where(comes, quoted[place], -1), column, sign)
    _out_of_the_offer(b, r, column, old_owner, new_system)


def _no_more_than_there_is(b: Build, r: Revised, column: Ints) -> None:
    book, orders = b.book, b.market.scenario.open_orders
    mine = np.isin(np.arange(len(book.offer)), r.order[r.order >= 0])
    row = b.first_rows.add("revised orders", mine, lower=-np.inf, upper=0.0)
    b.first.put(np.where(r.order >= 0, np.append(row, -1)[r.order], -1), column, 1.0)
    b.first.put(row, b.x["order"], -1.0)
    b.first.put(row[b.funds.order], b.x["financed"], 1.0)
    passed = b.passing.slot_order   # a unit that reaches another owner is no longer its orderer's to revise
    b.first.put(np.where(passed >= 0, np.append(row, -1)[passed], -1), b.x["slot"], 1.0)
    kept = b.x["keep"]
    mine = np.zeros(kept.shape, dtype=bool)
    opened = r.open_order >= 0
    mine[r.open_order[opened], r.deferred[opened]] = True
    row = b.first_rows.add("revised open orders", mine, lower=-np.inf, upper=0.0)
    b.first.put(np.where(opened, row[r.open_order, r.deferred] if row.size else -1, -1), column, 1.0)
    b.first.put(row, kept, -1.0)
    for orders_passed, passing in ((b.passing.slot_open, b.x["slot"]), *((b.passing.swap_open[:, i], b.x["swap"])
                                                                        for i in (0, 1))):
        if row.size:
            b.first.put(np.where(orders_passed >= 0, row[orders_passed, 0], -1), passing, 1.0)
    ways = sorted({(q, i) for q, i in zip(r.open_order.tolist(), r.option.tolist(), strict=True) if i >= 0})
    limit = [np.floor(_newest(r, q, i) * orders[q].units + 1e-9) for q, i in ways]
    row = b.first_rows.add("changed open orders", np.ones(len(ways), dtype=bool), lower=-np.inf,
                           upper=np.array(limit, dtype=np.float64))
    for at, (q, i) in enumerate(ways):
        b.first.put(np.where((r.open_order == q) & (r.option == i), row[at], -1), column, 1.0)


def _newest(r: Revised, q: int, i: int) -> float:
    """Share that a change may take in all, by the terms of the last day it can be decided on."""
    mine = np.flatnonzero((r.open_order == q) & (r.option == i))
    return float(r.share[mine[np.argmax(r.month[mine])]])


def _old(b: Build, r: Revised) -> tuple[Ints, Ints]:
    """Owner and system of the order revised. [R]"""
    orders = b.market.scenario.open_orders
    owner = np.append([b.index.owner[q.owner] for q in orders], -1).astype(np.int64)[r.open_order]
    system = np.append([b.index.system[q.system] for q in orders], -1).astype(np.int64)[r.open_order]
    mine = r.order >= 0
    return (np.where(mine, np.append(b.book.owner, -1)[r.order], owner),
            np.where(mine, np.append(b.book.system, -1)[r.order], system))


def _due(b: Build, r: Revised, n: int) -> Ints:
    """Month index the order would have come in, in a draw. [R]"""
    due = b.book.due[n][r.open_order, r.deferred] if b.book.due.size else np.full(len(r.order), NEVER)
    return np.where(r.order >= 0, np.append(b.book.arrival[n], NEVER)[r.order], due)


def _out_of_the_offer(b: Build, r: Revised, column: Ints, owner: Ints, system: Ints) -> None:
    """New units count against what their offer, and the pools it draws on, have; cancelled ones do not go back."""
    blocks, when = b.first_rows.blocks(), r.arrival[0]
    counts = (r.offer >= 0) & (when < b.market.months)
    at = np.minimum(when, b.market.months - 1)
    if "offer total" in blocks:
        b.first.put(np.where(r.offer >= 0, blocks["offer total"][r.offer], -1), column, 1.0)
    if "supply" in blocks:
        b.first.put(np.where(counts, blocks["supply"][r.offer, at], -1), column, 1.0)
    if "framework" in b.rows.blocks():
        row = np.append(b.rows["framework"], -1)
        ordered = np.where(r.order >= 0, np.append(b.book.offer, -1)[r.order], -1)
        b.couple_all.put(row[ordered], column, -1.0)
        b.couple_all.put(row[r.offer], column, 1.0)
    for i, pool in enumerate(b.market.scenario.allocations if "allocation" in blocks else ()):
        inside = np.array([*(f.id in pool.offers for f in b.market.scenario.offers), False], dtype=bool)[r.offer]
        chips = np.where(inside & counts, b.market.chips[system], 0.0)
        b.first.put(np.where(counts, blocks["allocation"][i, at], -1), column, chips)
        b.first.put(np.where(counts, blocks["allocation share"][i, owner, at], -1), column, chips)


# ------------------------------------------------------------------------------------------------------------ money
def revision_costs(b: Build) -> None:
    """What is not paid any more, what revising costs, and what the new units cost."""
    if b.revised is None or not len(b.revised.month):
        return
    for n, ledger in enumerate(b.draw_ledger):
        _orders_cancelled(b, ledger, n, b.revised)
        for i in np.flatnonzero(b.revised.open_order >= 0).tolist():
            _open_given_up(b, ledger, n, b.revised, i)
            if b.revised.offer[i] >= 0:
                _changed(b, ledger, n, b.revised, i)


def _orders_cancelled(b: Build, ledger: Ledger, n: int, r: Revised) -> None:
    """A cancelled order pays its share of the price in all, less what is paid by then, and nothing that comes after."""
    mine, book = np.flatnonzero(r.order >= 0), b.book
    c, s, column = r.order[mine], r.month[mine], b.x["revised"][mine]
    owner, offer, due = book.owner[c], book.offer[c], book.arrival[n, c]
    price, there = book.price[c] * book.paid[n, c], book.paid[n, c] > 0
    lost = np.array([f.cancel for f in b.market.scenario.offers])[offer]
    for part in instalments(b.market, offer, book.month[c], due):
        paid = part.month <= s
        lost = lost - np.where(paid, part.share, 0.0)
        _pay(b, ledger, "hardware", owner, part.month, column, np.where(paid, 0.0, -price * part.share),
             kind=part.kind)
    _pay(b, ledger, "cancellation", owner, s, column, price * lost)
    _pay(b, ledger, "fitting", owner, due, column, np.where(there, -_fitting(b, offer), 0.0))
    if b.market.scenario.rules and len(c):
        _pay(b, ledger, "tariffs", owner, due, column, -price * tariff(b.market, offer, due))
    _after_the_end(b, ledger, n, np.where(there, due, 0), book.system[c], column, units=-1.0)


def _open_given_up(b: Build, ledger: Ledger, n: int, r: Revised, i: int) -> None:
    """What a kept open order would have paid and been worth, taken off again; cancelled, its share of the price."""
    q, column, s = int(r.open_order[i]), b.x["revised"][i:i + 1], r.month[i:i + 1]
    order = b.market.scenario.open_orders[q]
    owner, system = b.index.owner[order.owner], np.array([b.index.system[order.system]])
    due, barred = b.book.due[n, q, r.deferred[i:i + 1]], b.book.barred[n, q, r.deferred[i:i + 1]]
    _pay(b, ledger, "hardware", owner, due, column, np.where(barred, 0.0, -order.price * (1.0 - order.paid)))
    back = int(np.clip(b.draws.barred_open[n, q], 0, b.market.months))
    _pay(b, ledger, "hardware", owner, back, column, np.where(barred, order.price * order.paid, 0.0))
    _after_the_end(b, ledger, n, np.where(barred, 0, due), system, column, units=-1.0)
    if b.market.scenario.rules:
        _pay(b, ledger, "tariffs", owner, due, column, -order.price * tariff_open(b.market, q, due))
    if r.offer[i] < 0:
        _pay(b, ledger, "cancellation", owner, s, column, order.price * (order.cancel - order.paid))


def _changed(b: Build, ledger: Ledger, n: int, r: Revised, i: int) -> None:
    """The new price less what the old one's payments, the fee taken off, count for; first instalments first."""
    q, f, column, there = int(r.open_order[i]), r.offer[i:i + 1], b.x["revised"][i:i + 1], bool(r.there[n, i])
    order, last = b.market.scenario.open_orders[q], b.market.months - 1
    owner, left = b.index.owner[order.owner], order.price * (order.paid - r.fee[i])
    _pay(b, ledger, "order change", owner, r.month[i:i + 1], column, max(-left, 0.0))
    left = max(left, 0.0)
    if not there:   # what was paid comes back with the ban, or when the offer turns out never to open
        _pay(b, ledger, "hardware", owner, np.clip(b.draws.barred[n, f], r.month[i], b.market.months), column, -left)
        return
    counts, due = r.counts[i:i + 1], r.arrival[n, i:i + 1]
    price = float(b.market.price[f[0], min(counts[0], last)] * b.draws.price[n, f[0], min(counts[0], last)])
    for part in sorted(instalments(b.market, f, counts, due), key=lambda p: int(p.month[0])):
        usd = price * float(part.share[0])
        credit = min(left, usd)
        left -= credit
        _pay(b, ledger, "hardware", owner, part.month, column, usd - credit, kind=part.kind)
    _pay(b, ledger, "fitting", owner, due, column, _fitting(b, f))
    if b.market.scenario.rules:
        _pay(b, ledger, "tariffs", owner, due, column, price * tariff(b.market, f, due))
    system = np.array([b.index.system[b.market.scenario.offers[f[0]].system]])
    _after_the_end(b, ledger, n, due, system, column)
