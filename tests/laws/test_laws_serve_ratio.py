"""Laws of the latency curve and of ratios of systems: one identity of scale, monotone curves, shares that multiply."""

import datetime
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch, insane
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.curve import (
    DEVIATIONS,
    WEIGHTS,
    band,
    rates_by_error,
    ratio_band,
    serve_curve,
    shared_error,
)
from exafleet.service.deploy import deploy
from exafleet.service.measured.shared import bounded, shared_share
from exafleet.service.split import PIECES, Side, mixture, pieces, split
from exafleet.step.serve import BAND, ServeTask, machine
from exafleet.work.counts import parameters
from exafleet.work.shapes import shapes

FACTS = load_facts(datetime.date(2026, 11, 23))
H100, H200, RACK = (system(FACTS, name) for name in ("hgx-h100", "hgx-h200", "gb200-nvl72"))
TPOTS = (0.01, 0.02, 0.05, 0.1, 0.2, math.inf)
SIGMA = 0.3


def task(model="llama-3-70b", **change):
    base = {"input_tokens": 4000.0, "output_tokens": 500.0, "ttft": 2.0, "tpot": 0.05, "dtype": "fp8",
            "kv_dtype": "fp8"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def rates(curve):
    return [point.rate if point else 0.0 for point in curve]


@pytest.mark.parametrize("model", ["llama-3-70b", "deepseek-v3"])
def test_the_curve_is_what_a_search_at_each_target_finds(model):
    for tpot, point in zip(TPOTS, serve_curve(task(model), RACK, 72, FACTS, TPOTS), strict=True):
        found = deploy(task(model, tpot=tpot), RACK, 72, FACTS)
        assert (point is not None) == bool(found.best)
        if point:
            assert point.rate == pytest.approx(found.answer.rate_per_chip, rel=0.02)
            assert point.ttft <= 2.0
            assert point.tpot <= tpot


@settings(max_examples=10)
@given(slower=st.floats(1.05, 4.0))
def test_a_slower_world_never_gives_more_and_never_meets_less(slower):
    curve, worse = (rates(serve_curve(task(), H100, 16, FACTS, TPOTS, f)) for f in (1.0, slower))
    assert all(w <= c / slower * (1 + 1e-9) for w, c in zip(worse, curve, strict=True))
    assert curve == sorted(curve)


def test_without_limits_a_slower_world_is_a_scaled_one():
    free = task(ttft=math.inf)
    one, half = (serve_curve(free, H100, 16, FACTS, [math.inf], f)[0].rate for f in (1.0, 2.0))
    assert half == pytest.approx(one / 2)


def test_without_limits_the_band_is_that_of_the_times():
    found = rates_by_error(task(ttft=math.inf), H100, 16, FACTS, [math.inf])[:, 0]
    low, high = band(found)
    spread = math.exp(BAND * machine(H100, FACTS).engine.sigma)
    middle = math.sqrt(low * high)
    step = DEVIATIONS[1] - DEVIATIONS[0]
    assert math.log(high / middle) == pytest.approx(math.log(spread), abs=SIGMA * step)


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.7, 1.0])
def test_what_two_systems_share_cancels(shared):
    level = np.exp(-SIGMA * DEVIATIONS)
    low, high = ratio_band(3.0 * level, level, shared)
    wide = BAND * SIGMA * math.sqrt(2 * (1 - shared))
    assert math.log(high / 3) == pytest.approx(wide, abs=SIGMA * 0.3)
    assert math.log(3 / low) == pytest.approx(wide, abs=SIGMA * 0.3)


def test_a_base_that_often_cannot_has_no_upper_end():
    level = np.exp(-SIGMA * DEVIATIONS)
    failing = np.where(DEVIATIONS > 0.5, 0.0, level)
    low, high = ratio_band(level, failing, 0.5)
    assert (high, low > 0) == (math.inf, True)
    assert all(math.isnan(x) for x in ratio_band(0 * level, 0 * level, 0.5))


