"""Deployments: laws of search and sizing, pairs against every pair tried one by one, packing, words."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.apart.disaggregated import most_sequences, serve_apart_at
from exafleet.service.apart.sides import unbeaten
from exafleet.service.deploy import APART, KINDS, TOGETHER, deploy, deploy_for
from exafleet.service.packing import beside, packed, room_for_both, spanned
from exafleet.service.search import rungs, search_serve
from exafleet.step.serve import ServeTask, decode_parts, machine
from exafleet.step.serve_layouts import ServeLimits, layouts
from exafleet.terms.why import Why

FACTS = load_facts(datetime.date(2026, 11, 23))
H200, RACK = system(FACTS, "hgx-h200"), system(FACTS, "gb200-nvl72")
MODELS = ["llama-3-8b", "llama-3-70b", "deepseek-v3"]


def task(model="llama-3-70b", **change):
    base = {"input_tokens": 4000.0, "output_tokens": 1000.0, "ttft": 1.0, "tpot": 0.02, "dtype": "fp8",
            "kv_dtype": "fp8"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def carried(kind, on=H200, chips=32, facts=FACTS, **change):
    return deploy(task(**change), on, chips, facts, kinds=(kind,)).found[kind].rate


def best_by_trying(job, chips, limits):
    """Requests per second of the best pair, every pair and every ratio one by one, on a grid of rates."""
    on = machine(H200, FACTS)
    every = layouts(job.arch, on.net.domain, chips, limits)
    room, best = most_sequences(job, on, every), 0.0
    for j in range(len(every.tp)):
        other = every.take([j])
        batches = rungs()[rungs() <= room[j]]
        if not len(batches):
            continue
        steps = decode_parts(job, on, every.take(np.full(len(batches), j)), batches).total
        if steps[0] > job.tpot:
            continue
        at = np.flatnonzero(steps <= job.tpot)[-1]
        each = batches[at] * every.dp[j] * every.pp[j] / ((job.output_tokens - 1) * steps[at])
        for i in range(len(every.tp)):
            one = every.take([i])
            for count in range(1, chips + 1):
                taken = spanned(one.replica, on.net.domain, count)
                others = float(beside(other.replica, on.net.domain, chips, taken)[0])
                if others < 1:
                    break
                rates = each * others * np.linspace(0.02, 1.0, 99)
                wide = np.zeros(99, dtype=int)
                found = serve_apart_at(job, on, on, one.take(wide), count, other.take(wide), others, rates)
                good = (found.why == Why.OK) & (found.first.total <= job.ttft)
                best = max(best, float(np.max(np.where(good, rates, 0.0))))
    return best


@pytest.mark.parametrize(("model", "chips"), [("llama-3-8b", 6), ("llama-3-70b", 12)])
def test_no_pair_and_ratio_tried_one_by_one_carries_more(model, chips):
    job, limits = task(model), ServeLimits(pp=(1, 2), replica=(1, 8))
    found = deploy(job, H200, chips, FACTS, kinds=(APART,), limits=limits).found[APART]
    tried = best_by_trying(job, chips, limits)
    assert tried * 1000 <= found.rate * (1 + 1e-6)
    assert found.rate <= tried * 1000 * 1.03


@settings(max_examples=12)
@given(model=st.sampled_from(MODELS), slack=st.floats(1, 5), name=st.sampled_from(["ttft", "tpot"]),
       kind=st.sampled_from(KINDS))
def test_a_looser_target_never_carries_less(model, slack, name, kind):
    tight = {"ttft": 1.0, "tpot": 0.03}
    loose = {**tight, name: tight[name] * slack}
    assert carried(kind, model=model, **loose) >= carried(kind, model=model, **tight) * (1 - 1e-6)


@pytest.mark.parametrize("key", ["h200-sxm.hbm_bw", "h200-sxm.peak_flops@fp8", "h200-sxm.nic_bw", "h200-sxm.link_bw"])
@pytest.mark.parametrize("model", MODELS)
def test_a_better_chip_never_carries_less(model, key):
    better = FACTS.with_fact(key, FACTS.value(key) * 1.5)
    improved = carried(APART, system(better, "hgx-h200"), facts=better, model=model)
    assert improved >= carried(APART, model=model) * (1 - 1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("on", [H200, RACK])
def test_more_chips_never_carry_less(model, on):
    rates = [carried(APART, on, chips, model=model) for chips in (16, 24, 40, 64, 72, 144)]
    assert (np.diff(rates) >= -1e-6 * np.array(rates[1:])).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("model", "on"), [("llama-3-70b", H200), ("deepseek-v3", RACK)])
def test_what_is_sized_for_a_demand_carries_it_and_one_chip_less_does_not(model, on, kind):
    for rate in (50.0, 3000.0, 40_000.0):
        sized = deploy_for(task(model), on, rate, FACTS, kinds=(kind,)).found[kind]
        assert sized.why == Why.OK
        assert sized.rate >= rate * (1 - 1e-6)
        assert sized.ttft <= 1.0
        assert sized.tpot <= 0.02
        largest = ServeLimits(replica=(1, 256))
        here = deploy(task(model), on, sized.chips, FACTS, kinds=(kind,), limits=largest).found[kind]
        assert here.rate >= rate * (1 - 1e-3)
        if sized.chips > 1:
            less = deploy(task(model), on, sized.chips - 1, FACTS, kinds=(kind,), limits=largest).found[kind]
            assert less.rate < rate * (1 + 1e-6)


def test_more_demand_never_needs_fewer_chips():
    for kind in KINDS:
        chips = [deploy_for(task(), H200, rate, FACTS, kinds=(kind,)).found[kind].chips
                 for rate in (10.0, 100.0, 1000.0, 5000.0, 50_000.0)]
        assert chips == sorted(chips)


def test_the_answer_is_the_deployment_written_out():
    found = deploy(task(), H200, 64, FACTS).found[APART]
    assert float(found.first.total) == pytest.approx(found.ttft)
    assert float(found.token.total) == pytest.approx(found.tpot)
    assert found.ttft <= 1.0
    assert found.tpot <= 0.02
    lay = found.layout
    assert lay.prefill_chips * lay.prefill_count + lay.decode_chips * lay.decode_count <= 64
    assert lay.words == f"{lay.prefill_count} x {lay.prefill} for prefill, {lay.decode_count} x {lay.decode} for decode"
    assert found.low < found.rate < found.high


def test_the_better_kind_is_named_and_aggregated_is_the_search_of_old():
    found = deploy(task(), H200, 64, FACTS)
    assert found.found[TOGETHER].rate == search_serve(task(), H200, 64, FACTS).rate
    assert found.best == max(KINDS, key=lambda kind: found.found[kind].rate)
    assert found.answer is found.found[found.best]


def test_the_front_of_both_kinds_beats_each():
    found = deploy(task("deepseek-v3"), RACK, 64, FACTS)
    front = found.front
    assert (np.diff(front.rate) <= 0).all()
    assert (np.diff(front.speed) > 0).all()
    for one in found.found.values():
        for rate, speed in zip(one.front.rate, one.front.speed, strict=True):
            assert ((front.rate >= rate * (1 - 1e-9)) & (front.speed >= speed * (1 - 1e-9))).any()


def test_who_cannot_says_why_and_the_best_reachable():
    late = deploy(task(tpot=0.001), H200, 64, FACTS)
    assert late.best == ""
    assert late.answer.why == Why.TOO_SLOW
    assert 0.001 < late.answer.fastest <= late.answer.tpot * (1 + 1e-9)
    assert late.answer.limit
    hasty = deploy(task(ttft=0.06), H200, 64, FACTS).found[APART]
    assert hasty.why == Why.TOO_SLOW
    assert hasty.soonest > 0.06
    assert deploy(task("deepseek-v3"), H200, 8, FACTS, kinds=(APART,)).answer.why == Why.TOO_FEW
    assert deploy(task("deepseek-v3"), H200, 4, FACTS).answer.why == Why.HBM_FULL
    assert deploy(task(dtype="fp4"), H200, 64, FACTS).answer.why == Why.NO_DTYPE
    assert deploy(task(), H200, 64, FACTS, limits=ServeLimits(tp=(3, 3))).answer.why == Why.NOT_DIVISIBLE
    assert deploy_for(task(tpot=0.001), H200, 100.0, FACTS).answer.why == Why.TOO_SLOW


def test_prefill_may_have_limits_of_its_own():
    found = deploy(task(), H200, 32, FACTS, kinds=(APART,), limits=ServeLimits(tp=(8, 8)),
                   prefill_limits=ServeLimits(tp=(2, 2), pp=(1, 1))).found[APART]
    assert found.layout.prefill == "TP2"
    assert found.layout.decode.startswith("TP8")


def test_prefill_may_run_on_another_system():
    mixed = deploy(task(), RACK, 16, FACTS, kinds=(APART,), prefill=H200).found[APART]
    assert mixed.systems == ("hgx-h200", "gb200-nvl72")
    assert mixed.rate > 0


@given(domain=st.sampled_from([1, 8, 72]), count=st.integers(1, 300),
       replica=st.sampled_from([1, 2, 4, 8, 16, 64, 144]))
def test_spanned_is_the_least_pool_that_holds_so_many(domain, count, replica):
    chips = int(spanned(replica, domain, count))
    assert packed(float(replica), domain, chips) >= count
    assert packed(float(replica), domain, chips - 1) < count


@given(domain=st.sampled_from([8, 72]), count=st.integers(1, 40), more=st.integers(1, 40),
       first=st.sampled_from([1, 2, 4, 8, 16]), second=st.sampled_from([1, 4, 8, 32, 64, 144]))
def test_two_sides_need_no_more_than_they_are_given(domain, count, more, first, second):
    chips = int(room_for_both(first, count, second, more, domain))
    assert beside(float(second), domain, chips, spanned(first, domain, count)) >= more
    assert beside(float(second), domain, chips - 1, spanned(first, domain, count)) < more
    assert chips >= first * count + second * more


@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0]), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_only_what_is_equalled_or_beaten_is_dropped(rows):
    size, cost, gain = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    kept = set(unbeaten(size, less=(cost,), more=(gain,)).tolist())
    for c in range(len(rows)):
        as_good = (size == size[c]) & (cost <= cost[c]) & (gain >= gain[c])
        assert any(k in kept for k in np.flatnonzero(as_good))
        better = as_good & ((cost < cost[c]) | (gain > gain[c]))
        assert c not in kept or not better.any()


def test_a_single_token_is_served_too():
    found = deploy(replace(task(), output_tokens=1.0), H200, 32, FACTS)
    assert all(r.why == Why.OK for r in found.found.values())
