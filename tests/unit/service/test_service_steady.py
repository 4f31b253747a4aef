"""Serving: layouts in words, engines and dates, stored weights, closed and open loops, ladders and limits."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.search import search_serve
from exafleet.service.steady import serve_step, waiting
from exafleet.step.serve import ServeTask, machine, prefill_parts
from exafleet.step.serve_layouts import ServeLimits, fixed, layouts
from exafleet.terms.errors import FactError
from exafleet.terms.why import Why

FACTS = load_facts(datetime.date(2026, 11, 23))
H100 = system(FACTS, "hgx-h100")
# Facts on the day of the fit: every class of operators has a factor of its own.
NOW = load_facts(datetime.date(2026, 11, 26))
ENGINES = ("", "trtllm", "sglang", "vllm")
MACHINES = {engine: machine(system(NOW, "hgx-h200"), NOW, engine) for engine in ENGINES}
MODELS = ("llama-3-8b", "llama-3-70b", "deepseek-v3", "gpt-oss-120b", "nemotron-h-56b")


def task(model="llama-3-8b", **change):
    base = {"input_tokens": 1000.0, "output_tokens": 500.0, "ttft": 1.0, "tpot": 0.05, "dtype": "bf16"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def test_layouts_in_words_and_experts_lie_on_every_chip():
    lay = fixed([8, 1, 4], [1, 1, 2], [1, 32, 2], [1, 32, 8])
    assert [lay.words(i) for i in range(3)] == ["TP8", "TP1 DP32 EP32", "TP4 PP2 DP2 EP8"]
    assert lay.replica.tolist() == [8, 32, 16]
    assert lay.etp.tolist() == [8, 1, 1]


def test_a_72_chip_domain_is_cut_evenly():
    every = layouts(arch(FACTS, "deepseek-v3"), 72, 72, ServeLimits())
    assert {9, 18, 36, 72} <= set((every.tp * every.dp).astype(int).tolist())


def test_limits_are_kept():
    found = search_serve(task(), H100, 16, FACTS, limits=ServeLimits(tp=(4, 4), concurrency=(1, 32)))
    assert found.layout.tp == 4
    assert found.layout.concurrency <= 32
    assert found.layout.replicas == 4


def test_narrower_weights_save_memory_and_speed_up_small_batches():
    on, lay = machine(H100, FACTS), fixed(1)
    plain, narrow = (serve_step(task(weight_dtype=w), on, lay, 1) for w in ("", "fp4"))
    assert narrow.memory["dense weights"] < 0.5 * plain.memory["dense weights"]
    assert narrow.token.total < plain.token.total
    assert narrow.why[0] == Why.OK


def test_narrow_weights_need_no_hardware_of_their_own():
    assert search_serve(task("gpt-oss-120b", weight_dtype="fp4"), H100, 8, FACTS).why == Why.OK


def test_a_closed_loop_bunches_and_waits_longer():
    on, lay = machine(H100, FACTS), fixed(1)
    opened, closed = (serve_step(task(closed=c), on, lay, 128) for c in (False, True))
    assert closed.first["queue"] > opened.first["queue"] > 0


def test_one_request_waits_for_nobody():
    step = serve_step(task(), machine(H100, FACTS), fixed(1), 1)
    assert step.first["queue"][0] == step.first["decode of others"][0] == step.token["prefill of others"][0] == 0


def test_waiting_is_that_of_one_server_with_fixed_service():
    assert waiting(np.array([0.5]), np.array([1.0]), np.array([1e9]))[0] == pytest.approx(0.5)
    assert waiting(np.array([0.999]), np.array([1.0]), np.array([4.0]))[0] == pytest.approx(2.0)


def test_engines_differ_by_their_host_overhead_and_unknown_ones_are_refused():
    sglang, vllm = (machine(system(NOW, "hgx-h100"), NOW, e).engine for e in ("sglang", "vllm"))
    assert sglang.overhead > vllm.overhead
    with pytest.raises(FactError, match='unknown serving engine "llamafile"'):
        machine(H100, FACTS, "llamafile")


def test_what_was_known_in_2024_has_a_wider_band():
    then = load_facts(datetime.date(2024, 12, 19))
    assert machine(system(then, "hgx-h100"), then).engine.sigma > machine(H100, FACTS).engine.sigma


def test_cards_of_one_server_are_neighbours():
    assert machine(system(FACTS, "l40s-8"), FACTS).net.domain == 8


def test_pipelines_divide_weights_and_cost_hops():
    step = serve_step(task("llama-3-70b", dtype="fp8"), machine(H100, FACTS), fixed([8, 8], [1, 2]), 16)
    assert step.memory["dense weights"][1] == pytest.approx(step.memory["dense weights"][0] / 2)
    assert step.token["pipeline"][0] == 0 < step.token["pipeline"][1]


def test_windows_and_state_spaces_keep_long_contexts_cheap():
    def cache(model):
        lay, load = fixed(8), 8
        long = task(model, dtype="fp8", input_tokens=100_000.0)
        return float(serve_step(long, machine(H100, FACTS), lay, load).memory["key-value cache"][0])

    assert cache("nemotron-h-56b") < cache("llama-3-70b") / 3
    assert cache("gpt-oss-120b") < cache("llama-3-70b") / 3


def test_a_closed_loop_is_its_prompts_bunched_and_only_those_decode_that_have_a_token():
    on, lay, job, many = machine(H100, FACTS), fixed(4), task("llama-3-70b", closed=True), 64.0
    step, prompt = serve_step(job, on, lay, many), prefill_parts(job, on, lay, np.array([many]))
    bunch = on.engine.bunching * (many - 1) ** on.engine.growth
    assert float(step.first["queue"][0]) == pytest.approx(bunch * float(prompt.total[0]))
    alone, opened = (float(s.token.total[0] - s.token["prefill of others"][0])
                     for s in (step, serve_step(task("llama-3-70b"), on, lay, many)))
    assert alone < opened


@settings(max_examples=25)
@given(model=st.sampled_from(MODELS), many=st.floats(1, 2000), closed=st.booleans(), engine=st.sampled_from(ENGINES),
       draft=st.integers(0, 3))
def test_parts_add_up_and_none_is_negative(model, many, closed, engine, draft):
    job = task(model, dtype="fp8", closed=closed, engine=engine, draft=draft, accept=0.6 if draft else 0.0)
    step = serve_step(job, MACHINES[engine], fixed([4, 8], [1, 2]), many)
    for parts in (step.token, step.first, step.memory):
        assert parts.values.min() >= 0
        assert parts.values.sum(axis=-1) == pytest.approx(parts.total)
    lifetime = step.first.total + (job.output_tokens - 1) * step.token.total
    assert step.rate == pytest.approx(many * job.output_tokens / lifetime)


@settings(max_examples=25)
@given(model=st.sampled_from(MODELS), many=st.floats(1, 1000), closed=st.booleans(), better=st.floats(1.05, 4),
       field=st.sampled_from(["hbm_bw", "peak_flops"]))
def test_a_faster_chip_is_never_slower_in_either_loop(model, many, closed, better, field):
    on, lay, job = MACHINES[""], fixed([4, 8]), task(model, dtype="fp8", closed=closed)
    now = getattr(on.chip, field)
    more = {d: better * v for d, v in now.items()} if field == "peak_flops" else better * now
    faster = replace(on, system=replace(on.system, chip=replace(on.chip, **{field: more})))
    before, after = serve_step(job, on, lay, many), serve_step(job, faster, lay, many)
    assert (after.rate >= before.rate * (1 - 1e-9)).all()
    assert (after.first.total <= before.first.total * (1 + 1e-9)).all()


@pytest.mark.parametrize("word", ["ttft", "tpot"])
@settings(max_examples=5)
@given(slack=st.floats(1, 6), closed=st.booleans())
def test_a_looser_target_is_never_less(word, slack, closed):
    tight = {"ttft": 0.5, "tpot": 0.02}
    carried = [search_serve(task(closed=closed, **{**tight, word: tight[word] * times}), H100, 8, FACTS).rate
               for times in (1.0, slack)]
    assert carried[1] >= carried[0]


@settings(max_examples=25)
@given(model=st.sampled_from(MODELS), draft=st.integers(1, 4), many=st.floats(1, 500))
def test_speculation_that_is_never_right_costs_and_that_is_always_right_multiplies(model, draft, many):
    on, lay = MACHINES[""], fixed(8)
    plain, wrong, right = (serve_step(task(model, dtype="fp8", draft=d, accept=a), on, lay, many)
                           for d, a in ((0, 0.0), (draft, 0.0), (draft, 1.0)))

    def decoding(step):
        return float(step.token.total[0] - step.token["prefill of others"][0])

    assert decoding(wrong) > decoding(plain)
    assert decoding(right) == pytest.approx(decoding(wrong) / (1 + draft))
    assert wrong.rate[0] < plain.rate[0]
    assert wrong.rate[0] < right.rate[0]


@given(accept=st.floats(0, 1), draft=st.integers(1, 8))
def test_tokens_of_a_step_are_those_right_up_to_the_first_wrong_one(accept, draft):
    # Expected length: the chance that the first n proposals are all right, summed by how many were.
    exactly = [accept**n * (1 - accept) for n in range(draft)] + [accept**draft]
    assert task(draft=draft, accept=accept).per_step == pytest.approx(1 + sum(n * p for n, p in enumerate(exactly)))
