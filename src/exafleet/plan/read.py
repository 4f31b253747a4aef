"""From a solution back to words: a Plan of whole orders and of what follows from them in each draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from exafleet.facts.deals import Finance
from exafleet.market.market import Floats, Ints
from exafleet.plan.changes import changes
from exafleet.plan.fair import useful_work
from exafleet.plan.finance import paid_out, schedule
from exafleet.plan.fixed import every_draw
from exafleet.plan.highs import Linear, Solver
from exafleet.plan.later import KINDS
from exafleet.plan.lean import Range, lean
from exafleet.plan.order import alike, signature
from exafleet.plan.owners import held, passed_on
from exafleet.plan.plan import BOOKS, PARTS, Contract, Fair, Funded, Kept, Order, Placement, Plan, Slot
from exafleet.plan.prices import prices
from exafleet.plan.recourse import Recourse
from exafleet.plan.rules import facility
from exafleet.plan.space import space
from exafleet.plan.twostage import TwoStage
from exafleet.plan.writtenout import Answer
from exafleet.terms.parts import Parts
from exafleet.terms.said import said

DONE = 1.0 - 1e-6
ZERO = 1e-7   # smaller amounts are the solver's tolerance, not decisions


def read(p: TwoStage, answer: Answer, method: str, fair: Fair) -> Plan:
    """The plan of an answer. Recourse is solved once more at the whole decisions, so that prices are theirs."""
    x = np.clip(np.where(p.whole, np.round(answer.x), answer.x), p.x_lower, p.x_upper)
    y, duals, slopes = recourse(p, x, answer.recourse, answer.y)
    y[:1] = _whole_base(p, x, y[:1])
    cost = _cost(p, x, y)
    per_draw = cost.sum(axis=1) / p.build.money
    value = p.risk(per_draw)
    bound = min(answer.bound, value)
    money, sets = p.build.money, p.build.sets
    return Plan(
        market=p.build.market, draws=p.build.draws, status=answer.status, objective=value * money, bound=bound * money,
        gap=(value - bound) / abs(value) if value else 0.0, cost=Parts(names=PARTS, values=cost, unit="USD"),
        expected=Parts(names=PARTS, values=p.probability @ cost, unit="USD"), orders=_orders(p, x), kept=_kept(p, x),
        contracts=_contracts(p, x), slots=_slots(p, x), lane_transfer=p.build.passing.lane_transfer,
        lane_ends=np.column_stack([p.build.passing.lane_from, p.build.passing.lane_to]), placements=_placements(p, x),
        holder_owner=sets.holder_owner, holder_site=sets.holder_site, holder_system=sets.holder_system,
        lane_move=sets.lane_move, lane_owner=sets.lane_owner, lane_system=sets.lane_system,
        **_recourse_arrays(p, x, y), **_books(p, x, y), useful=useful_work(p.build, y), fair=fair,
        changes=changes(p, y), funded=funded(p, x),
        **prices(p, x, per_draw, duals, slopes),
        notes=(*sets.notes, *_unfinished(p, x, y), *p.build.market.notes), method=method, rounds=answer.rounds,
        rows=answer.rows, columns=answer.columns, first=x)


def settled(p: TwoStage, x: Floats) -> tuple[Floats, Floats]:
    """Whole decisions, and what follows from them in each draw. [X], [N, Y]"""
    x = np.clip(np.where(p.whole, np.round(x), x), p.x_lower, p.x_upper)
    return x, recourse(p, x)[0]


# Up to this many draws are solved again for prices; of more, the best duals that the decomposition found are taken.
FEW = 8
# And up to this many columns in full: what cannot matter at these decisions may matter for one more of something.
SMALL = 20_000


def recourse(p: TwoStage, x: Floats, known: Recourse | None = None,
             solved: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """y [N, Y], row duals [N, M2] and slopes [N, X] of every draw; from what was learned and solved, if given."""
    y, duals, slopes = np.zeros((p.draws, len(p.y_lower))), np.zeros(p.lower.shape), np.zeros((p.draws, len(x)))
    if not len(p.y_lower):
        return y, duals, slopes
    if p.draws <= FEW and len(p.y_lower) <= SMALL:
        return _in_full(p, x)
    learned = known or Recourse(p, space(p))
    z = learned.s.gather @ x
    if known is None or p.draws <= FEW:
        for n in range(p.draws):
            y[n], duals[n], slopes[n] = learned.point(n, z)
        return y, duals, slopes
    for n, best in enumerate(learned.values(z).argmax(axis=0).tolist()):
        duals[n], slopes[n] = learned.prices(n, learned.pool[best])
    y = every_draw(p, x, alike(signature(p.build.draws))) if solved is None else solved.copy()
    return y, duals, slopes


def _in_full(p: TwoStage, x: Floats) -> tuple[Floats, Floats, Floats]:
    """y, row duals and slopes of every draw, with every row and column of the recourse."""
    y, duals, slopes = np.zeros((p.draws, len(p.y_lower))), np.zeros(p.lower.shape), np.zeros((p.draws, len(x)))
    solver: Solver | None = None
    for n in range(p.draws):
        taken, (least, most) = p.couple[n] @ x, p.bounds(n, x)
        if solver is None:
            solver = Solver(Linear(rows=p.recourse, lower=p.lower[n] - taken, upper=p.upper[n] - taken, v_lower=least,
                                   v_upper=most, cost=p.cost2[n]), solver="simplex")
        else:
            solver.change_rows(p.lower[n] - taken, p.upper[n] - taken)
            solver.change_columns(least, most)
            solver.change_cost(p.cost2[n])
        found = solver.solve()
        if found.status != "optimal":
            raise RuntimeError(f"the recourse of draw {n} ended as {found.status}; it should always be feasible")
        y[n], duals[n] = found.v, found.row_dual
        slopes[n] = -(p.couple[n].T @ found.row_dual)
        pressed = np.minimum(found.v_dual[p.link_column], 0.0)
        if n == 0 and len(p.fixed_column):
            pressed = np.where(np.isin(p.link_column, p.fixed_column), 0.0, pressed)
            slopes[n] += p.fixed_use.T @ found.v_dual[p.fixed_column]
        slopes[n] += np.bincount(p.link_first, weights=p.link_factor * pressed, minlength=len(x))
    return y, duals, slopes


# Units that stand, come, go or are sold are whole in the base draw: it is what people will carry out.
WHOLE = ("install", "installed", "sold installed", "sold warehouse", "moved", "handed", *KINDS)


def _whole_base(p: TwoStage, x: Floats, y: Floats) -> Floats:
    """The base draw's recourse again with whole units; as it was where that cannot be solved. y [0 or 1, Y]"""
    if not y.size:
        return y
    whole = np.zeros(len(p.y_lower), dtype=bool)
    for name in WHOLE:
        block = p.build.y[name]
        whole[block[block >= 0]] = True
    taken = p.couple[0] @ x
    low, high, (lower, upper) = p.lower[0] - taken, p.upper[0] - taken, p.bounds(0, x)
    kept = lean(p.recourse, Range(low=low, high=high, low_most=low, high_least=high), lower, upper)
    rows, columns = np.flatnonzero(kept.rows), np.flatnonzero(kept.columns)
    found = Solver(Linear(rows=p.recourse[rows][:, columns], lower=low[rows], upper=high[rows], v_lower=lower[columns],
                          v_upper=upper[columns], cost=p.cost2[0][columns], whole=whole[columns]),
                   mip_rel_gap=1e-4, mip_max_nodes=200).solve()
    if not len(found.v):
        return y
    made = lower.copy()
    made[columns] = np.where(whole[columns], np.round(found.v), found.v)
    return made[None, :]


