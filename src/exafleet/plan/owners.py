"""Rules between owners: units lent within limits and with notice, and units and slots that pass on.

Under a plain loan a borrower uses what it needs each month. Under one with a notice, or with work lost at the end,
units are handed over: what is handed over is the borrower's, used or not, until it goes back.
"""

from __future__ import annotations

import numpy as np

from exafleet.facts.sharing import Share
from exafleet.market.lending import named
from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.blocks import Entries, earlier
from exafleet.plan.build import Build


# ----------------------------------------------------------------------------------------------------------------- lent
def held(b: Build) -> tuple[Ints, Ints, Ints]:
    """Columns of units that are somebody else's for the month, their agreement and their system. [Z, T], [Z], [Z]"""
    acts, given = b.acts, b.grants
    plain = np.flatnonzero((given.act_agreement >= 0) & (given.act_grant < 0))
    column = np.concatenate([acts.column[plain], b.y["granted"]])
    agreement = np.concatenate([given.act_agreement[plain], given.agreement])
    system = np.concatenate([acts.system[plain], b.sets.holder_system[given.holder]])
    return column, agreement, system


def loan(b: Build) -> None:
    """No more chips lent from one owner to another than agreed; several loans of one pair count together."""
    column, agreement, system = held(b)
    most = b.lending.most
    row = b.rows.add("loan", np.isfinite(most), lower=-np.inf, upper=most)
    b.recourse.put(row[agreement], column, b.market.chips[system][:, None])


def handed_over(b: Build) -> None:
    """Units handed over: those before, plus given, less gone back; what was given stays for the notice at least."""
    given, notice = b.y["given"], b.lending.notice[b.grants.agreement]
    row = b.rows.add("handed over", given >= 0, lower=0.0, upper=0.0)
    b.recourse.put(row, b.y["granted"], 1.0)
    b.recourse.put(row, earlier(b.y["granted"]), -1.0)
    b.recourse.put(row, given, -1.0)
    b.recourse.put(row, b.y["back"], 1.0)
    bound = b.rows.add("notice", (notice > 0)[:, None] & (given >= 0), lower=0.0, upper=np.inf)
    b.recourse.put(bound, b.y["granted"], 1.0)
    for ago in range(int(notice.max(initial=0))):
        b.recourse.put(np.where((notice > ago)[:, None], bound, -1), earlier(given, ago), -1.0)


def lent_use(b: Build) -> None:
    """A borrower uses what was handed over, less the work lost in the last month before units go back."""
    granted, back = b.y["granted"], b.y["back"]
    row = b.rows.add("lent use", granted >= 0, lower=-np.inf, upper=0.0)
    b.recourse.put(row, granted, -1.0)
    lost = np.minimum(b.lending.restart[b.grants.agreement][:, None] / b.market.seconds, 1.0)
    b.recourse.put(earlier(row), back, np.concatenate([np.zeros_like(lost[:, :1]), lost[:, :-1]], axis=1))
    which = np.flatnonzero(b.grants.act_grant >= 0)
    b.recourse.put(row[b.grants.act_grant[which]], b.acts.column[which], 1.0)


def sharing_limits(b: Build) -> None:
    """What an owner lends and borrows of a cohort's systems stays within its limits there."""
    column, agreement, system = held(b)
    chips = b.market.chips[system][:, None]
    lender, borrower = b.lending.lender[agreement], b.lending.borrower[agreement]
    most = limits(b)
    for name, side, limit in (("lending limit", lender, most[0]), ("borrowing limit", borrower, most[1])):
        row = b.rows.add(name, np.isfinite(limit), lower=-np.inf, upper=limit)
        for p, (o, covers) in enumerate(_shares(b)):
            mine = (side == o) & covers[system]
            b.recourse.put(row[p], column[mine], chips[mine])
    _nominal(b, column, borrower, system, chips)


def _nominal(b: Build, column: Ints, borrower: Ints, system: Ints, chips: Floats) -> None:
    """With a nominal quota, use of own and others' units together stays within it and the borrowing limit."""
    limit = limits(b)[2]
    row = b.rows.add("nominal", np.isfinite(limit), lower=-np.inf, upper=limit)
    acts = b.acts
    own = (b.grants.act_agreement < 0) & (acts.place < len(b.sets.holder_owner))
    for p, (o, covers) in enumerate(_shares(b)):
        mine, theirs = own & (acts.owner == o) & covers[acts.system], (borrower == o) & covers[system]
        b.recourse.put(row[p], acts.column[mine], b.market.chips[acts.system[mine]][:, None])
        b.recourse.put(row[p], column[theirs], chips[theirs])


def _shares(b: Build) -> list[tuple[int, Bools]]:
    """Owner and systems of every part of a cohort."""
    return [(b.index.owner[s.owner], named(b.market, s.systems)) for s in b.market.scenario.sharing]


def limits(b: Build) -> Floats:
    """Lending limit, borrowing limit, and nominal quota with what may be borrowed; inf for none. [3, P, T] [chips]"""
    market = b.market
    months = np.arange(market.start, market.start + market.months)
    found = np.full((3, len(market.scenario.sharing), market.months), np.inf)
    for p, share in enumerate(market.scenario.sharing):
        found[:, p] = _limits(share, months)
    return found


def _limits(share: Share, months: Ints) -> Floats:
    none = np.full(len(months), np.inf)
    lend = none if share.lending_limit is None else share.lending_limit.at(months)
    borrow = none if share.borrowing_limit is None else share.borrowing_limit.at(months)
    if share.nominal is None:
        return np.array([lend, borrow, none])
    return np.array([lend, none, share.nominal.at(months) + borrow])


# ----------------------------------------------------------------------------------------------- passed on: first stage
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


def _deliver(b: Build, n: int, entries: Entries, row: Ints) -> None:
    """Take what passes on from the seller's deliveries in draw n, and add it to the buyer's. row [O, K, T]"""
    column, seller, buyer, system, when = passed_on(b, n)
    at, inside = np.minimum(when, b.market.months - 1), when < b.market.months
    entries.put(np.where(inside, row[seller, system, at], -1), column, 1.0)
    entries.put(np.where(inside, row[buyer, system, at], -1), column, -1.0)


def quoted_slots(b: Build) -> None:
    """Slots move what owners have as quoted. Adds to the rule `quoted deliveries`."""
    row = b.first_rows.blocks().get("quoted deliveries")
    if row is not None:
        _deliver(b, 0, b.first, row)


# -------------------------------------------------------------------------------------------------- passed on: recourse
def arriving_slots(b: Build) -> None:
    """A unit that was passed on arrives at the buyer. Adds to the rule `arrivals`."""
    row = b.rows.blocks().get("arrivals")
    if row is not None:
        for n, entries in enumerate(b.couple):
            _deliver(b, n, entries, row)
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
