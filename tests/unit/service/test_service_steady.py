"""Serving: layouts in words, engines and dates, stored weights, closed and open loops, ladders and limits."""

import datetime

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.runs import read_rows
from exafleet.service.search import search_serve
from exafleet.service.steady import serve_step, waiting
from exafleet.step.serve import ServeTask, machine
from exafleet.step.serve_layouts import ServeLimits, fixed, layouts
from exafleet.terms.errors import MissingFact
from exafleet.terms.why import Why

FACTS = load_facts(datetime.date(2026, 11, 23))
H100 = system(FACTS, "hgx-h100")


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
    assert waiting(np.array([0.5]), np.array([1.0]), np.array([1e9]), 0.0)[0] == pytest.approx(0.5)
    assert waiting(np.array([0.999]), np.array([1.0]), np.array([4.0]), 0.0)[0] == pytest.approx(2.0)


def test_engines_differ_by_their_host_overhead_and_unknown_ones_are_refused():
    sglang, vllm = (machine(H100, FACTS, e).engine for e in ("sglang", "vllm"))
    assert sglang.overhead > vllm.overhead
    assert sglang.decode == vllm.decode
    with pytest.raises(MissingFact, match="step_overhead@llamafile"):
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


def test_the_table_of_measurements_is_read_in_base_units():
    row = next(r for r in read_rows() if r.case == "IM01367")
    assert row.tpot == pytest.approx(8.04925e-3)
    assert row.input_tokens == pytest.approx(0.9 * 1024)
    assert any(np.isinf(r.concurrency) for r in read_rows())
