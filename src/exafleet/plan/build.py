"""The programme under construction: its columns, and the places where rules and money add rows and costs.

x are first-stage columns (orders, placements: decided now, the same in every draw), y recourse columns (decided as
things arrive, one set per draw). Inside, units of a system count use (chips over chips per unit), power is in MW and
money in `money` USD, so that the solver sees numbers near one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exafleet.facts.records import ResearchJob, ServeJob, TrainJob
from exafleet.market.draws import Draws
from exafleet.market.lending import Lending, lending, sources
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.market.trade import install_ban
from exafleet.plan.activities import Activities, Grants, grants
from exafleet.plan.blocks import Entries, Members
from exafleet.plan.book import Book, book
from exafleet.plan.books import budgets
from exafleet.plan.finance import Funding, funding, returns
from exafleet.plan.later import Later, add_columns, later
from exafleet.plan.passed import Passing, first_columns, passing, recourse_columns
from exafleet.plan.sets import Index, Sets, rental_most
from exafleet.plan.terms_of_orders import Revised, Sizes, Swaps, add_sizes, sizes, swaps

MEGAWATT = 1e6


@dataclass(frozen=True, slots=True)
class Ledger:
    """Costs by (part, column) in present value, and cash by (owner x month, column), undiscounted; both in USD."""

    cost: Entries = field(default_factory=Entries)
    cash: Entries = field(default_factory=Entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Everything a rule may look at or add to.

    job_owner  position of each job's owner                                                               [J]
    peak       largest demand of each job, above zero: what its columns are shares of                     [J]
    money      one solver unit of money                                                                   [USD]
    x, y       columns of the first stage and of the recourse; first_rows, rows: their rows
    first, recourse, couple_all   entries of A, of W, and of T that are the same in every draw
    couple[n]  the first stage in the rows of draw n only
    caps       upper bounds of recourse columns that differ by draw: (columns, [N, columns])
    revised    orders revised when the plan is made again; None in a plan that is made once
    drawn      the part of the recourse ledger whose price differs by draw, as quoted
    dear       what those columns cost there in each draw over what they cost as quoted: (columns, [N, columns])
    links      (column, first, factor): y[column] <= factor x[first], in every draw
    fixed      (column, first, factor): y[column] = sum of factor x[first], in the base draw only
    shifts     what is added to both bounds of rows: (rows, [N, rows])
    """

    market: Market
    draws: Draws
    sets: Sets
    book: Book
    job_owner: Ints
    acts: Activities
    lending: Lending
    grants: Grants
    passing: Passing
    later: Later
    sizes: Sizes
    swap: Swaps
    funds: Funding
    peak: Floats
    money: float
    x: Members
    y: Members
    couple: tuple[Entries, ...]
    draw_ledger: tuple[Ledger, ...]
    caps: list[tuple[Ints, Floats]]
    revised: Revised | None = None
    first_rows: Members = field(default_factory=Members)
    rows: Members = field(default_factory=Members)
    first: Entries = field(default_factory=Entries)
    recourse: Entries = field(default_factory=Entries)
    couple_all: Entries = field(default_factory=Entries)
    links: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    shifts: list[tuple[Ints, Floats]] = field(default_factory=list)
    fixed: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    first_ledger: Ledger = field(default_factory=Ledger)
    constants: dict[str, Floats] = field(default_factory=dict)
    drawn: Ledger = field(default_factory=Ledger)
    dear: list[tuple[Ints, Floats]] = field(default_factory=list)

    @property
    def index(self) -> Index:
        """Positions by id."""
        return Index.of(self.market)

    def shift(self, rows: Ints, by_draw: Floats) -> None:
        """Add a constant to both bounds of rows in each draw. by_draw [N, ...rows]"""
        there = rows >= 0
        self.shifts.append((rows[there], by_draw[:, there]))

    def costs_by_draw(self, columns: Ints, factor: Floats) -> None:
        """What columns cost in each draw over what the ledger `drawn` says. factor [N, ...columns]"""
        there = columns >= 0
        self.dear.append((columns[there], np.broadcast_to(factor, (len(factor), *columns.shape))[:, there]))


