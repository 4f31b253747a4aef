"""Rules of the first stage: what may be ordered, kept, signed and started, given what the suppliers quote."""

from __future__ import annotations

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.market.lending import sources
from exafleet.market.market import Ints
from exafleet.plan import books
from exafleet.plan.blocks import earlier
from exafleet.plan.build import MEGAWATT, Build, may_start, required
from exafleet.plan.finance import paid_out


def offer_total(b: Build) -> None:
    """No more units from an offer than it has in all."""
    total = np.array([f.total for f in b.market.scenario.offers])
    row = b.first_rows.add("offer total", np.isfinite(total), lower=-np.inf, upper=total)
    b.first.put(row[b.book.offer], b.x["order"], 1.0)
    b.first.put(row[b.swap.offer], b.x["change"], 1.0)


def supply(b: Build) -> None:
    """No more units arrive from an offer in a month, as quoted, than its supply."""
    row = b.first_rows.add("supply", np.isfinite(b.market.supply), lower=-np.inf, upper=b.market.supply)
    b.first.put(row[b.book.offer, b.book.arrival[0]], b.x["order"], 1.0)
    b.first.put(row[b.swap.offer, b.swap.arrival[0]], b.x["change"], 1.0)


def queue(b: Build) -> None:
    """No more places in the queue than are for sale."""
    places = [f.places for f in b.market.scenario.offers]
    for level in range(1, max((len(p) for p in places), default=1) + 1):
        units = np.array([p[level - 1].units if len(p) >= level else np.inf for p in places])
        name = "queue" if level == 1 else f"queue {level}"
        row = b.first_rows.add(name, np.isfinite(units), lower=-np.inf, upper=units)
        b.first.put(np.where(b.book.queued == level, row[b.book.offer], -1), b.x["order"], 1.0)


def volume_tiers(b: Build) -> None:
    """An order at a tier's price has at least the tier's units; queued and other units of a month count together."""
    tier, order, book = b.x["tier"], b.x["order"], b.book
    first = np.flatnonzero((book.tier > 0) & (book.queued == 0))
    key = {(book.offer[c], book.owner[c], book.month[c], book.tier[c]): c for c in first.tolist()}
    mate = np.array([key.get((book.offer[c], book.owner[c], book.month[c], book.tier[c]), -1)
                     for c in range(len(book.offer))], dtype=np.int64)
    least = np.array([float(b.market.scenario.offers[f].tiers[i - 1][0]) if i else 0.0
                      for f, i in zip(book.offer.tolist(), book.tier.tolist(), strict=True)])
    owner = np.where(mate >= 0, mate, np.arange(len(mate)))
    heads = (book.tier > 0) & (owner == np.arange(len(mate)))
    at_least = b.first_rows.add("tier least", heads, lower=0.0)
    at_most = b.first_rows.add("tier most", book.tier > 0, lower=-np.inf, upper=0.0)
    b.first.put(np.where(book.tier > 0, at_least[owner], -1), order, 1.0)
    b.first.put(at_least, tier, -least)
    b.first.put(at_most, order, 1.0)
    b.first.put(at_most, np.where(book.tier > 0, tier[owner], -1), -book.most)


def order_sizes(b: Build) -> None:
    """Orders of an offer, an owner and a month are none or at least the least, and whole multiples of its multiple."""
    lots = b.sizes
    least = np.array([float(f.least) for f in b.market.scenario.offers])[lots.offer]
    multiple = np.array([float(f.multiple) for f in b.market.scenario.offers])[lots.offer]
    at_least = b.first_rows.add("order least", b.x["placed"] >= 0, lower=0.0)
    at_most = b.first_rows.add("order most", b.x["placed"] >= 0, lower=-np.inf, upper=0.0)
    whole = b.first_rows.add("order multiple", b.x["lots"] >= 0, lower=0.0, upper=0.0)
    of = lots.of_order
    for row, factor in ((at_least, 1.0), (at_most, 1.0), (whole, 1.0)):
        b.first.put(np.where(of >= 0, np.append(row, -1)[of], -1), b.x["order"], factor)
    b.first.put(at_least, b.x["placed"], -least)
    b.first.put(at_most, b.x["placed"], -lots.most)
    b.first.put(whole, b.x["lots"], -multiple)


