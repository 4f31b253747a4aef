"""Loans and leases: schedules that end with nothing owed, money that adds up, units that stay or go back."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.deals import Finance
from exafleet.market.draws import Draws
from exafleet.market.futures import base, draw
from exafleet.market.market import Market
from exafleet.plan.finance import monthly_rent, schedule
from exafleet.plan.plan import PARTS, Plan
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import TwoStage, two_stage

SMALL = {"months": 9, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01, "seed": 2,
         "budget": False}
LOAN = Finance(id="loan", kind="loan", lender="bank", term=5, advance=0.8, rate=0.06, interest_only=2, fee=0.01)
LEASE = Finance(id="lease", kind="lease", lender="lessor", term=3, rate=0.06)


@pytest.fixture(scope="module")
def case() -> Instance:
    """Nothing is sold before the end, so that what is ordered is there for its work."""
    made = instance(**SMALL)
    return replace(made, market=replace(made.market, resale_most=np.zeros(made.market.months)))


def funded(market: Market, *money: Finance) -> Market:
    return replace(market, scenario=replace(market.scenario, finance=money))


def problem(case: Instance, market: Market, draws: Draws | None = None) -> TwoStage:
    draws = draws or base(market)
    return two_stage(market, draws, sets(market, case.rates, draws))


def solved(case: Instance, market: Market, draws: Draws | None = None) -> Plan:
    return solve_market(market, case.rates, draws or base(market), gap=0.0)


@pytest.mark.parametrize(("rate", "term", "free"), [(0.0, 12, 0), (0.11, 60, 6), (0.06, 1, 0), (0.13, 36, 35)])
def test_a_schedule_pays_back_what_was_lent_and_is_worth_it_at_its_own_rate(rate: float, term: int, free: int) -> None:
    found = schedule(replace(LOAN, rate=rate, term=term, interest_only=free))
    assert found.principal.sum() == pytest.approx(1.0)
    assert (np.diff(found.owed) <= 1e-12).all()
    assert (found.owed >= 0).all()
    paid = found.principal + found.interest
    worth = (paid * (1.0 + rate / 12.0) ** -np.arange(1, term + 1)).sum()
    assert worth == pytest.approx(1.0)
    np.testing.assert_allclose(found.principal[:free], 0.0, atol=1e-12)
    level = paid[free:]
    np.testing.assert_allclose(level, level[0])


@pytest.mark.parametrize(("rate", "buyout"), [(0.0, 0.0), (0.12, 0.0), (0.12, 0.3)])
def test_a_rent_pays_the_price_less_the_buyout(rate: float, buyout: float) -> None:
    money = replace(LEASE, rate=rate, buyout=buyout, term=24)
    i, rent = rate / 12.0, monthly_rent(money)
    worth = (rent * (1.0 + i) ** -np.arange(24)).sum() + buyout * (1.0 + i) ** -24
    assert worth == pytest.approx(1.0)
    assert monthly_rent(replace(money, rent=0.03)) == 0.03


def test_parts_of_a_loan_add_up_in_every_draw(case: Instance) -> None:
    market = replace(funded(case.market, LOAN), discount=np.ones_like(case.market.discount))
    drawn = draw(market, 3, 1)
    p = problem(case, market, drawn)
    funds, book = p.build.funds, p.build.book
    seen = 0
    for n in range(3):
        part = {name: np.asarray(p.parts1[n].todense())[i] for i, name in enumerate(PARTS)}
        for z, column in enumerate(p.build.x["financed"]):
            c = funds.order[z]
            lent = 0.8 * book.price[c] * (book.arrival[n, c] < market.months)
            assert part["paid by others"][column] == pytest.approx(-lent)
            assert part["repaid"][column] == pytest.approx(lent)
            assert part["finance fees"][column] == pytest.approx(0.01 * lent)
            months = min(LOAN.term, market.months - 1 - book.arrival[n, c]) if lent else 0
            interest = schedule(LOAN).interest[:max(months, 0)].sum() * lent
            assert part["interest"][column] == pytest.approx(interest)
            seen += lent > 0
    assert seen


def test_money_cheaper_than_ones_own_is_used_and_dearer_is_not(case: Instance) -> None:
    plain = solved(case, case.market)
    cheap = solved(case, funded(case.market, replace(LOAN, rate=0.01, fee=0.0)))
    dear = solved(case, funded(case.market, replace(LOAN, rate=0.5)))
    assert cheap.funded
    assert cheap.bound < plain.bound
    assert not dear.funded
    assert dear.bound == pytest.approx(plain.bound, rel=1e-6)
    owed = sum(f.owed for f in cheap.funded)
    price = sum(o.units * o.price for o in cheap.orders)
    assert 0 < owed.max() <= 0.8 * price + 1e-6
    assert sum(f.units for f in cheap.funded) <= sum(o.units for o in cheap.orders) + 1e-6


def test_no_more_is_paid_out_than_there_is(case: Instance) -> None:
    found = solved(case, funded(case.market, replace(LOAN, rate=0.0, fee=0.0, most=1e5)))
    assert sum(f.paid[0] for f in found.funded) == pytest.approx(1e5, rel=1e-6)


def test_a_loan_lets_an_owner_order_beyond_its_budget(case: Instance) -> None:
    free = replace(case.market, scenario=replace(case.market.scenario, open_orders=()), slip=np.zeros((0, 3)),
                   promised=np.zeros(0, dtype=np.int64))
    spent = sum(o.units * o.price for o in solved(case, free).orders)
    poor = replace(free, budget=np.full(free.budget.shape, 0.5 * spent))
    loan = replace(LOAN, advance=1.0, rate=0.01, term=60, interest_only=40)
    alone, helped = solved(case, poor), solved(case, funded(poor, loan))
    assert helped.bound < alone.bound
    worth = [sum(o.units * o.price for o in plan.orders) for plan in (alone, helped)]
    assert worth[1] > worth[0]


def test_leased_units_go_back_or_are_bought_when_the_lease_ends(case: Instance) -> None:
    money = replace(LEASE, rent=0.001, term=2)
    market = funded(case.market, money)
    found = solved(case, market)
    p = problem(case, market)
    due = 0.0
    for z, units in enumerate(found.first[p.build.x["financed"]]):
        due += units * (p.build.book.arrival[0, p.build.funds.order[z]] + money.term < market.months)
    assert due > 0
    there = found.installed[0, :, -1].sum() + found.warehouse[0, :, :, -1].sum()
    came = found.arrivals[0].sum() + market.holdings.sum() - found.moved[0].sum() + found.moved[0, :, :-1].sum()
    back = came - there
    rent = 0.0
    for z, column in enumerate(p.build.x["financed"]):
        c = p.build.funds.order[z]
        months = market.discount[p.build.book.arrival[0, c]:min(p.build.book.arrival[0, c] + 2, market.months)]
        rent += 0.001 * found.first[column] * p.build.book.price[c] * months.sum()
    kept = found.cost["lease rent"][0] - rent
    assert -1e-6 <= back <= due + 1e-6
    assert kept >= -1e-3
    assert (back == pytest.approx(due)) == (kept == pytest.approx(0.0, abs=1e-3))


def test_what_is_pledged_is_neither_sold_nor_cancelled(case: Instance) -> None:
    market = funded(case.market, replace(LOAN, rate=0.0, fee=0.0, advance=1.0, term=20))
    market = replace(market, scenario=replace(market.scenario, risk=replace(market.scenario.risk, react=2)))
    found = solved(case, market, draw(market, 2, 3))
    assert found.funded
    p = problem(case, market, draw(market, 2, 3))
    for n in range(2):
        there = found.warehouse[n].sum() * 0
        for z, units in enumerate(found.first[p.build.x["financed"]]):
            c = p.build.funds.order[z]
            if p.build.book.arrival[n, c] < market.months:
                there += units
        assert found.installed[n, :, -1].sum() + found.warehouse[n, :, :, -1].sum() >= there - 1e-6


def test_parts_sum_to_the_objective_with_finance(case: Instance) -> None:
    found = solved(case, funded(case.market, LOAN, LEASE), draw(case.market, 2, 1, rates=case.rates))
    assert float(found.expected.total) == pytest.approx(found.objective, rel=1e-9)