def test_weights_are_those_of_a_normal_error():
    assert WEIGHTS.sum() == pytest.approx(1)
    assert (WEIGHTS * DEVIATIONS**2).sum() == pytest.approx(1, abs=0.1)


def test_pieces_multiply_to_the_ratio():
    a = Side(task=task("deepseek-v3"), system=H200, chips=64)
    b = Side(task=task("deepseek-v3", dtype="fp4"), system=RACK, chips=72)
    found = split(a, b, FACTS, 0.05)
    below, above = (serve_curve(s.task, s.system, s.chips, FACTS, [0.05])[0].rate for s in (a, b))
    assert [p.name for p in found] == list(PIECES)
    assert math.prod(p.factor for p in found) == pytest.approx(above / below)
    assert all(p.low <= p.factor * (1 + 1e-12) and p.factor <= p.high * (1 + 1e-12) for p in found)


def test_a_side_against_itself_has_no_pieces_to_it():
    side = Side(task=task(), system=H200, chips=16)
    assert [p.factor for p in split(side, side, FACTS, 0.05)] == pytest.approx([1.0] * len(PIECES))


def test_moving_everything_gives_the_other_side():
    a, b = Side(task=task(), system=H100, chips=16), Side(task=task(dtype="fp4"), system=RACK, chips=72)
    assert mixture(frozenset(PIECES), a, b) == b
    assert mixture(frozenset(), a, b) == a


def test_more_memory_alone_is_never_worse():
    a, b = Side(task=task("deepseek-v3"), system=H100, chips=64), Side(task=task("deepseek-v3"), system=RACK, chips=72)
    memory, *_ = split(a, b, FACTS, math.inf)
    assert memory.low >= 1


def test_orders_that_pass_a_mixture_that_cannot_serve_do_not_count():
    table = {frozenset(s): r for s, r in (("", 1.0), ("a", 0.0), ("b", 2.0), ("ab", 8.0))}
    assert [(p.low, p.high) for p in pieces(table, ("a", "b"))] == [(4.0, 4.0), (2.0, 2.0)]
    assert pieces({**table, frozenset("b"): 0.0}, ("a", "b")) == ()


def test_shapes_keep_the_parameters_and_hold_together():
    known = float(parameters(arch(FACTS, "gpt-moe-1.8t")).total)
    found = shapes(FACTS, "gpt-moe-1.8t")
    assert len(found) >= 6
    for words, shape in found.items():
        assert insane(shape) == [], words
        assert float(parameters(shape).total) == pytest.approx(known, rel=0.04), words
    assert shapes(FACTS, "llama-3-70b") == {}


def test_a_few_large_errors_do_not_decide_what_is_shared():
    rows = [(group, system, 0.1) for group in range(20) for system in ("one", "two")]
    wild = [*rows, (99, "one", 3.0), (99, "two", -3.0)]
    by_group, by_pair = shared_share(bounded(wild))
    assert shared_share(bounded(rows)) == pytest.approx((1, 1))
    assert shared_share(wild)[1] < 0 < by_pair
    assert by_group == pytest.approx(by_pair)


def test_shared_share_is_one_for_equal_errors_and_none_for_unlike():
    equal = [(g, s, e) for g, e in (("a", 0.2), ("b", -0.3)) for s in ("one", "two")]
    unlike = [(g, s, e * f) for g, e in (("a", 0.2), ("b", -0.3)) for s, f in (("one", 1), ("two", -1))]
    assert shared_share(equal) == pytest.approx((1, 1))
    assert shared_share(unlike) == pytest.approx((-1, -1))
    assert all(math.isnan(x) for x in shared_share([("a", "one", 0.1), ("a", "one", 0.2)]))
    assert 0 <= shared_error(FACTS) <= 1
    assert replace(FACTS.get("serving-engine.error_shared")).low <= shared_error(FACTS)