def finance(b: Build) -> None:
    """No unit is paid for by two, and no finance pays out more than it has."""
    funds, book, money = b.funds, b.book, b.market.scenario.finance
    paid = np.zeros(len(book.offer), dtype=bool)
    paid[funds.order] = True
    row = b.first_rows.add("financed units", paid, lower=-np.inf, upper=0.0)
    b.first.put(row[funds.order], b.x["financed"], 1.0)
    b.first.put(row, b.x["order"], -1.0)
    passed = b.passing.slot_order  # a unit that reaches another owner is not pledged by who ordered it
    b.first.put(np.where(passed >= 0, np.append(row, -1)[passed], -1), b.x["slot"], 1.0)
    most = np.array([m.most for m in money])
    row = b.first_rows.add("finance", np.isfinite(most), lower=-np.inf, upper=most / b.money)
    share = np.array([paid_out(m) for m in money])
    b.first.put(row[funds.which], b.x["financed"], share[funds.which] * book.price[funds.order] / b.money)


def allocation(b: Build) -> None:
    """No more accelerators arrive in a month from the offers of a pool, as quoted, than it gives all and each owner."""
    pools, market, book = b.market.scenario.allocations, b.market, b.book
    months = np.arange(market.start, market.start + market.months)
    most = np.array([p.most.at(months) for p in pools]).reshape(len(pools), market.months)
    share = np.full((len(pools), len(market.scenario.owners)), np.inf)
    for i, pool in enumerate(pools):
        for owner, part in pool.shares:
            share[i, b.index.owner[owner]] = part
    row = b.first_rows.add("allocation", np.isfinite(most), lower=-np.inf, upper=most)
    limited = np.isfinite(share)
    limit = np.where(limited[:, :, None], np.where(limited, share, 0.0)[:, :, None] * most[:, None], np.inf)
    own = b.first_rows.add("allocation share", np.isfinite(limit), lower=-np.inf, upper=limit)
    for i, pool in enumerate(pools):
        inside = np.array([f.id in pool.offers for f in market.scenario.offers], dtype=bool)
        there = np.where(inside[book.offer], 1.0, 0.0) * market.chips[book.system]
        b.first.put(row[i, book.arrival[0]], b.x["order"], there)
        b.first.put(own[i, book.owner, book.arrival[0]], b.x["order"], there)
        there = np.where(inside[b.swap.offer], 1.0, 0.0) * market.chips[b.swap.system]
        b.first.put(row[i, b.swap.arrival[0]], b.x["change"], there)
        b.first.put(own[i, b.swap.owner, b.swap.arrival[0]], b.x["change"], there)


def open_orders(b: Build) -> None:
    """Every unit on order is kept, deferred, changed or cancelled."""
    units = np.array([float(q.units) for q in b.market.scenario.open_orders])
    row = b.first_rows.add("open orders", units >= 0, lower=units, upper=units)
    b.first.put(row[:, None], b.x["keep"], 1.0)
    b.first.put(row, b.x["cancel"], 1.0)
    b.first.put(row[b.swap.order], b.x["change"], 1.0)