def build(market: Market, draws: Draws, sets: Sets) -> Build:
    """All columns, no rows yet."""
    jobs = market.scenario.jobs
    index = Index.of(market)
    owner = np.array([index.owner[job.owner] for job in jobs], dtype=np.int64)
    x, y = Members(), Members()
    orders = book(market, draws, sets.holder_owner, sets.holder_system)
    held = {(int(o), int(k)) for o, k in zip(sets.holder_owner, sets.holder_system, strict=True)}
    grouped, swap, passes = sizes(market, orders), swaps(market, draws, held), passing(market, orders, sets)
    _first_columns(x, market, sets, orders)
    add_sizes(x, market, grouped)
    x.add("change", np.ones(len(swap.order), dtype=bool), upper=swap.most, integer=True)
    first_columns(x, market, orders, passes)
    funds = funding(market, orders)
    x.add("financed", np.ones(len(funds.order), dtype=bool), upper=orders.most[funds.order])
    decided = later(market, draws, orders, sets.holder_owner, sets.holder_system)
    # Twice what there can be: a bound that bound would take part in what one more unit is worth.
    _stock_columns(y, market, sets, 2.0 * most_units(market, orders, swap, decided) + 1.0)
    acts = _use_columns(y, market, sets, owner)
    caps = add_columns(y, market, draws, orders, decided)
    recourse_columns(y, market, passes)
    agreed = lending(market)
    given = _grant_columns(y, market, agreed, acts)
    return Build(
        market=market, draws=draws, sets=sets, book=orders, job_owner=owner, acts=acts, lending=agreed, grants=given,
        passing=passes, later=decided, sizes=grouped, swap=swap, funds=funds, caps=caps, x=x, y=y,
        peak=np.maximum(market.demand.max(axis=1, initial=0.0), 1e-300), money=_money(market),
        couple=tuple(Entries() for _ in range(draws.count)), draw_ledger=tuple(Ledger() for _ in range(draws.count)))


def _money(market: Market) -> float:
    """A power of ten near what one unit or one penalty costs, so that costs are near one."""
    scenario = market.scenario
    sums = [p for p in market.price.ravel() if p > 0] + [h.price for h in scenario.holdings if h.price > 0]
    sums += [v for job in scenario.jobs if isinstance(job, TrainJob) for v in (job.value, job.late) if v > 0]
    sums += [q.price for q in scenario.open_orders if q.price > 0]
    return float(10.0 ** np.clip(np.floor(np.median(np.log10(sums))), 0, 6)) if sums else 1e3


def _first_columns(x: Members, market: Market, sets: Sets, orders: Book) -> None:
    """Orders and their tiers, open orders kept or cancelled, contracts, starts, and sums that rules speak of."""
    scenario, months = market.scenario, market.months
    x.add("order", np.ones(len(orders.offer), dtype=bool), upper=orders.most, integer=True)
    x.add("tier", orders.tier > 0, upper=1.0, integer=True)
    deferrals = np.arange(orders.due.shape[2])
    units = np.array([float(q.units) for q in scenario.open_orders])
    most = np.array([q.most_deferral for q in scenario.open_orders], dtype=np.int64)
    x.add("keep", deferrals[None, :] <= most[:, None], upper=units[:, None], integer=True)
    x.add("cancel", units >= 0, upper=units, integer=True)
    x.add("contract", _contracts(market), upper=_contract_most(market)[:, None, :], integer=True)
    begun = begins(market, sets)
    last = np.arange(months) == months - 1
    x.add("started", begun, upper=1.0, integer=last[None, :])
    job = np.zeros((len(scenario.jobs), months), dtype=bool)
    np.logical_or.at(job, sets.option_job, begun)
    x.add("begun", job, upper=1.0, integer=True)
    x.add("quoted", _wanted(market, sets)[:, :, None] & np.ones(months, dtype=bool))
    limited = np.asarray(np.isfinite(budgets(market)).any(axis=1))
    x.add("committed", limited[:, None] & np.ones(months, dtype=bool), lower=-np.inf)


