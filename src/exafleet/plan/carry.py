"""What was decided and lived before, laid into a new programme over the same months.

A plan that is made again as time passes keeps its first month and its horizon. What lies behind is not restated as
new holdings and new orders, where every kind of state would need its own translation, but fixed column by column:
orders, contracts and runs as they were decided, racks, use, progress and cash as they were lived. Units in the hall,
in the warehouse, on the road or on order, rent still running, half a training run and money in hand all follow from it.

Columns are known by name (`first_names`, `second_names`), so that programmes built from different knowledge, with
other offers, other systems and other ways to place a run, still mean the same by the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Ints, Market
from exafleet.plan.blocks import Members
from exafleet.plan.book import Book
from exafleet.plan.build import Build, build
from exafleet.plan.money import costs
from exafleet.plan.policies import Wish
from exafleet.plan.revised import Revision, revision_costs, revisions, with_revisions
from exafleet.plan.rules import RULES, Rule
from exafleet.plan.sets import Index, Sets, running, spots_of
from exafleet.plan.twostage import TwoStage, assemble

Key = tuple[str | int, ...]
Values = Mapping[Key, float]
ZERO = 1e-7    # smaller amounts are the solver's tolerance
# First-stage columns that only add up others: nothing is decided by them, so nothing is carried.
DERIVED = ("quoted", "committed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """The first `months` months as decided and lived, by name, in plain units (units, chips, USD, shares of a run).

    first    first-stage columns of those months
    second   recourse columns of those months
    came     month in which an order arrived, by (offer, month of order, queued); those that did not are not in it
    due      the same for open orders, by (order, months deferred)
    revised  orders revised so far, by name; what their new units count from and when they came, where that is known
    """

    months: int = 0
    first: Values = field(default_factory=dict)
    second: Values = field(default_factory=dict)
    came: Mapping[tuple[str, int, int], int] = field(default_factory=dict)
    due: Mapping[tuple[str, int], int] = field(default_factory=dict)
    revised: Mapping[Key, Revision] = field(default_factory=dict)

    def placements(self) -> tuple[Placed, ...]:
        """Runs that have begun."""
        starts: dict[Key, int] = {}
        for key, value in self.first.items():
            if key[0] == "started" and value > 0.5:
                starts[key[1:5]] = min(starts.get(key[1:5], int(key[5])), int(key[5]))
        return tuple(Placed(str(j), str(p), str(k), int(c), t) for (j, p, k, c), t in sorted(starts.items()))


@dataclass(frozen=True, slots=True, order=True)
class Placed:
    """A run as it was placed: at a site or in a rental, on this many chips, from this month index."""

    job: str
    place: str
    system: str
    chips: int
    start: int


@dataclass(frozen=True, slots=True)
class Named:
    """Columns by name: key, month index (-1: follows from other columns), and plain units per solver unit."""

    keys: tuple[Key, ...]
    month: Ints
    unit: Floats

    def vector(self, values: Values) -> Floats:
        """Values by name as a vector in solver units; what has no column is left out."""
        return np.array([values.get(key, 0.0) for key in self.keys]) / self.unit

    def values(self, vector: Floats, months: range) -> dict[Key, float]:
        """The vector's non-zero values in some months, by name, in plain units."""
        there = (self.month >= months.start) & (self.month < months.stop)
        plain = vector * self.unit
        return {self.keys[c]: float(plain[c]) for c in np.flatnonzero(there & (np.abs(plain) > ZERO))}


# ------------------------------------------------------------------------------------------------------- names
def first_names(b: Build) -> Named:
    """Names of the first-stage columns."""
    return _named(b.x, b, _first_labels(b))


def second_names(b: Build) -> Named:
    """Names of the recourse columns."""
    return _named(b.y, b, _second_labels(b))


Labels = Mapping[str, tuple[list[Key], Floats | float]]


def wished(p: TwoStage, wishes: Iterable[Wish]) -> Floats:
    """First-stage columns in which these orders, at the plain price, and no others are placed, and no open order is
    changed into one; NaN elsewhere. [X]
    """
    names = first_names(p.build)
    wanted: Values = {("order", w.offer, w.owner, w.month, 0, 0, 0): float(w.units) for w in wishes}
    orders = np.array([key[:1] in (("order",), ("tier",)) or key[:2] == ("revised", "order") for key in names.keys],
                      dtype=bool)
    return np.where(orders, np.minimum(names.vector(wanted), p.x_upper), np.nan)