def active(b: Build) -> tuple[Ints, Ints, Ints]:
    """(contract column, rental, month in use) for every month a contract runs within the horizon."""
    found: list[tuple[int, int, int]] = []
    contract = b.x["contract"]
    for r, rental in enumerate(b.market.scenario.rentals):
        for o, t in np.argwhere(contract[r] >= 0).tolist():
            begin = t + rental.wait
            found += [(contract[r, o, t], r, u) for u in range(begin, min(begin + rental.term, b.market.months))]
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def reserved_rental(b: Build) -> None:
    """No more chips under contract at once than the provider rents out."""
    rentals = b.market.scenario.rentals
    reserved = np.array([r.term > 1 for r in rentals], dtype=bool)
    block = np.array([float(r.block) for r in rentals])
    row = b.first_rows.add("reserved rental", reserved[:, None] & np.isfinite(b.market.rental_most), lower=-np.inf,
                           upper=b.market.rental_most)
    column, rental, month = active(b)
    b.first.put(row[rental, month], column, block[rental])


def quoted_deliveries(b: Build) -> None:
    """What an owner has by each month if everything comes as quoted."""
    quoted, book = b.x["quoted"], b.book
    start = np.zeros(quoted.shape)
    start[:, :, 0] = b.market.holdings.sum(axis=1)
    row = b.first_rows.add("quoted deliveries", quoted >= 0, lower=start, upper=start)
    b.first.put(row, quoted, 1.0)
    b.first.put(row, earlier(quoted), -1.0)
    b.first.put(row[book.owner, book.system, book.arrival[0]], b.x["order"], -1.0)
    b.first.put(row[b.swap.owner, b.swap.system, b.swap.arrival[0]], b.x["change"], -1.0)
    for q, order in enumerate(b.market.scenario.open_orders):
        due = book.due[0, q]
        there = due < b.market.months
        o, k = b.index.owner[order.owner], b.index.system[order.system]
        b.first.put(row[o, k, due[there]], b.x["keep"][q, there], -1.0)


def one_placement(b: Build) -> None:
    """A run starts once, in one place, with one size; once started it stays started."""
    started, begun, sets = b.x["started"], b.x["begun"], b.sets
    row = b.first_rows.add("starts", started >= 0, lower=0.0, upper=may_start(b.market, sets).astype(float))
    b.first.put(row, started, 1.0)
    b.first.put(row, earlier(started), -1.0)
    one = b.first_rows.add("one placement", begun >= 0, lower=0.0, upper=0.0)
    b.first.put(one[sets.option_job], started, 1.0)
    b.first.put(one, begun, -1.0)


def running(b: Build) -> tuple[Ints, Ints]:
    """Columns whose difference is 1 while an option runs as quoted: started, and started `need` months ago. [I, T]"""
    return b.x["started"], earlier(b.x["started"], b.sets.option_need)


def gang(b: Build) -> None:
    """A gang starts when its owner, and those who lend or hand down to it, have enough of the system as quoted."""
    sets, market = b.sets, b.market
    jobs, systems = len(market.scenario.jobs), len(market.systems)
    owned = sets.option_rental < 0
    exists = np.zeros((jobs, systems, market.months), dtype=bool)
    np.logical_or.at(exists, (sets.option_job[owned], sets.option_system[owned]), b.x["started"][owned] >= 0)
    row = b.first_rows.add("gang", exists, lower=-np.inf, upper=0.0)
    units = sets.option_chips / market.chips[sets.option_system]
    b.first.put(np.where(owned[:, None], row[sets.option_job, sets.option_system], -1), b.x["started"], units[:, None])
    table = np.column_stack([b.acts.job, b.acts.system, b.acts.lender])[len(sets.pair_job):]
    drawn = np.unique(table[sets.gang_place < len(sets.holder_owner)], axis=0).reshape(-1, 3)
    at, sold = np.nonzero(sources(market, slots=False)[:, drawn[:, 2], drawn[:, 1]].T)
    drawn = np.unique(np.concatenate([drawn, np.column_stack([drawn[at, :2], sold])]), axis=0)
    job, system, lender = drawn.T
    b.first.put(row[job, system], b.x["quoted"][lender, system], -1.0)


