"""Orders cancelled, deferred and placed as things arrive: what they cost, when they may be, and that they pay."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import Instance, instance
from exafleet.market.draws import Draws
from exafleet.market.futures import draw
from exafleet.market.market import Market
from exafleet.plan.plan import Plan
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import TwoStage, two_stage

SMALL = {"months": 12, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.01, "seed": 1,
         "discount": 0.0}


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def reacting(case: Instance, react: int, **offer: object) -> Market:
    scenario = case.market.scenario
    offers = tuple(replace(f, **{"cancel": 0.25, **offer}) for f in scenario.offers)
    return replace(case.market, resale=np.zeros_like(case.market.resale),
                   scenario=replace(scenario, offers=offers, risk=replace(scenario.risk, react=react)))


def late(case: Instance, market: Market, months: int) -> Draws:
    """Two draws: as quoted, and everything so many months later."""
    drawn = draw(market, 2, 1, rates=case.rates)
    shift = np.array([0, months])
    return replace(drawn, lead=drawn.lead[:1] + shift[:, None, None], slip=drawn.slip[:1] + shift[:, None],
                   rate=np.ones_like(drawn.rate))


def problem(case: Instance, market: Market, draws: Draws) -> TwoStage:
    return two_stage(market, draws, sets(market, case.rates, draws))


def test_an_order_cancelled_later_costs_its_share_of_the_price_and_nothing_else(case: Instance) -> None:
    market = reacting(case, 2, deposit=0.2)
    p = problem(case, market, late(case, market, 4))
    later, book = p.build.later, p.build.book
    assert len(later.cut_order)
    cost2 = np.asarray(p.parts2.sum(axis=0)).ravel()
    seen = set()
    for u, c in enumerate(later.cut_order):
        for n in range(p.draws):
            if min(book.arrival[n, c], market.months) == later.cut_arrival[u]:
                seen.add((n, bool(later.cut_arrival[u] == market.months)))
                total = np.asarray(p.parts1[n].sum(axis=0)).ravel()[p.build.x["order"][c]] + cost2[p.build.y["cut"][u]]
                assert total == pytest.approx(0.25 * book.price[c] + book.premium[c])
    assert {(0, False), (1, False), (1, True)} <= seen


def test_cancelling_is_possible_only_in_the_draw_it_belongs_to_and_before_arrival(case: Instance) -> None:
    market = reacting(case, 3)
    p = problem(case, market, late(case, market, 2))
    later, book = p.build.later, p.build.book
    arrival = np.minimum(book.arrival[:, later.cut_order], market.months)
    open_in = p.y_upper[:, p.build.y["cut"]] > 0
    np.testing.assert_array_equal(open_in, (arrival == later.cut_arrival) & (book.most[later.cut_order] > 0))
    assert (later.cut_month % 3 == 0).all()
    assert (later.cut_month > 0).all()
    assert (later.cut_month < later.cut_arrival).all()
    assert (later.cut_month > book.month[later.cut_order]).all()
    assert (later.new_month + p.build.draws.lead[0, later.new_offer, later.new_month] < market.months).all()


def solved(case: Instance, market: Market, draws: Draws) -> Plan:
    return solve_market(market, case.rates, draws, gap=0.0)


def test_reacting_is_worth_something_where_late_units_are_worthless(case: Instance) -> None:
    plans = []
    for react in (0, 3):
        market = reacting(case, react, deposit=0.1)
        plans.append(solved(case, market, late(case, market, 9)))
    fixed, free = plans
    assert not fixed.changes
    assert free.bound < fixed.bound - 1e-3 * abs(fixed.bound)
    kinds = {c.kind for c in free.changes}
    assert "cancel" in kinds
    for c in free.changes:
        assert all(units >= 0 for units in c.units)
    ordered = sum(o.units for o in free.orders)
    cancelled = [sum(c.units[n] for c in free.changes if c.kind == "cancel" and c.what.startswith("offer"))
                 for n in range(2)]
    assert max(cancelled) <= ordered + 1e-6
    np.testing.assert_allclose(free.cost.total.mean(), free.objective, rtol=1e-9)


def test_more_is_ordered_in_a_draw_that_needs_more_and_within_what_the_offer_has(case: Instance) -> None:
    market = reacting(case, 2)
    market = replace(market, resale=case.market.resale, resale_most=np.zeros(market.months))
    drawn = late(case, market, 0)
    demand = drawn.demand.copy()
    demand[1] *= 6.0
    found = solved(case, market, replace(drawn, demand=demand))
    more = [c for c in found.changes if c.kind == "order"]
    assert more
    assert max(c.units[1] for c in more) > 0
    for f, offer in enumerate(market.scenario.offers):
        slots = np.zeros((2, market.months))
        for c in (c for c in more if c.what == offer.id):
            slots[:, c.month + drawn.lead[0, f, c.month]] += c.units
        for o in (o for o in found.orders if o.offer == offer.id):
            slots[:, o.arrival] += o.units
        assert (slots <= market.supply[f] + 1e-6).all()
        assert (slots.sum(axis=1) <= offer.total + 1e-6).all()


def test_open_orders_wait_or_go_later_and_every_unit_is_accounted_for(case: Instance) -> None:
    scenario = case.market.scenario
    orders = tuple(replace(q, cancel=0.2, paid=0.2, defer=0.0, units=7, promised=scenario.start + 4)
                   for q in scenario.open_orders)
    market = reacting(case, 2)
    market = replace(market, can_order=np.zeros_like(market.can_order), promised=np.array([4]),
                     scenario=replace(market.scenario, open_orders=orders, discount=0.5),
                     discount=1.5 ** -(np.append(np.arange(12) + 0.5, 12.0) / 12))
    p = problem(case, market, late(case, market, 1))
    late_units, cut = p.build.y["open late"], p.build.y["open cut"]
    assert (late_units >= 0).any()
    assert (cut >= 0).any()
    found = solved(case, market, late(case, market, 1))
    k = market.systems.index(orders[0].system)
    kept = sum(units for _, units, _ in found.kept[0].arrivals)
    assert kept + found.kept[0].cancelled == 7
    for n in range(2):
        gone = sum(c.units[n] for c in found.changes if c.kind == "cancel" and c.arrival < market.months)
        waiting = sum(c.units[n] for c in found.changes if c.kind == "defer" and c.arrival == market.months - 1)
        assert found.arrivals[n, 0, k].sum() + gone + waiting == pytest.approx(kept)
