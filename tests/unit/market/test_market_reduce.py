"""A few draws that stand for many: weights, the tail, and how far an expectation is off."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, instance
from exafleet.facts.records import Event, Uncertainty
from exafleet.facts.steps import Spread
from exafleet.market.futures import draw
from exafleet.market.market import Floats
from exafleet.market.reduce import chosen, coordinates, planned, reduced, worst_of

CASE = instance(months=6, systems=3, sites=2, owners=1, jobs=4, sizes=2, scale=0.005)
WIDE = Uncertainty(delay_common=0.2, power_delay=Spread(low=0.0, mid=3e6, high=9e6), price_volatility=0.3,
                   price_common=0.5, demand_volatility=0.5, resale_volatility=0.3)
EVENTS = (Event(id="late", probability=0.05, first=START, delay=Spread(low=6e6, mid=9e6, high=9e6)),)
MARKET = replace(CASE.market, scenario=replace(CASE.market.scenario, uncertainty=WIDE, events=EVENTS))


def test_weights_sum_to_one_and_the_base_stays_first() -> None:
    many = draw(MARKET, 400, 1, rates=CASE.rates)
    for n in (1, 2, 3, 10, 60, 399):
        few = reduced(MARKET, many, n)
        assert few.count == n
        assert few.probability.sum() == pytest.approx(1.0)
        assert (few.probability > 0).all()
        assert (few.lead[0] == many.lead[0]).all()
        assert (few.price[0] == 1).all()
    assert reduced(MARKET, many, 400) is many
    assert reduced(MARKET, many, 500) is many


def test_the_same_many_give_the_same_few() -> None:
    one, two = (reduced(MARKET, draw(MARKET, 300, 2, rates=CASE.rates), 20) for _ in range(2))
    assert (one.probability == two.probability).all()
    assert (one.lead == two.lead).all()


@pytest.mark.parametrize("n", [6, 20, 60])
def test_the_worst_keep_their_probability(n: int) -> None:
    many = draw(MARKET, 500, 3, rates=CASE.rates)
    points = coordinates(MARKET, many)
    at, weight = chosen(points, many.probability, n, 0.1)
    worst = worst_of(points, many.probability)
    assert worst.sum() == 50
    assert points.sum(axis=1)[worst].min() >= points.sum(axis=1)[~worst].max()
    assert weight[worst[at]].sum() == pytest.approx(0.1)
    assert len(set(at.tolist())) == n


def test_a_dear_draw_has_a_high_coordinate() -> None:
    """Later, dearer, darker: each alone raises its own coordinate and no other."""
    many = draw(MARKET, 2, 1)
    sure = many.take([0, 0])
    none = coordinates(MARKET, sure)
    assert (none == 0).all()
    for name, change in (("lead", sure.lead + 2), ("price", sure.price * 1.2), ("power", sure.power * 0.5),
                         ("demand", sure.demand * 1.5), ("rate", sure.rate * 0.8), ("resale", sure.resale * 0.5)):
        worse = getattr(sure, name).copy()
        worse[1] = change[1]
        moved = coordinates(MARKET, replace(sure, **{name: worse}))
        assert (moved[1] >= 0).all()
        assert (moved[1] > 0).sum() == 1, name


def test_linear_costs_are_nearer_than_in_plain_samples() -> None:
    """Calibrated weights take out what is linear; the tail is nearer than in samples without strata."""
    rng = np.random.Generator(np.random.PCG64(6))
    off, plain = [], []
    for seed in range(4):
        many = draw(MARKET, 400, seed, rates=CASE.rates, sobol=False)
        points, weight = coordinates(MARKET, many), many.probability
        for n in (15, 40):
            at, share = chosen(points, weight, n, 0.1)
            for _ in range(10):
                cost = points @ rng.random(points.shape[1])
                full = judged(cost, weight)
                off.append(np.abs(np.subtract(judged(cost[at], share), full)) / cost.std())
                some = rng.choice(400, n, replace=False)
                plain.append(np.abs(np.subtract(judged(cost[some], np.full(n, 1 / n)), full)) / cost.std())
    mean, tail = np.mean(off, axis=0) / np.mean(plain, axis=0)
    assert mean < 0.5
    assert tail < 0.9


def judged(cost: Floats, weight: Floats) -> tuple[float, float]:
    """Mean, and mean of the worst tenth."""
    order = np.argsort(-cost, kind="stable")
    share = np.minimum(weight[order], np.clip(0.1 - np.concatenate([[0], weight[order].cumsum()[:-1]]), 0, None))
    return float(weight @ cost), float(share @ cost[order] / share.sum())


def test_a_plan_takes_its_draws_from_the_scenarios_sample() -> None:
    alone = planned(MARKET, 8, 1, CASE.rates)
    assert alone.probability == pytest.approx(np.full(8, 1 / 8))
    sampled = replace(MARKET, scenario=replace(MARKET.scenario, uncertainty=replace(WIDE, sample=300)))
    few = planned(sampled, 8, 1, CASE.rates)
    assert few.count == 8
    assert len(set(few.probability.tolist())) > 1
    with pytest.raises(ValueError, match="at least one"):
        reduced(MARKET, few, 0)
