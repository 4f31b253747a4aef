"""Answers stand on the same plans and costs: each is checked by hand, by a second way, or by what must hold."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import instance
from exafleet.market.futures import draw
from exafleet.plan.evaluate import evaluate
from exafleet.sweep.answers.choices import decide, free, naive
from exafleet.sweep.answers.earlier import earlier, power, with_power
from exafleet.sweep.answers.foresight import foresight
from exafleet.sweep.answers.frontier import frontier
from exafleet.sweep.answers.ground import Ground, Means, judged, mean_of, neutral, planned, unseen
from exafleet.sweep.answers.information import information
from exafleet.sweep.answers.owning import owning, ways
from exafleet.sweep.answers.regret import regret
from exafleet.sweep.answers.turning import MONTHS, Lever, crossing, differing, levers, pulled, turning
from exafleet.sweep.answers.waiting import generations, slipped, waiting
from exafleet.terms.errors import FactError

SMALL = {"months": 9, "systems": 4, "sites": 2, "owners": 1, "jobs": 2, "sizes": 2, "scale": 0.02, "seed": 11}
GAP = 1e-4


@pytest.fixture(scope="module")
def asked() -> Ground:
    case = instance(**SMALL)
    market = case.market
    draws = draw(market, 4, 1, rates=case.rates)
    return Ground(market=market, rates=case.rates, draws=draws, gap=GAP,
                  fresh=unseen(draw(market, 9, 77, rates=case.rates)))


def slack(value: float) -> float:
    return 3 * GAP * abs(value) + 1e-3


def test_the_base_has_no_weight_among_fresh_draws(asked: Ground) -> None:
    assert asked.fresh.probability[0] == 0.0
    assert asked.fresh.probability.sum() == pytest.approx(1.0)
    assert unseen(asked.draws.take([0])).probability.tolist() == [1.0]


def test_mean_and_standard_error_are_those_of_a_sample() -> None:
    values, weight = np.array([9.0, 1.0, 2.0, 6.0]), np.array([0.0, 1 / 3, 1 / 3, 1 / 3])
    found = mean_of(values, weight)
    assert found.value == pytest.approx(3.0)
    assert found.error == pytest.approx(np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    assert np.isnan(mean_of(values, np.array([0.0, 1.0, 0.0, 0.0])).error)


def test_nothing_beats_the_plan_in_the_draws_it_was_made_for(asked: Ground) -> None:
    own = neutral(replace(asked, fresh=asked.draws))
    found = regret(own)
    assert [r.name for r in found][:2] == ["plan", "deterministic"]
    assert sum(not r.refused for r in found) >= 5
    for rival in found[1:]:
        assert rival.refused or rival.extra.value >= -slack(found[0].mean.value), rival.name


def test_rivals_are_judged_by_what_they_order(asked: Ground) -> None:
    nothing = next(c for c in naive(asked.market) if c.name == "nothing")
    decided = decide(asked, nothing)
    assert decided.plan is not None
    assert decided.plan.orders == ()
    found = regret(asked, (nothing,))
    assert found[1].orders == ()
    assert found[1].cost == pytest.approx(judged(asked, decided.plan).total)
    assert found[1].extra.value == pytest.approx(found[1].mean.value - found[0].mean.value)
    assert 0.0 <= found[1].cheaper <= 1.0
    assert found[0].draws == asked.fresh.count - 1


def test_the_same_bytes_from_one_process_and_from_two(asked: Ground) -> None:
    some = naive(asked.market)[:2]
    one, two = (regret(asked, some, Means(workers=n)) for n in (1, 2))
    assert [r.cost.tobytes() for r in one] == [r.cost.tobytes() for r in two]


def test_knowing_is_never_worth_less_than_nothing(asked: Ground) -> None:
    found = information(asked)
    assert 0.0 <= found.perfect[0] <= found.perfect[1]
    assert (found.by_draw >= 0).all()
    assert found.stochastic >= -slack(found.here)
    assert found.here_bound <= found.here + 1e-6
    assert found.here - found.knowing == pytest.approx(found.probability @ found.by_draw)


def test_with_one_future_there_is_nothing_to_know(asked: Ground) -> None:
    sure = replace(asked, draws=asked.draws.take([0, 0], [0.5, 0.5]), fresh=asked.draws.take([0, 0]))
    found = information(sure)
    assert found.here - found.knowing <= slack(found.here)
    assert abs(found.stochastic) <= slack(found.here)


def test_knowing_is_what_each_draw_costs_alone(asked: Ground) -> None:
    plan = planned(neutral(asked), draws=asked.draws.take([0, 2], [0.0, 1.0]))
    alone = evaluate(plan.market, asked.rates, plan, asked.draws.take([0, 2])).total[1]
    assert plan.objective == pytest.approx(alone, rel=1e-6)


def test_no_choice_is_better_than_the_best_in_any_slip(asked: Ground) -> None:
    found = waiting(asked, ("sys3",), (0, 6))
    assert found.choices == ("now", "wait", "both")
    assert found.later == ("sys3",)
    for row in found.regret:
        assert all(r is None or r >= 0 for r in row)
    for orders in (found.orders[0], found.orders[1]):
        assert orders == () or ("sys3" in dict(orders)) == (orders is found.orders[1])
    now = [c[0] for c in found.cost]
    assert now[0] is not None
    assert now[1] is not None
    assert now[1].value == pytest.approx(now[0].value), "what does not wait does not mind the slip"


def test_a_slip_moves_only_the_offers_it_is_about(asked: Ground) -> None:
    new = generations(asked.market, ("sys3",))
    late = slipped(asked.fresh, new, 5)
    assert (late.lead[0] == asked.fresh.lead[0]).all()
    assert (late.lead[1:, new] == asked.fresh.lead[1:, new] + 5).all()
    assert (late.lead[:, ~new] == asked.fresh.lead[:, ~new]).all()


def test_a_system_nobody_offers_cannot_be_waited_for(asked: Ground) -> None:
    with pytest.raises(FactError, match="nobody offers"):
        generations(asked.market, ("sys9", "sys3"))
    with pytest.raises(FactError, match="nothing is on sale but"):
        generations(asked.market, ("sys0", "sys1", "sys2", "sys3"))


def test_what_may_not_be_done_is_not_done(asked: Ground) -> None:
    for way in ways(asked.market):
        plan = decide(asked, way).plan
        if plan is not None and way.closed.all():
            assert plan.orders == ()
        if plan is not None and way.barred.all():
            assert plan.contracts == ()
            assert not plan.rented.any()
    found = owning(neutral(replace(asked, fresh=asked.draws)))
    assert found[0].name == "plan"
    assert all(r.refused or r.extra.value >= -slack(found[0].mean.value) for r in found[1:])


def test_minding_bad_luck_more_lowers_its_cost_and_not_the_mean(asked: Ground) -> None:
    """In the draws planned for; in fresh draws it need not."""
    found = frontier(asked, (0.0, 0.5, 0.95))
    means, tails = zip(*(p.planned for p in found), strict=True)
    assert all(a <= b + slack(a) for a, b in itertools.pairwise(means))
    assert all(a >= b - slack(a) for a, b in itertools.pairwise(tails))
    assert any(p.efficient for p in found)


def test_a_crossing_is_the_nearest_one_and_costs_the_same_there(asked: Ground) -> None:
    lever = Lever(what="delay", of="x", unit="month", values=MONTHS)
    assert crossing(lambda v: 1.0, lever, 1.0) is None
    assert crossing(lambda v: 2.0 - abs(v), lever, 2.0) in (pytest.approx(2.0, abs=0.1), pytest.approx(-2.0, abs=0.1))
    turns = turning(asked, most=1)
    assert turns
    plan = decide(asked, free(asked.market)).plan
    rival = decide(asked, next(c for c in naive(asked.market) if c.name == turns[0].rival)).plan
    assert plan is not None
    assert rival is not None
    assert {t.lever for t in turns} == set(levers(asked.market, differing(plan, rival)))
    for turn in (t for t in turns if t.value is not None and t.lever.unit == "1"):
        draws = pulled(asked.market, asked.fresh, turn.lever, turn.value)
        lead = judged(asked, rival, draws).mean - judged(asked, plan, draws).mean
        assert lead * np.sign(turn.ahead) <= 1e-6 * abs(turn.ahead) + 1e-3, turn


def test_power_that_comes_late_is_never_more_than_stated(asked: Ground) -> None:
    lever = Lever(what="power late", of="", unit="month", values=(0.0, 3.0))
    late = pulled(asked.market, asked.fresh, lever, 3.0)
    watts, before = late.power * asked.market.power, asked.fresh.power * asked.market.power
    assert (watts[1:] <= before[1:] * (1 + 1e-12)).all()
    assert watts[1:, :, 3:] == pytest.approx(np.minimum(before[1:, :, :-3], before[1:, :, 3:]))
    assert (late.power[0] == asked.fresh.power[0]).all()


def test_a_month_earlier_is_worth_what_the_plan_made_anew_saves(asked: Ground) -> None:
    plan = planned(asked)
    found = earlier(asked, plan)
    assert {e.system for e in found} == {o.system for o in plan.orders} | {
        k.system for k in plan.kept if k.arrivals}
    for one in found:
        assert 0.0 <= one.whole[0] <= one.whole[1] + 1e-9
        assert one.margin == plan.month_earlier[:, plan.market.systems.index(one.system)].max()


def test_a_megawatt_from_a_month_on_is_at_least_what_a_little_more_power_saves(asked: Ground) -> None:
    """Duals are of the plan's own decisions: a whole new plan with a little more power cannot save less."""
    short = replace(asked, market=replace(asked.market, power=asked.market.power * 0.02))
    plan = planned(short)
    worth = power(plan)
    assert any(p.onward[0] > 0 for p in worth), "this instance is meant to be short of power"
    s = int(np.argmax([p.onward[0] for p in worth]))
    watts = 1e-4 * float(short.market.power[s, 0])
    kept = evaluate(with_power(plan.market, s, watts), short.rates, plan, short.draws)
    before = evaluate(plan.market, short.rates, plan, short.draws)
    assert before.mean - kept.mean == pytest.approx(worth[s].onward[0] * watts / 1e6, rel=0.05, abs=1.0)
    assert (np.diff(worth[s].onward) <= 1e-9).all()