def gang_rental(b: Build) -> None:
    """A gang in reserved accelerators holds its contracts while it runs as quoted."""
    sets, market, rentals = b.sets, b.market, b.market.scenario.rentals
    exists = np.zeros((len(market.scenario.jobs), len(rentals), market.months), dtype=bool)
    reserved = np.append(np.array([r.term > 1 for r in rentals], dtype=bool), False)[sets.option_rental]
    np.logical_or.at(exists, (sets.option_job[reserved], sets.option_rental[reserved]), b.x["started"][reserved] >= 0)
    row = b.first_rows.add("gang rental", exists, lower=-np.inf, upper=0.0)
    now, ago = running(b)
    at = row[sets.option_job[reserved], sets.option_rental[reserved]]
    b.first.put(at, now[reserved], sets.option_chips[reserved][:, None])
    b.first.put(at, ago[reserved], -sets.option_chips[reserved][:, None])
    column, rental, month = active(b)
    block = np.array([float(r.block) for r in rentals])
    owner = contract_owner(b, column)
    for j, job in enumerate(market.scenario.jobs):
        if isinstance(job, TrainJob):
            mine = owner == b.job_owner[j]
            b.first.put(row[j, rental[mine], month[mine]], column[mine], -block[rental[mine]])


def contract_owner(b: Build, column: Ints) -> Ints:
    """Owner of each contract column."""
    owner = np.full(b.x.count, -1, dtype=np.int64)
    contract = b.x["contract"]
    owner[contract[contract >= 0]] = np.argwhere(contract >= 0)[:, 1]
    return np.asarray(owner[column])


def gang_power(b: Build) -> None:
    """A required run has its site's power while it runs as quoted. (Other options are pruned instead.)"""
    sets, market = b.sets, b.market
    must = required(b.market)[sets.option_job] & (sets.option_site >= 0)
    exists = np.zeros((len(market.scenario.jobs), len(market.scenario.sites), market.months), dtype=bool)
    np.logical_or.at(exists, (sets.option_job[must], sets.option_site[must]), b.x["started"][must] >= 0)
    row = b.first_rows.add("gang power", exists, lower=-np.inf, upper=market.power / MEGAWATT)
    units = sets.option_chips / market.chips[sets.option_system]
    megawatts = units * market.unit_power[sets.option_system] * np.append(market.pue, 0.0)[sets.option_site] / MEGAWATT
    now, ago = running(b)
    at = row[sets.option_job[must], sets.option_site[must]]
    b.first.put(at, now[must], megawatts[must][:, None])
    b.first.put(at, ago[must], -megawatts[must][:, None])


def required_runs(b: Build) -> None:
    """A required run is done by the end of its due month, as quoted. One row per month from then on."""
    sets, months = b.sets, b.market.months
    due = np.array([getattr(job, "due", 0) - b.market.start for job in b.market.scenario.jobs], dtype=np.int64)
    last = np.clip(due, 0, months - 1)
    exists = required(b.market)[:, None] & (np.arange(months)[None, :] >= last[:, None])
    row = b.first_rows.add("required run", exists, lower=1.0)
    done = earlier(b.x["started"], np.maximum(sets.option_need - 1, 0))
    b.first.put(row[sets.option_job], done, 1.0)


def commitments(b: Build) -> None:
    """What is ordered and signed, paid as quoted, is covered by the budget: resale and income cannot be pledged."""
    committed, budget = b.x["committed"], books.budgets(b.market)
    row = b.first_rows.add("commitments", committed >= 0, lower=0.0, upper=0.0)
    limit = b.first_rows.add("budget", np.isfinite(budget) & (committed >= 0), lower=-np.inf,
                             upper=budget / b.money)
    b.first.put(row, committed, 1.0)
    b.first.put(row, earlier(committed), -1.0)
    b.first.put(limit, committed, 1.0)
    for ledger in (b.first_ledger, b.draw_ledger[0]):
        place, column, usd = ledger.cash.arrays()
        b.first.put(books.purse(b.market, row, place), column, -usd / b.money)
