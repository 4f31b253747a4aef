"""Market: the scenario as arrays by month, in base units, ready for the planner.

Month index 0 is the plan's first month. Every table follows the order of the scenario's records, so an index is also
a record: `market.scenario.offers[f]`, `market.scenario.sites[s]`. K is the order of `market.systems`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from exafleet.facts.hardware import System
from exafleet.facts.records import Scenario
from exafleet.facts.steps import Steps
from exafleet.market.resale import resale_values
from exafleet.market.trade_rules import order_ban
from exafleet.terms.calendar import DAYS_PER_MONTH, SECONDS_PER_DAY, month_seconds
from exafleet.terms.said import said

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MEAN_MONTH = DAYS_PER_MONTH * SECONDS_PER_DAY


def make_read_only(record: DataclassInstance) -> None:
    """Every array of a record becomes read-only."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """O owners, S sites, K systems, F offers, Q open orders, R rentals, J jobs, L loans, T months, M moves.

    scenario      the records these arrays were made from
    systems       ids, in the order the scenario first names them                        [K]
    start         calendar month of month index 0
    seconds       length of each month                                                   [T]     [s]
    discount      present value of 1 USD at mid-month; the last one at the end           [T + 1] [1]

    chips         accelerators in one unit                                               [K]
    unit_power    all-in IT power of one unit, what site limits are counted in           [K]     [W]
    racks         rack positions of one unit                                             [K]
    resale        what a used unit sells for; the last one at the end of the horizon     [K, T + 1] [USD]
    resale_most   used chips the market takes in the month                               [T]

    power         facility limit at the meter                                            [S, T]  [W]
    quota         facility power an owner may use; inf where nothing is said             [O, S, T] [W]
    install       rack positions that can be installed in a month                        [S, T]
    pue, rent     facility over IT power; price of powered space                         [S]     [1], [USD/W/s]
    energy_price  electricity                                                            [S, T]  [USD/J]
    carbon        emissions of the electricity                                           [S, T]  [kg/J]
    cooled        the site has the cooling the system needs                              [S, K]
    may_install   the owner may install at the site                                      [O, S]
    holdings      units owned and installed at the start                                 [O, S, K]

    price         of one unit ordered in the month, before tier and queue                [F, T]  [USD]
    can_order     orders are taken in the month                                          [F, T]
    offered       the owner may order                                                    [F, O]
    supply        most units that arrive in the month                                    [F, T]  [units]
    lead          order to arrival, 10 %, 50 % and 90 % quantile                         [F, 3]  [months]
    sooner        how much sooner the best place in the queue is; 0 without a queue      [F]     [months]
    promised      month index an open order was promised for; may be negative            [Q]
    slip          how much later it may come, 10 %, 50 % and 90 % quantile               [Q, 3]  [months]

    rental_price  of one chip by month the contract starts                               [R, T]  [USD/s]
    rental_most   chips that can be rented at once                                       [R, T]
    can_rent      contracts start in the month                                           [R, T]
    rentable      the owner may rent                                                     [R, O]

    demand        of serving [token/s] and research [chips] jobs; 0 for training         [J, T]
    loan_most     chips lent at once                                                     [L, T]
    budget        money that has become available by the end of the month; inf unlimited [O, T]  [USD]
    notes         what was assumed because no fact says it
    """

    scenario: Scenario
    systems: tuple[str, ...]
    start: int
    seconds: Floats
    discount: Floats
    chips: Floats
    unit_power: Floats
    racks: Floats
    resale: Floats
    resale_most: Floats
    power: Floats
    quota: Floats
    install: Floats
    pue: Floats
    rent: Floats
    energy_price: Floats
    carbon: Floats
    cooled: Bools
    may_install: Bools
    holdings: Floats
    price: Floats
    can_order: Bools
    offered: Bools
    supply: Floats
    lead: Floats
    sooner: Floats
    promised: Ints
    slip: Floats
    rental_price: Floats
    rental_most: Floats
    can_rent: Bools
    rentable: Bools
    demand: Floats
    loan_most: Floats
    budget: Floats
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        make_read_only(self)

    @property
    def months(self) -> int:
        """Length of the horizon."""
        return len(self.seconds)


def market(world: World, rates: Rates | None = None) -> Market:
    """The world's scenario as month-indexed arrays; raises MissingFact or FactError for a system without facts.

    Systems follow `rates` where rates are given, so that both tables have the same K.
    """
    from exafleet.market.units import unit_power

    scenario = world.scenario
    names = named_systems(scenario)
    if rates is not None:
        names = (*rates.systems, *(k for k in names if k not in rates.systems))
    systems = {name: world.system(name) for name in names}
    power, notes = unit_power(world.facts, systems)
    return market_of(scenario, systems, power, notes=notes)


def named_systems(scenario: Scenario) -> tuple[str, ...]:
    """Every system the scenario holds, can buy or can rent, in the order it first names them."""
    holders = (scenario.holdings, scenario.offers, scenario.open_orders, scenario.rentals)
    return tuple(dict.fromkeys(record.system for records in holders for record in records))


def market_of(scenario: Scenario, systems: Mapping[str, System], unit_power: Mapping[str, float],
              *, notes: Sequence[str] = ()) -> Market:
    """Arrays from a scenario, its systems by id, and the all-in IT power of one unit of each. [W]"""
    months = np.arange(scenario.start, scenario.start + scenario.months)
    seconds = np.array([month_seconds(int(m)) for m in months])
    names = tuple(systems)
    held = [systems[name] for name in names]
    offers = _offers(scenario, months)
    return Market(
        scenario=scenario, systems=names, start=scenario.start, seconds=seconds, discount=_discount(scenario),
        chips=np.array([float(s.chips) for s in held]), racks=np.array([float(s.racks) for s in held]),
        unit_power=np.array([float(unit_power[name]) for name in names]),
        resale=np.array([_resale(scenario, name) for name in names]).reshape(len(names), scenario.months + 1),
        resale_most=_resale_most(scenario).at(months),
        pue=np.array([s.pue for s in scenario.sites]), rent=np.array([s.rent for s in scenario.sites]),
        power=_steps([s.power for s in scenario.sites], months), quota=_quota(scenario, months),
        install=np.outer([s.install_rate for s in scenario.sites], seconds),
        energy_price=_steps([s.energy_price for s in scenario.sites], months),
        carbon=_steps([s.carbon for s in scenario.sites], months),
        cooled=np.array([[("liquid" if s.liquid else "air") in site.cooling for s in held] for site in scenario.sites],
                        dtype=bool).reshape(len(scenario.sites), len(held)),
        may_install=_allowed([s.owners for s in scenario.sites], scenario).T, holdings=_holdings(scenario, names),
        **offers, **_rentals(scenario, months),
        demand=_steps([getattr(job, "demand", Steps.constant(0.0)) for job in scenario.jobs], months),
        loan_most=_steps([loan.most for loan in scenario.loans], months), budget=_budget(scenario, months),
        notes=(*notes, *_never_arriving(scenario, offers)))


def _steps(steps: Sequence[Steps], months: Ints) -> Floats:
    return np.array([s.at(months) for s in steps], dtype=np.float64).reshape(len(steps), len(months))


def _discount(scenario: Scenario) -> Floats:
    years = np.append(np.arange(scenario.months) + 0.5, float(scenario.months)) / 12.0
    return np.asarray((1.0 + scenario.discount) ** -years)


def _allowed(owners: Sequence[tuple[str, ...]], scenario: Scenario) -> Bools:
    """Whether each record is open to each owner; a record that names nobody is open to all. [records, O]"""
    return np.array([[not named or owner.id in named for owner in scenario.owners] for named in owners],
                    dtype=bool).reshape(len(owners), len(scenario.owners))


def _quota(scenario: Scenario, months: Ints) -> Floats:
    quota = np.full((len(scenario.owners), len(scenario.sites), len(months)), np.inf)
    site = {s.id: i for i, s in enumerate(scenario.sites)}
    for o, owner in enumerate(scenario.owners):
        for name, steps in owner.quota:
            quota[o, site[name]] = steps.at(months)
    return quota


def _holdings(scenario: Scenario, names: Sequence[str]) -> Floats:
    owner = {x.id: i for i, x in enumerate(scenario.owners)}
    site = {x.id: i for i, x in enumerate(scenario.sites)}
    held = np.zeros((len(owner), len(site), len(names)))
    for h in scenario.holdings:
        held[owner[h.owner], site[h.site], names.index(h.system)] += h.units
    return held


def _months_of(spread: object) -> list[float]:
    return [getattr(spread, quantile) / MEAN_MONTH for quantile in ("low", "mid", "high")]


def _window(first: Sequence[int], last: Sequence[int], months: Ints) -> Bools:
    """Months from `first` to `last`, both included. [records, T]"""
    begin, end = np.asarray(first, dtype=np.int64)[:, None], np.asarray(last, dtype=np.int64)[:, None]
    return np.asarray((begin <= months) & (months <= end))


def _offers(scenario: Scenario, months: Ints) -> dict[str, Any]:
    offers, orders = scenario.offers, scenario.open_orders
    return {
        "price": _steps([f.price for f in offers], months),
        "can_order": _window([f.first for f in offers], [f.last for f in offers], months) & ~_banned(scenario, months),
        "offered": _allowed([f.owners for f in offers], scenario),
        "supply": _steps([f.supply for f in offers], months),
        "lead": np.array([_months_of(f.lead) for f in offers]).reshape(-1, 3),
        "sooner": np.array([max((q.sooner for q in f.places), default=0.0) / MEAN_MONTH for f in offers]),
        "promised": np.array([q.promised - scenario.start for q in orders], dtype=np.int64),
        "slip": np.array([_months_of(q.slip) for q in orders]).reshape(-1, 3),
    }


def _never_arriving(scenario: Scenario, offers: Mapping[str, Any]) -> tuple[str, ...]:
    """A note on offers that take orders but from which nothing can arrive in the plan, at the shortest lead time."""
    least = np.floor(np.maximum(offers["lead"][:, 0] - offers["sooner"], 0.0))
    month, opened = np.arange(scenario.months), offers["can_order"]
    arrives = (opened & (month + least[:, None] < scenario.months)).any(axis=1)
    never = [scenario.offers[f].id for f in np.flatnonzero(opened.any(axis=1) & ~arrives)]
    return (said("note.never arrives", offers=never),) if never else ()


def _banned(scenario: Scenario, months: Ints) -> Bools:
    """Months in which a ban forbids ordering from each offer. [F, T]"""
    return np.array([order_ban(scenario, f, months) for f in scenario.offers],
                    dtype=bool).reshape(len(scenario.offers), len(months))


def _rentals(scenario: Scenario, months: Ints) -> dict[str, Any]:
    rentals = scenario.rentals
    return {
        "rental_price": _steps([r.price for r in rentals], months),
        "rental_most": _steps([r.most for r in rentals], months),
        "can_rent": _window([r.first for r in rentals], [r.last for r in rentals], months),
        "rentable": _allowed([r.owners for r in rentals], scenario),
    }


def _resale_most(scenario: Scenario) -> Steps:
    """What is stated; with ways to sell, what they take; otherwise nothing."""
    return scenario.resale_most or Steps.constant(np.inf if scenario.channels else 0.0)


def _budget(scenario: Scenario, months: Ints) -> Floats:
    budget = np.full((len(scenario.owners), len(months)), np.inf)
    for o, owner in enumerate(scenario.owners):
        if owner.budget is not None:
            money = np.array([amount for _, amount in owner.budget])
            when = np.array([month for month, _ in owner.budget], dtype=np.int64)
            budget[o] = (money[:, None] * (when[:, None] <= months)).sum(axis=0)
    return budget


def _resale(scenario: Scenario, system: str) -> Floats:
    known = [(h.bought - scenario.start, h.price) for h in scenario.holdings if h.system == system]
    known += [(q.promised - scenario.start, q.price) for q in scenario.open_orders if q.system == system]
    for f in (f for f in scenario.offers if f.system == system):
        cheapest = min((factor for _, factor in f.tiers), default=1.0)
        lead = round(f.lead.mid / MEAN_MONTH)
        months = {m for m in (f.first, *f.price.months) if f.first <= m <= f.last}
        known += [(m - scenario.start + lead, float(f.price.at(m)) * cheapest) for m in sorted(months)]
    return resale_values([(when, price) for when, price in known if price > 0], scenario.resale, scenario.months)
