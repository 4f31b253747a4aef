"""A number explained: its effect is a re-run, its path is what differs, its turns turn."""

import pickle

import numpy as np
import pytest

from exafleet.fleet.breakdown import chosen
from exafleet.plan.plan import PARTS
from exafleet.sweep.attribution import EXACT, shapley, subsets
from exafleet.sweep.explain import FINE, Range, effect, range_of, shares, sobol, tornado, turns, used
from exafleet.sweep.local import Interrupted
from exafleet.sweep.passage import STOPS, passage, timed
from exafleet.sweep.whatif import WhatIf, known
from exafleet.terms.errors import ExafleetError


@pytest.fixture(scope="module")
def asked(tiny):
    return WhatIf(tiny.world, tiny.rates, tiny.plan)


def test_a_factor_of_one_is_today(asked):
    for key in ("h100-sxm.hbm_bw", "scenario.discount", "datacenter.it_overhead"):
        assert asked.kept(((key, 1.0),)) == pytest.approx(asked.keeping.parts_before, rel=1e-6, abs=1e-2), key
        found = asked.planned(((key, 1.0),))
        assert found.parts.sum() == pytest.approx(asked.anew.parts_before.sum(), rel=1e-6)
        assert asked.turned(found) == ""


def test_planning_anew_is_never_dearer_than_keeping(asked):
    for key in ("sites.north.energy_price", "jobs.base.value", "jobs.app.unserved", "h100-sxm.hbm_bw"):
        for factor in (0.5, 2.0):
            assert asked.planned(((key, factor),)).saves >= -1e-6 * abs(asked.keeping.before), (key, factor)


def test_the_bars_of_a_linear_case_are_elasticity_times_change(asked):
    """What a run is worth enters the cost in proportion while the decisions are kept."""
    for key in ("jobs.base.value", "sites.south.energy_price"):
        found = effect(asked, key)
        bar = tornado(asked, [key])[0]
        assert found.kept != 0
        for change, at in ((bar.range.low - 1, bar.at_low), (bar.range.high - 1, bar.at_high)):
            assert at == pytest.approx(found.kept * change * abs(found.before), rel=1e-4, abs=1.0)


def test_a_part_is_its_own_answer(asked):
    """The energy price moves the energy part by its share of it, and the parts of the change sum to the whole."""
    key = "sites.north.energy_price"
    part, whole = (effect(asked, key, of) for of in ("energy", "cost"))
    assert 0 < part.kept <= 1 + 1e-6
    changes = asked.kept(((key, 1.1),)) - asked.keeping.parts_before
    assert changes.sum() == pytest.approx(whole.more, rel=1e-6, abs=0.1)
    assert changes[PARTS.index("energy")] == pytest.approx(part.more, abs=1e-6)


def test_shapley_shares_sum_to_the_total_and_split_what_is_shared(asked):
    keys = ("scenario.discount", "scenario.resale", "jobs.base.value")
    found = shares(asked, keys)
    assert sum(found.first) == pytest.approx(found.whole, rel=1e-9)
    assert shapley(2, lambda on: 4.0 if on == (0, 1) else 0.0) == [2.0, 2.0]


def test_many_causes_still_sum():
    n = EXACT + 3
    weights = np.arange(1.0, n + 1)

    def value(on):
        return float(weights[list(on)].sum() ** 2)

    needed = set(subsets(n))
    found = shapley(n, lambda on: value(on) if on in needed else pytest.fail("not announced"))
    assert sum(found) == pytest.approx(value(tuple(range(n))))
    assert len(needed) < 2**n


def test_sobol_of_an_additive_case_sums_to_one(asked):
    found = sobol(asked, ("jobs.base.value", "sites.south.energy_price"), samples=64)
    assert sum(found.first) == pytest.approx(1.0, abs=0.15)
    assert found.first[0] > found.first[1]


def test_a_band_is_used_where_there_is_one_and_an_assumption_is_named(asked):
    assert range_of(asked.world, "jobs.base.value") == Range(key="jobs.base.value", low=0.9, high=1.1, assumed=True)
    lead = range_of(asked.world, "offers.gb200-maker.lead")
    assert not lead.assumed
    assert (lead.low, lead.high) == pytest.approx((8 / 13, 30 / 13))


