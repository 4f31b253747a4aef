"""Rules of the world, one function each. RULES is all of them; a plan may be asked for with any subset or with more.

A rule adds rows and entries to the Build and nothing else. Rules of the first stage are in commitments.py, those of
the recourse (what happens in each draw) are here. Each can always be kept: racks may wait unpowered in a warehouse,
demand may go unserved, a run may stay unfinished, an owner may overdraw; each at a price.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan import books, commitments, owners
from exafleet.plan.blocks import earlier
from exafleet.plan.build import MEGAWATT, Build, may_start, settled
from exafleet.plan.finance import outstanding, returns
from exafleet.plan.gangs import strength, whole_gangs
from exafleet.plan.sets import rental_most

Rule = Callable[[Build], None]
NEVER = 1e7   # units no fleet reaches: a row that far from zero binds nobody


def arrivals(b: Build) -> None:
    """What arrives in a draw goes to its owner's warehouse, and from there to a site, or is sold."""
    stock, book, sets = b.y["warehouse"], b.book, b.sets
    row = b.rows.add("arrivals", stock >= 0, lower=0.0, upper=0.0)
    b.recourse.put(row, stock, 1.0)
    b.recourse.put(row, earlier(stock), -1.0)
    b.recourse.put(row, b.y["sold warehouse"], 1.0)
    b.recourse.put(row[sets.holder_owner, sets.holder_system], b.y["install"], 1.0)
    months = b.market.months
    for n, entries in enumerate(b.couple):
        when = book.arrival[n]
        at = row[book.owner, book.system, np.minimum(when, months - 1)]
        entries.put(np.where(when < months, at, -1), b.x["order"], -1.0)
        for q, order in enumerate(b.market.scenario.open_orders):
            due = book.due[n, q]
            at = row[b.index.owner[order.owner], b.index.system[order.system], np.minimum(due, months - 1)]
            entries.put(np.where(due < months, at, -1), b.x["keep"][q], -1.0)
        when = b.swap.arrival[n]
        at = row[b.swap.owner, b.swap.system, np.minimum(when, months - 1)]
        entries.put(np.where(when < months, at, -1), b.x["change"], -1.0)


def later_orders(b: Build) -> None:
    """What a draw cancels, defers or orders again changes what arrives in it. Comes after `arrivals`."""
    months, found = b.market.months, b.later
    row = b.rows.blocks().get("arrivals", np.full(b.y["warehouse"].shape, -1, dtype=np.int64))

    def at(owner: Ints, system: Ints, month: Ints) -> Ints:
        return np.where(month < months, row[owner, system, np.minimum(month, months - 1)], -1)

    orders = found.cut_order
    b.recourse.put(at(b.book.owner[orders], b.book.system[orders], found.cut_arrival), b.y["cut"], 1.0)
    b.recourse.put(at(found.new_owner, found.new_system, found.new_arrival), b.y["reorder"], -1.0)
    owner = np.array([b.index.owner[q.owner] for q in b.market.scenario.open_orders], dtype=np.int64)[:, None]
    system = np.array([b.index.system[q.system] for q in b.market.scenario.open_orders], dtype=np.int64)[:, None]
    month = np.arange(months + 1)[None, :]
    b.recourse.put(at(owner, system, month), b.y["open cut"], 1.0)
    b.recourse.put(at(owner, system, month), b.y["open late"], 1.0)
    b.recourse.put(at(owner, system, month + 1), b.y["open late"], -1.0)


def later_cancelled(b: Build) -> None:
    """A draw cancels and defers no more than was ordered and comes in it."""
    found, book = b.later, b.book
    cut = np.zeros(len(book.offer), dtype=bool)
    cut[found.cut_order] = True
    row = b.rows.add("later cancelled", cut, lower=-np.inf, upper=0.0)
    b.recourse.put(row[found.cut_order], b.y["cut"], 1.0)
    b.couple_all.put(row, b.x["order"], -1.0)
    b.couple_all.put(row[b.funds.order], b.x["financed"], 1.0)  # what somebody else pays for is not cancelled
    late = b.y["open late"]
    row = b.rows.add("later open orders", b.y["open cut"] >= 0, lower=-np.inf, upper=0.0)
    b.recourse.put(row, b.y["open cut"], 1.0)
    b.recourse.put(row, late, 1.0)
    b.recourse.put(row, earlier(late), -1.0)
    for n, entries in enumerate(b.couple):
        for q, due in enumerate(np.minimum(book.due[n], b.market.months)):
            entries.put(row[q, due], b.x["keep"][q], -1.0)