def _named(members: Members, b: Build, labels: Labels) -> Named:
    keys: list[Key] = [()] * members.count
    month, unit = np.full(members.count, -1, dtype=np.int64), np.ones(members.count)
    for name, block in members.blocks().items():
        if name in DERIVED or not (block >= 0).any():
            continue
        if name not in labels:
            raise RuntimeError(f"no names for the columns {name!r}: nothing could be carried over in them")
        rows, scale = labels[name]
        when = _months(name, block, b)
        flat = block.reshape(len(rows), -1) if rows else block.reshape(0, 0)
        width = flat.shape[1] if rows else 0
        times = when.reshape(flat.shape)
        factor = np.broadcast_to(np.asarray(scale, dtype=np.float64).reshape(-1, 1), flat.shape)
        for i, row in enumerate(rows):
            for t in range(width):
                c = flat[i, t]
                if c >= 0:
                    keys[c] = (name, *row, t)
        there = flat >= 0
        month[flat[there]], unit[flat[there]] = times[there], factor[there]
    return Named(tuple(keys), month, unit)


def _months(name: str, block: Ints, b: Build) -> Ints:
    """Month index each member belongs to, in the block's shape; what has none counts in the last one."""
    if name in ("order", "tier"):
        return b.book.month
    if name in ("placed", "lots"):
        return _groups(b)[:, 2]
    if block.ndim and block.shape[-1] == b.market.months and name not in ("keep",):
        return np.broadcast_to(np.arange(b.market.months), block.shape)
    if name == "revised" and b.revised is not None:
        return b.revised.month
    if name == "slot":
        return np.where(b.passing.slot_order >= 0, np.append(b.book.month, 0)[b.passing.slot_order], 0)
    decided = name in ("keep", "cancel", "change", "swap")
    return np.full(block.shape, 0 if decided else b.market.months - 1, dtype=np.int64)


def _groups(b: Build) -> Ints:
    """Offer, owner and month of each group of orders whose size is bound. [G, 3]"""
    groups = np.zeros((len(b.sizes.offer), 3), dtype=np.int64)
    mine = b.sizes.of_order >= 0
    groups[b.sizes.of_order[mine]] = np.column_stack([b.book.offer, b.book.owner, b.book.month])[mine]
    return groups


def _first_labels(b: Build) -> Labels:
    scenario, book, market = b.market.scenario, b.book, b.market
    owners, offers = [o.id for o in scenario.owners], [f.id for f in scenario.offers]
    orders: list[Key] = [(offers[f], owners[o], int(t), int(i), int(q)) for f, o, t, i, q in zip(
        book.offer, book.owner, book.month, book.tier, book.queued, strict=True)]
    open_orders: list[Key] = [(q.id,) for q in scenario.open_orders]
    p, transfers = b.passing, [t.id for t in scenario.transfers]
    slots: list[Key] = [(transfers[t], *(orders[c] if c >= 0 else open_orders[q])) for t, c, q in zip(
        p.slot_transfer, p.slot_order, p.slot_open, strict=True)]
    groups: list[Key] = [(offers[f], owners[o], int(t)) for f, o, t in _groups(b)]
    changes: list[Key] = [(scenario.open_orders[q].id, offers[f], int(i)) for q, f, i in zip(
        b.swap.order, b.swap.offer, b.swap.option, strict=True)]
    financed: list[Key] = [(scenario.finance[i].id, *orders[c]) for i, c in zip(
        b.funds.which, b.funds.order, strict=True)]
    return {"revised": (list(b.revised.names) if b.revised is not None else [], 1.0),
            "change": (changes, 1.0), "financed": (financed, 1.0), "slot": (slots, 1.0),
            "swap": ([(s.id,) for s in scenario.swaps], 1.0),
            "placed": (groups, 1.0), "lots": (groups, 1.0),
            "order": (orders, 1.0), "tier": (orders, 1.0), "keep": (open_orders, 1.0), "cancel": (open_orders, 1.0),
            "contract": ([(r.id, o) for r in scenario.rentals for o in owners], 1.0),
            "started": ([_option(b, i) for i in range(len(b.sets.option_job))], 1.0),
            "begun": ([(j.id,) for j in market.scenario.jobs], 1.0)}


def _option(b: Build, i: int) -> Key:
    sets, scenario = b.sets, b.market.scenario
    site, rental = int(sets.option_site[i]), int(sets.option_rental[i])
    return (scenario.jobs[sets.option_job[i]].id, scenario.sites[site].id if site >= 0 else scenario.rentals[rental].id,
            b.market.systems[sets.option_system[i]], int(sets.option_chips[i]))


