"""A few draws that stand for many: weights, the tail, and how far an expectation can be off."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, instance
from exafleet.facts.records import Event, Spread, Uncertainty
from exafleet.market.draws import draw
from exafleet.market.reduce import chosen, coordinates, planned, reduced, severity, transport
from exafleet.plan.evaluate import evaluate
from exafleet.plan.solve import solve_market

CASE = instance(months=6, systems=3, sites=2, owners=1, jobs=4, sizes=2, scale=0.005)
WIDE = Uncertainty(delay_common=0.2, power_delay=Spread(low=0.0, mid=3e6, high=9e6), price_volatility=0.3,
                   price_common=0.5, demand_volatility=0.5, resale_volatility=0.3)
EVENTS = (Event(id="late", probability=0.05, first=START, delay=Spread(low=6e6, mid=9e6, high=9e6)),)
MARKET = replace(CASE.market, scenario=replace(CASE.market.scenario, uncertainty=WIDE, events=EVENTS))


def test_weights_sum_to_one_and_the_base_stays_first() -> None:
    many = draw(MARKET, 400, 1, rates=CASE.rates)
    for n in (1, 2, 3, 10, 60, 399):
        few = reduced(many, n)
        assert few.count == n
        assert few.probability.sum() == pytest.approx(1.0)
        assert (few.probability > 0).all()
        assert (few.lead[0] == many.lead[0]).all()
        assert (few.price[0] == 1).all()
    assert reduced(many, 400) is many
    assert reduced(many, 500) is many


def test_the_same_many_give_the_same_few() -> None:
    one, two = (reduced(draw(MARKET, 300, 2, rates=CASE.rates), 20) for _ in range(2))
    assert (one.probability == two.probability).all()
    assert (one.lead == two.lead).all()


@pytest.mark.parametrize("n", [6, 20, 60])
def test_the_worst_keep_their_probability(n: int) -> None:
    many = draw(MARKET, 500, 3, rates=CASE.rates)
    points, bad = coordinates(many), severity(many)
    at, weight = chosen(points, bad, many.probability, n, 0.1)
    worst = np.zeros(500, dtype=bool)
    order = np.argsort(-bad, kind="stable")
    worst[order[order != 0][:50]] = True
    assert weight[worst[at]].sum() == pytest.approx(0.1)


def test_more_representatives_are_nearer_and_nearer_than_a_plain_sample() -> None:
    many = draw(MARKET, 400, 4, rates=CASE.rates)
    points = coordinates(many)
    far = []
    for n in (4, 12, 36, 108):
        at, _ = chosen(points, severity(many), many.probability, n, 0.1)
        far.append(transport(points, many.probability, at))
        assert far[-1] < transport(points, many.probability, np.arange(n))
    assert far == sorted(far, reverse=True)


def test_an_expectation_is_off_by_no_more_than_the_way_its_probability_was_carried() -> None:
    """Kantorovich and Rubinstein: for linear costs of slope at most 1, within each stratum; so over both."""
    many = draw(MARKET, 400, 5, rates=CASE.rates)
    points = coordinates(many)
    at, weight = chosen(points, severity(many), many.probability, 24, 0.1)
    worst = np.zeros(400, dtype=bool)
    order = np.argsort(-severity(many), kind="stable")
    worst[order[order != 0][:40]] = True
    carried = sum(transport(points[side], many.probability[side], np.flatnonzero(np.isin(np.flatnonzero(side), at)))
                  for side in (worst, ~worst))
    rng = np.random.Generator(np.random.PCG64(6))
    for _ in range(50):
        slope = rng.standard_normal(points.shape[1])
        cost = points @ (slope / np.linalg.norm(slope))
        assert abs(weight @ cost[at] - many.probability @ cost) <= carried + 1e-12


def test_costs_of_a_plan_are_nearer_than_those_of_plain_samples_of_the_same_size() -> None:
    """Mean and CVaR of fixed orders over 300 draws, from 20 representatives and from samples of 20."""
    many = draw(MARKET, 300, 7, rates=CASE.rates, sobol=False)
    plan = solve_market(MARKET, CASE.rates, draw(MARKET, 3, 7, rates=CASE.rates), gap=0.01)
    total = evaluate(MARKET, CASE.rates, plan, many).total

    def judged(cost: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
        order = np.argsort(-cost, kind="stable")
        share = np.minimum(weight[order], np.clip(0.1 - np.concatenate([[0], weight[order].cumsum()[:-1]]), 0, None))
        return float(weight @ cost), float(share @ cost[order] / share.sum())

    full = judged(total, many.probability)
    at, weight = chosen(coordinates(many), severity(many), many.probability, 20, 0.1)
    off = np.abs(np.subtract(judged(total[at], weight), full))
    rng = np.random.Generator(np.random.PCG64(8))
    plain = np.mean([np.abs(np.subtract(judged(total[rng.choice(300, 20, replace=False)], np.full(20, 0.05)), full))
                     for _ in range(200)], axis=0)
    assert (off < plain).all()


def test_a_plan_takes_its_draws_from_the_scenarios_sample() -> None:
    alone = planned(MARKET, 8, 1, CASE.rates)
    assert alone.probability == pytest.approx(np.full(8, 1 / 8))
    sampled = replace(MARKET, scenario=replace(MARKET.scenario, uncertainty=replace(WIDE, sample=300)))
    few = planned(sampled, 8, 1, CASE.rates)
    assert few.count == 8
    assert len(set(few.probability.tolist())) > 1
    with pytest.raises(ValueError, match="at least one"):
        reduced(few, 0)
