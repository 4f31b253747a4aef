"""Rolling: what was decided and lived is carried exactly, whatever kind of state it is."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, Instance, instance
from exafleet.facts.deals import OpenOrder
from exafleet.facts.records import Move, TrainJob
from exafleet.facts.steps import Spread, Steps
from exafleet.fleet.rates import Rates
from exafleet.market.futures import draw
from exafleet.market.market import MEAN_MONTH, Market
from exafleet.market.resale import resale_values
from exafleet.plan.carry import Lived, first_names, second_names
from exafleet.plan.policies import POLICIES, policy
from exafleet.plan.solve import solve_market
from exafleet.replay.hindsight import hindsight
from exafleet.replay.rolling import Life, Settings, Truth, View, account, decide, live, roll, truth_of, violations

SMALL = {"months": 7, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.005, "seed": 2}
EXACT = Settings(draws=2, gap=1e-5)


def known(case: Instance) -> View:
    return View(market=case.market, rates=case.rates)


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


@pytest.fixture(scope="module")
def truth(case: Instance) -> Truth:
    return truth_of(known(case), draw(case.market, 1, 1, rates=case.rates))


@pytest.mark.parametrize("dates", [[0], [0, 2, 4], list(range(7))])
def test_without_surprises_a_rolling_run_is_the_static_plan(case: Instance, truth: Truth, dates: list[int]) -> None:
    plan = solve_market(case.market, case.rates, draw(case.market, 1, 1, rates=case.rates), gap=0.0)
    life = roll(policy("deterministic"), lambda k, months: known(case), truth, dates, EXACT)
    assert life.done == len(dates)
    # The bound is proven without whole units; the static plan has them, so the run lies between the two, up to a hair.
    slack = 1e-4 * abs(plan.objective) + (plan.objective - plan.bound)
    assert plan.bound - slack <= float(life.cost.total) <= plan.objective + slack
    assert life.objective[0] == pytest.approx(plan.bound, rel=1e-4)
    assert max(violations(truth, life.lived).values()) < 1e-5


def test_parts_of_a_life_add_up_and_agree_with_what_its_last_plan_expected(case: Instance, truth: Truth) -> None:
    life = roll(policy("deterministic"), lambda k, months: known(case), truth, [0, 5], EXACT)
    assert float(life.cost.total) == pytest.approx(float(np.sum(life.cost.values)), rel=1e-12)
    assert life.objective[-1] == pytest.approx(float(life.cost.total), rel=5e-3)  # nearly all is behind


def lives(case: Instance, n: int, dates: list[int]) -> tuple[Truth, list[Life]]:
    true = truth_of(known(case), draw(case.market, 6, 5, rates=case.rates), n)
    return true, [roll(p, lambda k, months: known(case), true, dates, Settings(draws=2, gap=0.001)) for p in POLICIES]


@pytest.mark.slow
@pytest.mark.parametrize("n", [3])
def test_hindsight_costs_no_more_than_any_policy_and_every_life_keeps_the_rules(case: Instance, n: int) -> None:
    true, lived = lives(case, n, [0, 3])
    best = hindsight(true, lived, gap=0.001)
    for life in lived:
        assert max(violations(true, life.lived).values()) < 1e-5, life.policy.name
        assert best.bound <= float(life.cost.total) + 1e-6 * abs(best.bound), life.policy.name
        assert float(best.cost.total) <= float(life.cost.total) + 1e-6 * abs(best.bound), life.policy.name
    costs = {round(float(life.cost.total)) for life in lived}
    assert len(costs) > 3, "policies that all do the same judge nothing"


def test_the_second_run_is_the_same_to_the_byte(case: Instance, truth: Truth) -> None:
    first, second = (roll(policy("planner"), lambda k, months: known(case), truth, [0, 3], EXACT) for _ in range(2))
    assert repr(first) == repr(second)


# ------------------------------------------------------------------------------------------------ each kind of state
def after(case: Instance, market: Market, months: int = 3, name: str = "deterministic") -> tuple[Lived, Market]:
    """What has been lived of a market in which everything comes as quoted, and the market."""
    view = View(market=market, rates=case.rates)
    true = truth_of(view, draw(market, 1, 1, rates=case.rates))
    values, _, _ = decide(view, Lived(), policy(name), EXACT)
    return live(view, true, Lived(), values, months), market


def again(case: Instance, market: Market, lived: Lived, months: int) -> Lived:
    view = View(market=market, rates=case.rates)
    true = truth_of(view, draw(market, 1, 1, rates=case.rates))
    values, _, _ = decide(view, lived, policy("deterministic"), EXACT)
    return live(view, true, lived, values, months)


def of(lived: Lived, name: str, month: int) -> dict[tuple[str | int, ...], float]:
    return {key[1:-1]: value for key, value in lived.second.items() if key[0] == name and key[-1] == month}


def test_units_in_the_hall_and_in_the_warehouse_are_carried(case: Instance) -> None:
    scenario = case.market.scenario
    at_once = tuple(replace(q, most_deferral=0) for q in scenario.open_orders)
    slow = replace(case.market, install=case.market.install * 0.02, resale_most=np.zeros(case.market.months),
                   scenario=replace(scenario, open_orders=tuple(replace(q, cancel=1.0, paid=1.0) for q in at_once)))
    lived, market = after(case, slow)  # a rack that nobody has the hands to install waits in the warehouse
    more = again(case, market, lived, 5)
    assert of(lived, "warehouse", 2), "the case must have something to carry"
    for month in (3, 4):
        before, now = of(more, "installed", month - 1), of(more, "installed", month)
        for key in now | before:
            change = of(more, "install", month).get(key, 0.0) - of(more, "sold installed", month).get(key, 0.0)
            left = sum(units for lane, units in of(more, "moved", month).items() if (lane[2], lane[0], lane[3]) == key)
            came = sum(units for lane, units in of(more, "moved", month - 1).items()
                       if (lane[2], lane[1], lane[3]) == key)
            assert now.get(key, 0.0) == pytest.approx(before.get(key, 0.0) + change - left + came, abs=1e-5)
    assert all(more.second[key] == value for key, value in lived.second.items()), "the past has changed"


def test_units_on_the_road_arrive_after_the_next_plan(case: Instance) -> None:
    scenario = case.market.scenario
    away = (Move(start="site0", end="site1", cost=1.0, months=2, most=100.0),)
    market = replace(case.market, scenario=replace(scenario, moves=away), cooled=np.ones_like(case.market.cooled),
                     resale_most=np.zeros(case.market.months))
    lived, market = after(case, market, 1)
    key = next(k for k in of(lived, "installed", 0) if k[1] == "site0")
    moved = replace(lived, second={**lived.second, ("moved", "site0", "site1", key[0], key[2], 0): 1.0})
    assert ("moved", "site0", "site1", key[0], key[2], 0) in second_names_of(case, market)
    more, less = again(case, market, moved, 3), again(case, market, lived, 3)
    there = (key[0], "site1", key[2])
    assert of(more, "installed", 2).get(there, 0.0) >= of(less, "installed", 2).get(there, 0.0) + 1 - 1e-6


def second_names_of(case: Instance, market: Market) -> set[tuple[str | int, ...]]:
    from exafleet.plan.sets import sets
    from exafleet.plan.twostage import two_stage

    draws = draw(market, 1, 1, rates=case.rates)
    return set(second_names(two_stage(market, draws, sets(market, case.rates, draws)).build).keys)


def test_orders_are_carried_with_what_was_paid_and_come_when_they_come(case: Instance) -> None:
    true = truth_of(known(case), draw(case.market, 1, 1, rates=case.rates))
    late = replace(true, lead=true.lead + 2)
    values, _, _ = decide(known(case), Lived(), policy("all-in-newest"), EXACT)
    lived = live(known(case), late, Lived(), values, 2)
    placed = {key: v for key, v in lived.first.items() if key[0] == "order"}
    assert placed
    assert not any((key[1], key[3], key[5]) in lived.came for key in placed), "nothing may have come yet"
    whole = live(known(case), late, lived, {k: v for k, v in values.items() if k in placed}, case.market.months)
    offers = [x.id for x in case.market.scenario.offers]
    for (offer, month, queued), when in whole.came.items():
        assert queued or when == month + late.lead[offers.index(offer), month]
    cost = account(late, whole)
    price = sum(units * float(case.market.price[offers.index(str(key[1])), int(key[3])])
                for key, units in placed.items())
    paid = float(cost.values[cost.names.index("hardware")])
    assert 0.85 * price < paid < 1.02 * price + sum(q.price * q.units for q in case.market.scenario.open_orders)


def test_contracts_still_running_are_carried(case: Instance) -> None:
    signed = ("contract", "rent1", "owner0", 0)
    lived, market = after(case, case.market, 2)
    lived = replace(lived, first={**lived.first, signed: 1.0})
    true = truth_of(known(case), draw(case.market, 1, 1, rates=case.rates))
    more = again(case, market, lived, 6)
    assert more.first[signed] == 1.0
    rental = next(r for r in market.scenario.rentals if r.id == "rent1")
    run = slice(rental.wait, min(rental.wait + rental.term, market.months))
    month = market.rental_price[1, 0] * rental.block * market.seconds[run] * market.discount[run]
    cost = account(true, more)
    others = sum(v for k, v in more.first.items() if k[0] == "contract" and k != signed)
    assert others or float(cost.values[cost.names.index("reserved rent")]) == pytest.approx(
        float(month.sum()), rel=1e-9)


def test_runs_go_on_where_they_stand_with_the_progress_they_have(case: Instance) -> None:
    lived, market = after(case, case.market, 3)
    begun = lived.placements()
    assert begun, "the case must have a run to carry"
    more = again(case, market, lived, 6)
    assert set(begun) <= set(more.placements())
    for run in begun:
        done = [more.second.get(("done", run.job, t), 0.0) for t in range(6)]
        assert done == sorted(done)
        assert done[:3] == [lived.second.get(("done", run.job, t), 0.0) for t in range(3)]


def test_money_in_hand_is_carried(case: Instance) -> None:
    lived, market = after(case, case.market, 3)
    assert of(lived, "in hand", 2), "the case must have a budget"
    poor = replace(lived, second={key: 0.0 if key[0] == "in hand" else v for key, v in lived.second.items()})
    rich = again(case, market, lived, 4)
    spent = again(case, market, poor, 4)
    assert sum(of(rich, "in hand", 3).values()) > sum(of(spent, "in hand", 3).values())


def test_an_order_that_is_late_is_believed_to_come_later_at_the_next_plan(case: Instance) -> None:
    true = truth_of(known(case), draw(case.market, 1, 1, rates=case.rates))
    late = replace(true, lead=true.lead + 4)
    life = roll(policy("all-in-newest"), lambda k, months: known(case), late, [0, 3], EXACT)
    came = [month for month in life.lived.came.values() if month < case.market.months]
    assert all(when >= 4 for when in came)
    assert max(violations(late, life.lived).values()) < 1e-5


def test_an_open_order_that_slipped_is_not_counted_twice(case: Instance) -> None:
    order = OpenOrder(id="late", owner="owner0", supplier="s", system="sys0", units=3, promised=START + 1, price=2e5,
                      paid=1.0, slip=Spread(low=0.0, mid=0.0, high=MEAN_MONTH), most_deferral=0)
    scenario = replace(case.market.scenario, open_orders=(order,), resale_most=Steps.constant(0.0))
    market = replace(case.market, scenario=scenario, promised=np.array([1]), slip=np.array([[0.0, 0.0, 1.0]]),
                     resale_most=np.zeros(case.market.months))
    view = View(market=market, rates=case.rates)
    true = replace(truth_of(view, draw(market, 1, 1, rates=case.rates)), slip=np.array([3]))
    life = roll(policy("nothing"), lambda k, months: view, true, [0, 2], EXACT)
    assert life.lived.due[("late", 0)] == 4
    total = [sum(of(life.lived, name, t).get(("owner0", *rest, "sys0"), 0.0) for name, rest in
                 (("installed", ("site0",)), ("installed", ("site1",)), ("warehouse", ()))) for t in (3, 4, 5)]
    assert total[1] == total[0] + 3
    assert total[2] == total[1]


# -------------------------------------------------------------------------------------------------- the horizon's end
@pytest.mark.slow
def test_a_longer_horizon_hardly_changes_the_first_orders() -> None:
    """A stationary case: what is bought at first stays when the plan looks further, because units keep a value."""
    firsts = []
    for months in (12, 18, 24):
        market, rates = stationary(months)
        plan = solve_market(market, rates, draw(market, 1, 0), gap=1e-6)
        firsts.append(sum(order.units for order in plan.orders if order.month < 2))
    assert firsts[0] > 0
    assert max(firsts) - min(firsts) <= 0.1 * max(firsts) + 1, firsts


def stationary(months: int) -> tuple[Market, Rates]:
    """One owner, one site, steady prices, power and demand, nothing owned at first."""
    case = instance(months=months, systems=2, sites=1, owners=1, jobs=4, sizes=1, scale=0.02, budget=False, seed=3)
    market, ones = case.market, np.ones(months)
    jobs = tuple(j for j in market.scenario.jobs if not isinstance(j, TrainJob))
    keep = [i for i, j in enumerate(market.scenario.jobs) if not isinstance(j, TrainJob)]
    scenario = replace(market.scenario, jobs=jobs, open_orders=(), holdings=(), rentals=(), resale_most=None)
    price = market.price[:, :1] * ones
    used = [resale_values([(1, float(p))], market.scenario.resale, months) for p in price[:, 0]]
    return replace(market, scenario=scenario, demand=market.demand[keep][:, :1] * ones, price=price,
                   power=market.power[:, :1] * ones, holdings=np.zeros_like(market.holdings), resale=np.array(used),
                   promised=np.zeros(0, dtype=np.int64), slip=np.zeros((0, 3)), resale_most=np.zeros(months),
                   rental_price=np.zeros((0, months)), rental_most=np.zeros((0, months)),
                   can_rent=np.zeros((0, months), dtype=bool), rentable=np.zeros((0, 1), dtype=bool)), case.rates


def test_ctrl_c_keeps_the_periods_finished(case: Instance, truth: Truth) -> None:
    asked = {"n": 0}

    def said(name: str, done: int, total: int) -> None:
        asked["n"] = done

    life = roll(policy("nothing"), lambda k, months: known(case), truth, [0, 2, 4, 5],
                Settings(draws=1, gap=0.01, stop=lambda: asked["n"] >= 2), said)
    assert life.done == 2
    assert life.lived.months == 4
    assert len(life.decided) == len(life.objective) == 2


def test_names_are_each_their_own(case: Instance) -> None:
    from exafleet.plan.sets import sets
    from exafleet.plan.twostage import two_stage

    draws = draw(case.market, 1, 1, rates=case.rates)
    build = two_stage(case.market, draws, sets(case.market, case.rates, draws)).build
    for names in (first_names(build), second_names(build)):
        told = [key for key in names.keys if key]
        assert len(set(told)) == len(told)


def named_columns(market: Market, rates: Rates) -> set[tuple[str | int, ...]]:
    from exafleet.plan.sets import sets
    from exafleet.plan.twostage import two_stage

    draws = draw(market, 1, 1, rates=rates)
    return {key for key in second_names(two_stage(market, draws, sets(market, rates, draws)).build).keys if key}


def test_names_stay_when_records_come_in_another_order(case: Instance) -> None:
    """What was sold through a channel, used beyond a contract or held by a loan is known by what it is, not its row."""
    from exafleet.facts.deals import Channel

    scenario = case.market.scenario
    rentals = tuple(replace(r, take=0.5, over=r.price.scaled(2.0)) for r in scenario.rentals)
    channels = (Channel(id="broker", share=0.9, most=Steps.constant(1000.0)),
                Channel(id="auction", share=0.6, most=Steps.constant(1000.0)))
    market = replace(case.market, scenario=replace(scenario, rentals=rentals, channels=channels))
    # The same records in another order: the first of everything is the last.
    swapped = replace(market, scenario=replace(market.scenario, rentals=rentals[::-1], channels=channels[::-1]),
                      rental_price=market.rental_price[::-1], rental_most=market.rental_most[::-1],
                      can_rent=market.can_rent[::-1], rentable=market.rentable[::-1])
    names, again = named_columns(market, case.rates), named_columns(swapped, case.rates)
    assert names == again
    for kind in ("sold through", "used beyond"):
        parts = [key[1:] for key in names if key[0] == kind]
        assert parts, f"the case must have columns {kind}"
        assert all(isinstance(part, str) for key in parts for part in key[:-1])


def test_columns_without_a_name_are_not_carried_by_their_place(case: Instance,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    from exafleet.plan import carry

    real = carry._second_labels
    monkeypatch.setattr(carry, "_second_labels", lambda b: {k: v for k, v in real(b).items() if k != "installed"})
    with pytest.raises(RuntimeError, match="no names for the columns 'installed'"):
        named_columns(case.market, case.rates)