def _cost(p: TwoStage, x: Floats, y: Floats) -> Floats:
    """Present value by part. [N, P] [USD]"""
    cost = np.array([p.spent(n, x, y[n]) for n in range(p.draws)])
    return np.where(np.abs(cost) < ZERO * p.build.money, 0.0, cost)


def funded(p: TwoStage, x: Floats) -> tuple[Funded, ...]:
    """What loans and leases pay for, by finance, owner and offer."""
    b = p.build
    funds, book, scenario = b.funds, b.book, b.market.scenario
    units = take(b.x["financed"], x)
    found: dict[tuple[int, int, int], list[int]] = {}
    for z in np.flatnonzero(units > ZERO).tolist():
        c = funds.order[z]
        found.setdefault((int(funds.which[z]), int(book.owner[c]), int(book.offer[c])), []).append(z)
    return tuple(_funded(p, units, scenario.finance[i], scenario.owners[o].id, scenario.offers[f].id, np.array(z))
                 for (i, o, f), z in sorted(found.items()))


def _funded(p: TwoStage, units: Floats, money: Finance, owner: str, offer: str, which: Ints) -> Funded:
    book, months, order = p.build.book, p.build.market.months, p.build.funds.order[which]
    paid = units[which] * book.price[order] * paid_out(money) * book.paid[:, order] * (book.arrival[:, order] < months)
    owed = np.zeros((p.draws, months))
    since = np.arange(months) - book.arrival[:, order][:, :, None]
    if money.kind == "loan":
        share = np.append(schedule(money).owed, 0.0)[np.clip(since, -1, money.term + 1) % (money.term + 2)]
        owed = (paid[:, :, None] * np.where(since >= 0, share, 0.0)).sum(axis=1)
    return Funded(finance=money.id, kind=money.kind, owner=owner, offer=offer, units=float(units[which].sum()),
                  paid=paid.sum(axis=1), owed=owed)