def _second_labels(b: Build) -> Labels:
    sets, scenario, systems = b.sets, b.market.scenario, b.market.systems
    owners, sites, jobs = ([x.id for x in many] for many in (scenario.owners, scenario.sites, scenario.jobs))
    holders: list[Key] = [(owners[o], sites[s], systems[k]) for o, s, k in zip(
        sets.holder_owner, sets.holder_site, sets.holder_system, strict=True)]
    places: list[Key] = [*holders, *((r.id,) for r in scenario.rentals)]
    stock: list[Key] = [(o, k) for o in owners for k in systems]
    lanes: list[Key] = [(scenario.moves[m].start, scenario.moves[m].end, owners[o], systems[k]) for m, o, k in zip(
        sets.lane_move, sets.lane_owner, sets.lane_system, strict=True)]
    pairs: list[Key] = [(jobs[j], *places[a], systems[k]) for j, a, k in zip(
        sets.pair_job, sets.pair_place, sets.pair_system, strict=True)]
    gangs: list[Key] = [(*_option(b, int(i)), *places[a]) for i, a in zip(
        sets.gang_option, sets.gang_place, strict=True)]
    by_job: list[Key] = [(j,) for j in jobs]
    handed: list[Key] = [(scenario.transfers[t].id, *holders[a], *holders[z]) for t, a, z in zip(
        b.passing.lane_transfer, b.passing.lane_from, b.passing.lane_to, strict=True)]
    by_owner: list[Key] = [(o,) for o in owners]
    rented: list[Key] = [(r.id, o) for r in scenario.rentals for o in owners]
    lent: list[Key] = [(owners[b.lending.borrower[g]], *holders[h]) for g, h in zip(
        b.grants.agreement, b.grants.holder, strict=True)]
    return {"handed": (handed, 1.0), "granted": (lent, 1.0), "given": (lent, 1.0), "back": (lent, 1.0),
            "sold through": ([(c.id, *key) for c in scenario.channels for key in stock], 1.0),
            "used beyond": (rented, 1.0), "absent": (holders, 1.0),
            "warehouse": (stock, 1.0), "sold warehouse": (stock, 1.0), "install": (holders, 1.0),
            "installed": (holders, 1.0), "sold installed": (holders, 1.0), "moved": (lanes, 1.0), "use": (pairs, 1.0),
            "run": (gangs, 1.0), "short": (by_job, b.peak), "done": (by_job, 1.0), "missing": (by_job, 1.0),
            "in hand": (by_owner, b.money), "overdraft": (by_owner, b.money),
            "not ordered": ([(f.id,) for f in scenario.offers], 1.0)}


# --------------------------------------------------------------------------------------------------- programmes
def programme(market: Market, draws: Draws, sets: Sets, *, rules: Iterable[Rule] = RULES,
              arrival: Ints | None = None, due: Ints | None = None, revised: Sequence[Revision] = ()) -> TwoStage:
    """The programme of a market, with other months of arrival than the draws' where these are given.

    arrival   of each possible order in each draw, in the order of the book        [N, C]
    due       of each open order by months deferred                                [N, Q, D]
    revised   ways to revise orders; where there is any, their rule comes on top of the others
    """
    b = build(market, draws, sets)
    changes: dict[str, Any] = {name: value for name, value in (("arrival", arrival), ("due", due)) if value is not None}
    b = with_revisions(replace(b, book=replace(b.book, **changes)), revised)
    costs(b)
    revision_costs(b)
    for rule in rules:
        rule(b)
    revisions(b)
    return assemble(b)


def as_it_came(market: Market, book: Book, lived: Lived) -> tuple[Ints, Ints]:
    """Months of arrival of a book, with what has come, and what has not come yet not before now. [N, C], [N, Q, D]"""
    now, offers = lived.months, [f.id for f in market.scenario.offers]
    arrival, due = book.arrival.copy(), book.due.copy()
    for c in np.flatnonzero(book.month < now):
        key = (offers[book.offer[c]], int(book.month[c]), int(book.queued[c]))
        arrival[:, c] = lived.came[key] if key in lived.came else np.maximum(arrival[:, c], now)
    for q, order in enumerate(market.scenario.open_orders if now else ()):
        for d in range(due.shape[2]):
            known = lived.due.get((order.id, d))
            due[:, q, d] = known if known is not None else np.maximum(due[:, q, d], now)
    return arrival, due