def later_supply(b: Build) -> None:
    """What is ordered later comes out of what the offer has left, by month of quoted arrival and in all."""
    found, book, offers = b.later, b.book, b.market.scenario.offers
    slot = np.zeros(b.market.supply.shape, dtype=bool)
    slot[found.new_offer, found.new_slot] = True
    row = b.rows.add("later supply", slot & np.isfinite(b.market.supply), lower=-np.inf, upper=b.market.supply)
    b.recourse.put(row[found.new_offer, found.new_slot], b.y["reorder"], 1.0)
    b.couple_all.put(row[book.offer, book.arrival[0]], b.x["order"], 1.0)
    b.couple_all.put(row[b.swap.offer, b.swap.arrival[0]], b.x["change"], 1.0)
    total = np.array([f.total for f in offers])
    row = b.rows.add("later total", slot.any(axis=1) & np.isfinite(total), lower=-np.inf, upper=total)
    b.recourse.put(row[found.new_offer], b.y["reorder"], 1.0)
    b.couple_all.put(row[book.offer], b.x["order"], 1.0)
    b.couple_all.put(row[b.swap.offer], b.x["change"], 1.0)


def pledged(b: Build) -> None:
    """Units that somebody else has paid for stand, or wait, until the last payment: they are not sold."""
    funds, book, months = b.funds, b.book, b.market.months
    owner, system = book.owner[funds.order], book.system[funds.order]
    pairs = np.zeros(b.y["warehouse"].shape[:2], dtype=bool)
    pairs[owner, system] = True
    row = b.rows.add("pledged", pairs[:, :, None] & np.ones(months, dtype=bool), lower=0.0)
    b.recourse.put(row, b.y["warehouse"], 1.0)
    b.recourse.put(row[b.sets.holder_owner, b.sets.holder_system], b.y["installed"], 1.0)
    term = np.array([m.term for m in b.market.scenario.finance], dtype=np.int64)[funds.which]
    for n, entries in enumerate(b.couple):
        there = outstanding(book.arrival[n, funds.order], term, months)
        entries.put(row[owner, system], b.x["financed"][:, None], -there)


def lease_end(b: Build) -> None:
    """When a lease ends its units go back from where they stand, or are kept at their used price."""
    funds, book, months = b.funds, b.book, b.market.months
    back, kept = b.y["handed back"], b.y["kept leased"]
    stock = b.rows.blocks().get("stock")
    if stock is not None:
        b.recourse.put(stock, back, 1.0)
    row = b.rows.add("lease end", kept >= 0, lower=0.0, upper=0.0)
    b.recourse.put(row, kept, 1.0)
    b.recourse.put(row[b.sets.holder_owner, b.sets.holder_system], back, 1.0)
    goes = np.array([returns(m) for m in b.market.scenario.finance], dtype=bool)[funds.which]
    term = np.array([m.term for m in b.market.scenario.finance], dtype=np.int64)[funds.which]
    owner, system = book.owner[funds.order], book.system[funds.order]
    for n, entries in enumerate(b.couple):
        when = book.arrival[n, funds.order] + term
        at = row[owner, system, np.minimum(when, months - 1)]
        entries.put(np.where(goes & (when < months), at, -1), b.x["financed"], -1.0)