def required(market: Market) -> Bools:
    """Jobs the plan must finish in time. [J]"""
    return np.array([isinstance(job, TrainJob) and job.required for job in market.scenario.jobs], dtype=bool)


def may_start(market: Market, sets: Sets) -> Bools:
    """Months an option may start in; a required run may look past its site's power. [I, T]"""
    return sets.option_open | (sets.option_blocked & required(market)[sets.option_job][:, None])


def begins(market: Market, sets: Sets) -> Bools:
    """Whether an option can have started by a month. [I, T]"""
    return np.asarray(np.logical_or.accumulate(may_start(market, sets), axis=1))


def _contracts(market: Market) -> Bools:
    rentals = market.scenario.rentals
    reserved = np.array([r.term > 1 for r in rentals], dtype=bool)
    wait = np.array([r.wait for r in rentals], dtype=np.int64)
    useful = np.arange(market.months)[None, :] + wait[:, None] < market.months
    return (reserved[:, None] & useful & market.can_rent)[:, None, :] & market.rentable[:, :, None]


def _contract_most(market: Market) -> Floats:
    block = np.array([float(r.block) for r in market.scenario.rentals])
    return np.asarray(np.floor(market.rental_most / np.maximum(block, 1.0)[:, None] + 1e-9))


def _wanted(market: Market, sets: Sets) -> Bools:
    """(owner, system) pairs on whose quoted deliveries a gang may wait. [O, K]"""
    wanted = np.zeros((len(market.scenario.owners), len(market.systems)), dtype=bool)
    owned = sets.option_rental[sets.gang_option] < 0
    holder = sets.gang_place[owned]
    wanted[sets.holder_owner[holder], sets.holder_system[holder]] = True
    return np.asarray(wanted | (sources(market, slots=False) & wanted[None]).any(axis=1))


def most_units(market: Market, orders: Book, swap: Swaps, decided: Later) -> Floats:
    """Units of a system an owner can ever have: a bound on what stands, which the solver needs where prices are drawn.
    [O, K]"""
    index = Index.of(market)
    most = market.holdings.sum(axis=1)
    for order in market.scenario.open_orders:
        most[index.owner[order.owner], index.system[order.system]] += order.units
    for owner, system, units in ((orders.owner, orders.system, orders.most), (swap.owner, swap.system, swap.most),
                                 (decided.new_owner, decided.new_system, decided.new_most)):
        np.add.at(most, (owner, system), units)
    return np.asarray(most + (sources(market, slots=True) * most[:, None]).sum(axis=0))


def _stock_columns(y: Members, market: Market, sets: Sets, all_units: Floats) -> None:
    """Units by where they are and what becomes of them, and rentals used beyond what is paid for. all_units [O, K]"""
    months, holders = market.months, len(sets.holder_owner)
    always = np.ones(months, dtype=bool)
    held = np.zeros((len(market.scenario.owners), len(market.systems)), dtype=bool)
    held[sets.holder_owner, sets.holder_system] = True
    standing = all_units[sets.holder_owner, sets.holder_system][:, None]
    y.add("warehouse", held[:, :, None] & always, upper=all_units[:, :, None])
    y.add("sold warehouse", held[:, :, None] & always, upper=all_units[:, :, None])
    banned = install_ban(market)
    y.add("install", np.ones((holders, months), dtype=bool),
          upper=np.where(banned[sets.holder_site, sets.holder_system], 0.0, np.inf))
    y.add("installed", np.ones((holders, months), dtype=bool), upper=standing)
    y.add("sold installed", np.ones((holders, months), dtype=bool), upper=standing)
    channels = len(market.scenario.channels)
    y.add("sold through", np.repeat(held[None, :, :, None], channels, axis=0) & always,
          upper=all_units[None, :, :, None])
    part = np.array([r.term > 1 and r.take < 1.0 for r in market.scenario.rentals], dtype=bool)
    y.add("used beyond", part[:, None, None] & market.rentable[:, :, None] & always,
          upper=market.rental_most[:, None, :])
    leased = any(returns(money) for money in market.scenario.finance)
    y.add("handed back", np.full((holders, months), leased), upper=standing)
    y.add("kept leased", held[:, :, None] & np.full(months, leased), upper=all_units[:, :, None])
    away = np.array([market.scenario.moves[m].months for m in sets.lane_move], dtype=np.int64)
    comes = np.arange(months)[None, :] + away[:, None]
    to, what = sets.holder_site[sets.lane_to][:, None], sets.lane_system[:, None]
    y.add("moved", (comes < months) & ~banned[to, what, np.minimum(comes, months - 1)])


