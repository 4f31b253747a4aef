"""Tariffs and bans by date: what they cost, what they forbid, and when held-back units come."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, Instance, instance
from exafleet.facts.deals import TradeRule
from exafleet.market.futures import base, draw
from exafleet.market.market import Market
from exafleet.market.trade import install_ban, released, site_tariff, tariff
from exafleet.market.trade_rules import order_ban
from exafleet.plan.plan import PARTS, Plan
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import two_stage

SMALL = {"months": 8, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01, "seed": 2,
         "budget": False}


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def under(case: Instance, *rules: TradeRule) -> Market:
    """The same market with rules on arriving, installing or paying."""
    return replace(case.market, scenario=replace(case.market.scenario, rules=rules))


def solved(case: Instance, market: Market) -> Plan:
    return solve_market(market, case.rates, base(market), gap=0.001)


def test_a_tariff_is_paid_on_arrival_in_its_months(case: Instance) -> None:
    rule = TradeRule(id="t", kind="tariff", first=START + 3, last=START + 5, rate=0.25, systems=("sys0",))
    market = replace(under(case, rule), discount=np.ones_like(case.market.discount))
    drawn = draw(market, 3, 1)
    p = two_stage(market, drawn, sets(market, case.rates, drawn))
    book, part = p.build.book, PARTS.index("tariffs")
    hit = 0
    for n in range(3):
        paid = np.asarray(p.parts1[n].todense())[part]
        for c, column in enumerate(p.build.x["order"]):
            due = 3 <= book.arrival[n, c] <= 5 and market.systems[book.system[c]] == "sys0"
            assert paid[column] == pytest.approx(0.25 * book.price[c] if due else 0.0)
            hit += due
    assert hit
    np.testing.assert_allclose(tariff(market, np.array([0, 0, 1]), np.array([2, 3, 3])), [0.0, 0.25, 0.0])


def test_a_tariff_at_a_site_is_paid_on_installing_there(case: Instance) -> None:
    rule = TradeRule(id="t", kind="tariff", first=START, rate=0.5, sites=("site1",))
    usd = site_tariff(under(case, rule))
    assert (usd[0] == 0).all()
    np.testing.assert_allclose(usd[1, 0], 0.5 * case.market.price[0])
    free, taxed = solved(case, case.market), solved(case, under(case, rule))
    assert taxed.bound >= free.bound
    h = np.flatnonzero(taxed.holder_site == 1)
    owed = sum((taxed.install[0, i] * usd[1, taxed.holder_system[i]] * case.market.discount[:-1]).sum() for i in h)
    assert taxed.cost["tariffs"][0] == pytest.approx(owed)


def test_a_ban_on_arrival_holds_units_back_or_gives_the_money_back(case: Instance) -> None:
    until = TradeRule(id="b", kind="ban", first=START + 1, last=START + 4)
    market = under(case, until)
    offer = case.market.scenario.offers[0]
    assert released(market, offer, np.array([0, 1, 4, 5])).tolist() == [0, 5, 5, 5]
    found = solved(case, market)
    assert found.arrivals[0, ..., 1:5].sum() == 0
    for_good = solved(case, under(case, replace(until, last=None)))
    assert for_good.arrivals[0, ..., 1:].sum() == 0
    assert not for_good.orders
    assert for_good.bound >= found.bound - 1e-6 * abs(found.bound)


def test_a_ban_on_ordering_and_on_installing(case: Instance) -> None:
    no_order = TradeRule(id="b", kind="ban", stage="order", first=START, last=START + 2, suppliers=("supplier0",))
    scenario = replace(case.market.scenario, rules=(no_order,))
    months = np.arange(START, START + 8)
    banned = np.array([order_ban(scenario, f, months) for f in scenario.offers])
    mine = np.array([f.supplier == "supplier0" for f in scenario.offers])
    assert banned[mine][:, :3].all()
    assert not banned[mine][:, 3:].any()
    assert not banned[~mine].any()
    no_install = TradeRule(id="i", kind="ban", stage="install", first=START + 2, sites=("site0",))
    market = under(case, no_install)
    assert install_ban(market)[0, :, 2:].all()
    assert not install_ban(market)[1].any()
    found = solved(case, market)
    at = found.holder_site == 0
    assert found.install[0, at, 2:].sum() == 0