def framework(b: Build) -> None:
    """What was promised in all is ordered, now or later, and not cancelled; or it is paid for."""
    offers, found = b.market.scenario.offers, b.later
    units = np.array([f.framework.units if f.framework else 0.0 for f in offers])
    row = b.rows.add("framework", b.y["not ordered"] >= 0, lower=units)
    b.recourse.put(row, b.y["not ordered"], 1.0)
    b.recourse.put(row[found.new_offer], b.y["reorder"], 1.0)
    b.recourse.put(row[b.book.offer[found.cut_order]], b.y["cut"], -1.0)
    b.couple_all.put(row[b.book.offer], b.x["order"], 1.0)
    b.couple_all.put(row[b.swap.offer], b.x["change"], 1.0)


def later_allocation(b: Build) -> None:
    """What is ordered later comes out of what the pools have left, and its owner's share of it."""
    pools, found, market = b.market.scenario.allocations, b.later, b.market
    if not pools or not len(found.new_offer):
        return
    first = b.first_rows.blocks()
    for name, after in (("allocation", (found.new_slot,)), ("allocation share", (found.new_owner, found.new_slot))):
        block = first.get(name)
        if block is None:
            continue
        upper = np.append(b.first_rows.upper, np.inf)[block]
        row = b.rows.add(f"later {name}", block >= 0, lower=-np.inf, upper=upper)
        for i, pool in enumerate(pools):
            inside = np.array([f.id in pool.offers for f in market.scenario.offers], dtype=bool)
            b.recourse.put(row[(i, *after)], b.y["reorder"],
                           np.where(inside[found.new_offer], market.chips[found.new_system], 0.0))
            for offer, owner, system, arrival, column in (
                    (b.book.offer, b.book.owner, b.book.system, b.book.arrival[0], b.x["order"]),
                    (b.swap.offer, b.swap.owner, b.swap.system, b.swap.arrival[0], b.x["change"])):
                where = (i, owner, arrival) if len(after) > 1 else (i, arrival)
                b.couple_all.put(row[where], column, np.where(inside[offer], market.chips[system], 0.0))


def stock(b: Build) -> None:
    """Units at a site: those there before, plus installed and moved in, less sold and moved out."""
    sets, installed, moved = b.sets, b.y["installed"], b.y["moved"]
    start = np.zeros(installed.shape)
    start[:, :1] = b.market.holdings[sets.holder_owner, sets.holder_site, sets.holder_system][:, None]
    row = b.rows.add("stock", installed >= 0, lower=start, upper=start)
    b.recourse.put(row, installed, 1.0)
    b.recourse.put(row, earlier(installed), -1.0)
    b.recourse.put(row, b.y["install"], -1.0)
    b.recourse.put(row, b.y["sold installed"], 1.0)
    b.recourse.put(row[sets.lane_from], moved, 1.0)
    b.recourse.put(row[sets.lane_to], arriving(b), -1.0)


def arriving(b: Build) -> Ints:
    """The moves that arrive in each month, as the columns in which they left. [V, T]"""
    away = np.array([m.months for m in b.market.scenario.moves], dtype=np.int64)
    return earlier(b.y["moved"], away[b.sets.lane_move])


def capacity(b: Build) -> None:
    """No more units in use, or handed over to a borrower, at a holder than stand there."""
    acts, installed = b.acts, b.y["installed"]
    row = b.rows.add("capacity", installed >= 0, lower=-np.inf, upper=0.0)
    b.recourse.put(row, installed, -1.0)
    b.recourse.put(row, b.y["absent"], -1.0)
    owned = (acts.place < len(installed)) & (b.grants.act_grant < 0)
    b.recourse.put(row[acts.place[owned]], acts.column[owned], 1.0)
    b.recourse.put(row[b.grants.holder], b.y["granted"], 1.0)


def facility(b: Build) -> tuple[Ints, Ints, Ints, Floats]:
    """Activities at sites: which, the site, the owner of the units, and facility power of one unit at rating. [W]"""
    sets, acts, market = b.sets, b.acts, b.market
    which = np.flatnonzero(acts.place < len(sets.holder_owner))
    holder = acts.place[which]
    site = sets.holder_site[holder]
    return which, site, sets.holder_owner[holder], market.unit_power[acts.system[which]] * market.pue[site]


