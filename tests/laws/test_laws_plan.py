"""Laws a plan must keep, whatever the numbers: more is never worse, later is never better, the books add up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.records import Owner
from exafleet.facts.sharing import Loan
from exafleet.facts.steps import Steps
from exafleet.market.draws import Draws
from exafleet.market.futures import base, draw
from exafleet.market.market import Market
from exafleet.plan.plan import Plan
from exafleet.plan.solve import solve_market

SMALL = {"months": 6, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.005}
LAW = settings(max_examples=6, deadline=None, derandomize=True)
SEEDS = st.integers(min_value=0, max_value=40)


def plan(case: Instance, market: Market | None = None, draws: Draws | None = None, gap: float = 0.0) -> Plan:
    market = market or case.market
    return solve_market(market, case.rates, draws or base(market), gap=gap)


def not_above(a: Plan, b: Plan) -> bool:
    # The proven optimum of the programme: whole units of the base draw, put on top when a plan is read, are no law.
    return a.bound <= b.bound + 1e-6 * abs(b.bound)


@given(seed=SEEDS, owners=st.integers(1, 2), n=st.integers(1, 3), weight=st.sampled_from([0.0, 0.5]))
@LAW
def test_parts_sum_to_the_objective(seed: int, owners: int, n: int, weight: float) -> None:
    case = instance(**{**SMALL, "owners": owners, "seed": seed, "weight": weight})
    found = plan(case, draws=draw(case.market, n, seed, rates=case.rates, demand_growth=0.3), gap=0.01)
    np.testing.assert_allclose(found.expected.values, found.cost.values.mean(axis=0), rtol=1e-12, atol=1e-6)
    if weight == 0:
        assert float(found.expected.total) == pytest.approx(found.objective, rel=1e-9)
    else:
        worst = found.cost.total.max()
        assert found.objective == pytest.approx((1 - weight) * found.expected.total + weight * worst, rel=1e-9)
    assert found.bound <= found.objective


@given(seed=SEEDS)
@LAW
def test_the_plan_keeps_the_rules_it_was_given(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed, "owners": 2})
    found = plan(case, draws=draw(case.market, 3, seed, rates=case.rates), gap=0.01)
    market, tolerance = case.market, 1e-5
    assert (found.power <= market.power * (1 + tolerance)).all()
    held = np.zeros_like(found.use[:, 0])
    held[:, :len(found.holder_system)] = found.installed * market.chips[found.holder_system][:, None]
    used = found.use.sum(axis=1)[:, :len(found.holder_system)]
    assert (used <= held[:, :len(found.holder_system)] + tolerance * (1 + held[:, :len(found.holder_system)])).all()
    assert (found.lent <= market.loan_most * (1 + tolerance)).all()
    stock = found.warehouse + 0.0
    flow = np.diff(stock, axis=3, prepend=0.0) + found.sold_warehouse
    for h, (o, k) in enumerate(zip(found.holder_owner, found.holder_system, strict=True)):
        flow[:, o, k] += found.install[:, h]
    np.testing.assert_allclose(flow, found.arrivals, atol=1e-4)
    ordered = sum(o.units for o in found.orders if o.arrival < market.months)
    kept = sum(u for k in found.kept for t, u, _ in k.arrivals if t < market.months)
    assert found.arrivals[0].sum() == pytest.approx(ordered + kept)


@given(seed=SEEDS)
@LAW
def test_looser_limits_never_cost_more(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed})
    market = case.market
    tight = plan(case)
    for field, factor in (("power", 1.4), ("supply", 2.0), ("budget", 1.5), ("install", 2.0), ("rental_most", 2.0)):
        loose = replace(market, **{field: getattr(market, field) * factor})
        assert not_above(plan(case, loose), tight), field


@given(seed=SEEDS)
@LAW
def test_delay_never_helps(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed, "discount": 0.0, "budget": False})
    early = base(case.market)
    late = replace(early, lead=early.lead + 1, slip=early.slip + 1)
    assert not_above(plan(case, draws=early), plan(case, draws=late))


@given(seed=SEEDS, factor=st.sampled_from([1.1, 1.5]))
@LAW
def test_higher_prices_never_lower_the_cost(seed: int, factor: float) -> None:
    case = instance(**{**SMALL, "seed": seed, "budget": False})
    cheap = plan(case)
    for field in ("price", "rental_price", "energy_price", "rent"):
        dear = replace(case.market, **{field: getattr(case.market, field) * factor})
        assert not_above(cheap, plan(case, dear)), field


@given(seed=SEEDS)
@LAW
def test_doubling_all_money_doubles_the_objective(seed: int) -> None:
    once, twice = instance(**{**SMALL, "seed": seed}), instance(**{**SMALL, "seed": seed, "money": 2.0})
    assert plan(twice).bound == pytest.approx(2.0 * plan(once).bound, rel=1e-6)


@given(seed=SEEDS)
@LAW
def test_splitting_an_owner_in_two_that_share_everything_changes_nothing(seed: int) -> None:
    case = instance(**{**SMALL, "seed": seed, "budget": False})
    whole, market = plan(case), case.market
    first, second = Owner(id="owner0", name=""), Owner(id="other", name="")
    free = Steps.constant(1e9)
    jobs = tuple(replace(job, owner="other") if i % 2 else job for i, job in enumerate(market.scenario.jobs))
    loans = (Loan(lender="owner0", borrower="other", price=0.0, most=free),
             Loan(lender="other", borrower="owner0", price=0.0, most=free))
    scenario = replace(market.scenario, owners=(first, second), jobs=jobs, loans=loans)
    pair = replace(
        market, scenario=scenario, quota=np.full((2, *market.quota.shape[1:]), np.inf),
        may_install=np.ones((2, market.may_install.shape[1]), dtype=bool),
        holdings=np.concatenate([market.holdings, np.zeros_like(market.holdings)]),
        offered=np.repeat(market.offered, 2, axis=1), rentable=np.repeat(market.rentable, 2, axis=1),
        budget=np.full((2, market.months), np.inf), loan_most=np.full((2, market.months), 1e9))
    split = plan(case, pair)
    assert split.bound == pytest.approx(whole.bound, rel=1e-6)


def test_nothing_to_do_orders_nothing() -> None:
    case = instance(**{**SMALL, "jobs": 0})
    found = plan(case)
    assert not found.orders
    assert not found.contracts
    assert found.use.sum() == 0.0


def test_an_empty_scenario_is_an_empty_plan_that_costs_nothing() -> None:
    case = instance(**{**SMALL, "jobs": 0, "systems": 0, "sites": 0, "budget": False})
    found = plan(case)
    assert (found.objective, found.gap, found.status) == (0.0, 0.0, "optimal")
    assert found.method == "empty"
    assert float(found.expected.total) == 0.0


def test_jobs_without_any_hardware_are_short_and_said_to_be() -> None:
    case = instance(**{**SMALL, "systems": 0, "sites": 0})
    found = plan(case)
    assert len(found.notes) == SMALL["jobs"]
    assert all("never runs" in note for note in found.notes)
    assert found.objective > 0
    assert (found.short[0] == case.market.demand).all()


def test_the_same_seed_gives_the_same_plan_to_the_byte() -> None:
    case = instance(**SMALL)
    one, two = (plan(case, draws=draw(case.market, 3, 7), gap=0.005) for _ in range(2))
    assert one.orders == two.orders
    assert one.use.tobytes() == two.use.tobytes()
    assert one.cost.values.tobytes() == two.cost.values.tobytes()