def carried(p: TwoStage, lived: Lived) -> TwoStage:
    """The programme with the months behind it fixed: their columns to what was lived, their rows to nothing.

    Their cost stays in the objective as a constant, so that objectives of one run can be compared.
    """
    if not lived.months:
        return roomy(p, _changed_into(p.build))
    return _kept_rules(roomy(_fixed_second(_fixed_first(p, lived), lived), _bought(p.build, lived)), lived)


def _bought(b: Build, lived: Lived) -> Floats:
    """Units ordered so far, those that others were changed into included. [O, K]"""
    bought = np.zeros((len(b.market.scenario.owners), len(b.market.systems)))
    offers = {f.id: f.system for f in b.market.scenario.offers}
    for key, units in lived.first.items():
        if key[0] == "order" and str(key[1]) in offers:
            bought[b.index.owner[str(key[2])], b.index.system[offers[str(key[1])]]] += units
    return bought + _changed_into(b)


def _changed_into(b: Build) -> Floats:
    """Units that open orders may become, or have become. [O, K]"""
    units, found = np.zeros((len(b.market.scenario.owners), len(b.market.systems))), b.revised
    if found is None:
        return units
    for i in np.flatnonzero(found.offer >= 0).tolist():
        order, offer = (b.market.scenario.open_orders[found.open_order[i]], b.market.scenario.offers[found.offer[i]])
        units[b.index.owner[order.owner], b.index.system[offer.system]] += order.units
    return units


def roomy(p: TwoStage, bought: Floats) -> TwoStage:
    """Bounds on what an owner can ever have, which come from what may still be ordered, with as many more. [O, K]"""
    b, upper = p.build, p.y_upper.copy()
    for name in ("warehouse", "sold warehouse", "installed", "sold installed"):
        block = b.y[name]
        more = bought[:, :, None] if block.ndim == 3 else bought[b.sets.holder_owner, b.sets.holder_system][:, None]
        more = np.broadcast_to(more, block.shape)[block >= 0]
        at = block[block >= 0]
        upper[:, at] = np.where(upper[:, at] > 0, upper[:, at] + more, 0.0)
    return replace(p, y_upper=upper)


def _fixed_first(p: TwoStage, lived: Lived) -> TwoStage:
    names = first_names(p.build)
    fixed = (names.month >= 0) & (names.month < lived.months)
    value = names.vector(lived.first)
    return replace(p, x_lower=np.where(fixed, value, p.x_lower), x_upper=np.where(fixed, value, p.x_upper))


def _fixed_second(p: TwoStage, lived: Lived) -> TwoStage:
    """Fixed columns become zero and what they did a constant: draws that scale them differently share bounds."""
    names = second_names(p.build)
    fixed = (names.month >= 0) & (names.month < lived.months)
    value = np.where(fixed, names.vector(lived.second) / p.scale, 0.0)
    done = (p.recourse @ value.T).T
    lower, upper = p.lower - done, p.upper - done
    past = _past(p.build.rows, p.build.market.months, lived.months)
    lower[:, past], upper[:, past] = -np.inf, np.inf
    linked, follows = ~fixed[p.link_column], ~fixed[p.fixed_column]
    parts = (p.parts2 @ (value * p.scale).T).T
    return replace(
        p, lower=lower, upper=upper, y_lower=np.where(fixed, 0.0, p.y_lower),
        y_upper=np.where(fixed[None, :], 0.0, p.y_upper), constant=p.constant + (p.cost2 * value).sum(axis=1),
        part_constant=p.part_constant + parts, link_column=p.link_column[linked], link_first=p.link_first[linked],
        link_factor=p.link_factor[linked], fixed_column=p.fixed_column[follows], fixed_use=p.fixed_use[follows])


def released(p: TwoStage, options: Iterable[int]) -> TwoStage:
    """The programme in which what these runs do does not follow from their placement: they use what there is."""
    b, chosen = p.build, list(options)
    gangs = np.flatnonzero(np.isin(b.sets.gang_option, chosen))
    columns = b.acts.column[len(b.sets.pair_job):][gangs]
    keep = ~np.isin(p.fixed_column, columns[columns >= 0])
    return replace(p, fixed_column=p.fixed_column[keep], fixed_use=p.fixed_use[keep])


