"""Instalments, least orders and multiples, frameworks, pools, places in the queue, and changed orders."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, Instance, instance
from exafleet.facts.deals import Allocation, Conversion, Framework, Payment, Queue
from exafleet.facts.steps import Steps
from exafleet.market.draws import Draws
from exafleet.market.futures import base, draw
from exafleet.market.market import MEAN_MONTH, Market
from exafleet.plan.instalments import instalments, longest_ahead
from exafleet.plan.plan import Plan
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import TwoStage, two_stage

SMALL = {"months": 8, "systems": 3, "sites": 2, "owners": 2, "jobs": 4, "sizes": 2, "scale": 0.01, "seed": 2,
         "budget": False}
THIRDS = (Payment(anchor="order", months=0, share=0.2), Payment(anchor="order", months=2, share=0.1),
          Payment(anchor="arrival", months=-1, share=0.4), Payment(anchor="arrival", months=0, share=0.2),
          Payment(anchor="arrival", months=3, share=0.1))


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def offers(market: Market, **changes: object) -> Market:
    scenario = market.scenario
    return replace(market, scenario=replace(scenario, offers=tuple(replace(f, **changes) for f in scenario.offers)))


def solved(case: Instance, market: Market, draws: Draws | None = None) -> Plan:
    return solve_market(market, case.rates, draws or base(market), gap=0.001)


def problem(case: Instance, market: Market, draws: Draws | None = None) -> TwoStage:
    draws = draws or base(market)
    return two_stage(market, draws, sets(market, case.rates, draws))


def paid(plan: Plan, kinds: tuple[str, ...]) -> np.ndarray:
    from exafleet.plan.plan import BOOKS

    return plan.books[:, [BOOKS.index(k) for k in kinds]].sum(axis=1)


# ---------------------------------------------------------------------------------------------------------- instalments
def test_instalments_fall_in_their_months_and_add_up(case: Instance) -> None:
    market = offers(case.market, payments=THIRDS)
    one, ordered, arrives = np.array([0]), np.array([2]), np.array([6])
    found = [(int(p.month[0]), float(p.share[0]), p.kind) for p in instalments(market, one, ordered, arrives)]
    assert found == [(2, 0.2, "deposits"), (4, 0.1, "deposits"), (5, 0.4, "deposits"), (6, 0.2, "hardware"),
                     (9, 0.1, "hardware")]
    soon = [int(p.month[0]) for p in instalments(market, one, ordered, np.array([2]))]
    assert min(soon) == 2  # nothing is paid before it is ordered
    assert longest_ahead(market) == 1


def test_a_deposit_is_the_short_form_of_two_instalments(case: Instance) -> None:
    long = tuple(Payment(anchor=a, months=0, share=s) for a, s in (("order", 0.2), ("arrival", 0.8)))
    a, b = problem(case, case.market), problem(case, offers(case.market, payments=long, deposit=0.0))
    np.testing.assert_allclose(a.cost1, b.cost1, rtol=1e-12)
    assert (a.cash1[0] != b.cash1[0]).nnz == 0


def test_later_payment_costs_less_and_the_books_hold_every_instalment(case: Instance) -> None:
    late = (Payment(anchor="arrival", months=6, share=1.0),)
    now, then = (problem(case, offers(case.market, payments=p)) for p in (THIRDS, late))
    column = now.build.x["order"]
    assert (then.cost1[0, column] < now.cost1[0, column]).all()
    found = solved(case, offers(case.market, payments=THIRDS))
    assert found.orders
    total = sum(o.units * o.price for o in found.orders if not o.queued)
    premium = paid(found, ("queue premium",)).sum()
    hardware = paid(found, ("deposits", "hardware")).sum()
    kept = sum(u for _, u, _ in found.kept[0].arrivals) * case.market.scenario.open_orders[0].price * 0.8
    queued = sum(o.units * o.price for o in found.orders if o.queued)
    assert hardware + premium == pytest.approx(total + queued + kept)


def test_cancelling_later_gives_back_what_was_paid_beyond_the_share(case: Instance) -> None:
    market = offers(case.market, payments=THIRDS, cancel=0.25)
    market = replace(market, resale=np.zeros_like(market.resale), discount=np.ones_like(market.discount),
                     scenario=replace(market.scenario, risk=replace(market.scenario.risk, react=2)))
    drawn = draw(market, 2, 1)
    drawn = replace(drawn, lead=drawn.lead[:1] + np.array([0, 4])[:, None, None], slip=drawn.slip)
    p = problem(case, market, drawn)
    later, book = p.build.later, p.build.book
    cost2 = np.asarray(p.parts2.sum(axis=0)).ravel()
    assert later.cut_arrival.max() > market.months
    for u, c in enumerate(later.cut_order):
        for n in range(2):
            if p.y_upper[n, p.build.y["cut"][u]] > 0:
                total = np.asarray(p.parts1[n].sum(axis=0)).ravel()[p.build.x["order"][c]] + cost2[p.build.y["cut"][u]]
                assert total == pytest.approx(0.25 * book.price[c] + book.premium[c])


# ----------------------------------------------------------------------------------------------------------- quantities
def groups(plan: Plan) -> dict[tuple[str, str, int], int]:
    found: dict[tuple[str, str, int], int] = {}
    for o in plan.orders:
        found[o.offer, o.owner, o.month] = found.get((o.offer, o.owner, o.month), 0) + o.units
    return found


def test_an_order_is_none_or_at_least_the_least(case: Instance) -> None:
    free = groups(solved(case, case.market))
    least = min(free.values()) + 1
    bound = groups(solved(case, offers(case.market, least=least)))
    assert all(units >= least for units in bound.values())
    assert solved(case, offers(case.market, least=least)).bound >= solved(case, case.market).bound - 1.0


def test_orders_come_in_multiples(case: Instance) -> None:
    found = groups(solved(case, offers(case.market, multiple=3)))
    assert found
    assert all(units % 3 == 0 for units in found.values())


def test_a_framework_is_fulfilled_or_paid_for(case: Instance) -> None:
    first = case.market.scenario.offers[0]
    units = float(min(first.total, 40.0))
    promised = Framework(units=units, penalty=0.3, owner="owner0")
    useless = replace(case.market, can_order=np.zeros_like(case.market.can_order))

    def bound(market: Market) -> Market:
        mine = (replace(market.scenario.offers[0], framework=promised), *market.scenario.offers[1:])
        return replace(market, scenario=replace(market.scenario, offers=mine))

    found = solved(case, bound(useless))
    last = int(min(first.last - START, case.market.months - 1))
    owed = 0.3 * units * float(case.market.price[0, last])
    assert found.cost["take or pay"][0] == pytest.approx(owed * case.market.discount[last])
    assert paid(found, ("take or pay",))[0, 0, last] == pytest.approx(owed)
    free = solved(case, bound(case.market))
    ordered = sum(o.units for o in free.orders if o.offer == first.id)
    short = free.cost["take or pay"][0] / (0.3 * float(case.market.price[0, last]) * case.market.discount[last])
    assert short == pytest.approx(max(units - ordered, 0.0), abs=1e-6)


def test_offers_share_a_pool_and_owners_their_part_of_it(case: Instance) -> None:
    names = tuple(f.id for f in case.market.scenario.offers)
    free = solved(case, case.market)
    chips = dict(zip(case.market.systems, case.market.chips, strict=True))

    def arriving(plan: Plan, owner: str = "") -> np.ndarray:
        total = np.zeros(case.market.months)
        for o in plan.orders:
            total[o.arrival] += o.units * chips[o.system] * (not owner or o.owner == owner)
        return total

    most = float(np.floor(arriving(free).max() / 2 / 8) * 8)
    assert most > 0
    pool = Allocation(id="pool", offers=names, most=Steps.constant(most), shares=(("owner0", 0.25),))
    tight = replace(case.market, scenario=replace(case.market.scenario, allocations=(pool,)))
    found = solved(case, tight)
    assert arriving(found).max() <= most + 1e-6
    assert arriving(found, "owner0").max() <= 0.25 * most + 1e-6
    assert found.bound >= free.bound - 1e-6 * abs(free.bound)
    nothing = replace(pool, most=Steps.constant(0.0))
    react = replace(tight.scenario, allocations=(nothing,), risk=replace(tight.scenario.risk, react=2))
    held = solved(case, replace(tight, scenario=react))
    assert not held.orders
    assert not [c for c in held.changes if c.kind == "order"]


def test_places_in_the_queue_each_have_their_price_and_number(case: Instance) -> None:
    places = (Queue(premium=-0.3, sooner=MEAN_MONTH, units=2.0), Queue(premium=-0.6, sooner=2 * MEAN_MONTH, units=1.0))
    mine = tuple(replace(f, queue=None, queues=places) if f.queue else f for f in case.market.scenario.offers)
    market = replace(case.market, scenario=replace(case.market.scenario, offers=mine))
    found = [o for o in solved(case, market).orders if o.queued]
    assert {o.place: o.units for o in found} == {1: 2, 2: 1}
    plain = next(f for f in mine if f.queues)
    lead = round(plain.lead.mid / MEAN_MONTH)
    for o in found:
        assert o.arrival - o.month == lead - o.place
        price = float(plain.price.at(START + o.month))
        assert o.price == pytest.approx(price * (1.0 + places[o.place - 1].premium))


# ------------------------------------------------------------------------------------------------------- changed orders
def changed(case: Instance, change: Conversion, paid: float = 0.3, price: float = 3e6) -> Market:
    orders = tuple(replace(q, units=10, paid=paid, price=price, cancel=1.0, change=(change,))
                   for q in case.market.scenario.open_orders)
    return replace(case.market, scenario=replace(case.market.scenario, open_orders=orders))


def test_a_changed_order_pays_the_new_price_less_what_was_paid_beyond_the_fee(case: Instance) -> None:
    to = case.market.scenario.offers[0]
    for fee, part in ((0.1, 0.0), (0.5, 0.2)):
        market = changed(case, Conversion(to=to.id, fee=fee, most=0.4))
        market = replace(market, discount=np.ones_like(market.discount))
        p = problem(case, market)
        column = p.build.x["change"][0]
        new = float(market.price[0, 0])
        credit = min(max(0.3 - fee, 0.0) * 3e6, new)
        total = np.asarray(p.parts1[0].sum(axis=0)).ravel()[column]
        assert total == pytest.approx(new + to.fitting - credit + part * 3e6)
        assert p.x_upper[column] == 4
        assert p.build.swap.arrival[0, 0] == round(to.lead.mid / MEAN_MONTH)


def test_units_move_to_the_other_offer_only_as_far_as_allowed(case: Instance) -> None:
    to = case.market.scenario.offers[0]
    market = changed(case, Conversion(to=to.id, fee=0.0, most=0.4), paid=0.9, price=1e9)
    found = solved(case, market)
    kept = found.kept[0]
    assert [(offer, units) for offer, units, _ in kept.changed] == [(to.id, 4)]
    assert kept.cancelled + sum(u for _, u, _ in kept.arrivals) + 4 == 10
    o, k = 0, market.systems.index(to.system)
    came = found.arrivals[0, o, k].sum()
    assert came == pytest.approx(sum(x.units for x in found.orders if (x.owner, x.system) == ("owner0", to.system)) + 4)
