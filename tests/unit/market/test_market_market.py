"""The scenario as arrays by month."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, instance
from exafleet.facts.deals import Queue
from exafleet.facts.records import Owner
from exafleet.facts.steps import Spread, Steps
from exafleet.market.futures import base, draw
from exafleet.market.market import MEAN_MONTH, market_of
from exafleet.market.resale import resale_values
from exafleet.market.shocks import spread_quantile

CASE = instance(months=6, systems=3, sites=2, owners=2, jobs=4, scale=0.01)


def test_discount_is_a_yearly_rate_at_mid_month() -> None:
    market = CASE.market
    assert market.discount[0] == pytest.approx(1.08 ** (-0.5 / 12))
    assert market.discount[-1] == pytest.approx(1.08 ** -0.5)
    assert len(market.discount) == market.months + 1


def test_month_lengths_are_the_calendar() -> None:
    assert CASE.market.seconds.tolist() == [d * 86400.0 for d in (31, 28, 31, 30, 31, 30)]


def test_budget_is_what_has_become_available_and_none_is_unlimited() -> None:
    scenario = CASE.market.scenario
    owners = (Owner(id="owner0", name="", budget=((START - 3, 1.0), (START + 2, 2.0))), Owner(id="owner1", name=""))
    systems = {k: s for k, s in _systems().items() if k in CASE.market.systems}
    market = market_of(replace(scenario, owners=owners), systems, dict.fromkeys(systems, 1.0))
    assert market.budget[0].tolist() == [1, 1, 3, 3, 3, 3]
    assert np.isinf(market.budget[1]).all()


@pytest.mark.parametrize(("months", "sooner", "named"), [(3.4, 0.0, False), (6.0, 0.0, True), (6.0, 1.0, False)])
def test_an_offer_that_can_never_arrive_is_named(months: float, sooner: float, named: bool) -> None:
    """Six months, ordered in the first: the shortest lead time decides, less what the best place in the queue saves."""
    scenario = CASE.market.scenario
    lead = Spread(low=months * MEAN_MONTH, mid=9 * MEAN_MONTH, high=12 * MEAN_MONTH)
    queue = Queue(premium=0.1, sooner=sooner * MEAN_MONTH, units=1.0) if sooner else None
    offer = replace(scenario.offers[0], id="slow", first=START, last=START + 5, lead=lead, queue=queue)
    systems = {k: s for k, s in _systems().items() if k in CASE.market.systems}
    market = market_of(replace(scenario, offers=(offer,)), systems, dict.fromkeys(systems, 1.0))
    assert any("slow" in note for note in market.notes) == named


def _systems() -> dict[str, object]:
    from benchmarks.plan_instance import _system

    return {f"sys{i}": _system(i) for i in range(3)}


def test_quota_of_sites_not_named_is_no_limit() -> None:
    owner = replace(CASE.market.scenario.owners[0], quota=(("site1", Steps.constant(5.0)),))
    scenario = replace(CASE.market.scenario, owners=(owner, CASE.market.scenario.owners[1]))
    market = market_of(scenario, _systems(), dict.fromkeys(_systems(), 1.0))
    assert np.isinf(market.quota[0, 0]).all()
    assert (market.quota[0, 1] == 5.0).all()


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        CASE.market.power[0, 0] = 1.0


def test_resale_falls_by_the_share_and_never_exceeds_new() -> None:
    value = resale_values([(-12, 100.0), (6, 60.0)], 0.5, 24)
    assert value[0] == pytest.approx(50.0)
    assert value[12] == pytest.approx(25.0)
    assert (np.diff(value) <= 0).all()
    assert resale_values([(-12, 100.0), (0, 20.0)], 0.9, 3)[0] == 20.0
    assert resale_values([], 0.5, 3).tolist() == [0.0] * 4


def test_spread_meets_its_quantiles() -> None:
    quantiles = np.array([[2.0, 3.0, 7.0], [0.0, 1.0, 4.0], [3.0, 3.0, 3.0]])
    z90 = 1.2815515655446004
    for score, column in ((-z90, 0), (0.0, 1), (z90, 2)):
        np.testing.assert_allclose(spread_quantile(quantiles, np.full((1, 3), score))[0], quantiles[:, column])


def test_the_first_draw_is_the_base() -> None:
    one, many = base(CASE.market), draw(CASE.market, 50, 3, rates=CASE.rates, demand_growth=0.2)
    assert (many.lead[0] == one.lead[0]).all()
    assert (many.demand[0] == 1).all()
    assert (many.rate[0] == 1).all()
    assert many.probability.sum() == pytest.approx(1.0)


def test_draws_are_reproducible_and_a_longer_sample_starts_with_the_shorter() -> None:
    few, many = draw(CASE.market, 5, 3), draw(CASE.market, 20, 3)
    assert (many.lead[:5] == few.lead).all()
    assert (many.slip[:5] == few.slip).all()
    assert (draw(CASE.market, 20, 4).lead != many.lead).any()


def test_delays_of_one_system_come_together() -> None:
    twins = replace(CASE.market, lead=np.tile([3.0, 12.0, 48.0], (3, 1)))
    offers = tuple(replace(f, system="sys2", supplier=f"s{i}") for i, f in enumerate(twins.scenario.offers))
    twins = replace(twins, scenario=replace(twins.scenario, offers=offers))
    lead = np.log(np.maximum(draw(twins, 4000, 1, supplier=0.0, system=0.6).lead[:, :, 0], 1))
    assert np.corrcoef(lead[:, 0], lead[:, 1])[0, 1] == pytest.approx(0.6, abs=0.06)


def test_no_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one draw"):
        draw(CASE.market, 0, 1)