def power(b: Build) -> None:
    """Units in use, at their all-in rating and times PUE, stay within the site's power."""
    limit = b.market.power / MEGAWATT
    row = b.rows.add("power", np.isfinite(limit), lower=-np.inf, upper=limit)
    b.shift(row, (b.draws.power - 1.0) * np.where(np.isfinite(limit), limit, 0.0))
    which, site, _, watts = facility(b)
    b.recourse.put(row[site], b.acts.column[which], (watts / MEGAWATT)[:, None])
    b.recourse.put(row[b.sets.holder_site], b.y["absent"], -_holder_power(b)[:, None])


def quota(b: Build) -> None:
    """The same within each owner's quota of a site."""
    limit = b.market.quota / MEGAWATT
    row = b.rows.add("quota", np.isfinite(limit), lower=-np.inf, upper=limit)
    which, site, owner, watts = facility(b)
    b.recourse.put(row[owner, site], b.acts.column[which], (watts / MEGAWATT)[:, None])
    b.recourse.put(row[b.sets.holder_owner, b.sets.holder_site], b.y["absent"], -_holder_power(b)[:, None])


def _holder_power(b: Build) -> Floats:
    """Facility power of one unit at each holder. [H] [MW]"""
    market, sets = b.market, b.sets
    return np.asarray(market.unit_power[sets.holder_system] * market.pue[sets.holder_site] / MEGAWATT)


def install_rate(b: Build) -> None:
    """No more rack positions are installed at a site in a month, from the warehouse or from another site."""
    sets, racks = b.sets, b.market.racks
    row = b.rows.add("install rate", np.isfinite(b.market.install), lower=-np.inf, upper=b.market.install)
    b.recourse.put(row[sets.holder_site], b.y["install"], racks[sets.holder_system][:, None])
    b.recourse.put(row[sets.holder_site[sets.lane_to]], arriving(b), racks[sets.lane_system][:, None])


def move(b: Build) -> None:
    """No more units leave on a move in a month than it takes."""
    most = np.array([m.most for m in b.market.scenario.moves])[:, None] * np.ones(b.market.months)
    row = b.rows.add("move", np.isfinite(most), lower=-np.inf, upper=most)
    b.recourse.put(row[b.sets.lane_move], b.y["moved"], 1.0)


def rental(b: Build) -> None:
    """No more chips rented on demand at once than the provider has."""
    rentals, market, acts = b.market.scenario.rentals, b.market, b.acts
    demand = np.array([r.term == 1 for r in rentals], dtype=bool)
    most = np.array([rental_most(market, r) for r in range(len(rentals))]).reshape(-1, market.months)
    row = b.rows.add("rental", demand[:, None] & np.isfinite(most), lower=-np.inf, upper=most)
    rented = acts.place >= len(b.sets.holder_owner)
    at = acts.place[rented] - len(b.sets.holder_owner)
    b.recourse.put(row[at], acts.column[rented], market.chips[acts.system[rented]][:, None])


def reserved(b: Build) -> None:
    """No more chips in use in reserved accelerators than the owner has under contract."""
    rentals, market, acts = b.market.scenario.rentals, b.market, b.acts
    fixed = np.array([r.term > 1 for r in rentals], dtype=bool)
    exists = fixed[:, None, None] & market.rentable[:, :, None] & np.ones(market.months, dtype=bool)
    row = b.rows.add("reserved", exists, lower=-np.inf, upper=0.0)
    rented = acts.place >= len(b.sets.holder_owner)
    at = acts.place[rented] - len(b.sets.holder_owner)
    b.recourse.put(row[at, acts.owner[rented]], acts.column[rented], market.chips[acts.system[rented]][:, None])
    column, which, month = commitments.active(b)
    block = np.array([float(r.block) for r in rentals])
    owner = commitments.contract_owner(b, column)
    b.couple_all.put(row[which, owner, month], column, -block[which])