def test_the_path_ends_where_nothing_differs(asked):
    bandwidth = passage(asked, "h100-sxm.hbm_bw")
    assert [s.stop for s in bandwidth] == sorted((s.stop for s in bandwidth), key=STOPS.index)
    assert {"record", "rates", "rules", "answer"} <= {s.stop for s in bandwidth}
    assert not any("gb200" in s.where for s in bandwidth)
    assert passage(asked, "a100-80gb-sxm.hbm_bw") == ()
    price = passage(asked, "offers.h100-dealer.price")
    assert ("scenario", "offers.h100-dealer.price") in {(s.stop, s.where) for s in price}
    assert ("market", "h100-dealer", (("market-table", "price"),)) in {(s.stop, s.where, s.what) for s in price}


def test_operators_make_the_parts_and_the_parts_make_the_rate(asked):
    """In the layout of today the changes of the parts of a step, by their shares, are the change of the rate."""
    found = passage(asked, "h100-sxm.hbm_bw")
    moved = {s.where: s.change for s in found if s.stop == "rates" and s.what == (("rate", "work"),)}
    other = {s.where.partition(": ")[0] for s in found if s.stop == "layouts"}
    trained = [where for where in moved if where.startswith("base / ") and where not in other]
    assert trained
    for where in trained:
        parts = [s for s in found if s.stop == "steps" and s.where == where]
        step = sum(s.change * s.share for s in parts)
        # Failures follow the wall clock, not the step, so useful work moves as the step does.
        assert moved[where] == pytest.approx(1.0 / (1.0 + step) - 1.0, rel=1e-6)
        for part in parts:
            inside = [s for s in found if s.stop == "operators" and s.where == where and s.what[:2] == part.what]
            if inside:
                assert sum(s.change * s.share for s in inside) == pytest.approx(part.change * part.share, rel=1e-6)
    assert {s.what[0][1] for s in found if s.stop == "operators"} >= {"step", "output token", "first token"}


def test_another_layout_that_becomes_better_is_a_stop(asked):
    job = next(j for j in asked.world.scenario.jobs if j.id == "base")
    was, = chosen(asked.world, job, "hgx-h100", 64)
    for key, factor, other in (("h100-sxm.hbm_bw", 0.1, True), ("h100-sxm.peak_flops@bf16", 0.2, False)):
        world = asked.world.scaled(key, factor)
        now, = chosen(world, job, "hgx-h100", 64)
        stops = [s for s in timed(asked.world, world, "base / hgx-h100", was, now) if s.stop == "layouts"]
        assert (was.words != now.words) is other, key
        assert [s.where for s in stops] == ([f"base / hgx-h100: {was.words} -> {now.words}"] if other else [])


def test_a_number_nobody_reads_has_no_effect(asked):
    assert effect(asked, "a100-80gb-sxm.hbm_bw").none
    assert not effect(asked, "scenario.resale").none


def test_a_target_is_reached_where_it_is_said_to_be(asked):
    target = asked.keeping.before + 1e5
    found = {t.kind: t for t in turns(asked, "jobs.base.value", target=target)}
    assert asked.kept((("jobs.base.value", found["target"].factor),)).sum() == pytest.approx(target, abs=500)


def test_a_turn_turns_the_orders(asked):
    """Rent so dear, or work so cheap to leave undone, that other orders are better: just inside, today's are."""
    found = [t for t in turns(asked, "jobs.app.unserved") if t.kind == "decision"]
    for turn in found:
        assert asked.turned(asked.planned((("jobs.app.unserved", turn.factor),)))
        inside = turn.factor ** (1 - 2 * FINE / abs(np.log(turn.factor)))
        assert not asked.turned(asked.planned((("jobs.app.unserved", inside),)))


def test_a_value_that_makes_no_sense_is_no_answer_and_no_crash(asked):
    assert np.isnan(asked.kept((("sites.north.pue", 0.1),))).all()
    assert np.isnan(asked.planned((("sites.north.pue", 0.1),)).parts).all()


def test_an_unknown_key_names_the_nearest(asked):
    for wrong, right in (("h100-sxm.hbm_bww", "h100-sxm.hbm_bw"), ("offers.h100-dealer.pric", "offers.h100-dealer")):
        with pytest.raises(ExafleetError, match=right):
            known(asked.world, wrong)


def test_the_finished_bars_come_with_an_interrupt(asked):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        tornado(asked, used(asked)[:5], progress=stop)
    assert len(caught.value.finished) == 2


def test_it_travels_to_another_process(asked):
    again = pickle.loads(pickle.dumps(asked))
    factors = (("scenario.discount", 1.1),)
    assert again.kept(factors).tolist() == asked.kept(factors).tolist()