def _books(p: TwoStage, x: Floats, y: Floats) -> dict[str, Any]:
    market = p.build.market
    paid = np.array([p.paid(n, x, y[n]) for n in range(p.draws)])
    paid = paid.reshape(p.draws, len(BOOKS), len(market.scenario.owners), market.months + 1)
    return {"books": paid, "cash": paid[..., :market.months].sum(axis=1)}


def take(block: Ints, values: Floats) -> Floats:
    """Values of a block's columns, 0 where a column does not exist. values [..., columns] -> [..., block]"""
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
    found = padded[..., block]
    return np.where(np.abs(found) < ZERO, 0.0, found)


def pool(values: Floats, group: Ints, count: int) -> Floats:
    """Sums of the rows of each group. values [N, X, T], group [X] -> [N, count, T]"""
    total = np.zeros((count, len(values), values.shape[2]))
    np.add.at(total, group, values.swapaxes(0, 1))
    return total.swapaxes(0, 1)


def _orders(p: TwoStage, x: Floats) -> tuple[Order, ...]:
    book, market = p.build.book, p.build.market
    units = take(p.build.x["order"], x)
    return tuple(
        Order(offer=market.scenario.offers[book.offer[c]].id, owner=market.scenario.owners[book.owner[c]].id,
              system=market.systems[book.system[c]], month=int(book.month[c]), units=int(units[c]),
              tier=int(book.tier[c]), queued=bool(book.queued[c]), place=int(book.queued[c]),
              price=float(book.price[c] + book.premium[c]), arrival=int(book.arrival[0, c]))
        for c in sorted(np.flatnonzero(units > 0.5), key=lambda c: (book.month[c], c)))


def _kept(p: TwoStage, x: Floats) -> tuple[Kept, ...]:
    keep, cancel, due = take(p.build.x["keep"], x), take(p.build.x["cancel"], x), p.build.book.due[0]
    swap, offers = p.build.swap, p.build.market.scenario.offers
    changed = take(p.build.x["change"], x)
    return tuple(
        Kept(order=order.id, owner=order.owner, system=order.system, cancelled=int(cancel[q]),
             arrivals=tuple((int(due[q, d]), int(keep[q, d]), int(d)) for d in np.flatnonzero(keep[q] > 0.5)),
             changed=tuple((offers[swap.offer[e]].id, int(changed[e]), int(swap.arrival[0, e]))
                           for e in np.flatnonzero((changed > 0.5) & (swap.order == q))))
        for q, order in enumerate(p.build.market.scenario.open_orders))


