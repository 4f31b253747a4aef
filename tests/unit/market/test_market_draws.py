"""Joint draws: what they keep, how they move, and what an event does to many at once."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, instance
from exafleet.facts.deals import Rental
from exafleet.facts.records import Event, Uncertainty
from exafleet.facts.steps import Spread, Steps
from exafleet.market.draws import NEVER, Draws, stated
from exafleet.market.futures import base, draw, later_power
from exafleet.market.market import MEAN_MONTH, Market
from exafleet.market.shocks import FACTORS, leading, mixing, path, variance

CASE = instance(months=12, systems=3, sites=2, owners=2, jobs=4, scale=0.01)
MONTHS = {n: Spread(low=n * MEAN_MONTH, mid=n * MEAN_MONTH, high=n * MEAN_MONTH) for n in range(7)}
WIDE = Uncertainty(
    delay_common=0.2, power_delay=Spread(low=0.0, mid=2 * MEAN_MONTH, high=6 * MEAN_MONTH), power_common=0.4,
    price_volatility=0.2, price_common=0.5, rent_volatility=0.4, rent_half_life=6 * MEAN_MONTH, rent_common=0.7,
    demand_volatility=0.3, demand_common=0.5, rate_common=0.5, failure_spread=0.5, resale_volatility=0.2,
    price_with_rent=0.5, rent_with_demand=0.5, rent_with_delay=0.3, power_with_delay=0.3)


def market_with(events: tuple[Event, ...] = (), uncertainty: Uncertainty = WIDE) -> Market:
    """The case with two rentals, growing power, and what may happen."""
    rentals = tuple(Rental(id=f"r{i}", provider=f"p{i}", system=CASE.market.systems[i], term=1, where="",
                           price=Steps.constant(2.0 / 3600), most=Steps.constant(64.0), first=START,
                           last=START + CASE.market.months - 1, block=8) for i in range(2))
    scenario = replace(CASE.market.scenario, uncertainty=uncertainty, events=events, rentals=rentals)
    power = np.repeat(CASE.market.power[:, :1], CASE.market.months, axis=1)
    power[:, 4:] *= 2.0
    months, owners = CASE.market.months, len(scenario.owners)
    return replace(CASE.market, scenario=scenario, power=power, rental_price=np.full((2, months), 2.0 / 3600),
                   rental_most=np.full((2, months), 64.0), can_rent=np.ones((2, months), dtype=bool),
                   rentable=np.ones((2, owners), dtype=bool))


def arrays(draws: Draws) -> dict[str, np.ndarray]:
    names = ("lead", "slip", "barred", "barred_open", "demand", "rate", "price", "rent", "power", "resale", "happened")
    return {name: getattr(draws, name) for name in names}


@pytest.mark.parametrize("sobol", [True, False])
def test_same_seed_same_draws_and_a_longer_sample_starts_with_the_shorter(sobol: bool) -> None:
    market = market_with((Event(id="e", probability=0.4, first=START, delay=MONTHS[3]),))
    few, many = (draw(market, n, 3, rates=CASE.rates, sobol=sobol) for n in (5, 37))
    for name, value in arrays(few).items():
        assert (arrays(many)[name][:5] == value).all(), name
    other = draw(market, 37, 4, rates=CASE.rates, sobol=sobol)
    assert all((arrays(other)[name] != arrays(many)[name]).any() for name in ("lead", "price", "rent", "demand"))


def test_the_base_is_as_quoted_whatever_may_happen() -> None:
    market = market_with((Event(id="e", probability=0.9, first=START, delay=MONTHS[3], ban=True, price=2.0),))
    first, sure = draw(market, 9, 1, rates=CASE.rates), stated(market, 1)
    for name, value in arrays(sure).items():
        assert (arrays(first)[name][0] == value[0]).all(), name


def test_prices_are_known_today_and_spread_as_their_volatility_says() -> None:
    found = draw(market_with(), 4097, 2)
    assert (found.price[:, :, 0] == 1).all()
    assert (found.rent[:, :, 0] == 1).all()
    after = np.log(found.price[:, :, 6])
    assert after.std(axis=0) == pytest.approx(np.full(after.shape[1], 0.2 * math.sqrt(0.5)), rel=0.05)
    assert np.corrcoef(after.T)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_a_rental_price_goes_back_and_a_walk_does_not() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    end, noise = rng.standard_normal(20_000), rng.standard_normal((20_000, 24))
    for half_life in (math.inf, 6.0):
        found = path(end, noise, half_life)
        assert (found[:, 0] == 0).all()
        for t in (1, 6, 24):
            assert found[:, t].var() == pytest.approx(float(variance(np.array(t), half_life)), rel=0.05)
        kept = (found[:, 6] @ found[:, 12]) / (found[:, 6] @ found[:, 6])  # regression of half a year later on now
        assert kept == pytest.approx(1.0 if math.isinf(half_life) else 0.5, abs=0.03)
        assert np.corrcoef(found[:, -1], end)[0, 1] == pytest.approx(1.0)
    assert float(variance(np.array(12.0), math.inf)) == 1.0


def test_common_shocks_are_correlated_as_stated() -> None:
    mix = mixing({("price", "rent"): 0.5, ("delay", "rent"): 0.3})
    assert (mix @ mix.T)[FACTORS.index("price"), FACTORS.index("rent")] == pytest.approx(0.5)
    assert (mix @ mix.T)[FACTORS.index("delay"), FACTORS.index("rent")] == pytest.approx(0.3)
    np.testing.assert_allclose(np.diag(mix @ mix.T), 1.0)
    assert np.isfinite(mixing({("price", "rent"): 1.0, ("rent", "demand"): 1.0, ("price", "demand"): 1.0})).all()
    for bad in ({("price", "rent"): 0.9, ("rent", "demand"): 0.9, ("price", "demand"): -0.9},
                {("price", "rent"): 1.0, ("rent", "demand"): 0.5}):
        with pytest.raises(ValueError, match="contradict"):
            mixing(bad)
    found = draw(market_with(uncertainty=replace(WIDE, price_common=1.0, rent_common=1.0, rent_half_life=math.inf)),
                 4097, 2)
    assert np.corrcoef(np.log(found.price[1:, 0, -1]), np.log(found.rent[1:, 0, -1]))[0, 1] == pytest.approx(
        0.5, abs=0.04)


def test_late_power_comes_later_and_never_earlier() -> None:
    power = np.array([[10.0, 10.0, 30.0, 20.0, 20.0], [5.0, 5.0, 5.0, 5.0, 5.0]])
    late = np.zeros((2, 2, 5), dtype=np.int64)
    late[1] = 2
    share = later_power(power, late)
    assert (share[0] == 1).all()
    np.testing.assert_allclose(share[1, 0] * power[0], [10, 10, 10, 0, 20])  # a step down comes as stated
    assert (share[1, 1] == 1).all()  # what is there today stays
    assert (later_power(np.full((1, 3), np.inf), np.ones((1, 1, 3), dtype=np.int64)) == 1).all()
    found = draw(market_with(), 200, 1)
    assert ((found.power >= 0) & (found.power <= 1)).all()
    assert (found.power[:, :, :4] == 1).all()
    assert (found.power[1:, :, 4] < 1).any()


def test_an_event_is_a_common_shock() -> None:
    """Those named are all late in the same draws, by the same months; the others are not."""
    sure = Uncertainty(delay_supplier=0.0, delay_system=0.0)
    hit = CASE.market.systems[0]
    event = Event(id="connector", probability=0.3, first=START, systems=(hit,), delay=MONTHS[3])
    certain = replace(market_with((event,), sure), lead=np.tile([2.0, 2.0, 2.0], (len(CASE.market.lead), 1)))
    found = draw(certain, 2001, 5)
    named = np.array([f.system == hit for f in certain.scenario.offers])
    assert found.happened[:, 0].mean() == pytest.approx(0.3, abs=0.01)
    assert set(named) == {True, False}
    assert (found.lead[:, named] == 2 + 3 * found.happened[:, :1, None]).all()
    assert (found.lead[:, ~named] == 2).all()


def test_outcomes_of_one_question_exclude_each_other() -> None:
    events = tuple(Event(id=f"e{i}", probability=p, first=START, either="tariff", price=1.0 + i)
                   for i, p in enumerate((0.2, 0.3, 0.5)))
    found = draw(market_with(events), 4001, 5)
    assert (found.happened[1:].sum(axis=1) == 1).all()
    assert found.happened[1:].mean(axis=0) == pytest.approx([0.2, 0.3, 0.5], abs=0.01)


def test_a_ban_counts_from_its_month_and_power_can_be_hit_too() -> None:
    events = (Event(id="ban", probability=1.0, first=START + 5, ban=True),
              Event(id="grid", probability=0.5, first=START, sites=(CASE.market.scenario.sites[0].id,),
                    power_delay=MONTHS[2]))
    found = draw(market_with(events, Uncertainty()), 400, 5)
    assert (found.barred == 5).all()  # what is certain is in the base too
    assert (stated(market_with(), 2).barred == NEVER).all()
    dark = found.happened[:, 1]
    assert (found.power[dark, 0, 4:6] == 0.5).all()
    assert (found.power[dark, 0, 6:] == 1).all()
    assert (found.power[~dark] == 1).all()
    assert (found.power[:, 1] == 1).all()


def test_sobol_fills_the_space_more_evenly() -> None:
    """The mean of a sum of squares of 20 shocks is off by less than with independent numbers, over 20 seeds."""
    def error(sobol: bool) -> float:
        return float(np.mean([abs((leading(64, 20, s, sobol=sobol) ** 2).mean() - 1 / 3) for s in range(20)]))

    assert error(True) < 0.2 * error(False)


def test_draws_check_themselves() -> None:
    good = base(market_with())
    for change, said in (({"probability": np.array([0.5])}, "sum to 1"), ({"price": good.price * 0}, "above zero"),
                         ({"demand": good.demand - 2}, "demand"), ({"power": good.power * 2}, "power"),
                         ({"lead": good.lead - 100}, "ordered"), ({"rate": good.rate[:0]}, "not as many")):
        with pytest.raises(ValueError, match=said):
            replace(good, **change)


def test_some_draws_and_some_made_certain() -> None:
    market = market_with()
    many = draw(market, 9, 1, rates=CASE.rates)
    some = many.take([0, 4], [0.25, 0.75])
    assert some.probability.tolist() == [0.25, 0.75]
    assert (some.price[1] == many.price[4]).all()
    assert many.expectation(many.rate) == pytest.approx(many.rate.mean(axis=0))
    sure = many.without(market, "lead", "slip")
    assert (sure.lead == stated(market, 1).lead).all()
    assert (sure.rent == many.rent).all()


def test_one_month_and_thirty_years() -> None:
    for months in (1, 360):
        case = instance(months=months, systems=2, sites=1, owners=1, jobs=2, scale=0.01)
        found = draw(replace(case.market, scenario=replace(case.market.scenario, uncertainty=WIDE)), 5, 1)
        assert found.price.shape[2] == months
        assert np.isfinite(found.price).all()