def _use_columns(y: Members, market: Market, sets: Sets, job_owner: Ints) -> Activities:
    """Units in use, what jobs lack, what runs have done, and money in hand."""
    months, holders = market.months, len(sets.holder_owner)
    open_to_use = _usable(market, holders)
    use = y.add("use", open_to_use[sets.pair_place])
    run = y.add("run", begins(market, sets)[sets.gang_option] & open_to_use[sets.gang_place])
    kinds = [type(job) for job in market.scenario.jobs]
    works = np.array([k in (ServeJob, ResearchJob) for k in kinds], dtype=bool)
    y.add("short", works[:, None] & (market.demand > 0))
    runs = np.zeros((len(kinds), months), dtype=bool)
    np.logical_or.at(runs, sets.option_job, np.ones((len(sets.option_job), months), dtype=bool))
    y.add("done", runs, upper=1.0)
    y.add("missing", runs)
    y.add("absent", _absent(market, sets, job_owner, run))
    limited = np.asarray(np.isfinite(budgets(market)).any(axis=1))
    for name in ("in hand", "overdraft"):
        y.add(name, limited[:, None] & np.ones(months, dtype=bool))
    job = np.concatenate([sets.pair_job, sets.option_job[sets.gang_option]])
    place = np.concatenate([sets.pair_place, sets.gang_place])
    owner = job_owner[job]
    lender = np.where(place < holders, np.append(sets.holder_owner, -1)[np.minimum(place, holders)], owner)
    return Activities(
        job=job, place=place, owner=owner, lender=lender,
        system=np.concatenate([sets.pair_system, sets.option_system[sets.gang_option]]),
        power=np.concatenate([sets.pair_power, sets.gang_power]),
        column=np.concatenate([use, run]))


def _grant_columns(y: Members, market: Market, agreed: Lending, acts: Activities) -> Grants:
    """Units handed over to a borrower, those given and those that go back in the month."""
    found = grants(agreed, acts)
    for name in ("granted", "given", "back"):
        y.add(name, np.ones((len(found.holder), market.months), dtype=bool))
    return found


def _absent(market: Market, sets: Sets, job_owner: Ints, run: Ints) -> Bools:
    """Where a settled gang may lack units. [H, T]"""
    found = np.zeros((len(sets.holder_owner), market.months), dtype=bool)
    gangs = np.flatnonzero(settled(sets, job_owner)[sets.gang_option])
    np.logical_or.at(found, sets.gang_place[gangs], run[gangs] >= 0)
    return found


def settled(sets: Sets, job_owner: Ints) -> Bools:
    """Options whose use in the base draw follows from their placement: on one holder of the run's own owner. [I]

    Gangs in rentals, or drawn from several owners, also need a contract, a loan or a choice of whose units.
    """
    holder = np.full(len(sets.option_job), -1, dtype=np.int64)
    holder[sets.gang_option] = np.where(sets.gang_place < len(sets.holder_owner), sets.gang_place, -1)
    owner = np.append(sets.holder_owner, -1)[holder]
    return np.asarray(sets.alone & (holder >= 0) & (owner == job_owner[sets.option_job]))


def _usable(market: Market, holders: int) -> Bools:
    """Months in which a place can be used at all: holders always, rentals when a contract can be running. [A, T]"""
    rented = [rental_most(market, r) > 0 for r in range(len(market.scenario.rentals))]
    return np.concatenate([np.ones((holders, market.months), dtype=bool),
                           np.array(rented, dtype=bool).reshape(-1, market.months)])
