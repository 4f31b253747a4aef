"""Orders revised as a plan is made again: against the plan that knows it all, against arithmetic, against hindsight."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, Instance, instance
from exafleet.facts.deals import Conversion, OpenOrder
from exafleet.facts.records import TrainJob
from exafleet.facts.steps import Spread
from exafleet.fleet.rates import Rates
from exafleet.market.futures import draw
from exafleet.market.market import Market
from exafleet.plan.carry import Key, Lived
from exafleet.plan.policies import Policy, Wish, policy
from exafleet.plan.solve import solve_market
from exafleet.replay.hindsight import hindsight
from exafleet.replay.rolling import (
    Life,
    Settings,
    Truth,
    View,
    account,
    decide,
    live,
    roll,
    truth_of,
    violations,
)

SMALL = {"months": 8, "systems": 3, "sites": 2, "owners": 1, "jobs": 4, "sizes": 2, "scale": 0.005, "seed": 2}
EXACT = Settings(draws=1, gap=1e-5)


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def with_order(case: Instance, *, into: str, fee: float = 0.05, most: float = 0.4, cancel: float = 1.0) -> Market:
    """The case with twenty units of the first system on order for the sixth month, which may become an offer's."""
    order = OpenOrder(id="ordered", owner="owner0", supplier="s", system="sys0", units=20, promised=START + 5,
                      price=2e5, paid=0.3, slip=Spread(low=0.0, mid=0.0, high=0.0), most_deferral=1, cancel=cancel,
                      change=(Conversion(to=into, fee=fee, most=most),))
    return replace(case.market, scenario=replace(case.market.scenario, open_orders=(order,)), promised=np.array([5]),
                   slip=np.zeros((1, 3)))


def lived(market: Market, rates: Rates, dates: list[int], later: Market | None = None, *, name: str = "deterministic",
          own: Policy | None = None) -> tuple[Truth, Life]:
    """A life in which everything comes as quoted; `later` is what is known from the second plan on, and true."""
    last = View(market=later or market, rates=rates)
    true = truth_of(last, draw(last.market, 1, 1, rates=rates))
    return true, roll(own or policy(name), lambda k, months: View(market=market, rates=rates) if k == 0 else last,
                      true, dates, EXACT)


def revised(life: Life) -> dict[Key, float]:
    return {k: v for k, v in life.lived.first.items() if k[0] == "revised" and v > 0.5}


def part(life: Life, name: str) -> float:
    return float(life.cost.values[life.cost.names.index(name)])


@pytest.mark.parametrize("dates", [[0], [0, 3]])
def test_without_surprises_an_order_is_changed_as_the_static_plan_changes_it(case: Instance, dates: list[int]) -> None:
    into = next(f.id for f in case.market.scenario.offers if f.system != "sys0")
    market = with_order(case, into=into, fee=0.0)
    plan = solve_market(market, case.rates, draw(market, 1, 1, rates=case.rates), gap=0.0)
    moved = sum(units for order in plan.kept for _, units, _ in order.changed)
    assert 0 < moved <= 8, "the case must change some of what may be changed, 40 % of 20"
    true, life = lived(market, case.rates, dates)
    slack = 1e-4 * abs(plan.objective) + (plan.objective - plan.bound)
    assert plan.bound - slack <= float(life.cost.total) <= plan.objective + slack
    assert sum(revised(life).values()) == moved
    assert max(violations(true, life.lived).values()) < 1e-5


def without_runs(case: Instance) -> Instance:
    """The case with demand alone, which news can take away."""
    keep = [j for j, job in enumerate(case.market.scenario.jobs) if not isinstance(job, TrainJob)]
    jobs = tuple(case.market.scenario.jobs[j] for j in keep)
    market = replace(case.market, scenario=replace(case.market.scenario, jobs=jobs), demand=case.market.demand[keep])
    return replace(case, market=market)


