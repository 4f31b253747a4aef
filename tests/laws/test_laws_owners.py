"""Laws of several owners: books add up, nobody pays for another's racks, sharing more never costs more."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.records import Job, Owner, TrainJob
from exafleet.facts.sharing import Fairness, Loan, Share, Swap, Transfer
from exafleet.facts.steps import Spread, Steps
from exafleet.market.draws import Draws
from exafleet.market.futures import base, draw
from exafleet.market.lending import lending
from exafleet.market.market import Market, market_of
from exafleet.plan.plan import BOOKS, PARTS, Plan
from exafleet.plan.solve import solve_market

SMALL = {"months": 6, "systems": 3, "sites": 2, "owners": 2, "jobs": 4, "sizes": 2, "scale": 0.005}
LAW = settings(max_examples=6, deadline=None, derandomize=True)
FEW = settings(max_examples=3, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
SHORT = {**SMALL, "months": 5, "jobs": 3}
SEEDS = st.integers(min_value=0, max_value=40)
NOT_CASH = ("lateness", "unfinished", "shortage (serve)", "shortage (research)", "overdraft", "broken gangs",
            "unfairness", "residual", "value of runs")
CASH = tuple(part for part in PARTS if part not in NOT_CASH)
BETWEEN = ("loans", "slots", "hand-downs")


def plan(case: Instance, market: Market | None = None, draws: Draws | None = None, gap: float = 0.0) -> Plan:
    market = market or case.market
    return solve_market(market, case.rates, draws or base(market), gap=gap)


def kind(found: Plan, *names: str) -> np.ndarray:
    """Payments of some kinds. [N, O, T + 1]"""
    return sum(found.books[:, BOOKS.index(name)] for name in names)


def not_above(a: Plan, b: Plan) -> bool:
    return a.bound <= b.bound + 1e-6 * abs(b.bound)


def books_add_up(found: Plan) -> None:
    discount = found.market.discount
    for part in CASH:
        paid = kind(found, part, *(["deposits"] if part == "hardware" else []))
        total = (paid.sum(axis=1) * discount).sum(axis=1)
        np.testing.assert_allclose(total, found.cost[part], rtol=1e-6, atol=1e-3 * found.market.price.max())
    assert set(BOOKS) == {*PARTS, "deposits", *BETWEEN}
    assert not kind(found, *NOT_CASH).any()
    np.testing.assert_allclose(kind(found, *BETWEEN).sum(axis=1), 0.0, atol=1.0)
    np.testing.assert_allclose(found.books[..., :-1].sum(axis=1), found.cash)


@given(seed=SEEDS)
@LAW
def test_the_books_of_all_owners_are_the_cash_parts_of_the_objective(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed})
    books_add_up(plan(case, draws=draw(case.market, 3, seed, rates=case.rates), gap=0.01))


@given(seed=SEEDS)
@LAW
def test_nobody_pays_for_anothers_racks(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed})
    found = plan(case, gap=0.01)
    for o, owner in enumerate(case.market.scenario.owners):
        orders = sum(x.units * x.price for x in found.orders if x.owner == owner.id)
        fitting = {f.id: f.fitting for f in case.market.scenario.offers}
        orders += sum(x.units * fitting[x.offer] for x in found.orders if x.owner == owner.id)
        kept = {k.order: sum(u for _, u, _ in k.arrivals) for k in found.kept if k.owner == owner.id}
        orders += sum(kept[q.id] * q.price * (1 - q.paid) for q in case.market.scenario.open_orders if q.id in kept)
        paid = kind(found, "hardware", "deposits", "queue premium", "fitting")[0, o].sum()
        assert paid == pytest.approx(orders, rel=1e-6, abs=1.0)


@given(seed=SEEDS, budget=st.booleans())
@LAW
def test_splitting_an_owner_in_two_with_one_book_changes_nothing(seed: int, budget: bool) -> None:
    case = instance(**{**SMALL, "owners": 1, "seed": seed, "budget": budget})
    whole, market = plan(case), case.market
    scenario = market.scenario
    one = scenario.owners[0]
    half = None if one.budget is None else tuple((m, usd / 2) for m, usd in one.budget)
    people = (replace(one, book="both", budget=half), Owner(id="other", name="", book="both", budget=half))
    free = Steps.constant(1e9)
    both = (("owner0", "other"), ("other", "owner0"))
    loans = tuple(Loan(lender=a, borrower=b, price=0.0, most=free) for a, b in both)
    jobs = tuple(replace(job, owner="other") if i % 2 else job for i, job in enumerate(scenario.jobs))
    pair = replace(
        market, scenario=replace(scenario, owners=people, jobs=jobs, loans=loans),
        quota=np.full((2, *market.quota.shape[1:]), np.inf),
        may_install=np.ones((2, market.may_install.shape[1]), dtype=bool),
        holdings=np.concatenate([market.holdings, np.zeros_like(market.holdings)]),
        offered=np.repeat(market.offered, 2, axis=1), rentable=np.repeat(market.rentable, 2, axis=1),
        budget=np.repeat(market.budget / 2, 2, axis=0), loan_most=np.full((2, market.months), 1e9))
    split = plan(case, pair)
    assert split.bound == pytest.approx(whole.bound, rel=1e-6)
    alone = replace(pair, scenario=replace(pair.scenario, owners=tuple(replace(p, book="") for p in people)))
    assert not_above(split, plan(case, alone))


def shared(market: Market, *, limit: float = np.inf, notice: int = 0, restart: float = 0.0,
           price: float = 2.0 / 3600) -> Market:
    """Both owners in one cohort, instead of the instance's loans."""
    most = None if np.isinf(limit) else Steps.constant(limit)
    sharing = tuple(Share(owner=o.id, cohort="all", lending_limit=most, price=Steps.constant(price), notice=notice,
                          restart=restart) for o in market.scenario.owners)
    return replace(market, scenario=replace(market.scenario, loans=(), sharing=sharing), loan_most=market.loan_most[:0])