def take_or_pay(b: Build) -> None:
    """Use of contracts beyond the share that is paid anyway is counted, and paid."""
    rentals, market, acts, beyond = b.market.scenario.rentals, b.market, b.acts, b.y["used beyond"]
    row = b.rows.add("take or pay", beyond >= 0, lower=-np.inf, upper=0.0)
    b.recourse.put(row, beyond, -1.0)
    rented = acts.place >= len(b.sets.holder_owner)
    at = acts.place[rented] - len(b.sets.holder_owner)
    b.recourse.put(row[at, acts.owner[rented]], acts.column[rented], market.chips[acts.system[rented]][:, None])
    column, which, month = commitments.active(b)
    paid = np.array([r.block * r.take for r in rentals])
    b.couple_all.put(row[which, commitments.contract_owner(b, column), month], column, -paid[which])


def channels(b: Build) -> None:
    """Every used unit is sold through some channel, and none takes more than it can."""
    through, market, sets = b.y["sold through"], b.market, b.sets
    if not len(through):
        return
    row = b.rows.add("sold through", b.y["sold warehouse"] >= 0, lower=0.0, upper=0.0)
    b.recourse.put(row[None], through, 1.0)
    b.recourse.put(row, b.y["sold warehouse"], -1.0)
    b.recourse.put(row[sets.holder_owner, sets.holder_system], b.y["sold installed"], -1.0)
    months = np.arange(market.start, market.start + market.months)
    most = np.array([c.most.at(months) for c in market.scenario.channels])
    row = b.rows.add("channel", np.isfinite(most), lower=-np.inf, upper=most)
    b.recourse.put(row[:, None, None, :], through, market.chips[None, None, :, None])


def demand(b: Build) -> None:
    """Serving and research demand is met, or counted as short. In shares of the job's peak demand."""
    short, sets = b.y["short"], b.sets
    share = b.market.demand / b.peak[:, None]
    row = b.rows.add("demand", short >= 0, lower=0.0)
    b.recourse.put(row, short, 1.0)
    use = b.acts.column[:len(sets.pair_job)]
    b.recourse.put(row[sets.pair_job], use, (sets.pair_rate / b.peak[sets.pair_job])[:, None])
    b.shift(row, share[None] * b.draws.demand / b.draws.rate[:, :, None])


def progress(b: Build) -> None:
    """A run's progress is what its gang has done so far, as a share of its tokens; it may stand longer."""
    done, sets = b.y["done"], b.sets
    row = b.rows.add("progress", done >= 0, lower=-np.inf, upper=0.0)
    b.recourse.put(row, done, 1.0)
    b.recourse.put(row, earlier(done), -1.0)
    job = sets.option_job[sets.gang_option]
    run = b.acts.column[len(sets.pair_job):]
    b.recourse.put(row[job], run, -sets.gang_share[:, None] * b.market.seconds[None, :])


def placement(b: Build) -> None:
    """A gang uses at most its chips, from the month it was placed in; fewer while racks are late.

    An option that draws on one holder is a bound on one column; one that draws on several is a row.
    """
    sets, started = b.sets, b.x["started"]
    run = b.acts.column[len(sets.pair_job):]
    units = sets.option_chips / b.market.chips[sets.option_system]
    alone = sets.alone[sets.gang_option]
    column, first = run[alone], started[sets.gang_option[alone]]
    there = column >= 0
    factor = np.broadcast_to(units[sets.gang_option[alone]][:, None], column.shape)
    b.links.append((column[there], first[there], factor[there]))
    row = b.rows.add("placement", ~sets.alone[:, None] & (started >= 0), lower=-np.inf, upper=0.0)
    b.recourse.put(row[sets.gang_option], run, 1.0)
    b.couple_all.put(row, started, -units[:, None])