# ----------------------------------------------------------------------------------------------------------- foresight
def test_looks_never_cost_more_than_standing_by_the_plan_and_every_difference_adds_up(asked: Ground) -> None:
    found = foresight(replace(asked, fresh=asked.fresh.take(np.arange(4))), every=3)
    assert found.draws == 3
    assert found.looks.value <= found.stands.value + 1e-6 * abs(found.stands.value)
    assert found.flattered.value == pytest.approx(found.lived.value - found.looks.value)
    assert found.units.value == pytest.approx(found.whole.value - found.stands.value)
    assert found.planning.value == pytest.approx(found.whole.value - found.lived.value)


def test_where_nothing_is_uncertain_foresight_flatters_nothing(asked: Ground) -> None:
    """Every draw is what is quoted: a life that plans again costs what the plan expects, up to gaps and whole units."""
    market, scenario = asked.market, asked.market.scenario
    sure = replace(scenario, uncertainty=replace(
        scenario.uncertainty, demand_volatility=0.0, failure_spread=0.0))
    certain = replace(market, scenario=sure, lead=np.repeat(market.lead[:, 1:2], 3, axis=1),
                      slip=np.repeat(market.slip[:, 1:2], 3, axis=1))
    rates = replace(asked.rates, low=asked.rates.work_per_s, high=asked.rates.work_per_s)
    found = foresight(Ground(market=certain, rates=rates, draws=asked.draws.take([0, 1]), gap=GAP,
                             fresh=asked.fresh.take(np.arange(3))), every=4)
    assert found.stands.error == pytest.approx(0.0, abs=1.0)
    near = slack(found.expected) + 1e-3 * abs(found.expected)
    assert found.stands.value <= found.expected + near, "what the plan prints has whole units"
    assert found.expected <= found.whole.value + near
    assert abs(found.flattered.value - found.units.value) <= near, "nothing but whole units"


def test_a_life_is_the_same_from_one_process_and_from_two(asked: Ground) -> None:
    few = replace(asked, fresh=asked.fresh.take(np.arange(3)))
    one, two = (foresight(few, Means(workers=n), every=4) for n in (1, 2))
    assert repr(one) == repr(two)