def passing(market: Market, price: float | None = None) -> Market:
    """The first owner may pass slots and installed servers to the second, for nothing else to share."""
    stated = None if price is None else Steps.constant(price)
    transfers = (
        Transfer(id="down", kind="units", seller="owner0", buyer="owner1", system="sys0", most=Steps.constant(5.0),
                 price=stated, cost=1000.0),
        Transfer(id="slot", kind="slot", seller="owner0", buyer="owner1", system="sys2", most=Steps.constant(9.0),
                 price=stated))
    return replace(market, scenario=replace(market.scenario, loans=(), transfers=transfers),
                   loan_most=market.loan_most[:0])


@given(seed=SEEDS)
@FEW
def test_a_looser_lending_limit_never_hurts_the_total(seed: int) -> None:
    case = instance(**{**SHORT, "seed": seed})
    none, some, free = (plan(case, shared(case.market, limit=most)) for most in (0.0, 16.0, np.inf))
    assert not_above(some, none)
    assert not_above(free, some)
    assert none.lent.sum() == 0.0
    for o in range(2):
        assert some.lent[:, some_lender(some) == o].sum(axis=1).max(initial=0.0) <= 16.0 + 1e-6


def some_lender(found: Plan) -> np.ndarray:
    return lending(found.market).lender


@given(seed=SEEDS, notice=st.integers(1, 4), hours=st.sampled_from([0.0, 48.0]))
@FEW
def test_notice_and_lost_work_never_help(seed: int, notice: int, hours: float) -> None:
    case = instance(**{**SHORT, "seed": seed})
    free = plan(case, shared(case.market))
    bound = plan(case, shared(case.market, notice=notice, restart=hours * 3600))
    assert not_above(free, bound)
    lent = bound.lent[0]
    back = bound.reclaimed[0]
    given = np.diff(lent, axis=1, prepend=0.0) + back
    assert given.min(initial=0.0) > -1e-5
    for t in range(case.market.months):
        assert (lent[:, t] >= given[:, max(0, t - notice + 1):t + 1].sum(axis=1) - 1e-4).all()


@given(seed=SEEDS, price=st.sampled_from([None, 1e5]), n=st.integers(1, 2))
@FEW
def test_what_owners_pay_each_other_adds_up_to_nothing(seed: int, price: float | None, n: int) -> None:
    case = instance(**{**SHORT, "seed": seed})
    market = passing(case.market, price)
    draws = draw(case.market, n, seed, rates=case.rates)
    found = plan(case, market, draws)
    books_add_up(found)
    down = found.handed.sum(axis=(1, 2))
    paid = kind(found, "hand-downs")[:, 1].sum(axis=1)
    if price is not None:
        np.testing.assert_allclose(paid, down * price, rtol=1e-6, atol=1.0)
        slots = sum(s.units for s in found.slots) * price
        np.testing.assert_allclose(kind(found, "slots")[:, 1].sum(axis=1), slots, rtol=1e-6, atol=1.0)
    assert not_above(found, plan(case, replace(market, scenario=replace(market.scenario, transfers=())), draws))