def _past(rows: Members, months: int, now: int, names: tuple[str, ...] = ()) -> Ints:
    """Rows of months before `now`, of every block with a month as its last axis, or of those named."""
    found = [block[..., :now].ravel() for name, block in rows.blocks().items()
             if block.ndim and block.shape[-1] == months and (not names or name in names)]
    every = np.concatenate([np.zeros(0, dtype=np.int64), *found])
    return every[every >= 0]


# First-stage rows with months that say what may be done, and do not only add up.
_LIMITS = ("supply", "allocation", "allocation share", "gang", "gang rental", "gang power", "required run", "budget",
           "reserved rental")
# Limits that what was decided before uses up.
_USED_UP = ("supply", "offer total", "allocation", "allocation share", "reserved rental", "tier most", "order most",
            "changed open orders")
# Of these a run that has begun is no longer asked.
_ASKED_OF_RUNS = ("gang", "gang rental", "gang power", "required run")


def _kept_rules(p: TwoStage, lived: Lived) -> TwoStage:
    """Limits that what was decided before already breaks, because news came, bind only what comes on top of it."""
    b, months = p.build, p.build.market.months
    upper, lower = p.first_upper.copy(), p.first_lower.copy()
    rows = b.first_rows.blocks()
    free = _past(b.first_rows, months, lived.months, _LIMITS)
    lower[free], upper[free] = -np.inf, np.inf
    begun = {placed.job for placed in lived.placements()}
    for name in _ASKED_OF_RUNS:
        block = rows.get(name)
        for j, job in enumerate(b.market.scenario.jobs if block is not None else ()):
            at = block[j].ravel() if block is not None and job.id in begun else np.zeros(0, dtype=np.int64)
            lower[at[at >= 0]], upper[at[at >= 0]] = -np.inf, np.inf
    behind = np.where(p.x_lower == p.x_upper, p.x_lower, 0.0)
    taken = p.first @ behind
    for name in (*_USED_UP, *(name for name in rows if name.startswith("queue"))):
        at = rows[name][rows[name] >= 0].ravel() if name in rows else np.zeros(0, dtype=np.int64)
        upper[at] = np.maximum(upper[at], taken[at])
    _budget(p, upper, taken)
    return replace(_unbroken(p, lived), first_lower=lower, first_upper=upper)


def _budget(p: TwoStage, upper: Floats, taken: Floats) -> None:
    """What is committed already may exceed what the budget now is."""
    rows = p.build.first_rows.blocks()
    if "commitments" not in rows or "budget" not in rows:
        return
    chain, limit = rows["commitments"], rows["budget"]
    there = chain >= 0
    committed = np.cumsum(np.where(there, -taken[np.maximum(chain, 0)], 0.0), axis=1)
    bound = limit >= 0
    upper[limit[bound]] = np.maximum(upper[limit[bound]], committed[bound])


def _unbroken(p: TwoStage, lived: Lived) -> TwoStage:
    """A gang whose racks are late goes on with what there is: the rules of whole gangs wait for the next plan."""
    lower, upper, blocks = p.lower.copy(), p.upper.copy(), p.build.rows.blocks()
    short = list(_short_gangs(p.build, lived))
    for i in short:
        for name in ("full strength",):
            at = blocks[name][i] if name in blocks else np.zeros(0, dtype=np.int64)
            lower[:, at[at >= 0]], upper[:, at[at >= 0]] = -np.inf, np.inf
    return replace(released(p, short), lower=lower, upper=upper)


def _behind(b: Build, i: int, start: int, lived: Lived) -> bool:
    """Whether a run has done another share than its whole gang would have by now."""
    gang = int(np.flatnonzero(b.sets.gang_option == i)[0])
    units = b.sets.option_chips[i] / b.market.chips[b.sets.option_system[i]]
    due = float(b.sets.gang_share[gang] * units * b.market.seconds[start:lived.months].sum())
    job = b.market.scenario.jobs[b.sets.option_job[i]].id
    return abs(lived.second.get(("done", job, lived.months - 1), 0.0) - min(due, 1.0)) > 1e-6


def _short_gangs(b: Build, lived: Lived) -> Iterator[int]:
    """Options begun whose gang does not stand in full now, or that are not where a whole gang would be."""
    begun: dict[Key, int] = {(x.job, x.place, x.system, x.chips): x.start for x in lived.placements()}
    for i in range(len(b.sets.option_job)):
        job, place, system, chips = _option(b, i)
        if (job, place, system, chips) in begun and b.sets.option_site[i] >= 0:
            units = sum(value for key, value in lived.second.items() if key[0] == "installed"
                        and key[2] == place and key[3] == system and key[4] == lived.months - 1)
            few = units * b.market.chips[b.sets.option_system[i]] < float(chips) - 1e-6
            if few or _behind(b, i, begun[job, place, system, chips], lived):
                yield i


