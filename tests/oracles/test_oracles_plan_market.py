"""With every term of the market at once, the decomposed answer equals the written-out one."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, instance
from exafleet.facts.deals import Allocation, Channel, Conversion, Finance, Framework, Payment, Queue, TradeRule
from exafleet.facts.records import Scenario
from exafleet.facts.steps import Steps
from exafleet.market.futures import draw
from exafleet.market.market import MEAN_MONTH, Market
from exafleet.plan.decompose import solve_decomposed
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import solve_written_out

SMALL = {"months": 7, "systems": 3, "sites": 2, "owners": 2, "jobs": 4, "sizes": 2, "scale": 0.01}
PAYMENTS = (Payment(anchor="order", months=0, share=0.3), Payment(anchor="arrival", months=-1, share=0.4),
            Payment(anchor="arrival", months=1, share=0.3))


def everything(market: Market) -> Market:
    """The market with every term that an offer, an order, a rental or an owner can have."""
    scenario = market.scenario
    places = (Queue(premium=0.02, sooner=MEAN_MONTH, units=2.0), Queue(premium=0.05, sooner=2 * MEAN_MONTH, units=1.0))
    offers = tuple(replace(f, cancel=0.3, payments=PAYMENTS, least=2, multiple=2, queue=None, queues=places,
                           framework=Framework(units=4.0, penalty=0.1, owner="owner0")) for f in scenario.offers)
    orders = tuple(replace(q, change=(Conversion(to="offer0", fee=0.05, most=0.5),)) for q in scenario.open_orders)
    rentals = tuple(replace(r, take=0.6, prepay=0.2) if r.term > 1 else replace(r, interruptions=1e-4, lost=600.0)
                    for r in scenario.rentals)
    return replace(market, scenario=replace(
        scenario, offers=offers, open_orders=orders, rentals=rentals, risk=replace(scenario.risk, react=2, weight=0.3),
        **extra(scenario)))


def extra(scenario: Scenario) -> dict[str, object]:
    """What stands beside the offers: pools, money, rules of trade, ways to sell."""
    names = tuple(f.id for f in scenario.offers)
    return {
        "allocations": (Allocation(id="pool", offers=names, most=Steps.constant(200.0), shares=(("owner1", 0.5),)),),
        "finance": (Finance(id="loan", kind="loan", lender="bank", term=4, advance=0.7, rate=0.05, fee=0.01, most=2e7),
                    Finance(id="lease", kind="lease", lender="lessor", term=2, rent=0.05, offers=names[:1])),
        "rules": (TradeRule(id="tariff", kind="tariff", first=START + 2, rate=0.1),
                  TradeRule(id="ban", kind="ban", stage="install", first=START + 5, sites=("site0",))),
        "channels": (Channel(id="orderly", share=1.0, most=Steps.constant(24.0)),
                     Channel(id="auction", share=0.65, most=Steps.constant(80.0)))}


@pytest.mark.parametrize("seed", [1, 3])
def test_two_ways_agree_with_everything(seed: int) -> None:
    given = instance(**{**SMALL, "seed": seed})
    market = everything(given.market)
    draws = draw(market, 3, seed, rates=given.rates)
    problem = two_stage(market, draws, sets(market, given.rates, draws))
    whole, split = solve_written_out(problem, 0.0), solve_decomposed(problem, 0.0)
    assert whole.status == split.status == "optimal"
    assert split.value == pytest.approx(whole.value, rel=1e-6)


def test_parts_and_books_add_up_with_everything() -> None:
    given = instance(**{**SMALL, "seed": 2})
    market = everything(given.market)
    found = solve_market(market, given.rates, draw(market, 2, 2, rates=given.rates), gap=0.01)
    worst = found.cost.total.max()
    assert found.objective == pytest.approx(0.7 * found.expected.total + 0.3 * worst, rel=1e-9)
    np.testing.assert_allclose(found.books[..., :market.months].sum(axis=1), found.cash, atol=1e-6)