@given(seed=SEEDS)
@LAW
def test_units_follow_the_slot_and_money_follows_the_books(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed, "budget": False})
    found = plan(case, passing(case.market), gap=0.01)
    k = case.market.systems.index("sys2")
    order = case.market.scenario.open_orders[0]
    kept = sum(u for _, u, _ in found.kept[0].arrivals)
    ordered = [sum(x.units for x in found.orders if x.owner == o.id and x.system == "sys2")
               for o in case.market.scenario.owners]
    passed = sum(s.units for s in found.slots)
    assert found.arrivals[0, 0, k].sum() == pytest.approx(ordered[0] + kept - passed)
    assert found.arrivals[0, 1, k].sum() == pytest.approx(ordered[1] + passed)
    of_open = sum(s.units for s in found.slots if s.order == order.id)
    assert kind(found, "slots")[0, 1].sum() >= of_open * order.price * order.paid - 1.0


def test_a_swap_exchanges_the_months_and_settles_what_was_paid() -> None:
    case = instance(**{**SMALL, "jobs": 2, "budget": False})
    market = case.market
    first = replace(market.scenario.open_orders[0], slip=Spread(low=0.0, mid=0.0, high=0.0), units=3, most_deferral=0)
    other = replace(first, id="open1", owner="owner1", promised=first.promised + 3, paid=0.5, units=2)
    scenario = replace(market.scenario, open_orders=(first, other), loans=(), offers=(), rentals=(), holdings=(),
                       jobs=tuple(replace(job, owner="owner1") for job in market.scenario.jobs),
                       swaps=(Swap(id="swap", first="open1", second="open0", most=9.0, price=1e5),))
    system = {name: SimpleNamespace(chips=market.chips[k], racks=market.racks[k], liquid=k >= 2)
              for k, name in enumerate(market.systems)}
    swapped = market_of(scenario, system, dict(zip(market.systems, market.unit_power, strict=True)))  # type: ignore[arg-type]
    found = plan(case, swapped, gap=0.0)
    k, (early, late) = market.systems.index("sys2"), (1, 4)
    units = sum(s.units for s in found.slots) / 2
    assert found.arrivals[0, 0, k, early] == 3 - units
    assert found.arrivals[0, 0, k, late] == units
    assert found.arrivals[0, 1, k, early] == units
    settled = units * (first.price * first.paid - other.price * other.paid + 1e5)
    assert kind(found, "slots")[0, :, 0] == pytest.approx(np.array([-settled, settled]))
    paid = kind(found, "hardware")[0]
    assert paid[1, early] == pytest.approx(units * first.price * (1 - first.paid))
    assert paid[0, late] == pytest.approx(units * other.price * (1 - other.paid))
    assert units > 0


def scarce(seed: int, *, fairness: Fairness, tier: tuple[int, int] = (1, 1),
           priority: tuple[float, float] = (1.0, 1.0)) -> tuple[Instance, Market]:
    """Two owners in a cohort with too little power for both and nothing to rent."""
    case = instance(**{**SHORT, "seed": seed, "budget": False})
    market = shared(case.market, price=0.0)
    owners = tuple(replace(o, tier=tier[i], priority=priority[i]) for i, o in enumerate(market.scenario.owners))
    market = replace(market, power=market.power * 0.2, rental_most=market.rental_most * 0.0,
                     scenario=replace(market.scenario, fairness=fairness, owners=owners))
    return case, market


def useful(found: Plan) -> np.ndarray:
    """Useful work of each owner, base draw. [O] [chip-h]"""
    names = [o.id for o in found.market.scenario.owners]
    mine = np.array([[job.owner == name for name in names] for job in found.market.scenario.jobs])
    return np.asarray(found.useful[0] @ mine)


def shares(found: Plan) -> np.ndarray:
    """Useful work of each owner over what it would have alone, base draw. [O]"""
    alone = found.fair.alone
    return np.divide(useful(found), alone, out=np.full(len(alone), np.inf), where=alone > 0)


def slack(found: Plan) -> float:
    """How far the objective can lie above the optimum. [USD]"""
    return found.objective - found.bound + 1e-6 * abs(found.objective)


@given(seed=SEEDS)
@FEW
def test_max_min_never_lowers_the_least_share(seed: int) -> None:
    case, market = scarce(seed, fairness=Fairness(alone=True), priority=(1.0, 8.0))
    price = 1e9
    fair = replace(market, scenario=replace(market.scenario, fairness=Fairness(rule="max-min", price=price)))
    plain, even = plan(case, market), plan(case, fair)
    np.testing.assert_allclose(even.fair.alone, plain.fair.alone, rtol=1e-9)
    assert shares(even).min() >= shares(plain).min() - (slack(plain) + slack(even)) / price
    assert float(even.expected.total - even.expected["unfairness"]) >= plain.bound - 1e-6 * abs(plain.bound)
    assert float(plain.expected["unfairness"]) == 0.0


