"""What every column costs: present value by part for the objective, cash by owner and month for the books.

All amounts are USD; payments are discounted from the middle of their month. Orders that a draw brings after the end
of the horizon are paid for, and valued, at the end, so that being late there neither saves nor costs money by itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.facts.deals import Finance
from exafleet.market.market import MEAN_MONTH, Floats, Ints
from exafleet.market.trade import site_tariff, tariff, tariff_open
from exafleet.plan import books, commitments
from exafleet.plan.build import Build, Ledger
from exafleet.plan.finance import monthly_rent, paid_out, schedule
from exafleet.plan.instalments import instalments
from exafleet.plan.owners import held, passed_on
from exafleet.plan.passed import transfer_prices
from exafleet.plan.penalties import PART, charge, penalties
from exafleet.plan.rules import facility

# Of equal plans the one that hands over least is taken: just above the solver's tolerance, per unit and month.
TOKEN = 2e-6


def costs(b: Build) -> None:
    """Every cost and payment of both stages."""
    for n, ledger in enumerate(b.draw_ledger):
        _orders(b, ledger, n)
        _swaps(b, ledger, n)
        _kept(b, ledger, n)
        _passed_rest(b, ledger, n)
        _financed(b, ledger, n)
        _tariffs(b, ledger, n)
    _decided(b)
    _frameworks(b)
    _slots(b)
    _handed(b)
    _later_orders(b)
    _later_cuts(b)
    _later_open(b)
    _later_tariffs(b)
    _lease_ends(b)
    _contracts(b)
    _sales(b)
    _use(b)
    _moves(b)
    penalties(b)


def _pay(b: Build, ledger: Ledger, part: str, owner: npt.ArrayLike, month: npt.ArrayLike, column: npt.ArrayLike,
         usd: npt.ArrayLike, kind: str = "") -> None:
    """A payment in a month (T or later: at the end of the horizon, when nobody's budget is asked).

    kind   what the owner's book calls it; the part unless given
    """
    when = np.minimum(np.asarray(month), b.market.months)
    ledger.cost.put(PART[part], column, np.asarray(usd) * b.market.discount[when])
    _book(b, ledger, kind or part, owner, month, column, usd)


def _pay_drawn(b: Build, part: str, owner: npt.ArrayLike, month: npt.ArrayLike, column: Ints, usd: npt.ArrayLike,
               factor: Floats, kind: str = "") -> None:
    """A payment of the recourse at a price that differs by draw; factor over what is quoted [N, ...columns].

    Rows cannot differ by draw, so what is left of a budget is counted at the quoted price; cost and books are exact.
    """
    for ledger in (b.ledger, b.drawn):
        _pay(b, ledger, part, owner, month, column, usd, kind)
    b.costs_by_draw(column, factor)


def _charge_drawn(b: Build, part: str, column: Ints, usd: npt.ArrayLike, factor: Floats) -> None:
    """A cost of the recourse that moves no cash and differs by draw. factor [N, ...columns]"""
    for ledger in (b.ledger, b.drawn):
        charge(ledger, part, column, usd)
    b.costs_by_draw(column, factor)


def _book(b: Build, ledger: Ledger, kind: str, owner: npt.ArrayLike, month: npt.ArrayLike, column: npt.ArrayLike,
          usd: npt.ArrayLike) -> None:
    """Cash alone."""
    when, who = np.broadcast_arrays(np.asarray(month), np.asarray(owner))
    ledger.cash.put(books.place(b.market, kind, who, when), column, usd)


def _orders(b: Build, ledger: Ledger, n: int) -> None:
    """The price in instalments, the queue premium with the order, the fitting on arrival."""
    book, order, due, paid = b.book, b.x["order"], b.book.arrival[n], b.book.paid[n]
    for part in instalments(b.market, book.offer, book.month, due):
        _pay(b, ledger, "hardware", book.owner, part.month, order, book.price * paid * part.share,
             kind=part.kind)
    _pay(b, ledger, "fitting", book.owner, due, order, np.where(paid > 0, _fitting(b, book.offer), 0.0))
    _pay(b, ledger, "queue premium", book.owner, book.month, order, book.premium * paid)
    _after_the_end(b, ledger, n, np.where(paid > 0, due, 0), book.system, order)


def _fitting(b: Build, offer: Ints) -> Floats:
    return np.array([f.fitting for f in b.market.scenario.offers])[offer]


def _swaps(b: Build, ledger: Ledger, n: int) -> None:
    """A changed order pays the new price less what the old one's payments count for, first instalments first."""
    swap, change, due = b.swap, b.x["change"], b.swap.arrival[n]
    _pay(b, ledger, "order change", swap.owner, 0, change, swap.fee)
    there = b.swap.there[n]
    for e, left in enumerate(np.where(there, swap.paid, 0.0).tolist()):
        at = slice(e, e + 1)
        price = swap.price[e] * b.draws.price[n, swap.offer[e], swap.month[e]] * there[e]
        parts = instalments(b.market, swap.offer[at], swap.month[at], due[at])
        for part in sorted(parts, key=lambda p: int(p.month[0])):
            usd = price * float(part.share[0])
            counts = min(left, usd)
            left -= counts
            _pay(b, ledger, "hardware", swap.owner[at], part.month, change[at], usd - counts, kind=part.kind)
    back = np.minimum(b.draws.barred[n, swap.offer], b.market.months)  # what was paid comes back with the ban
    _pay(b, ledger, "hardware", swap.owner, back, change, np.where(there, 0.0, -swap.paid))
    _pay(b, ledger, "fitting", swap.owner, due, change, np.where(there, _fitting(b, swap.offer), 0.0))
    _after_the_end(b, ledger, n, np.where(there, due, 0), swap.system, change)


def _financed(b: Build, ledger: Ledger, n: int) -> None:
    """Money paid out on arrival, its fee, and what is paid for it by month; what is still owed at the end, then."""
    funds, book, months = b.funds, b.book, b.market.months
    for i, money in enumerate(b.market.scenario.finance):
        comes = (book.paid[n, funds.order] > 0) & (book.arrival[n, funds.order] < months)
        mine = np.flatnonzero((funds.which == i) & comes)
        order, column = funds.order[mine], b.x["financed"][mine]
        who, due = book.owner[order], book.arrival[n, order]
        usd = book.price[order] * book.paid[n, order] * paid_out(money)
        _pay(b, ledger, "paid by others", who, due, column, -usd)
        _pay(b, ledger, "finance fees", who, due, column, usd * money.fee)
        if money.kind == "loan":
            _repaid(b, ledger, money, who, due, column, usd)
        else:
            _leased(b, ledger, n, money, (who, due, column, usd), book.system[order])


def _repaid(b: Build, ledger: Ledger, money: Finance, who: Ints, due: Ints, column: Ints, usd: Floats) -> None:
    terms, months = schedule(money), b.market.months
    for t in range(money.term):
        when = due + t + 1
        inside = when < months
        _pay(b, ledger, "interest", who, when, column, np.where(inside, usd * terms.interest[t], 0.0))
        _pay(b, ledger, "repaid", who, when, column, np.where(inside, usd * terms.principal[t], 0.0))
    left = np.where(due + money.term >= months, terms.owed[np.clip(months - 1 - due, 0, money.term)], 0.0)
    _pay(b, ledger, "repaid", who, months, column, usd * left)


def _leased(b: Build, ledger: Ledger, n: int, money: Finance, funded: tuple[Ints, Ints, Ints, Floats],
            system: Ints) -> None:
    who, due, column, usd = funded
    rent, months = monthly_rent(money), b.market.months
    for t in range(money.term):
        _pay(b, ledger, "lease rent", who, due + t, column, np.where(due + t < months, usd * rent, 0.0))
    end = due + money.term
    if money.end == "buy":
        _pay(b, ledger, "lease rent", who, end, column, np.where(end < months, usd * money.buyout, 0.0))
    _after_the_end(b, ledger, n, np.where(end >= months, months, 0), system, column, units=-1.0)  # not the owner's then


def _tariffs(b: Build, ledger: Ledger, n: int) -> None:
    """Tariffs on arrival: on the price as paid."""
    market, book, swap = b.market, b.book, b.swap
    if not market.scenario.rules:
        return
    due = book.arrival[n]
    _pay(b, ledger, "tariffs", book.owner, due, b.x["order"],
         book.price * book.paid[n] * tariff(market, book.offer, due))
    _pay(b, ledger, "tariffs", swap.owner, swap.arrival[n], b.x["change"],
         swap.price * swap.there[n] * tariff(market, swap.offer, swap.arrival[n]))
    for q, order in enumerate(market.scenario.open_orders):
        when = book.due[n, q]
        _pay(b, ledger, "tariffs", b.index.owner[order.owner], when, b.x["keep"][q],
             order.price * tariff_open(market, q, when))


def _later_tariffs(b: Build) -> None:
    """Tariffs of what is ordered later, and none on what is cancelled; tariffs of installing at named sites."""
    market, found, book = b.market, b.later, b.book
    if not market.scenario.rules:
        return
    factor = b.draws.price[:, found.new_offer, found.new_month]
    _pay_drawn(b, "tariffs", found.new_owner, found.new_arrival, b.y["reorder"],
               found.new_price * tariff(market, found.new_offer, found.new_arrival), factor)
    order = found.cut_order
    _pay_drawn(b, "tariffs", book.owner[order], found.cut_arrival, b.y["cut"],
               -book.price[order] * tariff(market, book.offer[order], found.cut_arrival),
               b.draws.price[:, book.offer[order], book.month[order]])
    month = np.arange(market.months + 1)
    for q, open_order in enumerate(market.scenario.open_orders):
        owner, usd = b.index.owner[open_order.owner], open_order.price * tariff_open(market, q, month)
        after = open_order.price * tariff_open(market, q, month + 1)
        _pay(b, b.ledger, "tariffs", owner, month, b.y["open cut"][q], -usd)
        _pay(b, b.ledger, "tariffs", owner, month, b.y["open late"][q], -usd)
        _pay(b, b.ledger, "tariffs", owner, month + 1, b.y["open late"][q], after)
    sets = b.sets
    _pay(b, b.ledger, "tariffs", sets.holder_owner[:, None], np.arange(market.months), b.y["install"],
         site_tariff(market)[sets.holder_site, sets.holder_system])


def _lease_ends(b: Build) -> None:
    """Leased units that are kept at the end of the lease are bought at their used price."""
    kept = b.y["kept leased"]
    owner, system = np.arange(kept.shape[0])[:, None, None], np.arange(kept.shape[1])
    _pay_drawn(b, "lease rent", owner, np.arange(b.market.months), kept, b.market.resale[system, :-1],
               b.draws.resale[:, None, :, :-1])


def _frameworks(b: Build) -> None:
    """What was promised and not ordered costs its share of the last price, at the end of the offer."""
    market = b.market
    for f, offer in enumerate(market.scenario.offers):
        if offer.framework is not None:
            last = int(np.clip(offer.last - market.start, 0, market.months - 1))
            who = offer.framework.owner or market.scenario.owners[int(np.argmax(market.offered[f]))].id
            _pay(b, b.ledger, "take or pay", b.index.owner[who], last, b.y["not ordered"][f],
                 offer.framework.penalty * market.price[f, last])


def _after_the_end(b: Build, ledger: Ledger, n: int, due: Ints, system: Ints, column: Ints,
                   units: float = 1.0) -> None:
    """What comes after the end is worth its used price there, in draw n."""
    value = units * b.market.resale[system, -1] * b.draws.resale[n, system, -1] * b.market.discount[-1]
    charge(ledger, "residual", column, np.where(due >= b.market.months, -value, 0.0))


def _kept(b: Build, ledger: Ledger, n: int) -> None:
    """The unpaid share of open orders, when they arrive."""
    for q, order in enumerate(b.market.scenario.open_orders):
        due, keep, barred = b.book.due[n, q], b.x["keep"][q], b.book.barred[n, q]
        owner, system = b.index.owner[order.owner], np.full(len(due), b.index.system[order.system])
        _pay(b, ledger, "hardware", owner, due, keep, np.where(barred, 0.0, order.price * (1.0 - order.paid)))
        back = int(np.clip(b.draws.barred_open[n, q], 0, b.market.months))  # what was paid comes back with the ban
        _pay(b, ledger, "hardware", owner, back, keep, np.where(barred, -order.price * order.paid, 0.0))
        _after_the_end(b, ledger, n, np.where(barred, 0, due), system, keep)


def _passed_rest(b: Build, ledger: Ledger, n: int) -> None:
    """Whoever gets a unit that another ordered pays what is left to pay after the month of the order, and the fitting.

    What a ban gives back goes to who ordered.
    """
    p, book = b.passing, b.book
    mine = np.flatnonzero(p.slot_order >= 0)
    c = p.slot_order[mine]
    ends = p.slot_from[mine], p.slot_to[mine], b.x["slot"][mine]
    for part in instalments(b.market, book.offer[c], book.month[c], book.arrival[n, c]):
        usd = np.where(part.month > book.month[c], book.price[c] * book.paid[n, c] * part.share, 0.0)
        _between(b, ledger, part.kind, *ends, part.month, usd)
    fitting = np.where(book.paid[n, c] > 0, _fitting(b, book.offer[c]), 0.0)
    _between(b, ledger, "fitting", *ends, book.arrival[n, c], fitting)
    column, seller, buyer, _, when = passed_on(b, n)
    orders = b.market.scenario.open_orders
    rest = np.append([q.price * (1.0 - q.paid) * (not book.barred[n, i, 0]) for i, q in enumerate(orders)], 0.0)
    a, z = p.swap_open.T
    _between(b, ledger, "hardware", seller, buyer, column, when, rest[np.concatenate([p.slot_open, a, z])])


def _between(b: Build, ledger: Ledger, kind: str, seller: Ints, buyer: Ints, column: Ints, month: Ints,
             usd: Floats) -> None:
    """A payment that the buyer's book has and the seller's has no longer."""
    _book(b, ledger, kind, buyer, month, column, usd)
    _book(b, ledger, kind, seller, month, column, -usd)


def _paid_before(b: Build) -> Floats:
    """What was paid for one unit of each slot, and of both sides of each swap, when it passes. [S + 2 W] [USD]"""
    p, book = b.passing, b.book
    first = np.zeros(len(book.offer))
    for part in instalments(b.market, book.offer, book.month, book.arrival[0]):
        first += np.where(part.month == book.month, part.share, 0.0)
    ordered = np.append(book.price * first + book.premium, 0.0)
    opened = np.append([q.price * q.paid for q in b.market.scenario.open_orders], 0.0)
    slot = np.where(p.slot_order >= 0, ordered[p.slot_order], opened[p.slot_open])
    a, z = p.swap_open.T
    return np.concatenate([slot, opened[a], opened[z]])


def _slots(b: Build) -> None:
    """The price of a slot, with the order or now; of a swap, what each has paid so far and the price of the swap."""
    p, (column, seller, buyer, _, _) = b.passing, passed_on(b, 0)
    month = np.where(p.slot_order >= 0, np.append(b.book.month, 0)[p.slot_order], 0)
    month = np.concatenate([month, np.zeros(2 * len(p.swap_open), dtype=np.int64)])
    price, stated = transfer_prices(b.market)
    usd = _paid_before(b)
    slots = len(p.slot_transfer)
    usd[:slots] = np.where(stated[p.slot_transfer], price[p.slot_transfer, month[:slots]], usd[:slots])
    agreed = np.array([s.price for s in b.market.scenario.swaps])
    usd[slots + len(agreed):] += agreed   # the owner of `first` gets the unit of `second`, and pays for it
    _between(b, b.first_ledger, "slots", seller, buyer, column, month, usd)


def _handed(b: Build) -> None:
    """Installed units handed down: the price from book to book, moving and connecting by the buyer."""
    p, handed, month = b.passing, b.y["handed"], np.arange(b.market.months)
    seller, buyer = (b.sets.holder_owner[side][:, None] for side in (p.lane_from, p.lane_to))
    usd = transfer_prices(b.market)[0][p.lane_transfer]
    _book(b, b.ledger, "hand-downs", buyer, month, handed, usd)
    _book(b, b.ledger, "hand-downs", seller, month, handed, -usd)
    cost = np.array([t.cost for t in b.market.scenario.transfers])[p.lane_transfer][:, None]
    _pay(b, b.ledger, "moves", buyer, month, handed, cost)


def _decided(b: Build) -> None:
    """Deferring and cancelling open orders is paid in the first month; what was paid beyond the fee comes back."""
    for q, order in enumerate(b.market.scenario.open_orders):
        owner, keep = b.index.owner[order.owner], b.x["keep"][q]
        _pay(b, b.first_ledger, "deferral", owner, 0, keep, order.defer * np.arange(len(keep)))
        _pay(b, b.first_ledger, "cancellation", owner, 0, b.x["cancel"][q], order.price * (order.cancel - order.paid))


def _later_orders(b: Build) -> None:
    """What is ordered as things arrive pays as every order does."""
    found, new = b.later, b.y["reorder"]
    factor = b.draws.price[:, found.new_offer, found.new_month]
    for part in instalments(b.market, found.new_offer, found.new_month, found.new_arrival):
        _pay_drawn(b, "hardware", found.new_owner, part.month, new, found.new_price * part.share, factor, part.kind)
    _pay(b, b.ledger, "fitting", found.new_owner, found.new_arrival, new, _fitting(b, found.new_offer))


def _later_cuts(b: Build) -> None:
    """A cancelled order pays its share of the price in all, less what is paid by then, and nothing that comes after."""
    found, cut, book = b.later, b.y["cut"], b.book
    order, due = found.cut_order, found.cut_arrival
    offer, owner, price = book.offer[order], book.owner[order], book.price[order]
    lost = np.array([f.cancel for f in b.market.scenario.offers])[offer]
    factor = b.draws.price[:, offer, book.month[order]]
    for part in instalments(b.market, offer, book.month[order], due):
        paid = part.month <= found.cut_month
        lost = lost - np.where(paid, part.share, 0.0)
        _pay_drawn(b, "hardware", owner, part.month, cut, np.where(paid, 0.0, -price * part.share), factor, part.kind)
    _pay_drawn(b, "cancellation", owner, found.cut_month, cut, price * lost, factor)
    _pay(b, b.ledger, "fitting", owner, due, cut, -_fitting(b, offer))
    _after_the_end(b, b.ledger, 0, due, book.system[order], cut, units=-1.0)


def _later_open(b: Build) -> None:
    """An open order cancelled later pays as one cancelled now; one that waits pays for that, and the rest later."""
    month, cancelled = np.arange(b.market.months + 1), b.later.open_month
    for q, order in enumerate(b.market.scenario.open_orders):
        owner, system = b.index.owner[order.owner], np.full(len(month), b.index.system[order.system])
        cut, late, rest = b.y["open cut"][q], b.y["open late"][q], order.price * (1.0 - order.paid)
        _pay(b, b.ledger, "cancellation", owner, cancelled, cut, order.price * (order.cancel - order.paid))
        _pay(b, b.ledger, "hardware", owner, month, cut, -rest)
        _after_the_end(b, b.ledger, 0, month, system, cut, units=-1.0)
        _pay(b, b.ledger, "deferral", owner, month, late, order.defer)
        _pay(b, b.ledger, "hardware", owner, month, late, -rest)
        _pay(b, b.ledger, "hardware", owner, month + 1, late, rest)
        _after_the_end(b, b.ledger, 0, month + 1, system, late)


def _contracts(b: Build) -> None:
    """Reserved rent at the price of the month of signing: part of it then, the rest month by month within the horizon.

    What was paid ahead for months beyond the horizon counts as left over at the end.
    """
    column, which, month = commitments.active(b)
    contract, market, rentals = b.x["contract"], b.market, b.market.scenario.rentals
    signed = np.full((b.x.count, 3), -1, dtype=np.int64)
    signed[contract[contract >= 0]] = np.argwhere(contract >= 0)
    paid = np.array([r.block * r.take for r in rentals])
    ahead = np.array([r.prepay for r in rentals])
    when = signed[column, 2]
    usd = market.rental_price[which, when] * paid[which] * market.seconds[month] * (1.0 - ahead[which])
    at, owner, first = (signed[contract[contract >= 0], i] for i in range(3))
    wait, term = (np.array([getattr(r, name) for r in rentals], dtype=np.int64) for name in ("wait", "term"))
    inside = np.bincount(column, weights=market.seconds[month], minlength=b.x.count)[contract[contract >= 0]]
    beyond = np.maximum(first + wait[at] + term[at] - market.months, 0) * MEAN_MONTH if len(at) else np.zeros(0)
    price = market.rental_price[at, first] * paid[at] * ahead[at] if len(at) else np.zeros(0)
    for ledger, factor in ((b.first_ledger, None), *((ledger, b.draws.rent[n] - 1.0)
                                                     for n, ledger in enumerate(b.draw_ledger))):
        share = 1.0 if factor is None else factor[which, when]  # what the draw's price adds
        if factor is None or np.any(share):
            _pay(b, ledger, "reserved rent", signed[column, 1], month, column, usd * share)
        early = price * (1.0 if factor is None else factor[at, first]) if len(at) else price
        if np.any(early):
            _pay(b, ledger, "reserved rent", owner, first, contract[contract >= 0], early * (inside + beyond))
            charge(ledger, "residual", contract[contract >= 0], -early * beyond * market.discount[-1])
    _used_beyond(b)


def _used_beyond(b: Build) -> None:
    """Use of a contract beyond the share that is paid anyway."""
    market, beyond = b.market, b.y["used beyond"]
    months = np.arange(market.start, market.start + market.months)
    for r, rental in enumerate(market.scenario.rentals):
        price = rental.over.at(months) if rental.over is not None else market.rental_price[r]
        owner = np.arange(beyond.shape[1])[:, None]
        _pay_drawn(b, "reserved rent", owner, np.arange(market.months), beyond[r], price * market.seconds,
                   b.draws.rent[:, None, r, :])


def _sales(b: Build) -> None:
    """Used units sold, and what is left at the end, at the used price of the system."""
    sets, resale, month = b.sets, b.market.resale, np.arange(b.market.months)
    stock = b.y["warehouse"]
    owner, system = np.arange(stock.shape[0])[:, None], np.arange(stock.shape[1])
    factor, held = b.draws.resale, sets.holder_system
    if b.market.scenario.channels:
        share = np.array([c.share for c in b.market.scenario.channels])[:, None, None, None]
        _pay_drawn(b, "resale", owner[None, ..., None], month, b.y["sold through"], -share * resale[system, :-1],
                   factor[:, None, None, :, :-1])
    else:
        _pay_drawn(b, "resale", owner[..., None], month, b.y["sold warehouse"], -resale[system, :-1],
                   factor[:, None, :, :-1])
        _pay_drawn(b, "resale", sets.holder_owner[:, None], month, b.y["sold installed"], -resale[held, :-1],
                   factor[:, held, :-1])
    last = resale[:, -1] * b.market.discount[-1]
    if b.market.months:
        _charge_drawn(b, "residual", stock[:, :, -1], -last, factor[:, None, :, -1])
        _charge_drawn(b, "residual", b.y["installed"][:, -1], -last[held], factor[:, held, -1])


def _use(b: Build) -> None:
    """Energy and space, paid by who owns the units; on-demand rent, paid by the job's owner; loans between owners."""
    market, acts, month = b.market, b.acts, np.arange(b.market.months)
    which, site, owner, watts = facility(b)
    meter = acts.power[which] * market.pue[site]
    energy = meter[:, None] * market.energy_price[site] * market.seconds
    column = acts.column[which]
    _pay(b, b.ledger, "energy", owner[:, None], month, column, energy)
    _pay(b, b.ledger, "site rent", owner[:, None], month, column, (watts * market.rent[site])[:, None] * market.seconds)
    _on_demand(b)
    borrowed, agreement, system = held(b)
    usd = b.lending.price[agreement] * market.chips[system][:, None] * market.seconds
    _book(b, b.ledger, "loans", b.lending.borrower[agreement][:, None], month, borrowed, usd)
    _book(b, b.ledger, "loans", b.lending.lender[agreement][:, None], month, borrowed, -usd)
    charge(b.ledger, "unfairness", b.y["granted"], TOKEN * b.money)


def _on_demand(b: Build) -> None:
    market, acts, holders = b.market, b.acts, len(b.sets.holder_owner)
    rentals = market.scenario.rentals
    demand = np.array([r.term == 1 for r in rentals], dtype=bool)
    which = np.flatnonzero(acts.place >= holders)
    which = which[demand[acts.place[which] - holders]]
    at = acts.place[which] - holders
    month = np.arange(market.months)
    wait = np.array([r.wait for r in rentals], dtype=np.int64)
    signed = np.maximum(month[None, :] - wait[at][:, None], 0)
    usd = market.rental_price[at[:, None], signed] * market.chips[acts.system[which]][:, None] * market.seconds
    _pay_drawn(b, "on-demand rent", acts.owner[which][:, None], month, acts.column[which], usd,
               b.draws.rent[:, at[:, None], signed])


def _moves(b: Build) -> None:
    cost = np.array([m.cost for m in b.market.scenario.moves])[b.sets.lane_move]
    _pay(b, b.ledger, "moves", b.sets.lane_owner[:, None], np.arange(b.market.months), b.y["moved"], cost[:, None])
