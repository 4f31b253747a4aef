"""Laws of serving: parts add up, better chips and looser targets never give less, longer contexts never more."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.search import packed, search_serve
from exafleet.service.steady import serve_step
from exafleet.step.serve import Machine, ServeTask, decode_parts, machine, prefill_parts
from exafleet.step.serve_layouts import ServeLimits, fixed, layouts
from exafleet.terms.why import Why

FACTS = load_facts(datetime.date(2026, 11, 23))
MODELS = ("llama-3-8b", "llama-3-70b", "deepseek-v3", "gpt-oss-120b", "nemotron-h-56b")
H100, RACK = system(FACTS, "hgx-h100"), system(FACTS, "gb200-nvl72")


def task(model="llama-3-70b", **change):
    base = {"input_tokens": 2000.0, "output_tokens": 500.0, "ttft": 2.0, "tpot": 0.05, "dtype": "fp8",
            "kv_dtype": "fp8"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def tokens(model="llama-3-70b", on=H100, chips=32, **change):
    return search_serve(task(model, **change), on, chips, FACTS).rate


@pytest.mark.parametrize("on", [H100, RACK])
@pytest.mark.parametrize("model", MODELS)
def test_parts_add_up_and_none_is_negative(model, on):
    result = search_serve(task(model), on, 72, FACTS)
    assert result.why == Why.OK
    assert float(result.token.total) == pytest.approx(result.tpot)
    assert result.tpot <= 0.05
    assert float(result.first.total) == pytest.approx(result.ttft)
    assert result.ttft <= 2.0
    assert min(p.values.min() for p in (result.token, result.first, result.memory)) >= 0
    assert float(result.memory.total) < on.chip.hbm_bytes
    assert result.low < result.rate < result.high
    assert sum(result.reasons.values()) == result.candidates


@settings(max_examples=20)
@given(model=st.sampled_from(MODELS), better=st.floats(1.05, 4), field=st.sampled_from(["hbm_bw", "hbm_bytes"]))
def test_more_memory_or_bandwidth_never_slows_any_candidate(model, better, field):
    on = machine(H100, FACTS)
    chip = replace(H100.chip, **{field: getattr(H100.chip, field) * better})
    faster = Machine(system=replace(H100, chip=chip), eff=on.eff, net=on.net, engine=on.engine)
    lay, load = fixed([1, 2, 4, 8, 8]), [1, 8, 64, 256, 1000]
    before, after = serve_step(task(model), on, lay, load), serve_step(task(model), faster, lay, load)
    assert (after.rate >= before.rate * (1 - 1e-9)).all()
    assert (after.token.total <= before.token.total * (1 + 1e-9)).all()
    assert ((after.why == Why.OK) | (before.why != Why.OK)).all()


@pytest.mark.parametrize("key", ["h100-sxm.link_bw", "h100-sxm.nic_bw", "h100-sxm.hbm_bw", "h100-sxm.peak_flops@fp8"])
@pytest.mark.parametrize("model", MODELS)
def test_a_better_chip_never_carries_less(model, key):
    better = FACTS.with_fact(key, FACTS.value(key) * 1.5)
    improved = search_serve(task(model), system(better, "hgx-h100"), 32, better)
    assert improved.rate >= tokens(model) * (1 - 1e-9)


@settings(max_examples=15)
@given(model=st.sampled_from(MODELS[:3]), slack=st.floats(1, 5), name=st.sampled_from(["ttft", "tpot"]))
def test_a_looser_target_never_carries_less(model, slack, name):
    tight = {"ttft": 1.0, "tpot": 0.03}
    assert tokens(model, **{**tight, name: tight[name] * slack}) >= tokens(model, **tight)


@settings(max_examples=15)
@given(model=st.sampled_from(MODELS), longer=st.floats(1.1, 8))
def test_longer_prompts_never_carry_more(model, longer):
    assert tokens(model, input_tokens=2000 * longer) <= tokens(model)


@pytest.mark.parametrize("model", MODELS)
def test_cached_prefixes_never_hurt(model):
    rates = [tokens(model, prefix_hit=hit) for hit in (0.0, 0.5, 0.9)]
    assert rates == sorted(rates)


@pytest.mark.parametrize("model", MODELS)
def test_more_at_once_is_slower_for_each_and_more_in_all(model):
    load = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256.0])
    step = serve_step(task(model), machine(RACK, FACTS), fixed(np.full(9, 8)), load)
    assert (np.diff(step.token.total) >= 0).all()
    assert (np.diff(step.rate) > 0).all()


def test_one_way_tensor_parallelism_reduces_nothing():
    step = serve_step(task("llama-3-8b"), machine(H100, FACTS), fixed([1, 2]), 8)
    assert step.token["tensor reduction"][0] == 0 < step.token["tensor reduction"][1]
    assert (step.token["expert exchange"] == 0).all()
    assert (step.token["pipeline"] == 0).all()


def test_a_full_cache_is_said_and_more_chips_empty_it():
    long = {"input_tokens": 120_000.0, "output_tokens": 1000.0}
    step = serve_step(task(**long), machine(H100, FACTS), fixed([2, 8]), 24)
    assert list(step.why) == [Why.HBM_FULL, Why.OK]


def test_slower_or_missing_answers_say_why_and_what_limits_them():
    slow = search_serve(task("llama-3-70b", tpot=0.0005), H100, 8, FACTS)
    assert slow.why == Why.TOO_SLOW
    assert slow.rate == 0
    assert slow.tpot > 0.0005
    assert slow.limit in slow.token.names
    assert search_serve(task("deepseek-v3"), H100, 8, FACTS).why == Why.HBM_FULL
    assert search_serve(task("llama-3-8b", dtype="fp4"), H100, 8, FACTS).why == Why.NO_DTYPE
    assert search_serve(task("llama-3-8b"), H100, 8, FACTS, limits=ServeLimits(tp=(3, 3))).why == Why.NOT_DIVISIBLE


def test_no_point_of_the_front_beats_another_in_both_ways():
    front = search_serve(task("deepseek-v3", dtype="fp4"), RACK, 72, FACTS).front
    assert (np.diff(front.rate) <= 0).all()
    assert (np.diff(front.speed) > 0).all()
    assert len(front.words) == len(front.rate) > 10


@given(domain=st.sampled_from([1, 8, 72]), chips=st.integers(1, 1000),
       replica=st.sampled_from([1, 2, 8, 16, 64, 72, 144]))
def test_replicas_never_need_more_chips_than_there_are(domain, chips, replica):
    count = float(packed(np.array([replica], dtype=float), domain, chips)[0])
    assert 0 <= count * replica <= chips


@pytest.mark.parametrize("model", MODELS)
def test_layouts_divide_the_model_and_stay_in_the_pool(model):
    a = arch(FACTS, model)
    every = layouts(a, 72, 144, ServeLimits())
    assert (every.replica <= 144).all()
    assert (a.heads % every.tp == 0).all()
    assert ((every.ep == 1) | (every.ep == every.tp * every.dp)).all()
    assert len({tuple(r) for r in np.stack([every.tp, every.pp, every.dp, every.ep], axis=1)}) == len(every.tp)


@pytest.mark.parametrize("model", MODELS)
def test_candidates_that_share_operators_are_timed_as_if_alone(model):
    on, job = machine(RACK, FACTS), task(model)
    every = layouts(job.arch, 72, 64, ServeLimits())
    which, batch = np.repeat(np.arange(len(every.tp)), 3), np.tile([1.0, 17.0, 300.0], len(every.tp))
    for parts in (decode_parts, prefill_parts):
        at_once = parts(job, on, every.take(which), batch).total
        alone = [float(parts(job, on, every.take([w]), batch[[n]]).total[0]) for n, w in enumerate(which)]
        assert at_once == pytest.approx(alone, rel=1e-12)