def test_news_cancels_what_was_ordered_and_costs_what_the_offer_says(case: Instance) -> None:
    """What was ordered has no work any more when the second plan is made: it is cancelled at its share of the price."""
    case = without_runs(case)
    offers = tuple(replace(f, cancel=0.2, deposit=0.3, payments=(), fitting=1e4) for f in case.market.scenario.offers)
    market = replace(case.market, scenario=replace(case.market.scenario, offers=offers, open_orders=()),
                     promised=np.zeros(0, dtype=np.int64), slip=np.zeros((0, 3)), resale=case.market.resale * 0.05)
    idle = replace(market, demand=market.demand * 0.0)
    wish = Wish(offers[0].id, "owner0", 0, 3)
    ordering = Policy(name="three", words="", orders=lambda m, d, now, made: (wish,) if now == 0 else ())
    first, later = View(market=market, rates=case.rates), View(market=idle, rates=case.rates)
    true = truth_of(later, draw(idle, 1, 1, rates=case.rates))
    true = replace(true, lead=np.maximum(true.lead, 4))
    begun = live(first, true, Lived(), decide(first, Lived(), ordering, EXACT)[0], 2)
    stubborn = decide(later, begun, ordering, EXACT)[0]
    assert not any(key[0] == "revised" and v > 0.5 for key, v in stubborn.items()), "a rule of thumb stands by it"
    values = decide(later, begun, policy("deterministic"), EXACT)[0]
    after = live(later, true, begun, values, market.months)
    key = ("revised", "order", offers[0].id, "owner0", 0, 0, 0, "", -1, 2, 0)
    assert values.get(key) == after.first.get(key) == 3.0
    cost = account(true, after)
    price = float(market.price[0, 0])
    told = dict(zip(cost.names, cost.values, strict=True))
    assert told["hardware"] == pytest.approx(3 * 0.3 * price * market.discount[0], rel=1e-9)
    assert told["cancellation"] == pytest.approx(3 * (0.2 - 0.3) * price * market.discount[2], rel=1e-9)
    assert told["fitting"] == pytest.approx(0.0, abs=1.0)
    assert not any(k[:3] == ("warehouse", "owner0", offers[0].system) and v > 1e-6 for k, v in after.second.items())
    assert max(violations(true, after).values()) < 1e-5


def test_an_offer_that_becomes_known_later_takes_over_part_of_an_open_order(case: Instance) -> None:
    """Cut 40 % of what is on order and move it to what was announced since; more than 40 % it cannot be."""
    into = next(f.id for f in case.market.scenario.offers if f.system != "sys0")
    f = [x.id for x in case.market.scenario.offers].index(into)
    market = with_order(case, into=into, fee=0.0, cancel=1.0)
    closed = market.can_order.copy()
    closed[f] = False
    before = replace(market, can_order=closed)
    opened = closed.copy()
    opened[f, 3:] = True
    cheap = market.price.copy()
    cheap[f] *= 0.2
    after = replace(market, can_order=opened, price=cheap)
    true, life = lived(before, case.rates, [0, 2, 4], after)
    moved = {key: v for key, v in revised(life).items() if key[-4] == into}
    assert sum(moved.values()) == 8
    key = next(iter(moved))
    assert key == ("revised", "open", "ordered", 0, into, 0, 2, 0), "at the second plan, the first that knew of it"
    r = life.lived.revised[key]
    assert r.counts == 3
    assert r.arrives in (-1, 3 + int(true.lead[f, 3]))
    assert max(violations(true, life.lived).values()) < 1e-5
    best = hindsight(true, [life], gap=1e-5)
    assert best.bound <= float(life.cost.total) + 1e-6 * abs(best.bound)
    kept, stands = lived(replace(before, scenario=_unchanging(before)), case.rates, [0, 2, 4],
                         replace(after, scenario=_unchanging(after)))
    assert not revised(stands)
    assert float(life.cost.total) < float(stands.cost.total), "the change was worth making"
    assert max(violations(kept, stands.lived).values()) < 1e-5


def _unchanging(market: Market) -> object:
    return replace(market.scenario, open_orders=tuple(replace(q, change=()) for q in market.scenario.open_orders))


def test_an_offer_that_never_opens_gives_back_what_was_paid(case: Instance) -> None:
    into = next(f.id for f in case.market.scenario.offers if f.system != "sys0")
    f = [x.id for x in case.market.scenario.offers].index(into)
    market = with_order(case, into=into, fee=0.0)
    opened = market.can_order.copy()
    opened[f] = False
    opened[f, 3:] = True
    closed = opened.copy()
    closed[f] = False
    cheap = market.price.copy()
    cheap[f] *= 0.2
    true, life = lived(replace(market, can_order=opened, price=cheap), case.rates, [0, 2],
                       replace(market, can_order=closed, price=cheap))
    moved = sum(v for k, v in revised(life).items() if k[-4] == into)
    assert moved > 0
    assert sum(revised(life).values()) == moved
    paid = (20 - moved) * 2e5 * 0.7 * float(market.discount[5])  # the rest of what was kept and came
    back = -moved * 2e5 * 0.3 * float(market.discount[market.months])
    others = sum(u * float(true.market.price[[x.id for x in market.scenario.offers].index(str(k[1])), int(k[3])])
                 for k, u in life.lived.first.items() if k[0] == "order")
    kept = sum(v for k, v in life.lived.first.items() if k[:2] == ("keep", "ordered"))
    assert kept == 20
    if others == 0:
        assert part(life, "hardware") == pytest.approx(paid + back, rel=1e-6)
    else:
        assert paid + back < part(life, "hardware") <= paid + back + others
    assert max(violations(true, life.lived).values()) < 1e-5


def test_the_second_run_is_the_same_to_the_byte(case: Instance) -> None:
    into = next(f.id for f in case.market.scenario.offers if f.system != "sys0")
    market = with_order(case, into=into, fee=0.0)
    assert repr(lived(market, case.rates, [0, 3])[1]) == repr(lived(market, case.rates, [0, 3])[1])