# ----------------------------------------------------------------------------------------------- runs that have begun
def with_placements(found: Sets, market: Market, placed: Iterable[Placed],
                    ways: Mapping[Placed, tuple[float, float, tuple[int, ...]]], *, apart: bool = False) -> Sets:
    """Sets in which these runs can begin when they did, whatever the pruning thinks of it now.

    ways    of each: share of the run done per second and mean IT power, both per unit, and the places it draws from
    apart   as options of their own even where there is one already
    """
    tables = {name: list(getattr(found, name)) for name in (
        "option_job", "option_site", "option_system", "option_rental", "option_chips", "option_need", "option_open",
        "option_blocked", "gang_option", "gang_place", "gang_share", "gang_power")}
    jobs = {j.id: i for i, j in enumerate(market.scenario.jobs)}
    sites = {s.id: i for i, s in enumerate(market.scenario.sites)}
    rentals = {r.id: i for i, r in enumerate(market.scenario.rentals)}
    never = np.zeros(market.months, dtype=bool)
    for run in placed:
        if run not in ways or run.job not in jobs:
            continue
        row = (jobs[run.job], sites.get(run.place, -1), market.systems.index(run.system),
               rentals.get(run.place, -1) if run.place not in sites else -1)
        at = next((i for i in range(0 if not apart else len(found.option_job), len(tables["option_job"]))
                   if (tables["option_job"][i], tables["option_site"][i], tables["option_system"][i],
                       tables["option_rental"][i]) == row and tables["option_chips"][i] == run.chips), -1)
        share, power, places = ways[run]
        if at < 0:
            at = len(tables["option_job"])
            units = run.chips / market.chips[row[2]]
            speed = share * units * float(market.seconds.mean())
            need = int(np.ceil(1.0 / speed - 1e-9)) if speed > 0 else market.months
            for name, value in zip(("job", "site", "system", "rental", "chips", "need", "open", "blocked"),
                                   (*row, float(run.chips), max(need, 1), never, never), strict=True):
                tables[f"option_{name}"].append(value)
            for place in places:
                for name, value in (("option", at), ("place", place), ("share", share), ("power", power)):
                    tables[f"gang_{name}"].append(value)
        tables["option_open"][at] = tables["option_open"][at] | (np.arange(market.months) == run.start)
    kinds: dict[str, Any] = {"option_chips": float, "gang_share": float, "gang_power": float, "option_open": bool,
             "option_blocked": bool}
    count = len(tables["option_job"])
    arrays: dict[str, Any] = {name: np.array(rows, dtype=kinds.get(name, np.int64)) for name, rows in tables.items()}
    for name in ("option_open", "option_blocked"):
        arrays[name] = arrays[name].reshape(count, market.months)
    return replace(found, **arrays, alone=np.bincount(arrays["gang_option"], minlength=count) == 1)


def ways(market: Market, rates: Rates, found: Sets, placed: Iterable[Placed],
         ) -> dict[Placed, tuple[float, float, tuple[int, ...]]]:
    """Share of each run done per second and its mean IT power, both per unit, and the places it draws chips from.

    A size that was not rated works at the rate per chip of the nearest one; a run nothing is known of is left out.
    """
    index = Index.of(market)
    holders = np.column_stack([found.holder_owner, found.holder_site, found.holder_system])
    rentals = {r.id: i for i, r in enumerate(market.scenario.rentals)}
    jobs = {j.id: j for j in market.scenario.jobs}
    ways: dict[Placed, tuple[float, float, tuple[int, ...]]] = {}
    for run in placed:
        job = jobs.get(run.job)
        if not isinstance(job, TrainJob) or run.system not in index.system:
            continue
        k, site = index.system[run.system], index.site.get(run.place, -1)
        rental = rentals.get(run.place, -1) if site < 0 else -1
        places = tuple(spot.place for spot in spots_of(market, index, holders, job)
                       if (spot.system, spot.site, spot.rental) == (k, site, rental))
        sizes, work, power = running(market, rates, job, k)
        if places and len(sizes):
            z = int(np.argmin(np.abs(sizes - run.chips)))
            each = market.chips[k] / sizes[z]
            ways[run] = float(work[z] * each / job.tokens), float(power[z] * each), places
    return ways