@given(seed=SEEDS)
@FEW
def test_a_higher_tier_is_served_as_if_the_lower_one_wanted_nothing(seed: int) -> None:
    case, market = scarce(seed, fairness=Fairness(rule="tiers"), tier=(1, 2), priority=(1.0, 8.0))
    ranked = plan(case, market)
    jobs = market.scenario.jobs
    idle = tuple(_worthless(job) if job.owner == "owner1" else job for job in jobs)
    free = plan(case, replace(market, scenario=replace(market.scenario, jobs=idle, fairness=Fairness())))
    for j, job in enumerate(jobs):
        if job.owner == "owner0":
            assert ranked.useful[0, j] >= free.useful[0, j] * (1 - 1e-3) - slack(ranked) / 1e3
    assert float(ranked.expected["unfairness"]) <= slack(ranked) + slack(free) + 1e-6 * abs(ranked.objective)


def _worthless(job: Job) -> Job:
    return (replace(job, value=0.0, late=0.0, unfinished=0.0) if isinstance(job, TrainJob)
            else replace(job, unserved=0.0))


@given(seed=SEEDS, weight=st.sampled_from([1.0, 3.0]))
@FEW
def test_a_proportional_share_is_had_or_paid_for(seed: int, weight: float) -> None:
    case, market = scarce(seed, fairness=Fairness(rule="proportional", price=1e9))
    owners = (replace(market.scenario.owners[0], weight=weight), market.scenario.owners[1])
    found = plan(case, replace(market, scenario=replace(market.scenario, owners=owners)))
    have = useful(found)
    share = found.fair.weight / found.fair.weight.sum()
    assert share.sum() == pytest.approx(1.0)
    there = found.fair.promised > 0
    assert there.any()
    lacks = np.maximum(found.fair.promised - have, 0.0)[there] / (found.fair.promised / share)[there]
    assert float(found.cost["unfairness"][0]) == pytest.approx(1e9 * lacks.sum(), rel=1e-3, abs=slack(found) + 1e3)


@given(seed=SEEDS)
@FEW
def test_more_priority_never_gives_an_owner_less_of_what_it_asks_for(seed: int) -> None:
    # Raising p in  cost + p loss  never raises the loss of an optimum: add the two inequalities of optimality.
    case, market = scarce(seed, fairness=Fairness())
    low, high = 1.0, 4.0
    loss, spare = [], 0.0
    for p in (low, high):
        owners = tuple(replace(o, priority=p if i == 0 else 1.0) for i, o in enumerate(market.scenario.owners))
        found = plan(case, replace(market, scenario=replace(market.scenario, owners=owners)))
        loss.append(penalties(found, "owner0"))
        spare += slack(found)
    assert loss[1] <= loss[0] + spare / (high - low)


def penalties(found: Plan, owner: str) -> float:
    """What an owner's shortage, lateness and unfinished runs cost before its priority, base draw. [USD]"""
    market, total = found.market, 0.0
    discount, months = market.discount[:-1], np.arange(market.months)
    for j, job in enumerate(market.scenario.jobs):
        if job.owner == owner and isinstance(job, TrainJob):
            left = 1.0 - found.progress[0, j]
            total += float((job.late * left * discount * (months >= job.due - market.start)).sum())
            total += job.unfinished * float(left[-1] * discount[-1])
        elif job.owner == owner and not isinstance(job, TrainJob):
            total += job.unserved * float((found.short[0, j] * market.seconds * discount).sum())
    return total


@given(seed=SEEDS)
@FEW
def test_both_ways_to_solve_agree_on_what_owners_share(seed: int) -> None:
    case = instance(**{**SHORT, "seed": seed})
    market = passing(shared(case.market, limit=16.0, notice=2, restart=7200.0))
    market = replace(market, scenario=replace(market.scenario, sharing=shared(case.market, limit=16.0, notice=2,
                                                                             restart=7200.0).scenario.sharing))
    draws = draw(market, 2, seed, rates=case.rates)
    one, two = (solve_market(market, case.rates, draws, gap=1e-6, method=way) for way in ("written out", "decomposed"))
    assert two.bound <= one.objective * (1 + 1e-9) + 1e-6 * abs(one.objective)
    assert one.bound <= two.objective + 1e-6 * abs(one.objective)
