"""Laws of several owners: books add up, nobody pays for another's racks, sharing more never costs more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.records import Loan, Owner, Steps
from exafleet.market.draws import Draws, base, draw
from exafleet.market.market import Market
from exafleet.plan.plan import BOOKS, PARTS, Plan
from exafleet.plan.solve import solve_market

SMALL = {"months": 6, "systems": 3, "sites": 2, "owners": 2, "jobs": 4, "sizes": 2, "scale": 0.005}
LAW = settings(max_examples=6, deadline=None, derandomize=True)
SEEDS = st.integers(min_value=0, max_value=40)
CASH = ("hardware", "queue premium", "fitting", "cancellation", "deferral", "reserved rent", "on-demand rent", "energy",
        "site rent", "moves", "resale")
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
    rest = [name for name in PARTS if name not in CASH]
    assert not kind(found, *rest).any()
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
