"""Take or pay, prepayment, capacity that is taken away, and ways to sell used units."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import Instance, instance
from exafleet.facts.deals import Channel
from exafleet.facts.steps import Steps
from exafleet.market.futures import base, draw
from exafleet.market.market import MEAN_MONTH, Market
from exafleet.plan.plan import PARTS, Plan
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import TwoStage, two_stage

SMALL = {"months": 8, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01, "seed": 2,
         "budget": False}


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def rented(market: Market, **changes: object) -> Market:
    mine = tuple(replace(r, **changes) if r.term > 1 else r for r in market.scenario.rentals)
    return replace(market, scenario=replace(market.scenario, rentals=mine))


def problem(case: Instance, market: Market) -> TwoStage:
    draws = base(market)
    return two_stage(market, draws, sets(market, case.rates, draws))


def solved(case: Instance, market: Market, n: int = 1) -> Plan:
    return solve_market(market, case.rates, draw(market, n, 1), gap=0.0)


def cost(p: TwoStage, part: str) -> np.ndarray:
    return np.asarray(p.parts1[0].todense())[PARTS.index(part)]


def test_a_prepayment_moves_money_forward_and_what_lies_beyond_the_plan_is_left_over(case: Instance) -> None:
    flat = replace(case.market, discount=np.ones_like(case.market.discount))
    plain, early = problem(case, flat), problem(case, rented(flat, prepay=0.4))
    column = plain.build.x["contract"]
    at = column[column >= 0]
    np.testing.assert_allclose((cost(early, "reserved rent") + cost(early, "residual"))[at],
                               cost(plain, "reserved rent")[at])
    for r, o, t in np.argwhere(column >= 0):
        rental = flat.scenario.rentals[r]
        outside = max(t + rental.wait + rental.term - flat.months, 0) * MEAN_MONTH
        price = flat.rental_price[r, t] * rental.block
        assert cost(early, "residual")[column[r, o, t]] == pytest.approx(-0.4 * price * outside)
    dear = problem(case, rented(case.market, prepay=0.4)).cost1[0, at]
    assert (dear >= problem(case, case.market).cost1[0, at] - 1e-9).all()


def test_only_the_share_taken_is_paid_anyway_and_use_beyond_it_by_the_hour(case: Instance) -> None:
    cheap = replace(case.market, rental_price=case.market.rental_price * 0.2, rental_most=case.market.rental_most * 10)
    whole, part = solved(case, cheap), solved(case, rented(cheap, take=0.5))
    assert whole.contracts
    assert part.bound <= whole.bound + 1e-6 * abs(whole.bound)
    dear = rented(cheap, take=0.5, over=Steps.constant(1.0))
    found = solved(case, dear)
    p = problem(case, dear)
    at = len(found.holder_owner) + np.array([i for i, r in enumerate(dear.scenario.rentals) if r.term > 1])
    used = found.use[0][:, at].sum(axis=0)
    held = found.reserved.sum(axis=1)[at - len(found.holder_owner)]
    assert (used <= 0.5 * held + 1e-6).all()  # nobody pays a dollar a second
    full = cost(problem(case, cheap), "reserved rent")
    half = cost(p, "reserved rent")
    column = p.build.x["contract"]
    np.testing.assert_allclose(half[column[column >= 0]], 0.5 * full[column[column >= 0]])


def test_interruptions_take_their_share_of_the_work(case: Instance) -> None:
    rentals = tuple(replace(r, interruptions=1 / 3600, lost=900.0) for r in case.market.scenario.rentals)
    assert rentals[0].useful == 0.75
    market = replace(case.market, scenario=replace(case.market.scenario, rentals=rentals))
    calm, shaken = (sets(m, case.rates, base(m)) for m in (case.market, market))
    rented_pair = calm.pair_place >= len(calm.holder_owner)
    assert rented_pair.any()
    np.testing.assert_allclose(shaken.pair_rate, np.where(rented_pair, 0.75, 1.0) * calm.pair_rate)
    assert solved(case, market).bound >= solved(case, case.market).bound - 1e-6


def test_used_units_go_through_the_dearest_channel_first_and_no_channel_takes_more_than_it_can(case: Instance) -> None:
    ways = (Channel(id="orderly", share=1.0, most=Steps.constant(16.0)),
            Channel(id="broker", share=0.85, most=Steps.constant(40.0)))
    market = replace(case.market, scenario=replace(case.market.scenario, channels=ways))
    found, free = solved(case, market, 2), solved(case, case.market, 2)
    assert found.bound >= free.bound - 1e-6 * abs(free.bound)
    k = found.holder_system
    chips = (found.sold_installed * market.chips[k][:, None]).sum(axis=1)
    chips += (found.sold_warehouse * market.chips[:, None]).sum(axis=(1, 2))
    assert chips.max() > 16
    assert chips.max() <= 56 + 1e-6
    one = replace(market, scenario=replace(market.scenario, channels=(replace(ways[0], most=Steps.constant(np.inf)),)))
    assert solved(case, one, 2).bound == pytest.approx(free.bound, rel=1e-6)
