"""Demands that cannot be met are named with what would have to give; a stop brings the best plan so far."""

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, Instance, instance
from exafleet.facts.deals import Allocation, TradeRule
from exafleet.facts.records import TrainJob
from exafleet.facts.steps import Steps
from exafleet.market.futures import base, draw
from exafleet.market.market import Market
from exafleet.plan.plan import Plan
from exafleet.plan.solve import solve_market
from exafleet.terms.errors import NoPlan

SMALL = {"months": 8, "systems": 3, "sites": 2, "owners": 1, "jobs": 3, "sizes": 3, "scale": 0.01, "budget": False}


def must(case: Instance, **changes: object) -> Market:
    """The same market with its first run required."""
    scenario = case.market.scenario
    jobs = tuple(replace(j, required=True, **changes) if i == 0 else j for i, j in enumerate(scenario.jobs))
    return replace(case.market, scenario=replace(scenario, jobs=jobs))


def attempt(market: Market, case: Instance) -> Plan:
    return solve_market(market, case.rates, base(market), gap=1e-4)


def test_a_required_run_that_can_be_done_is_placed_in_time() -> None:
    case = instance(**SMALL)
    market = must(case, due=START + 6, value=0.0, late=0.0, unfinished=0.0)
    found = attempt(market, case)
    placed = {p.job: p for p in found.placements}[market.scenario.jobs[0].id]
    assert placed.start + placed.months - 1 <= 6


def test_too_little_power_names_the_site_and_the_megawatts() -> None:
    case = instance(**SMALL)
    market = must(case, due=START + 6, rent=False, least=700)
    market = replace(market, power=market.power * 0.3, holdings=market.holdings * 20)
    with pytest.raises(NoPlan) as error:
        attempt(market, case)
    assert error.value.exit_code == 3
    assert any(" MW at site" in text for text in error.value.relaxations)
    assert "train0 is required by the end of 2025-07" in str(error.value)


def test_a_pool_that_gives_too_little_is_named_with_the_price_of_giving_more() -> None:
    case = instance(**SMALL)
    market = must(case, due=START + 6, rent=False, systems=("sys1",))
    pool = Allocation(id="foundry", offers=tuple(f.id for f in market.scenario.offers), most=Steps.constant(8.0))
    tight = replace(market, scenario=replace(market.scenario, allocations=(pool,)))
    with pytest.raises(NoPlan) as error:
        attempt(tight, case)
    text = next(t for t in error.value.relaxations if "accelerators a month of foundry" in t)
    more = float(text.split()[0])
    told = re.search(r"the plan then costs (-?)\$([\d.]+)([kMB]?)", text)
    assert told is not None, text
    wide = replace(tight.scenario, allocations=(replace(pool, most=Steps.constant(8.0 + more)),))
    found = attempt(replace(tight, scenario=wide), case)
    cost = float(told[1] + told[2]) * {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}[told[3]]
    assert found.placements
    assert found.objective <= cost + 0.02 * abs(cost)  # the pool here is wider in more months


def test_a_least_order_that_is_too_large_is_named() -> None:
    case = instance(**SMALL)
    market = must(case, due=START + 6, rent=False, systems=("sys1",))
    offers = tuple(replace(f, least=10_000) for f in market.scenario.offers)
    with pytest.raises(NoPlan) as error:
        attempt(replace(market, scenario=replace(market.scenario, offers=offers)), case)
    assert any("fewer than the least of offer1" in t for t in error.value.relaxations)


def test_a_ban_in_the_way_is_named() -> None:
    case = instance(**SMALL)
    rule = TradeRule(id="embargo", kind="ban", stage="arrival", first=START, systems=("sys1",), where="scenario.toml:7")
    market = must(case, due=START + 6, rent=False, systems=("sys1",))
    with pytest.raises(NoPlan) as error:
        attempt(replace(market, scenario=replace(market.scenario, rules=(rule,))), case)
    assert "scenario.toml:7: embargo: sys1 may not be delivered from 2025-01 on" in str(error.value)


@pytest.mark.parametrize("months", [1, 2])
def test_a_horizon_of_a_month_has_a_plan(months: int) -> None:
    case = instance(**{**SMALL, "months": months})
    for react in (0, 1):
        risk = replace(case.market.scenario.risk, react=react)
        market = replace(case.market, scenario=replace(case.market.scenario, risk=risk))
        found = attempt(market, case)
        assert found.cash.shape[-1] == months
        assert found.gap <= 1e-3


def test_the_named_relaxation_is_enough() -> None:
    case = instance(**SMALL)
    market = must(case, due=START + 6, rent=False, least=700)
    market = replace(market, power=market.power * 0.3, holdings=market.holdings * 20)
    with pytest.raises(NoPlan) as error:
        attempt(market, case)
    text = next(t for t in error.value.relaxations if " MW at site" in t and " and " not in t)
    megawatts, site = float(text.split()[0]), text.split(" at ")[1].split()[0]
    power = market.power.copy()
    power[[s.id for s in market.scenario.sites].index(site)] += megawatts * 1e6
    assert attempt(replace(market, power=power), case).placements


def test_payments_beyond_the_budget_name_the_owner_and_the_money() -> None:
    case = instance(**SMALL)
    dear = {"units": 100, "cancel": 0.9, "paid": 0.1, "most_deferral": 0}
    orders = tuple(replace(q, **dear) for q in case.market.scenario.open_orders)
    market = replace(case.market, scenario=replace(case.market.scenario, open_orders=orders),
                     budget=np.full((1, case.market.months), 1e6))
    with pytest.raises(NoPlan) as error:
        attempt(market, case)
    assert any("MUSD for owner0 in 2025-01 (the plan then costs " in t for t in error.value.relaxations)
    # Cancelling all costs 0.8 of 100 x 3 MUSD at once; 1 MUSD is there.
    assert any(t.startswith("+239 MUSD") for t in error.value.relaxations)


def test_a_due_month_that_is_too_early_names_the_delay() -> None:
    case = instance(**SMALL)
    first = case.market.scenario.jobs[0]
    assert isinstance(first, TrainJob)
    market = must(case, tokens=3 * first.tokens, due=first.earliest)
    with pytest.raises(NoPlan) as error:
        attempt(market, case)
    assert any("months later" in t for t in error.value.relaxations)


@pytest.mark.parametrize("method", ["written out", "decomposed"])
def test_a_stop_before_any_plan_is_a_keyboard_interrupt(method: str) -> None:
    case = instance(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        solve_market(case.market, case.rates, draw(case.market, 2, 1), stop=lambda: True, method=method)


def test_a_stop_later_brings_the_best_plan_with_its_gap() -> None:
    case = instance(**{**SMALL, "months": 16, "jobs": 8, "systems": 5})
    seen: list[str] = []

    def stop() -> bool:
        return seen.count("whole") > 0

    found = solve_market(case.market, case.rates, draw(case.market, 3, 1), gap=0.0, stop=stop, method="decomposed",
                         progress=lambda phase, *_: seen.append(phase))
    assert found.status == "stopped"
    assert 0 < found.gap < 1
    assert found.bound < found.objective


def test_a_stop_in_the_relaxed_rounds_still_brings_a_whole_plan() -> None:
    case = instance(**{**SMALL, "months": 16, "jobs": 8, "systems": 5})
    seen: list[str] = []
    found = solve_market(case.market, case.rates, draw(case.market, 3, 1), gap=0.0, stop=lambda: len(seen) >= 3,
                         method="decomposed", progress=lambda phase, *_: seen.append(phase))
    assert seen == ["relaxed"] * 3
    assert found.status == "stopped"
    assert found.bound < found.objective