def full_strength(b: Build) -> None:
    """In the base draw a gang in rentals, or drawn from several owners, uses all its units until its run is done.

    The same as `whole_gangs`, but whose units they are stays open: a synchronous run cannot use part of a gang. What is
    quoted must hold it; other draws may be late and shrink it.
    """
    sets, started = b.sets, b.x["started"]
    open_whose = ~settled(sets, b.job_owner)
    options = np.flatnonzero(open_whose)
    row = _base_only(b, "full strength", open_whose[:, None] & (started >= 0))
    b.recourse.put(row[sets.gang_option], b.acts.column[len(sets.pair_job):], 1.0)
    b.recourse.put(row, b.y["missing"][sets.option_job], 1.0)
    one = {int(option): g for g, option in reversed(list(enumerate(sets.gang_option.tolist())))}
    open_to = may_start(b.market, sets)
    for option in options.tolist():
        begin = np.flatnonzero(open_to[option])
        units = strength(b, one[option])[begin]
        ago = earlier(started[option][None])[0]
        for first, sign in ((started[option, begin], -1.0), (ago[begin], 1.0)):
            b.couple_all.put(row[option][None, :], first[:, None], sign * units)


def _base_only(b: Build, name: str, exists: Bools) -> Ints:
    """Rows that must be at least zero in the base draw and that bind nobody in the others."""
    row = b.rows.add(name, exists, lower=-NEVER, upper=np.inf)
    base = np.where(np.arange(b.draws.count) == 0, NEVER, 0.0)
    b.shift(row, base[:, None, None] * np.ones(row.shape))
    return row


def resale(b: Build) -> None:
    """No more used chips are sold in a month than the market takes."""
    sets, market = b.sets, b.market
    row = b.rows.add("resale", np.isfinite(market.resale_most), lower=-np.inf, upper=market.resale_most)
    b.recourse.put(row[None, None, :], b.y["sold warehouse"], market.chips[None, :, None])
    b.recourse.put(row[None, :], b.y["sold installed"], market.chips[sets.holder_system][:, None])


def cash(b: Build) -> None:
    """A book's money: in hand, plus what comes in, less what is paid; below zero it is overdrawn.

    This rule reads the ledgers, so it comes after every other rule and after the costs.
    """
    hand, owed = b.y["in hand"], b.y["overdraft"]
    row = b.rows.add("cash", hand >= 0, lower=0.0, upper=0.0)
    for column, sign in ((hand, 1.0), (owed, -1.0)):
        b.recourse.put(row, column, sign)
        b.recourse.put(row, earlier(column), -sign)
    for ledger, entries in ((b.ledger, b.recourse), (b.first_ledger, b.couple_all)):
        place, column, usd = ledger.cash.arrays()
        entries.put(books.purse(b.market, row, place), column, usd / b.money)
    for ledger, entries in zip(b.draw_ledger, b.couple, strict=True):
        place, column, usd = ledger.cash.arrays()
        entries.put(books.purse(b.market, row, place), column, usd / b.money)
    limited = np.where(hand >= 0, books.budgets(b.market), 0.0)
    unlimited = ~np.isfinite(limited)
    income = np.diff(np.where(unlimited, 0.0, limited), axis=1, prepend=0.0)
    b.shift(row, np.repeat(income[None] / b.money, b.draws.count, axis=0))


FIRST: tuple[Rule, ...] = (
    commitments.offer_total, commitments.supply, commitments.allocation, commitments.queue, commitments.volume_tiers,
    commitments.order_sizes, commitments.finance, commitments.open_orders, commitments.reserved_rental,
    commitments.quoted_deliveries, owners.slots, owners.quoted_slots, commitments.one_placement, commitments.gang,
    commitments.gang_rental, commitments.gang_power, commitments.required_runs, commitments.commitments,
)
RECOURSE: tuple[Rule, ...] = (
    arrivals, later_orders, later_cancelled, later_supply, later_allocation, framework, stock, lease_end, pledged,
    capacity, power, quota, install_rate, move, rental, reserved, take_or_pay, owners.loan, owners.handed_over,
    owners.lent_use, owners.sharing_limits, owners.arriving_slots, owners.hand_downs, resale, channels, demand,
    progress, placement, whole_gangs, full_strength, cash,
)
RULES: tuple[Rule, ...] = FIRST + RECOURSE