def _slots(p: TwoStage, x: Floats) -> tuple[Slot, ...]:
    """Units passed on before they arrive; a swap is two of them."""
    b, scenario = p.build, p.build.market.scenario
    column, seller, buyer, system, arrival = passed_on(b, 0)
    units, passing, owners = take(column, x), b.passing, scenario.owners
    ids = [scenario.transfers[m].id for m in passing.slot_transfer] + [s.id for s in scenario.swaps] * 2
    orders = [scenario.offers[b.book.offer[c]].id if c >= 0 else scenario.open_orders[q].id
              for c, q in zip(passing.slot_order, passing.slot_open, strict=True)]
    orders += [scenario.open_orders[q].id for q in passing.swap_open.T.ravel()]
    return tuple(Slot(by=ids[i], order=orders[i], seller=owners[seller[i]].id, buyer=owners[buyer[i]].id,
                      system=p.build.market.systems[system[i]], units=round(float(units[i])), arrival=int(arrival[i]))
                 for i in np.flatnonzero(units > 0.5))


def _contracts(p: TwoStage, x: Floats) -> tuple[Contract, ...]:
    market, signed = p.build.market, take(p.build.x["contract"], x)
    found = []
    for r, o, t in np.argwhere(signed > 0.5).tolist():
        rental, blocks = market.scenario.rentals[r], int(signed[r, o, t])
        found.append(Contract(
            rental=rental.id, owner=market.scenario.owners[o].id, system=rental.system, signed=t, blocks=blocks,
            chips=blocks * rental.block, first=t + rental.wait, price=float(market.rental_price[r, t]),
            last=min(t + rental.wait + rental.term, market.months) - 1))
    return tuple(sorted(found, key=lambda c: (c.signed, c.rental, c.owner)))


def _placements(p: TwoStage, x: Floats) -> tuple[Placement, ...]:
    sets, market = p.build.sets, p.build.market
    started = take(p.build.x["started"], x)
    found = []
    for i in np.flatnonzero(started[:, -1] > 0.5) if started.size else ():
        job, site, rental = market.scenario.jobs[sets.option_job[i]], sets.option_site[i], sets.option_rental[i]
        place = market.scenario.sites[site].id if site >= 0 else market.scenario.rentals[rental].id
        found.append(Placement(
            job=job.id, owner=job.owner, place=place, rented=bool(site < 0),
            system=market.systems[sets.option_system[i]], chips=int(sets.option_chips[i]),
            start=int(np.argmax(started[i] > 0.5)), months=int(sets.option_need[i])))
    return tuple(found)


def _recourse_arrays(p: TwoStage, x: Floats, y: Floats) -> dict[str, Any]:
    b = p.build
    market, sets, acts = b.market, b.sets, b.acts
    n, months = p.draws, market.months
    places = len(sets.holder_owner) + len(market.scenario.rentals)
    in_use = take(acts.column, y)
    chips = in_use * market.chips[acts.system][:, None]
    jobs = len(market.scenario.jobs)
    use = pool(chips, acts.job * places + acts.place, jobs * places).reshape(n, jobs, places, months)
    short = take(b.y["short"], y * p.scale) * b.peak[:, None]
    return {
        "arrivals": _arrivals(p, x, y), "warehouse": take(b.y["warehouse"], y), "install": take(b.y["install"], y),
        "installed": take(b.y["installed"], y), "sold_installed": take(b.y["sold installed"], y),
        "sold_warehouse": take(b.y["sold warehouse"], y), "moved": take(b.y["moved"], y), "use": use,
        "short": short, "served": np.maximum(market.demand * b.draws.demand - short, 0.0) * (market.demand > 0),
        **_runs(p, y), **_rented(p, x, y, chips), **_meter(p, in_use),
    }


def _arrivals(p: TwoStage, x: Floats, y: Floats) -> Floats:
    """Arrivals are what the rows of the rule `arrivals` take from first stage and later orders. [N, O, K, T]"""
    stock = p.build.y["warehouse"]
    row = p.build.rows.blocks().get("arrivals", np.full(stock.shape, -1, dtype=np.int64))
    later = np.zeros(y.shape)
    for block in (p.build.y[kind] for kind in KINDS):
        later[:, block[block >= 0]] = y[:, block[block >= 0]]
    return np.array([take(row, -(p.couple[n] @ x + p.recourse @ later[n])) for n in range(p.draws)])


def _runs(p: TwoStage, y: Floats) -> dict[str, Any]:
    progress = np.minimum(take(p.build.y["done"], y * p.scale), 1.0)
    ends = progress >= DONE
    finish = np.where(ends.any(axis=2), ends.argmax(axis=2), -1)
    return {"progress": progress, "finish": finish.astype(np.int64)}


def _rented(p: TwoStage, x: Floats, y: Floats, chips: Floats) -> dict[str, Floats]:
    """On-demand chips by owner, contracts by owner, chips lent and gone back, units handed down."""
    b, acts, market = p.build, p.build.acts, p.build.market
    rentals, owners = market.scenario.rentals, market.scenario.owners
    which = np.flatnonzero(acts.place >= len(b.sets.holder_owner))
    at = acts.place[which] - len(b.sets.holder_owner)
    demand = np.array([r.term == 1 for r in rentals], dtype=bool)
    which, at = which[demand[at]], at[demand[at]]
    rented = pool(chips[:, which], at * len(owners) + acts.owner[which], len(rentals) * len(owners))
    rented = rented.reshape(p.draws, len(rentals), len(owners), market.months)
    agreements = len(b.lending.lender)
    borrowed, agreement, system = held(b)
    loans = pool(take(borrowed, y) * market.chips[system][:, None], agreement, agreements)
    back = take(b.y["back"], y) * market.chips[b.sets.holder_system[b.grants.holder]][:, None]
    reserved = np.zeros((len(rentals), len(owners), market.months))
    position = {o.id: i for i, o in enumerate(owners)}
    for c in _contracts(p, x):
        r = next(i for i, rental in enumerate(rentals) if rental.id == c.rental)
        reserved[r, position[c.owner], c.first:c.last + 1] += c.chips
    return {"rented": rented, "lent": loans, "reserved": reserved,
            "reclaimed": pool(back, b.grants.agreement, agreements), "handed": take(b.y["handed"], y)}


def _meter(p: TwoStage, in_use: Floats) -> dict[str, Floats]:
    """Facility power at rating, and energy, by site. [N, S, T]"""
    b, market = p.build, p.build.market
    which, site, _, watts = facility(b)
    meter = (b.acts.power[which] * market.pue[site])[:, None] * market.seconds
    sites = len(market.scenario.sites)
    return {"power": pool(in_use[:, which] * watts[:, None], site, sites),
            "energy": pool(in_use[:, which] * meter, site, sites)}


def _unfinished(p: TwoStage, x: Floats, y: Floats) -> tuple[str, ...]:
    """Runs that could run but are not placed, or do not finish as quoted."""
    finish, placed = _runs(p, y)["finish"][0], {place.job: place for place in _placements(p, x)}
    able = set(p.build.sets.option_job.tolist())
    notes = []
    for j in sorted(able):
        job = p.build.market.scenario.jobs[j].id
        if job not in placed:
            notes.append(said("note.not worth", job=job))
        elif finish[j] < 0:
            notes.append(said("note.not done", job=job, start=p.build.market.start + placed[job].start))
    return tuple(notes)


